"""Rewriting: tables of texts that stay as they are, and of texts and their rewrites."""

from __future__ import annotations

import pytest

from aiterfix.faults.mend import SourceNotUnderstoodError
from aiterfix.source.rewrite import EncodingNotUnderstoodError
from aiterfix.source.sites import analyse
from tests.kernels import KERNELS, LeftError, Seen, bound, module, seen

ROW = "row = tl.program_id(0)\ncol = tl.arange(0, size)\n"
STORE = "tl.store(Out + row * stride_row + col, 1.0"


@pytest.mark.parametrize(
    "body",
    [
        f"{STORE}, mask=col < width)",
        f"{STORE}, mask=(col >= 0) & (col < width))",
        f"{STORE}, col < width)",
        "x = tl.load(Out + row * stride_row + col)",
        "return",
    ],
)
def test_untouched(body: str) -> None:
    text = module(ROW + body)
    result = bound(text)
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
        ("if rows > 2 * size:\n    p = Out + row * stride_row - 2 * size + rows\n    tl.store(p + col, 1.0)",
         "if rows > 2 * size:\n    p = Out + row * stride_row - 2 * size + rows\n    tl.store(p + col, 1.0, mask=rows + col - 2 * size < width)"),
        ("if rows > size:\n    tl.store(Out + row * stride_row - (size - rows - col), 1.0)",
         "if rows > size:\n    tl.store(Out + row * stride_row - (size - rows - col), 1.0,\n        mask=-(size - rows - col) < width)"),
        ("gl.amd.cdna3.buffer_store(1.0, Out + row * stride_row, col)",
         "gl.amd.cdna3.buffer_store(1.0, Out + row * stride_row, col, mask=col < width)"),
        ("gl.amd.cdna3.buffer_store(1.0, Out, row * stride_row + (col + 4))",
         "gl.amd.cdna3.buffer_store(1.0, Out, row * stride_row + (col + 4),\n    mask=col + 4 < width)"),
        # A keyword that Python normalises to ``mask`` is longer than that.
        (f"{STORE}, \u1d50ask=col >= 0)", f"{STORE}, \u1d50ask=(col >= 0) & (col < width))"),
        # A mask that is None on every way, by whatever name, is replaced.
        (f"m = None\n{STORE}, mask=m)", f"m = None\n{STORE}, mask=col < width)"),
        (f"m = None\nif rows:\n    n = m\nelse:\n    n = None\n{STORE}, mask=n)",
         f"m = None\nif rows:\n    n = m\nelse:\n    n = None\n{STORE}, mask=col < width)"),
        ("h = tl.arange(0, 4)\ntl.store(Out + row * stride_row + h[:, None] * stride_head + (size + col[None, :]), 1.0)",
         "h = tl.arange(0, 4)\ntl.store(\n".replace("(\n", "(") +
         "Out + row * stride_row + h[:, None] * stride_head + (size + col[None, :]), 1.0,\n"
         "    mask=col[None, :] < width - size)"),
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
    result = bound(text)
    assert result.new.decode() == expected.decode()
    assert seen(result.after.analysis) is Seen.BOUNDED
    assert bound(result.new).new is result.new


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("indent", [b"    ", b"\t", b"  "])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("final", [True, False])
def test_bytes_around_stay(newline: bytes, indent: bytes, bom: bytes, final: bool) -> None:
    lines = [
        "# kernel für alle",
        "import triton.language as tl, triton",
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

    lines[8] = ">>>= 0,"
    text = encoded(lines)
    assert seen(analyse(text, KERNELS)) is Seen.UNBOUNDED
    new = bound(text).new
    expected = [
        *lines[:7],
        ">>mask=(",
        ">>" + indent.decode() + "tl.arange(0, size)",
        ">>" + indent.decode() + ">= 0",
        ">>)",
        ">>& (tl.arange(0, size) < width),",
        *lines[9:],
    ]
    assert new == encoded(expected)


@pytest.mark.parametrize("cookie", ["latin-1", "cp1252", "shift_jis", "utf-8", "koi8-r"])
def test_a_file_is_read_and_written_in_its_own_encoding(cookie: str) -> None:
    letter = {"shift_jis": "\u8868", "koi8-r": "\u0436"}.get(cookie, "\xe9")
    store = f"tl.store(Out + row * stride_row + col, '{letter}'"
    old = f"# -*- coding: {cookie} -*-\n".encode() + module(f"{ROW}{store})").decode().encode(cookie)
    new = f"# -*- coding: {cookie} -*-\n".encode() + module(f"{ROW}{store}, mask=col < width)").decode().encode(cookie)
    assert bound(old).new == new


def test_an_encoding_that_cannot_be_edited_in_place_is_refused() -> None:
    # The escape sequence that opens a run of Japanese stays open across the place of the edit.
    text = module(f"{ROW}{STORE})").decode().replace("1.0)", "'\u8868')")
    encoded = b"# -*- coding: utf-7 -*-\n" + text.encode("utf-7")
    assert seen(analyse(encoded, KERNELS)) is Seen.UNBOUNDED
    try:
        new = bound(encoded).new
    except EncodingNotUnderstoodError:
        return
    assert new.decode("utf-7") == "# -*- coding: utf-7 -*-\n" + text.replace("')", "', mask=col < width)")


def test_identifiers_are_compared_as_python_normalises_them() -> None:
    text = module(f"{ROW}\uff4d = col >= 0\n{STORE}, mask=m & (\uff43ol >= 1))")
    assert bound(text).new.decode().count("& (col < width)") == 1


def test_too_long_for_one_line_goes_to_the_next() -> None:
    name = "a_rather_long_name_for_the_columns_of_a_row"
    text = module(
        f"row = tl.program_id(0)\n{name} = tl.arange(0, size)\ntl.store(Out + row * stride_row + {name}, 1.0)"
    )
    new = bound(text).new.decode()
    assert f"{name}, 1.0,\n        mask={name} < width)" in new


def test_width_of_a_sum_is_broken_at_its_operators() -> None:
    terms = [f"term_number_{i}_of_a_long_sum" for i in range(5)]
    setup = "".join(f"{t} = tl.program_id({i})\n" for i, t in enumerate(terms))
    joined = "\n        + ".join(terms)
    text = module(f"{setup}tl.store(\n    Out\n    + stride_row\n    + (\n        {joined}\n    ),\n    1.0,\n)")
    new = bound(text).new.decode()
    broken = "\n        + ".join(terms)
    assert f"        mask={broken}\n        < width,\n" in new
    assert max(map(len, new.splitlines())) <= 88


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("c = helper(row)\ntl.store(Out + row * stride_row + tl.abs(helper(row)), 1.0)", "helper()"),
        ("p = Out + row * stride_row + tl.abs(helper(row))\ntl.store(p, 1.0)", "no name at the store"),
        ("tl.store(Out + row * stride_row + (c := col), 1.0)", "assignment expression"),
        ("helper(Out)", "is passed to helper()"),
        ("width = 3", "'width' is assigned inside the kernel"),
        # `None & (col < width)` does not compile.
        (f"m = None\nif rows:\n    m = col >= 0\n{STORE}, mask=m)", "may be None"),
        (f"{STORE}, mask=col >= 0 if size else None)", "may be None"),
        (f"m = None\nfor i in range(3):\n    m = col >= 0\n{STORE}, mask=m)", "may be None"),
        (f"{STORE}, mask=rows)", "may be None"),
        (f"{STORE}, mask=helper(row))", "may be None"),
        (f"{STORE}, mask=rows.mask)", "may be None"),
        ("p = Out + row * stride_row - 2 * size\ntl.store(p + col, 1.0)", "may be negative"),
        (f"{STORE}, mask=(col >= 0) + (row >= 0))", "one bit"),
        (f"{STORE}, mask=tl.load(Data + col))", "one bit"),
        ("tl.store(Data + col, 1.0)", "writes elsewhere"),
        ("def put(p, m):\n    tl.store(p, 1.0, mask=m)\nput(Out + row * stride_row + col, col >= 0)", "stands in put()"),
    ],
)  # fmt: skip
def test_refused_with_reason(body: str, reason: str) -> None:
    with pytest.raises((SourceNotUnderstoodError, LeftError)) as caught:
        bound(module(ROW + body), filename="ops/k.py")
    assert reason in str(caught.value)
    assert "ops/k.py" in caught.value.what
    assert caught.value.remedy


def test_unbounded_site_that_cannot_be_edited_is_unknown() -> None:
    analysis = analyse(module(ROW + "tl.store(Out + row * stride_row + helper(row), 1.0)"), KERNELS)
    assert seen(analysis) is Seen.UNKNOWN


def test_name_hidden_in_pointer_that_changed_since_is_not_used() -> None:
    body = "shift = tl.program_id(1)\np = Out + row * stride_row + shift\nshift = shift + 1\ntl.store(p + col, 1.0)"
    with pytest.raises(LeftError, match="no name at the store"):
        bound(module(ROW + body))
