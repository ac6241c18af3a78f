"""What programs store to the output: noted for each as the furthest column, in place of the emulator's faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.findings import Access
from aiterfix.gfx950.recorder import Recorder
from aiterfix.overshoot.lanes import EVERY, NotFollowed, Numbers, Offset, of_rows

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
    """Stores to the output are what is looked for; a load outside allocations ends the measurement.

    Args:
        ends: for each program, one past the last column stored to; brought up to date as programs end.
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
        raise NotUnderstoodError(
            f"where the kernel stores depends on memory that only data decide: {self._where(instruction)}",
            why="the integer part of a kernel is run without tensors",
            remedy=_VALIDATE,
        )

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


def furthest(base: Numbers, offset: Offset, below: Numbers, count: int) -> Numbers:
    """For each of ``count`` programs, the largest number below its limit that any lane has; -1 where none has.

    What masked lanes store is dropped, being at an offset past the buffer; NotFollowed where it is not.
    """
    table, mask = offset.table, offset.mask or EVERY
    if offset.elsewhere is not None and (offset.elsewhere < below).any():
        raise NotFollowed
    low, high = base.astype(np.int64) + table.low, base.astype(np.int64) + table.high
    on = table.signed if mask.pure is None else table.signed[mask.pure.words != 0]
    most = base.astype(np.int64) + on.max(initial=table.low)
    certain = int(low.min()) >= 0 and int(high.max()) < int(below.min())
    if certain and len(on) and all(int(least.max()) <= other.low for other, least in mask.conditions):
        return np.broadcast_to(most, (count,))  # every lane of every program is on and within its limit
    inside = (low >= 0) & (high < below)
    beyond = (low >= below) & (high < _WORD)
    whole = inside | beyond
    for other, least in mask.conditions:
        whole, beyond = whole & (least <= other.low), beyond | (least > other.high)
    result: Numbers = np.full(count, -1)
    if len(on):
        result[...] = np.where(inside & ~beyond, most, -1)
        rows = np.flatnonzero(~np.broadcast_to(whole | beyond, (count,)))
        for first in range(0, len(rows), 4096):
            part = rows[first : first + 4096]
            numbers = (of_rows(base, part)[:, np.newaxis] + table.words).astype(np.int64)
            chosen = mask.lanes(part, len(table.words)) & (numbers < of_rows(below, part)[:, np.newaxis])
            result[part] = np.where(chosen, numbers, -1).max(axis=1)
    return result
