"""Programs of which one element stands for each, taken apart and put together again."""

from __future__ import annotations

import random
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot.lanes import Lost, Mask, Offset, Table, Varying, numbers_of  # noqa: E402 - after importorskip
from aiterfix.overshoot.programs import Programs, gathered  # noqa: E402

LANES, PROGRAMS = 64, 5


def programs(varying: dict[int, Varying]) -> Programs:
    generator = random.Random(8)
    numbers = np.array([generator.randrange(99) for _ in range(4 * 128 * PROGRAMS)], np.uint32)
    vector, pairs = (
        numbers[: 20 * PROGRAMS].reshape(20, PROGRAMS, 1),
        numbers[: 128 * PROGRAMS].reshape(64, PROGRAMS, 2),
    )
    pairs[63] = 0xFFFF_FFFF
    batch: Any = None
    return Programs(batch, np.arange(PROGRAMS), vector, pairs, np.arange(PROGRAMS) % 2 == 0, varying, 3, 7)


def test_apart_and_together_again() -> None:
    table = Table.of(np.arange(LANES))
    numbers = np.arange(9, 9 + PROGRAMS, dtype=np.uint32)
    mask = Mask(((table, numbers.astype(np.int64)), (table, np.zeros(1, np.int64))))
    whole = programs(
        {
            131: Offset(table, mask, numbers + 1),
            106: mask,
            107: Lost(),
            9: Offset(table),
        }
    )
    live = frozenset({-1, 4, 9, 107, 128, 131})
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
    for number, varying in whole.varying.items():
        for mine, other in zip(numbers_of(again.varying[number]), numbers_of(varying), strict=True):
            assert (np.broadcast_to(mine, PROGRAMS) == np.broadcast_to(other, PROGRAMS)).all()


def test_what_is_not_live_is_left() -> None:
    table = Table.of(np.arange(LANES))
    mask = Mask.of(table.words)
    whole = programs({106: mask, 107: Lost(), 9: Offset(table), 8: Lost()})
    assert set(gathered([whole], frozenset({107, 9}), np.arange(2)).varying) == {106, 107, 9}
    assert set(gathered([whole], frozenset({105, 8}), np.arange(2)).varying) == {8}


def test_half_of_a_mask_is_lost_with_the_other() -> None:
    mask = Mask.of(np.arange(LANES) < 5)
    for writes, left in (
        (frozenset({107}), {106: Lost()}),
        (frozenset({106}), {107: Lost()}),
        (frozenset({106, 107}), {}),
    ):
        whole = programs({106: mask, 107: Lost()})
        whole.overwritten(writes)
        assert whole.varying == left


def test_states_tell_numbers_apart() -> None:
    """Of what is live, whether lanes differ besides or not."""
    for varying in ({}, {9: Offset(Table.of(np.arange(LANES)))}):
        whole = programs(dict(varying))
        whole.scalar[9][...] = np.arange(PROGRAMS) // 2
        whole.scalar[10][...] = np.arange(PROGRAMS)
        assert len(np.unique(whole.state(frozenset({9}), 0), axis=0)) == (PROGRAMS + 1) // 2
