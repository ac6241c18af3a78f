"""cache-offset-32 in kernels of the real names and parameters, written for this test: found, mended, proven."""

from __future__ import annotations

from itertools import combinations

import pytest

from aiterfix.faults.base import Diagnosis, Presence
from aiterfix.faults.diagnosis import Unit
from aiterfix.faults.mend import mend
from aiterfix.faults.registry import load_faults
from aiterfix.source.locate import splice
from aiterfix.source.proof import ProofError

FAULTS = load_faults().judged
FAULT = "cache-offset-32"
NAME = "_gluon_deepgemm_fp8_paged_mqa_logits"

GLUON = """\
import triton.language as tl
from triton.experimental import gluon
from triton.experimental.gluon import language as gl


@gluon.jit
def {name}(
    next_n,
    KV_buffer,
    stride_k_seq,
    scale_buffer,
    stride_scale_seq,
    kv_indices,
    OutLogits_buffer,
    stride_out_batch,
    max_model_len,
    max_block_len,
    ChunkK: tl.constexpr,
    HiddenDim: tl.constexpr,
    KVBlockSize: tl.constexpr = 16,
    ARCH: gl.constexpr = "gfx942",
):
    Stage: gl.constexpr = ChunkK // 2
    EachLane: gl.constexpr = Stage % KVBlockSize == 0
    row = tl.program_id(0)
    lane = gl.arange(0, Stage)
    key = gl.arange(0, HiddenDim)
    inner = (key % 16)[:, None] + (lane % KVBlockSize * 16)[None, :]
    if ARCH == "gfx1250":
        first = gl.load(kv_indices + row)
        keys = gl.amd.gfx1250.tdm.make_tensor_descriptor(base=KV_buffer, strides=(stride_k_seq, 1))
        logits = gl.amd.gfx1250.tdm.async_load(keys, [first, 0])
    elif EachLane:
        block = gl.amd.cdna3.buffer_load(ptr=kv_indices, offsets=row * max_block_len + lane // KVBlockSize)
        k = gl.amd.cdna3.buffer_load(
            ptr=KV_buffer,
            offsets=inner + block[None, :] * stride_k_seq,
        )
        scale = gl.amd.cdna3.buffer_load(
            ptr=scale_buffer, offsets=block * stride_scale_seq + lane % KVBlockSize
        )
        logits = gl.reduce(k, axis=0) * scale
    else:
        at = 0
        block = gl.load(kv_indices + row * max_block_len + at // KVBlockSize)
        k = gl.amd.cdna3.buffer_load(
            ptr=KV_buffer,
            offsets=inner
            + block * stride_k_seq
            + at % KVBlockSize * HiddenDim,
        )
        scale = gl.amd.cdna3.buffer_load(
            ptr=scale_buffer, offsets=block * stride_scale_seq + (at + lane) % KVBlockSize
        )
        logits = gl.reduce(k, axis=0) * scale
    gl.amd.cdna3.buffer_store(logits, ptr=OutLogits_buffer, offsets=row * stride_out_batch + lane)
"""

PLAIN = """\
import triton
import triton.language as tl


@triton.jit
def _deepgemm_fp8_paged_mqa_logits{name}(
    KV_buffer,
    stride_k_block{type},
    stride_k_token{type},
    scale_buffer,
    stride_scale_block{type},
    stride_scale_token{type},
    kv_indices,
    {out},
    stride_out_batch,
    max_model_len,
    ChunkK: tl.constexpr,
    HiddenDim: tl.constexpr,
    KVBlockSize: tl.constexpr,
):
    row = tl.program_id(0)
    for start in range(0, max_model_len, ChunkK):
        token = start + tl.arange(0, ChunkK)
        block = tl.load(kv_indices + token // KVBlockSize, mask=token < max_model_len, other=0)
        inside = token % KVBlockSize
        k = tl.load(
            KV_buffer
            + block[:, None] * stride_k_block
            + inside[:, None] * stride_k_token
            + tl.arange(0, HiddenDim)[None, :],
        )
        scale = tl.load(scale_buffer + block * stride_scale_block + inside * stride_scale_token)
        tl.store({out} + row * stride_out_batch + token, tl.sum(k, 1) * scale)
"""

