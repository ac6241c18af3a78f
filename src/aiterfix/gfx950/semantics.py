"""Which module gives an instruction its meaning, and what is implemented."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from aiterfix.gfx950 import (
    control,
    crosslane,
    ds,
    global_memory,
    mfma,
    mubuf,
    scratch,
    smem,
    sop,
    vop,
    vop3p,
    vopc,
)
from aiterfix.gfx950.instruction import Encoding
from aiterfix.gfx950.operands import Binder, Bound

Bind = Callable[[Binder], Bound]

_TABLE: dict[str, tuple[str, Bind]] = {
    **{name: (control.NAME, control.bind) for name in control.NAMES},
    **{name: (sop.NAME, sop.bind) for name in (*sop.OPERATIONS, *sop.IMMEDIATE_OPERATIONS, *sop.SAVE_EXEC)},
    **{name: (smem.NAME, smem.bind) for name in smem.NAMES},
    **{name: (vop.NAME_INTEGER, vop.bind) for name in vop.INTEGER},
    **{name: (vop.NAME_FLOAT, vop.bind) for name in vop.FLOAT},
    **{name: (vop.NAME_INTEGER, vop.bind_bitop3) for name in vop.BITOP3},
    **{name: (vopc.NAME, vopc.bind) for name in vopc.NAMES},
    **{name: (crosslane.NAME, crosslane.bind) for name in crosslane.NAMES},
    **{name: (vop3p.NAME, vop3p.bind) for name in vop3p.NAMES},
    **{name: (mfma.NAME, mfma.bind) for name in mfma.NAMES},
    **{name: (ds.NAME, ds.bind) for name in ds.NAMES},
    **{name: (mubuf.NAME, mubuf.bind) for name in mubuf.NAMES},
    **{name: (global_memory.NAME, global_memory.bind) for name in global_memory.NAMES},
    **{name: (scratch.NAME, scratch.bind) for name in scratch.NAMES},
}
"""Mnemonic to group and binding function."""


def implemented() -> Mapping[str, str]:
    """Every mnemonic that can be executed, and its group.

    Further conditions (modifiers, formats, descriptor bits) are checked when an instruction is bound.
    """
    return MappingProxyType({name: group for name, (group, _) in sorted(_TABLE.items())})


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
    if instruction.encoding is Encoding.MFMA_SCALED:
        binder.refuse("scaled matrix operands")
    return _TABLE[instruction.mnemonic][1](binder)
