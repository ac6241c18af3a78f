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

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.machine import Machine
from aiterfix.gfx950.operands import VECTOR_BASE
from aiterfix.gfx950.waves import Waves
from aiterfix.gfx950.workspace import borrow
from aiterfix.overshoot.elements import ElementMachine, Elements, ProgramBatch, Shape, shape_of_forms
from aiterfix.overshoot.lane_values import Form, Spread, Table
from aiterfix.overshoot.launches import LengthMemory, arguments_of, check_arguments
from aiterfix.overshoot.states import StateTable
from aiterfix.overshoot.stores import StoreRecorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from aiterfix.family.signature import KernelConfig
    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.overshoot.instructions import Step
    from aiterfix.overshoot.launches import Launches
    from aiterfix.overshoot.slicing import Live, Slice

_PROGRAMS = 16384
"""Programs that are run together, one element each: more do not stay in the processor's cache."""
_WAITING = 1 << 17
"""Those that go on from their first stores together: loops are of all lengths there, and the last of them run alone."""
_WAVES = 512
"""Waves that are run together lane by lane."""
_LAUNCHES = 1 << 15
"""Launches whose arguments are laid out at once."""
AT_ONCE = 32 * _LAUNCHES
"""Launches that are begun before what came to its first stores goes on: then it is many at once."""
_STEP_LIMIT = 5_000_000


