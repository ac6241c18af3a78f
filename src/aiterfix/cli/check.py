"""``aiterfix check``."""

from __future__ import annotations

import argparse

from aiterfix.assessment import AUTO, exit_code, overall
from aiterfix.cli import output
from aiterfix.cli.consumers import add_consumer, found_consumers, judge_pairs
from aiterfix.cli.target import add_kernel, add_target, assess_all, repeat_target
from aiterfix.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_kernel(parser, AUTO)
    parser.add_argument("--sarif", action="store_true", help="print a SARIF 2.1.0 log on stdout, for code scanning")
    add_consumer(parser)


def execute(options: argparse.Namespace) -> int:
    """Judge what is installed."""
    if options.json and options.sarif:
        raise UsageError("--json and --sarif cannot both be printed", remedy="Give one of them.")
    discovery, assessments = assess_all(options)
    verdict = overall(discovery, assessments)
    found = found_consumers(options, discovery)
    judged = judge_pairs(options, found, discovery, assessments)
    if options.sarif:
        from aiterfix.report.sarif import sarif_log

        output.write(sarif_log(assessments))
    elif options.json:
        from aiterfix.report.facts import check_facts

        facts = check_facts(discovery, assessments, verdict, options.kernel, found)
        if judged.verdict is not None and judged.operator is not None:
            from aiterfix.report.consumers import pairs_facts

            facts |= pairs_facts(judged.pairs, judged.verdict, judged.operator)
        output.write_json("check", facts)
    else:
        from aiterfix.report.text import check_text

        named = found if judged.verdict is None else ()
        arguments = repeat_target(options)
        # Two pieces of advice that say different things are none. Without a pair there is the one on aiter alone.
        alone = not judged.pairs
        output.write(check_text(discovery, assessments, verdict, options.kernel, arguments, named, advise=alone))
        if judged.verdict is not None and judged.operator is not None:
            from aiterfix.report.consumers import pair_text

            output.write("\n" + pair_text(judged.pairs, judged.verdict, judged.operator, arguments))
    return exit_code(verdict) if judged.status is None else judged.status
