"""Guards of store sites, one table a class; and what must end in "unknown"."""

from __future__ import annotations

import pytest

from aiterfix.source.guards import Guard
from aiterfix.source.search import may_define
from aiterfix.source.sites import SourceAnalysis, analyse
from tests.kernels import KERNELS, SHIPPED, SIGNATURE, Seen, module, seen


def judged(body: str) -> SourceAnalysis:
    return analyse(module(body), KERNELS)


ROW = "row = tl.program_id(0)\ncol = tl.program_id(1) * size + tl.arange(0, size)\n"


@pytest.mark.parametrize(
    ("mask", "guard"),
    [
        ("", Guard.NONE),
        ("None", Guard.NONE),
        ("col >= 0", Guard.LOWER),
        ("0 <= col", Guard.LOWER),
        ("col > -1", Guard.LOWER),
        ("col < width", Guard.UPPER),
        ("width > col", Guard.UPPER),
        ("col <= width - 1", Guard.UPPER),
        ("width - 1 >= col", Guard.UPPER),
        ("col + 1 <= width", Guard.UPPER),
        ("col + 1 < width", Guard.UPPER),
        ("col - width < 0", Guard.UPPER),
        ("0 > col - width", Guard.UPPER),
        ("tl.arange(0, size) + tl.program_id(1) * size < width", Guard.UPPER),
        ("size * tl.program_id(1) + tl.arange(0, size) < width", Guard.UPPER),
        ("col.to(tl.int64) < width", Guard.UPPER),
        ("(col >= 0) & (col < width)", Guard.BOTH),
        ("(col < width) & (row < rows) & (col >= 0)", Guard.BOTH),
        ("(col < width) and (col >= 0)", Guard.BOTH),
        ("0 <= col < width", Guard.BOTH),
        ("not (col >= width)", Guard.UPPER),
        ("col * 2 < width * 2", Guard.UPPER),
        # What does not bound the column.
        ("col <= width", Guard.NONE),
        ("col - 1 < width", Guard.NONE),
        ("col < width + 1", Guard.NONE),
        ("col != width", Guard.NONE),
        ("(col < width) | (row < rows)", Guard.NONE),
        ("~(col < width)", Guard.LOWER),
        ("tl.where(row < rows, col < width, col < rows)", Guard.NONE),
        ("tl.arange(0, size) < width", Guard.NONE),
        ("col + size < rows", Guard.NONE),
        ("row < width", Guard.NONE),
        ("col // 2 < width", Guard.NONE),
        ("col + 2147483647 < width + 2147483647 + 1", Guard.NONE),
        ("col.to(tl.int8) < width", Guard.NONE),
        ("tl.load(Data + col) < width", Guard.NONE),
        ("True", Guard.NONE),
    ],
)
def test_guard_of_mask(mask: str, guard: Guard) -> None:
    argument = f", mask={mask}" if mask else ""
    (site,) = judged(f"{ROW}tl.store(Out + row * stride_row + col, 1.0{argument})").sites
    assert site.guard is guard
    assert site.column == "col"
    if guard.bounded:
        assert seen(judged(f"{ROW}tl.store(Out + row * stride_row + col, 1.0{argument})")) is Seen.BOUNDED


