"""What programs store to the output: noted for each as the furthest column, in place of the emulator's faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.findings import Access
from aiterfix.gfx950.recorder import Recorder
from aiterfix.overshoot.lane_values import Choice, Mask, NotInForm, Numbers, Spread, Table, of_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.memory import DeviceMemory

OUTPUT = 0x2000_0000_0000
"""Where the output would be. No allocation is there: every store is reported, and none performed."""
_OUTPUT_SPAN = 1 << 32
_WORD = 1 << 32
_VALIDATE = "run `aiterfix validate`, which executes the whole kernel"


class StoreRecorder(Recorder):
    """Stores to the output are what is looked for; everything else outside allocations ends the measurement.

    Args:
        ends: for each program, one past the last column stored to; brought up to date as they are seen.
    """

    def __init__(self, code: CodeObject, memory: DeviceMemory, ends: NDArray[np.int64]) -> None:
        super().__init__(code, memory, {})
        self.ends = ends

    def outside(
        self,
        access: Access,
        instruction: Instruction,
        addresses: NDArray[np.int64],
        lanes: NDArray[np.int64],
        workgroups: NDArray[np.int64],
        base: int | None = None,
    ) -> None:
        """Called by memory for every access outside all allocations."""
        if access is not Access.STORE:
            raise NotUnderstoodError(
                f"where the kernel stores depends on memory that only data decide: {self._where(instruction)}",
                why="the integer part of a kernel is run without tensors",
                remedy=_VALIDATE,
            )
        np.maximum.at(self.ends, workgroups, self.ends_of(instruction, 0, addresses))

    def ends_of(self, instruction: Instruction, start: Numbers | int, reach: Numbers) -> Numbers:
        """One past the column of a dword that is stored to, for each program.

        Args:
            start: what the dword's place is counted from.
            reach: its place, bytes; below 0 where nothing is stored: the end is 0 there.
        """
        offsets = start - OUTPUT + reach
        stored = reach >= 0
        if not stored.all():
            offsets = np.where(stored, offsets, -4)
        if ((offsets < 0) & stored).any() or int(offsets.max()) >= _OUTPUT_SPAN:
            raise NotUnderstoodError(
                f"the kernel stores to something that is not its output: {self._where(instruction)}", remedy=_VALIDATE
            )
        return (offsets >> 2) + 1

    def _where(self, instruction: Instruction) -> str:
        place = self._code.source_line(instruction.pc)
        return f"{instruction.describe()}, {place}" if place else instruction.describe()

    def finding(self, kind: Any, instruction: Any, detail: str, workgroups: Any = None, count: int = 0) -> None:
        """Called by memory and synchronisation for every other fault."""
        raise NotUnderstoodError(f"{instruction.describe()}: {detail}")


class Buffer(NamedTuple):
    """What a store's descriptor and scalar offset come to.

    Attributes:
        start: address that the lanes' offsets are counted from.
        limit: what they must be below; not below 0 is no limit on them.
        registers: scalar registers that say so.
    """

    start: Numbers
    limit: Numbers
    registers: frozenset[int]


def furthest(value: Spread | Choice, below: Numbers, count: int, lanes: int) -> Numbers:
    """For each of ``count`` programs, the largest number below its limit that any lane has; -1 where none has.

    What masked lanes store is dropped, being at an offset past the buffer; NotInForm where it is not.
    """
    if isinstance(value, Spread):
        return _furthest(Mask(None, ()), value, below, count, lanes)
    if value.off.table is not None or (value.off.base < below).any():
        raise NotInForm
    return _furthest(value.mask, value.on, below, count, lanes)


def _furthest(mask: Mask, value: Spread, below: Numbers, count: int, lanes: int) -> Numbers:
    table = value.table or Table.of(np.zeros(lanes, np.uint32))
    base = value.base.astype(np.int64)
    on = table.signed if mask.pure is None else table.signed[mask.pure.words != 0]
    most = base + on.max(initial=table.low)
    certain = int(base.min()) + table.low >= 0 and int(base.max()) + table.high < int(below.min())
    if certain and len(on) and all(int(least.max()) <= other.low for other, least in mask.conditions):
        return np.broadcast_to(most, (count,))  # every lane of every program is on and within its limit
    inside = (base + table.low >= 0) & (base + table.high < below)
    beyond = (base + table.low >= below) & (base + table.high < _WORD)
    whole = inside | beyond
    for other, least in mask.conditions:
        whole, beyond = whole & (least <= other.low), beyond | (least > other.high)
    result: Numbers = np.full(count, -1)
    if len(on):
        result[...] = np.where(inside & ~beyond, most, -1)
        rows = np.flatnonzero(~np.broadcast_to(whole | beyond, (count,)))
        result[rows] = _each_lane(mask, value, below, rows, lanes)
    return result


def _each_lane(mask: Mask, value: Spread, below: Numbers, rows: Numbers, lanes: int) -> Numbers:
    result = np.empty(len(rows), np.int64)
    words = np.uint32(0) if value.table is None else value.table.words
    for first in range(0, len(rows), 4096):
        part = rows[first : first + 4096]
        numbers = (of_rows(value.base, part)[:, np.newaxis] + np.broadcast_to(words, (lanes,))).astype(np.int64)
        chosen = mask.lanes(part, lanes) & (numbers < of_rows(below, part)[:, np.newaxis])
        result[first : first + 4096] = np.where(chosen, numbers, -1).max(axis=1)
    return result
