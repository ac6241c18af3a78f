"""block-paging in kernels and wrappers of the real names and parameters, written for this test."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from aiterfix import demo
from aiterfix.faults import block_paging
from aiterfix.faults.base import NO_SIZE, Presence
from aiterfix.faults.diagnosis import kernels_of
from aiterfix.faults.mend import mend
from aiterfix.source.locate import splice
from aiterfix.source.proof import ProofError
from aiterfix.source.sites import analyse
from tests.paged import BASE, CAUSAL, ENTRY, FAULTS, GLUON, PAGING, PLAIN, RAGGED, STAGE1, WRAPPER, examined, found


def mended(text: bytes) -> bytes:
    result = mend(text, FAULTS, wanted=(PAGING,))
    assert {s.fault for s in result.steps} <= {PAGING}
    assert mend(result.new, FAULTS, wanted=(PAGING,)).new == result.new
    return result.new


def test_a_position_in_the_place_of_a_block_is_found() -> None:
    diagnosis = found(GLUON, PAGING, BASE)
    assert diagnosis.presence is Presence.PRESENT and not diagnosis.obstacle
    assert [dict(f.details)["loads"] for f in diagnosis.findings] == ["table", "keys", "table", "scales"]
    lines = GLUON.splitlines()
    assert all(b"buffer_load" in lines[f.line - 1] for f in diagnosis.findings)


def test_a_kernel_that_is_told_the_size_goes_by_it() -> None:
    new = mended(GLUON)
    assert found(new, PAGING, BASE).presence is Presence.ABSENT
    assert new.count(b"// KVBlockSize") == 2 and new.count(b"% KVBlockSize") == 2
    # Rows in front of the sequence, which the mask leaves out, have no place in a block.
    assert new.count(b"gl.maximum(start + gl.arange") == 2
    kept = [line for line in new.splitlines() if line not in GLUON.splitlines()]
    assert all(b"KVBlockSize" in line or b"gl.maximum" in line or b"start + gl.arange" in line or b"gl.arange" in line
               or line.strip() in (b")", b"+ (") for line in kept)  # fmt: skip
    ast.parse(new)


DIVIDED = mended(GLUON)
UNKNOWN = [
    (b"// KVBlockSize", b"// 64"),
    (b"% KVBlockSize", b"% 64"),
    (b"// KVBlockSize", b"// KVBlockSize + 1"),
    (b"start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right))) // KVBlockSize",
     b"start + 1 + gl.arange(0, STEP, layout=gl.SliceLayout(0, right))) // KVBlockSize"),
]  # fmt: skip


# Where the next token's key or scale is, is part of it.
UNKNOWN += [
    (b" % KVBlockSize)[None, :] * HiddenDim", b" % KVBlockSize)[None, :] * 16"),
    (b" % KVBlockSize)[None, :] * HiddenDim", b" % KVBlockSize)[None, :] * stride_k_seq"),
    (b" % KVBlockSize)[None, :] * HiddenDim", b" % KVBlockSize)[None, :]"),
    (b" % KVBlockSize)[None, :] * HiddenDim", b" % KVBlockSize)[None, :] * HiddenDim * 2"),
    (b"0) % KVBlockSize)\n", b"0) % KVBlockSize * 4)\n"),
    (b"0) % KVBlockSize)\n", b"0) % KVBlockSize * HiddenDim)\n"),
]
# The table's row, and what becomes of the entry.
UNKNOWN += [
    (b"batch * max_block_len", b"position * max_block_len"),
    (b"batch * max_block_len", b"2 * batch * max_block_len"),
    (b"slot[None, :] * stride_k_seq", b"(slot[None, :] & 0xffff) * stride_k_seq"),
    (b"slot[None, :] * stride_k_seq", b"(slot[None, :] * stride_k_seq) % 65536"),
    (b"slot[None, :] * stride_k_seq", b"2 * slot[None, :] * stride_k_seq"),
    (b"slot[None, :] * stride_k_seq", b"slot[None, :] * stride_scale_seq"),
    (b"owner * stride_scale_seq", b"owner * stride_k_seq"),
    (b"owner * stride_scale_seq", b"(owner + 1) * stride_scale_seq"),
]
# Whose token it is: that of the column that is stored, for all of a row, and all of its key.
UNKNOWN += [
    (b"(start + gl.arange", b"(start + STEP + gl.arange"),
    (b"(start + gl.arange", b"(begin + gl.arange"),
    (b"(start + gl.arange", b"(start - gl.arange"),
    (b"layout=gl.SliceLayout(0, right)) >= 0", b"layout=gl.SliceLayout(0, right)) >= 1"),
    (b"layout=gl.SliceLayout(0, right)) >= 0", b"layout=gl.SliceLayout(0, right)) < context_length - 2"),
    (b"gl.where(ahead, slot, 0)", b"gl.where(ahead, 0, slot)"),
    (b"gl.where(ahead, slot, 0)", b"gl.where(ahead & (start > 0), slot, 0)"),
    (b"gl.arange(0, HiddenDim, layout=gl.SliceLayout(1, right))", b"gl.arange(1, HiddenDim, layout=right)"),
    (b"gl.arange(0, HiddenDim, layout=gl.SliceLayout(1, right))", b"gl.arange(0, ChunkQ, layout=right)"),
    (b"gl.arange(0, HiddenDim, layout=gl.SliceLayout(1, right))", b"16 + gl.arange(0, HiddenDim, layout=right)"),
    (b"stride_k_seq\n", b"stride_k_seq\n            - "),
    (b" % KVBlockSize)[None, :] * HiddenDim", b" % KVBlockSize + 1)[None, :] * HiddenDim"),
    (b"0) % KVBlockSize)\n", b"0) % KVBlockSize + 1)\n"),
]


@pytest.mark.parametrize(("old", "new"), UNKNOWN)
def test_another_size_or_place_is_not_taken_for_right(old: bytes, new: bytes) -> None:
    text = DIVIDED.replace(old, new)
    assert text != DIVIDED
    assert found(text, PAGING, BASE).presence in (Presence.UNKNOWN, Presence.PRESENT)


# Reads block table and scales one step before it stores, and stores the last step behind the loop.
AHEAD = (
    DIVIDED[: DIVIDED.index(b"    head = gl.arange")]
    + b"""\
    lanes: gl.constexpr = gl.BlockedLayout([1], [64], [4], [0])
    first = begin - before
    there = first + gl.arange(0, STEP, layout=lanes) >= 0
    slot = gl.load(
        kv_indices + batch * max_block_len + (first + gl.arange(0, STEP, layout=lanes)) // KVBlockSize, mask=there
    )
    slot = gl.where(there, slot, 0).to(gl.int64)
    scale = gl.load(
        scale_buffer + slot * stride_scale_seq + gl.maximum(first + gl.arange(0, STEP, layout=lanes), 0) % KVBlockSize
    )
    out = OutLogits_buffer + (batch * next_n + position).to(gl.int64) * stride_out_batch
    for start in range(first, end - STEP, STEP):
        slot = gl.load(kv_indices + batch * max_block_len + (start + STEP + gl.arange(0, STEP, layout=lanes)) // KVBlockSize)
        column = start + gl.arange(0, STEP, layout=lanes)
        score = gl.where(column <= context_length - next_n + position, scale, float("-inf"))
        gl.amd.cdna3.buffer_store(score, ptr=out, offsets=column, mask=(column >= 0) & (column < max_model_len))
        scale = gl.load(
            scale_buffer
            + slot.to(gl.int64) * stride_scale_seq
            + (start + STEP + gl.arange(0, STEP, layout=lanes)) % KVBlockSize
        )
    column = end - STEP + gl.arange(0, STEP, layout=lanes)
    score = gl.where(column <= context_length - next_n + position, scale, float("-inf"))
    gl.amd.cdna3.buffer_store(score, ptr=out, offsets=column, mask=(column >= 0) & (column < max_model_len))
"""
)


def test_a_kernel_that_reads_a_step_ahead_must_be_known() -> None:
    diagnosis = found(AHEAD, PAGING, BASE)
    assert diagnosis.presence is Presence.UNKNOWN and "other statements" in diagnosis.findings[0].message
    assert found(AHEAD, PAGING, BASE, examined(AHEAD, BASE)).presence is Presence.ABSENT
    # It must go by blocks all the same.
    old = AHEAD.replace(b" // KVBlockSize", b"")
    assert found(old, PAGING, BASE, examined(old, BASE)).presence is not Presence.ABSENT


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"column = end - STEP +", b"column = end +"),
        (b"column = end - STEP +", b"column = first +"),
        (b"column = start + gl", b"column = start + STEP + gl"),
        (b"(start + STEP + gl", b"(start + gl"),
        (b"(start + STEP + gl", b"(start + 2 * STEP + gl"),
        (b"(first + gl.arange(0, STEP, layout=lanes)) //", b"(begin + gl.arange(0, STEP, layout=lanes)) //"),
        # The last turn is for the columns in front of the last ones only where the steps come out even.
        (b"before = (STEP - (end - begin) % STEP) % STEP", b"before = (STEP - (end - begin) // STEP) % STEP"),
        (b"before = (STEP - (end - begin) % STEP) % STEP", b"before = (end - begin) % STEP"),
        (b"range(first, end - STEP, STEP)", b"range(first, end - STEP + 1, STEP)"),
        (b"begin = share * steps * STEP", b"begin = share * steps"),
        (b"end = min(begin + steps * STEP, context_length)", b"end = min(begin + steps * STEP, max_model_len)"),
        # The scales of another turn.
        (b"        scale = gl.load(\n", b"        later = gl.load(\n"),
        (b"    column = end - STEP", b"    scale = scale + 0 * column\n    column = end - STEP"),
        (b"position, scale, float", b"position, slot, float"),
        # Columns that are left out.
        (b"mask=(column >= 0) &", b"mask=(column >= 1) &"),
        (b"mask=(column >= 0) &", b"mask=(start >= 0) &"),
    ],
)
def test_other_keys_than_those_of_the_stored_columns_are_not_taken_for_known(old: bytes, new: bytes) -> None:
    text = AHEAD.replace(old, new)
    assert text != AHEAD
    assert found(text, PAGING, BASE, examined(AHEAD, BASE)).presence is Presence.UNKNOWN


def test_addresses_that_are_lost_sight_of_are_unknown() -> None:
    lost = GLUON.replace(
        b"ptr=scale_buffer, offsets=owner", b"ptr=gl.where(there, scale_buffer, weights), offsets=owner"
    )
    diagnosis = found(lost, PAGING, BASE)
    assert diagnosis.presence is Presence.UNKNOWN and "scale_buffer" in diagnosis.findings[0].message
    assert mended(lost) == lost


def test_masks_that_leave_no_token_out_are_right() -> None:
    mask = b"layout=gl.SliceLayout(0, right)) >= 0\n"
    assert DIVIDED.count(mask) == 1
    for more in (
        b"< context_length",
        b"< gl.minimum(context_length, max_model_len)",
        b"<= context_length - 1",
        b">= -5",
    ):
        text = DIVIDED.replace(mask, mask.replace(b">= 0", more))
        assert found(text, PAGING, BASE).presence is Presence.ABSENT


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        (PLAIN.replace(b"kv_indices", b"block_table"), STAGE1, "nothing from kv_indices"),
        (PLAIN.replace(b"KV_buffer", b"cache").replace(b"scale_buffer", b"factor"), STAGE1, "nothing from KV_buffer"),
        (DIVIDED.replace(b"ptr=KV_buffer", b"ptr=Q_buffer"), BASE, "from elsewhere too"),
    ],
)
def test_a_cache_or_table_by_another_name_is_unknown(text: bytes, name: str, reason: str) -> None:
    assert text not in (PLAIN, DIVIDED)
    diagnosis = found(text, PAGING, name)
    assert diagnosis.presence is Presence.UNKNOWN and reason in diagnosis.findings[0].message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"gl.maximum(start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right)), 0)",
         b"gl.where(ahead, start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right)), 0)"),
        (b"gl.maximum(start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right)), 0)",
         b"(start + gl.arange(0, STEP, layout=gl.SliceLayout(0, right)))"),
        (b"slot[None, :] * stride_k_seq", b"gl.expand_dims(slot, 0) * stride_k_seq"),
        (b"slot[None, :] * stride_k_seq", b"(stride_k_seq * slot)[None, :]"),
    ],
)  # fmt: skip
def test_the_same_place_in_other_words_is_right(old: bytes, new: bytes) -> None:
    text = DIVIDED.replace(old, new)
    assert text != DIVIDED
    assert found(text, PAGING, BASE).presence is Presence.ABSENT


def test_what_cannot_be_taught_says_why_and_stays() -> None:
    hidden = GLUON.replace(
        b"offsets=batch * max_block_len + start + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc)),",
        b"offsets=start + batch * max_block_len + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc)),",
    )
    assert hidden != GLUON
    diagnosis = found(hidden, PAGING, BASE)
    assert diagnosis.presence is Presence.PRESENT and "end of a sum" in diagnosis.obstacle
    assert mended(hidden) == hidden


def test_a_kernel_that_is_not_told_the_size_is_its_launchers_to_guard() -> None:
    diagnosis = found(PLAIN, PAGING, STAGE1)
    assert diagnosis.presence is Presence.PRESENT and not diagnosis.obstacle
    assert [f.code for f in diagnosis.findings] == [NO_SIZE]
    assert mended(PLAIN) == PLAIN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"* max_blk_len + column, mask", b"* max_blk_len + start, mask"),
        (b"* max_blk_len + column, mask", b"* max_blk_len + column + 1, mask"),
        (b"mask=column < length, other=0)\n        key", b"mask=column < place, other=0)\n        key"),
        (b"+ tl.arange(0, HiddenDim)[None, :])\n        scale", b")\n        scale"),
        (b"slot.to(tl.int64) * stride_scale_seq", b"slot.to(tl.int64) * stride_scale_seq + 1"),
        # What is not loaded is 0, or anything.
        (
            b"tl.arange(0, HiddenDim)[None, :])\n        scale",
            b"tl.arange(0, HiddenDim)[None, :], mask=(column < place)[:, None])\n        scale",
        ),
        (
            b"tl.arange(0, HiddenDim)[None, :])\n        scale",
            b"tl.arange(0, HiddenDim)[None, :], mask=(tl.arange(0, HiddenDim) < 64)[None, :], other=0.0)\n        scale",
        ),
        (b"slot.to(tl.int64) * stride_scale_seq)", b"slot.to(tl.int64) * stride_scale_seq, mask=column % 2 == 0)"),
    ],
)
def test_a_kernel_for_blocks_of_one_token_must_be_right_with_these(old: bytes, new: bytes) -> None:
    text = PLAIN.replace(old, new)
    assert text != PLAIN
    diagnosis = found(text, PAGING, STAGE1)
    assert diagnosis.presence is Presence.UNKNOWN and NO_SIZE not in {f.code for f in diagnosis.findings}


KEY = (
    b"        key = tl.load(KV_buffer + slot.to(tl.int64)[:, None] * stride_k_seq + tl.arange(0, HiddenDim)[None, :])\n"
)
SCALE = b"        scale = tl.load(scale_buffer + slot.to(tl.int64) * stride_scale_seq)\n"
LOOP = b"    for start in range((program"
JIT = b"@triton.jit\ndef _deepgemm_fp8_paged_mqa_logits_stage1("
TURNED = b"@triton.jit\ndef turned(x):\n    return tl.maximum(tl.flip(x, 0), 0.0)\n\n\n"


@pytest.mark.parametrize(
    "changes",
    [
        [(LOOP, b"    key = tl.zeros((ChunkK, HiddenDim), tl.float32)\n" + LOOP), (KEY + SCALE, SCALE), (b"        score = tl.where(column", KEY + b"        score = tl.where(column")],
        [(LOOP, b"    scale = 1.0\n" + LOOP), (SCALE, b"        if start > 0:\n    " + SCALE)],
        [(LOOP, b"    held = 1.0\n" + LOOP), (SCALE, b"        scale = held\n" + SCALE.replace(b"scale =", b"held ="))],
        [(SCALE, SCALE + b"        scale = tl.flip(scale, 0)\n")],
        [(SCALE, SCALE + b"        scale = tl.sort(scale)\n")],
        [(SCALE, SCALE + b"        scale = tl.cumsum(scale, 0)\n")],
        [(SCALE, SCALE + b"        scale = tl.gather(scale, column // 2, 0)\n")],
        [(KEY, KEY + b"        key = tl.flip(key, 0)\n")],
        [(JIT, TURNED + JIT), (SCALE, SCALE + b"        scale = turned(scale)\n")],
        [(JIT, TURNED + JIT), (SCALE, SCALE + b"        scale = turned(scale)\n        again = turned(scale)\n")],
        [(b"        tl.store(\n", b"        tl.store(Out_buffer + row * stride_out_batch + column, score, mask=column < max_model_len)\n        tl.store(\n")],
    ],
)  # fmt: skip
def test_keys_that_need_not_be_those_of_their_turn_are_not_taken_for_right(changes: list[tuple[bytes, bytes]]) -> None:
    text = PLAIN
    end = PLAIN.index(b"def _deepgemm_fp8_paged_mqa_logits_ragged_k")
    for old, new in changes:
        assert old in text[:end]
        text = text.replace(old, new, 1)
    diagnosis = found(text, PAGING, STAGE1)
    assert diagnosis.presence is Presence.UNKNOWN and "other statements" in diagnosis.findings[0].message


@pytest.mark.parametrize(
    "change",
    [
        b"        scale = tl.maximum(tl.where(scale > 0, scale, 0.0), 0.0).to(tl.float32)\n",
        b"        scale = kept(scale, ChunkK)\n",
    ],
)
def test_scores_that_stay_in_their_columns_are_followed(change: bytes) -> None:
    kept = b"@triton.jit\ndef kept(x, k: tl.constexpr):\n    return tl.maximum(x, 0.0) * tl.full((k,), 1.0, tl.float32)\n\n\n"
    text = PLAIN.replace(JIT, kept + JIT, 1).replace(SCALE, SCALE + change, 1)
    assert text.count(b"kept(") > 1 or change in text
    assert [f.code for f in found(text, PAGING, STAGE1).findings] == [NO_SIZE]


def test_an_edit_that_does_more_than_it_should_is_caught() -> None:
    kernels = kernels_of(FAULTS)
    for text, spoil in ((GLUON, (b"owner * stride", b"slot * stride")), (WRAPPER, (b"size(-1)", b"size(1)"))):
        before = analyse(text, kernels)
        edits, places = block_paging.edits(text, before, "f")
        new = splice(text, edits)
        block_paging.prove(before, analyse(new, kernels), places, "f")
        for spoilt in (text, new.replace(*spoil)):
            with pytest.raises(ProofError):
                block_paging.prove(before, analyse(spoilt, kernels), places, "f")


# ---- wrappers --------------------------------------------------------------------------------------


def test_a_wrapper_refuses_and_nothing_else_changes() -> None:
    new = mended(WRAPPER)
    added = [line for line in new.splitlines() if line not in WRAPPER.splitlines()]
    assert [line for line in new.splitlines() if line in WRAPPER.splitlines()] == WRAPPER.splitlines()
    assert added[0].strip().startswith(b"if kv_cache_fp8.numel()") and b"ValueError" in added[1]
    # Behind the docstring, in front of everything else; the entry with the assert needs none.
    function = next(n for n in ast.parse(new).body if isinstance(n, ast.FunctionDef) and n.name == ENTRY)
    assert ast.get_docstring(function) == "One head an output." and isinstance(function.body[1], ast.If)
    assert new.count(b"raise ValueError") == 1


SIZED = WRAPPER.replace(
    b"    kv_cache_fp8, kv_cache_scale = ",
    b"    _, block_size, _, _ = kv_cache_fp8.size()\n    kv_cache_fp8, kv_cache_scale = ",
)
TELLS = (b"max_model_len, **config", b"max_model_len, KVBlockSize=block_size, **config")
GUARDED = [
    TELLS,
    (b'"ChunkK": 64,', b'"ChunkK": 64, "KVBlockSize": block_size,'),
    (b'{"ChunkQ"', b"{'KVBlockSize': block_size, \"ChunkQ\""),
]
NOT_TOLD = [
    [(b"max_model_len, **config", b"max_model_len, KVBlockSize=1, **config")],
    [(b"max_model_len, **config", b"max_model_len, KVBlockSize=heads, **config")],
    [
        (
            b"    _deepgemm_fp8_paged_mqa_logits_stage1[(",
            b"    config['KVBlockSize'] = 1\n    _deepgemm_fp8_paged_mqa_logits_stage1[(",
        )
    ],
    [TELLS, (b"    config = ", b"    block_size = 1\n    config = ")],
    [TELLS, (b"_, block_size, _, _", b"block_size, _, _, _")],
    [TELLS, (b"kv_cache_fp8.stride(0)", b"kv_cache_fp8.stride(1)")],
    [TELLS, (b"kv_cache_fp8.stride(0)", b"kv_cache_scale.stride(0)")],
    [(b'"ChunkK": 64,', b'"ChunkK": 64, "KVBlockSize": 1,')],
    [
        (b'"ChunkK": 64,', b'"ChunkK": 64, "KVBlockSize": block_size,'),
        (
            b"    _deepgemm_fp8_paged_mqa_logits_stage1[(",
            b"    config['KVBlockSize'] = 1\n    _deepgemm_fp8_paged_mqa_logits_stage1[(",
        ),
    ],
    [
        (b'"ChunkK": 64,', b'"ChunkK": 64, "KVBlockSize": block_size,'),
        (
            b"    _deepgemm_fp8_paged_mqa_logits_stage1[(",
            b"    config.update(KVBlockSize=1)\n    _deepgemm_fp8_paged_mqa_logits_stage1[(",
        ),
    ],
]


@pytest.mark.parametrize(("old", "new"), GUARDED)
def test_a_launch_that_hands_the_size_on_is_left_alone(old: bytes, new: bytes) -> None:
    text = SIZED.replace(old, new)
    assert text != SIZED
    assert mended(text) == text


@pytest.mark.parametrize("changes", NOT_TOLD)
def test_a_launch_that_hands_on_something_else_refuses(changes: list[tuple[bytes, bytes]]) -> None:
    text = SIZED
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    assert mended(text).count(b"raise ValueError") == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"kv_indices + first + start", b"kv_indices + start"),
        (b"kv_indices + first + start", b"kv_indices + 2 * first + start"),
        (b"kv_indices + first + start", b"kv_indices + length + start"),
        (b"prefix_sum_context_lens + sequence)", b"prefix_sum_context_lens + place)"),
        (b"slot[:, None] * stride_k_seq + feature", b"(slot[:, None] & 65535) * stride_k_seq + feature"),
    ],
)
def test_a_table_of_tokens_is_read_from_the_sequences_first_on(old: bytes, new: bytes) -> None:
    assert found(PLAIN, PAGING, RAGGED).findings[0].code == NO_SIZE
    text = PLAIN.replace(old, new)
    assert text != PLAIN
    diagnosis = found(text, PAGING, RAGGED)
    assert diagnosis.presence is not Presence.ABSENT and "not understood" in {
        f.obstacle[-14:] for f in diagnosis.findings
    }


# ---- caches in tiles -------------------------------------------------------------------------------

# Walks a row in halves, and counts the blocks of the second half itself.
TILED = b"""\
import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads, KV_buffer, stride_k_seq,
    scale_buffer, stride_scale_seq, context_len_ptr, kv_indices, weights, stride_w_batch, OutLogits_buffer,
    stride_out_batch, max_model_len, max_block_len, num_block, SplitKV: gl.constexpr, ChunkQ: gl.constexpr,
    ChunkK: gl.constexpr, HiddenDim: gl.constexpr, KVBlockSize: gl.constexpr = 16,
):
    lanes: gl.constexpr = gl.BlockedLayout([1], [64], [4], [0])
    pid = gl.program_id(0)
    batch, position = pid % batch_size, pid // batch_size % next_n
    length = gl.load(context_len_ptr + batch)
    table = kv_indices + batch * max_block_len
    counted = 0
    counted += 1
    blocks = tl.cdiv(length, KVBlockSize)
    depth, token = gl.arange(0, HiddenDim, layout=lanes), gl.arange(0, ChunkK, layout=lanes)
    deep = depth % 16 + depth // 16 * 256
    inner = token % 16 * 16 + token % KVBlockSize // 16 * 2048
    for start in range(0, length, ChunkK):
        column = start + gl.arange(0, ChunkK, layout=lanes)
        block = gl.load(table + start // KVBlockSize + gl.arange(0, ChunkK, layout=lanes) // KVBlockSize)
        ahead = gl.load(table + counted, mask=counted < blocks, other=0)
        for j in range(0, blocks):
            ahead = gl.load(table + j + 1)
        if j > 0:
            counted += 1
        key = gl.load(KV_buffer + deep[:, None] + inner[None, :] + block.to(gl.int64)[None, :] * stride_k_seq)
        scale = gl.sum(key, axis=0) * gl.load(scale_buffer + block.to(gl.int64) * stride_scale_seq + column % KVBlockSize) * ahead
        gl.amd.cdna3.buffer_store(
            gl.where(column <= length - next_n + position, scale, float("-inf")),
            ptr=OutLogits_buffer + (batch * next_n + position).to(gl.int64) * stride_out_batch, offsets=column,
            mask=column < max_model_len,
        )
"""
PRESHUFFLE = "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle"


def test_a_block_table_of_tiles_must_be_known() -> None:
    diagnosis = found(TILED, PAGING, PRESHUFFLE, examined(TILED, PRESHUFFLE))
    assert [(f.code, f.presence) for f in diagnosis.findings] == [("preshuffled", Presence.ABSENT)]
    assert found(TILED, PAGING, PRESHUFFLE).presence is Presence.UNKNOWN
    assert mended(TILED) == TILED


TILES = {
    "a block table by position": (
        Presence.UNKNOWN,
        [
            (b"block.to(gl.int64) * stride", b"(block & 0xffff).to(gl.int64) * stride"),
            (b"block.to(gl.int64) * stride_scale_seq", b"(block.to(gl.int64) * stride_scale_seq) % 4294967296"),
            (
                b"block.to(gl.int64) * stride_scale_seq",
                b"gl.minimum(block.to(gl.int64) * stride_scale_seq, 2147483647)",
            ),
            (b"block.to(gl.int64) * stride", b"gl.minimum(block, 1000).to(gl.int64) * stride"),
            (b"block.to(gl.int64) * stride", b"(block.to(gl.int64) + 1) * stride"),
            (b"block.to(gl.int64) * stride", b"num_block.to(gl.int64) * stride"),
            (b"block.to(gl.int64) * stride", b"start.to(gl.int64) * stride"),
            (b"block.to(gl.int64) * stride", b"gl.where(column < length, length, block).to(gl.int64) * stride"),
            (b"        scale = gl.sum", b"        block = block * 2\n        scale = gl.load"),
            (b"start // KVBlockSize", b"start"),
            (b"start // KVBlockSize", b"start // 16"),
            (b"start // KVBlockSize", b"start // (KVBlockSize + 1)"),
            (b"start // KVBlockSize", b"2 * (start // KVBlockSize)"),
            (b"start // KVBlockSize", b"start // KVBlockSize * position"),
            (b"layout=lanes) // KVBlockSize)", b"layout=lanes))"),
            (b"counted = 0", b"counted = length"),
            (b"    counted += 1\n    blocks", b"    counted += ChunkK\n    blocks"),
            (b"    counted += 1\n    blocks", b"    counted *= 2\n    blocks"),
            (b"    counted += 1\n    blocks", b"    counted, _ = 1, 2\n    blocks"),
            (b"if j > 0", b"if j > 1"),
            (b"        if j > 0:\n    ", b""),
            (b"        if j > 0:\n", b"        if start > 0:\n"),
            (b"range(0, blocks)", b"range(0, length)"),
            (b"range(0, blocks)", b"range(0, blocks, ChunkK)"),
            (b"tl.cdiv(length, KVBlockSize)", b"length"),
            (b"start // KVBlockSize", b"start // KVBlockSize + 1"),
            (b"start // KVBlockSize", b"gl.cdiv(start, KVBlockSize)"),
            (b"start // KVBlockSize", b"(start + ChunkQ) // KVBlockSize"),
            (
                b" + gl.arange(0, ChunkK, layout=lanes) // KVBlockSize)",
                b" + gl.arange(0, ChunkQ, layout=lanes) // KVBlockSize)",
            ),
            (b"    counted += 1\n        key", b"    counted += 2\n        key"),
            (b"    counted += 1\n        key", b"    counted -= 1\n        key"),
            (b"    counted += 1\n        key", b"    counted = 1\n        key"),
            (b"        scale = gl.sum", b"        block += ahead\n        scale = gl.load"),
            (b"j + 1)", b"j + 2)"),
            (b"batch * max_block_len", b"position * max_block_len"),
            (b"batch * max_block_len", b"(batch + 1) * max_block_len"),
            (b"batch * max_block_len", b"batch * num_block"),
            (b"mask=counted < blocks", b"mask=counted < blocks - 1"),
            (b"mask=counted < blocks", b"mask=counted > blocks"),
            (b"mask=counted < blocks", b"mask=position == 0"),
            (b"mask=counted < blocks", b"mask=counted < tl.cdiv(next_n, KVBlockSize)"),
            (b"mask=counted < blocks", b"mask=counted < length // KVBlockSize"),
            (
                b"        scale = gl.sum",
                b"        block = gl.where(column < length - 1, block, 0)\n        scale = gl.sum",
            ),
            (b"        scale = gl.sum", b"        block = gl.where(position == 0, block, 0)\n        scale = gl.sum"),
            (
                b"KV_buffer + deep[:, None] + inner[None, :] + block.",
                b"KV_buffer + deep[:, None] + inner[None, :] + ahead.",
            ),
            (b"kv_indices + batch * max_block_len", b"kv_indices"),
            (b"kv_indices + batch * max_block_len", b"gl.where(position > 0, kv_indices, kv_indices) + batch"),
        ],
    ),
    "another place in a tile": (
        Presence.UNKNOWN,
        [
            (b"depth % 16 +", b"depth % 32 +"),
            (b"depth // 16 * 256", b"depth // 16 * 128"),
            (b"gl.arange(0, HiddenDim, layout=lanes), gl", b"gl.arange(0, ChunkK, layout=lanes), gl"),
            (b"token % 16 * 16 +", b"token % 16 +"),
            (b"token % 16 * 16 + ", b""),
            (b"token % KVBlockSize // 16", b"token // KVBlockSize // 16"),
            (b"// 16 * 2048", b"// 16 * 256"),
            (b"+ inner[None, :]", b"- inner[None, :]"),
            (b"+ inner[None, :]", b"+ inner[None, :] + 1"),
            (b"+ inner[None, :]", b"+ inner[None, :] + (start + 1) % KVBlockSize * HiddenDim"),
            (b"+ inner[None, :]", b"+ inner[None, :] + start % KVBlockSize * ChunkK"),
            (b"+ column % KVBlockSize)", b"+ (column + 1) % KVBlockSize)"),
            (b"+ column % KVBlockSize)", b"+ column % ChunkK)"),
            (b"+ column % KVBlockSize)", b"+ column // KVBlockSize)"),
            (b"+ column % KVBlockSize)", b")"),
            (b"        scale = gl.sum", b"        block = gl.where(column < length, 0, block)\n        scale = gl.sum"),
        ],
    ),
    "what decides no key": (
        Presence.ABSENT,
        [
            (b"ahead", b"coming"),
            (b"layout=lanes", b"layout=gl.BlockedLayout([2], [64], [4], [0])"),
            (b"column < max_model_len", b"(column < max_model_len) & (column < length)"),
            (
                b"(batch * next_n + position).to(gl.int64) * stride",
                b"stride_out_batch * 0 + (batch * next_n + position) * stride",
            ),
            (b'gl.where(column <= length - next_n + position, scale, float("-inf"))', b"scale"),
        ],
    ),
}
"""Changes of a kernel whose way to its keys is known, and what is found in it then."""


@pytest.mark.parametrize(
    ("old", "new", "presence"),
    [
        pytest.param(old, new, presence, id=f"{table}-{number}")
        for table, (presence, changes) in TILES.items()
        for number, (old, new) in enumerate(changes)
    ],
)
def test_a_changed_kernel_of_tiles(old: bytes, new: bytes, presence: Presence) -> None:
    text = TILED.replace(old, new)
    assert text != TILED
    assert found(text, PAGING, PRESHUFFLE, examined(TILED, PRESHUFFLE)).presence is presence


def test_a_rows_weights_are_no_part_of_how_it_comes_by_its_keys() -> None:
    heads = b"gl.load(weights + (batch * next_n + position) * stride_w_batch + gl.arange(0, ChunkQ, layout=lanes))"
    weighed = TILED.replace(b"    for start in", b"    many = %b\n    for start in" % heads)
    weighed = weighed.replace(b"scale = gl.sum(key, axis=0)", b"scale = gl.sum(key, axis=0) * many")
    first = b"gl.load(weights + batch * next_n * stride_w_batch + position * stride_w_batch + gl.arange(0, ChunkQ))"
    other = weighed.replace(heads, first)
    known = examined(weighed, PRESHUFFLE)
    assert other != weighed and found(other, PAGING, PRESHUFFLE, known).presence is Presence.ABSENT
    for wrong in (b"gl.sum(key, axis=0) * key", b"gl.sum(key, axis=0) + many", b"gl.sum(key, axis=0)"):
        text = weighed.replace(b"gl.sum(key, axis=0) * many", wrong)
        assert found(text, PAGING, PRESHUFFLE, known).presence is Presence.UNKNOWN


@pytest.mark.parametrize(
    "bound",
    [
        b"column <= length",
        b"column <= length - 1",
        b"column <= length - next_n",
        b"column <= length - next_n + batch",
        # Some other number than the length may be left when a mask is about other columns than the stored ones.
        b"length + token <= length - next_n + position",
        b"column <= num_block - next_n + position",
    ],
)
def test_a_mask_of_tiles_that_does_not_go_by_the_row_is_not_taken_for_right(bound: bytes) -> None:
    assert found(TILED, CAUSAL, PRESHUFFLE).presence is Presence.ABSENT
    text = TILED.replace(b"column <= length - next_n + position", bound)
    assert found(text, CAUSAL, PRESHUFFLE).presence is Presence.UNKNOWN


SAMPLE = Path(demo.__file__).parent / "sample/aiter/ops/triton/gluon/pa_mqa_logits.py"
HALVES = SAMPLE.read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"(first + half) // KVBlockSize", b"first // KVBlockSize"),
        (b"(first + half) % KVBlockSize", b"first % KVBlockSize"),
        (b"max_block_len + first // KVBlockSize", b"max_block_len + (first + half) // KVBlockSize"),
        (b"        scale = gl.amd.cdna3.buffer_load(\n            ptr=scale_buffer,\n            offsets=block", b"        other = gl.amd.cdna3.buffer_load(\n            ptr=scale_buffer,\n            offsets=block"),
        (b"offsets=start + half + gl.arange", b"offsets=start + gl.arange"),
    ],
)  # fmt: skip
def test_each_of_two_stores_in_a_turn_must_be_of_its_own_keys(old: bytes, new: bytes) -> None:
    assert found(HALVES, PAGING, PRESHUFFLE).presence is Presence.ABSENT
    assert HALVES.count(old) == 1
    assert found(HALVES.replace(old, new), PAGING, PRESHUFFLE).presence is Presence.UNKNOWN


LINE_ENDINGS = [WRAPPER.replace(b"\n", b"\r\n"), WRAPPER.replace(b"    ", b"\t"), "# ä\n".encode() + WRAPPER]


QUERIES = b"batch * stride_q_batch + position * stride_q_next_n"
WEIGHTS = b"(batch * next_n + position) * stride_w_batch"
LANES = b"gl.arange(0, ChunkQ, layout=gl.SliceLayout(1, acc))"
OF_OTHERS = [
    (QUERIES, b"batch * stride_q_next_n + position * stride_q_batch"),
    (QUERIES, b"(batch * next_n + position) * stride_q_batch"),
    (QUERIES, b"batch * stride_q_batch"),
    (QUERIES, b"batch * stride_q_batch + (next_n - 1 - position) * stride_q_next_n"),
    (QUERIES, b"(batch + 1) * stride_q_batch + position * stride_q_next_n"),
    (QUERIES, b"share * stride_q_batch + position * stride_q_next_n"),
    (b"head[:, None] * stride_q_heads", b"head[:, None] * stride_q_next_n"),
    (b"head[:, None] * stride_q_heads", b"(head[:, None] + 1) * stride_q_heads"),
    (b"head[:, None] * stride_q_heads", b"head[:, None] * stride_q_heads, mask=head[:, None] < position"),
    (b"+ depth_q[None, :]", b"+ depth_q[None, :] * stride_q_heads"),
    (b"    q = gl.load(", b"    Q_buffer += stride_q_heads\n    q = gl.load("),
    (
        b"    q = gl.load(\n        Q_buffer",
        b"    at = gl.where(position > 0, Q_buffer, weights)\n    q = gl.load(\n        at",
    ),
    (b"gl.amd.cdna3.mfma(q, k, zero)", b"gl.amd.cdna3.mfma(zero, k, zero)"),
    (b"    zero =", b"    q = gl.load(Q_buffer + head[:, None] * stride_q_heads + depth_q[None, :])\n    zero ="),
    (b"Q_buffer", b"other_buffer"),
    (WEIGHTS, b"(position * batch_size + batch) * stride_w_batch"),
    (WEIGHTS, b"batch * stride_w_batch"),
    (WEIGHTS, b"(batch * heads_num + position) * stride_w_batch"),
    (WEIGHTS, b"(batch * next_n + position) * stride_q_next_n"),
    (WEIGHTS + b" + " + LANES, WEIGHTS + b" + 1 + " + LANES),
    (WEIGHTS + b" + " + LANES, WEIGHTS + b" + 2 * " + LANES),
    (WEIGHTS + b" + " + LANES, WEIGHTS + b" + gl.arange(0, STEP, layout=gl.SliceLayout(0, acc))"),
    (WEIGHTS + b" + " + LANES, b"batch * next_n + position + " + LANES + b" * stride_w_batch"),
    (b"* weight[:, None]", b"* 1.0"),
    (b"weights", b"factors"),
]
GROUPED = DIVIDED
for _old, _new in (
    (b"    pid = gl.program_id(0)\n", b"    groups = gl.cdiv(heads_num, ChunkQ)\n    group, pid = gl.program_id(0) % groups, gl.program_id(0) // groups\n"),
    (b"head = gl.arange", b"head = group * ChunkQ + gl.arange"),
    (LANES, b"group * ChunkQ + " + LANES),
):  # fmt: skip
    GROUPED = GROUPED.replace(_old, _new)
OF_ANOTHER_GROUP = [
    (b"head = group * ChunkQ + ", b"head = "),
    (b"group * ChunkQ + " + LANES, LANES),
    (b"group * ChunkQ", b"group"),
    (b"group * ChunkQ", b"group * ChunkK"),
    (b"gl.cdiv(heads_num, ChunkQ)", b"gl.cdiv(heads_num, ChunkK)"),
]
OF_ITS_OWN = [
    (QUERIES, b"position * stride_q_next_n + batch.to(gl.int64) * stride_q_batch"),
    (b"head[:, None] * stride_q_heads", b"(head * stride_q_heads)[:, None]"),
    (b"    q = gl.load(\n        Q_buffer + batch * stride_q_batch", b"    own = Q_buffer + batch * stride_q_batch\n    q = gl.load(\n        own"),
    (WEIGHTS, b"batch * next_n * stride_w_batch + stride_w_batch * position"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [*((DIVIDED, *change) for change in OF_OTHERS), *((GROUPED, *change) for change in OF_ANOTHER_GROUP)],
)
def test_a_row_that_may_be_scored_with_the_queries_or_weights_of_another_is_not_understood(
    text: bytes, old: bytes, new: bytes
) -> None:
    assert old in text
    diagnosis = found(text.replace(old, new), PAGING, BASE)
    assert diagnosis.presence is Presence.UNKNOWN and diagnosis.obstacle


@pytest.mark.parametrize(("old", "new"), OF_ITS_OWN)
def test_a_row_that_is_scored_with_its_own_in_other_words_is_right(old: bytes, new: bytes) -> None:
    for text in (DIVIDED, GROUPED):
        assert old in text and found(text, PAGING, BASE).presence is Presence.ABSENT
        assert found(text.replace(old, new), PAGING, BASE).presence is Presence.ABSENT


def test_a_store_of_other_heads_than_those_that_are_loaded_is_not_understood() -> None:
    head = b"    head = tl.arange(0, ChunkQ)\n    length"
    load = b"    head = tl.arange(0, ChunkQ)\n    weight = tl.load(weights + row * stride_w_batch + head)\n    length"
    weighed = PLAIN.replace(head, load).replace(b"* head[:, None]\n", b"* weight[:, None]\n")
    assert weighed.count(b"weight[:, None]") == 2 and found(weighed, PAGING, STAGE1).findings[0].code == NO_SIZE
    for wrong in (b"(head + 1)[:, None] * stride_out_heads", b"column[:, None] * stride_out_heads"):
        text = weighed.replace(b"head[:, None] * stride_out_heads", wrong)
        assert found(text, PAGING, STAGE1).presence is Presence.UNKNOWN


@pytest.mark.parametrize("text", LINE_ENDINGS, ids=["crlf", "tabs", "umlaut"])
def test_line_endings_and_indentation_are_the_files_own(text: bytes) -> None:
    new = mended(text)
    assert new != text
    compile(new, "f", "exec")
    assert (b"\r\n" in text) == (b"\r\n" in new) and new.count(b"\n") - new.count(b"\r\n") in (0, new.count(b"\n"))


def test_a_launcher_that_is_not_handed_the_cache_is_left() -> None:
    text = WRAPPER.replace(b"kv_cache_fp8", b"something")
    assert mended(text) == text
