"""Scalar registers that differ between the waves of a program: first lanes of waves, and arithmetic on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950 import sop
from aiterfix.gfx950.instruction import EXEC, Encoding, Instruction
from aiterfix.gfx950.operands import SCC_REGISTER
from aiterfix.overshoot.lanes import SCALAR_ARITHMETIC, Spread, first_of_waves
from aiterfix.overshoot.together import Special, Write, source_of, write_scalar

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.differing import Lanes
    from aiterfix.overshoot.slicing import SlicedInstruction

_FIRST, _ADD_CONSTANT = "v_readfirstlane_b32", "s_addk_i32"
NAMES = frozenset({_FIRST, _ADD_CONSTANT, *SCALAR_ARITHMETIC})
_OF_ONE_WAVE = frozenset({Encoding.SOP1, Encoding.SOP2, Encoding.SOPK})


def is_arithmetic(instruction: Instruction) -> bool:
    """Whether it gives a wave what follows from the wave's own operands: no memory, no program counter."""
    name = instruction.mnemonic
    return instruction.encoding in _OF_ONE_WAVE and (name in sop.OPERATIONS or name in sop.IMMEDIATE_OPERATIONS)


def bind(item: SlicedInstruction, code: CodeObject) -> Special | None:
    """An instruction of ``NAMES``. The condition that one leaves would differ between waves, so it counts as lost."""
    instruction = item.instruction
    name = instruction.mnemonic
    (target,) = item.writes - {SCC_REGISTER}
    if target in (EXEC, EXEC + 1):
        return None
    lost = SCC_REGISTER if SCC_REGISTER in item.writes else None
    if name == _FIRST:
        # Vector instructions come here where all lanes are on only, so the first is lane 0.
        first = source_of(instruction["src0"], code, item)
        return lambda g, lanes: write_scalar(target, first_of_waves(first(g, lanes)))
    if name == _ADD_CONSTANT:
        bits = instruction["simm16"]
        constant = np.uint32(bits - (bits >> 15 << 16) & 0xFFFF_FFFF)
        before = source_of(instruction["sdst"], code, item)

        def add(g: Waves, lanes: Lanes) -> Write:
            old = before(g, lanes)
            return write_scalar(target, Spread(old.base + constant, old.table), lost)

        return add
    compute = SCALAR_ARITHMETIC[name]
    fields = ("ssrc0",) if instruction.encoding is Encoding.SOP1 else ("ssrc0", "ssrc1")
    sources = [source_of(instruction[field], code, item) for field in fields]
    return lambda g, lanes: write_scalar(target, compute(*[source(g, lanes) for source in sources]), lost)
