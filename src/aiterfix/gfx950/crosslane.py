"""Vector instructions whose lanes see each other: lane reads and writes, permlane swaps (ISA manual, section 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950.instruction import VGPR, Encoding
from aiterfix.gfx950.operands import Binder, Bound, Kind

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "cross-lane"
NAMES = frozenset(
    {"v_readfirstlane_b32", "v_readlane_b32", "v_writelane_b32", "v_permlane16_swap_b32", "v_permlane32_swap_b32"}
)


def bind(binder: Binder) -> Bound:
    """Bind an instruction of this module."""
    if binder.instruction.encoding in (Encoding.SDWA, Encoding.DPP):
        binder.refuse("a cross-lane instruction in SDWA or DPP form")
    binder.only_zero("omod", "clmp", "abs", "neg", "opsel")
    return {
        "v_readfirstlane_b32": _bind_read_first,
        "v_readlane_b32": _bind_read,
        "v_writelane_b32": _bind_write,
        "v_permlane16_swap_b32": _bind_swap,
        "v_permlane32_swap_b32": _bind_swap,
    }[binder.instruction.mnemonic](binder)


def _scalar_destination(binder: Binder) -> int:
    # The decoder types VDST as a vector register; here it is a scalar one.
    code = binder.instruction["vdst"]
    return code - VGPR if code >= VGPR else code


def _bind_read_first(binder: Binder) -> Bound:
    fetch = binder.vector_source(binder.instruction["src0"], Kind.U32)
    write = binder.scalar_result(_scalar_destination(binder))

    def execute(g: Waves) -> None:
        values = np.broadcast_to(fetch(g), (g.count, 64))
        if g.lanes is None:
            write(g, values[:, 0])
        else:
            first = (g.lanes != 0).argmax(axis=1)  # lane 0 where none is on
            write(g, values[np.arange(g.count), first])

    return binder.bound(execute)


def _bind_read(binder: Binder) -> Bound:
    instruction = binder.instruction
    fetch = binder.vector_source(instruction["src0"], Kind.U32)
    lane = binder.scalar_source(instruction["src1"], Kind.U32)
    write = binder.scalar_result(_scalar_destination(binder))

    def execute(g: Waves) -> None:
        values = np.broadcast_to(fetch(g), (g.count, 64))
        write(g, values[np.arange(g.count), lane(g) & np.uint32(63)])

    return binder.bound(execute)


def _bind_write(binder: Binder) -> Bound:
    instruction = binder.instruction
    value = binder.scalar_source(instruction["src0"], Kind.U32)
    lane = binder.scalar_source(instruction["src1"], Kind.U32)
    row = binder.row(instruction["vdst"])
    # The other lanes keep their values, but a register built up lane by lane is not read here.
    binder.note_vector(row, 1, binder.writes)

    def execute(g: Waves) -> None:
        g.vector[row][np.arange(g.count), np.broadcast_to(lane(g) & np.uint32(63), g.count)] = value(g)

    return binder.bound(execute)


def _bind_swap(binder: Binder) -> Bound:
    """Odd rows (of 16 or 32 lanes) of VDST change places with even rows of SRC0.

    The manual's pseudocode does not name EXEC, LLVM's intrinsic has flags for inactive lanes (fetch-inactive, bound
    control): what lanes that are off do is not known.
    """
    instruction = binder.instruction
    width = 16 if instruction.mnemonic == "v_permlane16_swap_b32" else 32
    first, second = binder.row(instruction["vdst"]), binder.row(instruction["src0"])
    for row in (first, second):
        binder.note_vector(row, 1, binder.reads)
        binder.note_vector(row, 1, binder.writes)

    def execute(g: Waves) -> None:
        if g.lanes is not None:
            binder.refuse("a swap with lanes that are off")
        upper = g.vector[first].reshape(g.count, -1, 2, width)[:, :, 1]
        lower = g.vector[second].reshape(g.count, -1, 2, width)[:, :, 0]
        kept = upper.copy()
        upper[...] = lower
        lower[...] = kept

    return binder.bound(execute)