TEXTS = {
    "base": GLUON.format(name=NAME),
    "preshuffle": GLUON.format(name=f"{NAME}_preshuffle"),
    "varctx": GLUON.format(name=f"{NAME}_preshuffle_varctx"),
    "gluon ragged": GLUON.format(name=f"{NAME}_ragged_k"),
    "reducing": PLAIN.format(name="", type="", out="OutLogits_buffer"),
    "ragged": PLAIN.format(name="_ragged_k", type="", out="OutLogits_buffer"),
}


def diagnosis(units: tuple[Unit, ...], fault: str = FAULT) -> Diagnosis:
    (unit,) = units
    return next(d for d in unit.diagnoses if d.fault == fault)


@pytest.mark.parametrize("kernel", TEXTS)
def test_found_and_mended(kernel: str) -> None:
    text = TEXTS[kernel].encode()
    result = mend(text, FAULTS, wanted=(FAULT,))
    before, after = diagnosis(result.before.units), diagnosis(result.after.units)
    assert (before.presence, after.presence) == (Presence.PRESENT, Presence.ABSENT)
    assert not result.left((FAULT,))
    assert [step.fault for step in result.steps] == [FAULT]
    present = [f for f in before.findings if f.presence is Presence.PRESENT]
    assert [f.line for f in present] == [line for _, line in result.steps[0].places]
    lines = text.decode().splitlines()
    assert all("load(" in lines[f.line - 1] for f in present)
    assert not mend(result.new, FAULTS, wanted=(FAULT,)).changed


def test_each_load_says_for_which_blocks_it_is_there() -> None:
    found = diagnosis(mend(TEXTS["preshuffle"].encode(), FAULTS, wanted=()).before.units).findings
    blocks = [dict(f.details).get("block-sizes") for f in found]
    assert blocks == [None, "16, 32, 64, 128", "16, 32, 64, 128", "256", "256"]
    assert [f.code for f in found] == ["other-architecture", *["narrow-block"] * 4]
    assert found[0].message == "it is compiled for neither gfx942 nor gfx950, and not judged for others"
    assert found[1].message == "KV_buffer: the block's place is in the load's offsets, which have 32 bits"
    plain = diagnosis(mend(TEXTS["reducing"].encode(), FAULTS, wanted=()).before.units).findings
    assert [dict(f.details)["block-sizes"] for f in plain] == ["any", "any"]
    assert plain[1].message == "scale_buffer: the block's place is computed in 32 bits"


def test_what_is_mended_for_some_blocks_alone_is_present() -> None:
    """As upstream did it first: the loads of blocks of 16 to 128, and not those of 256."""
    text = TEXTS["preshuffle"]
    new = mend(text.encode(), FAULTS, wanted=(FAULT,)).new.decode()
    middle = text.index("    else:\n        at = 0")
    half = new[: new.index("    else:\n        at = 0")] + text[middle:]
    found = diagnosis(mend(half.encode(), FAULTS, wanted=()).before.units)
    assert found.presence is Presence.PRESENT
    present = [f for f in found.findings if f.presence is Presence.PRESENT]
    assert [dict(f.details)["block-sizes"] for f in present] == ["256", "256"]


def test_no_size_of_block_or_chunk_makes_a_load_absent() -> None:
    text = TEXTS["preshuffle"].replace("Stage % KVBlockSize == 0", "ChunkK == 64")
    found = diagnosis(mend(text.encode(), FAULTS, wanted=()).before.units)
    assert [dict(f.details)["block-sizes"] for f in found.findings[1:]] == ["others", "others", "any", "any"]
    assert [f.presence for f in found.findings[1:]] == [Presence.PRESENT] * 4
    # What the compiler is not given decides nothing.
    text = TEXTS["preshuffle"].replace("ARCH: gl.constexpr", "ARCH")
    found = diagnosis(mend(text.encode(), FAULTS, wanted=()).before.units)
    assert found.presence is Presence.UNKNOWN
    assert found.findings[0].presence is Presence.UNKNOWN


