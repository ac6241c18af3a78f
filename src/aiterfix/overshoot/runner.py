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
from aiterfix.gfx950.waves import LANES
from aiterfix.overshoot.lanes import Offset, Table, Varying
from aiterfix.overshoot.launches import Arguments, Launches, programs_in
from aiterfix.overshoot.programs import ProgramBatch, ProgramMachine, Programs, gathered
from aiterfix.overshoot.states import StateTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.family.signature import KernelConfig
    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.overshoot.slicing import Live, Slice

_PROGRAMS = 16384
"""Programs that are run together, one element each: more do not stay in the processor's cache."""
_WAITING = 1 << 17
"""Those that go on from their first stores together: loops are of all lengths there, the last of them run alone."""


@dataclass(frozen=True)
class Stored:
    """What the programs of some launches stored, launch after launch.

    Attributes:
        launches: the launches.
        launch, place: for each program, its launch, and its place among those of the launch.
        ends: for each program, one past the last column stored to; 0 where nothing was stored.
        states: for each program, the number of the state in which it came to its first stores; -1 where it stored
            nothing, or never was in one. Programs of one state did the same from there on.
    """

    launches: Launches
    launch: NDArray[np.int64]
    place: NDArray[np.int64]
    ends: NDArray[np.int64]
    states: NDArray[np.int64]

    @property
    def furthest(self) -> NDArray[np.int64]:
        """For each launch, the end that gets furthest."""
        count = self.launches["count"]
        furthest: NDArray[np.int64] = np.maximum.reduceat(self.ends, np.cumsum(count) - count)
        return furthest


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
        self.part = part
        self.arguments = Arguments(part, kernel, config.heads, longest + 1)
        if kernel.threads % LANES:
            raise NotUnderstoodError(f"{kernel.function} has {kernel.threads} threads, which are no whole waves")
        self._lanes = kernel.threads
        self._states = StateTable()
        self._kinds: dict[Any, int] = {}
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)

    def run(self, table: Launches) -> Stored:
        """Run the programs of launches.

        Raises:
            NotUnderstoodError: an instruction is not modelled, loads what only data decide, or makes of what differs
                between lanes something that is not followed.
        """
        launch, place = programs_in(table)
        identity, words = place + table["first"][launch], self.arguments.dwords(table)
        states = np.full(len(launch), -1)
        batch = ProgramBatch(self.part, self.arguments.memory, len(launch), self._lanes)
        waiting: list[Programs] = []

        def arrived(group: Programs, live: Live, shape: Any) -> None:
            kind = self._kinds.setdefault((group.block, shape), len(self._kinds))
            states[group.ids], fresh = self._states.number(group.state(live, kind))
            if len(fresh):
                waiting.append(gathered([group], live, fresh))

        begins, goes_on = (ProgramMachine(batch, to) for to in (arrived, None))
        for first in range(0, len(launch), _PROGRAMS):
            some = slice(first, first + _PROGRAMS)
            begins.run(self._start(batch, first, identity[some], {k: words[k][launch[some]] for k in words}))
        heaps = np.cumsum([group.count for group in waiting]) // _WAITING
        for heap in np.unique(heaps):
            goes_on.run(*(waiting[k] for k in np.flatnonzero(heaps == heap)))
        # Nothing is stored before a state is numbered: what its first program stored is what every one stores.
        self._ends = np.concatenate([self._ends, *(batch.ends[group.ids] for group in waiting)])
        ends, numbered = batch.ends, states >= 0
        ends[numbered] = self._ends[states[numbered]]
        return Stored(table, launch, place, ends, np.where(ends > 0, states, -1))

    def _start(
        self, batch: ProgramBatch, first: int, identity: NDArray[np.int64], words: dict[int, NDArray[np.uint32]]
    ) -> Programs:
        """Programs as the hardware sets them up, with their own launches' arguments.

        The address of the arguments is left out: nothing that is kept reads it.
        """
        part, count = self.part, len(identity)
        pairs, vector = np.zeros((64, count, 2), np.uint32), np.zeros((part.highest, count, 1), np.uint32)
        pairs[EXEC >> 1] = 0xFFFF_FFFF
        varying: dict[int, Varying] = {}
        if VECTOR_BASE in part.live[part.entry]:
            varying[VECTOR_BASE] = Offset(Table.of(np.arange(batch.lanes)))
        ids, scc = np.arange(first, first + count), np.zeros(count, np.bool_)
        programs = Programs(batch, ids, vector, pairs, scc, varying, part.entry, 0)
        programs.number(part.code.descriptor.user_sgprs)[...] = identity
        for register, dword in part.arguments.items():
            programs.number(register)[...] = words[dword]
        return programs
