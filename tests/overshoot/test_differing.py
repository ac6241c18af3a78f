"""Registers of programs taken apart and put together again."""

from __future__ import annotations

import random

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot.differing import Lanes  # noqa: E402 - after importorskip
from aiterfix.overshoot.lanes import Choice, Mask, Spread, Table  # noqa: E402

LANES, PROGRAMS = 64, 5


def test_programs_apart_and_together_again() -> None:
    generator = random.Random(8)
    table = Table.of(np.arange(LANES))
    numbers = np.array([generator.randrange(99) for _ in range(PROGRAMS)], np.uint32)
    mask = Mask(table, ((table, numbers.astype(np.int64)),))
    whole = Lanes(
        LANES,
        {3: Choice(mask, Spread(numbers, table), Spread(numbers + 1, None))},
        {106: mask},
        {9: Spread(numbers, table)},
    )
    order = np.array([4, 0, 3, 1, 2])
    parts = [whole.selected(order[:2]), whole.selected(order[2:])]
    assert parts[0].form() == parts[1].form() == whole.form()
    again = Lanes.joined(parts, [2, 3], np.argsort(order))
    assert [n.tolist() for n in again.numbers()] == [n.tolist() for n in whole.numbers()]
    nothing = whole.kept((), ())
    assert not nothing.vectors and not nothing.masks and not nothing.scalars
    assert whole.kept((3,), (9, 107)).form() == whole.form()
    assert whole.kept((3,), (107,)).form() != whole.form()
    assert whole.in_scalar(9) and not whole.in_scalar(8) and whole.in_pair(8) and not whole.in_pair(10)
