"""How the kernels find a row's keys, by parameter name: the lengths, the block table, the cache."""

from __future__ import annotations

from dataclasses import replace

from aiterfix.family.kernels import ENTRY, GROUPS
from aiterfix.source.roles import PagingRoles

_FLAT = PagingRoles(
    next_n="next_n",
    row_stride="stride_out_batch",
    lengths=("context_len_ptr", "prefix_sum_context_lens"),
    table="kv_indices",
    keys="KV_buffer",
    scales="scale_buffer",
    block_size="KVBlockSize",
    key_elements="HiddenDim",
)

_TILED = replace(_FLAT, tiled=True)

PAGING = {k.name: _TILED if "preshuffle" in k.name else _FLAT for g in GROUPS for k in g.kernels}
"""What the parameters of each kernel mean."""

CACHES = ("kv_cache_fp8", "kv_cache")
"""What the entries call the cache that they are handed: blocks first, a token's bytes last."""


UNTOLD = frozenset(k for k, roles in PAGING.items() if not roles.tiled and k != f"_gluon_{ENTRY}")
"""Kernels that are not told how large a block is, in some release at least. The base kernel always was."""
