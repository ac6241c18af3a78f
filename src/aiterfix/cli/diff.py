"""``aiterfix diff``."""

from __future__ import annotations

import argparse

from aiterfix.assessment import ALL
from aiterfix.cli import output
from aiterfix.cli.target import add_kernel, add_target, assess_all, require_found
from aiterfix.errors import ExitCode
from aiterfix.planning import plan
from aiterfix.report.unified import unified_diff


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_kernel(parser, ALL)


def execute(options: argparse.Namespace) -> int:
    """Print what `apply` would change, for ``patch -p1`` or ``git apply`` in the folder that holds the package."""
    discovery, assessments = assess_all(options)
    require_found(discovery, assessments)
    parts = []
    for assessment in assessments:
        if not assessment.installation.shadowed:
            for change in plan(assessment):
                parts.append(unified_diff(change.file.relative, change.rewrite.old, change.rewrite.new))
    if options.json:
        output.write_json("diff", {"diff": b"".join(parts).decode("utf-8"), "changes": bool(parts)})
    else:
        output.write_bytes(b"".join(parts))
    return ExitCode.OK
