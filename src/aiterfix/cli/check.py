"""``aiterfix check``."""

from __future__ import annotations

import argparse

from aiterfix.assessment import AUTO, exit_code, overall
from aiterfix.cli import output
from aiterfix.cli.target import add_kernel, add_target, assess_all, repeat_target
from aiterfix.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_kernel(parser, AUTO)
    parser.add_argument("--sarif", action="store_true", help="print a SARIF 2.1.0 log on stdout, for code scanning")


def execute(options: argparse.Namespace) -> int:
    """Judge what is installed."""
    if options.json and options.sarif:
        raise UsageError("--json and --sarif cannot both be printed", remedy="Give one of them.")
    discovery, assessments = assess_all(options)
    verdict = overall(discovery, assessments)
    if options.sarif:
        from aiterfix.report.sarif import sarif_log

        output.write(sarif_log(assessments))
    elif options.json:
        from aiterfix.report.facts import check_facts

        output.write_json("check", check_facts(discovery, assessments, verdict, options.kernel))
    else:
        from aiterfix.report.text import check_text

        output.write(check_text(discovery, assessments, verdict, options.kernel, repeat_target(options)))
    return exit_code(verdict)
