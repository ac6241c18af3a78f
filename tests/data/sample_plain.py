"""A plain-Triton kernel with the name and the parameters of ``aiter``'s stage1 kernel, written for tests: one
program a row and chunk, and a store that nothing bounds from above. What it imports from ``aiter`` is not used."""

# ruff: noqa: N803 - the parameters are named as the real ones are, in capitals
# mypy: ignore-errors
import triton
import triton.language as tl
from aiter.ops.triton.utils.device_info import get_num_sms  # noqa: F401


@triton.jit
def _deepgemm_fp8_paged_mqa_logits_stage1(
    batch_size,
    next_n,
    heads_num,
    Q_buffer,
    stride_q_batch: tl.int64,
    stride_q_next_n: tl.int64,
    stride_q_heads: tl.int64,
    KV_buffer,
    stride_k_block: tl.int64,
    stride_k_token: tl.int64,
    scale_buffer,
    stride_scale_block: tl.int64,
    stride_scale_token: tl.int64,
    context_len_ptr,
    kv_indices,
    weights,
    stride_w_batch: tl.int64,
    Out_buffer,
    stride_out_heads: tl.int64,
    stride_out_batch: tl.int64,
    max_model_len,
    max_blk_len,
    ChunkQ: tl.constexpr,
    ChunkK: tl.constexpr,
    HiddenDim: tl.constexpr,
    KVBlockSize: tl.constexpr,
    SplitKV: tl.constexpr = 1,
):
    program = tl.program_id(0)
    row = program // SplitKV
    sequence = row // next_n
    head = tl.arange(0, ChunkQ)
    feature = tl.arange(0, HiddenDim)
    length = tl.load(context_len_ptr + sequence)
    last = length - next_n + row % next_n
    query = tl.load(
        Q_buffer
        + sequence * stride_q_batch
        + (row % next_n) * stride_q_next_n
        + head[:, None] * stride_q_heads
        + feature[None, :]
    )
    weight = tl.load(weights + row * stride_w_batch + head)
    for first in range((program % SplitKV) * ChunkK, length, SplitKV * ChunkK):
        column = first + tl.arange(0, ChunkK)
        there = column < length
        block = tl.load(kv_indices + sequence * max_blk_len + column // KVBlockSize, mask=there, other=0)
        token = column % KVBlockSize
        key = tl.load(
            KV_buffer + block[:, None] * stride_k_block + token[:, None] * stride_k_token + feature[None, :],
            mask=there[:, None],
            other=0.0,
        )
        scale = tl.load(scale_buffer + block * stride_scale_block + token * stride_scale_token, mask=there, other=0.0)
        score = tl.maximum(tl.dot(query, tl.trans(key)), 0.0) * scale[None, :] * weight[:, None]
        score = tl.where(column[None, :] <= last, score, float("-inf"))
        tl.store(
            Out_buffer + row * stride_out_batch + head[:, None] * stride_out_heads + column[None, :],
            score,
        )
