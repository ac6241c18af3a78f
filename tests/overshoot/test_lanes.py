"""Numbers of the program plus numbers of the lane, against every lane alone: the same, or refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot.differing import Lanes  # noqa: E402 - after importorskip
from aiterfix.overshoot.lanes import (  # noqa: E402 - after importorskip
    ARITHMETIC,
    COMPARISONS,
    Choice,
    Mask,
    NotInForm,
    Spread,
    Table,
    compare,
    furthest,
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
    "v_lshlrev_b32": lambda a, b: b << (a & 31),
    "v_lshrrev_b32": lambda a, b: b >> (a & 31),
    "v_add3_u32": lambda a, b, c: a + b + c,
    "v_or3_b32": lambda a, b, c: a | b | c,
    "v_and_or_b32": lambda a, b, c: a & b | c,
    "v_lshl_or_b32": lambda a, b, c: a << (b & 31) | c,
    "v_lshl_add_u32": lambda a, b, c: (a << (b & 31)) + c,
    "v_add_lshl_u32": lambda a, b, c: (a + b) << (c & 31),
}


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


@pytest.mark.parametrize("name", sorted(ARITHMETIC))
def test_arithmetic(name: str) -> None:
    generator = random.Random(name)
    direct, kept = DIRECT[name], 0
    for _ in range(400):
        sources = [spread(generator) for _ in range(direct.__code__.co_argcount)]
        try:
            result = ARITHMETIC[name](*sources)
        except NotInForm:
            continue
        kept += any(source.table for source in sources)
        tables = [lanes_of(source) for source in sources]
        assert lanes_of(result) == [
            [direct(*(table[p][lane] for table in tables)) & MASK for lane in range(LANES)] for p in range(PROGRAMS)
        ]
    assert kept > 20


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


def random_mask(generator: random.Random) -> Mask:
    mask = Mask(None, ())
    if generator.random() < 0.5:
        mask = mask.both(Mask(Table.of(np.array([generator.random() < 0.7 for _ in range(LANES)])), ()))
    for _ in range(generator.randrange(3)):
        table = Table.of(np.array([lane * generator.choice((1, 3)) for lane in range(LANES)]))
        mask = mask.both(Mask(None, ((table, np.array([generator.randrange(-9, 220) for _ in range(PROGRAMS)])),)))
    return mask


def test_furthest() -> None:
    generator = random.Random(5)
    stored = 0
    for _ in range(200):
        on, off, mask = spread(generator), spread(generator), random_mask(generator)
        below = np.array([generator.choice((0, 40, 1 << 31, MASK)) for _ in range(generator.choice((1, PROGRAMS)))])
        value = generator.choice((on, Choice(mask, on, off)))
        found = furthest(value, below, PROGRAMS, LANES).tolist()
        limits = np.broadcast_to(below, (PROGRAMS,)).tolist()
        bright, dark = lanes_of(on), lanes_of(off)
        lit = chosen(mask) if isinstance(value, Choice) else np.ones((PROGRAMS, LANES), bool)
        for program in range(PROGRAMS):
            numbers = [(bright if lit[program, lane] else dark)[program][lane] for lane in range(LANES)]
            expected = max((number for number in numbers if number < limits[program]), default=-1)
            assert found[program] == expected
            stored += expected >= 0
    assert stored > 200


def test_programs_apart_and_together_again() -> None:
    generator = random.Random(8)
    table = Table.of(np.arange(LANES))
    numbers = np.array([generator.randrange(99) for _ in range(PROGRAMS)], np.uint32)
    mask = Mask(table, ((table, numbers.astype(np.int64)),))
    whole = Lanes(LANES, {3: Choice(mask, Spread(numbers, table), Spread(numbers + 1, None))}, {106: mask})
    order = np.array([4, 0, 3, 1, 2])
    parts = [whole.selected(order[:2]), whole.selected(order[2:])]
    assert parts[0].form() == parts[1].form() == whole.form()
    again = Lanes.joined(parts, [2, 3], np.argsort(order))
    assert [n.tolist() for n in again.numbers()] == [n.tolist() for n in whole.numbers()]
    assert not whole.kept((), ()).vectors and not whole.kept((), ()).masks
    assert whole.kept((3,), (107,)).form() == whole.form()
