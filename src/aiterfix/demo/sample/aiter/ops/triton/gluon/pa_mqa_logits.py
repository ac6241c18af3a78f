"""Sample Gluon kernels: names and parameters of the real ones, much simpler bodies, the same fault.

Each writes ``weight[row] * scale[token]`` where a row may see a token, and ``-inf`` after it, in chunks
of ChunkK columns. The last chunk of a row reaches past its end.
"""

from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits(
    batch_size,
    next_n,
    heads_num,
    Q_buffer,
    stride_q_batch,
    stride_q_next_n,
    stride_q_heads,
    KV_buffer,
    stride_k_seq,
    scale_buffer,
    stride_scale_seq,
    context_len_ptr,
    kv_indices,
    weights,
    stride_w_batch,
    OutLogits_buffer,
    stride_out_batch,
    max_model_len,
    max_block_len,
    SplitKV,
    ChunkQ: gl.constexpr,
    ChunkK: gl.constexpr,
    HiddenDim: gl.constexpr,
    KVBlockSize: gl.constexpr = 1,
    CDNA_VERSION: gl.constexpr = 3,
):
    layout: gl.constexpr = gl.BlockedLayout([1], [64], [4], [0])
    rows = batch_size * next_n
    row, split = gl.program_id(0) % rows, gl.program_id(0) // rows
    length = gl.load(context_len_ptr + row // next_n)
    weight = gl.load(weights + row * stride_w_batch)

    for start in range(split * ChunkK, length, SplitKV * ChunkK):
        column = start + gl.arange(0, ChunkK, layout=layout)
        slot = gl.amd.cdna3.buffer_load(
            ptr=kv_indices,
            offsets=(row // next_n) * max_block_len + column,
            mask=column < length,
            other=0,
        )
        scale = gl.amd.cdna3.buffer_load(ptr=scale_buffer, offsets=slot * stride_scale_seq)
        visible = column <= length - next_n + row % next_n
        value = gl.where(visible, weight * scale, float("-inf"))
        # The column is bounded from below only.
        gl.amd.cdna3.buffer_store(
            value,
            ptr=OutLogits_buffer,
            offsets=row * stride_out_batch + column,
            mask=column >= 0,
        )


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(
    batch_size,
    next_n,
    heads_num,
    Q_buffer,
    stride_q_batch,
    stride_q_next_n,
    stride_q_heads,
    KV_buffer,
    stride_k_seq,
    scale_buffer,
    stride_scale_seq,
    context_len_ptr,
    kv_indices,
    weights,
    stride_w_batch,
    OutLogits_buffer,
    stride_out_batch,
    max_model_len,
    max_block_len,
    SplitKV,
    ChunkQ: gl.constexpr,
    ChunkK: gl.constexpr,
    HiddenDim: gl.constexpr,
    KVBlockSize: gl.constexpr = 16,
    CDNA_VERSION: gl.constexpr = 3,
):
    layout: gl.constexpr = gl.BlockedLayout([1], [64], [4], [0])
    rows = batch_size * next_n
    row, split = gl.program_id(0) % rows, gl.program_id(0) // rows
    length = gl.load(context_len_ptr + row // next_n)
    weight = gl.load(weights + row * stride_w_batch)
    half: gl.constexpr = ChunkK // 2

    for start in range(split * ChunkK, length, SplitKV * ChunkK):
        first = start + gl.arange(0, half, layout=layout)
        block = gl.amd.cdna3.buffer_load(
            ptr=kv_indices,
            offsets=(row // next_n) * max_block_len + first // KVBlockSize,
            mask=first < length,
            other=0,
        )
        scale = gl.amd.cdna3.buffer_load(
            ptr=scale_buffer, offsets=block * stride_scale_seq + first % KVBlockSize
        )
        visible = first <= length - next_n + row % next_n
        # Bounded on both sides: this one is right.
        gl.amd.cdna3.buffer_store(
            gl.where(visible, weight * scale, float("-inf")),
            ptr=OutLogits_buffer + row.to(gl.int64) * stride_out_batch,
            offsets=first,
            mask=(first >= 0) & (first < max_model_len),
        )

        block = gl.amd.cdna3.buffer_load(
            ptr=kv_indices,
            offsets=(row // next_n) * max_block_len + (first + half) // KVBlockSize,
            mask=first + half < length,
            other=0,
        )
        scale = gl.amd.cdna3.buffer_load(
            ptr=scale_buffer,
            offsets=block * stride_scale_seq + (first + half) % KVBlockSize,
        )
        visible = first + half <= length - next_n + row % next_n
        # No mask at all.
        gl.amd.cdna3.buffer_store(
            gl.where(visible, weight * scale, float("-inf")),
            ptr=OutLogits_buffer + row.to(gl.int64) * stride_out_batch,
            offsets=start + half + gl.arange(0, half, layout=layout),
        )


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle_varctx(
    batch_size,
    next_n,
    heads_num,
    Q_buffer,
    stride_q_batch,
    stride_q_next_n,
    stride_q_heads,
    KV_buffer,
    stride_k_seq,
    scale_buffer,
    stride_scale_seq,
    context_len_ptr,
    kv_indices,
    weights,
    stride_w_batch,
    OutLogits_buffer,
    stride_out_batch,
    max_model_len,
    max_block_len,
    safe_chunks_per_cta_ptr,
    ChunkQ: gl.constexpr,
    ChunkK: gl.constexpr,
    HiddenDim: gl.constexpr,
    KVBlockSize: gl.constexpr = 16,
    CDNA_VERSION: gl.constexpr = 3,
):
    layout: gl.constexpr = gl.BlockedLayout([1], [64], [4], [0])
    rows = batch_size * next_n
    row, split = gl.program_id(0) % rows, gl.program_id(0) // rows
    length = gl.load(context_len_ptr + row // next_n)
    weight = gl.load(weights + row * stride_w_batch)
    chunks = gl.load(safe_chunks_per_cta_ptr)

    for start in range(split * chunks * ChunkK, min(length, (split + 1) * chunks * ChunkK), ChunkK):
        column = start + gl.arange(0, ChunkK, layout=layout)
        block = gl.amd.cdna3.buffer_load(
            ptr=kv_indices,
            offsets=(row // next_n) * max_block_len + column // KVBlockSize,
            mask=column < length,
            other=0,
        )
        scale = gl.amd.cdna3.buffer_load(
            ptr=scale_buffer, offsets=block * stride_scale_seq + column % KVBlockSize
        )
        visible = column <= length - next_n + row % next_n
        value = gl.where(visible, weight * scale, float("-inf"))
        # The bound is on another expression than the column: it does not count.
        gl.amd.cdna3.buffer_store(
            value,
            ptr=OutLogits_buffer,
            offsets=row * stride_out_batch + column,
            mask=(column >= start) & (start < max_model_len),
        )
