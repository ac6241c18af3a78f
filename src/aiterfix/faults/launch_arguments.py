"""A wrapper that hands a kernel other arguments than it has parameters: no launch of it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiterfix.faults.base import Finding

if TYPE_CHECKING:
    from aiterfix.source.locate import Edit
    from aiterfix.source.rebuilt import EditedPlace
    from aiterfix.source.sites import KernelAnalysis, SourceAnalysis

ABOUT = "arguments"
"""Code of a finding about a launch."""


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """None: a kernel's text alone has no such fault. `aiterfix.judge.refusals` compares it with what launches it."""
    return ()


def edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[EditedPlace]]:
    """None: Triton refuses such a launch itself, and which of the two texts is meant is not ours to say."""
    return [], []


def prove(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str) -> None:
    """Nothing is edited."""
