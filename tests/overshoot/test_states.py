"""States that were seen: told by comparison, whatever their hashes."""

from __future__ import annotations

import random

import pytest

np = pytest.importorskip("numpy")

from aiterfix.overshoot import states  # noqa: E402 - after importorskip
from aiterfix.overshoot.states import StateTable  # noqa: E402


@pytest.mark.parametrize("collide", ["none", "some", "all"])
def test_equal_states_have_one_first(collide: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bits = {"none": (1 << 64) - 1, "some": 3, "all": 0}[collide]
    hashed = states._hashed
    monkeypatch.setattr(states, "_hashed", lambda rows: hashed(rows) & np.uint64(bits))
    generator = random.Random(collide)
    table = StateTable()
    numbers: dict[tuple[int, ...], int] = {}
    for _ in range(40):
        rows = [tuple(generator.randrange(6) for _ in range(3)) for _ in range(200)]
        before = len(table)
        found, fresh = table.number(np.array(rows, np.uint32))
        assert len(fresh) == len(table) - before
        for number, row in zip(range(before, len(table)), fresh.tolist(), strict=True):
            assert rows[row] not in numbers
            numbers[rows[row]] = number
        assert found.tolist() == [numbers[row] for row in rows]
    assert len(set(numbers.values())) == len(numbers) == len(table) == 6**3
