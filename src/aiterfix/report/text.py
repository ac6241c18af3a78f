"""Reports for people: the answer first, in a few lines; what it rests on with ``-v``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiterfix.engines import Found
from aiterfix.faults.base import Presence
from aiterfix.installation import Installation
from aiterfix.judge.judgement import JudgedText, Judgement
from aiterfix.judge.verdict import Verdict
from aiterfix.judge.whole import Whole
from aiterfix.patching.installed import evidence_in, patch_status
from aiterfix.report.advice import fault_line, meaning, next_step, not_asked, not_judged, patch_line
from aiterfix.report.page import Coloured, Page, Row
from aiterfix.report.provenance import Provenance, provenance
from aiterfix.report.terminal import colour, table
from aiterfix.report.types.common import Located

if TYPE_CHECKING:
    from aiterfix.validation.evidence import Evidence

_COLOURS = {
    Verdict.CLEAN: "32",
    Verdict.AFFECTED: "31;1",
    Verdict.UNKNOWN: "33;1",
    Verdict.NOT_INSTALLED: "33",
}
_PRESENCES = {Presence.ABSENT: "32", Presence.REFUSED: "32", Presence.PRESENT: "31;1", Presence.UNKNOWN: "33;1"}


def shown(verdict: Verdict) -> Coloured:
    """A verdict, coloured on a terminal."""
    return colour(verdict.value, _COLOURS[verdict])


def heading(installation: Installation | Located) -> str:
    """One line on what and where an installation is."""
    name = installation.distribution or "aiter"
    version = installation.version or "(version not known)"
    details = [installation.kind.value]
    if installation.commit:
        details.append(f"commit {installation.commit[:12]}")
    if installation.shadowed:
        details.append("shadowed: import takes another one")
    return f"{name} {version}, {', '.join(details)}: {installation.package}"


def check_text(
    whole: Whole,
    arguments: str,
    engines: Sequence[Found] = (),
    *,
    advise: bool = True,
    verbose: bool = False,
) -> Page:
    """The report of `aiterfix check`.

    Args:
        whole: the judgement.
        arguments: how the installation was named, to repeat in advice.
        engines: those found, where they are not judged.
        advise: whether to end with what to do next; not where a verdict on a pair follows, which has its own.
        verbose: whether to show every kernel, and every finding in it.
    """
    lines: list[Row] = []
    for disk, running in zip(whole.on_disk, whole.running, strict=True):
        lines += _installation(disk, arguments, verbose=verbose)
        if running is not disk:
            lines.append(
                ("  on disk ", shown(disk.verdict), f"; the hook mends it in every process ({whole.hook.way})")
            )
    if not whole.on_disk:
        lines.append("no aiter found" + ("" if not whole.discovery.doubts else ", but see below"))
        lines += [f"  searched {p}" for p in whole.discovery.searched]
    for skipped in whole.discovery.skipped:
        lines.append(f"{'could not be read' if skipped.doubt else 'passed over'}: {skipped.path}: {skipped.reason}")
    lines += [
        f"{f.name} {f.version or '(version not known)'}: {f.package} (judge the pair: --for {f.name})" for f in engines
    ]
    asked = [a for a in whole.answers() if a.asked]
    wide = max((len(a.fault.id) for a in asked), default=0)
    lines += [
        (f"  {a.fault.id:<{wide}}  ", colour(f"{a.presence.value:<7}", _PRESENCES[a.presence]), f"  {fault_line(a)}")
        for a in asked
    ]
    said = meaning(whole)
    lines.append(("verdict: ", shown(whole.verdict), f": {said}" if said else ""))
    lines += [f"         {line}" for line in (not_asked(whole), not_judged(whole), _siblings(whole)) if line]
    if advise:
        lines.append(f"next:    {next_step(whole, arguments)}")
    return Page(lines)


def _siblings(whole: Whole) -> str:
    """Kernels beside the family, which nobody judges."""
    kinds = dict.fromkeys(what for j in whole.live for _, what in j.siblings)
    return f"kernels not judged: {'; '.join(kinds)}" if kinds else ""


def _installation(judgement: Judgement, arguments: str, *, verbose: bool) -> list[str]:
    assert judgement.installation is not None
    lines = [heading(judgement.installation)]
    patched = patch_line(patch_status(judgement.installation), arguments)
    if patched:
        lines.append(f"  {patched}")
    for group, prebuilt in judgement.prebuilt:
        use = "IN USE instead of the source" if prebuilt.enabled else "not in use"
        lines.append(
            f"  {prebuilt.code_objects} prebuilt code objects for the {group} kernels in {prebuilt.directory}, {use} "
            f"({prebuilt.variable}{'=' + prebuilt.value if prebuilt.value is not None else ' is unset'})"
        )
    lines += [f"  in doubt: {doubt}" for doubt in judgement.doubts]
    origins = provenance(judgement)
    for text in judgement.texts:
        origin = origins.get(text.path) if text.path is not None else None
        lines += _problems(text, judgement, origin, verbose=verbose)
        if verbose:
            lines += _table(text, evidence_in(judgement.installation))
    if verbose:
        lines += [f"  {path}  not judged: {what}" for path, what in judgement.siblings]
    return lines


_FEW = 3


def _problems(text: JudgedText, judgement: Judgement, origin: Provenance | None, *, verbose: bool) -> list[str]:
    """What has to be said of a file whoever asks: that it is not understood, or not what the version says."""
    seen = {(p.line, p.message): None for p in text.diagnosis.problems}
    for unit in text.diagnosis.units:
        for diagnosis in unit.diagnoses if judgement.question.covers(unit) else ():
            if diagnosis.fault in judgement.question.faults:
                found = (f for f in diagnosis.findings if f.presence is Presence.UNKNOWN)
                seen |= {(f.line, f"{unit.name}: {f.message}"): None for f in found}
    lines = [f"  {text.relative}:{line}: {message}" for line, message in seen]
    if len(lines) > _FEW and not verbose:
        lines[_FEW:] = [f"  … and {len(lines) - _FEW} more places (-v)"]
    if origin is not None and origin.note:
        lines.append(f"  {text.relative}: {origin.note}")
    elif origin is not None and judgement.installation is not None and judgement.installation.version is None:
        lines.append(f"  {text.relative}: the same file as in {_span(origin.releases)}")
    return lines


def _table(text: JudgedText, noted: str) -> list[str]:
    """Every finding of a file, those that matter first, below what runs of it have shown."""
    from aiterfix.validation.evidence import evidence_of

    lines = [f"  {text.relative}  sha256 {text.sha256[:12]}"]
    lines += [
        f"    {_outcome(e)} on {e.device}, Triton {e.triton}, {e.date}" for e in evidence_of(text.sha256, noted=noted)
    ]
    rows = [("line", "fault", "presence", "kernel", "what")]
    found = [(u.name, d.fault, f) for u in text.diagnosis.units for d in u.diagnoses for f in d.findings]
    for name, fault, finding in sorted(found, key=lambda row: (row[2].presence.harmless, row[2].line)):
        guard = dict(finding.details).get("guard")
        what = f"{finding.message} (guard {guard})" if guard else finding.message
        notes = [value for key, value in finding.details if key == "note"]
        notes += [f"cannot be edited: {finding.obstacle}"] if finding.obstacle else []
        rows.append((str(finding.line), fault, finding.presence.value, name, "; ".join([what, *notes])))
    return [*lines, *(f"    {row}" for row in table(rows))] if len(rows) > 1 else lines


def _outcome(run: Evidence) -> str:
    """What a run came to. A scenario that a known fault fails is no failure of the run, and is not called a pass."""
    there = ", ".join(fault for fault, said in run.faults if said in ("failed", "no code"))
    if run.failed:
        return f"failed: {run.failed} of {run.scenarios} {run.suite} scenarios"
    return f"passed: {run.scenarios} {run.suite} scenarios" + (f", but for those of {there}," if there else "")


def _span(releases: Sequence[str]) -> str:
    """Releases in a few words. Tags below a folder (archive/…) are named only where there is nothing else."""
    named = [r for r in releases if "/" not in r] or list(releases)
    return named[0] if len(named) == 1 else f"{named[0]} to {named[-1]}"
