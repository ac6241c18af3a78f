"""``aiterfix apply``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from aiterfix._version import __version__
from aiterfix.cli import output
from aiterfix.cli.arguments import named
from aiterfix.cli.target import (
    add_question,
    add_target,
    discover,
    judge,
    known_faults,
    refuse_archives,
    repeat_target,
    require_found,
    targets_of,
)
from aiterfix.errors import ExitCode, UsageError
from aiterfix.faults.registry import Faults
from aiterfix.installation.forms import Form
from aiterfix.installation.given_path import find_path
from aiterfix.installation.target import Installation
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.patching.annotations import make_notes
from aiterfix.patching.disk import apply as write_changes
from aiterfix.patching.disk import recover as recover_tree
from aiterfix.patching.failures import ChangedMeanwhileError
from aiterfix.patching.installed import evidence_in, package_tree
from aiterfix.patching.mends import Change, mends
from aiterfix.patching.outcome import Applied
from aiterfix.patching.tree import FileChange
from aiterfix.report.advice import meaning, not_asked, not_judged
from aiterfix.report.page import Page, Row
from aiterfix.report.steps import dockerfile_line
from aiterfix.report.text import heading, shown
from aiterfix.report.types.apply import AppliedReport, ApplyReport, EditedFile, EditedPlace, FaultEdits
from aiterfix.report.types.common import located
from aiterfix.validation.evidence import Shown, evidence_of, lines_of
from aiterfix.validation.evidence import shown as shown_by

_ATTEMPTS = 5
"""How often an installation is read again where another process changes it between reading and writing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_target(parser)
    add_question(parser)
    parser.add_argument(
        "--output",
        type=named,
        metavar="FILE",
        help="for a wheel: where the mended one goes, a folder or a file of its name (default: beside it, with "
        "+aiterfix behind its version)",
    )
    parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
    parser.add_argument(
        "--require",
        action="store_true",
        help="for container builds: fail unless every aiter found ends proven clean of the faults asked about",
    )


def execute(options: argparse.Namespace) -> int:
    """Take the faults asked about out of every installation that import would take."""
    known = known_faults(options)
    refuse_archives(options, Form.IMAGE, remedy=f"Build the image anew with, in its Dockerfile: {dockerfile_line()}")
    wheel = _wheel(options)
    discovery = discover(options)
    require_found(discovery, discovery.installations)
    ours = [i for i in discovery.installations if not i.shadowed]
    others = [i for i in discovery.installations if i.shadowed]
    done = []
    for installation in ours:
        one = _apply(installation, known, options) if wheel is None else _mend(wheel, installation, known, options)
        done.append(one)
        if one.changes and not options.dry_run:
            what = f"patched in {installation.package}" if one.written is None else f"exchanged, in {one.written}"
            output.did(f"{len(one.changes)} files were {what}")
    final = tuple(d.after for d in done) + tuple(judge(i, known, options) for i in others)
    whole = Whole(discovery, final, final)
    status = _status(whole, options)
    if options.json:
        output.write_report(ApplyReport(whole.verdict, options.dry_run, tuple(d.report() for d in done)))
    else:
        for one in done:
            output.write(_text(one, repeat_target(options), whole))
        for installation in others:
            output.write(Page([heading(installation), "  left alone"]))
        for doubt in discovery.doubts:
            output.note(f"could not be read: {doubt.path}: {doubt.reason}")
        if status is not ExitCode.OK and options.require:
            output.note(f"--require: not every aiter found is proven clean: {meaning(whole)}")
    return status


def _status(whole: Whole, options: argparse.Namespace) -> ExitCode:
    if options.dry_run:
        return ExitCode.OK
    if options.require:
        return whole.verdict.exit_code
    # What was understood is patched; what source cannot vouch for is in the report, and is `--require`'s to refuse.
    left = [j.source_verdict for j in whole.live if j.source_verdict is not Verdict.CLEAN]
    return left[0].exit_code if left else ExitCode.OK


@dataclass(frozen=True)
class _Done:
    """What was done to one installation."""

    installation: Installation
    changes: tuple[Change, ...]
    applied: Applied
    after: Judgement
    written: Path | None = None
    """A wheel."""

    def report(self) -> AppliedReport:
        """For ``--json``."""
        return AppliedReport(
            **located(self.after.installation or self.installation),
            verdict=self.after.verdict,
            changed=bool(self.changes),
            recovered=self.applied.recovered,
            notes=self.applied.notes,
            files=tuple(_edited(c) for c in self.changes),
        )


def _edited(change: Change) -> EditedFile:
    assert change.file.path is not None
    return EditedFile(
        change.file.path,
        change.mended.before.sha256,
        change.mended.after.sha256,
        tuple(
            FaultEdits(
                step.fault,
                tuple(EditedPlace(kernel, line) for kernel, line in step.places),
                _shown(change, step.fault),
            )
            for step in change.mended.steps
        ),
    )


def _shown(change: Change, fault: str) -> Shown:
    """Whether runs of exactly the texts before and after have shown the mend."""
    before, after = change.mended.before.sha256, change.mended.after.sha256
    return shown_by(fault, evidence_of(after), evidence_of(before))


def _evidence(texts: Iterable[str], changes: Iterable[Change], noted: str) -> str:
    """What runs have shown of these texts, and of what is written in their place: it goes where the package goes.

    Args:
        texts: digests.
        noted: what the package has along already.
    """
    digests = dict.fromkeys((*texts, *(c.mended.after.sha256 for c in changes)))
    return lines_of(e for digest in digests for e in evidence_of(digest, noted=noted))


