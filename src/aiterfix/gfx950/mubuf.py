"""Untyped buffer loads and stores through raw buffer descriptors (ISA manual, chapter 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import atomics
from aiterfix.gfx950.access import atomic, load, store
from aiterfix.gfx950.global_memory import TO_LDS, write_to_lds
from aiterfix.gfx950.operands import Binder, Bound, Kind
from aiterfix.gfx950.transfers import loaded_bytes, names, read_atomic, read_stored, split, write_found, write_loaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiterfix.gfx950.waves import Waves

NAME = "buffer memory"
IGNORED = frozenset({"buffer_wbl2", "buffer_inv"})
"""Cache maintenance: memory is modelled without caches."""
ATOMICS = frozenset({f"buffer_{name}" for name in atomics.MEMORY})
NAMES = names("buffer") | IGNORED | ATOMICS

_STRIDE_AND_SWIZZLE = np.uint32(0xFFFF_0000)
_ADD_THREAD_ID_AND_TYPE = np.uint32(0xC080_0000)


def is_raw(words: Sequence[Any]) -> bool:
    """Are all of these descriptors, four dwords of each, raw buffers: stride 0, no swizzling?"""
    return not ((words[1] & _STRIDE_AND_SWIZZLE).any() or (words[3] & _ADD_THREAD_ID_AND_TYPE).any())


def bind(binder: Binder) -> Bound:
    """Bind a buffer instruction.

    Modelled: raw buffers (stride 0, no swizzle). An access whose offset (register plus constant) is not below
    ``num_records - soffset`` is out of range: loads give 0, stores are dropped, dword by dword; the descriptor did
    its work and no violation is reported. Loads into LDS write there what they would have written to a register, 0 for
    what is out of range; that a wait comes before it is read is not checked.
    """
    instruction = binder.instruction
    if instruction.mnemonic in IGNORED:
        return binder.bound(lambda g: None)
    binder.only_zero("idxen")
    is_load, suffix = split(instruction.mnemonic)
    immediate = np.uint32(instruction["offset"])
    to_lds = bool(instruction.get("lds"))
    if to_lds and (not is_load or suffix not in TO_LDS):
        binder.refuse("an access between a buffer and LDS of this kind")
    offset_row = None
    if instruction["offen"]:
        offset_row = binder.row(instruction["vaddr"])
        binder.note_vector(offset_row, 1, binder.reads, steer=True)
    scalar_offset = binder.scalar_source(instruction["soffset"], Kind.U32, steer=True)
    descriptor = instruction["srsrc"]
    binder.note_scalar(descriptor, 4, binder.reads, steer=True)
    size = loaded_bytes(suffix) if is_load else 0
    op = atomics.MEMORY[f"atomic_{suffix}"] if instruction.mnemonic in ATOMICS else None
    row = 0 if to_lds else binder.row(instruction["vdata"], bool(instruction["acc"]))
    write: Any = None
    read: Any = None
    if to_lds:
        write = write_to_lds(binder, suffix, instruction["offset"])
    elif is_load:
        write = write_loaded(binder, row, suffix)
    elif op is not None:
        read, size = read_atomic(binder, row, op), op.size
        if instruction["sc0"]:  # asks for what was found before
            write = write_found(binder, row, op)
    else:
        read, size = read_stored(binder, row, suffix)

    def execute(g: Waves) -> None:
        words = [g.scalar[descriptor + k] for k in range(4)]
        if not is_raw(words):
            binder.refuse("a buffer descriptor with a stride, swizzling, thread-id addressing or another type")
        base = words[0].astype(np.int64) | words[1].astype(np.int64) << 32
        moved = scalar_offset(g).astype(np.int64)
        limit = words[2].astype(np.int64) - moved
        # Register and constant wrap at 32 bits, before soffset and the range check come in (measured on gfx950
        # by ROCm/rocm-systems #10928); LLVM folds constants into the instruction on the strength of it.
        if offset_row is None:
            offsets = np.full((g.count, 64), immediate, np.uint32)
        else:
            offsets = g.vector[offset_row] + immediate if immediate else g.vector[offset_row]
        addresses = offsets + (base + moved)[:, np.newaxis]
        active = g.active()
        anchor = int(base[0])
        if op is not None:
            inside_all = offsets <= limit[:, np.newaxis] - size
            found = atomic(
                g, instruction, addresses, inside_all if active is None else inside_all & active, op, read(g), anchor
            )
            if write is not None:
                write(g, found)
            return
        if int(offsets.max()) + size <= int(limit.min()):
            if is_load:
                write(g, load(g, instruction, addresses, active, size, anchor))
            else:
                store(g, instruction, addresses, active, read(g), size, anchor)
            return
        dwords, unit = max(size // 4, 1), min(size, 4)
        values: Any = None if is_load else read(g)
        inside = [offsets < limit[:, np.newaxis] - 4 * k for k in range(dwords)]
        whole = dwords == 1 or bool((inside[0] == inside[-1]).all())
        steps = [(0, inside[0], size)] if whole else [(k, inside[k], unit) for k in range(dwords)]
        if is_load and whole:
            chosen = inside[0] if active is None else inside[0] & active
            loaded = load(g, instruction, addresses, chosen, size, anchor)
            write(g, np.where(chosen[..., np.newaxis], loaded, np.uint32(0)))
            return
        result = np.zeros((g.count, 64, dwords), np.uint32)
        for k, mask, width in steps:
            chosen = mask if active is None else mask & active
            part = slice(k, k + max(width // 4, 1))
            if is_load:
                loaded = load(g, instruction, addresses + 4 * k, chosen, width, anchor)
                result[..., part] = np.where(chosen[..., np.newaxis], loaded, np.uint32(0))
            else:
                store(g, instruction, addresses + 4 * k, chosen, values[..., part], width, anchor)
        if is_load:
            write(g, result)

    return binder.bound(execute)
