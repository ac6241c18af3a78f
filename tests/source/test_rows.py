"""How a store computes its row's address, and the edit that widens it."""

from __future__ import annotations

import pytest

from aiterfix.faults.mend import SourceNotUnderstoodError
from aiterfix.source.address import plan_row_edits
from aiterfix.source.locate import splice
from aiterfix.source.proof import ProofError
from aiterfix.source.sites import analyse
from tests.kernels import KERNELS, LeftError, bound, module, widen

ROW = "row = tl.program_id(0)\ncol = tl.arange(0, size)\n"
MASK = "mask=col < width"


@pytest.mark.parametrize(
    ("body", "in_pointer", "width"),
    [
        (f"gl.amd.cdna3.buffer_store(1.0, Out, row * stride_row + col, {MASK})", False, 32),
        (f"gl.amd.cdna3.buffer_store(1.0, Out, row.to(tl.int64) * stride_row + col, {MASK})", False, 64),
        (f"gl.amd.cdna3.buffer_store(1.0, Out + row * stride_row, col, {MASK})", True, 32),
        (f"gl.amd.cdna3.buffer_store(1.0, Out + row.to(tl.int64) * stride_row, col, {MASK})", True, 64),
        (f"gl.amd.cdna3.buffer_store(1.0, Out + (row * stride_row).to(tl.int64), col, {MASK})", True, 32),
        (f"gl.amd.cdna3.buffer_store(1.0, Out + row * stride_row.to(gl.int64), col, {MASK})", True, 64),
        (f"gl.amd.cdna3.buffer_store(1.0, Out + tl.cast(row, tl.int64) * stride_row, col, {MASK})", True, 64),
        (f"r = row.to(tl.int64)\ngl.amd.cdna3.buffer_store(1.0, Out + (r + 1) * stride_row, col, {MASK})", True, 64),
        (f"p = Out + row * stride_row\ntl.store(p + col, 1.0, {MASK})", True, 32),
        (f"tl.store(Out + stride_row + col, 1.0, {MASK})", True, 64),  # no product, nothing that could wrap
        (f"tl.store(Out + tl.load(Data) * stride_row + col, 1.0, {MASK})", True, None),
        (f"tl.store(Out + row.to(tl.int64) * stride_row + rows * stride_head + col, 1.0, {MASK})", True, 32),
        (f"r = row\nwhile r > rows:\n    r -= rows\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, 32),
        (f"r = row.to(tl.int64)\nwhile r > 3:\n    r -= 3\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, 64),
        (f"gl.amd.cdna3.buffer_store(1.0, Out + rows * stride_head, row.to(tl.int64) * stride_row + col, {MASK})",
         False, 32),
        # Multiplied in 32 bits before a factor has 64.
        (f"tl.store(Out + row * stride_row * rows.to(tl.int64) + col, 1.0, {MASK})", True, None),
        (f"tl.store(Out + rows.to(tl.int64) * (row * stride_row) + col, 1.0, {MASK})", True, None),
        (f"tl.store(Out + row * stride_row * rows.to(tl.int64) * 2 * row.to(tl.int64) + col, 1.0, {MASK})", True, None),
        # Equal numbers of other bits, out of a tuple.
        (f"r, s = row, row.to(tl.int64)\nr, s = s, r\ntl.store(Out + s * stride_row + col, 1.0, {MASK})", True, 32),
        (f"r, s = row, row.to(tl.int64)\nr, s = s, r\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, 64),
        # Chosen by a function, which converts both.
        (f"r = tl.where(rows > 3, row.to(tl.int64), row)\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, 64),
        # In 64 bits on one way alone.
        (f"r = row.to(tl.int64)\nif rows > 3:\n    r = row\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, None),
        (f"r = row if rows > 3 else row.to(tl.int64)\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, None),
        (f"r = tl.load(Data)\nif rows > 3:\n    r = r.to(tl.int64)\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, None),
        (f"r = tl.load(Data)\nr = r.to(tl.int64) if rows > 3 else r\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, None),
        (f"r = tl.load(Data)\nr = r.to(tl.int64) if rows > 3 else 0\ntl.store(Out + r * stride_row + col, 1.0, {MASK})", True, 64),
        (f"tl.store(Out + (row + tl.zeros([], tl.int64)) * stride_row + col, 1.0, {MASK})", True, 64),
        (f"tl.store(Out + (row + tl.zeros([], tl.int32)) * stride_row + col, 1.0, {MASK})", True, 32),
        (f"r = row.to(tl.int64)\nfor i in tl.static_range(3):\n    tl.store(Out + r * stride_row + col, 1.0, {MASK})\n    r = row + i", True, None),
    ],
)  # fmt: skip
def test_row_address(body: str, in_pointer: bool, width: int | None) -> None:
    analysis = analyse(module(ROW + body), KERNELS)
    assert not analysis.all_problems
    (site,) = analysis.sites
    assert (site.row.in_pointer, site.row.width) == (in_pointer, width)
    assert site.row.reaches_everywhere is (in_pointer and width == 64)


def test_row_terms_name_stride_and_line() -> None:
    body = "tl.store(\n    Out\n    + (row + 1) * stride_row\n    + rows * stride_head\n    + col,\n    1.0,\n)"
    (site,) = analyse(module(ROW + body), KERNELS).sites
    assert site.row.expression == "(row + 1) * stride_row + rows * stride_head"
    assert [t.strides for t in site.row.terms] == [("stride_row",), ("stride_head",)]
    assert site.row.lines == (site.line + 2, site.line + 3)


def test_parameters_have_the_width_that_they_are_declared_with() -> None:
    body = ROW + f"tl.store(Out + row * stride_row + col, 1.0, {MASK})"
    annotated = "Out, stride_row: tl.int64, stride_head, width, Data, rows, size: tl.constexpr"
    assert analyse(module(body, annotated), KERNELS).sites[0].row.width == 64


CALL = "gl.amd.cdna3.buffer_store("
WIDENED = "row.to(tl.int64) * stride_row"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{CALL}1.0, Out, row * stride_row + col, {MASK})", f"{CALL}1.0, Out + {WIDENED}, col, {MASK})"),
        (f"{CALL}1.0, Out, col + row * stride_row, {MASK})", f"{CALL}1.0, Out + {WIDENED}, col, {MASK})"),
        (f"{CALL}1.0, Out, stride_row * row + col, {MASK})", f"{CALL}1.0, Out + {WIDENED}, col, {MASK})"),
        (f"{CALL}1.0, Out, (row * stride_row) + (col), {MASK})", f"{CALL}1.0, Out + {WIDENED}, (col), {MASK})"),
        (f"{CALL}1.0, Out, 4 + row * stride_row + col, {MASK})", f"{CALL}1.0, Out + {WIDENED}, 4 + col, {MASK})"),
        (f"{CALL}1.0, Out, row * stride_row + (col + 4), {MASK})", f"{CALL}1.0, Out + {WIDENED}, (col + 4), {MASK})"),
        (f"{CALL}1.0, Out, (row * stride_row + col) + 4, {MASK})", f"{CALL}1.0, Out + {WIDENED}, (col) + 4, {MASK})"),
        (f"{CALL}1.0, Out, (row * rows + 1) * stride_row + col, {MASK})",
         f"{CALL}1.0, Out + (row * rows + 1).to(tl.int64) * stride_row, col, {MASK})"),
        (f"{CALL}1.0, Out, row * rows * stride_row + col, {MASK})",
         f"{CALL}1.0, Out + (row * rows).to(tl.int64) * stride_row, col, {MASK})"),
        # Both strides.
        (f"{CALL}1.0, Out, row * stride_row + row * stride_head + col, {MASK})",
         f"{CALL}1.0, Out + {WIDENED} + row.to(tl.int64) * stride_head, col, {MASK})"),
        # Behind names: written with what holds the same at the store.
        (f"at = row * stride_row + col\n{CALL}1.0, Out, at, {MASK})",
         f"at = row * stride_row + col\n{CALL}1.0, Out + {WIDENED}, col, {MASK})"),
        (f"base = row * stride_row\n{CALL}1.0, Out, base + col, {MASK})",
         f"base = row * stride_row\n{CALL}1.0, Out + {WIDENED}, col, {MASK})"),
        (f"s = stride_row\n{CALL}1.0, Out, row * s + col, {MASK})",
         f"s = stride_row\n{CALL}1.0, Out + row.to(tl.int64) * s, col, {MASK})"),
        (f"{CALL}1.0, Out + rows.to(tl.int64) * stride_row, col - row * stride_row, {MASK})",
         f"{CALL}1.0, Out + rows.to(tl.int64) * stride_row + (-row).to(tl.int64) * stride_row, col, {MASK})"),
        # In the pointer: in place.
        (f"tl.store(Out + row * stride_row + col, 1.0, {MASK})", f"tl.store(Out + {WIDENED} + col, 1.0, {MASK})"),
        (f"tl.store(Out + stride_row * (row + 1) + col, 1.0, {MASK})",
         f"tl.store(Out + stride_row * (row + 1).to(tl.int64) + col, 1.0, {MASK})"),
        (f"tl.store(Out + ((row + 1)) * stride_row + col, 1.0, {MASK})",
         f"tl.store(Out + ((row + 1)).to(tl.int64) * stride_row + col, 1.0, {MASK})"),
        (f"tl.store(Out + row * rows * stride_row + col, 1.0, {MASK})",
         f"tl.store(Out + (row * rows).to(tl.int64) * stride_row + col, 1.0, {MASK})"),
        (f"p = Out + row * stride_row\ntl.store(p + col, 1.0, {MASK})\ntl.store(p + col + 4, 1.0)",
         f"p = Out + {WIDENED}\ntl.store(p + col, 1.0, {MASK})\ntl.store(p + col + 4, 1.0)"),
        ("h = tl.arange(0, 4)\ntl.store(Out + (h[:, None] + 1) * stride_head + (row.to(tl.int64) * stride_row + col[None, :]), 1.0)",
         "h = tl.arange(0, 4)\ntl.store(Out + (h[:, None] + 1).to(tl.int64) * stride_head + (row.to(tl.int64) * stride_row + col[None, :]), 1.0)"),
        # Over several lines.
        (f"{CALL}\n    1.0,\n    ptr=Out,\n    offsets=row * stride_row\n    + (\n        col\n        + 4\n    ),\n)",
         f"{CALL}\n    1.0,\n    ptr=Out + {WIDENED},\n    offsets=(\n        col\n        + 4\n    ),\n)"),
        (f"{CALL}\n    1.0,\n    ptr=Out,  # output\n    offsets=(row * rows + rows * rows * rows + 1) * stride_row + col,\n    {MASK},\n)",
         f"{CALL}\n    1.0,\n    ptr=Out\n    + (row * rows + rows * rows * rows + 1).to(tl.int64) * stride_row,  # output\n    offsets=col,\n    {MASK},\n)"),
    ],
)  # fmt: skip
def test_rows_widened(old: str, new: str) -> None:
    if "rows * rows * rows" in old:
        old = old.replace("rows * rows * rows", "rows * rows * rows * rows * rows")
        new = new.replace("rows * rows * rows", "rows * rows * rows * rows * rows")
    text, expected = module(ROW + old), module(ROW + new)
    result = widen(text)
    assert result.new.decode() == expected.decode()
    assert result.before.analysis is not None and result.after.analysis is not None
    assert all(s.row.reaches_everywhere for s in result.after.analysis.sites)
    assert [(s.column, s.guard) for s in result.after.analysis.sites] == [
        (s.column, s.guard) for s in result.before.analysis.sites
    ]
    assert widen(result.new).new is result.new
    # The two edits of one file do not get into each other's way.
    assert widen(bound(text).new).new == bound(result.new).new


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"{CALL}1.0, Out, rows * stride_row + col, {MASK})", "need not be a value of the device"),
        (f"{CALL}1.0, Out, 3 * stride_row + col, {MASK})", "need not be a value of the device"),
        (f"h = tl.arange(0, rows)\n{CALL}1.0, Out, h * stride_row + col, {MASK})", "differ from lane to lane"),
        (f"{CALL}1.0, Out + row.to(tl.int64) * stride_row, col - (row + helper(row)) * stride_row, {MASK})",
         "not one number"),
        (f"{CALL}1.0, Out, (row * stride_row  # rows\n    + col), {MASK})", "a comment"),
        (f"def put(p):\n    tl.store(p + col, 1.0, {MASK})\nput(Out + row * stride_row)", "stands in put()"),
        (f"tl.store(Out + tl.cdiv(row, 2) * stride_row + col, 1.0, {MASK})", ""),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_widened(body: str, reason: str) -> None:
    text = module(ROW + body)
    plan = plan_row_edits(text, analyse(text, KERNELS))
    if not reason:
        assert not plan.left
        return
    assert [r for _, r in plan.left if reason in r], plan
    with pytest.raises(LeftError):
        widen(text)


def test_name_of_the_64_bit_type_is_the_modules_own() -> None:
    body = ROW + f"tl.store(Out + row * stride_row + col, 1.0, {MASK})"
    text = module(body).replace(b"import triton.language as tl\n", b"from triton import language as T\n")
    text = text.replace(b"tl.", b"T.")
    assert b"row.to(T.int64) * stride_row" in widen(text).new
    only = module(body).replace(b"import triton.language as tl\n", b"").replace(b"tl.", b"gl.")
    assert b"row.to(gl.int64) * stride_row" in widen(only).new
    none = only.replace(
        b"language as gl\n", b"language as gl\nfrom triton.language import program_id, arange, store, constexpr\n"
    )
    none = none.replace(b"gl.", b"").replace(b"from triton.experimental.gluon import language as gl\n", b"")
    with pytest.raises(LeftError, match="no name for Triton's int64"):
        widen(none)


def test_kernel_that_is_not_understood_is_not_edited() -> None:
    text = module(ROW + f"width = 3\ntl.store(Out + row * stride_row + col, 1.0, {MASK})")
    with pytest.raises(SourceNotUnderstoodError):
        widen(text)


def test_an_edit_that_changes_the_row_is_not_proven(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiterfix.source import locate

    def wrong(text: bytes, edits: object) -> bytes:
        return splice(text, edits).replace(b"row.to(tl.int64) *", b"(row + 1).to(tl.int64) *")  # type: ignore[arg-type]

    monkeypatch.setattr(locate, "splice", wrong)
    with pytest.raises(ProofError, match="not what it was"):
        widen(module(ROW + f"{CALL}1.0, Out, row * stride_row + col, {MASK})"))


@pytest.mark.parametrize("number", ["row", "(row + 1)"])
def test_product_in_two_stores_is_moved_in_one_and_widened_in_the_other(number: str) -> None:
    wide = f"{number}.to(tl.int64)"
    stores = "gl.amd.cdna3.buffer_store(1.0, Out{}, {}col, {mask})\ntl.store(Out + {} * stride_row + col, 1.0, {mask})"
    text = module(ROW + stores.format("", f"{number} * stride_row + ", number, mask=MASK))
    expected = module(ROW + stores.format(f" + {wide} * stride_row", "", wide, mask=MASK))
    assert widen(text).new.decode() == expected.decode()
