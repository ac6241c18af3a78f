"""A release of Triton that makes wrong code of a right text: whether it bites, the compiler decides and no edit."""

from __future__ import annotations

from aiterfix.family.paging import PAGING
from aiterfix.faults.base import Finding, Presence
from aiterfix.source.sites import KernelAnalysis


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding in a kernel for a cache in tiles; none in others, and in stubs that nothing is compiled from."""
    roles = PAGING.get(kernel.name)
    if roles is None or not roles.tiled or not kernel.sites:
        return ()
    message = "one release of Triton makes wrong code of it, whatever its text"
    return (Finding("miscompiled", message, kernel.line, kernel.line, Presence.PRESENT),)
