"""``aiterfix revert``."""

from __future__ import annotations

import argparse

from aiterfix.cli import output
from aiterfix.cli.target import add_target, discover, refuse_archives, require_found
from aiterfix.errors import ExitCode
from aiterfix.installation.forms import Form
from aiterfix.patching.disk import revert as give_back
from aiterfix.patching.installed import package_tree
from aiterfix.report.page import Page
from aiterfix.report.text import heading
from aiterfix.report.types.revert import RevertedReport, RevertReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)


def execute(options: argparse.Namespace) -> int:
    """Give back the original files of every installation that was patched."""
    refuse_archives(
        options,
        *Form,
        remedy="Take the wheel from before, which apply has left as it was, or build the image without apply.",
    )
    discovery = discover(options)
    require_found(discovery, discovery.installations)
    done = []
    for installation in discovery.installations:
        one = RevertedReport.of(installation, give_back(package_tree(installation)))
        done.append(one)
        if one.restored:
            output.did(f"{len(one.restored)} files were restored in {one.package}")
    report = RevertReport(tuple(done))
    if options.json:
        output.write_report(report)
    else:
        output.write(_text(report))
    return ExitCode.OK


def _text(report: RevertReport) -> Page:
    """For people."""
    lines = []
    for one in report.installations:
        lines.append(heading(one))
        if one.recovered is not None:
            lines.append(f"  an interrupted earlier run was {one.recovered.value} first")
        lines += [f"  restored {p}" for p in one.restored]
        lines += [f"  left alone, it belongs to another version now: {p}" for p in one.left_alone]
        if not (one.restored or one.left_alone or one.recovered):
            lines.append("  nothing to do: aiterfix has changed nothing here")
    return Page(lines)
