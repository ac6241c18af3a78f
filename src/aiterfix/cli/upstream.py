"""``aiterfix upstream``: scan, status, export."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.cli import output
from aiterfix.cli.arguments import add_fixes, add_json, named
from aiterfix.cli.target import discover
from aiterfix.errors import EnvironmentProblem, ExitCode, UsageError
from aiterfix.fixes import Fix, load_fixes

if TYPE_CHECKING:
    from aiterfix.upstream.gitrepo import Clone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=type(parser))
    for name, text, declare in (
        ("scan", "which tags of a clone have which fix, by source", _scan_arguments),
        ("status", "what the pull requests' states mean", _status_arguments),
        ("export", "a branch with one commit that holds the semantic patch", _export_arguments),
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


def _fixes(options: argparse.Namespace) -> tuple[Fix, ...]:
    return load_fixes(extra=options.fixes)


def _scan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the clone (default: this folder)")
    parser.add_argument(
        "--refs", nargs="+", default=[], metavar="REF", help="tags, shell patterns over tags, or any revisions"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument(
        "--require-fixed", action="store_true", help="exit 1 unless every reference is guarded or not affected"
    )
    parser.add_argument(
        "--write-history", type=Path, metavar="FILE", help="also write the facts that `compat` answers from"
    )
    _common(parser)


def _scan(options: argparse.Namespace) -> int:
    from aiterfix.upstream.gitrepo import Clone
    from aiterfix.upstream.report import scan_facts, scan_markdown, scan_text
    from aiterfix.upstream.scan import scan

    if options.json and options.markdown:
        raise UsageError("--json and --markdown cannot both be printed", remedy="Give one of them.")
    if options.write_history and options.refs:
        raise UsageError("--write-history is about every tag", remedy="Leave --refs out.")
    result = scan(Clone(options.repo), _fixes(options), options.refs, output.note)
    if options.write_history:
        from aiterfix.history.store import dump_history, make_history

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
        try:
            options.write_history.write_text(dump_history(make_history(result.refs)), encoding="utf-8", newline="\n")
        except OSError as error:
            raise EnvironmentProblem(f"{options.write_history} cannot be written", why=str(error.strerror)) from error
        output.note(f"wrote {options.write_history}")
    if options.json:
        output.write_json("upstream scan", scan_facts(result))
    else:
        output.write(scan_markdown(result) if options.markdown else scan_text(result))
    verdicts = {r.verdict for r in result.refs}
    if any(v.value == "unknown" for v in verdicts):
        return ExitCode.NOT_UNDERSTOOD
    if options.require_fixed and not all(v.safe for v in verdicts):
        return ExitCode.ACTION
    return ExitCode.OK


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--repo", type=Path, metavar="DIR", help="a clone to judge by source, besides the facts shipped"
    )
    parser.add_argument("--refs", nargs="+", default=[], metavar="REF", help="revisions of it (default: HEAD)")
    parser.add_argument("--release", action="append", default=[], metavar="VERSION", help="a release to judge")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--path", type=named, metavar="DIR", help="an installation to judge")
    where.add_argument("--python", type=named, metavar="EXE", help="the installation of this interpreter")
    parser.add_argument("--offline", action="store_true", help="ask nobody: the last known states, with their date")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where answers are kept (default: the user's cache)")
    _common(parser)


def _status(options: argparse.Namespace) -> int:
    from aiterfix.upstream.cache import Cache, default_folder
    from aiterfix.upstream.explain import explain
    from aiterfix.upstream.github import GitHub
    from aiterfix.upstream.gitrepo import Clone
    from aiterfix.upstream.status import status
    from aiterfix.upstream.statusreport import status_facts, status_text
    from aiterfix.upstream.subjects import released, released_subjects, subjects_of_clone, subjects_of_installation

    if options.refs and options.repo is None:
        raise UsageError("--refs needs --repo", remedy="Say which clone has them.")
    fixes = _fixes(options)
    clone = Clone(options.repo) if options.repo is not None else None
    github = GitHub(Cache(options.cache if options.cache is not None else default_folder()))
    subjects = [
        *released_subjects(options.release),
        *(subjects_of_clone(clone, fixes, options.refs or ["HEAD"]) if clone is not None else ()),
        *(subjects_of_installation(discover(options), fixes) if options.path or options.python else ()),
    ]
    result = status(fixes, github, offline=options.offline, clone=clone, progress=output.note)
    refs = released(clone, fixes)
    explanations = [explain(f, result, refs, subjects) for f in fixes if f.upstream or subjects]
    if options.json:
        output.write_json("upstream status", status_facts(result, explanations, fixes, refs))
    else:
        output.write(status_text(result, explanations, refs))
    for error in result.trouble:
        output.note(f"aiterfix: {error}")
    return ExitCode.ENVIRONMENT if result.trouble else ExitCode.OK


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the clone (default: this folder)")
    parser.add_argument("--ref", default="HEAD", metavar="REF", help="what the patch stands on (default: HEAD)")
    parser.add_argument("--branch", metavar="NAME", help="name of the new branch (default: made from the base)")
    parser.add_argument("--kernel", default="all", metavar="PATH", help="only the fix of this code path (default: all)")
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
    from aiterfix.upstream.export import export
    from aiterfix.upstream.gitrepo import Clone

    fixes = _fixes(options)
    if options.kernel != "all":
        fixes = tuple(f for f in fixes if f.path == options.kernel)
        if not fixes:
            raise UsageError(f"no fix has the code path {options.kernel!r}", remedy="Try gluon, stage1 or all.")
    clone = Clone(options.repo)
    targets = [t for t in (options.format_patch, options.pull_request) if t is not None]
    for target in targets:
        _refuse_target(clone, target, options.force)
    made = export(
        clone,
        options.ref,
        fixes,
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
        output.write_json(
            "upstream export",
            {
                "branch": made.branch,
                "commit": made.commit,
                "base": made.base,
                "replaced": made.replaced,
                "files": [
                    {
                        "path": f.path,
                        "sha256_before": f.rewrite.before.sha256,
                        "sha256_after": f.rewrite.after.sha256,
                        "bounded": len(f.rewrite.edited),
                        "stores": len(f.rewrite.after.sites),
                    }
                    for f in made.files
                ],
                "test": made.test_path,
                "subject": made.proposal.subject,
                "message": made.proposal.message,
                "pull_request": made.proposal.body,
                "format_patch": str(options.format_patch) if options.format_patch else None,
            },
        )
    else:
        output.write(made.proposal.body)
        output.note(f"branch {made.branch}: commit {made.commit[:12]} on {made.base[:12]}")
        for f in made.files:
            output.note(f"  {f.path}: bounded {len(f.rewrite.edited)} of {len(f.rewrite.after.sites)} stores")
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
