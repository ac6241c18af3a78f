"""Instructions on numbers of the lane alone, the same in all programs: run once, as the machine runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE
from aiterfix.gfx950.waves import LANES, Waves
from aiterfix.overshoot.lanes import NotInForm, Numbers, Spread, Table, same, settled
from aiterfix.overshoot.together import Special, Write, write_scalar, write_vector

if TYPE_CHECKING:
    from aiterfix.overshoot.differing import Lanes
    from aiterfix.overshoot.slicing import SlicedInstruction


def bind(item: SlicedInstruction) -> Special | None:
    """An instruction that gives each lane, or each wave, what follows from its own operands and nothing else.

    None where it reads a condition or writes EXEC or anything but one register and a condition.
    """
    targets = item.writes - {SCC_REGISTER}
    if SCC_REGISTER in item.reads or len(targets) != 1 or targets & {EXEC, EXEC + 1}:
        return None
    (target,) = targets
    lost = SCC_REGISTER if SCC_REGISTER in item.writes else None
    highest = max([VECTOR_BASE, *item.reads, *targets]) - VECTOR_BASE

    def execute(g: Waves, lanes: Lanes) -> Write:
        waves = lanes.count // LANES
        vector = np.zeros((highest + 1, waves, LANES), np.uint32)
        pairs = np.zeros((64, waves, 2), np.uint32)
        pairs[EXEC >> 1] = 0xFFFF_FFFF
        for number in item.reads:
            if number >= VECTOR_BASE:
                row = number - VECTOR_BASE
                vector[row] = _words(lanes.vectors.get(row), g.vector[row][:, 0], lanes.count).reshape(waves, LANES)
            elif number & ~1 in lanes.masks:
                raise NotInForm
            else:
                words = _words(lanes.scalars.get(number), g.scalar[number], lanes.count)
                pairs[number >> 1, :, number & 1] = words[::LANES]
        one = Waves(
            g.batch, np.arange(waves), vector, pairs, np.zeros(waves, np.bool_), np.zeros((waves, 0), np.bool_), 0, 0
        )
        item.execute(one)
        if target < VECTOR_BASE:
            return write_scalar(target, _value(np.repeat(one.scalar[target], LANES)), lost)
        return write_vector(target - VECTOR_BASE, _value(one.vector[target - VECTOR_BASE].reshape(-1)))

    return execute


def _words(value: object, plain: Numbers, lanes: int) -> Numbers:
    """``(lanes,)``: an operand, which must not differ between programs."""
    if value is None:
        return np.full(lanes, same(plain), np.uint32)
    if not isinstance(value, Spread) or value.table is None:
        raise NotInForm
    words: Numbers = value.table.words + np.uint32(same(value.base))
    return words


def _value(words: Numbers) -> Spread:
    return settled(Spread(np.zeros(1, np.uint32), Table.of(words)))
