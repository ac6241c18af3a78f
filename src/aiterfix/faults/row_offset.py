"""The row's place in the output, computed in 32 bits: in a product of 32-bit numbers, or in a buffer's offsets.

The wrapper stays as it is. Up to v0.1.17 it passes the row stride in 32 bits and tells the compiler that the output
spans less than 2 GiB (``tt.pointer_range``): the widened row number makes the product one of 64 bits all the same, and
the code for gfx950 that Triton 3.6.0 and 3.7.1 make of it reaches every row (scenario ``far-rows``).
"""

from __future__ import annotations

from aiterfix.faults.base import Finding, Presence
from aiterfix.source.address import obstacles, plan_row_edits
from aiterfix.source.locate import Edit
from aiterfix.source.rows import RowTerm
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis, StoreSite


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a store."""
    left = {}
    if not all(site.row.reaches_everywhere for site in kernel.sites):
        left = {site.ordinal: reason for site, reason in obstacles(text, kernel)}
    return tuple(_finding(site, left.get(site.ordinal, "")) for site in kernel.sites)


def _finding(site: StoreSite, obstacle: str) -> Finding:
    narrow = [t for t in site.row.terms if not _wide(t)]
    unknown = [t for t in narrow if t.in_pointer and t.width is None]
    if not narrow:
        presence, message = Presence.ABSENT, f"row `{site.row.expression}` is in the pointer, in 64 bits"
    elif len(unknown) == len(narrow):
        presence, message = Presence.UNKNOWN, f"how wide the row `{unknown[0].expression}` is cannot be told"
    else:
        term = next(t for t in narrow if t not in unknown)
        where = "in 32 bits" if term.in_pointer else "in the buffer's offsets, which have 32 bits"
        presence, message = Presence.PRESENT, f"row `{term.expression}` is computed {where}"
    code = {Presence.ABSENT: "wide-row", Presence.UNKNOWN: "row-width", Presence.PRESENT: "narrow-row"}[presence]
    details = (("row", site.row.expression), ("strides", ", ".join(s for t in site.row.terms for s in t.strides)))
    return Finding(code, message, site.line, site.end_line, presence, obstacle if narrow else "", details)


def _wide(term: RowTerm) -> bool:
    return term.in_pointer and term.width == 64


def edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[StoreSite]]:
    """The row added to the pointer, in 64 bits, wherever that can be done."""
    plan = plan_row_edits(text, analysis)
    return list(plan.edits), list(plan.edited)
