"""What can be done about a kind of fault: find it in an analysed kernel, take it out, and prove that.

A new fault of one of these kinds is a TOML file. A new kind is named here, with what it does, and in
`aiterfix.faults.registry.VERBS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiterfix.family.entries import CHUNK_OF_TILES, ONE_STRIDE, ROW_STRIDE, SHUFFLED_KERNELS
from aiterfix.faults import (
    block_paging,
    cache_offset,
    causal_bound,
    column_bound,
    compiler,
    empty_sequence,
    hidden_columns,
    instruction_shape,
    row_offset,
    small_chunk,
)
from aiterfix.faults.base import Finding
from aiterfix.faults.refusals import Refusals
from aiterfix.source.address import prove_rows
from aiterfix.source.gather_edits import prove_gathers
from aiterfix.source.locate import Edit
from aiterfix.source.rewrite import bound_edits, prove_bounds
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis


@dataclass(frozen=True)
class Verb:
    """One kind of fault.

    Attributes:
        findings: what of this kind is in a kernel of a text whose source is understood, or why that cannot be said, and
            why it cannot be edited; in source order. None where a kernel's text alone has no such fault:
            `aiterfix.judge.refusals` looks at what launches it.
        edits: what takes it out wherever that can be done, in ascending order; and the places that are changed, each
            with its ``kernel`` and ``line``. Handed a text, its analysis and a name for messages.
        prove: raises `ProofError` where an edit did not come out as intended: handed the analysis of the text that was
            there and of the edited one, the places that `edits` named, and a name for messages.
    """

    findings: Callable[[KernelAnalysis, bytes], tuple[Finding, ...]] = lambda *_: ()
    edits: Callable[[bytes, SourceAnalysis, str], tuple[list[Edit], Sequence[Any]]] = lambda *_: ([], [])
    prove: Callable[[SourceAnalysis, SourceAnalysis, Sequence[Any], str], None] = lambda *_: None


_chunks, _strides = Refusals(SHUFFLED_KERNELS, CHUNK_OF_TILES), Refusals(ONE_STRIDE, ROW_STRIDE)
BY_NAME = {
    "bound-column": Verb(column_bound.findings, bound_edits, prove_bounds),
    "bound-causal": Verb(causal_bound.findings, causal_bound.MEND.edits, causal_bound.MEND.prove),
    "change-compiler": Verb(compiler.findings),
    # The other kernels of a release whose instruction does not fit differ in more than this.
    "fit-instruction": Verb(instruction_shape.findings),
    "hide-unseen": Verb(hidden_columns.findings, hidden_columns.MEND.edits, hidden_columns.prove),
    # Triton refuses such a launch itself, and which of the two texts is meant is not ours to say.
    "match-parameters": Verb(),
    "page-by-block": Verb(block_paging.findings, block_paging.edits, block_paging.prove),
    "take-chunk": Verb(small_chunk.findings, _chunks.edits, _chunks.prove),
    "take-row-stride": Verb(edits=_strides.edits, prove=_strides.prove),
    "walk-past-empty": Verb(empty_sequence.findings, empty_sequence.MEND.edits, empty_sequence.MEND.prove),
    "widen-gather": Verb(cache_offset.findings, cache_offset.edits, prove_gathers),
    "widen-row": Verb(row_offset.findings, row_offset.edits, prove_rows),
}
"""By the ``verb`` of a fault file."""
