"""A mend that is written in kernels one by one, and proven by doing it again on the syntax tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from aiterfix.family.paging import mendable
from aiterfix.source.encoding import as_utf8
from aiterfix.source.locate import Edit, Lines
from aiterfix.source.proof import ProofError
from aiterfix.source.rebuilt import EditedPlace, prove_changes
from aiterfix.source.rewrite import own_edits
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis


@dataclass(frozen=True)
class KernelEdits:
    """The two halves of such a mend.

    Attributes:
        changes: what takes a fault out of a kernel: the edits of each place, in the lines of the text, and the place.
        left: what of the fault is in an edited kernel all the same, one sentence each.
    """

    changes: Callable[[KernelAnalysis, PagingRoles, Lines], Iterable[tuple[Sequence[Edit], EditedPlace]]]
    left: Callable[[KernelAnalysis], Iterable[str]]

    def edits(self, text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[EditedPlace]]:
        """See `aiterfix.faults.verbs.Verb.edits`."""
        lines = Lines(as_utf8(text))
        done = [c for kernel, roles in mendable(analysis) for c in self.changes(kernel, roles, lines)]
        return own_edits(text, [e for made, _ in done for e in made], filename), [place for _, place in done]

    def prove(
        self, before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str
    ) -> None:
        """Nothing of the fault is left in the edited kernels, and nothing but the changes differs.

        Raises:
            ProofError: that is not so.
        """
        prove_changes(before, after, edited, filename)
        names = {place.kernel for place in edited}
        for kernel in after.kernels:
            for reason in self.left(kernel) if kernel.name in names else ():
                raise ProofError(filename, reason)
