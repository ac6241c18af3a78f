"""States that were seen: told by comparison, whatever their hashes."""

from __future__ import annotations

import random

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot import known  # noqa: E402 - after importorskip
from aiterfix.overshoot.known import Known, states_of  # noqa: E402


@pytest.mark.parametrize("collide", ["none", "some", "all"])
def test_equal_states_have_one_first(collide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = {"none": (1 << 64) - 1, "some": 3, "all": 0}[collide]
    hashed = known._hashed
    monkeypatch.setattr(known, "_hashed", lambda states: hashed(states) & np.uint64(bits))
    generator = random.Random(collide)
    places, number = Known(), 0
    had: dict[int, tuple[int, ...]] = {}
    for _ in range(20):
        rows = [tuple(generator.randrange(3) for _ in range(3)) for _ in range(15)]
        numbers = np.arange(number, number + 15)
        number += 15
        columns = [np.array(column, np.uint32) for column in zip(*rows, strict=True)]
        first = places.first_of(states_of(columns, 15), numbers)
        for own, row in zip(numbers.tolist(), rows, strict=True):
            had[own] = row
        for own, other in zip(numbers.tolist(), first.tolist(), strict=True):
            assert other <= own and had[other] == had[own]
    if collide == "none":
        assert len(places._hashes) == len(set(had.values()))


def test_columns_of_every_kind() -> None:
    columns = [np.array([1, 2], np.uint32), np.array([-1, 1 << 40]), np.array([True, False]), np.array([7], np.uint32)]
    assert states_of(columns, 2).tolist() == [[1, (1 << 64) - 1, 1, 7], [2, 1 << 40, 0, 7]]
    assert states_of([], 2).tolist() == [[0], [0]]
