"""LDS instructions (ISA manual, chapter 11)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import atomics
from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.memory import ELEMENTS, gather, put, scatter, take
from aiterfix.gfx950.operands import Binder, Bound, write_vector
from aiterfix.gfx950.transfers import loaded_bytes, read_atomic, read_stored, write_found, write_loaded

if TYPE_CHECKING:
    from aiterfix.gfx950.atomics import AtomicOperation
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.lds_watch import LdsWatch, Touched
    from aiterfix.gfx950.waves import Waves

NAME = "LDS"

_WIDE = {"b32": "dword", "b64": "dwordx2", "b96": "dwordx3", "b128": "dwordx4"}
READS = {
    **_WIDE, "u8": "ubyte", "i8": "sbyte", "u16": "ushort", "i16": "sshort", "u8_d16": "ubyte_d16",
    "u8_d16_hi": "ubyte_d16_hi", "i8_d16": "sbyte_d16", "i8_d16_hi": "sbyte_d16_hi", "u16_d16": "short_d16",
    "u16_d16_hi": "short_d16_hi",
}  # fmt: skip
WRITES = {**_WIDE, "b8": "byte", "b16": "short", "b8_d16_hi": "byte_d16_hi", "b16_d16_hi": "short_d16_hi"}
"""Suffix of ``ds_read_`` and ``ds_write_`` to that of loads and stores."""
PAIRS = {"2_b32": ("b32", 4), "2_b64": ("b64", 8), "2st64_b32": ("b32", 256), "2st64_b64": ("b64", 512)}
"""Suffix of two-address forms to that of one address and the unit of the two offsets."""
_WRITTEN = np.uint32(0x0101_0101)
"""Four bytes of ``Batch.lds_written``, all set."""
TRANSPOSES = {f"ds_read_b64_tr_b{bits}": bits for bits in (4, 8, 16)}
"""Mnemonic to bits of an element."""
PERMUTES = frozenset({"ds_bpermute_b32", "ds_permute_b32", "ds_swizzle_b32"})
NAMES = frozenset(
    {f"ds_read_{s}" for s in READS}
    | {f"ds_write_{s}" for s in WRITES}
    | {f"ds_{d}{s}" for d in ("read", "write") for s in PAIRS}
    | set(TRANSPOSES)
    | set(atomics.LDS)
    | PERMUTES
    | {"ds_nop"}
)


def narrowest(mnemonic: str) -> int:
    """Bytes that an LDS access of this name tells apart, 4 at most."""
    narrow = re.match(r"ds_(?:read|write)_[bui](8|16)(?:_|$)", mnemonic)
    return int(narrow[1]) // 8 if narrow else 4


def bind(binder: Binder) -> Bound:
    """Bind an LDS instruction."""
    instruction = binder.instruction
    name = instruction.mnemonic
    binder.only_zero("gds")
    if name == "ds_nop":
        return binder.bound(lambda g: None)
    if name in PERMUTES:
        return _bind_permute(binder)
    address_row = binder.row(instruction["addr"])
    binder.note_vector(address_row, 1, binder.reads, steer=True)
    if name in TRANSPOSES:
        return _bind_transpose(binder, address_row, TRANSPOSES[name])
    if name in atomics.LDS:
        return _bind_atomic(binder, address_row, atomics.LDS[name])
    suffix, offsets = re.sub(r"ds_(read|write)_?", "", name), [_offset(instruction)]
    if suffix in PAIRS:
        suffix, unit = PAIRS[suffix]
        offsets = [instruction["offset0"] * unit, instruction["offset1"] * unit]
    accumulation = bool(instruction["acc"])
    if name.startswith("ds_read"):
        size = loaded_bytes(READS[suffix])
        rows = range(row := binder.row(instruction["vdst"], accumulation), row + max(size // 4, 1) * len(offsets))
        writes = [write_loaded(binder, first, READS[suffix]) for first in rows[:: max(size // 4, 1)]]

        def execute_read(g: Waves) -> None:
            found = [_read(g, instruction, address_row, offset, size) for offset in offsets]
            for write_found, values in zip(writes, found, strict=True):
                write_found(g, values)

        return binder.bound(execute_read)
    data = [binder.row(instruction[field], accumulation) for field, _ in zip(("data0", "data1"), offsets, strict=False)]
    reads = [read_stored(binder, row, WRITES[suffix]) for row in data]

    def execute_write(g: Waves) -> None:
        for (fetch, size), offset in zip(reads, offsets, strict=True):
            write(g, instruction, _access(g, instruction, address_row, offset, size), fetch(g))

    return binder.bound(execute_write)


def _offset(instruction: Instruction) -> int:
    return instruction["offset0"] | instruction["offset1"] << 8


def _bind_transpose(binder: Binder, address_row: int, bits: int) -> Bound:
    """Each 16 lanes read 8 bytes each and exchange them: of the ``n`` elements that lane ``i`` gets, the ``j``-th is
    element ``i % n`` of those read by lane ``16 / n * j + i // n``.

    The manual says no more than that a matrix is transposed; this order makes the products of Triton's kernels right.
    """
    instruction = binder.instruction
    row = binder.row(instruction["vdst"], bool(instruction["acc"]))
    binder.note_vector(row, 2, binder.writes)
    offset, count = _offset(instruction), 64 // bits
    lane, place = np.arange(64)[:, np.newaxis], np.arange(count)
    sources = lane // 16 * 16 + 16 // count * place + lane % 16 // count
    elements = np.broadcast_to(lane % count, sources.shape)

    def execute(g: Waves) -> None:
        if g.lanes is not None:
            binder.refuse("a transposing read with lanes that are off")
        found = np.ascontiguousarray(_read(g, instruction, address_row, offset, 8))
        parts = found.view(np.uint8 if bits == 4 else f"u{bits // 8}")
        if bits == 4:
            parts = np.stack([parts & 15, parts >> 4], axis=-1).reshape(g.count, 64, count)
        exchanged = parts[:, sources, elements]
        if bits == 4:
            exchanged = exchanged[..., 0::2] | exchanged[..., 1::2] << 4
        words = np.ascontiguousarray(exchanged).view(np.uint32)
        g.vector[row : row + 2] = words.transpose(2, 0, 1)

    return binder.bound(execute)


def _bind_atomic(binder: Binder, address_row: int, op: AtomicOperation) -> Bound:
    instruction = binder.instruction
    accumulation, offset = bool(instruction["acc"]), _offset(instruction)
    one = replace(op, operands=1)
    rows = [binder.row(instruction[field], accumulation) for field in ("data0", "data1")[: op.operands]]
    brought = [read_atomic(binder, row, one) for row in rows]
    returns: Any = None
    if "_rtn_" in instruction.mnemonic:
        returns = write_found(binder, binder.row(instruction["vdst"], accumulation), op)

    def execute(g: Waves) -> None:
        access, batch = _access(g, instruction, address_row, offset, op.size), g.batch
        chosen = _lanes(access.chosen, g.count)
        if (_address(g, address_row, offset)[chosen] % op.size).any():
            binder.refuse("an atomic access that is not aligned")
        values = [value for fetch in brought for value in fetch(g)]
        found = np.zeros(chosen.shape, op.dtype)
        if batch.lds_bytes:
            _check_written(g, instruction, access)
            if batch.lds_watch is not None and batch.lds_watch.rows(g):
                batch.lds_watch.atomic(g, instruction, access.touched(g, batch.lds_watch))
            found[chosen] = atomics.update(batch.lds, access.index[chosen], op, [value[chosen] for value in values])
        if returns is not None:
            returns(g, found)

    return binder.bound(execute)


def _address(g: Waves, row: int, offset: int) -> Any:
    """Register and constant, which wrap at 32 bits: LLVM folds constants into the instruction on the strength of it."""
    return g.vector[row] + np.uint32(offset)


class Access:
    """Where the lanes of a group access LDS.

    Args:
        index: ``(n, 64)``: bytes' places in the batch's LDS.
        chosen: ``(n, 64)``: lanes that are on, and stay within their workgroup's part; None for all.
        size: bytes of each.
        version: the register's that the addresses are in.
    """

    def __init__(self, index: Any, chosen: Any, size: int, version: int = 0) -> None:
        self.index, self.chosen, self.size, self.version = index, chosen, size, version
        self.written = False
        """Has every byte been written?"""
        self._touched: Touched | None = None
        self._cells: Any = None
        if size in ELEMENTS and not int(np.bitwise_or.reduce(index, axis=None)) & (size - 1):
            self._cells = index.astype(np.int64, copy=False) >> (size.bit_length() - 1)

    def get(self, data: Any, rows: int | None = None) -> Any:
        """What stands there, ``(n, 64, dwords)``; of the first waves alone."""
        if self._cells is not None:
            return take(data, self._cells[:rows], self.size)
        return gather(data, self.index[:rows], self.size)

    def set(self, data: Any, values: Any) -> None:
        """Write ``(n, 64, dwords)`` there."""
        if self.chosen is not None:
            scatter(data, self.index[self.chosen], values[self.chosen], self.size)
        elif self._cells is not None:
            put(data, self._cells, values, self.size)
        else:
            scatter(data, self.index.reshape(-1), values.reshape(-1, values.shape[-1]), self.size)

    def touched(self, g: Waves, watch: LdsWatch) -> Touched:
        """The same, for the watch."""
        if self._touched is None:
            rows = watch.rows(g)
            self._touched = watch.touched(g, self.index[:rows], _lanes(self.chosen, rows), self.size)
        return self._touched


def _access(g: Waves, instruction: Instruction, row: int, offset: int, size: int) -> Access:
    """By addresses in a register; kept until that is written: most are the same for as long as the kernel runs."""
    kept: Access | None = g.addresses.get((row, offset, size))
    if kept is not None and g.lanes is None and kept.version == g.versions[row]:
        return kept
    found = Access(*inside(g, instruction, _address(g, row, offset), size), size, g.versions[row])
    if found.chosen is None and row in g.batch.counted_rows:
        g.addresses[row, offset, size] = found
    return found


def inside(g: Waves, instruction: Instruction, address: Any, size: int) -> tuple[Any, Any]:
    """Bytes' places in the batch's LDS, and which active lanes stay within their workgroup's part; None for all."""
    batch = g.batch
    active = g.active()
    if active is None and int(address.max()) + size <= batch.lds_bytes:
        return address + g.lds_start, None
    address = address.astype(np.int64)
    ok = address + size <= batch.lds_bytes
    if not ok.all():
        out = ~ok if active is None else ~ok & active
        if out.any():
            detail = f"the workgroup has {batch.lds_bytes} bytes of LDS"
            g.report(FindingKind.LDS_OUT_OF_RANGE, instruction, detail, out)
    chosen = ok if active is None else ok & active
    return np.where(chosen, address + g.lds_start, 0), chosen


