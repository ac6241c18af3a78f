"""What can be done about a kind of fault: find it in an analysed kernel, take it out, and prove that.

A new fault of one of these kinds is a TOML file. A new kind is a module with these three functions, named here and in
`aiterfix.faults.registry.VERBS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aiterfix.faults import column_bound, row_offset
from aiterfix.faults.base import Finding
from aiterfix.source.locate import Edit
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis, StoreSite


class Verb(Protocol):
    """The module of one kind of fault."""

    def findings(self, kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
        """What of this kind is in a kernel of a text whose source is understood, or why that cannot be said, and why
        it cannot be edited; in source order."""

    def edits(self, text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[StoreSite]]:
        """What takes it out wherever that can be done, in ascending order; and the stores that are changed."""

    def prove(self, before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[StoreSite], filename: str) -> None:
        """Check an edited text against the one that was there.

        Raises:
            ProofError: the edit did not come out as intended.
        """


BY_NAME: dict[str, Verb] = {"bound-column": column_bound, "widen-row": row_offset}
"""The modules, by the ``verb`` of a fault file."""