def _text(done: _Done, arguments: str, whole: Whole) -> Page:
    """For people: what was changed, and how to see and undo it."""
    lines: list[Row] = [heading(done.installation)]
    if done.applied.recovered is not None:
        lines.append(f"  an interrupted earlier run was {done.applied.recovered.value} first")
    for change in done.changes:
        verb = "would mend" if done.applied.dry_run else "mended"
        what = ", ".join(f"{s.fault} in {_count(len(s.places))}" for s in change.mended.steps)
        lines.append(f"  {change.file.relative}: {verb} {what}")
        lines += [
            f"    {word} by recorded runs: {', '.join(ids)}"
            for word in ("shown", "not shown", "failed")
            if (ids := [s.fault for s in change.mended.steps if _shown(change, s.fault) == word])
        ]
        lines.append(f"    sha256 {change.mended.before.sha256[:12]} -> {change.mended.after.sha256[:12]}")
    lines += [f"  note: {n}" for n in done.applied.notes]
    one = Whole(whole.discovery, (done.after,), (done.after,))
    left_over = [a for a in one.answers() if a.asked and not a.presence.harmless]
    if not done.changes:
        lines.append(f"  nothing {'could be mended' if left_over else 'to do'}: {meaning(one)}")
    elif done.applied.dry_run:
        lines.append(f"  nothing was written; see the change with: aiterfix diff{arguments}")
    else:
        lines.append(("  verdict now: ", shown(done.after.verdict), f": {meaning(one)}"))
        if done.written is not None:
            lines.append(f"  written:     {done.written}; the wheel that it was made from is as it was")
            lines.append(f"  see it with: aiterfix check --path {shlex.quote(str(done.written))}")
    if done.changes and not done.applied.dry_run and done.written is None:
        lines.append(f"  originals:   {done.applied.state_dir}")
        lines.append(f"  see it with: aiterfix check{arguments}")
        lines.append(f"  undo it with: aiterfix revert{arguments}")
    if not done.applied.dry_run or not done.changes:
        lines += [f"  {a.fault.id} cannot be mended here: {a.obstacle}" for a in left_over if a.obstacle]
    lines += [f"  {said}" for said in (not_asked(one), not_judged(one)) if said]
    return Page(lines)


def _count(places: int) -> str:
    return f"{places} place{'' if places == 1 else 's'}"


def _wheel(options: argparse.Namespace) -> Path | None:
    """The wheel that is to be mended, if one is named: it is the only target then."""
    targets = targets_of(options)
    wheels = [t.root or t.path for t in targets if t.form is Form.WHEEL]
    if not wheels:
        if options.output is not None:
            raise UsageError("--output is for a wheel: an installation is patched where it is", remedy="Drop it.")
        return None
    if len(targets) > 1:
        raise UsageError("a wheel is mended by itself", remedy="Run apply once for each target.")
    return wheels[0]


def _mend(wheel: Path, installation: Installation, known: Faults, options: argparse.Namespace) -> _Done:
    """Write a mended wheel; the verdict at the end is read from it."""
    from aiterfix.patching.wheels import output_of, write_wheel

    source = wheel.absolute()
    before = judge(installation, known, options)
    changes = mends(before)
    if not changes:
        said = "no wheel was written: this one may be installed as it is"
        applied = Applied(dry_run=options.dry_run, notes=(said,) if options.output is not None else ())
        return _Done(installation, changes, applied, before)
    place = output_of(source, None if options.output is None else options.output.absolute())
    if options.dry_run:
        return _Done(installation, changes, Applied(dry_run=True), before)
    new = {c.file.path.relative_to(source).as_posix(): (c.mended.old, c.mended.new) for c in changes if c.file.path}
    written = write_wheel(source, place, new)
    (mended,) = find_path(written.path).installations  # the same files but for those that were exchanged
    after = judge(mended, known, options, {c.mended.after.sha256: c.mended.after for c in changes})
    return _Done(installation, changes, Applied(notes=written.notes), after, written.path)


def _apply(installation: Installation, known: Faults, options: argparse.Namespace) -> _Done:
    tree = package_tree(installation)
    recovered = None if options.dry_run else recover_tree(tree)
    for left in reversed(range(_ATTEMPTS)):
        before = judge(installation, known, options)
        changes = mends(before)
        evidence = _evidence((t.sha256 for t in before.texts), changes, evidence_in(installation))
        # What was read and stays is part of the plan: another aiterfix may have given an original back meanwhile.
        new = {c.file.path: c.mended.new for c in changes}
        try:
            applied = write_changes(
                tree,
                [
                    FileChange(t.path, t.text, new.get(t.path, t.text))
                    for t in {t.path: t for t in (*before.launchers, *before.texts)}.values()
                    if t.path is not None
                    and t.text
                    and (t.diagnosis.units or not t.diagnosis.problems or t.path in new)
                ],
                annotations=make_notes(__version__, before.question.faults, evidence),
                dry_run=options.dry_run,
            )
            break
        except ChangedMeanwhileError:
            if not left:
                raise
    if recovered is not None and applied.recovered is None:
        applied = replace(applied, recovered=recovered)
    # The verdict at the end is read from the disk, not concluded from what was meant to be written.
    diagnosed = {t.sha256: t.diagnosis for t in before.texts}
    diagnosed |= {c.mended.after.sha256: c.mended.after for c in changes}
    after = judge(installation, known, options, diagnosed) if changes and not options.dry_run else before
    return _Done(installation, changes, applied, after)
