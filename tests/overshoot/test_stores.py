"""The furthest lane that is looked up, against every lane alone."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from aiterfix.errors import NotUnderstoodError  # noqa: E402 - after importorskip
from aiterfix.gfx950.instruction import Encoding, Instruction  # noqa: E402
from aiterfix.gfx950.operands import Bound  # noqa: E402
from aiterfix.overshoot.instructions import step_of  # noqa: E402
from aiterfix.overshoot.lanes import Mask, NotFollowed, Offset, Table  # noqa: E402
from aiterfix.overshoot.slicing import Kept  # noqa: E402
from aiterfix.overshoot.stores import OUTPUT, ends_of, furthest  # noqa: E402
from tests.overshoot.test_instructions import BATCH, LANES, MASK, PROGRAMS, chosen, numbers, table  # noqa: E402


def random_mask(generator: random.Random) -> Mask:
    conditions: list[Any] = []
    if generator.random() < 0.5:
        conditions += Mask.of(np.array([generator.random() < 0.7 for _ in range(LANES)])).conditions
    for _ in range(generator.randrange(3)):
        places = Table.of(np.array([lane * generator.choice((1, 3)) for lane in range(LANES)]))
        conditions.append((places, np.array([generator.randrange(-9, 220) for _ in range(PROGRAMS)])))
    return Mask(tuple(conditions))


def test_furthest() -> None:
    generator = random.Random(5)
    stored = refused = 0
    for _ in range(400):
        base, mask, masked = numbers(generator), random_mask(generator), generator.random() < 0.5
        elsewhere = generator.choice((numbers(generator), np.array([MASK], np.uint32)))
        below = np.array([generator.choice((0, 40, 1 << 31, MASK)) for _ in range(generator.choice((1, PROGRAMS)))])
        offset = Offset(generator.choice((table(generator), BATCH.no_difference)))
        if masked:
            offset = Offset(offset.table, mask, elsewhere)
        if generator.random() < 0.5:
            base = base[:1]
        try:
            found = furthest(base, offset, below, PROGRAMS).tolist()
        except NotFollowed:
            assert masked
            refused += 1
            continue
        limits = np.broadcast_to(below, (PROGRAMS,)).tolist()
        words = np.broadcast_to(base, (PROGRAMS,))[:, np.newaxis] + offset.table.words
        if masked:
            words = np.where(chosen(mask), words, elsewhere[:, np.newaxis])
        for program, row in enumerate(words.tolist()):
            expected = max((number for number in row if number < limits[program]), default=-1)
            assert found[program] == expected
            stored += expected >= 0
    assert stored > 200 and refused


def test_stores_to_anything_else_are_refused() -> None:
    assert (found := ends_of(OUTPUT, np.array([-1, 8]))) is not None and found.tolist() == [0, 3]
    for start in (OUTPUT - 12, OUTPUT + (1 << 32), 0):
        assert ends_of(start, np.array([-1, 8])) is None
    fields = {"offset": 0, "seg": 2}
    instruction = Instruction(0, 8, b"\0" * 8, "global_store_dword", Encoding.GLOBAL, Encoding.GLOBAL, fields)
    code: Any = SimpleNamespace(source_line=lambda pc: None)
    nothing = Bound(lambda g: None, frozenset(), frozenset(), frozenset())
    with pytest.raises(NotUnderstoodError, match="stores in a way that is not followed: global_store_dword"):
        step_of(Kept(instruction, nothing, is_store=True), code)
