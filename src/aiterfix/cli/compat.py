"""``aiterfix compat``: what is known of releases, offline."""

from __future__ import annotations

import argparse

from aiterfix.cli import output
from aiterfix.cli.arguments import add_json
from aiterfix.errors import ExitCode
from aiterfix.faults.registry import load_faults
from aiterfix.history.compat import compat
from aiterfix.history.milestones import fixes
from aiterfix.history.store import load_history
from aiterfix.report.compat import compat_text, releases_text
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
        if options.json:
            output.write_report(ReleasesReport.of(history, faults, known))
        else:
            output.write(releases_text(history, faults, known))
        return ExitCode.OK
    answer = compat(options.version, history)
    if options.json:
        output.write_report(CompatReport.of(answer, faults, known))
    else:
        output.write(compat_text(answer, faults, known))
    return answer.verdict(faults.deciding).exit_code
