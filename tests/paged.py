"""Kernels and wrappers with the real parameter names, written for tests: what they have of `block-paging` and
`ragged-causal-bound`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aiterfix.family.paging import PAGING as ROLES
from aiterfix.faults.base import Diagnosis, Fault
from aiterfix.faults.diagnosis import diagnose, kernels_of
from aiterfix.faults.registry import load_faults
from aiterfix.source.derivation import derivations_of
from aiterfix.source.sites import analyse

FAULTS = load_faults().judged
PAGING, CAUSAL = "block-paging", "ragged-causal-bound"
BASE = "_gluon_deepgemm_fp8_paged_mqa_logits"
STAGE1 = "_deepgemm_fp8_paged_mqa_logits_stage1"
RAGGED = "_deepgemm_fp8_paged_mqa_logits_ragged_k"
ENTRY = "deepgemm_fp8_paged_mqa_logits_stage1"

# A program walks its share of a row in steps of 128 columns, the first of them in front of the sequence where it does
# not come out even, and is one step ahead in the block table.
GLUON = b"""\
import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl

from aiter.ops.triton.gluon.pa_decode_gluon import get_cdna_version

CDNA = tl.constexpr(get_cdna_version())
STEP = tl.constexpr(128)


@gluon.jit
def _add(a, b):
    return a + b


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads,
    KV_buffer, stride_k_seq, scale_buffer, stride_scale_seq, context_len_ptr, kv_indices,
    weights, stride_w_batch, OutLogits_buffer, stride_out_batch, max_model_len, max_block_len, num_block,
    SplitKV, ChunkQ: gl.constexpr, ChunkK: gl.constexpr, HiddenDim: gl.constexpr, KVBlockSize: gl.constexpr = 1,
    CDNA_VERSION: gl.constexpr = 3, ARCH: gl.constexpr = "gfx942",
):
    acc: gl.constexpr = gl.amd.AMDMFMALayout(
        version=CDNA, instr_shape=[16, 16, 32], transposed=False, warps_per_cta=[1, 4]
    )
    left: gl.constexpr = gl.DotOperandLayout(operand_index=0, parent=acc, k_width=8)
    right: gl.constexpr = gl.DotOperandLayout(operand_index=1, parent=acc, k_width=8)
    pid = gl.program_id(0)
    batch = pid % batch_size
    position = pid // batch_size % next_n
    share = pid // (batch_size * next_n)
    context_length = gl.load(context_len_ptr + batch)
    steps = gl.cdiv(gl.cdiv(context_length, STEP), SplitKV)
    begin = share * steps * STEP
    end = min(begin + steps * STEP, context_length)
    before = (STEP - (end - begin) % STEP) % STEP
    head = gl.arange(0, ChunkQ, layout=gl.SliceLayout(1, left))
    depth_q = gl.arange(0, HiddenDim, layout=gl.SliceLayout(0, left))
    q = gl.load(
        Q_buffer + batch * stride_q_batch + position * stride_q_next_n + head[:, None] * stride_q_heads
        + depth_q[None, :]
    )
    weight = gl.load(
        weights + (batch * next_n + position) * stride_w_batch + gl.arange(0, ChunkQ, layout=gl.SliceLayout(1, acc))
    )
    zero = gl.zeros((ChunkQ, STEP), dtype=gl.float32, layout=acc)

    for start in range(begin - before, end, STEP):
        ahead = start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right)) >= 0
        slot = gl.amd.cdna3.buffer_load(
            ptr=kv_indices,
            offsets=batch * max_block_len + start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right)),
            mask=ahead,
        )
        slot = gl.where(ahead, slot, 0)
        k = gl.amd.cdna3.buffer_load(
            ptr=KV_buffer,
            offsets=slot[None, :] * stride_k_seq
            + gl.arange(0, HiddenDim, layout=gl.SliceLayout(1, right))[:, None],
        )
        there = start + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc)) >= 0
        owner = gl.amd.cdna3.buffer_load(
            ptr=kv_indices,
            offsets=batch * max_block_len + start + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc)),
            mask=there,
        )
        owner = gl.where(there, owner, 0)
        scale = gl.amd.cdna3.buffer_load(ptr=scale_buffer, offsets=owner * stride_scale_seq)
        dots = gl.amd.cdna3.mfma(q, k, zero)
        scored = gl.maximum(dots * scale[None, :], 0.0) * weight[:, None]
        column = start + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc))
        seen = column <= context_length - next_n + position
        scored = gl.where(seen[None, :], scored, float("-inf"))
        logits = gl.reduce(scored, axis=0, combine_fn=_add)
        gl.amd.cdna3.buffer_store(
            logits,
            ptr=OutLogits_buffer + (batch * next_n + position).to(gl.int64) * stride_out_batch,
            offsets=column,
            mask=(column >= 0) & (column < max_model_len),
        )
