"""Rewriting: tables of texts that stay as they are, and of texts and their rewrites."""

from __future__ import annotations

import pytest

from aiterfix.source.rewrite import SourceNotUnderstoodError, rewrite
from aiterfix.source.sites import analyse
from aiterfix.verdict import Verdict
from tests.kernels import FIX, module

ROW = "row = tl.program_id(0)\ncol = tl.arange(0, size)\n"
STORE = "tl.store(Out + row * stride_row + col, 1.0"


@pytest.mark.parametrize(
    "body",
    [
        f"{STORE}, mask=col < width)",
        f"{STORE}, mask=(col >= 0) & (col < width))",
        f"{STORE}, col < width)",
        "tl.store(Data + col, 1.0)",
        "x = tl.load(Out + row * stride_row + col)",
        "return",
    ],
)
def test_untouched(body: str) -> None:
    text = module(ROW + body)
    result = rewrite(text, [FIX])
    assert result.new is text
    assert not result.changed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{STORE})", f"{STORE}, mask=col < width)"),
        (f"{STORE},)", f"{STORE}, mask=col < width)"),
        (f"{STORE}, None)", f"{STORE}, col < width)"),
        (f"{STORE}, mask=None)", f"{STORE}, mask=col < width)"),
        (f"{STORE}, mask=col >= 0)", f"{STORE}, mask=(col >= 0) & (col < width))"),
        (f"{STORE}, mask=(col >= 0))", f"{STORE}, mask=(col >= 0) & (col < width))"),
        (f"{STORE}, mask=((col >= 0)))", f"{STORE}, mask=((col >= 0)) & (col < width))"),
        (f"{STORE}, col >= 0)", f"{STORE}, (col >= 0) & (col < width))"),
        (f"{STORE}, (col >= 0))", f"{STORE}, (col >= 0) & (col < width))"),
        (f"{STORE}, (col >= 0), cache_modifier='.cg')", f"{STORE}, (col >= 0) & (col < width), cache_modifier='.cg')"),
        (f"{STORE}, mask=(col >= 0), cache_modifier=('.cg'))",
         f"{STORE}, mask=(col >= 0) & (col < width), cache_modifier=('.cg'))"),
        (f"{STORE}, mask=(row < rows) & (col >= 0))", f"{STORE}, mask=(row < rows) & (col >= 0) & (col < width))"),
        (f"{STORE}, mask=(row < rows) | (col >= 0))", f"{STORE}, mask=((row < rows) | (col >= 0)) & (col < width))"),
        (f"{STORE}, mask=row < rows if size else col >= 0)",
         f"{STORE}, mask=(row < rows if size else col >= 0) & (col < width))"),
        (f"m = col >= 0\n{STORE}, mask=m)", f"m = col >= 0\n{STORE}, mask=m & (col < width))"),
        (f"{STORE}, mask=True)", f"{STORE}, mask=True & (col < width))"),
        # Terms of the column that stand in the pointer, or behind a name.
        ("p = Out + row * stride_row + size\ntl.store(p + col, 1.0)",
         "p = Out + row * stride_row + size\ntl.store(p + col, 1.0, mask=size + col < width)"),
        ("p = Out + row * stride_row - 2 * size\ntl.store(p + col, 1.0)",
         "p = Out + row * stride_row - 2 * size\ntl.store(p + col, 1.0, mask=col - 2 * size < width)"),
        ("tl.store(Out + row * stride_row - (row - col), 1.0)",
         "tl.store(Out + row * stride_row - (row - col), 1.0, mask=-(row - col) < width)"),
        ("buffer_store(1.0, Out + row * stride_row, col)", "buffer_store(1.0, Out + row * stride_row, col, mask=col < width)"),
        ("buffer_store(1.0, Out, row * stride_row + (col + 4))",
         "buffer_store(1.0, Out, row * stride_row + (col + 4), mask=col + 4 < width)"),
        ("h = tl.arange(0, 4)\ntl.store(Out + row * stride_row + h[:, None] * stride_head + (size + col[None, :]), 1.0)",
         "h = tl.arange(0, 4)\ntl.store(\n".replace("(\n", "(") +
         "Out + row * stride_row + h[:, None] * stride_head + (size + col[None, :]), 1.0,\n"
         "    mask=size + col[None, :] < width)"),
        # Over several lines, with comments where people put them.
        ("tl.store(\n    Out + row * stride_row + col,\n    1.0,\n)",
         "tl.store(\n    Out + row * stride_row + col,\n    1.0,\n    mask=col < width,\n)"),
        ("tl.store(\n    Out + row * stride_row + col,\n    1.0  # value\n)",
         "tl.store(\n    Out + row * stride_row + col,\n    1.0,\n    mask=col < width  # value\n)"),
        ("tl.store(\n    Out + row * stride_row + col,\n    1.0,  # one, (two)\n)",
         "tl.store(\n    Out + row * stride_row + col,\n    1.0,  # one, (two)\n    mask=col < width,\n)"),
        ("tl.store(Out + row * stride_row + col,\n         1.0)",
         "tl.store(Out + row * stride_row + col,\n         1.0, mask=col < width)"),
        ("tl.store(\n    Out + row * stride_row + col,\n    (\n        1.0\n    ),\n    mask=col\n    >= 0,\n)",
         "tl.store(\n    Out + row * stride_row + col,\n    (\n        1.0\n    ),\n"
         "    mask=(\n        col\n        >= 0\n    )\n    & (col < width),\n)"),
        ("tl.store(\n    Out + row * stride_row + col,\n    1.0,\n    mask=(\n        col >= 0  # keep\n    ),\n)",
         "tl.store(\n    Out + row * stride_row + col,\n    1.0,\n    mask=(\n        col >= 0  # keep\n    )\n    & (col < width),\n)"),
        ("tl.store(\n    Out + row * stride_row + col,\n    (1.0)\n)",
         "tl.store(\n    Out + row * stride_row + col,\n    (1.0),\n    mask=col < width\n)"),
        ("if rows: tl.store(Out + row * stride_row + col, 1.0)",
         "if rows: tl.store(Out + row * stride_row + col, 1.0, mask=col < width)"),
        ("p = Out + row * stride_row\ntl.store(p + col, 1); tl.store(p + col, 1)",
         "p = Out + row * stride_row\ntl.store(p + col, 1, mask=col < width); tl.store(p + col, 1, mask=col < width)"),
        ("é = 1\ntl.store(Out + row * stride_row + col, 'é')  # é",
         "é = 1\ntl.store(Out + row * stride_row + col, 'é', mask=col < width)  # é"),
    ],
)  # fmt: skip
def test_rewritten(old: str, new: str) -> None:
    text, expected = module(ROW + old), module(ROW + new)
    result = rewrite(text, [FIX])
    assert result.new.decode() == expected.decode()
    assert result.after.verdict is Verdict.GUARDED
    assert rewrite(result.new, [FIX]).new is result.new


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("indent", [b"    ", b"\t", b"  "])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("final", [True, False])
def test_bytes_around_stay(newline: bytes, indent: bytes, bom: bytes, final: bool) -> None:
    lines = [
        "# kernel für alle",
        "@triton.jit",
        "def kernel(Out, stride_row, stride_head, width, size):",
        ">tl.store(",
        ">>Out + stride_row + tl.arange(0, size),",
        ">>1.0,",
        ">>mask=tl.arange(0, size)",
        ">>>= 0,".replace(">>>", ">>> "),
        ">)",
        ">x = '''a",
        "\tb \x0c'''   ",
    ]

    def encoded(which: list[str]) -> bytes:
        joined = newline.join(ln.encode() for ln in which) + (newline if final else b"")
        return bom + joined.replace(b">>", indent * 2).replace(b"\n>", b"\n" + indent).replace(b"\r>", b"\r" + indent)

    lines[7] = ">>>= 0,"
    text = encoded(lines)
    assert analyse(text, [FIX]).verdict is Verdict.VULNERABLE
    new = rewrite(text, [FIX]).new
    expected = [
        *lines[:6],
        ">>mask=(",
        ">>" + indent.decode() + "tl.arange(0, size)",
        ">>" + indent.decode() + ">= 0",
        ">>)",
        ">>& (tl.arange(0, size) < width),",
        *lines[8:],
    ]
    assert new == encoded(expected)


