"""Columns that a row may not see, kept out by another bound than its position in the sequence asks for."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.family.paging import PAGING, mendable
from aiterfix.faults.base import Finding, Presence
from aiterfix.source.causal import CausalBound, bound_change, causal_bounds, position_terms
from aiterfix.source.encoding import as_utf8
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.proof import ProofError
from aiterfix.source.rebuilt import EditedPlace, prove_changes
from aiterfix.source.rewrite import own_edits
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis

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


def edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[EditedPlace]]:
    """The bound by position, wherever another one is written out."""
    lines = Lines(as_utf8(text))
    found: list[Edit] = []
    places: list[EditedPlace] = []
    for kernel, roles in mendable(analysis):
        terms = {
            id(node): (compare, node, kernel.syntax[bound.site.ordinal].walk)
            for bound in causal_bounds(kernel, roles)
            if bound.right is False
            for compare, node in position_terms(bound, kernel, roles)
        }
        for compare, node, walk in terms.values():
            changed, change = bound_change(lines, compare, node, roles, walk)
            found += changed
            places.append(EditedPlace(kernel.name, node.lineno, (change,)))
    return own_edits(text, found, filename), places


def prove(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str) -> None:
    """Every edited bound is the right one, and nothing else differs.

    Raises:
        ProofError: that is not so.
    """
    prove_changes(before, after, edited, filename)
    names = {place.kernel for place in edited}
    for kernel in after.kernels:
        for bound in causal_bounds(kernel, PAGING[kernel.name]) if kernel.name in names else ():
            if not bound.right:
                raise ProofError(filename, f"the bound on line {bound.line} is still not the right one")