def test_strides_of_64_bits_are_right() -> None:
    text = PLAIN.format(name="_stage1", type=": tl.int64", out="Out_buffer").replace(
        "    stride_out_batch,", "    stride_out_batch,\n    stride_out_heads,"
    )
    found = diagnosis(mend(text.encode(), FAULTS, wanted=()).before.units)
    assert found.presence is Presence.ABSENT
    assert [f.message for f in found.findings] == [
        f"{cache}: the block's place is in the pointer, in 64 bits" for cache in ("KV_buffer", "scale_buffer")
    ]


def test_what_is_not_followed_is_unknown_and_stays() -> None:
    text = TEXTS["base"].replace("offsets=inner + block[None, :] * stride_k_seq", "offsets=place(inner, block)")
    result = mend(text.encode(), FAULTS, wanted=(FAULT,))
    found = diagnosis(result.after.units)
    assert found.presence is Presence.UNKNOWN
    (doubt,) = (f for f in found.findings if f.presence is Presence.UNKNOWN)
    assert "cannot be told" in doubt.message
    assert doubt.obstacle
    assert len(result.steps[0].places) == 3  # the others are mended all the same
    handed = TEXTS["base"].replace("    row = tl", "    x = prefetch(KV_buffer)\n    y = x\n    row = tl")
    found = diagnosis(mend(handed.encode(), FAULTS, wanted=()).before.units)
    assert found.presence is Presence.UNKNOWN
    assert any("is handed to prefetch()" in f.message for f in found.findings)


def test_a_present_load_that_cannot_be_mended_says_why() -> None:
    text = TEXTS["reducing"].replace(
        "        scale = tl.load(scale_buffer + block * stride_scale_block +",
        "        far = block * stride_scale_block\n        scale = tl.load(scale_buffer + far +",
    )
    result = mend(text.encode(), FAULTS, wanted=(FAULT,))
    found = diagnosis(result.after.units)
    assert found.presence is Presence.PRESENT
    assert "not written out at the load" in found.obstacle
    assert "not written out at the load" in result.left((FAULT,))


def test_stubs_of_prebuilt_kernels_read_nothing() -> None:
    text = f"import triton\n\n\n@triton.jit\ndef {NAME}(KV_buffer, OutLogits_buffer, max_model_len):\n    pass\n"
    found = diagnosis(mend(text.encode(), FAULTS, wanted=()).before.units)
    assert (found.presence, found.findings) == (Presence.ABSENT, ())


@pytest.mark.parametrize("kernel", TEXTS)
@pytest.mark.parametrize("wanted", [w for n in (1, 2, 3) for w in combinations(
    ("cache-offset-32", "column-bound", "row-offset-32"), n)])  # fmt: skip
def test_alone_in_pairs_and_together(kernel: str, wanted: tuple[str, ...]) -> None:
    text = TEXTS[kernel].encode()
    result = mend(text, FAULTS, wanted=wanted)
    assert [step.fault for step in result.steps] == list(wanted)
    assert not result.left(wanted)
    for fault in ("cache-offset-32", "column-bound", "row-offset-32"):
        expected = Presence.ABSENT if fault in wanted else Presence.PRESENT
        assert diagnosis(result.after.units, fault).presence is expected
    one_by_one = text
    for fault in wanted:
        one_by_one = mend(one_by_one, FAULTS, wanted=(fault,)).new
    assert one_by_one == result.new


def test_line_endings_tabs_and_non_ascii_stay() -> None:
    text = TEXTS["preshuffle"].replace("    at = 0", "    at = 0  # ä").replace("\n", "\r\n").encode()
    new = mend(text, FAULTS, wanted=(FAULT,)).new
    assert new.replace(b"\r\n", b"").count(b"\n") == 0
    assert "# ä\r\n".encode() in new
    plain = mend(text.replace(b"\r\n", b"\n"), FAULTS, wanted=(FAULT,)).new
    assert new.replace(b"\r\n", b"\n") == plain


def test_an_edit_that_did_not_come_out_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiterfix.source import locate

    def wrong(text: bytes, edits: object) -> bytes:
        return splice(text, edits).replace(b"+ inner", b"+ inner + 1")  # type: ignore[arg-type]

    monkeypatch.setattr(locate, "splice", wrong)
    with pytest.raises(ProofError, match="more than the loads' addresses"):
        mend(TEXTS["preshuffle"].encode(), FAULTS, wanted=(FAULT,))
