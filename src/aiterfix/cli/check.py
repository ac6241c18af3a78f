"""``aiterfix check``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.arguments import TEXT, add_output, form_asked, ignored, named
from aiterfix.cli.engines import Judged, add_consumer, found_consumers, judge_pairs_of_each
from aiterfix.cli.launches import add_launches, judge_launches
from aiterfix.cli.steps import steps_for
from aiterfix.cli.target import (
    Target,
    add_question,
    add_target,
    discover_each,
    judge_all,
    repeated,
    targets_of,
)
from aiterfix.configuration import ignored_by, settings_in
from aiterfix.engines import Found
from aiterfix.errors import UsageError
from aiterfix.installation.target import Discovery
from aiterfix.judge.judgement import Ignored
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole

FORMATS = (TEXT, "json", "sarif", "html", "markdown", "github")

if TYPE_CHECKING:
    from aiterfix.judge.launch_list import JudgedList


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "targets",
        nargs="*",
        type=named,
        metavar="PATH",
        help="the same as --path PATH; each is judged, the worst decides",
    )
    add_target(parser)
    add_question(parser)
    parser.add_argument(
        "--ignore",
        type=ignored,
        action="append",
        default=[],
        metavar="ID=REASON",
        help="show this fault with the reason, and let it not decide; may be repeated. aiterfix.toml here, or table "
        '[tool.aiterfix] of pyproject.toml, may say the same: [ignore], then ID = "REASON"',
    )
    parser.add_argument("--config", type=named, metavar="FILE", help="this file of settings, not those of this folder")
    parser.add_argument("--sarif", action="store_true", help="print a SARIF 2.1.0 log on stdout, for code scanning")
    add_output(parser, FORMATS)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="below the answer, every fault, every kernel, and every finding"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="the verdict's word alone")
    add_launches(parser)
    add_consumer(parser)


def execute(options: argparse.Namespace) -> int:
    """Judge what is installed."""
    form = form_asked(FORMATS, vars(options))
    if options.quiet and (form != TEXT or options.verbose):
        other = "--verbose" if form == TEXT else f"the form {form}"
        raise UsageError(f"--quiet does not go with {other}", remedy="Drop one of them.")
    if options.targets:
        options.path = [*(options.path or ()), *options.targets]
        if options.python:
            raise UsageError("PATH does not go with --python", remedy="Drop one of them.")
    options.ignored = _to_ignore(options)
    if options.launches and form in {"sarif", "github"}:
        raise UsageError(f"--launches does not go with --{form}", remedy="Take another form, such as --json.")
    options.in_full = form != TEXT or options.verbose
    with output.into(options.output):
        return _execute(options, form)


def _execute(options: argparse.Namespace, form: str) -> int:
    discoveries = discover_each(options)
    whole = _with_hook(judge_all(options, discoveries), options)
    found = found_consumers(options, discoveries)
    judged = judge_pairs_of_each(options, whole)
    launched = judge_launches(options, whole)
    if form == "sarif":
        from aiterfix.report.sarif import sarif_log

        output.write_escaped(sarif_log(whole))
    elif form == "github":
        from aiterfix.report.annotations import check_annotations

        output.write(check_annotations(whole, Path.cwd()))
    elif form == "json":
        _write_json(whole, found, judged, launched, options)
    elif form == "html":
        _write_page(whole, found, judged, launched, options)
    elif options.quiet:
        _write_word(whole, judged, launched)
    else:
        named = [] if judged.verdict is not None else _where(options, discoveries)
        _write_text(whole, named, judged, launched, options, form)
    if launched is not None and launched.installations:
        return int(launched.outcome.exit_code)
    return int(whole.verdict.exit_code) if judged.status is None else judged.status


def _where(options: argparse.Namespace, discoveries: Sequence[Discovery]) -> list[tuple[Found, str]]:
    """The engines, each with the one target of all that were named in which it is."""
    found: dict[Path, tuple[Found, str]] = {}
    for target, discovery in zip(targets_of(options), discoveries, strict=True):
        for engine in found_consumers(options, [discovery]):
            found.setdefault(engine.package, (engine, repeated(target.words)))
    return list(found.values())


def _to_ignore(options: argparse.Namespace) -> tuple[Ignored, ...]:
    """What shall not decide: of the command line, and of the settings; of both, as the command line has it.

    Raises:
        UsageError: a fault is ignored for two reasons, the settings are wrong, or launches are judged.
    """
    stated: dict[str, Ignored] = {}
    for one in options.ignore:
        if stated.setdefault(one.fault, one) != one:
            raise UsageError(f"--ignore names {one.fault} with two reasons", remedy="Give one.")
    calls = "--for" if options.consumers else "--launches" if options.launches is not None else ""
    if calls and stated:
        raise UsageError(
            f"--ignore does not go with {calls}: a launch is safe or not, whatever is ignored",
            remedy="Drop one of them.",
        )
    if options.config is not None:
        settings = ignored_by(options.config)
    else:
        here = settings_in(Path())
        settings = here.ignored
        if here.refused:
            output.note(*(f"aiterfix: {line}" for line in here.refused))
    if calls and settings:
        ids = ", ".join(i.fault for i in settings)
        output.note(f"aiterfix: not ignored, as launches are judged: {ids} ({settings[0].by})")
        return ()
    return tuple({**{i.fault: i for i in settings}, **stated}.values())


def _with_hook(whole: Whole, options: argparse.Namespace) -> Whole:
    """What processes run, where that may be better than what is on disk: of an interpreter that was named, or is this
    one, the hook counts if it starts in each of its processes."""
    if whole.verdict is not Verdict.AFFECTED or len(targets_of(options)) > 1 or options.path or options.root:
        return whole
    from aiterfix.importing.foresight import as_processes_run

    return as_processes_run(whole, targets_of(options)[0].python)


def _write_json(
    whole: Whole, found: tuple[Found, ...], judged: Judged, launched: JudgedList | None, options: argparse.Namespace
) -> None:
    from aiterfix.report.check import check_report

    report = check_report(whole, found, steps_for(options, whole))
    if judged.verdict is not None and judged.operator is not None:
        from aiterfix.report.types.pairs import PairedCheckReport, PairsReport

        pairs = PairsReport.of(judged.pairs, judged.verdict, judged.operator)
        report = PairedCheckReport.with_pairs(report, pairs)
    if launched is not None:
        from aiterfix.report.types.launches import LaunchedCheckReport, LaunchesReport

        report = LaunchedCheckReport.with_launches(report, LaunchesReport.of(launched))
    output.write_report(report)


def _write_page(
    whole: Whole, found: tuple[Found, ...], judged: Judged, launched: JudgedList | None, options: argparse.Namespace
) -> None:
    from aiterfix.cli.padding import needs_of
    from aiterfix.report.check import check_report
    from aiterfix.report.html.check import check_page
    from aiterfix.report.page import Page

    steps = steps_for(options, whole)
    report = check_report(whole, found, steps)
    measured = targets_of(options) == (Target(),)
    needs = {
        str(j.installation.package): needs_of(j, measured=measured) for j in whole.live if j.installation and j.texts
    }
    recorded = Page([])
    if launched is not None:
        from aiterfix.report.launches import launches_text

        recorded = launches_text(launched, steps, verbose=True)
    page = check_page(whole, report, needs, judged.pairs, judged.verdict, judged.operator, recorded, steps)
    output.write_escaped(page)


def _write_word(whole: Whole, judged: Judged, launched: JudgedList | None) -> None:
    """The word that the exit code goes by."""
    from aiterfix.report.advice import ignored_lines
    from aiterfix.report.page import Page, Row
    from aiterfix.report.text import shown

    if launched is not None and launched.installations:
        word: Row = launched.outcome.value
    else:
        word = (shown(whole.verdict),) if judged.verdict is None else judged.verdict.value
    output.write(Page([word]))
    for line in ignored_lines(whole):  # the word is about the rest
        output.note(f"aiterfix: {line}")


def _write_text(
    whole: Whole,
    engines: Sequence[tuple[Found, str]],
    judged: Judged,
    launched: JudgedList | None,
    options: argparse.Namespace,
    form: str,
) -> None:
    from aiterfix.report.page import Page
    from aiterfix.report.text import check_in_full, check_text

    steps = steps_for(options, whole)
    # Two pieces of advice that say different things are none. Without a pair there is the one on aiter alone.
    advise = not judged.pairs and launched is None
    if form == "markdown":
        from aiterfix.report.markdown import check_markdown

        page = check_markdown(whole, steps, advise=advise)
    else:
        page = check_text(whole, steps, engines, advise=advise, verbose=options.verbose)
    more = Page([])
    if judged.verdict is not None and judged.operator is not None:
        from aiterfix.report.engines import pair_text

        more += pair_text(judged.pairs, judged.verdict, judged.operator, steps)
    if launched is not None:
        from aiterfix.report.launches import launches_text

        more += launches_text(launched, steps, verbose=options.verbose)
    if more.rows:
        fence = form == "markdown"
        page += Page(["", *(["```text"] if fence else [])]) + more + Page(["```"] if fence else [])
    if options.verbose and form == TEXT:  # the other forms are in full always
        page += check_in_full(whole)
    output.write(page)
