"""``aiterfix apply``."""

from __future__ import annotations

import argparse
from typing import Any

from aiterfix._version import __version__
from aiterfix.assessment import ALL, Assessment, assess, exit_code, overall
from aiterfix.cli import output
from aiterfix.cli.target import add_kernel, add_target, discover, fixes_of, repeat_target, require_found
from aiterfix.errors import ExitCode
from aiterfix.fixes import Fix
from aiterfix.installation import Discovery, Installation
from aiterfix.patching import Applied, FileChange
from aiterfix.patching import apply as write_changes
from aiterfix.patching import recover as recover_place
from aiterfix.places import place_of
from aiterfix.planning import Change, plan
from aiterfix.report.advice import meaning
from aiterfix.report.facts import installation_facts
from aiterfix.report.text import heading, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_kernel(parser, ALL)
    parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
    parser.add_argument(
        "--require",
        action="store_true",
        help="for container builds: fail unless every aiter found ends proven guarded or not affected",
    )


def execute(options: argparse.Namespace) -> int:
    """Bound every store of every installation that import would take."""
    fixes = fixes_of(options)
    discovery = discover(options)
    require_found(discovery, discovery.installations)
    ours = [i for i in discovery.installations if not i.shadowed]
    others = [i for i in discovery.installations if i.shadowed]
    done = [_apply(i, fixes, options) for i in ours]
    final = [d.after for d in done] + [assess(i, fixes, options.kernel) for i in others]
    status = _status(discovery, final, options)
    if options.json:
        output.write_json(
            "apply",
            {
                "verdict": overall(discovery, final).value,
                "dry_run": options.dry_run,
                "installations": [d.facts() for d in done],
            },
        )
    else:
        output.write("".join(d.text(repeat_target(options)) for d in done))
        for installation in others:
            output.write(f"{heading(installation)}\n  left alone\n")
        for doubt in discovery.doubts:
            output.note(f"could not be read: {doubt.path}: {doubt.reason}")
        if status is not ExitCode.OK and options.require:
            output.note("--require: not every aiter found is proven guarded or not affected")
    return status


def _status(discovery: Discovery, final: list[Assessment], options: argparse.Namespace) -> ExitCode:
    if options.dry_run:
        return ExitCode.OK
    if options.require:
        return exit_code(overall(discovery, final))
    # What was understood is patched; what source cannot vouch for is in the report, and is `--require`'s to refuse.
    unsafe = [a for a in final if not a.installation.shadowed and not a.source_verdict.safe]
    return exit_code(unsafe[0].source_verdict) if unsafe else ExitCode.OK


class _Done:
    """What was done to one installation."""

    def __init__(
        self, installation: Installation, changes: tuple[Change, ...], applied: Applied, after: Assessment
    ) -> None:
        self.installation = installation
        self.changes = changes
        self.applied = applied
        self.after = after

    def facts(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            **installation_facts(self.installation),
            "verdict": self.after.verdict.value,
            "changed": bool(self.changes),
            "recovered": self.applied.recovered.kind.value if self.applied.recovered else None,
            "notes": list(self.applied.notes),
            "kernel_files": [
                {
                    "path": str(c.file.path),
                    "sha256_before": c.rewrite.before.sha256,
                    "sha256_after": c.rewrite.after.sha256,
                    "sites": [{"kernel": s.kernel, "line": s.line, "column": s.column} for s in c.rewrite.edited],
                }
                for c in self.changes
            ],
        }

    def text(self, arguments: str) -> str:
        """For people: what was changed, and how to see and undo it."""
        lines = [heading(self.installation)]
        if self.applied.recovered is not None:
            lines.append(f"  an interrupted earlier run was {self.applied.recovered.kind.value} first")
        for c in self.changes:
            verb = "would bound" if self.applied.dry_run else "bounded"
            lines.append(f"  {c.file.relative}: {verb} {len(c.rewrite.edited)} of {len(c.rewrite.before.sites)} stores")
            lines.append(f"    sha256 {c.rewrite.before.sha256[:12]} -> {c.rewrite.after.sha256[:12]}")
        lines += [f"  note: {n}" for n in self.applied.notes]
        if not self.changes:
            lines.append(f"  nothing to do: {meaning(self.after)}")
        elif self.applied.dry_run:
            lines.append(f"  nothing was written; see the change with: aiterfix diff{arguments}")
        else:
            lines.append(f"  verdict now: {shown(self.after.verdict)}")
            lines.append(f"  originals:   {self.applied.state_dir}")
            lines.append(f"  see it with: aiterfix check{arguments}")
            lines.append(f"  undo it with: aiterfix revert{arguments}")
        return "\n".join(lines) + "\n"


def _apply(installation: Installation, fixes: tuple[Fix, ...], options: argparse.Namespace) -> _Done:
    place = place_of(installation)
    recovered = None if options.dry_run else recover_place(place)
    before = assess(installation, fixes, options.kernel)
    changes = plan(before)
    applied = write_changes(
        place,
        [FileChange(c.file.path, c.rewrite.old, c.rewrite.new) for c in changes],
        annotations={"aiterfix": __version__, "fixes": ",".join(sorted(before.asked))},
        dry_run=options.dry_run,
    )
    if recovered is not None and applied.recovered is None:
        applied = Applied(
            applied.changed,
            applied.bytecode_removed,
            applied.record,
            applied.state_dir,
            recovered,
            applied.dry_run,
            applied.notes,
        )
    # The verdict at the end is read from the disk, not concluded from what was meant to be written.
    known = {f.analysis.sha256: f.analysis for f in before.files}
    if len(before.asked) == len(fixes):
        known |= {c.rewrite.after.sha256: c.rewrite.after for c in changes}
    after = assess(installation, fixes, options.kernel, known) if changes and not options.dry_run else before
    return _Done(installation, changes, applied, after)
