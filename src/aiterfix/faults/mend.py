"""Take faults out of a text, one after the other, and prove each step before the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from aiterfix.errors import NotUnderstoodError
from aiterfix.faults.base import Fault, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, diagnosis_of, kernels_of
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.source.sites import SourceAnalysis


class SourceNotUnderstoodError(NotUnderstoodError):
    """The source is seen but must not be edited. Carries the diagnosis."""

    code = "source-not-understood"

    def __init__(self, filename: str, diagnosis: TextDiagnosis) -> None:
        reasons = [
            f"{filename}:{p.line}: {p.kernel + ': ' if p.kernel else ''}{p.message}"
            for p in (diagnosis.analysis.all_problems if diagnosis.analysis is not None else diagnosis.problems)
        ]
        super().__init__(
            f"{filename}: the kernel source is not understood, so nothing is changed",
            why="; ".join(reasons),
            remedy="Keep the padding columns in the caller, and report this file's digest "
            f"(sha256 {diagnosis.sha256[:12]}) to the aiterfix project.",
        )
        self.diagnosis = diagnosis


@record(frozen=True)
class Step:
    """What one fault's mend changed.

    Attributes:
        fault: the fault's id.
        places: kernel and line, in the text as it was before this step, of each place that was changed.
    """

    fault: str
    places: tuple[tuple[str, int], ...]


@record(frozen=True)
class Mended:
    """A proven edit of one file.

    Attributes:
        old: the text that was there.
        new: the text with every fault out that can be taken out; the same object where nothing was to do.
        steps: one a fault that changed something.
        before: diagnosis of the old text.
        after: diagnosis of the new text.
    """

    old: bytes
    new: bytes
    steps: tuple[Step, ...]
    before: TextDiagnosis
    after: TextDiagnosis = field(repr=False)

    def left(self, faults: Sequence[str]) -> str:
        """Why some faults are still there, one reason a place; empty where they are not."""
        found = (
            f"{unit.name}, line {finding.line}: {finding.obstacle or finding.message}"
            for unit in self.after.units
            for diagnosis in unit.diagnoses
            for finding in (diagnosis.findings if diagnosis.fault in faults else ())
            if not finding.presence.harmless
        )
        return "; ".join(found)

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.steps)


def mend(
    text: bytes,
    faults: Sequence[Fault],
    *,
    filename: str = "<source>",
    wanted: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    diagnosis: TextDiagnosis | None = None,
) -> Mended:
    """Take out every fault that can be taken out. What cannot stays as it is, and the diagnosis afterwards says so.

    Args:
        text: the file's bytes.
        faults: every fault to judge by: no mend may make one of them worse.
        filename: for messages.
        wanted: ids of the faults to take out; all by default.
        groups: code paths whose kernels are edited; all by default.
        diagnosis: of exactly this text and these faults, where the caller has it already.

    Raises:
        SourceNotUnderstoodError: the text, or one of its kernels, is not understood.
        ProofError: an edit did not come out as intended.
    """
    from aiterfix.faults.verbs import BY_NAME
    from aiterfix.source.locate import splice
    from aiterfix.source.proof import ProofError
    from aiterfix.source.sites import analyse

    kernels = kernels_of(faults)
    if diagnosis is None or diagnosis.analysis is None:
        diagnosis = diagnosis_of(analyse(text, kernels), faults, text)
    before, analysis = diagnosis, diagnosis.analysis
    assert analysis is not None
    if not _selected(analysis, groups).understood:
        raise SourceNotUnderstoodError(filename, before)
    steps = []
    # Steps are compared by what each text says alone: what others refuse is no property of it.
    refused = any(d.presence is Presence.REFUSED for u in before.units for d in u.diagnoses)
    new, now = text, diagnosis_of(analysis, faults, text) if refused else before
    for fault in faults:
        if wanted is not None and fault.id not in wanted:
            continue
        verb = BY_NAME[fault.verb]
        # A fault of one kind may be in kernels that another fault of that kind is about.
        own = [g.name for g in fault.groups if groups is None or g.name in groups]
        edits, edited = verb.edits(new, _selected(analysis, own), filename)
        if not edits:
            continue
        new = splice(new, edits)
        previous, analysis = analysis, analyse(new, kernels)
        verb.prove(previous, analysis, edited, filename)
        if verb.edits(new, _selected(analysis, own), filename)[0]:
            raise ProofError(filename, f"a second run would change it again ({fault.id})")
        then, now = now, diagnosis_of(analysis, faults, new)
        _not_worse(then, now, filename)
        steps.append(Step(fault.id, tuple((s.kernel, s.line) for s in edited)))
    return Mended(text, new, tuple(steps), before, now)


def _selected(analysis: SourceAnalysis, groups: Sequence[str] | None) -> SourceAnalysis:
    if groups is None or all(k.group in groups for k in analysis.kernels):
        return analysis
    return replace(analysis, kernels=tuple(k for k in analysis.kernels if k.group in groups))


def _not_worse(before: TextDiagnosis, after: TextDiagnosis, filename: str) -> None:
    """No fault may be more present in a unit than it was.

    Raises:
        ProofError: one is.
    """
    from aiterfix.source.proof import ProofError

    if after.problems or [u.name for u in before.units] != [u.name for u in after.units]:
        raise ProofError(filename, "the kernels are not those of the original")
    order = tuple(Presence)
    for old, new in zip(before.units, after.units, strict=True):
        for was, is_now in zip(old.diagnoses, new.diagnoses, strict=True):
            if order.index(is_now.presence) > order.index(was.presence):
                raise ProofError(filename, f"{is_now.fault} is {is_now.presence.value} in {new.name} after the edit")
