"""What can be done about a kind of fault: find it in an analysed kernel, take it out, and prove that.

A new fault of one of these kinds is a TOML file. A new kind is a module with these three functions, named here and in
`aiterfix.faults.registry.VERBS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from aiterfix.faults import (
    block_paging,
    cache_offset,
    causal_bound,
    column_bound,
    compiler,
    empty_sequence,
    hidden_columns,
    instruction_shape,
    launch_arguments,
    output_rank,
    row_offset,
    small_chunk,
)
from aiterfix.faults.base import Finding
from aiterfix.source.locate import Edit
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis


class Verb(Protocol):
    """The module of one kind of fault."""

    def findings(self, kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
        """What of this kind is in a kernel of a text whose source is understood, or why that cannot be said, and why
        it cannot be edited; in source order."""

    def edits(self, text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], Sequence[Any]]:
        """What takes it out wherever that can be done, in ascending order; and the places that are changed, each with
        its ``kernel`` and ``line``."""

    def prove(self, before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[Any], filename: str) -> None:
        """Check an edited text against the one that was there.

        Args:
            before: of the text that was there.
            after: of the edited text.
            edited: the places that `edits` named.
            filename: for messages.

        Raises:
            ProofError: the edit did not come out as intended.
        """


BY_NAME: dict[str, Verb] = {
    "bound-column": column_bound,
    "bound-causal": causal_bound,
    "change-compiler": compiler,
    "fit-instruction": instruction_shape,
    "hide-unseen": hidden_columns,
    "match-parameters": launch_arguments,
    "page-by-block": block_paging,
    "take-chunk": small_chunk,
    "take-row-stride": output_rank,
    "walk-past-empty": empty_sequence,
    "widen-gather": cache_offset,
    "widen-row": row_offset,
}
"""The modules, by the ``verb`` of a fault file."""
