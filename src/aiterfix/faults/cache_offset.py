"""The KV block's place in the cache, computed in 32 bits: in a product of 32-bit numbers, or in a load's offsets."""

from __future__ import annotations

from aiterfix.family.kernels import ARCHITECTURES, BLOCK_SIZES, CHUNK_K, CONSTANTS
from aiterfix.faults.base import Finding, Presence
from aiterfix.source.gather_edits import GatherSite, plan_gather_edits
from aiterfix.source.gathers import Gather
from aiterfix.source.locate import Edit
from aiterfix.source.magnitudes import Fits
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis

_PRESENCE = {Fits.YES: Presence.ABSENT, Fits.UNKNOWN: Presence.UNKNOWN, Fits.NO: Presence.PRESENT}
_CODES = {Presence.ABSENT: "wide-block", Presence.UNKNOWN: "block-width", Presence.PRESENT: "narrow-block"}


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a load from the cache, and one a use of its address that is not followed."""
    gathers = kernel.gathers
    if gathers is None:
        return ()
    blocks = _block_sizes(kernel)
    wanted = _narrow(kernel)
    left = {s.ordinal: reason for s, reason in plan_gather_edits(text, [(kernel, wanted)]).left} if wanted else {}
    found = [
        _finding(g, blocks[i], left.get(i, "it is not understood" if g.fits is Fits.UNKNOWN else ""))
        for i, g in enumerate(gathers.loads)
    ]
    found += [
        Finding("block-width", u.message, u.line, u.line, Presence.UNKNOWN, "it is not understood")
        for u in gathers.unfollowed
    ]
    return tuple(sorted(found, key=lambda f: f.line))


def _finding(gather: Gather, blocks: tuple[int, ...] | None, obstacle: str) -> Finding:
    details: tuple[tuple[str, str], ...] = (("cache", gather.cache), ("call", gather.kind))
    if blocks is None:
        others = f"it is compiled for neither {' nor '.join(ARCHITECTURES)}, and not judged for others"
        return Finding("other-architecture", others, gather.line, gather.end_line, Presence.ABSENT, "", details)
    presence = _PRESENCE[gather.fits]
    if gather.fits is Fits.YES:
        message = "the block's place is in the pointer, in 64 bits"
    elif gather.fits is Fits.UNKNOWN:
        message = "how wide the block's place is cannot be told"
    elif gather.in_offsets:
        message = "the block's place is in the load's offsets, which have 32 bits"
    else:
        message = "the block's place is computed in 32 bits"
    sizes = "any" if blocks == BLOCK_SIZES else ", ".join(map(str, blocks)) or "others"
    where = f"{gather.cache}: {message}"
    details = (*details, ("block-sizes", sizes))
    return Finding(_CODES[presence], where, gather.line, gather.end_line, presence, obstacle, details)


def _block_sizes(kernel: KernelAnalysis) -> list[tuple[int, ...] | None]:
    """Per load, the usual block sizes for which it is compiled; None where no architecture that is judged has it."""
    assert kernel.gathers is not None
    block_size, chunk, architecture = CONSTANTS
    found: list[tuple[int, ...] | None] = []
    for gather in kernel.gathers.loads:
        there = [a for a in ARCHITECTURES if gather.statement in kernel.compiled({architecture: a})]
        sizes = tuple(
            size
            for size in BLOCK_SIZES
            if any(
                gather.statement in kernel.compiled({block_size: size, chunk: CHUNK_K, architecture: a}) for a in there
            )
        )
        found.append(sizes if there else None)
    return found


def _narrow(kernel: KernelAnalysis) -> list[int]:
    """The loads of a kernel that do not reach every block, and that an architecture which is judged may run."""
    if kernel.gathers is None or all(g.fits is not Fits.NO for g in kernel.gathers.loads):
        return []
    blocks = _block_sizes(kernel)
    return [i for i, g in enumerate(kernel.gathers.loads) if g.fits is Fits.NO and blocks[i] is not None]


def edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[GatherSite]]:
    """The block's number widened and in the pointer, wherever that can be done."""
    plan = plan_gather_edits(text, [(k, _narrow(k)) for k in analysis.kernels])
    return list(plan.edits), list(plan.edited)