"""

PLAIN = b"""\
import triton
import triton.language as tl


@triton.jit
def _sum(a, b):
    return a + b


@triton.jit
def _deepgemm_fp8_paged_mqa_logits_stage1(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads, KV_buffer, stride_k_seq,
    scale_buffer, stride_scale_seq, context_len_ptr, kv_indices, weights, stride_w_batch, Out_buffer,
    stride_out_heads: tl.int64, stride_out_batch: tl.int64, max_model_len, max_blk_len, ChunkQ: tl.constexpr,
    ChunkK: tl.constexpr, HiddenDim: tl.constexpr, SplitKV: tl.constexpr = 1,
):
    program = tl.program_id(0)
    row = program // SplitKV
    sequence, place = row // next_n, row % next_n
    head = tl.arange(0, ChunkQ)
    length = tl.load(context_len_ptr + sequence)
    for start in range((program % SplitKV) * ChunkK, length, SplitKV * ChunkK):
        column = start + tl.arange(0, ChunkK)
        slot = tl.load(kv_indices + sequence * max_blk_len + column, mask=column < length, other=0)
        key = tl.load(KV_buffer + slot.to(tl.int64)[:, None] * stride_k_seq + tl.arange(0, HiddenDim)[None, :])
        scale = tl.load(scale_buffer + slot.to(tl.int64) * stride_scale_seq)
        score = tl.sum(key, axis=1)[None, :] * scale[None, :] * head[:, None]
        score = tl.where(column[None, :] <= length - next_n + place, score, float("-inf"))
        tl.store(
            Out_buffer + row * stride_out_batch + head[:, None] * stride_out_heads + column[None, :], score,
            mask=column[None, :] < max_model_len,
        )


@triton.jit
def _deepgemm_fp8_paged_mqa_logits_ragged_k(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads, KV_buffer, stride_k_seq,
    scale_buffer, stride_scale_seq, prefix_sum_context_lens, kv_indices, weights, stride_w_batch, OutLogits_buffer,
    stride_out_batch: tl.int64, max_model_len, ChunkQ: tl.constexpr, ChunkK: tl.constexpr, HiddenDim: tl.constexpr,
    SplitKV: tl.constexpr = 1,
):
    program = tl.program_id(0)
    place, rest = program % next_n, program // next_n
    sequence, share = rest % batch_size, rest // batch_size
    head = tl.arange(0, ChunkQ)
    feature = tl.arange(0, HiddenDim)
    first = tl.load(prefix_sum_context_lens + sequence)
    length = tl.load(prefix_sum_context_lens + sequence + 1) - first
    query = tl.load(
        Q_buffer + sequence * stride_q_batch + place * stride_q_next_n + head[:, None] * stride_q_heads
        + feature[None, :]
    )
    weight = tl.load(weights + (sequence * next_n + place) * stride_w_batch + head)
    for start in range(share * ChunkK, length, SplitKV * ChunkK):
        there = start + tl.arange(0, ChunkK) < length
        slot = tl.load(kv_indices + first + start + tl.arange(0, ChunkK), mask=there, other=0).to(tl.int64)
        key = tl.load(KV_buffer + slot[:, None] * stride_k_seq + feature[None, :], mask=there[:, None], other=0.0)
        scale = tl.load(scale_buffer + slot * stride_scale_seq, mask=there, other=0.0)
        score = tl.maximum(tl.dot(query, tl.trans(key)), 0.0) * scale[None, :] * weight[:, None]
        mask = start + tl.arange(0, ChunkK) <= length - place
        score = tl.where(mask[None, :], score, float("-inf"))
        tl.store(
            OutLogits_buffer + (sequence * next_n + place) * stride_out_batch + (start + tl.arange(0, ChunkK)),
            tl.reduce(score, axis=0, combine_fn=_sum),
            mask=start + tl.arange(0, ChunkK) < max_model_len,
        )
