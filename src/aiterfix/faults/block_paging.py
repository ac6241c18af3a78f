"""A token's position taken for its block's: right with blocks of one token, wrong keys with any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiterfix.family.kernels import ENTRY
from aiterfix.family.paging import CACHES, PAGING, UNTOLD, mendable
from aiterfix.faults.base import Finding, Presence, takes_no_size
from aiterfix.source.columns import NotExpressible
from aiterfix.source.encoding import as_utf8
from aiterfix.source.entries import kernel_launches
from aiterfix.source.kernel_launch import KernelLaunch
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.paging import PagedLoad, paging
from aiterfix.source.paging_edits import paging_edits
from aiterfix.source.proof import ProofError
from aiterfix.source.rebuilt import EditedPlace, prove_changes
from aiterfix.source.refusal_edits import refusal_edit
from aiterfix.source.rewrite import own_edits
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis

_SIZE = next(iter(PAGING.values())).block_size


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a load from block table and cache; one for a kernel that is not told how large a block is."""
    roles = PAGING.get(kernel.name)
    found = paging(kernel, roles) if roles is not None else None
    if roles is None or found is None:
        return ()
    line = kernel.line
    if found.problem:
        return (Finding("paging", found.problem, line, line, Presence.UNKNOWN, "it is not understood"),)
    if roles.tiled and all(p.right for p in found.loads):
        message = "its cache is preshuffled, and its block table goes by blocks"
        return (Finding("preshuffled", message, line, line, Presence.ABSENT),)
    if not found.takes_size and all(p.right is False for p in found.loads):
        return (takes_no_size(line),)
    obstacle = ""
    if any(p.right is False for p in found.loads):
        try:
            if not paging_edits(kernel, roles, Lines(as_utf8(text))):
                obstacle = "it is not told how large a block is"
        except NotExpressible as reason:
            obstacle = str(reason)
    return tuple(_finding(p, obstacle) for p in found.loads)


def _finding(paged: PagedLoad, obstacle: str) -> Finding:
    presence = {True: Presence.ABSENT, False: Presence.PRESENT, None: Presence.UNKNOWN}[paged.right]
    code = {True: "by-block", False: "by-position", None: "paging"}[paged.right]
    node = paged.load.node
    left = "it is not understood" if paged.right is None else obstacle if not paged.right else ""
    details = (("loads", paged.what),)
    return Finding(code, paged.reason, node.lineno, node.end_lineno or node.lineno, presence, left, details)


def edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[EditedPlace]]:
    """Kernels that are told the size of a block go by it; whoever launches one that is not refuses larger blocks."""
    lines = Lines(as_utf8(text))
    found: list[Edit] = []
    places: list[EditedPlace] = []
    for edit, place in _refusals(analysis, lines):
        found.append(edit)
        places.append(place)
    for kernel, roles in mendable(analysis):
        try:
            taught = paging_edits(kernel, roles, lines)
        except NotExpressible:
            continue
        for made, place in taught:
            found += made
            places.append(place)
    return own_edits(text, found, filename), places


def launches(analysis: SourceAnalysis) -> tuple[KernelLaunch, ...]:
    """Where a text launches kernels that need not be told how large a block is."""
    if analysis.tree is None:
        return ()
    return kernel_launches(analysis.tree, UNTOLD, CACHES, _SIZE)


def _refusals(analysis: SourceAnalysis, lines: Lines) -> Iterator[tuple[Edit, EditedPlace]]:
    done: set[str] = set()
    for launch in launches(analysis):
        if launch.told or launch.refused or launch.entry in done:
            continue
        done.add(launch.entry)
        try:
            yield refusal_edit(launch, lines, CACHES, _reason(launch.entry))
        except NotExpressible:
            continue  # it stays as it is, and the judgement says so


def _reason(entry: str) -> str:
    other = "use aiter 0.1.20 or newer" if entry.endswith("_stage1") else f"call {ENTRY}"
    return (
        f"{entry} takes a KV cache with one token a block, and was handed one of shape {{cache}}: it would score "
        f"the first token of other blocks in the place of each token (aiterfix: block-paging). "
        f"Hand it one token a block, or {other if entry != ENTRY else 'use a newer aiter'}."
    )


def prove(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str) -> None:
    """Every load of the edited kernels goes by blocks, every edited entry refuses, and nothing else differs.

    Raises:
        ProofError: that is not so.
    """
    prove_changes(before, after, edited, filename)
    names = {place.kernel for place in edited}
    for launch in launches(after):
        if launch.entry in names and not (launch.told or launch.refused):
            raise ProofError(filename, f"{launch.entry} launches {launch.kernel} on line {launch.line} all the same")
    for kernel in after.kernels:
        found = paging(kernel, PAGING[kernel.name]) if kernel.name in names else None
        if found is not None:
            for paged in found.loads:
                if not paged.right:
                    raise ProofError(filename, f"the load on line {paged.load.node.lineno}: {paged.reason}")
            if found.problem:
                raise ProofError(filename, found.problem)
