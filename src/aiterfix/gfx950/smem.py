"""Scalar memory loads (ISA manual, chapter 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950.access import load
from aiterfix.gfx950.instruction import M0
from aiterfix.gfx950.operands import Binder, Bound, Kind

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "scalar memory"

LOADS = {
    "s_load_dword": 1, "s_load_dwordx2": 2, "s_load_dwordx4": 4, "s_load_dwordx8": 8, "s_load_dwordx16": 16,
}  # fmt: skip
"""Mnemonic to dwords."""
IGNORED = frozenset({"s_dcache_inv", "s_dcache_wb"})
"""Cache maintenance: memory is modelled without caches."""
NAMES = frozenset({*LOADS, *IGNORED, "s_memtime"})


def bind(binder: Binder) -> Bound:
    """Bind a scalar memory instruction."""
    instruction = binder.instruction
    if instruction.mnemonic in IGNORED:
        return binder.bound(lambda g: None)
    if instruction.mnemonic not in LOADS:
        binder.refuse("what it reads is not kept")
    dwords = LOADS[instruction.mnemonic]
    binder.only_zero("nv")
    base = binder.scalar_source(instruction["sbase"], Kind.U64, steer=True)
    immediate = 0
    if instruction["imm"]:
        immediate = instruction["offset"]
        immediate -= immediate >> 20 << 21
    offset = None
    if instruction["soffset_en"]:
        if not 0 <= instruction["soffset"] <= M0:
            binder.refuse("offset register")
        offset = binder.scalar_source(instruction["soffset"], Kind.U32, steer=True)
    elif not instruction["imm"]:
        # Without either bit the offset field's low bits name an SGPR.
        offset = binder.scalar_source(instruction["offset"] & 0x7F, Kind.U32, steer=True)
    target = instruction["sdata"]
    binder.note_scalar(target, dwords, binder.writes)

    def execute(g: Waves) -> None:
        addresses = base(g).astype(np.int64) + immediate
        if offset is not None:
            addresses = addresses + offset(g).astype(np.int64)
        values = load(g, instruction, addresses & ~np.int64(3), None, 4 * dwords)
        for k in range(dwords):
            g.scalar[target + k][...] = values[:, k]

    return binder.bound(execute)
