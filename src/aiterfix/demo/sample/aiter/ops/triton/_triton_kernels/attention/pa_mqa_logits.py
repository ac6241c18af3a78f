"""Sample plain-Triton kernels: names and parameters of the real ones, much simpler bodies, the same fault."""

import triton
import triton.language as tl


@triton.jit
def _deepgemm_fp8_paged_mqa_logits_stage1(
    batch_size,
    next_n,
    heads_num,
    Q_buffer,
    scale_buffer,
    context_len_ptr,
    kv_indices,
    weights,
    stride_w_batch,
    Out_buffer,
    stride_out_heads,
    stride_out_batch,
    max_model_len,
    max_blk_len,
    ChunkQ: tl.constexpr,
    ChunkK: tl.constexpr,
    KVBlockSize: tl.constexpr,
):
    row, chunk = tl.program_id(0), tl.program_id(1)
    length = tl.load(context_len_ptr + row // next_n)
    column = chunk * ChunkK + tl.arange(0, ChunkK)
    block = tl.load(
        kv_indices + (row // next_n) * max_blk_len + column // KVBlockSize,
        mask=column < length,
        other=0,
    )
    scale = tl.load(scale_buffer + block * KVBlockSize + column % KVBlockSize)
    head = tl.arange(0, ChunkQ)
    weight = tl.load(weights + row * stride_w_batch + head)
    visible = column <= length - next_n + row % next_n
    value = tl.where(visible[None, :], weight[:, None] * scale[None, :], float("-inf"))
    # One plane a head: the head's offset is no part of the column.
    tl.store(
        Out_buffer
        + row * stride_out_batch
        + head[:, None] * stride_out_heads
        + (chunk * ChunkK + tl.arange(0, ChunkK)[None, :]),
        value,
    )


@triton.jit
def _deepgemm_fp8_paged_mqa_logits(
    batch_size,
    next_n,
    heads_num,
    Q_buffer,
    scale_buffer,
    context_len_ptr,
    kv_indices,
    weights,
    stride_w_batch,
    OutLogits_buffer,
    stride_out_batch,
    max_model_len,
    max_blk_len,
    ChunkQ: tl.constexpr,
    ChunkK: tl.constexpr,
    KVBlockSize: tl.constexpr,
):
    row, chunk = tl.program_id(0), tl.program_id(1)
    length = tl.load(context_len_ptr + row // next_n)
    column = chunk * ChunkK + tl.arange(0, ChunkK)
    block = tl.load(
        kv_indices + (row // next_n) * max_blk_len + column // KVBlockSize,
        mask=column < length,
        other=0,
    )
    scale = tl.load(scale_buffer + block * KVBlockSize + column % KVBlockSize)
    weight = tl.sum(tl.load(weights + row * stride_w_batch + tl.arange(0, ChunkQ)))
    visible = column <= length - next_n + row % next_n
    tl.store(
        OutLogits_buffer + row * stride_out_batch + column,
        tl.where(visible, weight * scale, float("-inf")),
        mask=column < max_model_len,
    )
