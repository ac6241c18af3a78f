"""Instructions of 64-bit operands, on numbers of the program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950.instruction import VCC, VGPR, Encoding
from aiterfix.gfx950.operands import Binder, Kind
from aiterfix.gfx950.waves import ALL_ON
from aiterfix.overshoot.together import FIELDS

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.lanes import Numbers
    from aiterfix.overshoot.slicing import SlicedInstruction

_SIXTY_THREE = np.uint64(63)
_SEVEN = np.uint64(7)
_OPERATIONS: dict[str, Callable[..., Numbers]] = {
    "v_mov_b64": lambda a: a,
    "v_lshlrev_b64": lambda count, a: a << (count & _SIXTY_THREE),
    "v_lshl_add_u64": lambda a, count, b: (a << (count & _SEVEN)) + b,
    "v_cmp_eq_u64": lambda a, b: np.where(a == b, ALL_ON, np.uint64(0)),
    "v_cmp_ne_u64": lambda a, b: np.where(a != b, ALL_ON, np.uint64(0)),
}
NAMES = _OPERATIONS.keys()
_COUNTS = {"v_lshlrev_b64": 0, "v_lshl_add_u64": 1}
"""Which operand has 32 bits."""


def bind(item: SlicedInstruction, code: CodeObject) -> Callable[[Waves], None]:
    """An instruction of ``NAMES``, where no operand differs between lanes."""
    instruction = item.instruction
    name = instruction.mnemonic
    compute = _OPERATIONS[name]
    fields = FIELDS[instruction.encoding]
    size = compute.__code__.co_argcount
    sources = [
        _wide_source(instruction[field], code, item, narrow=_COUNTS.get(name) == place)
        for place, field in enumerate(fields[:size])
    ]
    compares = name.startswith("v_cmp")
    target = instruction["vdst"] if instruction.encoding is Encoding.VOP3 or not compares else VCC

    def execute(g: Waves) -> None:
        result = np.broadcast_to(compute(*[source(g) for source in sources]), (g.count,))
        if compares:
            g.pairs64[target >> 1] = result
            return
        row = target - VGPR
        g.vector[row][:, 0] = result & np.uint64(0xFFFF_FFFF)
        g.vector[row + 1][:, 0] = result >> np.uint64(32)

    return execute


def _wide_source(code: int, owner: CodeObject, item: SlicedInstruction, *, narrow: bool) -> Callable[[Waves], Numbers]:
    binder = Binder(item.instruction, owner)
    if code < VGPR:
        fetch = binder.scalar_source(code, Kind.U32 if narrow else Kind.U64)
        return lambda g: fetch(g).astype(np.uint64)
    row = binder.row(code)
    if narrow:
        return lambda g: g.vector[row][:, 0].astype(np.uint64)
    return lambda g: g.vector[row][:, 0].astype(np.uint64) | g.vector[row + 1][:, 0].astype(np.uint64) << np.uint64(32)
