"""A small family of paged-MQA-logits kernels in Gluon, written for this package's tests.

They compute the function that the package is about, with the names and parameters by which it finds kernels, as
plainly as possible: a program walks its share of a row in steps of 128 columns. ``BOUND_STORES`` is the fault switch:
when false, a store covers whole blocks and nothing keeps it inside the row. Needs Triton 3.6 or later (MFMA shapes of
three numbers). Tests read this file as text; it is compiled by the package and never imported.
"""
# ruff: noqa: I001, N803
# mypy: ignore-errors

import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from aiter.ops.triton.gluon.pa_decode_gluon import get_cdna_version

BOUND_STORES = tl.constexpr(True)
CDNA = tl.constexpr(get_cdna_version())
STEP = tl.constexpr(128)


@gluon.jit
def _add(a, b):
    return a + b


@gluon.jit
def _score(
    begin, end, context_length, last_visible, row, batch,
    Q_buffer, q_offset, stride_q_heads, KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq,
    kv_indices, weights, stride_w_batch, OutLogits_buffer, stride_out_batch, max_model_len, max_block_len,
    HEADS: gl.constexpr, HIDDEN: gl.constexpr, BLOCK: gl.constexpr, TILED: gl.constexpr,
):  # fmt: skip
    """Score the columns from ``begin`` to ``end`` of one row; ``end`` may lie past the context."""
    acc: gl.constexpr = gl.amd.AMDMFMALayout(
        version=CDNA, instr_shape=[16, 16, 32], transposed=False, warps_per_cta=[1, 4]
    )
    left: gl.constexpr = gl.DotOperandLayout(operand_index=0, parent=acc, k_width=8)
    right: gl.constexpr = gl.DotOperandLayout(operand_index=1, parent=acc, k_width=8)
    head = gl.arange(0, HEADS, layout=gl.SliceLayout(1, left))
    depth_q = gl.arange(0, HIDDEN, layout=gl.SliceLayout(0, left))
    q = gl.load(Q_buffer + q_offset + head[:, None] * stride_q_heads + depth_q[None, :])
    weight_at = gl.arange(0, HEADS, layout=gl.SliceLayout(1, acc))
    weight = gl.load(weights + row * stride_w_batch + weight_at)
    depth = gl.arange(0, HIDDEN, layout=gl.SliceLayout(1, right))
    zero = gl.zeros((HEADS, STEP), dtype=gl.float32, layout=acc)

    for start in range(begin, end, STEP):
        token = start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right))
        known = token < context_length
        block = gl.load(kv_indices + batch * max_block_len + token // BLOCK, mask=known, other=0)
        slot = token % BLOCK
        if TILED:
            place = slot // 16 * (16 * HIDDEN) + slot % 16 * 16
            element = depth // 16 * 256 + depth % 16
        else:
            place = slot * HIDDEN
            element = depth
        base = block.to(gl.int64) * stride_k_seq + place
        k = gl.load(KV_buffer + element[:, None] + base[None, :], mask=known[None, :], other=0.0)
        dots = gl.amd.cdna3.mfma(q, k, zero)

        column = start + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc))
        present = column < context_length
        owner = gl.load(kv_indices + batch * max_block_len + column // BLOCK, mask=present, other=0)
        scale_at = owner.to(gl.int64) * stride_scale_seq + column % BLOCK
        scale = gl.load(scale_buffer + scale_at, mask=present, other=0.0)
        scored = gl.maximum(dots * scale[None, :], 0.0) * weight[:, None]
        logits = gl.reduce(scored, axis=0, combine_fn=_add)
        logits = gl.where(column <= last_visible, logits, float("-inf"))
        inside = column < end
        if BOUND_STORES:
            inside = inside & (column < max_model_len)
        gl.amd.cdna3.buffer_store(
            logits, ptr=OutLogits_buffer + row.to(gl.int64) * stride_out_batch, offsets=column, mask=inside
        )


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads,
    KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq, context_len_ptr, kv_indices,
    weights, stride_w_batch, OutLogits_buffer, stride_out_batch, max_model_len, max_block_len, num_block,
    SplitKV, ChunkQ: gl.constexpr, ChunkK: gl.constexpr, HiddenDim: gl.constexpr, KVBlockSize: gl.constexpr = 1,
    CDNA_VERSION: gl.constexpr = 3, ARCH: gl.constexpr = "gfx942",
):  # fmt: skip
    pid = gl.program_id(0)
    batch = pid % batch_size
    position = pid // batch_size % next_n
    share = pid // (batch_size * next_n)
    context_length = gl.load(context_len_ptr + batch)
    steps = gl.cdiv(gl.cdiv(context_length, STEP), SplitKV)
    begin = share * steps * STEP
    _score(
        begin, min(begin + steps * STEP, gl.cdiv(context_length, KVBlockSize) * KVBlockSize),
        context_length, context_length - next_n + position, batch * next_n + position, batch,
        Q_buffer, batch * stride_q_batch + position * stride_q_next_n, stride_q_heads,
        KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq, kv_indices, weights, stride_w_batch,
        OutLogits_buffer, stride_out_batch, max_model_len, max_block_len,
        ChunkQ, HiddenDim, KVBlockSize, False,
    )  # fmt: skip


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads,
    KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq, context_len_ptr, kv_indices,
    weights, stride_w_batch, OutLogits_buffer, stride_out_batch, max_model_len, max_block_len, num_block,
    SplitKV, ChunkQ: gl.constexpr, ChunkK: gl.constexpr, HiddenDim: gl.constexpr, KVBlockSize: gl.constexpr = 16,
    CDNA_VERSION: gl.constexpr = 3, ARCH: gl.constexpr = "gfx942",
):  # fmt: skip
    pid = gl.program_id(0)
    batch = pid % batch_size
    position = pid // batch_size % next_n
    share = pid // (batch_size * next_n)
    context_length = gl.load(context_len_ptr + batch)
    steps = gl.cdiv(gl.cdiv(context_length, ChunkK), SplitKV) * ChunkK
    begin = share * steps
    _score(
        begin, min(begin + steps, gl.cdiv(context_length, KVBlockSize) * KVBlockSize),
        context_length, context_length - next_n + position, batch * next_n + position, batch,
        Q_buffer, batch * stride_q_batch + position * stride_q_next_n, stride_q_heads,
        KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq, kv_indices, weights, stride_w_batch,
        OutLogits_buffer, stride_out_batch, max_model_len, max_block_len,
        ChunkQ, HiddenDim, KVBlockSize, True,
    )  # fmt: skip


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle_varctx(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads,
    KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq, context_len_ptr, kv_indices,
    weights, stride_w_batch, OutLogits_buffer, stride_out_batch, max_model_len, max_block_len, num_block,
    safe_chunks_per_cta_ptr, ChunkQ: gl.constexpr, ChunkK: gl.constexpr, HiddenDim: gl.constexpr,
    KVBlockSize: gl.constexpr = 16, CDNA_VERSION: gl.constexpr = 3, ARCH: gl.constexpr = "gfx942",
):  # fmt: skip
    unit = gl.program_id(0)
    share = gl.load(safe_chunks_per_cta_ptr) * ChunkK
    batch = unit * 0
    left_over = unit
    units = gl.cdiv(gl.load(context_len_ptr), share) * next_n
    while (batch < batch_size) & (left_over >= units):
        left_over -= units
        batch += 1
        length = gl.load(context_len_ptr + batch, mask=batch < batch_size, other=0)
        units = gl.cdiv(length, share) * next_n
    if batch < batch_size:
        context_length = gl.load(context_len_ptr + batch)
        position = left_over % next_n
        begin = (
            gl.maximum(left_over, 0) // next_n * share
        )  # the loop leaves none below 0: said for the reader of bounds
        _score(
            begin, min(begin + share, gl.cdiv(context_length, KVBlockSize) * KVBlockSize),
            context_length, context_length - next_n + position, batch * next_n + position, batch,
            Q_buffer, batch * stride_q_batch + position * stride_q_next_n, stride_q_heads,
            KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq, kv_indices, weights, stride_w_batch,
            OutLogits_buffer, stride_out_batch, max_model_len, max_block_len,
            ChunkQ, HiddenDim, KVBlockSize, True,
        )  # fmt: skip
