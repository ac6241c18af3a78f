"""What programs store to the output, and what they must not do: takes the place of the recorder of faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.findings import Access

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.lanes import Numbers
    from aiterfix.overshoot.slicing import SlicedInstruction

OUTPUT = 0x2000_0000_0000
"""Where the output would be. No allocation is there: every store is reported, and none performed."""
_OUTPUT_SPAN = 1 << 32


@dataclass(frozen=True)
class Stored:
    """What the programs of some launches stored, launch after launch.

    Attributes:
        ends: for each program, one past the last column stored to; 0 where nothing was stored.
        like: for each program, the number of one that did the same from its first store on; -1 where nothing was
            stored. Equal where two programs came to equal states.
        lane_by_lane: how many programs had to be run lane by lane.
    """

    ends: NDArray[np.int64]
    like: NDArray[np.int64]
    lane_by_lane: int


class Watch:
    """Takes the place of the recorder of faults: stores to the output are what is looked for.

    Attributes:
        ends: for each program, one past the last column stored to.
        like: for each program, the number of the one that runs in its stead; its own while it runs itself.
    """

    def __init__(self, code: CodeObject, programs: int) -> None:
        self._code = code
        self.ends: NDArray[np.int64] = np.zeros(programs, np.int64)
        self.like: NDArray[np.int64] = np.arange(programs, dtype=np.int64)

    def resolve(self, lane_by_lane: int) -> Stored:
        """The ends of programs, those that others ran for included."""
        # A program that another runs for has stored nothing itself, and the other runs for itself.
        ends = self.ends[self.like]
        return Stored(ends, np.where(ends > 0, self.like, -1), lane_by_lane)

    def furthest(self, group: Waves, item: SlicedInstruction, reach: Numbers, base: Numbers) -> None:
        """A store of one dword a lane, as the furthest byte offset of each program."""
        rows = np.flatnonzero(reach >= 0)
        if len(rows):
            self._take(item.instruction, group.batch.workgroup_of(group.ids)[rows], (reach + base)[rows])

    def outside(
        self,
        access: Access,
        instruction: Any,
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
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        self._take(instruction, workgroups, addresses)

    def _take(self, instruction: Any, programs: NDArray[np.int64], addresses: NDArray[np.int64]) -> None:
        offsets = addresses - OUTPUT
        if int(offsets.min()) < 0 or int(offsets.max()) >= _OUTPUT_SPAN:
            raise NotUnderstoodError(
                f"the kernel stores to something that is not its output: {self._where(instruction)}",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        # Accesses come in order of their waves, so that equal programs stand together.
        starts = np.flatnonzero(np.diff(programs, prepend=-1))
        ends = np.maximum.reduceat(offsets, starts) // 4 + 1
        programs = programs[starts]
        self.ends[programs] = np.maximum(self.ends[programs], ends)

    def _where(self, instruction: Any) -> str:
        place = self._code.source_line(instruction.pc)
        return f"{instruction.describe()}, {place}" if place else str(instruction.describe())

    def finding(self, kind: Any, instruction: Any, detail: str, workgroups: Any = None, count: int = 0) -> None:
        """Called by memory and synchronisation for every other fault."""
        raise NotUnderstoodError(f"{instruction.describe()}: {detail}")
