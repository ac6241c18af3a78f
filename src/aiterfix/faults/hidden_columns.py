"""Columns that a row may not see, stored with the scores that were computed for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiterfix.family.paging import PAGING
from aiterfix.faults.base import Finding, Presence
from aiterfix.faults.kernel_edits import KernelEdits
from aiterfix.source.columns import NotExpressible
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.proof import ProofError
from aiterfix.source.rebuilt import EditedPlace
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis, SiteSyntax, SourceAnalysis
from aiterfix.source.unseen import UnseenScores, hidden_value, hiding_edit, unseen_scores


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a store; none in kernels of other families."""
    roles = PAGING.get(kernel.name)
    if roles is None:
        return ()
    return tuple(_finding(s, kernel.syntax[s.site.ordinal], kernel.name) for s in unseen_scores(kernel, roles))


def _finding(scores: UnseenScores, syntax: SiteSyntax, kernel: str) -> Finding:
    obstacle = ""
    if scores.hidden is None:
        code, message, presence, obstacle = "unseen-scores", scores.reason, Presence.UNKNOWN, "it is not understood"
    elif scores.hidden:
        code, message, presence = "bounded-scores", "scores behind the row's end are set to -inf", Presence.ABSENT
    else:
        code, presence = "unbounded-scores", Presence.PRESENT
        message = "scores are stored whether or not the row may see their columns"
        try:
            hidden_value(syntax, PAGING[kernel])
        except NotExpressible as reason:
            obstacle = str(reason)
    return Finding(code, message, scores.site.line, scores.site.end_line, presence, obstacle)


def _changes(kernel: KernelAnalysis, roles: PagingRoles, lines: Lines) -> Iterator[tuple[Sequence[Edit], EditedPlace]]:
    """-inf in place of every score that its row may not see."""
    for scores in unseen_scores(kernel, roles):
        syntax = kernel.syntax[scores.site.ordinal]
        node = syntax.store.stored
        if scores.hidden is not False or node is None:
            continue
        try:
            value = hidden_value(syntax, roles)
        except NotExpressible:
            continue
        yield [hiding_edit(lines, syntax, value)], EditedPlace(kernel.name, scores.site.line, ((node, value),))


MEND = KernelEdits(_changes, lambda _: ())


def prove(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str) -> None:
    """Every edited store is bounded, and nothing else differs.

    Raises:
        ProofError: that is not so.
    """
    MEND.prove(before, after, edited, filename)
    count = {name: sum(place.kernel == name for place in edited) for name in {place.kernel for place in edited}}
    for old, new in zip(before.kernels, after.kernels, strict=True):
        if old.name in count:
            roles = PAGING[old.name]
            left = [sum(s.hidden is not True for s in unseen_scores(k, roles)) for k in (old, new)]
            if left[0] - left[1] != count[old.name]:
                raise ProofError(filename, f"a store of {old.name} that was edited is still not bounded")
