"""``aiterfix compat``: what is known of releases, offline."""

from __future__ import annotations

import argparse
from functools import partial

from aiterfix.cli import output
from aiterfix.cli.arguments import add_json
from aiterfix.errors import ExitCode
from aiterfix.faults.registry import load_faults
from aiterfix.history.compat import Compat, compat
from aiterfix.history.milestones import fixes
from aiterfix.history.record import History
from aiterfix.history.store import load_history
from aiterfix.report.compat import compat_text, releases_text
from aiterfix.report.formats import Format, Json, Text
from aiterfix.report.types.compat import CompatReport, ReleasesReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "version",
        metavar="VERSION",
        nargs="?",
        help="version number of amd-aiter, tag of ROCm/aiter, commit that a tag names, or main; without it, every "
        "release in a table",
    )
    add_json(parser)


def execute(options: argparse.Namespace) -> int:
    """Look the version up, or show every release."""
    history, faults = load_history(), load_faults()
    known = fixes(history.refs, faults.judged)
    if options.version is None:
        table: dict[str, Format[History]] = {
            "text": Text(partial(releases_text, faults=faults, fixes=known)),
            "json": Json(partial(ReleasesReport.of, faults=faults, fixes=known)),
        }
        output.show(options, table, history)
        return ExitCode.OK
    answer = compat(options.version, history)
    formats: dict[str, Format[Compat]] = {
        "text": Text(partial(compat_text, faults=faults, fixes=known)),
        "json": Json(partial(CompatReport.of, faults=faults, fixes=known)),
    }
    output.show(options, formats, answer)
    return answer.verdict(faults.deciding).exit_code
