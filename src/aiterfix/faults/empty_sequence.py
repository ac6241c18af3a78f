"""A walk through the sequences that an empty one stops: the rows of all later ones are left as they were."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from aiterfix.family.paging import PAGING
from aiterfix.faults.base import Finding, Presence
from aiterfix.faults.kernel_edits import KernelEdits
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.rebuilt import EditedPlace
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sequence_walk import SequenceWalk, sequence_walks
from aiterfix.source.sites import KernelAnalysis


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


def _changes(kernel: KernelAnalysis, roles: PagingRoles, lines: Lines) -> Iterator[tuple[Sequence[Edit], EditedPlace]]:
    """The walk ends at the number of sequences, and no longer where one is empty."""
    for walk in sequence_walks(kernel, roles.lengths):
        for part in walk.stops:
            assert walk.until is not None
            edit = Edit(lines.span(part), ast.unparse(walk.until).encode())
            yield [edit], EditedPlace(kernel.name, part.lineno, ((part, walk.until),))


def _left(kernel: KernelAnalysis) -> Iterator[str]:
    for walk in _walks(kernel):
        if not walk.passes_empty:
            yield f"the walk on line {walk.line} is still stopped by an empty sequence"


MEND = KernelEdits(_changes, _left)
