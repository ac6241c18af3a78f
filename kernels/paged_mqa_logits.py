"""Paged MQA logits in plain Triton, with every store bounded by both ends of its row.

For the sparse-attention indexer: score every cached token of a sequence for each of its query rows,

    logits[row, column] = k_scale[column] * sum_h( relu(q[row, h, :] . k[column, :]) * weight[row, h] )

``deepgemm_fp8_paged_mqa_logits`` takes the arguments of the function of that name in ``aiter`` and gives
its result, on CUDA (compute capability 8.9 and up, measured on 9.0) and on ROCm (gfx942, gfx950).
This file needs torch and triton, and nothing else: it can be copied on its own.

What is written, for row ``sequence * next_n + n``:

- columns that the row may see (``column < context_length - next_n + n + 1``): the logit;
- every other column below ``context_length``: ``-inf``;
- columns from ``context_length`` on, and everything at or past ``max_model_len``: untouched.

How it works. A program takes one sequence and a part of the tiles of its tokens, and reads each
tile's keys once for all query rows (up to ``_QUERY_BYTES`` of queries; past that, row groups become programs
of their own). Keys are the rows of the product and heads its columns, so that the sum over heads runs along
the registers of a thread, and the scale, being positive, is applied once after it. The grid depends on
shapes alone: no host synchronisation, safe under graph capture. Block and row offsets are 64-bit. From Hopper
on, keys in blocks of a tile or more are loaded by the copy engine (a tensor descriptor), not by the threads.
"""

# The constants of a Triton kernel are written in capitals, and the public function's keywords are aiter's.
# Triton compiles the body: tuples grow by addition there, and branches on constants are statements.
# ruff: noqa: N803, N806, RUF005, SIM108

from __future__ import annotations

import contextlib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from triton.tools.tensor_descriptor import TensorDescriptor

__all__ = ["Tuning", "deepgemm_fp8_paged_mqa_logits", "tuning_for"]


@dataclass(frozen=True)
class Tuning:
    """How one class of shapes is run, and how that was found.

    Attributes:
        architecture: ``hip``, ``cuda``, or ``hopper``: CUDA from compute capability 9.0 on, with keys that its copy
            engine can load.
        score_columns: the class: ``next_n * heads`` is at most this, both rounded up to powers of two.
        tile: tokens in a tile.
        dot_columns: most (query row, head) pairs in one matrix product; the rest follow one after another.
        warps: warps of a program.
        depth: tiles whose keys are being loaded ahead of the one that is worked on.
        early: keep the block id of the next tile in a register; or else load it in the pipeline, as far ahead
            again of the keys as these are ahead of their use.
        programs: programs for each multiprocessor; as many as run on one at once.
        registers: most that a thread may take, so that as many programs fit; 0 for no such bound.
        lead: how much more than its share the first program of a sequence takes, in 64ths, for its tiles in a row; the
            last takes as much less. 0 for equal shares, of every n-th tile.
        found: how the numbers were found.
    """

    architecture: str
    score_columns: int
    tile: int
    dot_columns: int
    warps: int
    depth: int
    early: bool
    programs: int
    registers: int
    lead: int
    found: str


_UNMEASURED = (
    "not measured: no such GPU was at hand. Of 24 builds for gfx950 (Triton 3.6.0), the one with few instructions a "
    "tile in the emulator, no register spilled and 3 waves or more a SIMD; nothing says that it is the fastest"
)

_MEASURED = (
    "NVIDIA H200, torch 2.11, Triton 3.6.0: from a sweep of 532 over tiles of 64 and 128, 64 to 256 columns, 4 and 8 "
    "warps, depth 1 to 4, block ids early or not and 1 to 8 programs, at the six shapes of "
    "benchmarks/paged_mqa_logits.py; among the first by less than the spread, the one that also held at the power limit"
)

_MEASURED_HOPPER = (
    "NVIDIA H200, torch 2.11, Triton 3.6.0, at the shapes of benchmarks/paged_mqa_logits.py from batch 16 up, at the "
    "power limit: among the best of 281 with the copy engine over 64 to 256 columns, depth 1 to 4, block ids early or "
    "not, 2 to 16 programs, registers bounded or not, and a lead of 0 to 24"
)

