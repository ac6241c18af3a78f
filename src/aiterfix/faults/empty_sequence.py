"""A walk through the sequences that an empty one stops: the rows of all later ones are left as they were."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from aiterfix.family.paging import PAGING, mendable
from aiterfix.faults.base import Finding, Presence
from aiterfix.source.encoding import as_utf8
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.proof import ProofError
from aiterfix.source.rebuilt import EditedPlace, prove_changes
from aiterfix.source.rewrite import own_edits
from aiterfix.source.sequence_walk import SequenceWalk, sequence_walks
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a loop that looks for the kernel's sequence; none in kernels that go by the program's number."""
    return tuple(_finding(w) for w in _walks(kernel))


def _walks(kernel: KernelAnalysis) -> tuple[SequenceWalk, ...]:
    roles = PAGING.get(kernel.name)
    return sequence_walks(kernel, roles.lengths) if roles is not None else ()


def _finding(walk: SequenceWalk) -> Finding:
    details = (("test", walk.test),) if walk.test else ()
    obstacle = ""
    if walk.passes_empty is None:
        code, message, presence, obstacle = "sequence-walk", walk.reason, Presence.UNKNOWN, "it is not understood"
    elif walk.passes_empty:
        code, message, presence = "passes-empty", "the walk through the sequences ends at their number", Presence.ABSENT
    else:
        code, message, presence = "stops-at-empty", "a sequence of length 0 ends the walk", Presence.PRESENT
    return Finding(code, message, walk.line, walk.line, presence, obstacle, details)


def edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[EditedPlace]]:
    """The walk ends at the number of sequences, and no longer where one is empty."""
    lines = Lines(as_utf8(text))
    found: list[Edit] = []
    places: list[EditedPlace] = []
    for kernel, roles in mendable(analysis):
        for walk in sequence_walks(kernel, roles.lengths):
            for part in walk.stops:
                assert walk.until is not None
                found.append(Edit(lines.span(part), ast.unparse(walk.until).encode()))
                places.append(EditedPlace(kernel.name, part.lineno, ((part, walk.until),)))
    return own_edits(text, found, filename), places


def prove(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str) -> None:
    """Every edited walk passes empty sequences by, and nothing but the test differs.

    Raises:
        ProofError: that is not so.
    """
    prove_changes(before, after, edited, filename)
    names = {place.kernel for place in edited}
    for kernel in after.kernels:
        for walk in _walks(kernel) if kernel.name in names else ():
            if not walk.passes_empty:
                raise ProofError(filename, f"the walk on line {walk.line} is still stopped by an empty sequence")