"""

WRAPPER = b'''\
"""Launches a kernel that takes one token a block."""

from kernels import _deepgemm_fp8_paged_mqa_logits, _deepgemm_fp8_paged_mqa_logits_stage1


def deepgemm_fp8_paged_mqa_logits_stage1(q_fp8, kv_cache_fp8, weights, out_qk, context_lens, kv_indices, max_model_len):
    """One head an output."""
    batch_size, next_n, heads, hidden_dim = q_fp8.size()
    kv_cache_fp8, kv_cache_scale = kv_cache_fp8[..., :hidden_dim], kv_cache_fp8[..., hidden_dim:]
    config = {"ChunkQ": heads, "ChunkK": 64, "HiddenDim": hidden_dim, "max_blk_len": kv_indices.shape[1]}
    _deepgemm_fp8_paged_mqa_logits_stage1[(batch_size * next_n,)](
        batch_size, next_n, heads, q_fp8, q_fp8.stride(0), q_fp8.stride(1), q_fp8.stride(2), kv_cache_fp8,
        kv_cache_fp8.stride(0), kv_cache_scale, kv_cache_scale.stride(0), context_lens, kv_indices, weights,
        weights.stride(0), out_qk, out_qk.stride(0), out_qk.stride(1), max_model_len, **config,
    )


def deepgemm_fp8_paged_mqa_logits(
    q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len, KVBlockSize=1
):
    """One sum over heads."""
    num_block, block_size, _, index_dim = kv_cache.size()
    assert block_size == KVBlockSize
    kv_cache = kv_cache.view(-1, KVBlockSize * index_dim)
    if max_model_len:
        assert KVBlockSize == 1
        _deepgemm_fp8_paged_mqa_logits[(1,)](
            q_fp8.shape[0], q_fp8.shape[1], q_fp8.shape[2], q_fp8, q_fp8.stride(0), q_fp8.stride(1), q_fp8.stride(2),
            kv_cache, kv_cache.stride(0), kv_cache, kv_cache.stride(0), context_lens, kv_indices, weights,
            weights.stride(0), out_logits, out_logits.stride(0), max_model_len, kv_indices.shape[1])
'''


def examined(text: bytes, kernel: str) -> tuple[Fault, ...]:
    """The faults, as if it were known how one kernel of a text comes by its keys."""
    (read,) = (k for k in analyse(text, kernels_of(FAULTS)).kernels if k.name == kernel)
    stores = [s.store for s in read.syntax]
    digest = derivations_of(read.syntax[0].walk, walrus=False).keys(stores, ROLES[kernel])
    assert digest is not None
    groups = [
        [
            replace(g, kernels=tuple(replace(k, known_columns=lambda: frozenset({digest})) for k in g.kernels))
            for g in f.groups
        ]
        for f in FAULTS
    ]
    return tuple(replace(f, groups=tuple(g)) for f, g in zip(FAULTS, groups, strict=True))


def found(text: bytes, fault: str, kernel: str, faults: Sequence[Fault] = FAULTS) -> Diagnosis:
    """What a text has of a fault, in one of its kernels."""
    read = diagnose(text, faults)
    assert not read.problems
    unit = next(u for u in read.units if u.name == kernel)
    return next(d for d in unit.diagnoses if d.fault == fault)