@pytest.mark.parametrize(
    ("body", "column", "guard"),
    [
        # The column is split over pointer and offsets; the row stands in either.
        ("gl.amd.cdna3.buffer_store(1.0, Out, row * stride_row + col, mask=col < width)", "col", Guard.UPPER),
        ("gl.amd.cdna3.buffer_store(1.0, Out + row * stride_row, col, col < width)", "col", Guard.UPPER),
        ("gl.amd.cdna3.buffer_store(1.0, ptr=Out + row * stride_row + 7, offsets=col, mask=col < width)",
         "col + 7", Guard.NONE),
        ("gl.amd.cdna3.buffer_store(1.0, ptr=Out + row * stride_row + 7, offsets=col, mask=col + 7 < width)",
         "col + 7", Guard.UPPER),
        ("p = Out + row * stride_row\ntl.store(p + col, 1.0, mask=col < width)", "col", Guard.UPPER),
        ("p = Out + row * stride_row + size\ntl.store(p + col, 1.0, mask=col < width)", "size + col", Guard.NONE),
        ("p = Out + row * stride_row + size\ntl.store(p + col, 1.0, mask=col + size < width)",
         "size + col", Guard.UPPER),
        ("Out += row * stride_row\ntl.store(Out + col, 1.0, mask=col < width)", "col", Guard.UPPER),
        ("tl.store(Out + (row * rows + 1) * stride_row + col, 1.0, mask=col < width)", "col", Guard.UPPER),
        ("tl.store(Out + row.to(tl.int64) * stride_row + col, 1.0, mask=col < width)", "col", Guard.UPPER),
        ("tl.store(Out + stride_row * row + (3 + col), 1.0, mask=3 + col < width)", "3 + col", Guard.UPPER),
        ("tl.store(Out + row * stride_row + col - 3, 1.0, mask=(col - 3 < width) & (col > 2))", "col - 3", Guard.BOTH),
        # Aliases, also of masks.
        ("m = col < width\ntl.store(Out + row * stride_row + col, 1.0, mask=m)", "col", Guard.UPPER),
        ("m = col < width\nm = m & (col >= 0)\ntl.store(Out + row * stride_row + col, 1.0, mask=m)",
         "col", Guard.BOTH),
        ("a, b = col, row\ntl.store(Out + b * stride_row + a, 1.0, mask=col < width)", "a", Guard.UPPER),
        # A mask made before its column changed says nothing about the column stored to.
        ("m = col < width\ncol += size\ntl.store(Out + row * stride_row + col, 1.0, mask=m)", "col", Guard.NONE),
        ("m = col < width\nfor i in range(4):\n    tl.store(Out + row * stride_row + col, 1.0, mask=m)\n    col += size",
         "col", Guard.NONE),
        ("for i in range(4):\n    c = i * size + tl.arange(0, size)\n    tl.store(Out + row * stride_row + c, 1.0, mask=i * size + tl.arange(0, size) < width)",
         "c", Guard.UPPER),
        ("if rows > 3:\n    m = col < width\nelse:\n    m = col >= 0\ntl.store(Out + row * stride_row + col, 1.0, mask=m)",
         "col", Guard.NONE),
        ("if rows > 3:\n    m = col < width\nelse:\n    m = width > col\ntl.store(Out + row * stride_row + col, 1.0, mask=m)",
         "col", Guard.UPPER),
        ("if rows > 3:\n    c = col\n    return\nelse:\n    c = col + 1\ntl.store(Out + row * stride_row + c, 1.0, mask=col + 1 < width)",
         "c", Guard.UPPER),
        ("while row < 3:\n    col = col + 1\ntl.store(Out + row * stride_row + col, 1.0, mask=(col < width) & (col >= 0))",
         "col", Guard.BOTH),
        # Shapes: a plane per head, broadcast columns.
        ("h = tl.arange(0, size)\ntl.store(Out + row * stride_row + h[:, None] * stride_head + col[None, :], 1.0, mask=(col < width)[None, :])",
         "col[None, :]", Guard.UPPER),
        ("h = tl.arange(0, size)\ntl.store(Out + row * stride_row + h[:, None] * stride_head + (8 + tl.arange(0, size)[None, :]), 1.0, mask=(8 + tl.arange(0, size))[None, :] < width)",
         "8 + tl.arange(0, size)[None, :]", Guard.UPPER),
        ("h = tl.arange(0, size)\ntl.store(Out + row * stride_row + h[:, None] * stride_head + col[None, :], 1.0, mask=(col < width)[:, None])",
         "col[None, :]", Guard.NONE),
    ],
)  # fmt: skip
def test_column_expression(body: str, column: str, guard: Guard) -> None:
    analysis = judged(ROW + body)
    assert not analysis.all_problems
    (site,) = analysis.sites
    assert (site.column, site.guard) == (column, guard)


def test_bound_on_another_expression_is_a_finding_and_does_not_count() -> None:
    (site,) = judged(f"{ROW}tl.store(Out + row * stride_row + col + size, 1.0, mask=col < width)").sites
    assert site.guard is Guard.NONE
    assert [f.code for f in site.findings] == ["other-expression"]
    assert "col < width" in site.findings[0].message


def test_finding_names_a_mask_behind_a_name() -> None:
    (site,) = judged(f"{ROW}m = col < width\ntl.store(Out + row * stride_row + col + size, 1.0, mask=m)").sites
    assert "`m`" in site.findings[0].message


