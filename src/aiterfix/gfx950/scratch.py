"""Scratch: each lane's private memory (ISA manual, section 10.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.memory import gather, scatter
from aiterfix.gfx950.operands import Binder, Bound, Kind
from aiterfix.gfx950.transfers import LOADS, loaded_bytes, names, read_stored, split, write_loaded

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "scratch memory"
_OFF = 0x7F
NAMES = frozenset(
    {n for n in names("scratch") if ("_d16" not in n and n.rsplit("_", 1)[1] in LOADS) or n.endswith(("byte", "short"))}
)


def bind(binder: Binder) -> Bound:
    """Bind a scratch load or store. The address is ``saddr + vaddr + offset`` within the lane's private segment.

    Registers count as unsigned, and the sum does not wrap (LLVM, isFlatScratchBaseLegal: "unsigned per hardware
    requirement"); only the constant has a sign.
    """
    instruction = binder.instruction
    binder.only_zero("lds")
    is_load, suffix = split(instruction.mnemonic)
    immediate = instruction["offset"]
    immediate -= immediate >> 12 << 13
    vector_row = scalar = None
    if instruction["sve"]:
        vector_row = binder.row(instruction["addr"])
        binder.note_vector(vector_row, 1, binder.reads, steer=True)
    if instruction["saddr"] != _OFF:
        if immediate < 0:
            # LLVM, FeatureNegativeScratchOffsetBug: they "page fault on GFX9".
            binder.refuse("a negative constant beside a scalar register")
        scalar = binder.scalar_source(instruction["saddr"], Kind.U32, steer=True)
    accumulation = bool(instruction["acc"])
    write: Any = None
    read: Any = None
    if is_load:
        write = write_loaded(binder, binder.row(instruction["vdst"], accumulation), suffix)
        size = loaded_bytes(suffix)
    else:
        read, size = read_stored(binder, binder.row(instruction["data"], accumulation), suffix)
    lane = np.arange(64, dtype=np.int64)

    def execute(g: Waves) -> None:
        batch = g.batch
        address = np.full((g.count, 64), immediate, np.int64)
        if vector_row is not None:
            address += g.vector[vector_row]
        if scalar is not None:
            address += scalar(g)[:, np.newaxis]
        ok = (address >= 0) & (address + size <= batch.scratch_bytes)
        active = g.active()
        if not ok.all():
            out = ~ok if active is None else ~ok & active
            if out.any():
                detail = f"a lane has {batch.scratch_bytes} bytes of scratch"
                g.report(FindingKind.SCRATCH_OUT_OF_RANGE, instruction, detail, out)
        chosen = ok if active is None else ok & active
        place = (g.ids[:, np.newaxis] * 64 + lane) * batch.scratch_bytes + address
        if is_load:
            index = np.where(chosen, place, 0)
            values = gather(batch.scratch, index, size)
            write(g, values if chosen.all() else np.where(chosen[..., np.newaxis], values, np.uint32(0)))
            return
        scatter(batch.scratch, place[chosen], read(g)[chosen], size)

    return binder.bound(execute)
