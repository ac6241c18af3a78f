"""Numbers of the program plus numbers of the lane, against every lane alone: the same, or refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot.lane_values import (  # noqa: E402 - after importorskip
    ARITHMETIC,
    COMPARISONS,
    Mask,
    NotInForm,
    Spread,
    Table,
    bitwise,
    compare,
    first_of_waves,
)

LANES, PROGRAMS = 64, 5
MASK = (1 << 32) - 1
DIRECT: dict[str, Callable[..., int]] = {
    "v_mov_b32": lambda a: a,
    "v_add_u32": lambda a, b: a + b,
    "v_sub_u32": lambda a, b: a - b,
    "v_subrev_u32": lambda a, b: b - a,
    "v_and_b32": lambda a, b: a & b,
    "v_or_b32": lambda a, b: a | b,
    "v_xor_b32": lambda a, b: a ^ b,
    "v_not_b32": lambda a: ~a,
    "v_lshlrev_b32": lambda a, b: b << (a & 31),
    "v_lshrrev_b32": lambda a, b: b >> (a & 31),
    "v_add3_u32": lambda a, b, c: a + b + c,
    "v_or3_b32": lambda a, b, c: a | b | c,
    "v_and_or_b32": lambda a, b, c: a & b | c,
    "v_lshl_or_b32": lambda a, b, c: a << (b & 31) | c,
    "v_lshl_add_u32": lambda a, b, c: (a << (b & 31)) + c,
    "v_add_lshl_u32": lambda a, b, c: (a + b) << (c & 31),
    "v_mul_lo_u32": lambda a, b: a * b,
}


SCALAR: dict[str, Callable[..., int]] = {
    "s_mov_b32": lambda a: a,
    "s_add_i32": lambda a, b: a + b,
    "s_add_u32": lambda a, b: a + b,
    "s_addk_i32": lambda a, b: a + b,
    "s_mul_i32": lambda a, b: a * b,
    "s_sub_i32": lambda a, b: a - b,
    "s_sub_u32": lambda a, b: a - b,
    "s_and_b32": lambda a, b: a & b,
    "s_or_b32": lambda a, b: a | b,
    "s_xor_b32": lambda a, b: a ^ b,
    "s_lshl_b32": lambda a, b: a << (b & 31),
    "s_lshr_b32": lambda a, b: a >> (b & 31),
    "s_bfe_u32": lambda a, b: a >> (b & 31) & (1 << (b >> 16 & 127)) - 1,
    "s_lshl1_add_u32": lambda a, b: (a << 1) + b,
    "s_lshl2_add_u32": lambda a, b: (a << 2) + b,
    "s_lshl3_add_u32": lambda a, b: (a << 3) + b,
    "s_lshl4_add_u32": lambda a, b: (a << 4) + b,
}
DIRECT |= SCALAR


def spread(generator: random.Random) -> Spread:
    size = generator.choice((1, PROGRAMS))
    low = generator.choice((0, 1, 5, 256, 1 << 31, MASK - 3))
    step = generator.choice((0, 1, 256, 1 << 20))
    base = np.array([low + step * generator.randrange(4) & MASK for _ in range(size)], np.uint32)
    if generator.random() < 0.4:
        return Spread(base, None)
    factor, start = generator.choice((1, 2, 4, 1 << 26)), generator.choice((0, 0, 3, MASK - 10))
    return Spread(base, Table.of(np.array([start + lane % 16 * factor & MASK for lane in range(LANES)], np.uint32)))


def lanes_of(value: Spread) -> list[list[int]]:
    words = [0] * LANES if value.table is None else value.table.words.tolist()
    return [[b + w & MASK for w in words] for b in np.broadcast_to(value.base, (PROGRAMS,)).tolist()]


def signed(number: int) -> int:
    return number - (number >> 31 << 32)


def holds(name: str, compute: Callable[..., Spread], direct: Callable[..., int]) -> None:
    """What is computed in the form is what every lane alone gives."""
    generator, kept = random.Random(name), 0
    for _ in range(400):
        sources = [spread(generator) for _ in range(direct.__code__.co_argcount)]
        try:
            result = compute(*sources)
        except NotInForm:
            continue
        kept += any(source.table for source in sources)
        tables = [lanes_of(source) for source in sources]
        assert lanes_of(result) == [
            [direct(*(table[p][lane] for table in tables)) & MASK for lane in range(LANES)] for p in range(PROGRAMS)
        ]
    assert kept > 20


@pytest.mark.parametrize("name", sorted(ARITHMETIC.keys() - {"v_readfirstlane_b32"}))
def test_arithmetic(name: str) -> None:
    holds(name, ARITHMETIC[name], DIRECT[name])


def test_bits_of_lanes_and_of_programs() -> None:
    """Apart they go together; where a program's own number meets what lanes decide there is no form."""
    lane = Spread(np.array([1 << 20], np.uint32), Table.of(np.arange(LANES)))
    apart = Spread(np.array([1 << 8, 3 << 8], np.uint32), None)
    meeting = Spread(np.array([1, 2], np.uint32), None)
    same = Spread(np.array([5, 5], np.uint32), None)
    assert lanes_of_two(bitwise(np.bitwise_or, lane, apart)) == [
        [1 << 20 | k | b << 8 for k in range(64)] for b in (1, 3)
    ]
    assert lanes_of_two(bitwise(np.bitwise_xor, lane, same)) == [[1 << 20 | k ^ 5 for k in range(64)]] * 2
    for function in (np.bitwise_or, np.bitwise_and, np.bitwise_xor):
        with pytest.raises(NotInForm):
            bitwise(function, lane, meeting)
    with pytest.raises(NotInForm):
        bitwise(np.invert, Spread(np.array([1, 1], np.uint32), lane.table))


def lanes_of_two(value: Spread) -> list[list[int]]:
    words = np.zeros(LANES, np.uint32) if value.table is None else value.table.words
    return [[int(b + w) & MASK for w in words.tolist()] for b in np.broadcast_to(value.base, (2,)).tolist()]


def test_first_lanes_of_waves() -> None:
    of_two = Spread(np.array([7, 9], np.uint32), Table.of(np.arange(3, 131)))
    first = first_of_waves(of_two)
    assert first.base.tolist() == [7, 9]
    assert first.table is not None
    assert first.table.words.tolist() == [3] * 64 + [67] * 64
    # One wave has one first lane: a number of the program.
    of_one = first_of_waves(Spread(np.array([7, MASK], np.uint32), Table.of(np.arange(3, 67))))
    assert (of_one.base.tolist(), of_one.table) == ([10, 2], None)


def chosen(mask: Mask) -> Any:
    return mask.lanes(np.arange(PROGRAMS), LANES)


@pytest.mark.parametrize("name", sorted(COMPARISONS))
def test_comparisons(name: str) -> None:
    generator = random.Random(name)
    relation, kind = name.split("_")[2:]
    kept = 0
    for _ in range(800):
        a, b = spread(generator), spread(generator)
        try:
            mask = compare(name, a, b)
        except NotInForm:
            continue
        kept += 1
        read = signed if kind == "i32" else int
        left, right = lanes_of(a), lanes_of(b)
        for program, row in enumerate(chosen(mask).tolist()):
            for lane, on in enumerate(row):
                x, y = read(left[program][lane]), read(right[program][lane])
                assert (
                    on == {"lt": x < y, "le": x <= y, "gt": x > y, "ge": x >= y, "eq": x == y, "ne": x != y}[relation]
                )
        if kept == 25:
            break
    assert kept >= 10
