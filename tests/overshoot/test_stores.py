"""The furthest lane that is looked up, against every lane alone."""

from __future__ import annotations

import random

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot.lane_values import Choice, Mask, NotInForm, Spread, Table  # noqa: E402 - after importorskip
from aiterfix.overshoot.stores import furthest  # noqa: E402
from tests.overshoot.test_lane_values import LANES, MASK, PROGRAMS, chosen, lanes_of, spread  # noqa: E402


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
    stored = refused = 0
    for _ in range(400):
        on, mask = spread(generator), random_mask(generator)
        off = generator.choice((spread(generator), Spread(np.array([MASK], np.uint32), None)))
        below = np.array([generator.choice((0, 40, 1 << 31, MASK)) for _ in range(generator.choice((1, PROGRAMS)))])
        value = generator.choice((on, Choice(mask, on, off)))
        try:
            found = furthest(value, below, PROGRAMS, LANES).tolist()
        except NotInForm:
            assert isinstance(value, Choice)
            refused += 1
            continue
        limits = np.broadcast_to(below, (PROGRAMS,)).tolist()
        bright, dark = lanes_of(on), lanes_of(off)
        lit = chosen(mask) if isinstance(value, Choice) else np.ones((PROGRAMS, LANES), bool)
        for program in range(PROGRAMS):
            numbers = [(bright if lit[program, lane] else dark)[program][lane] for lane in range(LANES)]
            expected = max((number for number in numbers if number < limits[program]), default=-1)
            assert found[program] == expected
            stored += expected >= 0
    assert stored > 200 and refused