# First match wins: ordered by score_columns within an architecture.
TUNINGS = (
    Tuning("hopper", 64, 64, 64, 4, 2, True, 6, 0, 0, _MEASURED_HOPPER),
    Tuning("hopper", 128, 64, 128, 4, 2, False, 4, 128, 8, _MEASURED_HOPPER),
    Tuning("hopper", 256, 64, 128, 4, 3, False, 3, 168, 12, _MEASURED_HOPPER),
    Tuning("cuda", 64, 64, 64, 4, 2, True, 6, 0, 0, _MEASURED),
    Tuning("cuda", 128, 64, 128, 4, 3, False, 4, 0, 0, _MEASURED),
    Tuning("cuda", 1 << 30, 64, 256, 4, 3, False, 2, 0, 0, _MEASURED),
    Tuning("hip", 64, 64, 64, 4, 1, True, 4, 0, 0, _UNMEASURED),
    Tuning("hip", 128, 64, 128, 4, 1, True, 3, 0, 0, _UNMEASURED),
    Tuning("hip", 1 << 30, 64, 256, 8, 1, True, 2, 0, 0, _UNMEASURED),
)

# Queries that a program holds on chip, bytes. More rows than fit become programs of their own.
_QUERY_BYTES = 64 * 1024

# Columns are 32-bit numbers, and a tile past the last must be one too.
_MOST_TOKENS = 2**31 - 1024


def tuning_for(architecture: str, next_n: int, heads: int) -> Tuning:
    """The entry of ``TUNINGS`` for a shape. ``hopper`` without one for it takes that of ``cuda``."""
    columns = triton.next_power_of_2(next_n) * _padded_heads(heads)
    wanted = ("hopper", "cuda") if architecture == "hopper" else (architecture,)
    return next(t for a in wanted for t in TUNINGS if t.architecture == a and columns <= t.score_columns)


def _padded_heads(heads: int) -> int:
    """Heads as the matrix units take them: a power of two, and no fewer than 16."""
    return max(16, triton.next_power_of_2(heads))


