"""Kernels written for tests, and the faults that are looked for in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from aiterfix.errors import AiterfixError
from aiterfix.family.kernels import KernelGroup
from aiterfix.faults.base import Fault
from aiterfix.faults.mend import Mended, mend
from aiterfix.faults.registry import load_faults
from aiterfix.source.roles import KernelRoles
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis

SPEC = KernelRoles("kernel", "Out", ("stride_row", "stride_head"), "width", "test")
KERNELS = (SPEC,)
SHIPPED = load_faults()


def faults_of(*kernels: KernelRoles) -> tuple[Fault, ...]:
    """The package's faults, in kernels of a test."""
    group = KernelGroup(kernels[0].group, kernels, ("sample.kernels",), ())
    return tuple(replace(fault, groups=(group,)) for fault in SHIPPED.judged)


FAULTS = faults_of(SPEC)


class Seen(Enum):
    """What store bounds come to in a text."""

    NO_STORES = "no stores"
    BOUNDED = "bounded"
    UNBOUNDED = "unbounded"
    UNKNOWN = "unknown"


def seen(analysis: SourceAnalysis | KernelAnalysis | None) -> Seen:
    """The worst of every store, as the fault of store bounds has it; what cannot be edited is as unbounded."""
    assert analysis is not None
    if analysis.problems or (isinstance(analysis, SourceAnalysis) and not analysis.understood):
        return Seen.UNKNOWN
    if any(not s.guard.bounded and s.obstacle for s in analysis.sites):
        return Seen.UNKNOWN
    if not analysis.sites:
        return Seen.NO_STORES
    return Seen.BOUNDED if all(s.guard.bounded for s in analysis.sites) else Seen.UNBOUNDED


def bound(text: bytes, faults: Sequence[Fault] = FAULTS, *, filename: str = "<source>") -> Mended:
    """Every store bounded, and nothing else changed.

    Raises:
        SourceNotUnderstoodError, ProofError: see `mend`.
        LeftError: not every store could be bounded.
    """
    return _whole(mend(text, faults, filename=filename, wanted=("column-bound",)), "column-bound", filename)


def widen(text: bytes, faults: Sequence[Fault] = FAULTS, *, filename: str = "<source>") -> Mended:
    """Every row in the pointer in 64 bits, and nothing else changed; errors as `bound`."""
    return _whole(mend(text, faults, filename=filename, wanted=("row-offset-32",)), "row-offset-32", filename)


class LeftError(AiterfixError):
    """What a test wanted out is still there."""


def _whole(mended: Mended, fault: str, filename: str) -> Mended:
    if left := mended.left((fault,)):
        raise LeftError(f"{filename}: {left}", remedy="see the test")
    return mended


IMPORTS = """import triton
import triton.language as tl
from triton.experimental.gluon import language as gl
"""
SIGNATURE = "Out, stride_row, stride_head, width, Data, rows, size: tl.constexpr"


def module(body: str, signature: str = SIGNATURE) -> bytes:
    """A module with one kernel of this body (indented by four blanks here)."""
    indented = "".join(f"    {line}\n" if line else "\n" for line in body.strip("\n").split("\n"))
    return f"{IMPORTS}\n\n@triton.jit\ndef kernel({signature}):\n{indented}".encode()
