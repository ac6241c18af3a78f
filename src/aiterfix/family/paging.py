"""How the kernels find what a row is scored with, by parameter name: lengths, block table, cache, queries, weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from aiterfix.family.kernels import ENTRY, GROUPS
from aiterfix.source.roles import PagingRoles

if TYPE_CHECKING:
    from aiterfix.source.sites import KernelAnalysis, SourceAnalysis

_FLAT = PagingRoles(
    next_n="next_n",
    sequences="batch_size",
    row_stride="stride_out_batch",
    lengths=("context_len_ptr", "prefix_sum_context_lens"),
    table="kv_indices",
    queries="Q_buffer",
    query_strides=("stride_q_batch", "stride_q_next_n", "stride_q_heads"),
    weights="weights",
    weight_stride="stride_w_batch",
    heads="heads_num",
    head_tile="ChunkQ",
    keys="KV_buffer",
    scales="scale_buffer",
    block_size="KVBlockSize",
    key_elements="HiddenDim",
    key_token="stride_k_token",
    scale_token="stride_scale_token",
    key_blocks=("stride_k_seq", "stride_k_block"),
    scale_blocks=("stride_scale_seq", "stride_scale_block"),
    widths=("max_block_len", "max_blk_len"),
)

_TILED = replace(_FLAT, tiled=True)

PAGING = {k.name: _TILED if "preshuffle" in k.name else _FLAT for g in GROUPS for k in g.kernels}
"""What the parameters of each kernel mean."""


def mendable(analysis: SourceAnalysis) -> Iterator[tuple[KernelAnalysis, PagingRoles]]:
    """The kernels of a text that are understood and whose parameters are known, with what these mean."""
    return ((k, PAGING[k.name]) for k in analysis.kernels if k.name in PAGING and not k.problems)


CACHES = ("kv_cache_fp8", "kv_cache")
"""What the entries call the cache that they are handed: blocks first, a token's bytes last."""


UNTOLD = frozenset(k for k, roles in PAGING.items() if not roles.tiled and k != f"_gluon_{ENTRY}")
"""Kernels that are not told how large a block is, in some release at least. The base kernel always was."""


OPERANDS = {
    "Q_buffer": "q_fp8",
    "weights": "weights",
    "context_len_ptr": "context_lens",
    "prefix_sum_context_lens": "prefix_sum_context_lens",
    "kv_indices": "kv_indices",
}
"""What the entries call the tensors that they hand on as they were handed them, by the kernels' parameters."""