@dataclass(frozen=True)
class Stored:
    """What the programs of some launches stored, launch after launch.

    Attributes:
        ends: for each program, one past the last column stored to; 0 where nothing was stored.
        like: for each program, the number of the state in which it came to its first stores; -1 where it stored
            nothing, or never was in one. Programs of one state did the same from there on.
    """

    ends: NDArray[np.int64]
    like: NDArray[np.int64]


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
        self._tables: dict[tuple[int, Shape], StateTable] = defaultdict(StateTable)
        self._numbers: dict[tuple[int, Shape], NDArray[np.int64]] = defaultdict(lambda: np.zeros(0, np.int64))
        self._waiting: dict[tuple[int, Shape], list[Elements]] = defaultdict(list)
        self._states = 0
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)

    def run(self, table: Launches) -> Iterator[tuple[Launches, Stored]]:
        """Run the programs of launches; what they stored, some launches at a time.

        Raises:
            NotUnderstoodError: an instruction is not modelled, or loads what only data decide.
        """
        for first in range(0, len(table), AT_ONCE):
            some = table.part(first, first + AT_ONCE)
            parts = [some.part(at, at + _LAUNCHES) for at in range(0, len(some), _LAUNCHES)]
            begun = [self._begin(part) for part in parts]
            self._finish()
            for part, (ends, states) in zip(parts, begun, strict=True):
                known = states >= 0
                ends[known] = np.maximum(ends[known], self._ends[states[known]])
                yield part, Stored(ends, np.where(ends > 0, states, -1))

    def _begin(self, table: Launches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each program, one past the last column stored to on its own; and its state, or -1."""
        of = np.repeat(np.arange(len(table)), table.count)
        identity = np.arange(len(of)) - np.repeat(np.cumsum(table.count) - table.count - table.first, table.count)
        words = arguments_of(self.part.code, self.kernel, self.config, table, self._memory)
        recorder = StoreRecorder(self.part.code, self._memory.memory, np.zeros(len(of), np.int64))
        states = np.full(len(of), -1)

        def arrived(group: Elements, live: Live) -> None:
            states[group.batch.numbers[group.ids]] = self._arrived(group, live)

        for first in range(0, len(of), _PROGRAMS):
            numbers = np.arange(first, min(first + _PROGRAMS, len(of)))
            batch = self._batch(recorder, numbers, words[of[numbers]], identity[numbers])
            machine = ElementMachine(batch, self._steps, arrived)
            machine.run(self._start(batch))
            self._each_lane(machine)
        return recorder.ends, states

    def _arrived(self, group: Elements, live: Live) -> NDArray[np.int64]:
        """Numbers of the states of programs that are near their first stores; those that are new wait."""
        key = group.block, shape_of_forms(group)
        found, fresh = self._tables[key].number(group.state(live))
        if len(fresh):
            numbers = np.arange(self._states, self._states + len(fresh))
            self._states += len(fresh)
            self._numbers[key] = np.concatenate([self._numbers[key], numbers])
            waiting, ids = group.some(fresh, live), group.ids[fresh]
            waiting.batch = self._batch(None, numbers, group.batch.words[ids], group.batch.identity[ids])
            self._waiting[key].append(waiting)
        return self._numbers[key][found]

    def _finish(self) -> None:
        """Continue the programs that wait."""
        self._ends = np.concatenate([self._ends, np.zeros(self._states - len(self._ends), np.int64)])
        recorder = StoreRecorder(self.part.code, self._memory.memory, self._ends)
        waiting, self._waiting = self._waiting, defaultdict(list)
        for groups in waiting.values():
            while groups:
                taken = [groups.pop()]
                while groups and sum(group.count for group in taken) < _WAITING:
                    taken.append(groups.pop())
                numbers, words, identity = (
                    np.concatenate([getattr(group.batch, name) for group in taken])
                    for name in ("numbers", "words", "identity")
                )
                batch = self._batch(recorder, numbers, words, identity)
                machine = ElementMachine(batch, self._steps, None)
                first = 0
                for group in taken:
                    group.batch, group.ids = batch, np.arange(first, first + group.count)
                    first += group.count
                machine.run(*taken)
                self._each_lane(machine)

    def _batch(self, recorder: Any, numbers: Any, words: Any, identity: Any, waves: int = 1) -> ProgramBatch:
        return ProgramBatch(
            self.part, self._memory.memory, recorder, numbers, words, identity, self.kernel.threads, waves
        )

    def _each_lane(self, machine: ElementMachine) -> None:
        """Run whole waves of the programs that a machine left."""
        if not machine.left:
            return
        left, old = np.sort(np.concatenate(machine.left)), machine.batch
        assert isinstance(old, ProgramBatch)
        self.lane_by_lane += len(left)
        waves = self.kernel.threads // 64
        size = max(1, _WAVES // waves)
        for first in range(0, len(left), size):
            ids = left[first : first + size]
            batch = self._batch(old.recorder, old.numbers[ids], old.words[ids], old.identity[ids], waves)
            Machine(batch, self.part, _STEP_LIMIT, False).run(self._start(batch, by_lane=True))

    def _start(self, batch: ProgramBatch, *, by_lane: bool = False) -> Waves:
        """Waves as the hardware sets them up, with their own launches' arguments; or one element for each program.

        The address of the arguments is left out: nothing that is kept reads it.
        """
        part, waves = self.part, batch.waves_per_workgroup
        descriptor = part.code.descriptor
        count = len(batch.numbers) * waves
        ids = np.arange(count)
        pairs = np.zeros((64, count, 2), np.uint32)
        first = 2 if descriptor.kernarg_pointer else 0
        for k in range(descriptor.preload_length):
            place = descriptor.preload_offset + k
            if place < batch.words.shape[1]:
                pairs[(first + k) >> 1, :, (first + k) & 1] = batch.words[ids // waves, place]
        pairs[descriptor.user_sgprs >> 1, :, descriptor.user_sgprs & 1] = batch.identity[ids // waves]
        pairs[EXEC >> 1] = 0xFFFF_FFFF
        scc = np.zeros(count, np.bool_)
        vector = (
            borrow((part.rows, count, 64), np.uint32)
            if by_lane
            else np.empty((max(1, part.highest), count, 1), np.uint32)
        )
        for row in part.live[part.entry].vectors:
            vector[row] = 0
        if by_lane:
            vector[0] = ids[:, np.newaxis] % waves * 64 + np.arange(64)
            return Waves(batch, ids, vector, pairs, scc, np.zeros((count, 0), np.bool_), part.entry, 0)
        forms: dict[int, Form] = {}
        if VECTOR_BASE in part.live[part.entry].numbers:
            forms[VECTOR_BASE] = Spread(np.zeros(1, np.uint32), Table.of(np.arange(batch.lanes)))
        return Elements(batch, ids, vector, pairs, scc, forms, part.entry, 0)
