"""block-paging in kernels and wrappers of the real names and parameters, written for this test."""

from __future__ import annotations

import ast

import pytest

from aiterfix.faults import block_paging
from aiterfix.faults.base import NO_SIZE, Presence
from aiterfix.faults.diagnosis import kernels_of
from aiterfix.faults.mend import mend
from aiterfix.source.locate import splice
from aiterfix.source.proof import ProofError
from aiterfix.source.sites import analyse
from tests.paged import BASE, ENTRY, FAULTS, GLUON, PAGING, PLAIN, STAGE1, WRAPPER, found


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


@pytest.mark.parametrize(("old", "new"), UNKNOWN)
def test_another_size_or_place_is_not_taken_for_right(old: bytes, new: bytes) -> None:
    text = DIVIDED.replace(old, new)
    assert text != DIVIDED
    assert found(text, PAGING, BASE).presence in (Presence.UNKNOWN, Presence.PRESENT)


def test_addresses_that_are_lost_sight_of_are_unknown() -> None:
    lost = GLUON.replace(
        b"ptr=scale_buffer, offsets=owner", b"ptr=gl.where(there, scale_buffer, weights), offsets=owner"
    )
    diagnosis = found(lost, PAGING, BASE)
    assert diagnosis.presence is Presence.UNKNOWN and "scale_buffer" in diagnosis.findings[0].message
    assert mended(lost) == lost


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


LAUNCH = b"    _deepgemm_fp8_paged_mqa_logits_stage1[("
GUARDED = [
    (LAUNCH, b"    config['KVBlockSize'] = 1\n" + LAUNCH),
    (b"max_model_len, **config", b"max_model_len, KVBlockSize=1, **config"),
]


@pytest.mark.parametrize(("old", "new"), GUARDED)
def test_a_launch_that_hands_the_size_on_is_left_alone(old: bytes, new: bytes) -> None:
    text = WRAPPER.replace(old, new)
    assert text != WRAPPER
    assert mended(text) == text


LINE_ENDINGS = [WRAPPER.replace(b"\n", b"\r\n"), WRAPPER.replace(b"    ", b"\t"), "# ä\n".encode() + WRAPPER]


@pytest.mark.parametrize("text", LINE_ENDINGS, ids=["crlf", "tabs", "umlaut"])
def test_line_endings_and_indentation_are_the_files_own(text: bytes) -> None:
    new = mended(text)
    assert new != text
    compile(new, "f", "exec")
    assert (b"\r\n" in text) == (b"\r\n" in new) and new.count(b"\n") - new.count(b"\r\n") in (0, new.count(b"\n"))


def test_a_launcher_that_is_not_handed_the_cache_is_left() -> None:
    text = WRAPPER.replace(b"kv_cache_fp8", b"something")
    assert mended(text) == text