@triton.jit(
    do_not_specialize=[
        "stride_table_row",
        "table_width",
        "stride_logits_row",
        "max_model_len",
        "splits",
        "groups",
        "share_scale",
        "next_n",
        "heads",
    ]
)
def _paged_mqa_logits(
    q_ptr,
    stride_q_sequence,
    stride_q_row,
    stride_q_head,
    keys,  # the cache, as fp8: a pointer; or a descriptor of (blocks, tokens, features) if COPY_ENGINE
    scales_ptr,  # the same bytes, as float32
    weights_ptr,
    stride_weights_row,
    lengths_ptr,
    table_ptr,
    stride_table_row,
    table_width,
    logits_ptr,
    stride_logits_row,
    max_model_len,
    splits,
    groups,  # row groups of all sequences
    share_scale,
    next_n,
    heads,
    LENGTH_PER_ROW: tl.constexpr,
    NEXT_N: tl.constexpr,  # next_n, rounded up to a power of two
    ROW_GROUPS: tl.constexpr,  # programs that share the rows of a sequence
    DOTS: tl.constexpr,  # matrix products one after another
    ROWS: tl.constexpr,  # query rows in a matrix product
    HEADS: tl.constexpr,  # heads, rounded up to a power of two
    HEAD_SIZE: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    BLOCK_BYTES: tl.constexpr,  # from a block to the next
    PRESHUFFLE: tl.constexpr,
    COPY_ENGINE: tl.constexpr,  # BLOCK_SIZE is a multiple of TILE, and not PRESHUFFLE
    FETCH_AHEAD: tl.constexpr,  # ask for the first keys before the loop does; COPY_ENGINE and LEAD
    LEAD: tl.constexpr,  # in 64ths; 0: every splits-th tile
    EARLY: tl.constexpr,  # not LEAD; block ids one tile ahead in a register; BLOCK_SIZE is a multiple of TILE
    TILE: tl.constexpr,
    STAGES: tl.constexpr,
):
    program = tl.program_id(0)
    # First the first program of every sequence, and so on: with a lead the first are to run longest.
    split = program // groups
    group = program % ROW_GROUPS
    sequence = (program % groups // ROW_GROUPS).to(tl.int64)
    first_row = group * (DOTS * ROWS)

    TILES_IN_BLOCK: tl.constexpr = BLOCK_SIZE // TILE
    table_row = table_ptr + sequence * stride_table_row
    if EARLY:
        # The block id of the next tile, in a register: it is there as soon as the length is. Volatile, or the compiler
        # takes it through shared memory like the keys, for a barrier more a tile.
        index = split // TILES_IN_BLOCK
        ahead = tl.load(table_row + index, mask=index < table_width, other=0, volatile=True)

    token = tl.arange(0, TILE)
    feature = tl.arange(0, HEAD_SIZE)
    row_in_dot = tl.arange(0, ROWS)
    line = tl.arange(0, ROWS * HEADS)
    head = line % HEADS

    # Queries and weights of every row, before anything that depends on a length: the loads overlap.
    queries = ()
    weights = ()
    for dot in tl.static_range(DOTS):
        line_row = first_row + dot * ROWS + line // HEADS
        real = (line_row < next_n) & (head < heads)
        query = tl.load(
            q_ptr
            + sequence * stride_q_sequence
            + (line_row * stride_q_row + head * stride_q_head)[:, None]
            + feature[None, :],
            mask=real[:, None],
            other=0.0,
        )
        queries = queries + (tl.trans(query),)
        # A weight of zero makes a padding head harmless.
        weight = tl.load(
            weights_ptr + (sequence * next_n + line_row) * stride_weights_row + head, mask=real, other=0.0
        ).to(tl.float32)
        weights = weights + (weight,)

    if LENGTH_PER_ROW:
        any_row = tl.arange(0, NEXT_N)
        lengths = tl.load(lengths_ptr + sequence * next_n + any_row, mask=any_row < next_n, other=0)
        context = tl.max(lengths, axis=0).to(tl.int32)
    else:
        context = tl.load(lengths_ptr + sequence).to(tl.int32)
    end = tl.minimum(context, max_model_len)
    tiles = tl.cdiv(end, TILE)
    if LEAD:
        # Shares fall in a straight line, so what comes before a split is a parabola: a fraction of all, times 2^20.
        after = split + 1
        share = (split.to(tl.int64) * ((64 + LEAD) * splits - LEAD * split) * share_scale) >> 20
        share_after = (after.to(tl.int64) * ((64 + LEAD) * splits - LEAD * after) * share_scale) >> 20
        first = ((tiles * share) >> 20).to(tl.int32)
        stop = tl.where(after == splits, tiles, ((tiles * share_after) >> 20).to(tl.int32))
        step = 1
    else:
        first = split
        stop = tiles
        step = splits
    if FETCH_AHEAD:
        # The keys of the first two tiles, into the L2 cache: they are on their way while the queries still are.
        near = first + tl.arange(0, 128)
        near_index = near // TILES_IN_BLOCK
        named = (near < tl.minimum(first + 2, stop)) & (near_index < table_width)
        near_block = tl.load(table_row + near_index, mask=named, other=-1, volatile=True).to(tl.int64)
        near_key = near_block * (BLOCK_BYTES // 4) + near % TILES_IN_BLOCK * (TILE * HEAD_SIZE // 4)
        tl.inline_asm_elementwise(
            "{ .reg .pred named; setp.ge.s64 named, $2, 0; "
            "@named cp.async.bulk.prefetch.L2.global [$1], $3; mov.u32 $0, 0; }",
            "=r,l,l,r",
            [scales_ptr + near_key, near_block, TILE * HEAD_SIZE],
            dtype=tl.int32,
            is_pure=False,
            pack=1,
        )
    # Columns that each row may see: what the block table does not name can be seen by nobody.
    seen = ()
    scored = ()  # the same; none for rows that there are not
    for dot in tl.static_range(DOTS):
        dot_row = first_row + dot * ROWS + row_in_dot
        if LENGTH_PER_ROW:
            length = tl.load(lengths_ptr + sequence * next_n + dot_row, mask=dot_row < next_n, other=0).to(tl.int32)
        else:
            length = context - next_n + dot_row + 1
        visible = tl.minimum(length, table_width * BLOCK_SIZE)
        seen = seen + (visible,)
        scored = scored + (tl.where(dot_row < next_n, visible, 0),)

    # Where a token stands inside its block. Preshuffled: groups of 16 tokens, in them 16 features of all
    # 16 tokens, then the next 16 features.
    if PRESHUFFLE:
        feature_offset = feature // 16 * 256 + feature % 16
    else:
        feature_offset = feature

    for tile in tl.range(first, stop, step, num_stages=STAGES):
        column = tile * TILE + token
        if BLOCK_SIZE % TILE == 0:
            # The tile lies in one block. Where it begins there, and a token in the tile.
            begin = tile % TILES_IN_BLOCK * TILE
            inside = token
        else:
            begin = 0
            inside = column % BLOCK_SIZE
        if EARLY:
            block = ahead.to(tl.int64)
            index = (tile + splits) // TILES_IN_BLOCK
            in_use = (index < table_width) & (index * BLOCK_SIZE < end)
            ahead = tl.load(table_row + index, mask=in_use, other=0, volatile=True)
        elif BLOCK_SIZE % TILE == 0:
            index = tile // TILES_IN_BLOCK
            block = tl.load(table_row + index, mask=index < table_width, other=0).to(tl.int64)
        else:
            index = column // BLOCK_SIZE
            block = tl.load(table_row + index, mask=(column < end) & (index < table_width), other=0).to(tl.int64)
        if PRESHUFFLE:
            token_offset = inside // 16 * (16 * HEAD_SIZE) + inside % 16 * 16
        else:
            token_offset = inside * HEAD_SIZE
        # No mask: every block id loaded is a block of the cache, and what a row may not see is not stored.
        if COPY_ENGINE:
            key = tl.reshape(keys.load([block.to(tl.int32), begin, 0]), (TILE, HEAD_SIZE))
        else:
            first_key = block * BLOCK_BYTES + begin * HEAD_SIZE
            key = tl.load(keys + (first_key + token_offset)[:, None] + feature_offset[None, :])
        first_scale = block * (BLOCK_BYTES // 4) + (BLOCK_SIZE * HEAD_SIZE // 4) + begin
        scale = tl.load(scales_ptr + first_scale + inside)

        for dot in tl.static_range(DOTS):
            scores = tl.dot(key, queries[dot])
            scores = tl.maximum(scores, 0.0) * weights[dot][None, :]
            if ROWS == 1:
                logits = tl.sum(scores, axis=1)[:, None]
            else:
                logits = tl.sum(tl.reshape(scores, (TILE, ROWS, HEADS)), axis=2)
            logits = logits * scale[:, None]

            row = first_row + dot * ROWS + row_in_dot
            tl.store(
                logits_ptr + ((sequence * next_n + row) * stride_logits_row)[None, :] + column[:, None],
                logits,
                mask=(column >= 0)[:, None]
                & (column < max_model_len)[:, None]
                & (column[:, None] < scored[dot][None, :]),
            )

    # What a row may not see, below the context: at most next_n - 1 columns, unless lengths are given per row.
    for dot in tl.static_range(DOTS):
        row = first_row + dot * ROWS + row_in_dot
        first_hidden = tl.maximum(tl.min(seen[dot], axis=0), 0)
        for tile in tl.range(first_hidden // TILE + split, tiles, splits, num_stages=1):
            column = tile * TILE + token
            tl.store(
                logits_ptr + ((sequence * next_n + row) * stride_logits_row)[None, :] + column[:, None],
                tl.full((TILE, ROWS), float("-inf"), tl.float32),
                mask=(column >= 0)[:, None]
                & (column < max_model_len)[:, None]
                & (column < context)[:, None]
                & (column[:, None] >= seen[dot][None, :])
                & (row < next_n)[None, :],
            )


def deepgemm_fp8_paged_mqa_logits(
    q_fp8: torch.Tensor,
    kv_cache: torch.Tensor,
    weights: torch.Tensor,
    out_logits: torch.Tensor,
    context_lens: torch.Tensor,
    kv_indices: torch.Tensor,
    max_model_len: int,
    Preshuffle: bool = False,
    KVBlockSize: int = 1,
    ChunkK: int = 256,
    TotalCuCount: int | None = None,
    WavePerEU: int = 2,
    VarCtxSchedule: torch.Tensor | None = None,
) -> str:
    """Score the cached tokens of every sequence into ``out_logits``; see the module's text for what is written.

    Args:
        q_fp8: ``(batch, next_n, heads, head size)``, fp8 e4m3 (``fn``, or ``fnuz`` on gfx942); features contiguous.
            Heads up to 128, head size a power of two from 32 (64 and 128 are tested).
        kv_cache: ``(blocks, KVBlockSize, 1, head size + 4 or more)``, one byte an element. A block holds its
            keys, then one float32 scale a token, then padding, if any. Scales are positive.
        weights: ``(batch * next_n, heads)`` or more rows, floating point.
        out_logits: ``(batch * next_n, max_model_len)`` or larger, float32; any row stride.
        context_lens: integers, one a sequence (the last row's), or one a row: ``batch`` or ``batch * next_n`` of them.
        kv_indices: ``(batch, blocks of a sequence)`` or more rows, int32 or int64, block ids. Those of the context
            must be valid; the others are not used.
        max_model_len: columns of a row, in tokens. No column at or past it is written.
        Preshuffle: keys of a block are in groups of 16 tokens by 16 features; ``KVBlockSize`` a multiple of 16.
        KVBlockSize: tokens in a block.
        ChunkK, WavePerEU, VarCtxSchedule: accepted for ``aiter``'s sake; they tune a kernel that is not this one.
        TotalCuCount: multiprocessors to split the work over; the device's own number if not given.

    Returns:
        The key of the compiled kernel in Triton's cache, as ``aiter``'s function does; empty where none was launched.

    Raises:
        ValueError: an argument does not fit the others. Nothing has been launched.
    """
    del ChunkK, WavePerEU, VarCtxSchedule
    _check(q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len, Preshuffle, KVBlockSize)
    if q_fp8.numel() == 0 or max_model_len == 0:
        return ""
    launch = plan(
        q_fp8,
        kv_cache,
        weights,
        out_logits,
        context_lens,
        kv_indices,
        max_model_len,
        Preshuffle,
        KVBlockSize,
        _architecture(q_fp8.device),
        TotalCuCount or _multiprocessors(q_fp8.device),
    )
    # Triton for ROCm does not know the option.
    bound = {"maxnreg": launch.registers} if launch.registers else {}
    with torch.cuda.device(q_fp8.device) if q_fp8.is_cuda else contextlib.nullcontext():
        compiled = _paged_mqa_logits[(launch.programs,)](
            *launch.arguments.values(), **launch.constants, num_warps=launch.warps, num_stages=launch.stages, **bound
        )
    return "" if compiled is None else _cache_key(compiled.hash)


@dataclass(frozen=True)
class Launch:
    """What the kernel is launched with.

    Attributes:
        programs: the grid, in one dimension.
        arguments: tensors, descriptors and integers by parameter, in the kernel's order.
        constants: the kernel's compile-time values.
        warps: warps of a program.
        stages: depth that Triton's pipeline is told.
        registers: most that a thread may take; 0 for no such bound.
    """

    programs: int
    arguments: dict[str, torch.Tensor | TensorDescriptor | int]
    constants: dict[str, int | bool]
    warps: int
    stages: int
    registers: int


def plan(
    q: torch.Tensor,
    cache: torch.Tensor,
    weights: torch.Tensor,
    logits: torch.Tensor,
    lengths: torch.Tensor,
    table: torch.Tensor,
    max_model_len: int,
    preshuffle: bool,
    block_size: int,
    architecture: str,
    multiprocessors: int,
) -> Launch:
    """How to run checked arguments: tuning, split of the work, and the kernel's arguments. Looks at no value."""
    batch, next_n, heads, head_size = q.shape
    blocks = cache.view(cache.shape[0], block_size * cache.shape[3])
    lengths = lengths.reshape(-1)
    keys: torch.Tensor | TensorDescriptor = blocks.view(q.dtype)
    tuning = tuning_for(architecture, next_n, heads)
    copy_engine = tuning.architecture == "hopper"
    if copy_engine and not _copyable(keys, head_size, block_size, preshuffle, tuning.tile):
        tuning = tuning_for("cuda", next_n, heads)
        copy_engine = False
    if copy_engine:
        keys = _descriptor(keys, head_size, block_size, tuning.tile)

    padded_heads = _padded_heads(heads)
    padded_next_n = triton.next_power_of_2(next_n)
    rows = max(1, min(padded_next_n, tuning.dot_columns // padded_heads))
    dots = min(triton.cdiv(next_n, rows), max(1, _QUERY_BYTES // (rows * padded_heads * head_size)))
    row_groups = triton.cdiv(next_n, rows * dots)
    tiles = triton.cdiv(max_model_len, tuning.tile)
    splits = max(1, min(multiprocessors * tuning.programs // (batch * row_groups), tiles))
    # No more programs than it takes for the longest to be as short.
    splits = triton.cdiv(tiles, triton.cdiv(tiles, splits))

    early = tuning.early and not tuning.lead and block_size % tuning.tile == 0
    # A program that never has a second tile needs no pipeline. Where the id of a block has to be loaded before its
    # keys can be, the pipeline needs twice the stages.
    depth = 1 if splits == tiles else tuning.depth
    stages = 1 + (1 if early else 2) * depth
    return Launch(
        programs=batch * row_groups * splits,
        arguments={
            "q_ptr": q,
            "stride_q_sequence": q.stride(0),
            "stride_q_row": q.stride(1),
            "stride_q_head": q.stride(2),
            "keys": keys,
            "scales_ptr": blocks.view(torch.float32),
            "weights_ptr": weights,
            "stride_weights_row": weights.stride(0),
            "lengths_ptr": lengths,
            "table_ptr": table,
            "stride_table_row": table.stride(0),
            # Tokens are counted in 32 bits.
            "table_width": min(table.shape[1], _MOST_TOKENS // block_size),
            "logits_ptr": logits,
            "stride_logits_row": logits.stride(0),
            "max_model_len": max_model_len,
            "splits": splits,
            "groups": batch * row_groups,
            "share_scale": (1 << 40) // (64 * splits * splits),
            "next_n": next_n,
            "heads": heads,
        },
        constants={
            "LENGTH_PER_ROW": lengths.numel() != batch,
            "NEXT_N": padded_next_n,
            "ROW_GROUPS": row_groups,
            "DOTS": dots,
            "ROWS": rows,
            "HEADS": padded_heads,
            "HEAD_SIZE": head_size,
            "BLOCK_SIZE": block_size,
            "BLOCK_BYTES": cache.stride(0),
            "PRESHUFFLE": preshuffle,
            "COPY_ENGINE": copy_engine,
            "FETCH_AHEAD": copy_engine and tuning.lead > 0 and q.is_cuda,
            "LEAD": tuning.lead,
            "EARLY": early,
            "TILE": tuning.tile,
            "STAGES": stages,
        },
        warps=tuning.warps,
        stages=stages,
        registers=tuning.registers,
    )


def _copyable(keys: torch.Tensor, head_size: int, block_size: int, preshuffle: bool, tile: int) -> bool:
    """Whether the copy engine can load a tile: in one block, rows of at most 128 bytes, blocks at multiples of 16."""
    aligned = keys.data_ptr() % 16 == 0 and keys.stride(0) % 16 == 0
    return not preshuffle and block_size % tile == 0 and head_size <= 128 and aligned


def _descriptor(keys: torch.Tensor, head_size: int, block_size: int, tile: int) -> TensorDescriptor:
    """The keys of all blocks, for the copy engine."""
    from triton.tools.tensor_descriptor import TensorDescriptor

    shape = [keys.shape[0], block_size, head_size]
    return TensorDescriptor(keys, shape, [keys.stride(0), head_size, 1], [1, tile, head_size])


def _check(
    q: torch.Tensor,
    cache: torch.Tensor,
    weights: torch.Tensor,
    logits: torch.Tensor,
    lengths: torch.Tensor,
    table: torch.Tensor,
    max_model_len: int,
    preshuffle: bool,
    block_size: int,
) -> None:
    """Refuse what the kernel would read or write wrongly. Looks at shapes and strides only: no synchronisation."""
    if q.dim() != 4:
        raise _refusal(f"q_fp8 must be (batch, next_n, heads, head size), is {tuple(q.shape)}")
    batch, next_n, heads, head_size = q.shape
    rows = batch * next_n
    integers = (torch.int32, torch.int64)
    others = (cache, weights, logits, lengths, table)
    if any(other.device != q.device for other in others):
        found = ", ".join(str(tensor.device) for tensor in (q, *others))
        raise _refusal(f"all tensors must be on one device, are on {found}")
    if q.dtype not in (torch.float8_e4m3fn, torch.float8_e4m3fnuz):
        raise _refusal(f"q_fp8 must be fp8 e4m3 (fn or fnuz), is {q.dtype}")
    if q.stride(3) != 1:
        raise _refusal(f"q_fp8 must have contiguous features, has strides {q.stride()}")
    if not 1 <= heads <= 128:
        raise _refusal(f"q_fp8 must have 1 to 128 heads, has {heads}")
    if head_size < 32 or head_size & (head_size - 1):
        raise _refusal(f"the head size must be a power of two from 32, is {head_size}")
    if block_size < 1:
        raise _refusal(f"KVBlockSize must be 1 or more, is {block_size}")
    if preshuffle and block_size % 16:
        raise _refusal(f"KVBlockSize must be a multiple of 16 if Preshuffle is set, is {block_size}")
    if not 0 <= max_model_len <= _MOST_TOKENS:
        raise _refusal(f"max_model_len must be from 0 to {_MOST_TOKENS}, is {max_model_len}")
    if not (
        cache.dim() == 4
        and cache.element_size() == 1
        and cache.shape[0] > 0
        and cache.shape[1:3] == (block_size, 1)
        and cache.shape[3] >= head_size + 4
        and cache.stride()[1:] == (cache.shape[3], cache.shape[3], 1)
        and cache.stride(0) % 4 == 0
        and block_size * cache.shape[3] % 4 == 0
        and cache.storage_offset() % 4 == 0
    ):
        raise _refusal(
            f"kv_cache must be (blocks, {block_size}, 1, {head_size} + 4 or more) bytes with contiguous blocks at "
            f"multiples of 4 bytes, is {tuple(cache.shape)} of {cache.dtype} with strides {cache.stride()}"
        )
    if not (
        weights.dim() == 2
        and weights.is_floating_point()
        and weights.shape[0] >= rows
        and weights.shape[1] == heads
        and (heads == 1 or weights.stride(1) == 1)
    ):
        raise _refusal(
            f"weights must hold {rows} rows of {heads} contiguous numbers, is {tuple(weights.shape)} of "
            f"{weights.dtype} with strides {weights.stride()}"
        )
    if not (
        logits.dtype == torch.float32
        and logits.dim() == 2
        and logits.shape[0] >= rows
        and logits.shape[1] >= max_model_len
        and (max_model_len <= 1 or logits.stride(1) == 1)
        and (rows <= 1 or logits.stride(0) >= max_model_len)
    ):
        raise _refusal(
            f"out_logits must hold {rows} rows of {max_model_len} contiguous float32 that do not overlap, is "
            f"{tuple(logits.shape)} of {logits.dtype} with strides {logits.stride()}"
        )
    if lengths.dtype not in integers or lengths.numel() not in (batch, rows):
        raise _refusal(
            f"context_lens must be {batch} integers, or {rows}, is {tuple(lengths.shape)} of {lengths.dtype}"
        )
    if not (
        table.dtype in integers
        and table.dim() == 2
        and table.shape[0] >= batch
        and (table.shape[1] <= 1 or table.stride(1) == 1)
    ):
        raise _refusal(
            f"kv_indices must hold {batch} rows of contiguous int32 or int64, is {tuple(table.shape)} of "
            f"{table.dtype} with strides {table.stride()}"
        )


def _refusal(demand: str) -> ValueError:
    return ValueError(f"deepgemm_fp8_paged_mqa_logits: {demand}")


@functools.cache
def _cache_key(compiled_hash: str) -> str:
    """The name of a compiled kernel's folder in Triton's cache."""
    key: str = triton.runtime.cache.get_cache_manager(compiled_hash).key
    return key


@functools.cache
def _architecture(device: torch.device) -> str:
    """Which tunings apply; the interpreter on a CPU takes those of Hopper."""
    if device.type != "cuda":
        return "hopper"
    if torch.version.hip is not None:
        return "hip"
    return "hopper" if torch.cuda.get_device_capability(device) >= (9, 0) else "cuda"


@functools.cache
def _multiprocessors(device: torch.device) -> int:
    """Multiprocessors of the device; for the interpreter, enough to split a context in two or three."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
