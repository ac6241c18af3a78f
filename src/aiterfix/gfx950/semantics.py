"""Which module gives an instruction its meaning."""

from __future__ import annotations

from collections.abc import Callable

from aiterfix.gfx950 import (
    control,
    crosslane,
    division,
    ds,
    global_memory,
    mfma,
    mubuf,
    scratch,
    small_floats,
    smem,
    sop,
    vop,
    vop3p,
    vopc,
)
from aiterfix.gfx950.operands import Binder, Bound

Bind = Callable[[Binder], Bound]

_TABLE: dict[str, tuple[str, Bind]] = {
    **dict.fromkeys(control.NAMES, (control.NAME, control.bind)),
    **dict.fromkeys((*sop.OPERATIONS, *sop.IMMEDIATE_OPERATIONS, *sop.SAVE_EXEC), (sop.NAME, sop.bind)),
    **dict.fromkeys(smem.NAMES, (smem.NAME, smem.bind)),
    **dict.fromkeys(vop.INTEGER, (vop.NAME_INTEGER, vop.bind)),
    **dict.fromkeys(vop.FLOAT, (vop.NAME_FLOAT, vop.bind)),
    **dict.fromkeys(vop.BITOP3, (vop.NAME_INTEGER, vop.bind_bitop3)),
    **dict.fromkeys(vop.HALF_DOTS, (vop.NAME_FLOAT, vop.bind_half_dot)),
    "v_swap_b32": (vop.NAME_INTEGER, vop.bind_swap),
    **dict.fromkeys(vop.LITERAL_FMA, (vop.NAME_FLOAT, vop.bind_literal_fma)),
    **dict.fromkeys(division.NAMES, (division.NAME, division.bind)),
    **dict.fromkeys(small_floats.NAMES, (small_floats.NAME, small_floats.bind)),
    **dict.fromkeys(vopc.NAMES, (vopc.NAME, vopc.bind)),
    **dict.fromkeys(crosslane.NAMES, (crosslane.NAME, crosslane.bind)),
    **dict.fromkeys(vop3p.NAMES, (vop3p.NAME, vop3p.bind)),
    **dict.fromkeys(mfma.NAMES, (mfma.NAME, mfma.bind)),
    **dict.fromkeys(ds.NAMES, (ds.NAME, ds.bind)),
    **dict.fromkeys(mubuf.NAMES, (mubuf.NAME, mubuf.bind)),
    **dict.fromkeys(global_memory.NAMES, (global_memory.NAME, global_memory.bind)),
    **dict.fromkeys(scratch.NAMES, (scratch.NAME, scratch.bind)),
}
"""Mnemonic to group and binding function."""


def group_of(mnemonic: str) -> str:
    """The group that an instruction's time is booked under."""
    return _TABLE[mnemonic][0] if mnemonic in _TABLE else "unknown"


def bind(binder: Binder) -> Bound:
    """Bind an instruction.

    Raises:
        UnmodelledInstructionError: unknown mnemonic, or a modifier that is not modelled.
    """
    instruction = binder.instruction
    if instruction.mnemonic not in _TABLE:
        binder.refuse("no semantics for it")
    return _TABLE[instruction.mnemonic][1](binder)
