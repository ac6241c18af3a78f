"""LDS instructions (ISA manual, chapter 11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.memory import gather, scatter
from aiterfix.gfx950.operands import Binder, Bound, write_vector

if TYPE_CHECKING:
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.waves import Waves

NAME = "LDS"

READS = {"b32": (4, 0), "b64": (8, 0), "b96": (12, 0), "b128": (16, 0),
         "u8": (1, 0), "i8": (1, 8), "u16": (2, 0), "i16": (2, 16)}  # fmt: skip
"""Suffix of ``ds_read_`` to bytes and the width to sign-extend from."""
WRITES = {"b8": 1, "b16": 2, "b32": 4, "b64": 8, "b96": 12, "b128": 16}
PAIRS = {"2_b32": (4, 4), "2_b64": (8, 8), "2st64_b32": (4, 256), "2st64_b64": (8, 512)}
"""Suffix of two-address forms to bytes of an element and the unit of the two offsets."""
_WRITTEN = np.uint32(0x0101_0101)
"""Four bytes of ``Batch.lds_written``, all set."""
PERMUTES = frozenset({"ds_bpermute_b32", "ds_permute_b32", "ds_swizzle_b32"})
NAMES = frozenset(
    {f"ds_read_{s}" for s in READS}
    | {f"ds_write_{s}" for s in WRITES}
    | {f"ds_{d}{s}" for d in ("read", "write") for s in PAIRS}
    | PERMUTES
    | {"ds_nop"}
)


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
    reads = name.startswith("ds_read")
    suffix = name.removeprefix("ds_read").removeprefix("ds_write")
    if suffix in PAIRS:
        size, unit = PAIRS[suffix]
        offsets = [instruction["offset0"] * unit, instruction["offset1"] * unit]
        sign = 0
    else:
        offsets = [instruction["offset0"] | instruction["offset1"] << 8]
        size, sign = READS[suffix[1:]] if reads else (WRITES[suffix[1:]], 0)
    dwords = max(size // 4, 1)
    accumulation = bool(instruction["acc"])
    if reads:
        row = binder.row(instruction["vdst"], accumulation)
        binder.note_vector(row, dwords * len(offsets), binder.writes)

        def execute_read(g: Waves) -> None:
            address = g.vector[address_row].astype(np.int64)
            found = [_read(g, instruction, address + offset, size) for offset in offsets]
            values = found[0] if len(found) == 1 else np.concatenate(found, axis=2)
            if sign:
                values = values.astype(f"i{sign // 8}").astype(np.int32).view(np.uint32)
            if g.lanes is None:
                g.vector[row : row + values.shape[2]] = values.transpose(2, 0, 1)
                return
            for k in range(values.shape[2]):
                write_vector(g, row + k, values[..., k])

        return binder.bound(execute_read)
    rows = [binder.row(instruction[field], accumulation) for field, _ in zip(("data0", "data1"), offsets, strict=False)]
    for row in rows:
        binder.note_vector(row, dwords, binder.reads)

    def execute_write(g: Waves) -> None:
        address = g.vector[address_row].astype(np.int64)
        for row, offset in zip(rows, offsets, strict=True):
            write(g, instruction, address + offset, g.vector[row : row + dwords].transpose(1, 2, 0), size)

    return binder.bound(execute_write)


def _inside(g: Waves, instruction: Instruction, address: Any, size: int) -> tuple[Any, Any]:
    """Bytes' places in the batch's LDS, and which active lanes stay within their workgroup's part."""
    batch = g.batch
    ok = address + size <= batch.lds_bytes
    active = g.active()
    if not ok.all():
        out = ~ok if active is None else ~ok & active
        if out.any():
            waves = np.nonzero(out)[0]
            batch.recorder.finding(
                FindingKind.LDS_OUT_OF_RANGE,
                instruction,
                f"the workgroup has {batch.lds_bytes} bytes of LDS",
                batch.workgroup_of(g.ids)[waves],
                len(waves),
            )
    chosen = ok if active is None else ok & active
    start = (g.ids // batch.waves_per_workgroup) * batch.lds_bytes
    return np.where(chosen, address + start[:, np.newaxis], 0), chosen


def _read(g: Waves, instruction: Instruction, address: Any, size: int) -> Any:
    batch = g.batch
    dwords = max(size // 4, 1)
    if not batch.lds_bytes:
        _inside(g, instruction, address, size)
        return np.zeros((*address.shape, dwords), np.uint32)
    index, chosen = _inside(g, instruction, address, size)
    if batch.lds_written is not None:
        if size >= 4:
            known = (gather(batch.lds_written, index, dwords) == _WRITTEN).all(axis=2)
        else:
            known = (batch.lds_written.take(index[..., np.newaxis] + np.arange(size), mode="clip") != 0).all(axis=2)
        fresh = chosen & ~known
        if fresh.any():
            batch.recorder.finding(
                FindingKind.LDS_NEVER_WRITTEN,
                instruction,
                "reads LDS that no wave of the workgroup has written",
                batch.workgroup_of(g.ids)[np.nonzero(fresh)[0]],
                int(fresh.sum()),
            )
    if size >= 4:
        values: Any = gather(batch.lds, index, dwords)
    else:
        values = batch.lds.take(index, mode="clip").astype(np.uint32)
        if size == 2:
            values |= batch.lds.take(index + 1, mode="clip").astype(np.uint32) << np.uint32(8)
        values = values[..., np.newaxis]
    return values if chosen.all() else np.where(chosen[..., np.newaxis], values, np.uint32(0))


def write(g: Waves, instruction: Instruction, address: Any, values: Any, size: int) -> None:
    """Write ``size`` bytes of ``(n, 64, dwords)`` values to LDS for every active lane, each at its address."""
    batch = g.batch
    index, chosen = _inside(g, instruction, address, size)
    flat, data = index[chosen], values[chosen]
    if size >= 4:
        scatter(batch.lds, flat, data)
    else:
        for k in range(size):
            batch.lds[flat + k] = (data[:, 0] >> np.uint32(8 * k)).astype(np.uint8)
    written = batch.lds_written
    if written is not None:
        if size >= 4:
            scatter(written, flat, np.broadcast_to(_WRITTEN, data.shape))
        else:
            written[flat[:, np.newaxis] + np.arange(size)] = 1
        if written[: batch.workgroups * batch.lds_bytes].all():
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
        lanes = _swizzled(offset)

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


def _swizzled(offset: int) -> Any:
    """The lane each lane reads: quad permutation where bit 15 is set, else AND, OR and XOR masks within 32 lanes."""
    lane = np.arange(64)
    if offset & 0x8000:
        return lane & ~3 | (offset >> (2 * (lane & 3))) & 3
    inside = lane & 31
    return lane & 32 | ((inside & offset & 31 | offset >> 5 & 31) ^ offset >> 10 & 31)