def test_loads_are_not_sites() -> None:
    analysis = judged(
        f"{ROW}x = tl.load(Out + row * stride_row + col, mask=col < width)\n"
        "t = Out.dtype.element_ty\nx = x.to(t)\nassert rows > 0"
    )
    assert analysis.sites == ()
    assert seen(analysis) is Seen.NO_STORES


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("helper(Out, col)", "output-escapes"),
        ("q = helper(Out)\ntl.store(q + col, 1.0)", "output-escapes"),
        ("tl.atomic_add(Out + row * stride_row + col, 1.0)", "output-escapes"),
        ("p = tl.make_block_ptr(Out, (rows, width), (stride_row, 1), (0, 0), (1, size), (1, 0))", "output-escapes"),
        ("return Out + col", "output-escapes"),
        ("p = tl.where(row > 0, Out, Data)\ntl.store(p + row * stride_row + col, 1.0)", "output-escapes"),
        ("p = Out if rows else Data", "output-escapes"),
        ("p = Out + Out", "output-escapes"),
        ("p = Data - Out", "output-escapes"),
        ("for p in [Out]:\n    pass", "output-escapes"),
        ("x = [Out for _ in range(3)]", "expression"),
        ("f = lambda: Out", "expression"),
        ("with tl.something(Out):\n    pass", "output-escapes"),
        ("def inner():\n    tl.store(Out + col, 1.0)\ninner()", "no-row"),
        ("p = Out + row * stride_row\nwhile row < 3:\n    tl.store(p + col, 1.0, mask=col < width)\n    p += tl.program_id(1)",
         "pointer"),
        ("if rows:\n    p = Out\nelse:\n    p = Out + stride_row\ntl.store(p + row * stride_row + col, 1.0)", "pointer"),
        ("kw = {}\ntl.store(Out + row * stride_row + col, 1.0, **kw)", "store-arguments"),
        ("tl.store(*args)", "store-arguments"),
        ("tl.store(Out + row * stride_row + col, 1.0, boundary_check=(0,))", "store-arguments"),
        ("gl.amd.cdna3.buffer_store(1.0, Out + row * stride_row)", "store-arguments"),
        ("width = width + 1\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)", "reassigned"),
        ("stride_row = 3\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)", "reassigned"),
        ("x = (width := 3)\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)", "reassigned"),
        ("for width in range(3):\n    pass", "reassigned"),
        ("tl.store(Out + row * 128 + col, 1.0, mask=col < width)", "no-row"),
        ("tl.store(Out + row * stride_row, 1.0)", "no-column"),
        ("tl.store(Out + row * stride_row + 3, 1.0)", "no-column"),
        ("tl.store(Out + row * stride_row + col * width, 1.0)", "entangled"),
        ("tl.store(Out + row * stride_row + (col * stride_row) // 2, 1.0)", "entangled"),
        ("while row < 3:\n    col = col + 1\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)", "negative-column"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_unknown(body: str, code: str) -> None:
    analysis = judged(ROW + body)
    assert code in [p.code for p in analysis.all_problems]
    assert seen(analysis) is Seen.UNKNOWN


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"def kernel(:\n", "syntax"),
        (b"x = '\xff'\n", "encoding"),
        (b"# -*- coding: no-such -*-\nx = 1\n", "encoding"),
        (b"# -*- coding: ascii -*-\nx = '\xe9'\n", "encoding"),
        (b"x = 1\x00\n", "syntax"),
        (b"x = " + b"(" * 5000 + b")" * 5000, "too-deep"),
        (module("pass\ntl.store(Out, 1)", "Out, stride_row"), "no-parameter"),
        (module("tl.store(X, 1)", "X, stride_row, width"), "no-parameter"),
        (module(ROW + "tl.store(Out + row * stride_row + col, 1.0)") * 2, "defined-twice"),
        (module(ROW) + b"kernel = other(kernel)\n", "rebound"),
        (module(ROW).replace(b"@triton.jit\ndef", b"async def"), "async"),
        (module(ROW).replace(b"def kernel", b"def kernel_v2"), "undeclared-kernel"),
    ],
)
def test_whole_files_that_are_not_understood(text: bytes, code: str) -> None:
    analysis = analyse(text, KERNELS)
    assert {code, "syntax"} & {p.code for p in analysis.all_problems} if code == "too-deep" else True
    assert seen(analysis) is Seen.UNKNOWN
    if code != "too-deep":
        assert code in [p.code for p in analysis.all_problems]


def test_deep_expression_is_unknown_not_a_crash() -> None:
    # Parses, but recursion over it would not end well: a thousand nested calls.
    nested = "tl.abs(" * 900 + "row" + ")" * 900
    analysis = judged(f"{ROW}tl.store(Out + row * stride_row + col + {nested}, 1.0)")
    assert seen(analysis) in (Seen.UNKNOWN, Seen.UNBOUNDED)


