"""The first stride of whatever output is given, taken for the row's."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.family.entries import ONE_STRIDE, ROW_STRIDE
from aiterfix.faults.base import Finding
from aiterfix.faults.refusals import prove_refusals, refusing_edits
from aiterfix.source.locate import Edit
from aiterfix.source.rebuilt import EditedPlace
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """None: a kernel is right with the stride that it is told. `aiterfix.judge.refusals` looks at who tells it."""
    return ()


def edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[EditedPlace]]:
    """Entries refuse an output with more axes than rows and columns."""
    return refusing_edits(text, analysis, filename, ONE_STRIDE, ROW_STRIDE)


def prove(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str) -> None:
    """Every edited entry refuses, and nothing else differs.

    Raises:
        ProofError: that is not so.
    """
    prove_refusals(before, after, edited, filename, ONE_STRIDE, ROW_STRIDE)
