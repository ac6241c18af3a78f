"""What `aiterfix check` shows, as the types that its JSON is made of. Text and SARIF show the same objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aiterfix.faults.base import NO_SIZE, Finding, Presence
from aiterfix.faults.diagnosis import Unit
from aiterfix.installation.target import Skipped
from aiterfix.judge.judgement import FaultAnswer, JudgedText, Judgement
from aiterfix.judge.shown import mend_shown, mended_texts, shown_as_it_is
from aiterfix.judge.whole import Whole
from aiterfix.patching.installed import evidence_in, patch_status
from aiterfix.patching.status import PatchState
from aiterfix.report.advice import ignored
from aiterfix.report.provenance import Provenance, digest, provenance, sibling_facts
from aiterfix.report.steps import Steps
from aiterfix.report.types import check as types
from aiterfix.report.types.common import located
from aiterfix.validation.evidence import Evidence, Shown, evidence_of

if TYPE_CHECKING:
    from aiterfix.engines import Found


_REFUSING = frozenset({"take-chunk", "take-row-stride"})
_WITHOUT_MEND = frozenset({"change-compiler", "fit-instruction", "match-parameters"})
"""Verbs whose mend is not an edit of what goes wrong; `page-by-block` is either, by the kernel."""


def check_report(whole: Whole, engines: Sequence[Found], steps: Steps) -> types.CheckReport:
    """The body of ``aiterfix check --json``, but for verdicts on pairs.

    Args:
        engines: those installed beside.
    """
    live = [j for j in whole.on_disk if j.installation is not None and not j.installation.shadowed]
    known = next(iter(whole.on_disk), None)
    return types.CheckReport(
        verdict=whole.verdict,
        asked=tuple(sorted(known.question.faults)) if known is not None else (),
        faults=tuple(
            _fault(a, whole, steps.apply(None if a.asked else f" --fault {a.fault.id}")) for a in whole.answers()
        ),
        ignored=_ignored(whole),
        not_judged=tuple(types.KnownFault(f.id, f.title) for f in known.known.not_judged) if known is not None else (),
        not_judged_kernels=tuple(
            types.OtherKernel(_absolute(j, path), what) for j in live for path, what in j.siblings
        ),
        facts=sibling_facts(whole),
        installations=tuple(
            _installation(disk, running, by_hook=whole.hook.active)
            for disk, running in zip(whole.on_disk, whole.running, strict=True)
        ),
        hook=types.HookState(whole.hook.active, whole.running != whole.on_disk, whole.hook.way, whole.hook.detail),
        engines=tuple(types.EngineReport(e.name, e.version, e.package) for e in engines),
        searched=tuple(whole.discovery.searched),
        skipped=tuple(whole.discovery.skipped),
    )


def _ignored(whole: Whole) -> tuple[types.IgnoredReport, ...]:
    there = {a.fault.id: a.presence for a in whole.answers()}
    return tuple(
        types.IgnoredReport(i.fault, i.reason, i.by, there[i.fault], not i.asked or there[i.fault].harmless)
        for i in ignored(whole)
    )


def _absolute(judgement: Judgement, relative: str) -> Path:
    assert judgement.installation is not None
    return judgement.installation.root / relative


def _fault(answer: FaultAnswer, whole: Whole, remedy: str) -> types.FaultReport:
    fault = answer.fault
    return types.FaultReport(
        fault.id,
        fault.title,
        fault.consequence,
        answer.asked,
        answer.presence,
        fault.trigger.sentence,
        answer.reach,
        answer.deciding_facts,
        _mend(answer, whole, remedy),
    )


def _mend(answer: FaultAnswer, whole: Whole, remedy: str) -> types.MendReport:
    fault = answer.fault.id
    kind = _kind(answer, whole)
    if answer.presence.harmless:
        return types.MendReport(kind, available=False, shown=_taken_out(fault, whole), remedy="")
    if answer.presence is Presence.UNKNOWN:
        return types.MendReport("none", available=False, shown="not shown", remedy="the source is not understood")
    said = _offered(fault, whole)
    if answer.obstacle:
        left: Shown = "failed" if said == "failed" else "not shown"
        return types.MendReport("none", available=False, shown=left, remedy=answer.obstacle)
    return types.MendReport(kind, available=True, shown=said, remedy=remedy)


def _kind(answer: FaultAnswer, whole: Whole) -> Literal["edit", "refusal", "none"]:
    """What takes a fault out, or took it out."""
    fault = answer.fault
    if fault.verb in _WITHOUT_MEND:
        return "none"
    if fault.verb in _REFUSING or answer.presence is Presence.REFUSED:
        return "refusal"
    findings = [
        f
        for j in whole.live
        for _, u in j.units
        for d in u.diagnoses
        for f in d.findings
        if d.fault == fault.id and f.presence is Presence.PRESENT
    ]
    return "refusal" if findings and all(f.code == NO_SIZE for f in findings) else "edit"


def _offered(fault: str, whole: Whole) -> Shown:
    """Whether recorded runs have shown the mend of a fault that is there, in every text that it is made in."""
    return _joined(
        [
            mend_shown(fault, t.sha256, j.question.faults, evidence_in(j.installation))
            for j in whole.live
            for t in mended_texts(j, fault, Presence.PRESENT)
        ]
    )


def _taken_out(fault: str, whole: Whole) -> Shown:
    """Whether recorded runs have shown a mend that is in the texts that are there, in every one that has it. That a
    wrapper refuses is shown by no run of its kernels, but where it was called."""
    said: list[Shown | None] = []
    for judgement in whole.live:
        noted = evidence_in(judgement.installation)
        for text in judgement.texts:
            here = {d.presence for u in text.diagnosis.units for d in u.diagnoses if d.fault == fault}
            if here - {Presence.REFUSED}:
                said.append(shown_as_it_is(fault, text.sha256, noted))
        for text in mended_texts(judgement, fault, Presence.REFUSED):
            said.append(shown_as_it_is(fault, text.sha256, noted))
    return _joined([word for word in said if word is not None])


def _joined(words: Sequence[Shown]) -> Shown:
    if "failed" in words:
        return "failed"
    return "shown" if words and set(words) == {"shown"} else "not shown"


def _installation(disk: Judgement, running: Judgement, *, by_hook: bool) -> types.InstallationReport:
    assert disk.installation is not None
    origins = provenance(disk)
    return types.InstallationReport(
        **located(disk.installation),
        verdict=running.verdict,
        runs=types.RunsReport(disk.verdict, running.verdict, "hook" if by_hook and running is not disk else "disk"),
        patch=_patch(disk),
        prebuilt=tuple(
            types.PrebuiltReport(
                tuple(f.id for f in disk.known.judged if any(g.name == group for g in f.groups)),
                p.directory,
                p.code_objects,
                p.variable,
                p.value,
                p.enabled,
            )
            for group, p in disk.prebuilt
        ),
        unreadable=tuple(Skipped(Path(d.where), str(d), True) for d in disk.doubts),
        faults=tuple(types.FaultPresence(a.fault.id, a.presence) for a in disk.answers()),
        files=tuple(_file(t, origins, evidence_in(disk.installation)) for t in disk.texts),
    )


def _patch(judgement: Judgement) -> types.PatchReport:
    patch = patch_status(judgement.installation) if judgement.installation is not None else None
    if patch is None:
        return types.PatchReport(PatchState.NONE, "", None, ())
    files = tuple(types.PatchedFileReport(f.path, f.content) for f in patch.files)
    return types.PatchReport(patch.kind, patch.detail, patch.version, files)


def _file(text: JudgedText, origins: dict[Path, Provenance], noted: str) -> types.FileReport:
    assert text.path is not None
    origin = origins.get(text.path)
    return types.FileReport(
        text.path,
        digest(text),
        origin.releases if origin is not None else None,
        origin.note if origin is not None else "",
        tuple(types.ProblemReport(p.code, p.message, p.line, p.kernel) for p in text.diagnosis.problems),
        tuple(_evidence(e) for e in evidence_of(text.sha256, noted=noted)),
        tuple(_unit(u) for u in text.diagnosis.units),
    )


def _evidence(run: Evidence) -> types.EvidenceReport:
    of_faults = tuple(types.EvidenceOfFault(*said) for said in run.faults)
    ran = (run.mends, run.triton, run.device, run.suite, run.scenarios, run.failed, run.outcome)
    return types.EvidenceReport(*ran, of_faults, run.date, run.fp_fusion)


def _unit(unit: Unit) -> types.UnitReport:
    return types.UnitReport(
        unit.name,
        unit.line,
        "kernel",
        unit.group,
        tuple(types.FaultPresence(d.fault, d.presence) for d in unit.diagnoses),
        tuple(
            types.FindingReport(d.fault, f.line, f.end_line, f.presence, f.code, _message(f), dict(f.details))
            for d in unit.diagnoses
            for f in d.findings
        ),
    )


def _message(finding: Finding) -> str:
    return f"{finding.message}; it cannot be edited: {finding.obstacle}" if finding.obstacle else finding.message