def test_long_sum_is_no_problem() -> None:
    long = " + ".join(["col", *["1"] * 150])
    (site,) = judged(f"{ROW}tl.store(Out + row * stride_row + {long}, 1.0, mask=col + 150 < width)").sites
    assert site.guard is Guard.UPPER


def test_signature_stub_is_not_affected() -> None:
    analysis = analyse(module('"""For prebuilt code."""\npass'), KERNELS)
    assert [k.name for k in analysis.kernels] == ["kernel"]
    assert seen(analysis) is Seen.NO_STORES


def test_kernel_under_a_condition_is_found() -> None:
    text = (
        b"import triton.language as tl\ntry:\n    import x\nexcept ImportError:\n    if 1:\n        def kernel("
        + SIGNATURE.encode()
        + (b"):\n            tl.store(Out + stride_row + tl.arange(0, size), 1)\n")
    )
    assert seen(analyse(text, KERNELS)) is Seen.UNBOUNDED


def test_store_through_a_shadowed_module_is_not_taken_for_one() -> None:
    analysis = judged(f"{ROW}tl = rows\ntl.store(Out + row * stride_row + col, 1.0, mask=col < width)")
    assert seen(analysis) is Seen.UNKNOWN


def test_sites_of_sample_package_are_as_commented() -> None:
    from aiterfix.demo.sample_package import _SOURCE

    text = (_SOURCE / "aiter/ops/triton/gluon/pa_mqa_logits.py").read_bytes()
    assert [s.guard.value for s in analyse(text, SHIPPED.kernels).sites] == ["lower", "both", "none", "lower"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"def kernel(x): pass", True),
        (b"def \\\n kernel(x): pass", True),
        (b"kernel = triton.jit(other)", True),
        (b"kernel: Any = other", True),
        (b"(kernel) = other", True),
        (b"if (kernel := other): pass", True),
        (b"with x as kernel: pass", True),
        (b"@triton.jit\ndef k2(Out, stride_row, width): pass", True),
        (b"    @jit(do_not_specialize=[1])\n    def k2(Out): pass", True),
        (b"kernel, other = make()", True),
        (b"from m import kernel\nkernel[grid](x)", True),
        (b"\xef\xbd\x8bernel = other", True),
        (b"# coding: utf-7\nk = other", True),
        (b"# -*- coding: utf-8 -*-\nk = other", False),
        (b"k = other", False),
        (b"signature = {'Out': '*fp32'}", False),
    ],
)
def test_prefilter_lets_every_definition_through(text: bytes, expected: bool) -> None:
    assert may_define(text, KERNELS) is expected


def test_kernel_bound_to_something_else_than_a_function_is_unknown() -> None:
    for text in (b"kernel = triton.jit(other)\n", b"if x:\n    kernel = other\n", b"for kernel in x:\n    pass\n"):
        assert seen(analyse(text, KERNELS)) is Seen.UNKNOWN
    for text in (b"from m import kernel\n", b"try:\n    from m import kernel\nexcept ImportError:\n    pass\n"):
        assert seen(analyse(text, KERNELS)) is Seen.NO_STORES


@pytest.mark.parametrize(
    "hidden",
    [
        "if {}:\n    pass",
        "for i in [{}]:\n    pass",
        "while {}:\n    pass",
        "x = {}",
        "x = [{}, 1]",
        "x += {}",
        "assert {}",
        "return {}",
        "helper({})",
        "x: int = {}",
    ],
)
def test_no_store_hides_in_an_expression(hidden: str) -> None:
    analysis = judged(f"{ROW}x = 0\n" + hidden.format("tl.store(Out + row * stride_row + col, 1.0)"))
    assert seen(analysis) in (Seen.UNBOUNDED, Seen.UNKNOWN)


def test_a_store_past_the_end_is_one_though_it_may_be_before_the_row_too() -> None:
    analysis = judged(ROW + "tl.store(Out + row * stride_row + col - rows, 1.0)")
    (site,) = analysis.sites
    assert not analysis.all_problems and not site.guard.bounded
    assert site.obstacle == "its column may be negative for all that is proven: a bound above would not do"
    bounded = judged(ROW + "tl.store(Out + row * stride_row + col - rows, 1.0, mask=col - rows < width)")
    assert [p.code for p in bounded.all_problems] == ["negative-column"]
