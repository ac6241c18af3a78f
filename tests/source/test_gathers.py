"""In how many bits a kernel computes the addresses that it gathers from."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiterfix.source.gathers import Gathers
from aiterfix.source.magnitudes import Fits
from aiterfix.source.sites import analyse
from tests.kernels import SPEC, module

ROLES = replace(SPEC, caches=("Keys", "Scales"))
SIGNATURE = (
    "Out, stride_row, width, Keys, stride_key, stride_token, stride_wide: tl.int64, Scales, Table, block, "
    "size: tl.constexpr, tokens: tl.constexpr"
)
SETUP = "row = tl.program_id(0)\ncol = tl.arange(0, size)\nidx = tl.load(Table + row * width + col)\n"
STORE = "\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)"
BUFFER = "gl.amd.cdna3.buffer_load"


def gathers(body: str, *, before: str = "", stored: str = "1.0") -> Gathers:
    text = module(SETUP + body + STORE.replace("1.0", stored), SIGNATURE).replace(
        b"\n\n\n@triton.jit", f"\n{before}\n\n@triton.jit".encode()
    )
    (kernel,) = analyse(text, (ROLES,)).kernels
    assert not kernel.problems
    assert kernel.gathers is not None
    return kernel.gathers


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        # In the pointer.
        ("k = tl.load(Keys + idx * stride_key)", Fits.NO),
        ("k = tl.load(Keys + stride_key * idx)", Fits.NO),
        ("k = tl.load(Keys + idx[:, None] * stride_key + col[None, :])", Fits.NO),
        ("k = tl.load(Keys + (idx + 1) * stride_key)", Fits.NO),
        ("k = tl.load(Keys + idx * 132)", Fits.NO),
        ("k = tl.load(Keys + (idx << 7))", Fits.NO),
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key)", Fits.YES),
        ("k = tl.load(Keys + tl.cast(idx, tl.int64) * stride_key)", Fits.YES),
        ("k = tl.load(Keys + idx.to(tl.int64)[:, None] * stride_key + col[None, :])", Fits.YES),
        ("k = tl.load(Keys + idx * stride_wide)", Fits.YES),
        ("k = tl.load(Keys + idx * stride_key.to(tl.int64))", Fits.YES),
        ("k = tl.load(pointer=Keys + idx.to(tl.int64) * stride_key)", Fits.YES),
        # Widened too late, or back again.
        ("k = tl.load(Keys + (idx * stride_key).to(tl.int64))", Fits.NO),
        ("k = tl.load(Keys + (idx * stride_key).to(tl.int64) * tokens)", Fits.NO),
        ("k = tl.load(Keys + (idx.to(tl.int64) * stride_key).to(tl.int32))", Fits.NO),
        ("k = tl.load(Keys + idx.to(tl.int32) * stride_key)", Fits.NO),
        ("k = tl.load(Keys + idx.to(tl.float32) * stride_key)", Fits.UNKNOWN),
        # Nothing is multiplied.
        ("k = tl.load(Keys + idx)", Fits.YES),
        ("k = tl.load(Keys + col)", Fits.YES),
        ("k = tl.load(Keys)", Fits.YES),
        # A token in its block, and what looks like one.
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key + (row + col) % tokens * stride_token)", Fits.YES),
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key + (row + col) * stride_token)", Fits.NO),
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key + col * stride_key)", Fits.NO),
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key + (row + col) % block * stride_token)", Fits.NO),
        ("k = tl.load(Keys + block * tokens)", Fits.NO),
        ("k = tl.load(Keys + block * 4 * tokens)", Fits.NO),
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key + (idx & 63) * stride_token)", Fits.YES),
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key + (idx & -64) * stride_token)", Fits.NO),
        ("k = tl.load(Keys + idx.to(tl.int64) * stride_key + col // 16 * 256 + col % 16)", Fits.YES),
        # Behind names.
        ("p = Keys + idx * stride_key\nk = tl.load(p + col)", Fits.NO),
        ("p = Keys + idx.to(tl.int64) * stride_key\nk = tl.load(p + col)", Fits.YES),
        ("p = Keys\np += idx * stride_key\nk = tl.load(p)", Fits.NO),
        ("p = Keys\np += idx.to(tl.int64) * stride_key\nk = tl.load(p)", Fits.YES),
        ("at = idx * stride_key\nk = tl.load(Keys + at)", Fits.NO),
        ("i = idx.to(tl.int64)\nk = tl.load(Keys + i * stride_key)", Fits.YES),
        ("i = idx\ni = i.to(tl.int64)\nk = tl.load(Keys + i * stride_key)", Fits.UNKNOWN),
        ("i = idx.to(tl.int64)\nif width:\n    i = idx\nk = tl.load(Keys + i * stride_key)", Fits.UNKNOWN),
        ("i = tl.where(col < 3, idx, 0)\nk = tl.load(Keys + i * stride_key)", Fits.NO),
        ("i = tl.where(col < 3, idx.to(tl.int64), 0)\nk = tl.load(Keys + i * stride_key)", Fits.YES),
        ("i = idx if width else 0\nk = tl.load(Keys + i * stride_key)", Fits.NO),
        ("for i in range(0, width, size):\n    k = tl.load(Keys + i * stride_key)", Fits.NO),
        ("for i in range(0, width, size):\n    k = tl.load(Keys + i % size * tokens)", Fits.YES),
        ("i = idx\nfor j in range(3):\n    i = i + 1\nk = tl.load(Keys + i.to(tl.int64) * stride_key)", Fits.YES),
        ("i, j = idx, idx.to(tl.int64)\nk = tl.load(Keys + j * stride_key)", Fits.YES),
        ("i, j = idx, idx.to(tl.int64)\nk = tl.load(Keys + i * stride_key)", Fits.NO),
        ("i = idx.to(tl.int64)\ndef f():\n    nonlocal i\n    i = 1\nk = tl.load(Keys + i * stride_key)", Fits.UNKNOWN),
        ("stride_key = stride_key.to(tl.int64)\nk = tl.load(Keys + idx * stride_key)", Fits.UNKNOWN),
        # Added up in 32 bits, a turn at a time.
        ("at = 0\nfor i in range(idx):\n    at += stride_key\nk = tl.load(Keys + at)", Fits.UNKNOWN),
        ("at = 0\nfor i in range(idx):\n    at = at + stride_key\nk = tl.load(Keys + at)", Fits.UNKNOWN),
        ("p = Keys\nfor i in range(idx):\n    p += stride_key\nk = tl.load(p)", Fits.YES),
        # In the offsets, which have 32 bits.
        (f"k = {BUFFER}(Keys, idx * stride_key)", Fits.NO),
        (f"k = {BUFFER}(ptr=Keys, offsets=idx.to(tl.int64) * stride_key)", Fits.NO),
        (f"k = {BUFFER}(ptr=Keys, offsets=idx * stride_wide)", Fits.NO),
        (f"k = {BUFFER}(ptr=Keys, offsets=idx)", Fits.NO),
        (f"k = {BUFFER}(ptr=Keys, offsets=helper(idx))", Fits.UNKNOWN),
        (f"one = tl.load(Table)\nk = {BUFFER}(Keys + one.to(tl.int64) * stride_key, col)", Fits.YES),
        (f"one = tl.load(Table)\nk = {BUFFER}(Keys + one * stride_key, col)", Fits.NO),
        (f"one = tl.load(Table)\nk = {BUFFER}(Keys + one.to(tl.int64) * stride_key, col * stride_key)", Fits.NO),
        (f"one = tl.load(Table)\nk = {BUFFER}(Keys + one.to(tl.int64) * stride_key, col * stride_token)", Fits.YES),
        # Not followed.
        ("k = tl.load(Keys + helper(idx))", Fits.UNKNOWN),
        ("k = tl.load(Keys + helper(idx) * stride_key)", Fits.UNKNOWN),
        ("k = tl.load(Keys + idx / 2)", Fits.UNKNOWN),
        ("d = gl.amd.gfx1250.tdm.make_tensor_descriptor(Keys, (1, 2), (stride_key, 1))", Fits.UNKNOWN),
        ("d = gl.amd.gfx1250.tdm.make_tensor_descriptor(base=Keys + row * stride_key)", Fits.NO),
    ],
)  # fmt: skip
def test_width_of_an_address(body: str, fits: Fits) -> None:
    found = gathers(body)
    assert not found.unfollowed
    (load,) = found.loads
    assert (load.cache, load.fits) == ("Keys", fits)


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        ("i = idx\ni = i.to(tl.int64)\nk = tl.load(Keys + i * stride_key)", Fits.YES),
        ("i = idx\ni = tl.where(col < width, i.to(tl.int64), 0)\nk = tl.load(Keys + i * stride_key)", Fits.YES),
        ("i = idx\nk = tl.load(Keys + i * stride_key)\ni = i.to(tl.int64)", Fits.UNKNOWN),
        ("i = idx * stride_key\ni = i.to(tl.int64)\nk = tl.load(Keys + i)", Fits.NO),
        ("i = idx\nif width:\n    i = i.to(tl.int64)\nk = tl.load(Keys + i * stride_key)", Fits.UNKNOWN),
        ("i = idx\nif width:\n    i = i.to(tl.int64)\nelse:\n    i = i.to(tl.int64)\nk = tl.load(Keys + i * stride_key)",
         Fits.YES),
    ],
)  # fmt: skip
def test_a_name_that_is_widened_on_the_way_has_the_bits_that_it_has_at_the_load(body: str, fits: Fits) -> None:
    (load,) = gathers(body, stored="k").loads
    assert load.fits is fits


def test_a_load_names_cache_line_and_place() -> None:
    found = gathers(
        f"s = tl.load(\n    Scales + idx * stride_key\n)\nk = {BUFFER}(ptr=Keys, offsets=idx * stride_key, mask=col < 3)"
    )
    first, second = found.loads
    assert (first.cache, first.kind, first.end_line - first.line, first.in_offsets) == ("Scales", "load", 2, False)
    assert (second.cache, second.kind, second.line - first.line, second.in_offsets) == ("Keys", "buffer_load", 3, True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("k = helper(Keys)\nj = k", "is handed to helper()"),
        ("k = tl.dot(Keys, col)", "is handed to tl.dot()"),
        ("p = (Keys, 1)", "is put in a tuple or list"),
        ("k = Keys[3]", "is subscripted"),
        ("k = -Keys", "is negated"),
        ("k = Keys * 2", "is calculated with"),
        ("k = Keys - Scales", "is calculated with"),
        ("k = tl.load(Table + col, mask=Keys)", "is another argument of a load"),
        ("k = tl.load(Table, Keys)", "is another argument of a load"),
        ("a = [Keys for _ in range(3)]", "ListComp"),
        ("def inner():\n    return tl.load(Keys)", "inside the kernel"),
        ("k = Keys.other", "has its attribute 'other' taken"),
        ("p, q = Keys", "goes where it is not followed"),
        ("return Keys", "goes where it is not followed"),
        ("Keys", "goes where it is not followed"),
        ("assert Keys", "goes where it is not followed"),
        ("with helper(Keys):\n    pass", "in a With statement"),
        ("match Keys:\n    case 1:\n        pass", "in a Match statement"),
        ("for Keys in range(3):\n    pass", "unpacked"),
        (f"k = {BUFFER}(Keys, *where)", "not in sight"),
        (f"k = {BUFFER}(Keys)", "not in sight"),
    ],
)  # fmt: skip
def test_what_is_not_followed_is_said_with_its_line(body: str, message: str) -> None:
    found = gathers(body)
    assert any(message in u.message for u in found.unfollowed)
    assert all(u.line > found.function.lineno for u in found.unfollowed)


@pytest.mark.parametrize("body", ["k = Keys.dtype.element_ty", "tl.static_assert(width > 1)\nk = tl.load(Keys)"])
def test_what_reads_nothing_is_no_doubt(body: str) -> None:
    assert not gathers(body).unfollowed


def test_a_name_counts_as_what_it_is_bound_to() -> None:
    found = gathers("k = load(Keys + idx * stride_key)\nj = k", before="from other import load\n")
    assert (found.loads, [u.message for u in found.unfollowed]) == ((), ["an address in 'Keys' is handed to load()"])
    found = gathers("k = load(Keys + idx * stride_key)", before="from triton.language import load\n")
    assert [load.fits for load in found.loads] == [Fits.NO]
    found = gathers("k = tl.load(Keys + idx * STRIDE)", before="STRIDE = 2048\n")
    assert [load.fits for load in found.loads] == [Fits.NO]
    found = gathers("ml = helper()\nk = ml.load(Keys + col)", before="import triton.language as ml\n")
    assert not found.loads
    assert found.unfollowed


def test_without_a_parameter_of_the_cache_only_what_gathers_is_in_doubt() -> None:
    text = module("row = tl.program_id(0)\ncol = tl.arange(0, size)\nx = tl.load(Data + row * rows)" + STORE)
    (kernel,) = analyse(text, (ROLES,)).kernels
    assert kernel.gathers is not None
    assert not kernel.gathers.unfollowed
    for gather in ("i = tl.load(Data)\nk = tl.load(Data + i * rows)", "k = tl.load(Data + tl.load(Data) * rows)"):
        text = module("row = tl.program_id(0)\ncol = tl.arange(0, size)\n" + gather + STORE)
        (kernel,) = analyse(text, (ROLES,)).kernels
        assert kernel.gathers is not None
        (doubt,) = kernel.gathers.unfollowed
        assert "has no parameter 'Keys' and 'Scales'" in doubt.message


def test_a_cache_that_is_bound_anew_is_not_known_to_fit() -> None:
    (load,) = gathers("with helper() as Keys:\n    pass\nk = tl.load(Keys)").loads
    assert load.fits is Fits.UNKNOWN


def test_a_walrus_binds() -> None:
    found = gathers("x = (i := idx) + 1\nk = tl.load(Keys + i * stride_key)")
    assert [load.fits for load in found.loads] == [Fits.NO]


def test_kernels_without_caches_are_not_looked_at() -> None:
    (kernel,) = analyse(module("tl.store(Out + stride_row + tl.load(Data), 1.0)"), (SPEC,)).kernels
    assert kernel.gathers is not None
    assert not (kernel.gathers.loads or kernel.gathers.unfollowed)


def test_nested_too_deep_is_a_doubt() -> None:
    deep = "k = tl.load(Keys + " + "(" * 80 + "idx" + " * 2)" * 80 + ")"
    found = gathers(deep)
    assert [load.fits for load in found.loads] == [Fits.NO]