def test_too_long_for_one_line_goes_to_the_next() -> None:
    name = "a_rather_long_name_for_the_columns_of_a_row"
    text = module(
        f"row = tl.program_id(0)\n{name} = tl.arange(0, size)\ntl.store(Out + row * stride_row + {name}, 1.0)"
    )
    new = rewrite(text, [FIX]).new.decode()
    assert f"{name}, 1.0,\n        mask={name} < width)" in new


def test_width_of_a_sum_is_broken_at_its_operators() -> None:
    terms = [f"term_number_{i}_of_a_long_sum" for i in range(5)]
    setup = "".join(f"{t} = tl.program_id({i})\n" for i, t in enumerate(terms))
    joined = "\n        + ".join(terms)
    text = module(f"{setup}tl.store(\n    Out\n    + stride_row\n    + (\n        {joined}\n    ),\n    1.0,\n)")
    new = rewrite(text, [FIX]).new.decode()
    broken = "\n        + ".join(terms)
    assert f"        mask={broken}\n        < width,\n" in new
    assert max(map(len, new.splitlines())) <= 88


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("c = helper(row)\ntl.store(Out + row * stride_row + helper(row), 1.0)", "helper()"),
        ("p = Out + row * stride_row + helper(row)\ntl.store(p, 1.0)", "no name at the store"),
        ("tl.store(Out + row * stride_row + (c := col), 1.0)", "assignment expression"),
        ("helper(Out)", "is passed to helper()"),
        ("width = 3", "'width' is assigned inside the kernel"),
    ],
)  # fmt: skip
def test_refused_with_reason(body: str, reason: str) -> None:
    with pytest.raises(SourceNotUnderstoodError) as caught:
        rewrite(module(ROW + body), [FIX], filename="ops/k.py")
    assert reason in str(caught.value)
    assert "ops/k.py" in caught.value.what
    assert caught.value.remedy


def test_unbounded_site_that_cannot_be_edited_is_unknown() -> None:
    analysis = analyse(module(ROW + "tl.store(Out + row * stride_row + helper(row), 1.0)"), [FIX])
    assert analysis.verdict is Verdict.UNKNOWN


def test_name_hidden_in_pointer_that_changed_since_is_not_used() -> None:
    body = "shift = tl.program_id(1)\np = Out + row * stride_row + shift\nshift = shift + 1\ntl.store(p + col, 1.0)"
    with pytest.raises(SourceNotUnderstoodError, match="no name at the store"):
        rewrite(module(ROW + body), [FIX])
