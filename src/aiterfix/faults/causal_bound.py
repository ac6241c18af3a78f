"""Columns that a row may not see, kept out by another bound than its position in the sequence asks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiterfix.family.paging import PAGING
from aiterfix.faults.base import Finding, Presence
from aiterfix.faults.kernel_edits import KernelEdits
from aiterfix.source.causal import CausalBound, bound_change, causal_bounds, position_terms
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.rebuilt import EditedPlace
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis

_NOT_WRITTEN = "the row's position is not subtracted in the comparison itself"


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a store that masks the columns which its row may not see; none in kernels of other families."""
    roles = PAGING.get(kernel.name)
    if roles is None:
        return ()
    return tuple(_finding(b, kernel) for b in causal_bounds(kernel, roles))


def _finding(bound: CausalBound, kernel: KernelAnalysis) -> Finding:
    details = (("comparison", bound.expression),) if bound.expression else ()
    if bound.right is None:
        code, message, presence = "causal-bound", bound.reason, Presence.UNKNOWN
        obstacle = "it is not understood"
    elif bound.right:
        code, message, presence, obstacle = "right-bound", "rows see the columns up to their own", Presence.ABSENT, ""
    else:
        code, presence = "reversed-bound", Presence.PRESENT
        message = "the first row of a sequence sees all of it, later rows see less: it should be the other way about"
        obstacle = "" if position_terms(bound, kernel, PAGING[kernel.name]) else _NOT_WRITTEN
    return Finding(code, message, bound.line, bound.line, presence, obstacle, details)


def _changes(kernel: KernelAnalysis, roles: PagingRoles, lines: Lines) -> Iterator[tuple[Sequence[Edit], EditedPlace]]:
    """The bound by position, wherever another one is written out."""
    terms = {
        id(node): (compare, node, kernel.syntax[bound.site.ordinal].walk)
        for bound in causal_bounds(kernel, roles)
        if bound.right is False
        for compare, node in position_terms(bound, kernel, roles)
    }
    for compare, node, walk in terms.values():
        edits, change = bound_change(lines, compare, node, roles, walk)
        yield edits, EditedPlace(kernel.name, node.lineno, (change,))


def _left(kernel: KernelAnalysis) -> Iterator[str]:
    for bound in causal_bounds(kernel, PAGING[kernel.name]):
        if not bound.right:
            yield f"the bound on line {bound.line} is still not the right one"


MEND = KernelEdits(_changes, _left)
