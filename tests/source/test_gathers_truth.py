"""What is said to fit does: random addresses, calculated with products that wrap and with ones that do not."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from aiterfix.source.magnitudes import Fits
from tests.source.test_gathers import BUFFER, gathers

TOKENS = 64
# What each name holds at its largest; `stride_token` is a stride between tokens, all others may be anything.
# (Lanes times it are less than 2^31: which parameter is whose stride, only what else it is multiplied with can tell.)
LARGEST = {"idx": 2**31 - 1, "one": 2**31 - 1, "stride_key": 2**22, "row": 65535, "col": 255, "tokens": TOKENS,
           "size": 256}  # fmt: skip
LARGE = ("idx", "one", "stride_key")


@dataclass(frozen=True)
class Held:
    """A number as the device holds it, and as it ought to be."""

    device: int
    exact: int
    width: int


def wrapped(value: int, width: int) -> int:
    """A signed number of so many bits."""
    return (value + (1 << (width - 1))) % (1 << width) - (1 << (width - 1))


def calculated(e: ast.expr, values: dict[str, int]) -> Held:
    """An expression's value: products wrap, and conversions; sums are taken not to (see `aiterfix.source.values`).

    Raises:
        OverflowError: 64 bits are too few: as far no memory reaches, and nothing is said of it.
    """
    if isinstance(e, ast.Name):
        return Held(values[e.id], values[e.id], 32)
    if isinstance(e, ast.Constant) and isinstance(e.value, int):
        return Held(e.value, e.value, 0)
    if isinstance(e, ast.Call) and isinstance(e.func, ast.Attribute):
        held = calculated(e.func.value, values)
        width = int(ast.unparse(e.args[0])[-2:])
        return Held(wrapped(held.device, width) if held.width > width else held.device, held.exact, width)
    assert isinstance(e, ast.BinOp)
    left, right = calculated(e.left, values), calculated(e.right, values)
    width = max(left.width, right.width)
    if isinstance(e.op, ast.Mult):
        if width == 64 and abs(left.exact * right.exact) >= 2**63:
            raise OverflowError
        return Held(wrapped(left.device * right.device, width or 64), left.exact * right.exact, width)
    if isinstance(e.op, ast.Mod):
        return Held(left.device % right.device, left.exact % right.exact, width)
    if isinstance(e.op, ast.FloorDiv):
        return Held(left.device // right.device, left.exact // right.exact, width)
    assert isinstance(e.op, ast.Add)
    return Held(left.device + right.device, left.exact + right.exact, width)


names = st.sampled_from([*LARGEST, "4", "128"])
places = st.sampled_from(
    ["idx % tokens", "(row + col) % 16", "col // 16", "idx % 16 * 16", "col % tokens * stride_token"]
)
numbers = st.recursive(
    names | places.map(lambda p: f"({p})"),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "*", "*"]), inner).map(lambda t: f"({' '.join(t)})"),
        inner.filter(lambda e: not e.isdigit()).map(lambda e: f"({e}).to(tl.int64)"),
        inner.filter(lambda e: not e.isdigit()).map(lambda e: f"({e}).to(tl.int32)"),
        inner.map(lambda e: f"({e} // 16)"),
    ),
    max_leaves=6,
)


@given(numbers, st.booleans(), st.lists(st.floats(0, 1), min_size=4, max_size=4))
@settings(max_examples=400, deadline=None)
def test_what_fits_is_the_number_that_it_ought_to_be(address: str, in_offsets: bool, shares: list[float]) -> None:
    load = f"{BUFFER}(Keys, {address})" if in_offsets else f"tl.load(Keys + {address})"
    (found,) = gathers(f"one = tl.load(Table)\nk = {load}").loads
    if found.fits is not Fits.YES:
        return
    for share in (*shares, 0.0, 1.0):
        values = {n: int(v * share) if n in LARGE else v for n, v in LARGEST.items()} | {"stride_token": 132}
        try:
            held = calculated(ast.parse(address, mode="eval").body, values)
        except OverflowError:
            continue
        assert held.device == held.exact
        assert not in_offsets or held.device < 2**31


@given(numbers)
@settings(max_examples=100, deadline=None)
def test_a_block_of_32_bits_is_never_said_to_fit(inner: str) -> None:
    (found,) = gathers(f"one = tl.load(Table)\nk = tl.load(Keys + idx * stride_key + {inner})").loads
    assert found.fits is not Fits.YES
