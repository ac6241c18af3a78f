"""``aiterfix check``."""

from __future__ import annotations

import argparse

from aiterfix.cli import output
from aiterfix.cli.engines import Judged, add_consumer, found_consumers, judge_pairs_of_each
from aiterfix.cli.target import add_question, add_target, discover_each, judge_all, repeat_target, targets_of
from aiterfix.engines import Found
from aiterfix.errors import UsageError
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_question(parser)
    parser.add_argument("--sarif", action="store_true", help="print a SARIF 2.1.0 log on stdout, for code scanning")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every kernel, and every finding in it")
    add_consumer(parser)


def execute(options: argparse.Namespace) -> int:
    """Judge what is installed."""
    if options.json and options.sarif:
        raise UsageError("--json and --sarif cannot both be printed", remedy="Give one of them.")
    discoveries = discover_each(options)
    whole = _with_hook(judge_all(options, discoveries), options)
    found = found_consumers(options, discoveries)
    judged = judge_pairs_of_each(options, whole)
    if options.sarif:
        from aiterfix.report.sarif import sarif_log

        output.write_json(sarif_log(whole))
    elif options.json:
        _write_json(whole, found, judged, repeat_target(options))
    else:
        _write_text(whole, found, judged, options)
    return int(whole.verdict.exit_code) if judged.status is None else judged.status


def _with_hook(whole: Whole, options: argparse.Namespace) -> Whole:
    """What processes run, where that may be better than what is on disk: of an interpreter that was named, or is this
    one, the hook counts if it starts in each of its processes."""
    if whole.verdict is not Verdict.AFFECTED or len(targets_of(options)) > 1 or options.path or options.root:
        return whole
    from aiterfix.importing.foresight import as_processes_run

    return as_processes_run(whole, targets_of(options)[0].python)


def _write_json(whole: Whole, found: tuple[Found, ...], judged: Judged, arguments: str) -> None:
    from aiterfix.report.check import check_report

    report = check_report(whole, found, f"aiterfix apply{arguments}")
    if judged.verdict is not None and judged.operator is not None:
        from aiterfix.report.types.pairs import PairedCheckReport, PairsReport

        pairs = PairsReport.of(judged.pairs, judged.verdict, judged.operator)
        report = PairedCheckReport.with_pairs(report, pairs)
    output.write_report(report)


def _write_text(whole: Whole, found: tuple[Found, ...], judged: Judged, options: argparse.Namespace) -> None:
    from aiterfix.report.page import Page
    from aiterfix.report.text import check_text

    named = found if judged.verdict is None else ()
    arguments = repeat_target(options)
    # Two pieces of advice that say different things are none. Without a pair there is the one on aiter alone.
    page = check_text(whole, arguments, named, advise=not judged.pairs, verbose=options.verbose)
    if judged.verdict is not None and judged.operator is not None:
        from aiterfix.report.engines import pair_text

        page += Page([""]) + pair_text(judged.pairs, judged.verdict, judged.operator, arguments)
    output.write(page)
