"""``aiterfix diff``."""

from __future__ import annotations

import argparse

from aiterfix.cli import output
from aiterfix.cli.target import add_question, add_target, judge_all, require_found
from aiterfix.errors import ExitCode
from aiterfix.patching.mends import mends
from aiterfix.report.types.diff import DiffReport
from aiterfix.report.unified import unified_diff


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_question(parser)


def execute(options: argparse.Namespace) -> int:
    """Print what `apply` would change, for ``patch -p1`` or ``git apply`` in the folder that holds the package."""
    whole = judge_all(options)
    require_found(whole.discovery, whole.on_disk)
    changes = [change for judgement in whole.live for change in mends(judgement)]
    parts = [unified_diff(c.file.relative, c.mended.old, c.mended.new) for c in changes]
    if options.json:
        output.write_report(DiffReport(b"".join(parts).decode("utf-8", "surrogateescape"), bool(parts)))
    else:
        output.write_bytes(b"".join(parts))
    return ExitCode.OK
