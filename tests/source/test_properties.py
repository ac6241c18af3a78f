"""Generated kernels, run as Python: the oracle for guards and rewrites is what the stores do.

A generated kernel is a function whose `tl` is a stand-in with numbers for tensors. Running it records
the column, mask and value of every store, so that "guarded" and "only the mask changed" can be tested
by execution, with no use of the code under test.
"""

from __future__ import annotations

import ast
import os
import random
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from aiterfix.errors import AiterfixError
from aiterfix.source.rewrite import bound_edits
from aiterfix.source.sites import analyse
from tests.kernels import IMPORTS, KERNELS, Seen, bound, module, seen

BASE = 10**15
STRIDE = 10**9
NAMES = ("a", "b", "c", "m")


@dataclass
class Language:
    """Stands in for ``triton.language``: one lane of a run, and a record of its stores."""

    lane: int
    seed: int
    stores: list[tuple[int, int, bool]] = field(default_factory=list)
    int64: Any = int

    def arange(self, start: int, end: int) -> Number:
        return Number(start + self.lane % max(1, end - start))

    def program_id(self, axis: int) -> Number:
        return Number((self.seed >> (3 * axis)) % 7)

    def cdiv(self, a: int, b: int) -> Number:
        return Number(-(-a // b))

    def minimum(self, a: int, b: int) -> Number:
        return Number(min(a, b))

    def maximum(self, a: int, b: int) -> Number:
        return Number(max(a, b))

    def where(self, condition: Any, a: Any, b: Any) -> Any:
        return a if condition else b

    def load(self, address: int, mask: bool = True, other: int = 0) -> Number:
        return Number(random.Random(f"{self.seed} {int(address)} {len(self.stores)}").randrange(-50, 50))

    def store(self, pointer: int, value: int, mask: Any = True) -> None:
        self.stores.append((int(pointer), int(value), bool(mask is None or mask)))


class Number(int):
    """An integer with the one method that kernels call on numbers."""

    def to(self, _kind: Any) -> Number:
        return self


for _operation in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "rfloordiv", "mod", "rmod", "neg"):
    _name = f"__{_operation}__"

    def _wrapped(self: Number, *other: int, _name: str = _name) -> Any:
        result = getattr(int, _name)(self, *other)
        return result if result is NotImplemented else Number(result)

    setattr(Number, _name, _wrapped)


class Truth(Number):
    """One bit: ``~`` negates it."""

    def __invert__(self) -> Truth:
        return Truth(not self)

    def __and__(self, other: int) -> Truth:
        return Truth(bool(self) and bool(other))

    def __or__(self, other: int) -> Truth:
        return Truth(bool(self) or bool(other))

    def logical_and(self, other: int) -> Truth:
        return self & other


for _operation in ("lt", "le", "gt", "ge", "eq", "ne"):
    _name = f"__{_operation}__"

    def _compared(self: Number, other: int, _name: str = _name) -> Any:
        result = getattr(int, _name)(self, other)
        return result if result is NotImplemented else Truth(result)

    setattr(Number, _name, _compared)
setattr(Number, "__hash__", int.__hash__)  # noqa: B010 - comparing took it away


class _Numbers(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, int) and not isinstance(node.value, bool):
            return ast.Call(ast.Name("Number", ast.Load()), [node], [])
        return node


@lru_cache(maxsize=4)
def _compiled(source: str) -> Any:
    return compile(ast.fix_missing_locations(_Numbers().visit(ast.parse(source))), "<kernel>", "exec")


def run(text: bytes, lane: int, seed: int, width: int) -> list[tuple[int, int, bool]]:
    """Stores of one execution: address, value, mask."""
    tl = Language(lane, seed)
    source = text.decode().replace("@triton.jit\n", "").replace("size: tl.constexpr", "size")
    source = source.replace(IMPORTS, "").replace("import triton\n", "")
    scope: dict[str, Any] = {"tl": tl, "Number": Number, "range": lambda *bounds: map(Number, range(*bounds))}
    scope["min"] = tl.minimum
    exec(_compiled(source), scope)
    scope["kernel"](*map(Number, (BASE, STRIDE, 10**7, width, 10**12, 3, 16)))
    return tl.stores


def columns(stores: list[tuple[int, int, bool]]) -> list[int]:
    """Columns of the stores to the output that were not masked off."""
    # Rows and heads are at most a few dozen, columns within ten thousand: strides tell them apart.
    found = []
    for address, _, mask in stores:
        if mask and abs(address - BASE) < 10**12 // 2:
            within_row = (address - BASE + STRIDE // 2) % STRIDE - STRIDE // 2
            within_head = (within_row + 10**7 // 2) % 10**7 - 10**7 // 2
            found.append(within_head)
    return found


def numbers(depth: int) -> st.SearchStrategy[str]:
    leaf = st.sampled_from([*NAMES[:3], "row", "size", "tl.arange(0, size)", "tl.program_id(1)", "3", "-2", "rows"])
    if depth == 0:
        return leaf
    inner = numbers(depth - 1)
    return st.one_of(
        leaf,
        st.builds("({} + {})".format, inner, inner),
        st.builds("({} - {})".format, inner, inner),
        st.builds("{} + {}".format, inner, leaf),
        st.builds("{} * size".format, leaf),
        st.builds("({}) // 2".format, inner),
        st.builds("({}).to(tl.int64)".format, inner),
        st.builds("tl.minimum({}, {})".format, inner, leaf),
        st.builds("tl.load(Data + {})".format, leaf),
    )


def masks(column: str) -> st.SearchStrategy[str]:
    term = st.one_of(
        st.sampled_from(
            [
                f"({column}) < width",
                f"width > ({column})",
                f"({column}) <= width - 1",
                f"({column}) <= width",
                f"({column}) >= 0",
                f"({column}) - 1 < width",
                f"({column}) + 2 <= width",
                "a < width",
                "m",
                "row < rows",
                "size < width",
                f"({column}) * 2 < 2 * width",
                f"width - ({column}) > 0",
                f"-({column}) > -width",
                f"({column}) < tl.minimum(width, b)",
                f"({column}) < tl.maximum(width, b)",
                f"({column}) < min(a + 20, width)",
                f"({column}) + tl.maximum(b, 0) < width",
                f"({column}) < tl.maximum(width - b, 0) + tl.minimum(b, 3)",
                f"0 <= ({column}) < width",
                f"live({column}, width)",
                f"some({column}, width)",
                f"({column}) < (width if row > 3 else width - 1)",
                f"({column}) < (width if row > 3 else b)",
                f"({column}) % width < width",
            ]
        ),
        numbers(1).map("({}) < width".format),
    )
    return st.one_of(
        term,
        st.builds("~({})".format, term),
        st.builds("~(({}) | ({}))".format, term, term),
        st.builds("~(({}) & ({}))".format, term, term),
        st.builds("not ({})".format, term),
        st.builds("({}) * ({})".format, term, term),
        st.builds("(({}) == True)".format, term),
        st.builds("(({}) != True)".format, term),
        st.builds("tl.where({}, {}, {})".format, term, term, term),
        st.builds("(({}) if {} > 1 else ({}))".format, term, numbers(1), term),
        st.builds("(({}) and ({}))".format, term, term),
        st.builds("(({}) or ({}))".format, term, term),
        st.builds("({}) & ({})".format, term, term),
        st.builds("({}) | ({})".format, term, term),
        st.builds("({}) & (({}) & ({}))".format, term, term, term),
    )


@st.composite
def stores(draw: st.DrawFn) -> str:
    column = draw(numbers(2))
    row = draw(st.sampled_from(["row * stride_row", "(row + 1) * stride_row", "stride_row * (row * 2 + rows)"]))
    head = draw(st.sampled_from(["", " + rows * stride_head"]))
    address = draw(
        st.sampled_from(
            [
                f"Out + {row}{head} + ({column})",
                f"Out + ({column}) + {row}{head}",
                f"({column}) + (Out + {row}{head})",
                f"p + ({column})",
            ]
        )
    )
    mask = draw(st.one_of(st.just(""), masks(column).map(", mask={}".format), masks(column).map(", {}".format)))
    call = f"tl.store({address}, {draw(st.integers(0, 9))}{mask})"
    style = draw(st.integers(0, 3))
    if style == 0:
        call = call.replace(", ", ",\n    ")
    if style == 1:
        call = call.replace(", mask=", ",\n    mask=").replace("tl.store(", "tl.store(\n    ")[:-1] + ",\n)"
    return call


@st.composite
def statements(draw: st.DrawFn, depth: int = 2) -> list[str]:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.integers(0, 12 if depth else 4))
        if kind <= 1:
            lines += draw(stores()).split("\n")
        elif kind == 2:
            lines.append(f"{draw(st.sampled_from(NAMES[:3]))} = {draw(numbers(2))}")
        elif kind == 3:
            lines.append(f"{draw(st.sampled_from(NAMES[:3]))} += {draw(numbers(1))}")
        elif kind == 4:
            lines.append(f"m = {draw(masks(draw(st.sampled_from(NAMES[:3]))))}")
        elif kind == 5:
            target = draw(st.sampled_from([*NAMES[:3], "i"]))
            body = draw(statements(depth=depth - 1))
            lines += [f"for {target} in range({draw(st.integers(0, 3))}):", *("    " + b for b in body)]
        elif kind == 6:
            body, other = draw(statements(depth=depth - 1)), draw(statements(depth=depth - 1))
            lines += [f"if {draw(numbers(1))} > 1:", *("    " + b for b in body), "else:", *("    " + b for b in other)]
        elif kind == 7:
            body = draw(statements(depth=depth - 1))
            lines += [f"if {draw(numbers(1))} > 1:", *("    " + b for b in body), "    return"]
        elif kind == 8:
            # A store without a mask behind a condition, on either side of it.
            column = draw(st.sampled_from(NAMES[:3]))
            test = draw(st.sampled_from(["< width", "<= width", ">= width", "+ size <= width", "+ size > width"]))
            lines += [
                f"if {column} {test}:",
                f"    {draw(st.sampled_from([f'tl.store(p + {column}, 1)', 'return', 'c += 1']))}",
            ]
            lines.append(f"tl.store(Out + row * stride_row + {column}, 2, mask={column} >= 0)")
        elif kind == 9:
            # A pointer, or its column, that grows in a loop.
            grown, step = draw(st.sampled_from(["p", "a", "b", "q"])), draw(st.sampled_from(["size", "2", "b", "i"]))
            inner = draw(statements(depth=0))
            jump = draw(st.sampled_from(["pass", "continue", "break", f"{grown} += 1"]))
            lines += [
                "q = Out + row * stride_row + a",
                f"for i in range({draw(st.integers(0, 1))}, {draw(st.integers(0, 4))}):",
                f"    if i > {draw(st.integers(0, 3))}:",
                f"        {jump}",
                *("    " + b for b in inner),
                "    tl.store(q, 3, mask=a + i * size < width)",
                f"    {grown} += {step}",
            ]
        elif kind == 10:
            body = draw(statements(depth=0))
            lines += ["n = row", "while n > 3:", *("    " + b for b in body), "    n = n // 2 - 1"]
        elif kind == 11:
            limit = draw(
                st.sampled_from(["width", "width // size", "tl.cdiv(width, size)", "tl.minimum(width, b)", "b"])
            )
            column = draw(st.sampled_from(["i", "i * size", "i * size + a", "i + a", "i - 1"]))
            lines += [f"for i in range({limit}):", f"    tl.store(Out + row * stride_row + {column}, 4)"]
        else:
            body = draw(stores()).split("\n")
            lines += ["def put(c):", *("    " + b for b in body), f"put({draw(numbers(1))})"]
    return lines


@st.composite
def kernels(draw: st.DrawFn) -> bytes:
    pointer = draw(
        st.sampled_from(
            ["p = Out + row * stride_row", "p = Out + row * stride_row + size", "p = row * stride_row + Out - c"]
        )
    )
    setup = [
        "row = tl.program_id(0)",
        "a = tl.arange(0, size)",
        "b = row + 1",
        "c = a + size",
        "m = a < width",
        pointer,
    ]
    return HELPERS + module("\n".join([*setup, *draw(statements())]))


HELPERS = b"""import triton
@triton.jit
def live(c, n):
    inside = c < n
    if c < 0:
        return c < n
    return inside
@triton.jit
def some(c, n):
    if n > 9:
        return c < n
    return c >= 0
"""


SETTINGS = settings(
    max_examples=int(os.environ.get("AITERFIX_FUZZ_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # Explaining a failure traces every line, which takes minutes here.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)
RUNS = [(lane, seed, width) for lane in (0, 15) for seed in (1, 200) for width in (1, 9, 40)]


@SETTINGS
@given(kernels())
def test_guarded_stores_stay_inside_the_row_and_others_keep_what_they_did(text: bytes) -> None:
    before = analyse(text, KERNELS)
    if seen(before) in (Seen.BOUNDED, Seen.NO_STORES):
        for lane, seed, width in RUNS:
            assert all(c < width for c in columns(run(text, lane, seed, width)))
    try:
        result = bound(text)
    except AiterfixError:
        assert seen(before) is Seen.UNKNOWN
        return
    assert seen(result.after.analysis) in (Seen.BOUNDED, Seen.NO_STORES)
    assert bound(result.new).new == result.new
    for lane, seed, width in RUNS:
        old, new = run(text, lane, seed, width), run(result.new, lane, seed, width)
        assert len(old) == len(new)
        for (a1, v1, m1), (a2, v2, m2) in zip(old, new, strict=True):
            (column,) = columns([(a1, v1, True)])
            assert (a1, v1) == (a2, v2)
            assert m2 == (m1 and column < width)


@SETTINGS
@given(kernels(), st.randoms(use_true_random=False))
def test_mutated_text_is_never_a_crash_and_never_changes_beyond_masks(text: bytes, rng: random.Random) -> None:
    data = bytearray(text)
    for _ in range(rng.randrange(1, 6)):
        i = rng.randrange(len(data))
        operation = rng.randrange(4)
        if operation == 0:
            del data[i : i + rng.randrange(1, 12)]
        elif operation == 1:
            data[i:i] = rng.choice(
                [b"(", b")", b"**", b"Out", b"width", b" := ", b"\n", b"\t", b"\xc3\xa9", b"#", b"\\\n"]
            )
        elif operation == 2:
            data[i] = rng.randrange(256)
        else:
            j = rng.randrange(len(data))
            data[i:i] = data[j : j + 30]
        if not data:
            return
    mutated = bytes(data)
    analysis = analyse(mutated, KERNELS)
    try:
        result = bound(mutated)
    except AiterfixError:
        return
    assert seen(analysis) is not Seen.UNKNOWN
    # Taking the edits out again gives the original bytes; the trees differ in masks only.
    assert _without(result.new, mutated) == mutated
    assert seen(result.after.analysis) in (Seen.BOUNDED, Seen.NO_STORES)
    old, new = ast.parse(mutated), ast.parse(result.new)
    assert ast.dump(_MaskRemover().visit(old)) == ast.dump(_MaskRemover().visit(new))


def _without(new: bytes, old: bytes) -> bytes:
    """Undo the edits on the new text by their positions alone."""
    edits, _ = bound_edits(old, analyse(old, KERNELS), "<source>")
    out = bytearray(new)
    shift = sum(len(e.text) - (e.span.end - e.span.start) for e in edits)
    for e in reversed(edits):
        shift -= len(e.text) - (e.span.end - e.span.start)
        start = e.span.start + shift
        assert out[start : start + len(e.text)] == e.text
        out[start : start + len(e.text)] = old[e.span.start : e.span.end]
    return bytes(out)


class _MaskRemover(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "store":
            node.args = node.args[:2]
            node.keywords = [k for k in node.keywords if k.arg != "mask"]
        return node
