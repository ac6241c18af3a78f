"""Global and flat loads and stores (ISA manual, chapter 10). Flat addresses are taken as global ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import atomics, ds
from aiterfix.gfx950.access import atomic, load, store
from aiterfix.gfx950.instruction import M0, Encoding
from aiterfix.gfx950.operands import (
    Binder,
    Bound,
    Fetch,
    Kind,
    joined,
    rows_of,
    signed,
    write_half,
    write_vector,
    write_vector64,
    write_vectors,
)

if TYPE_CHECKING:
    from aiterfix.gfx950.atomics import AtomicOperation
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.waves import Waves

NAME = "global memory"

_OFF = 0x7F

LOADS = {
    "ubyte": (1, 0), "sbyte": (1, 8), "ushort": (2, 0), "sshort": (2, 16),
    "dword": (4, 0), "dwordx2": (8, 0), "dwordx3": (12, 0), "dwordx4": (16, 0),
}  # fmt: skip
"""Suffix to bytes and the width to sign-extend from (0: none). Shared with buffer and scratch instructions."""
HALF_LOADS = {
    f"{name}_d16{hi}": (size, sign, bool(hi))
    for name, (size, sign) in {"ubyte": (1, 0), "sbyte": (1, 8), "short": (2, 0)}.items()
    for hi in ("", "_hi")
}
"""Suffix to bytes, sign width, and whether the high half of the register is written; the other half stays."""
STORES = {
    "byte": (1, 0), "short": (2, 0), "byte_d16_hi": (1, 16), "short_d16_hi": (2, 16),
    "dword": (4, 0), "dwordx2": (8, 0), "dwordx3": (12, 0), "dwordx4": (16, 0),
}  # fmt: skip
"""Suffix to bytes and the bit of the register that the data starts at."""


def names(prefix: str) -> frozenset[str]:
    """Every load and store mnemonic with this prefix."""
    return frozenset({f"{prefix}_load_{s}" for s in (*LOADS, *HALF_LOADS)} | {f"{prefix}_store_{s}" for s in STORES})


TO_LDS = ("dword", "dwordx3", "dwordx4")
"""Suffixes of loads that can go into LDS instead of registers."""
_LDS_PLACE = np.uint32(0x3_FFFF)
ATOMICS = frozenset({f"{unit}_{name}" for unit in ("global", "flat") for name in atomics.MEMORY})
NAMES = names("global") | names("flat") | {f"global_load_lds_{suffix}" for suffix in TO_LDS} | ATOMICS


def read_atomic(binder: Binder, row: int, op: AtomicOperation) -> Fetch:
    """A function that gives what an atomic operation's lanes bring: a list of ``(n, 64)`` of its type."""
    dwords = op.size // 4
    binder.note_vector(row, dwords * op.operands, binder.reads)

    def read(g: Waves) -> Any:
        found = []
        for first in range(row, row + dwords * op.operands, dwords):
            values = g.vector[first] if dwords == 1 else joined(g, first)
            found.append(np.ascontiguousarray(values).view(op.dtype))
        return found

    return read


def write_found(binder: Binder, row: int, op: AtomicOperation) -> Any:
    """A function that writes what an atomic operation found, ``(n, 64)``, to registers."""
    binder.note_vector(row, op.size // 4, binder.writes)
    if op.size == 8:
        return lambda g, values: write_vector64(g, row, values.view(np.uint64))
    return lambda g, values: write_vector(g, row, values.view(np.uint32))


def loads_to_lds(instruction: Instruction) -> bool:
    """Is this a load straight into LDS?"""
    return "_load_lds_" in instruction.mnemonic or (instruction.encoding is Encoding.MUBUF and bool(instruction["lds"]))


def split(mnemonic: str) -> tuple[bool, str]:
    """Whether it is a load, and the suffix that tables are keyed by."""
    _, direction, suffix = mnemonic.split("_", 2)
    return direction == "load", suffix


def write_loaded(binder: Binder, row: int, suffix: str) -> Any:
    """A function that writes loaded ``(n, 64, dwords)`` values to registers, as the mnemonic's suffix asks."""
    if suffix in HALF_LOADS:
        _, sign, high = HALF_LOADS[suffix]
        binder.note_vector(row, 1, binder.writes)
        binder.note_vector(row, 1, binder.reads)
        return lambda g, values: write_half(g, row, values, sign, high)
    size, sign = LOADS[suffix]
    binder.note_vector(row, max(size // 4, 1), binder.writes)
    return lambda g, values: write_vectors(g, row, signed(values, sign))


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
        ds.write(g, binder.instruction, address, values, size, direct=True)

    return write


def loaded_bytes(suffix: str) -> int:
    """Bytes a lane reads."""
    return HALF_LOADS[suffix][0] if suffix in HALF_LOADS else LOADS[suffix][0]


def read_stored(binder: Binder, row: int, suffix: str) -> tuple[Fetch, int]:
    """A function that gathers a store's data as ``(n, 64, dwords)``, and its bytes a lane."""
    size, shift = STORES[suffix]
    dwords = max(size // 4, 1)
    binder.note_vector(row, dwords, binder.reads)

    def read(g: Waves) -> Any:
        values = rows_of(g, row, dwords)
        return values >> np.uint32(shift) if shift else values

    return read, size


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
