"""``aiterfix upstream``: scan, status, export."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.arguments import TEXT, add_fixes, add_json, folder, form_asked, named
from aiterfix.errors import EnvironmentProblem, ExitCode, UsageError
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.judge.verdict import Verdict, worst

if TYPE_CHECKING:
    from aiterfix.upstream.gitrepo import Clone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))
    for name, text, declare in (
        ("scan", "which tags of a clone have which fault, by source", _scan_arguments),
        ("status", "what the pull requests' states mean", _status_arguments),
        ("export", "a branch with one commit that takes one fault out", _export_arguments),
    ):
        declare(
            actions.add_parser(
                name,
                help=text,
                description=f"{text[0].upper()}{text[1:]}.",
                epilog=parser.epilog,
                formatter_class=parser.formatter_class,
                allow_abbrev=False,
            )
        )


def execute(options: argparse.Namespace) -> int:
    """Run the action."""
    return {"scan": _scan, "status": _status, "export": _export}[options.action](options)


def _common(parser: argparse.ArgumentParser) -> None:
    add_fixes(parser)
    add_json(parser)


def _faults(options: argparse.Namespace) -> Faults:
    return load_faults(extra=options.fixes)


def _scan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the clone (default: this folder)")
    parser.add_argument(
        "--refs", nargs="+", default=[], metavar="REF", help="tags, shell patterns over tags, or any revisions"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--require-fixed", action="store_true", help="exit 1 unless every reference is clean")
    parser.add_argument(
        "--write-history", type=folder, metavar="DIR", help="also write the facts that `compat` and `check` answer from"
    )
    _common(parser)


def _scan(options: argparse.Namespace) -> int:
    from aiterfix.report.types.upstream import ScanReport
    from aiterfix.report.upstream_scan import scan_markdown, scan_text
    from aiterfix.upstream.gitrepo import Clone
    from aiterfix.upstream.scan import main_of, scan

    form = form_asked(("json", "markdown"), vars(options))
    if options.write_history and (options.refs or options.fixes):
        raise UsageError(
            "--write-history is about every tag and this package's own faults", remedy="Leave --refs and --fixes out."
        )
    clone = Clone(options.repo)
    result = scan(clone, _faults(options), options.refs, output.note)
    if options.write_history:
        from aiterfix.history.store import make_history, write_history
        from aiterfix.upstream.facts import with_mends

        if result.shallow or result.partial:
            raise EnvironmentProblem(
                "the history is not written from a shallow or partial clone",
                remedy="Fetch the rest: `git fetch --unshallow --tags`, or clone without --filter.",
            )
        unread = [r.ref for r in result.refs for f in r.shipped if any(p.startswith("syntax ") for p in f.problems)]
        if unread and sys.version_info < (3, 12):
            raise EnvironmentProblem(
                f"the history is not written: {unread[0]} has a file that this Python cannot parse",
                why="Some sources use the f-strings of Python 3.12 (PEP 701).",
                remedy="Run the same command with Python 3.12 or later.",
            )
        main = main_of(clone, result.faults)
        history = make_history(result.refs, result.faults, branches=main)
        history = with_mends(history, clone, result.faults, output.note)
        try:
            write_history(history, options.write_history)
        except OSError as error:
            raise EnvironmentProblem(f"{options.write_history} cannot be written", why=str(error.strerror)) from error
        output.note(f"wrote {options.write_history}")
    if form == "json":
        output.write_report(ScanReport.of(result))
    else:
        output.write(scan_text(result) if form == TEXT else scan_markdown(result))
    verdict = worst((r.verdict(result.faults.deciding) for r in result.refs), empty=Verdict.CLEAN)
    return ExitCode.OK if verdict is Verdict.AFFECTED and not options.require_fixed else verdict.exit_code


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repo", type=Path, metavar="DIR", help="a clone to judge by source, besides the facts shipped"
    )
    parser.add_argument("--refs", nargs="+", default=[], metavar="REF", help="revisions of it (default: HEAD)")
    parser.add_argument("--release", action="append", default=[], metavar="VERSION", help="a release to judge")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--path", type=named, metavar="DIR", help="an installation to judge")
    where.add_argument("--python", type=named, metavar="EXE", help="the installation of this interpreter")
    parser.add_argument(
        "--root",
        type=named,
        metavar="DIR",
        help="the root file system of an image: what is installed in it, or in --path in it",
    )
    parser.add_argument("--offline", action="store_true", help="ask nobody: the last known states, with their date")
    parser.add_argument(
        "--write-states",
        type=Path,
        metavar="FILE",
        help="also write what the package ships: states, and what was judged",
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where answers are kept (default: the user's cache)")
    _common(parser)


def _status(options: argparse.Namespace) -> int:
    from aiterfix.history.bounds import bounds_of
    from aiterfix.report.types.upstream import StatusReport
    from aiterfix.report.upstream_status import status_text
    from aiterfix.upstream.cache import Cache, default_folder
    from aiterfix.upstream.explain import Subject, explain
    from aiterfix.upstream.github import GitHub
    from aiterfix.upstream.gitrepo import Clone
    from aiterfix.upstream.milestones import releases
    from aiterfix.upstream.pulls import load_last_known, write_last_known
    from aiterfix.upstream.sentences import story
    from aiterfix.upstream.status import record_states, status
    from aiterfix.upstream.subjects import released, released_subjects, subjects_of_clone, subjects_of_installation
    from aiterfix.validation.evidence import today

    if options.refs and options.repo is None:
        raise UsageError("--refs needs --repo", remedy="Say which clone has them.")
    if options.fixes and (options.repo is None or options.release):
        raise UsageError(
            "--fixes needs --repo, and goes with no --release: the facts shipped are about this package's own faults",
            remedy="Name releases as tags of a clone, with --repo and --refs.",
        )
    if options.write_states and (options.repo is None or options.fixes):
        raise UsageError("--write-states needs --repo, and is about this package's own faults")
    faults = _faults(options)
    clone = Clone(options.repo) if options.repo is not None else None
    installed: list[Subject] = []
    if options.path or options.python or options.root:
        from aiterfix.cli.target import discover

        installed = subjects_of_installation(discover(options), faults)
    github = GitHub(Cache(options.cache if options.cache is not None else default_folder()))
    subjects = [
        *released_subjects(options.release),
        *(subjects_of_clone(clone, faults, options.refs or ["HEAD"]) if clone is not None else ()),
        *installed,
    ]
    refs = released(clone, faults)
    ordered = releases(refs)
    newest = ordered[-1][1] if ordered else None
    also = [r.commit for r in (newest, *(s.record for s in subjects)) if r is not None and r.commit]
    result = status(faults, github, offline=options.offline, clone=clone, also=also, progress=output.note)
    bounds = bounds_of(faults)
    explanations = [explain(b, result, refs, subjects) for b in bounds if b.upstream or subjects]
    trees = tuple((s.name, s.record) for s in subjects)
    stories = [story(f, result, newest, trees) for f in faults.judged if f.upstream or subjects]
    if options.write_states:
        try:
            keep = [newest.commit] if newest is not None else []
            write_last_known(record_states(result, faults, load_last_known(), today(), keep), options.write_states)
        except OSError as failure:
            raise EnvironmentProblem(
                f"{options.write_states} cannot be written", why=str(failure.strerror)
            ) from failure
    if options.json:
        output.write_report(StatusReport.of(result, stories, explanations, bounds, refs))
    else:
        output.write(status_text(result, stories, explanations, refs))
    for error in result.trouble:
        output.note(f"aiterfix: {error}")
    return ExitCode.ENVIRONMENT if result.trouble else ExitCode.OK


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the clone (default: this folder)")
    parser.add_argument("--ref", default="HEAD", metavar="REF", help="what the patch stands on (default: HEAD)")
    parser.add_argument(
        "--fault", default="column-bound", metavar="ID", help="the fault to take out (default: column-bound)"
    )
    parser.add_argument("--branch", metavar="NAME", help="name of the new branch (default: made from fault and base)")
    parser.add_argument("--kernel", default="all", metavar="PATH", help="only kernels of this code path (default: all)")
    parser.add_argument(
        "--evidence",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="output of `aiterfix validate --json` on the file before or after; may be repeated",
    )
    parser.add_argument("--format-patch", type=Path, metavar="FILE", help="also write the commit as a mail for git am")
    parser.add_argument("--pull-request", type=Path, metavar="FILE", help="also write the pull request's text")
    parser.add_argument("--no-test", action="store_true", help="leave the regression test out")
    parser.add_argument("--force", action="store_true", help="replace a branch of that name, and files named here")
    _common(parser)


def _export(options: argparse.Namespace) -> int:
    from aiterfix.report.page import Page
    from aiterfix.report.types.upstream import ExportReport
    from aiterfix.upstream.export import export
    from aiterfix.upstream.gitrepo import Clone

    faults = _faults(options)
    groups = None if options.kernel == "all" else [g.name for g in faults.groups if g.name == options.kernel]
    if groups == []:
        raise UsageError(f"no fault has the code path {options.kernel!r}", remedy="Try gluon, stage1 or all.")
    clone = Clone(options.repo)
    targets = [t for t in (options.format_patch, options.pull_request) if t is not None]
    for target in targets:
        _refuse_target(clone, target, options.force)
    made = export(
        clone,
        options.ref,
        faults,
        fault=options.fault,
        groups=groups,
        branch=options.branch,
        evidence=options.evidence,
        with_test=not options.no_test,
        force=options.force,
    )
    for target, data in ((options.format_patch, made.patch), (options.pull_request, made.proposal.body.encode())):
        if target is not None:
            try:
                target.write_bytes(data)
            except OSError as error:
                raise EnvironmentProblem(
                    f"{target} cannot be written, but the branch {made.branch} was made", why=str(error.strerror)
                ) from error
    if options.json:
        output.write_report(ExportReport.of(made, options.format_patch))
    else:
        output.write(Page.of_lines(made.proposal.body))
        output.note(f"branch {made.branch}: commit {made.commit[:12]} on {made.base[:12]}")
        for f in made.files:
            places = len(f.places)
            output.note(f"  {f.path}: {places} place{'' if places == 1 else 's'} in {', '.join(f.kernels)}")
        output.note(f"  {made.test_path}: regression test" if made.test_path else "  no regression test")
        output.note("Nothing was sent, and nothing is checked out: look at it with `git show`, push it when you like.")
    return ExitCode.OK


def _refuse_target(clone: Clone, target: Path, force: bool) -> None:
    """Refuse to write into the clone, or over a file."""
    place = target.absolute().parent.resolve()
    for home in (clone.work_tree, clone.git_dir, clone.common_dir):
        if home is not None and place.is_relative_to(home.resolve()):
            raise UsageError(f"{target} lies in the clone, which is left as it is", remedy="Name a file outside it.")
    if not place.is_dir():
        raise UsageError(f"the folder of {target} does not exist", remedy="Make it first.")
    if target.exists() and not force:
        raise UsageError(f"{target} exists", remedy="Name another file, or replace it with --force.")
