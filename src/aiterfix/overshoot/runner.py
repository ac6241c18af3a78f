"""Run a slice for many programs at once, and note the columns that each stores to.

Every program is a workgroup of a launch of its own: its kernel arguments are its own, so that programs of thousands of
launches (context lengths, widths, splits) run in lockstep. What is equal is run once:

- One element of an array stands for a program, what differs between its lanes being kept apart
  (:mod:`~aiterfix.overshoot.lanes`).
- Programs that come to the block of their first stores with equal live registers do the same from there on: one of
  them is run, and what it stores is what the state stores. That is exact, since liveness says that nothing else is
  read; and most of millions of programs come down to some thousand states.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.operands import VECTOR_BASE
from aiterfix.overshoot.lanes import Offset, Table, Varying
from aiterfix.overshoot.launches import LengthMemory, arguments_of, check_arguments
from aiterfix.overshoot.programs import ProgramBatch, ProgramMachine, Programs, gathered
from aiterfix.overshoot.states import StateTable
from aiterfix.overshoot.stores import StoreRecorder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.family.signature import KernelConfig
    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.overshoot.launches import Launches
    from aiterfix.overshoot.slicing import Live, Slice

_PROGRAMS = 16384
"""Programs that are run together, one element each: more do not stay in the processor's cache."""
_WAITING = 1 << 17
"""Those that go on from their first stores together: loops are of all lengths there, the last of them run alone."""


@dataclass(frozen=True)
class Stored:
    """What the programs of some launches stored, launch after launch.

    Attributes:
        ends: for each program, one past the last column stored to; 0 where nothing was stored.
        states: for each program, the number of the state in which it came to its first stores; -1 where it stored
            nothing, or never was in one. Programs of one state did the same from there on.
    """

    ends: NDArray[np.int64]
    states: NDArray[np.int64]


class Runner:
    """Runs programs of one kernel, and remembers the states that they come to.

    Args:
        part: the kernel's slice.
        kernel: for the names and types of its arguments.
        config: what it is compiled for.
        longest: the longest context, or largest number of chunks a program, that will be asked for.

    Raises:
        NotUnderstoodError: what is stored where depends on more than integers.
    """

    def __init__(self, part: Slice, kernel: CompiledKernel, config: KernelConfig, longest: int) -> None:
        check_arguments(part, kernel)
        if kernel.threads % 64:
            raise NotUnderstoodError(f"{kernel.function} has {kernel.threads} threads, which are no whole waves")
        descriptor = part.code.descriptor
        if not descriptor.workgroup_ids[0]:
            raise NotUnderstoodError(f"kernel {part.code.name} does not ask which program it is")
        self.part = part
        self.kernel = kernel
        self.config = config
        self._memory = LengthMemory(longest + 1)
        self._states = StateTable()
        self._places: dict[Any, int] = {}
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)

    def run(self, table: Launches) -> Stored:
        """Run the programs of launches.

        Raises:
            NotUnderstoodError: an instruction is not modelled, loads what only data decide, or makes of what differs
                between lanes something that is not followed.
        """
        launch = np.repeat(np.arange(len(table)), table["count"])
        identity = np.arange(len(launch)) - np.repeat(
            np.cumsum(table["count"]) - table["count"] - table["first"], table["count"]
        )
        words = arguments_of(self.part, self.kernel, self.config, table, self._memory)
        ends, states = np.zeros(len(launch), np.int64), np.full(len(launch), -1)
        recorder = StoreRecorder(self.part.code, self._memory.memory, ends)
        batch = ProgramBatch(self.part, self._memory.memory, recorder, words, launch, identity, self.kernel.threads)
        waiting: list[Programs] = []

        def arrived(group: Programs, live: Live, shape: Any) -> None:
            place = self._places.setdefault((group.block, shape), len(self._places))
            states[group.ids], fresh = self._states.number(group.state(live, place))
            if len(fresh):
                waiting.append(gathered([group], live, fresh))

        begins, goes_on = (ProgramMachine(batch, to) for to in (arrived, None))
        for first in range(0, len(launch), _PROGRAMS):
            begins.run(self._start(batch, np.arange(first, min(first + _PROGRAMS, len(launch)))))
        heaps = np.cumsum([group.count for group in waiting]) // _WAITING
        for heap in np.unique(heaps):
            goes_on.run(*(waiting[k] for k in np.flatnonzero(heaps == heap)))
        # Nothing is stored before a state is numbered: what its first program stored is what every one stores.
        fresh = [ends[group.ids] for group in waiting]
        self._ends = np.concatenate([self._ends, *fresh])
        numbered = states >= 0
        ends[numbered] = self._ends[states[numbered]]
        return Stored(ends, np.where(ends > 0, states, -1))

    def _start(self, batch: ProgramBatch, ids: NDArray[np.int64]) -> Programs:
        """Programs as the hardware sets them up, with their own launches' arguments.

        The address of the arguments is left out: nothing that is kept reads it.
        """
        part, count, descriptor = self.part, len(ids), self.part.code.descriptor
        pairs = np.zeros((64, count, 2), np.uint32)
        first = 2 if descriptor.kernarg_pointer else 0
        for k in range(descriptor.preload_length):
            if descriptor.preload_offset + k in batch.words:
                pairs[(first + k) >> 1, :, (first + k) & 1] = batch.word(descriptor.preload_offset + k, ids)
        pairs[descriptor.user_sgprs >> 1, :, descriptor.user_sgprs & 1] = batch.identity[ids]
        pairs[EXEC >> 1] = 0xFFFF_FFFF
        vector = np.zeros((max(1, part.highest), count, 1), np.uint32)
        varying: dict[int, Varying] = {}
        if VECTOR_BASE in part.live[part.entry].bits:
            varying[VECTOR_BASE] = Offset(Table.of(np.arange(batch.lanes)))
        scc, ends = np.zeros(count, np.bool_), np.zeros(count, np.int64)
        return Programs(batch, ids, vector, pairs, scc, varying, ends, part.entry, 0)
