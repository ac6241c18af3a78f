"""Registers on one side of a load, a store or an atomic operation, as the mnemonic's suffix asks: shared by buffer,
global, flat, scratch and LDS instructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.operands import (
    Binder,
    Fetch,
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
    from aiterfix.gfx950.waves import Waves

LOADS = {
    "ubyte": (1, 0), "sbyte": (1, 8), "ushort": (2, 0), "sshort": (2, 16),
    "dword": (4, 0), "dwordx2": (8, 0), "dwordx3": (12, 0), "dwordx4": (16, 0),
}  # fmt: skip
"""Suffix to bytes and the width to sign-extend from (0: none)."""
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
