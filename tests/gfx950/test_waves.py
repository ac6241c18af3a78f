"""Groups of waves that part and meet: which share their registers, and that none sees another's."""

from __future__ import annotations

import numpy as np
import pytest

from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.gfx950.waves import Waves, merge
from tests.emulator import RUNS_HERE, WHY_NOT

if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)

REGISTERS, COUNT = 3, 8


def group(count: int = COUNT) -> Waves:
    """Waves whose registers hold their own number, and EXEC all lanes."""
    batch = Batch(DeviceMemory(), None, 0, count, 1, 0, 0)  # type: ignore[arg-type]  # nothing is recorded
    ids = np.arange(count, dtype=np.int64)
    vector = np.ascontiguousarray(np.broadcast_to(ids[:, np.newaxis], (REGISTERS, count, 64)).astype(np.uint32))
    pairs = np.full((64, count, 2), 0xFFFF_FFFF, np.uint32)
    pairs[5, :, 0] = ids
    return Waves(batch, ids, vector, pairs, ids % 2 == 0, np.ones((count, 9), np.bool_), 0, 0)


def parted(whole: Waves, rows: list[bool]) -> tuple[Waves, Waves]:
    """Those chosen and the others, after the group itself was given up."""
    chosen = np.array(rows)
    parts = whole.select(chosen), whole.select(~chosen)
    whole.dissolve()
    return parts


@pytest.mark.parametrize(
    ("rows", "shared"),
    [
        ([True] * 3 + [False] * 5, True),
        ([False] * 7 + [True], True),
        ([False, True] * 4, False),
        ([True, False, False, True] + [False] * 4, False),
    ],
)
def test_what_parts_meets_again_with_its_registers(rows: list[bool], shared: bool) -> None:
    whole = group()
    first, second = parted(whole, rows)
    assert np.shares_memory(first.vector, whole.vector) is shared
    for part in (first, second):
        part.vector[1] += np.uint32(100) * (part is first)
        part.scalar[10][:] += np.uint32(7)
        assert (part.vector[0] == part.ids[:, np.newaxis]).all()
    # Met in the other order than they stand.
    together = merge([second, first])
    assert together.ids.tolist() == list(range(COUNT))
    assert not shared or np.shares_memory(together.vector, whole.vector)
    assert together.vector[1, :, 0].tolist() == [n + 100 * on for n, on in enumerate(rows)]
    assert together.scalar[10].tolist() == [n + 7 for n in range(COUNT)]
    assert together.scc.tolist() == [n % 2 == 0 for n in range(COUNT)]


def test_registers_are_given_back_once_nobody_uses_them() -> None:
    whole = group()
    first, second = parted(whole, [True] * 3 + [False] * 5)
    first.dissolve()
    fresh = group(2 * COUNT).select(np.array([True, False] * COUNT))  # as large as what was shared
    assert not np.shares_memory(fresh.vector, second.vector), "the other part still uses them"
    kept = second.vector.copy()
    fresh.vector[:] = 77
    assert (second.vector == kept).all()
