"""From a text to what is wrong in it: every judged fault in every unit, with findings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from aiterfix.faults.base import Diagnosis, Fault, Finding, Presence, worst
from aiterfix.source.roles import KernelRoles
from aiterfix.storage.record import record

# A process that has recorded diagnoses only does not pay for the analysis.
if TYPE_CHECKING:
    from aiterfix.source.sites import KernelAnalysis, SourceAnalysis
    from aiterfix.source.walk import Problem


@record(frozen=True)
class Unit:
    """A kernel, and what is wrong in it.

    Attributes:
        name: the function's.
        group: its code path.
        line: 1-based line of the definition.
        diagnoses: one a fault that can be in it.
        stores: how many stores to the output it has; none in stubs, which prebuilt code objects are launched through.
    """

    name: str
    group: str
    line: int
    diagnoses: tuple[Diagnosis, ...]
    stores: int

    def presence(self, faults: Collection[str]) -> Presence:
        """Judgement over some faults."""
        return worst(d.presence for d in self.diagnoses if d.fault in faults)


@record(frozen=True)
class TextDiagnosis:
    """What is wrong in one file's text.

    Attributes:
        sha256: hexadecimal digest of the text.
        units: the kernels defined in it, in source order.
        problems: what keeps the file as a whole from being understood.
        analysis: what this was judged on, for edits; None for facts read from a record.
    """

    sha256: str
    units: tuple[Unit, ...]
    problems: tuple[Problem, ...]
    analysis: SourceAnalysis | None = field(repr=False, compare=False, default=None)

    def presence(self, faults: Collection[str], groups: Collection[str] | None = None) -> Presence:
        """Judgement over some faults, in the kernels of some code paths (all by default)."""
        if self.problems:
            return Presence.UNKNOWN
        return worst(u.presence(faults) for u in self.units if groups is None or u.group in groups)


def kernels_of(faults: Sequence[Fault]) -> tuple[KernelRoles, ...]:
    """Every kernel that one of the faults can be in, once."""
    return tuple(dict.fromkeys(k for f in faults for g in f.groups for k in g.kernels))


def diagnose(text: bytes, faults: Sequence[Fault]) -> TextDiagnosis:
    """Look for every fault in every kernel that can have it.

    Never raises on bad input: what is not understood is a problem, and unknown.

    Args:
        text: the file's bytes.
        faults: what to look for.
    """
    from aiterfix.source.sites import analyse

    return diagnosis_of(analyse(text, kernels_of(faults)), faults, text)


def diagnosis_of(analysis: SourceAnalysis, faults: Sequence[Fault], text: bytes) -> TextDiagnosis:
    """The same for a text that is analysed already."""
    units = tuple(_unit(kernel, faults, text) for kernel in analysis.kernels)
    return TextDiagnosis(analysis.sha256, units, analysis.problems, analysis)


def _unit(kernel: KernelAnalysis, faults: Sequence[Fault], text: bytes) -> Unit:
    from aiterfix.faults.verbs import BY_NAME

    unknown = tuple(
        Finding(p.code, p.message, p.line, p.line, Presence.UNKNOWN, "it is not understood") for p in kernel.problems
    )
    diagnoses = []
    for fault in faults:
        if any(kernel.group == g.name for g in fault.groups):
            seen = sorted((*unknown, *BY_NAME[fault.verb].findings(kernel, text)), key=lambda f: f.line)
            diagnoses.append(Diagnosis(fault.id, tuple(seen)))
    return Unit(kernel.name, kernel.group, kernel.line, tuple(diagnoses), len(kernel.sites))
