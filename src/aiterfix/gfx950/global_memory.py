"""Global and flat loads and stores (ISA manual, chapter 10). Flat addresses are taken as global ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import atomics, ds
from aiterfix.gfx950.access import atomic, load, store
from aiterfix.gfx950.instruction import M0, Encoding
from aiterfix.gfx950.operands import Binder, Bound, Kind, joined
from aiterfix.gfx950.transfers import loaded_bytes, names, read_atomic, read_stored, split, write_found, write_loaded

if TYPE_CHECKING:
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.waves import Waves

NAME = "global memory"

_OFF = 0x7F

TO_LDS = ("dword", "dwordx3", "dwordx4")
"""Suffixes of loads that can go into LDS instead of registers."""
_LDS_PLACE = np.uint32(0x3_FFFF)
ATOMICS = frozenset({f"{unit}_{name}" for unit in ("global", "flat") for name in atomics.MEMORY})
NAMES = names("global") | names("flat") | {f"global_load_lds_{suffix}" for suffix in TO_LDS} | ATOMICS


def loads_to_lds(instruction: Instruction) -> bool:
    """Is this a load straight into LDS?"""
    return "_load_lds_" in instruction.mnemonic or (instruction.encoding is Encoding.MUBUF and bool(instruction["lds"]))


def write_to_lds(binder: Binder, suffix: str, immediate: int) -> Any:
    """A function that writes loaded ``(n, 64, dwords)`` values to LDS.

    Each wave has one place, in M0 and the instruction's constant, which counts here as in the address; its lanes follow
    one another. That a wait comes before the values are read is not checked.
    """
    binder.note_scalar(M0, 1, binder.reads)
    size = loaded_bytes(suffix)

    def write(g: Waves, values: Any) -> None:
        place = (g.scalar[M0] & _LDS_PLACE).astype(np.int64) + immediate
        address = (place[:, np.newaxis] + np.arange(64) * size) & 0xFFFF_FFFF
        access = ds.Access(*ds.inside(g, binder.instruction, address, size), size)
        ds.write(g, binder.instruction, access, values, direct=True)

    return write


def bind(binder: Binder) -> Bound:
    """Bind a global or flat load or store."""
    instruction = binder.instruction
    binder.only_zero("sve", "lds")
    is_load, suffix = split(instruction.mnemonic)
    to_lds = suffix.startswith("lds_")
    suffix = suffix.removeprefix("lds_")
    accumulation = bool(instruction["acc"])
    offset_bits = 12 if instruction.encoding is Encoding.FLAT else 13
    immediate = instruction["offset"]
    if instruction.encoding is not Encoding.FLAT:
        immediate -= immediate >> (offset_bits - 1) << offset_bits
    address_row = binder.row(instruction["addr"])
    scalar = None
    if instruction.encoding is Encoding.GLOBAL and instruction["saddr"] != _OFF:
        scalar = binder.scalar_source(instruction["saddr"], Kind.U64, steer=True)
        binder.note_vector(address_row, 1, binder.reads, steer=True)
    else:
        binder.note_vector(address_row, 2, binder.reads, steer=True)

    def addresses(g: Waves) -> Any:
        if scalar is None:
            found = joined(g, address_row).view(np.int64)
            return found + immediate if immediate else found
        return g.vector[address_row].astype(np.int64) + (scalar(g).view(np.int64) + immediate)[:, np.newaxis]

    if instruction.mnemonic in ATOMICS:
        op = atomics.MEMORY[f"atomic_{suffix}"]
        values = read_atomic(binder, binder.row(instruction["data"], accumulation), op)
        # SC0 asks for what was found before.
        found: Any = None
        if instruction["sc0"]:
            found = write_found(binder, binder.row(instruction["vdst"], accumulation), op)

        def execute_atomic(g: Waves) -> None:
            before = atomic(g, instruction, addresses(g), g.active(), op, values(g))
            if found is not None:
                found(g, before)

        return binder.bound(execute_atomic)
    if is_load:
        write = (
            write_to_lds(binder, suffix, immediate)
            if to_lds
            else write_loaded(binder, binder.row(instruction["vdst"], accumulation), suffix)
        )
        size = loaded_bytes(suffix)
        return binder.bound(lambda g: write(g, load(g, instruction, addresses(g), g.active(), size)))
    read, size = read_stored(binder, binder.row(instruction["data"], accumulation), suffix)
    return binder.bound(lambda g: store(g, instruction, addresses(g), g.active(), read(g), size))
