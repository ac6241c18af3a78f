"""Run a slice for many programs at once, and note the columns that each stores to.

Every program is a workgroup of a launch of its own: its kernel arguments are its own, so that programs of thousands of
launches (context lengths, widths, splits) run in lockstep. What is equal is run once:

- One element of an array stands for a program, what differs between its lanes being kept apart
  (:mod:`~aiterfix.overshoot.lane_values`). Programs for which that does not work out are run again from their start,
  lane by lane, on the emulator's machine as it is; what they were seen to store until then they do store, so it counts.
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
from aiterfix.gfx950.machine import Machine
from aiterfix.gfx950.operands import VECTOR_BASE
from aiterfix.gfx950.waves import Waves
from aiterfix.gfx950.workspace import borrow
from aiterfix.overshoot.elements import STEP_LIMIT, ElementMachine, Elements, ProgramBatch, gathered
from aiterfix.overshoot.lane_values import Form, Spread, Table
from aiterfix.overshoot.launches import LengthMemory, arguments_of, check_arguments
from aiterfix.overshoot.states import StateTable
from aiterfix.overshoot.stores import StoreRecorder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.family.signature import KernelConfig
    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.overshoot.instructions import Step
    from aiterfix.overshoot.launches import Launches
    from aiterfix.overshoot.slicing import Live, Slice

_PROGRAMS = 16384
"""Programs that are run together, one element each: more do not stay in the processor's cache."""
_WAITING = 1 << 17
"""Those that go on from their first stores together: loops are of all lengths there, the last of them run alone."""
_WAVES = 512
"""Waves that are run together lane by lane."""


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

    Attributes:
        lane_by_lane: how many programs had to be run lane by lane.

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
        self.lane_by_lane = 0
        self._memory = LengthMemory(longest + 1)
        self._steps: dict[int, tuple[Step, ...]] = {}
        self._states = StateTable()
        self._places: dict[Any, int] = {}
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)

    def run(self, table: Launches) -> Stored:
        """Run the programs of launches.

        Raises:
            NotUnderstoodError: an instruction is not modelled, or loads what only data decide.
        """
        launch = np.repeat(np.arange(len(table)), table["count"])
        identity = np.arange(len(launch)) - np.repeat(
            np.cumsum(table["count"]) - table["count"] - table["first"], table["count"]
        )
        words = arguments_of(self.part, self.kernel, self.config, table, self._memory)
        ends, states = np.zeros(len(launch), np.int64), np.full(len(launch), -1)
        recorder = StoreRecorder(self.part.code, self._memory.memory, ends)
        batch = ProgramBatch(self.part, self._memory.memory, recorder, words, launch, identity, self.kernel.threads)
        waiting: list[Elements] = []

        def arrived(group: Elements, live: Live, shape: Any) -> None:
            place = self._places.setdefault((group.block, shape), len(self._places))
            states[group.ids], fresh = self._states.number(group.state(live, place))
            if len(fresh):
                waiting.append(gathered([group], live, fresh))

        begins, goes_on = (ElementMachine(batch, self._steps, to) for to in (arrived, None))
        by_lane = Machine(batch.lane_by_lane(), self.part, STEP_LIMIT, False)
        for first in range(0, len(launch), _PROGRAMS):
            ids = np.arange(first, min(first + _PROGRAMS, len(launch)))
            self._execute(begins, by_lane, self._start(batch, ids))
        heaps = np.cumsum([group.count for group in waiting]) // _WAITING
        for heap in np.unique(heaps):
            self._execute(goes_on, by_lane, *(waiting[k] for k in np.flatnonzero(heaps == heap)))
        # Nothing is stored before a state is numbered: what its first program stored is what every one stores.
        fresh = [ends[group.ids] for group in waiting]
        self._ends = np.concatenate([self._ends, *fresh])
        numbered = states >= 0
        ends[numbered] = self._ends[states[numbered]]
        return Stored(ends, np.where(ends > 0, states, -1))

    def _execute(self, machine: ElementMachine, by_lane: Machine, *groups: Waves) -> None:
        """Run programs, and whole waves of those that the machine leaves."""
        machine.run(*groups)
        if not machine.left:
            return
        left, waves = np.sort(np.concatenate(machine.left)), by_lane.batch.waves_per_workgroup
        machine.left.clear()
        self.lane_by_lane += len(left)
        size = max(1, _WAVES // waves)
        for first in range(0, len(left), size):
            ids = (left[first : first + size, np.newaxis] * waves + np.arange(waves)).reshape(-1)
            by_lane.run(self._start(by_lane.batch, ids, by_lane=True))

    def _start(self, batch: Any, ids: NDArray[np.int64], *, by_lane: bool = False) -> Waves:
        """Waves as the hardware sets them up, with their own launches' arguments; or one element for each program.

        The address of the arguments is left out: nothing that is kept reads it.
        """
        part, count, descriptor = self.part, len(ids), self.part.code.descriptor
        pairs = np.zeros((64, count, 2), np.uint32)
        first = 2 if descriptor.kernarg_pointer else 0
        for k in range(descriptor.preload_length):
            if descriptor.preload_offset + k in batch.words:
                pairs[(first + k) >> 1, :, (first + k) & 1] = batch.word(descriptor.preload_offset + k, ids)
        workgroup = ids // batch.waves_per_workgroup
        pairs[descriptor.user_sgprs >> 1, :, descriptor.user_sgprs & 1] = batch.identity[workgroup]
        pairs[EXEC >> 1] = 0xFFFF_FFFF
        scc = np.zeros(count, np.bool_)
        if by_lane:
            vector = borrow((part.rows, count, 64), np.uint32)
            for row in part.live[part.entry].vectors:
                vector[row] = 0
            vector[0] = ids[:, np.newaxis] % batch.waves_per_workgroup * 64 + np.arange(64)
            return Waves(batch, ids, vector, pairs, scc, np.zeros((count, 0), np.bool_), part.entry, 0)
        vector = np.zeros((max(1, part.highest), count, 1), np.uint32)
        forms: dict[int, Form] = {}
        if VECTOR_BASE in part.live[part.entry].bits:
            forms[VECTOR_BASE] = Spread(np.zeros(1, np.uint32), Table.of(np.arange(batch.lanes)))
        return Elements(batch, ids, vector, pairs, scc, forms, np.zeros(count, np.int64), part.entry, 0)
