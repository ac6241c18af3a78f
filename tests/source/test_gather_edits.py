"""Gathers through 64-bit addresses: tables of loads and their rewrites, and of what is left with a reason."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest

from aiterfix.source.gather_edits import GatherSite, plan_gather_edits, prove_gathers
from aiterfix.source.locate import splice
from aiterfix.source.magnitudes import Fits
from aiterfix.source.proof import ProofError
from aiterfix.source.rewrite import Plan
from aiterfix.source.sites import KernelAnalysis, analyse
from tests.kernels import SPEC, module

ROLES = replace(SPEC, caches=("Keys", "Scales"))
SIGNATURE = "Out, stride_row, width, Keys, stride_key, Scales, Table, size: tl.constexpr, tokens: tl.constexpr"
SETUP = "row = tl.program_id(0)\ncol = tl.arange(0, size)\nidx = tl.load(Table + col)\none = tl.load(Table + row)\n"
STORE = "\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)"
BUFFER = "gl.amd.cdna3.buffer_load"


def text_of(body: str, imports: str = "") -> bytes:
    text = module(SETUP + body + STORE, SIGNATURE)
    return (
        text.replace(b"from triton.experimental.gluon import language as gl\n", imports.encode()) if imports else text
    )


def kernel_of(text: bytes) -> KernelAnalysis:
    (kernel,) = analyse(text, (ROLES,)).kernels
    return kernel


def plan(text: bytes) -> Plan[GatherSite]:
    kernel = kernel_of(text)
    assert kernel.gathers is not None
    return plan_gather_edits(
        text, [(kernel, [i for i, g in enumerate(kernel.gathers.loads) if g.fits is not Fits.YES])]
    )


WIDE = "idx.to(tl.int64) * stride_key"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A factor in the pointer.
        ("k = tl.load(Keys + idx * stride_key)", f"k = tl.load(Keys + {WIDE})"),
        ("k = tl.load(Keys + stride_key * idx)", "k = tl.load(Keys + stride_key * idx.to(tl.int64))"),
        ("k = tl.load(Keys + idx[:, None] * stride_key + col[None, :], mask=col < 3, other=0.0)",
         "k = tl.load(Keys + idx.to(tl.int64)[:, None] * stride_key + col[None, :], mask=col < 3, other=0.0)"),
        ("k = tl.load(Keys + (idx + 1) * stride_key)", "k = tl.load(Keys + (idx + 1).to(tl.int64) * stride_key)"),
        ("k = tl.load(Keys + -idx * stride_key)", "k = tl.load(Keys + (-idx).to(tl.int64) * stride_key)"),
        ("k = tl.load(Keys + (idx[:, None] + 1) * stride_key)",
         "k = tl.load(Keys + (idx[:, None] + 1).to(tl.int64) * stride_key)"),
        ("k = tl.load(Keys + (idx << 7))", "k = tl.load(Keys + (idx.to(tl.int64) << 7))"),
        ("k = tl.load(Keys + (idx * stride_key).to(tl.int64))", f"k = tl.load(Keys + ({WIDE}).to(tl.int64))"),
        ("k = tl.load(Keys + idx * tokens * stride_key)", "k = tl.load(Keys + idx.to(tl.int64) * tokens * stride_key)"),
        ("i = idx\nif width:\n    i = idx.to(tl.int64)\nk = tl.load(Keys + i * stride_key)",
         "i = idx\nif width:\n    i = idx.to(tl.int64)\nk = tl.load(Keys + i.to(tl.int64) * stride_key)"),
        (f"k = {BUFFER}(Keys + one * stride_key, col)", f"k = {BUFFER}(Keys + one.to(tl.int64) * stride_key, col)"),
        # From offsets to a pointer.
        (f"k = {BUFFER}(Keys, idx * stride_key)", f"k = gl.load(Keys + {WIDE})"),
        (f"k = {BUFFER}(Keys,idx * stride_key)", f"k = gl.load(Keys + {WIDE})"),
        (f"k = {BUFFER}(Keys, (idx * stride_key))", f"k = gl.load(Keys + ({WIDE}))"),
        (f"k = {BUFFER}((Keys), idx * stride_key)", f"k = gl.load((Keys) + {WIDE})"),
        (f"k = {BUFFER}(ptr=Keys, offsets=idx * stride_key)", f"k = gl.load(Keys + {WIDE})"),
        (f"k = {BUFFER}(ptr = Keys, offsets = idx * stride_key)", f"k = gl.load(Keys + {WIDE})"),
        (f"k = {BUFFER}(Keys, offsets=idx * stride_key + col)", f"k = gl.load(Keys + {WIDE} + col)"),
        (f"k = {BUFFER}(Keys, idx)", "k = gl.load(Keys + idx)"),
        (f"k = {BUFFER}(ptr=Keys + 4, offsets=idx * stride_key, mask=col < 3)",
         f"k = gl.load(Keys + 4 + {WIDE}, mask=col < 3)"),
        (f"k = {BUFFER}(Keys, idx * stride_key, col < 3, 0.0)", f"k = gl.load(Keys + {WIDE}, col < 3, 0.0)"),
        (f"k = {BUFFER}(Keys, col + (one << 7))", "k = gl.load(Keys + col + (one.to(tl.int64) << 7))"),
        # A tensor of blocks keeps its place; one block for all lanes goes to the pointer.
        (f"k = {BUFFER}(Keys, col[:, None] + idx[None, :] * stride_key)",
         "k = gl.load(Keys + col[:, None] + idx.to(tl.int64)[None, :] * stride_key)"),
        (f"k = {BUFFER}(Keys, col + one * stride_key + row % tokens * 128)",
         "k = gl.load(Keys + one.to(tl.int64) * stride_key + col + row % tokens * 128)"),
        (f"k = {BUFFER}(Keys, col + one * stride_key)", "k = gl.load(Keys + one.to(tl.int64) * stride_key + col)"),
        (f"k = {BUFFER}(Keys, col + (one) * stride_key)", "k = gl.load(Keys + (one).to(tl.int64) * stride_key + col)"),
        (f"k = {BUFFER}(Keys, one * stride_key + col)", "k = gl.load(Keys + one.to(tl.int64) * stride_key + col)"),
        # Over several lines.
        (f"k = {BUFFER}(\n    ptr=Keys,  # keys\n    offsets=idx[:, None] * stride_key\n    + col[None, :],\n)",
         "k = gl.load(\n    Keys  # keys\n    + idx.to(tl.int64)[:, None] * stride_key\n    + col[None, :],\n)"),
        (f"k = {BUFFER}(\n    ptr=Keys, offsets=idx * stride_key\n)", f"k = gl.load(\n    Keys + {WIDE}\n)"),
        (f"k = {BUFFER}(\n    ptr=Keys,\n    offsets=col\n    + one * stride_key\n    + row % tokens * 128,\n)",
         "k = gl.load(\n    Keys\n    + one.to(tl.int64) * stride_key\n    + col\n    + row % tokens * 128,\n)"),
        # A comment at the term: it stays where it is.
        (f"k = {BUFFER}(\n    Keys,\n    col  # lanes\n    + one * stride_key,\n)",
         "k = gl.load(\n    Keys\n    + col  # lanes\n    + one.to(tl.int64) * stride_key,\n)"),
    ],
)  # fmt: skip
def test_loads_widened(old: str, new: str) -> None:
    before = text_of(old)
    found = plan(before)
    assert not found.left
    after = splice(before, found.edits)
    assert after.decode() == text_of(new).decode()
    prove_gathers(analyse(before, (ROLES,)), analyse(after, (ROLES,)), found.edited, "k.py")
    assert not plan(after).edits


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("at = idx * stride_key\nk = tl.load(Keys + at)", "not written out at the load"),
        ("p = Keys + idx * stride_key\nk = tl.load(p + col)", "not written out at the load"),
        (f"at = idx * stride_key\nk = {BUFFER}(Keys, at)", "not written out at the load"),
        ("k = tl.load(Keys + helper(idx))", "not written out at the load"),
        ("k = tl.load(Keys + width * stride_key)", "no factor need be a value of the device"),
        ("for i in tl.static_range(width):\n    k = tl.load(Keys + i * stride_key)", "no factor need be"),
        (f"k = {BUFFER}(offsets=idx * stride_key, ptr=Keys)", "not its first arguments"),
        (f"k = {BUFFER}(Keys, mask=col < 3, offsets=idx * stride_key)", "not its first arguments"),
        (f"k = {BUFFER}(Keys, idx * stride_key, cache='.cg')", "a plain load has not"),
        (f"k = {BUFFER}(Keys, idx * stride_key, col < 3, 0.0, '.cg')", "a plain load has not"),
        (f"k = {BUFFER}(Keys, idx * stride_key if width else 0)", "no sum as they stand"),
        (f"k = {BUFFER}(Keys, idx * stride_key | 1)", "no sum as they stand"),
        ("d = gl.amd.gfx1250.tdm.make_tensor_descriptor(Keys + one * stride_key)", "make_tensor_descriptor"),
        ("gl = 1\nk = buffers.buffer_load(Keys, idx * stride_key)", "no name for Gluon's language"),
    ],
)  # fmt: skip
def test_left_with_a_reason(body: str, reason: str) -> None:
    imports = "from triton.experimental.gluon import language as gl\nfrom triton.experimental.gluon.language.amd import cdna3 as buffers\n"
    found = plan(text_of(body, imports))
    assert not found.edits
    ((_, why),) = found.left
    assert reason in why


def test_types_have_the_names_of_the_module() -> None:
    imports = "from triton.experimental.gluon import language as G\nfrom triton.language import int64 as wide\n"
    text = text_of("k = G.amd.cdna3.buffer_load(Keys, idx * stride_key)", imports).replace(
        b"import triton.language as tl\n", b"from triton import language as tl\n"
    )
    assert b"k = G.load(Keys + idx.to(tl.int64) * stride_key)" in splice(text, plan(text).edits)


def test_a_kernel_with_a_problem_is_left() -> None:
    text = text_of("x = helper(Out)\nj = x\nk = tl.load(Keys + idx * stride_key)")
    found = plan(text)
    assert not found.edits
    assert "is passed to helper()" in found.left[0][1]


def test_an_encoding_that_cannot_be_edited_in_place_leaves_all() -> None:
    text = text_of("k = tl.load(Keys + idx * stride_key)  # ä").decode()
    encoded = b"# -*- coding: utf-7 -*-\n" + text.encode("utf-7")
    found = plan(encoded)
    assert bool(found.edits) != bool(found.left)
    if found.left:
        assert "encoding" in found.left[0][1]


OLD = f"k = {BUFFER}(Keys, idx * stride_key + col, mask=col < 3)"


@pytest.mark.parametrize(
    ("new", "complaint"),
    [
        (f"k = gl.load(Keys + {WIDE}, mask=col < 3)", "more than the loads' addresses"),
        (f"k = gl.load(Keys + {WIDE} - col, mask=col < 3)", "more than the loads' addresses"),
        (f"k = gl.load(Keys + {WIDE} + col, mask=col < 4)", "more than the loads' addresses"),
        (f"k = gl.load(Keys + {WIDE} + col)", "more than the loads' addresses"),
        (f"k = gl.load(Keys + {WIDE} + col + col, mask=col < 3)", "more than the loads' addresses"),
        (f"k = gl.load(Scales + {WIDE} + col, mask=col < 3)", "not those of the original"),
        ("k = gl.load(Keys + idx * stride_key + col, mask=col < 3)", "still does not reach every block"),
        (f"k = gl.load(Keys + {WIDE} + col, mask=col < 3)\nj = 1", "more than the loads' addresses"),
        (f"k = gl.load(Keys + {WIDE} + col, mask=col < 3)\nx = helper(Out)", "is passed to helper()"),
        (f"k = gl.load(Keys + {WIDE} + col, mask=col < 3)\nx = helper(Keys)\nj = x", "not those of the original"),
        (f"k = gl.load(Keys + {WIDE} + col, mask=col < 3", "does not parse"),
    ],
)
def test_the_proof_objects(new: str, complaint: str) -> None:
    before = text_of(OLD)
    found = plan(before)
    with pytest.raises(ProofError, match=complaint.replace("(", r"\(").replace(")", r"\)")):
        prove_gathers(analyse(before, (ROLES,)), analyse(text_of(new), (ROLES,)), found.edited, "k.py")


def test_the_proof_leaves_the_trees_as_they_were() -> None:
    before = text_of(OLD)
    found = plan(before)
    old, new = analyse(before, (ROLES,)), analyse(splice(before, found.edits), (ROLES,))
    prove_gathers(old, new, found.edited, "k.py")
    assert old.tree is not None
    assert ast.dump(old.tree) == ast.dump(ast.parse(before))
