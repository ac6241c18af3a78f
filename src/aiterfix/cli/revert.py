"""``aiterfix revert``."""

from __future__ import annotations

import argparse

from aiterfix.cli import output
from aiterfix.cli.target import add_target, discover, require_found
from aiterfix.errors import ExitCode
from aiterfix.patching import revert as give_back
from aiterfix.places import place_of
from aiterfix.report.facts import installation_facts
from aiterfix.report.text import heading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)


def execute(options: argparse.Namespace) -> int:
    """Give back the original files of every installation that was patched."""
    discovery = discover(options)
    require_found(discovery, discovery.installations)
    done = [(i, give_back(place_of(i))) for i in discovery.installations]
    if options.json:
        facts = [
            {
                **installation_facts(i),
                "restored": [str(p) for p in r.restored],
                "left_alone": [str(p) for p in r.skipped],
                "recovered": r.recovered.kind.value if r.recovered else None,
            }
            for i, r in done
        ]
        output.write_json("revert", {"installations": facts})
        return ExitCode.OK
    for installation, reverted in done:
        lines = [heading(installation)]
        if reverted.recovered is not None:
            lines.append(f"  an interrupted earlier run was {reverted.recovered.kind.value} first")
        lines += [f"  restored {p}" for p in reverted.restored]
        lines += [f"  left alone, it belongs to another version now: {p}" for p in reverted.skipped]
        if not (reverted.restored or reverted.skipped or reverted.recovered):
            lines.append("  nothing to do: aiterfix has changed nothing here")
        output.write("\n".join(lines) + "\n")
    return ExitCode.OK
