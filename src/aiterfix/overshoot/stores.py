"""What programs store to the output: noted for each as the furthest column, in place of the emulator's faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.mubuf import is_raw
from aiterfix.gfx950.operands import VECTOR_BASE, Binder, Kind
from aiterfix.gfx950.recorder import Recorder
from aiterfix.gfx950.transfers import STORES
from aiterfix.overshoot.lanes import EVERY, Mask, NotFollowed, Numbers, Offset, Table, of_rows, refused, shared

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.findings import Access
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.overshoot.programs import Programs
    from aiterfix.overshoot.slicing import Kept

OUTPUT = 0x2000_0000_0000
"""Where the output would be. No allocation is there, and no store is performed."""
_OUTPUT_SPAN = 1 << 32
_WORD = 1 << 32
_AT_ONCE = 4096
"""Programs whose lanes are looked at together."""


class Refusing(Recorder):
    """A load outside allocations, or any other fault, ends the measurement."""

    def outside(self, access: Access, instruction: Instruction, *places: Any, base: int | None = None) -> None:
        """Called by memory for every access outside all allocations."""
        raise refused(
            f"where the kernel stores depends on memory that only data decide: {_where(instruction, self._code)}",
            why="the integer part of a kernel is run without tensors",
        )

    def finding(self, kind: Any, instruction: Any, detail: str, workgroups: Any = None, count: int = 0) -> None:
        """Called by memory and synchronisation for every other fault."""
        raise NotUnderstoodError(f"{instruction.describe()}: {detail}")


def _where(instruction: Instruction, code: CodeObject) -> str:
    place = code.source_line(instruction.pc)
    return f"{instruction.describe()}, {place}" if place else instruction.describe()


def store_of(item: Kept, code: CodeObject) -> Callable[[Programs], None]:
    """A store of dwords through a raw buffer descriptor, as :mod:`aiterfix.gfx950.mubuf` has it.

    Raises:
        NotUnderstoodError: it is another kind of store. The step: it is not of the output.
    """
    instruction = item.instruction
    suffix = instruction.mnemonic.removeprefix("buffer_store_")
    binder = Binder(instruction, code)
    raw = suffix in STORES and suffix.startswith("dword") and instruction["offen"] and not instruction["idxen"]
    if not raw:
        raise refused(f"the kernel stores in a way that is not followed: {instruction.describe()}")
    words = STORES[suffix][0] // 4
    number = VECTOR_BASE + binder.row(instruction["vaddr"])
    moved_by = binder.scalar_source(instruction["soffset"], Kind.U32)
    immediate = np.uint32(instruction["offset"])
    scalars = item.bound.steers - {number}

    def step(g: Programs) -> None:
        offset = g.varying.get(number, Offset(g.batch.no_difference))
        held = [shared(g.scalar[instruction["srsrc"] + k]) for k in range(4)]
        if (
            g.lanes is not None
            or not isinstance(offset, Offset)
            or not scalars.isdisjoint(g.varying)
            or not is_raw(held)
        ):
            raise NotFollowed
        shift = shared(moved_by(g)).astype(np.int64)
        start, limit = (held[0] | held[1].astype(np.int64) << 32) + shift, held[2].astype(np.int64) - shift
        base = shared(g.number(number)) + immediate
        if offset.elsewhere is not None:
            offset = offset._replace(elsewhere=offset.elsewhere + immediate)
        reach = furthest(base, offset, limit, g.count)
        for k in range(1, words):
            # Each dword of a lane is in range, or is not, by itself.
            further = furthest(base, offset, limit - 4 * k, g.count)
            reach = np.maximum(reach, np.where(further >= 0, further + 4 * k, -1))
        ends = ends_of(start, reach)
        if ends is None:
            raise refused(f"the kernel stores to something that is not its output: {_where(instruction, code)}")
        g.batch.ends[g.ids] = np.maximum(g.batch.ends[g.ids], ends)

    return step


def ends_of(start: Numbers | int, reach: Numbers) -> Numbers | None:
    """One past the column of a dword that is stored to, for each program; None where one is not in the output.

    Args:
        start: what the dword's place is counted from.
        reach: its place, bytes; below 0 where nothing is stored: the end is 0 there.
    """
    offsets = np.where(reach >= 0, start - OUTPUT + reach, -4)
    inside = ((offsets >= 0) | (reach < 0)) & (offsets < _OUTPUT_SPAN)
    return (offsets >> 2) + 1 if inside.all() else None


def furthest(base: Numbers, offset: Offset, below: Numbers, count: int) -> Numbers:
    """For each of ``count`` programs, the largest number below its limit that any lane has; -1 where none has.

    What masked lanes store is dropped, being at an offset past the buffer; NotFollowed where it is not.
    """
    table, mask = offset.table, offset.mask
    if offset.elsewhere is not None and (offset.elsewhere < below).any():
        raise NotFollowed
    maybe = table
    same = Mask(tuple(one for one in mask.conditions if len(one[1]) == 1))
    if same != EVERY:
        on = same.lanes(np.zeros(1, np.int64), len(table.words))[0]
        if not on.any():
            return np.full(count, -1)
        maybe = Table.of(table.words[on])
    low, high = base.astype(np.int64) + maybe.low, base.astype(np.int64) + maybe.high
    every, none = (low >= 0) & (high < below), (low >= below) & (high < _WORD)
    for other, least in (one for one in mask.conditions if len(one[1]) > 1):
        every, none = every & (least <= other.low), none | (least > other.high)
    result: Numbers = np.broadcast_to(np.where(every, high, -1), (count,)).copy()
    rows = np.flatnonzero(~np.broadcast_to(every | none, (count,)))
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        places = (of_rows(base, part)[:, np.newaxis] + table.words).astype(np.int64)
        chosen = mask.lanes(part, len(table.words)) & (places < of_rows(below, part)[:, np.newaxis])
        result[part] = np.where(chosen, places, -1).max(axis=1)
    return result
