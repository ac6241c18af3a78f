"""Programs of which one element stands for each, taken apart and put together again."""

from __future__ import annotations

import random
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot.elements import Elements, gathered  # noqa: E402 - after importorskip
from aiterfix.overshoot.lane_values import Choice, Form, Half, Lost, Mask, Spread, Table, numbers_of  # noqa: E402
from aiterfix.overshoot.slicing import Live  # noqa: E402

LANES, PROGRAMS = 64, 5


def programs(forms: dict[int, Form]) -> Elements:
    generator = random.Random(8)
    numbers = np.array([generator.randrange(99) for _ in range(4 * 128 * PROGRAMS)], np.uint32)
    vector, pairs = (
        numbers[: 20 * PROGRAMS].reshape(20, PROGRAMS, 1),
        numbers[: 128 * PROGRAMS].reshape(64, PROGRAMS, 2),
    )
    pairs[63] = 0xFFFF_FFFF
    batch: Any = None
    scc, ends = np.arange(PROGRAMS) % 2 == 0, 9 * np.arange(PROGRAMS)
    return Elements(batch, np.arange(PROGRAMS), vector, pairs, scc, forms, ends, 3, 7)


def test_apart_and_together_again() -> None:
    table = Table.of(np.arange(LANES))
    numbers = np.arange(9, 9 + PROGRAMS, dtype=np.uint32)
    mask = Mask(table, ((table, numbers.astype(np.int64)), (table, np.zeros(1, np.int64))))
    whole = programs(
        {
            131: Choice(mask, Spread(numbers, table), Spread(numbers + 1, None)),
            106: mask,
            107: Half(),
            9: Spread(numbers, table),
        }
    )
    live = Live.of(dict.fromkeys((-1, 4, 9, 107, 128, 131), 0xFFFF_FFFF))
    order = np.array([4, 0, 3, 1, 2])
    parts = [gathered([whole], live, rows) for rows in (order[:2], order[2:])]
    assert parts[0].keep(live) == parts[1].keep(live) == whole.keep(live)
    assert parts[0].scalar[4].tolist() == whole.scalar[4][[4, 0]].tolist()
    again = gathered(parts, live)
    assert again.ids.tolist() == [4, 0, 3, 1, 2]
    again = gathered([again], live, np.argsort(again.ids))
    assert again.ids.tolist() == whole.ids.tolist()
    assert again.scalar[4].tolist() == whole.scalar[4].tolist()
    assert again.vector[0].tolist() == whole.vector[0].tolist()
    assert again.scc.tolist() == whole.scc.tolist()
    assert again.ends.tolist() == whole.ends.tolist() == [0, 9, 18, 27, 36]
    for number, form in whole.forms.items():
        for mine, other in zip(numbers_of(again.forms[number]), numbers_of(form), strict=True):
            assert (np.broadcast_to(mine, PROGRAMS) == np.broadcast_to(other, PROGRAMS)).all()


def test_what_is_not_live_is_left() -> None:
    table = Table.of(np.arange(LANES))
    mask = Mask(table, ())
    whole = programs({106: mask, 107: Half(), 9: Spread(np.zeros(1, np.uint32), table), 8: Lost()})
    assert set(gathered([whole], Live.of({107: 1, 9: 1}), np.arange(2)).forms) == {106, 107, 9}
    assert set(gathered([whole], Live.of({105: 1, 8: 1}), np.arange(2)).forms) == {8}