def _lanes(chosen: Any, count: int) -> Any:
    """The same of the first waves, spelled out."""
    return np.ones((count, 64), np.bool_) if chosen is None else chosen[:count]


def _read(g: Waves, instruction: Instruction, row: int, offset: int, size: int) -> Any:
    access, batch = _access(g, instruction, row, offset, size), g.batch
    if not batch.lds_bytes:
        return np.zeros((g.count, 64, max(size // 4, 1)), np.uint32)
    _check_written(g, instruction, access)
    if batch.lds_watch is not None and batch.lds_watch.rows(g):
        batch.lds_watch.read(g, instruction, access.touched(g, batch.lds_watch))
    values = access.get(batch.lds)
    return values if access.chosen is None else np.where(access.chosen[..., np.newaxis], values, np.uint32(0))


def _check_written(g: Waves, instruction: Instruction, access: Access) -> None:
    """Report lanes that read LDS which nobody has written."""
    written, chosen = g.batch.lds_written, access.chosen
    if written is None or access.written:
        return
    known = (access.get(written) == _WRITTEN & ((1 << 8 * min(access.size, 4)) - 1)).all(axis=2)
    access.written = bool(known.all())
    fresh = ~known if chosen is None else chosen & ~known
    if fresh.any():
        g.report(
            FindingKind.LDS_NEVER_WRITTEN, instruction, "reads LDS that no wave of the workgroup has written", fresh
        )


def write(g: Waves, instruction: Instruction, access: Access, values: Any, *, direct: bool = False) -> None:
    """Write ``(n, 64, dwords)`` values to LDS.

    Args:
        direct: by a load straight into LDS, which may take until it is waited for.
    """
    batch, watch = g.batch, g.batch.lds_watch
    rows = 0 if watch is None else watch.rows(g)
    before = access.get(batch.lds, rows) if rows else None
    access.set(batch.lds, values)
    if watch is not None and rows:
        wanted = values[:rows] if access.size >= 4 else values[:rows] & np.uint32((1 << 8 * access.size) - 1)
        lanes = _lanes(access.chosen, rows)
        changed, lost = ((cells != wanted).any(axis=-1)[lanes] for cells in (before, access.get(batch.lds, rows)))
        watch.write(g, instruction, access.touched(g, watch), changed=changed, lost=lost, direct=direct)
    if batch.lds_written is not None and not access.written:
        access.set(batch.lds_written, np.broadcast_to(_WRITTEN, values.shape))
        access.written = access.chosen is None
        if batch.lds_written[: batch.workgroups * batch.lds_bytes].view(np.bool_).all():
            batch.lds_written = None


def _bind_permute(binder: Binder) -> Bound:
    """Lane permutations that go through the LDS crossbar without touching its memory."""
    instruction = binder.instruction
    name = instruction.mnemonic
    offset = instruction["offset0"] | instruction["offset1"] << 8
    target = binder.row(instruction["vdst"])
    binder.note_vector(target, 1, binder.writes)
    address = binder.row(instruction["addr"])
    binder.note_vector(address, 1, binder.reads)
    if name == "ds_swizzle_b32":
        lanes = _swizzled(binder, offset)

        def swizzle(g: Waves) -> None:
            values = g.vector[address][:, lanes]
            if g.lanes is not None:
                values = values & g.lanes[:, lanes]
            write_vector(g, target, values)

        return binder.bound(swizzle)
    data = binder.row(instruction["data0"])
    binder.note_vector(data, 1, binder.reads)

    def permute(g: Waves) -> None:
        lane = ((g.vector[address] + np.uint32(offset)) >> np.uint32(2) & np.uint32(63)).astype(np.int64)
        values = g.vector[data] if g.lanes is None else g.vector[data] & g.lanes
        if name == "ds_bpermute_b32":
            write_vector(g, target, np.take_along_axis(values, lane, axis=1))
            return
        pushed = np.zeros((g.count, 64), np.uint32)
        active = np.ones((g.count, 64), np.bool_) if g.lanes is None else g.lanes != 0
        waves, sources = np.nonzero(active)
        pushed[waves, lane[waves, sources]] = values[waves, sources]
        write_vector(g, target, pushed)

    return binder.bound(permute)


def _swizzled(binder: Binder, offset: int) -> Any:
    """The lane each lane reads: quad permutation where bit 15 is set, else AND, OR and XOR masks within 32 lanes."""
    if offset >= 0xC000:
        binder.refuse(f"swizzle mode {offset:#x}: a rotation or an FFT permutation")
    lane = np.arange(64)
    if offset & 0x8000:
        return lane & ~3 | (offset >> (2 * (lane & 3))) & 3
    inside = lane & 31
    return lane & 32 | ((inside & offset & 31 | offset >> 5 & 31) ^ offset >> 10 & 31)
