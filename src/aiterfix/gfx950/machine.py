"""The scheduler: runs the waves of many workgroups in lockstep, block by block.

Waves that stand at the same basic block form a group and execute together. A branch that they do not all take splits
the group; groups that meet at a block are merged. The group that stands furthest back in the program goes first,
which brings the two sides of an if and the stragglers of a loop together again where the program does. One that has got
far ahead of another in instructions lets it go on: it may be waiting for what the other is about to write.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control
from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.instruction import JUMPS
from aiterfix.gfx950.waves import Waves, merge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.batch import Batch
    from aiterfix.gfx950.blocks import Block
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.program import Program


_PATIENCE = 1 << 14
"""Instructions that one group may be ahead of another that could go on."""


class StepLimitError(NotUnderstoodError):
    """A wave executed more instructions than allowed: an endless loop, or a limit set too low."""

    code = "step-limit"


class Machine:
    """Executes the workgroups of one batch.

    Args:
        batch: the shared state.
        program: the kernel.
        step_limit: instructions a wave may execute.
        profile: measure each instruction's time.

    Attributes:
        counts: wave-instructions executed, by index of the instruction in the program.
        seconds: time spent, likewise; zeros unless ``profile``.
        edges: pairs of blocks, the second executed after the first by some wave.
    """

    def __init__(self, batch: Batch, program: Program, step_limit: int, profile: bool) -> None:
        self.batch = batch
        self.program = program
        self.step_limit = step_limit
        self.profile = profile
        self.counts: NDArray[np.int64] = np.zeros(len(program.instructions), np.int64)
        self.seconds: NDArray[np.float64] = np.zeros(len(program.instructions), np.float64)
        self.edges: set[tuple[int, int]] = set()
        self._live = np.full(batch.workgroups, batch.waves_per_workgroup, np.int64)
        self._arrived = np.zeros(batch.workgroups, np.int64)
        self._ready: list[Waves] = []
        self._parked: list[Waves] = []

    def run(self, *waves: Waves) -> None:
        """Execute until every wave has ended.

        Raises:
            StepLimitError, UnmodelledInstructionError, NotUnderstoodError.
        """
        self._ready = list(waves)
        with np.errstate(all="ignore"):
            while self._ready:
                self._step()

    def _step(self) -> None:
        chosen = min(self._ready, key=lambda group: group.block)
        behind = min(self._ready, key=lambda group: group.steps)
        number = (behind if chosen.steps - behind.steps > _PATIENCE else chosen).block
        here = [group for group in self._ready if group.block == number]
        self._ready = [group for group in self._ready if group.block != number]
        for group in self._met(here):
            self._advance(group)

    def _met(self, here: list[Waves]) -> list[Waves]:
        """Groups that stand at one block, put together."""
        if len(here) == 1:
            return here
        group = merge(here)
        for part in here:
            part.dissolve()
        return [group]

    def _advance(self, group: Waves) -> None:
        block = self.program.blocks[group.block]
        if not block.executes:
            self.program.bind(block)
        self._check_registers(group, block)
        group.steps += len(block.instructions)
        if group.steps > self.step_limit:
            place = self.program.code.source_line(block.pc)
            raise StepLimitError(
                f"A wave executed more than {self.step_limit} instructions and was stopped at pc {block.pc:#x}"
                + (f", {place}." if place else "."),
                why="The kernel loops without end on this input, or the limit is too low for it.",
                remedy="Check the arguments, or pass a larger step_limit.",
            )
        self._execute(group, block)
        self._leave(group, block)

    def _execute(self, group: Waves, block: Block) -> None:
        first = block.first
        self.counts[first : first + len(block.instructions)] += group.count
        if not self.profile:
            for execute in block.executes:
                execute(group)
            return
        for index, execute in enumerate(block.executes, first):
            started = perf_counter()
            execute(group)
            self.seconds[index] += perf_counter() - started

    def _check_registers(self, group: Waves, block: Block) -> None:
        """Report registers read before any write, then note those the block writes."""
        exposed = block.exposed
        if not group.written_by_all[exposed].all():
            unwritten = ~group.written[:, exposed]
            for number in exposed[unwritten.any(axis=0)].tolist():
                self._report_unwritten(group, block, number)
            # Reported once a wave is enough.
            group.written[:, exposed] = True
            group.written_by_all[exposed] = True
        if not group.written_by_all[block.written].all():
            group.written[:, block.written] = True
            group.written_by_all[block.written] = True

    def _report_unwritten(self, group: Waves, block: Block, number: int) -> None:
        reader = next(
            instruction
            for instruction, bound in zip(block.instructions, block.bound, strict=True)
            if number in bound.reads
        )
        waves = group.ids[~group.written[:, number]]
        self.batch.recorder.finding(
            FindingKind.REGISTER_NEVER_WRITTEN,
            reader,
            f"reads {self.program.register_name(number)}, which nothing has written",
            self.batch.workgroup_of(waves),
            len(waves),
        )

    def _leave(self, group: Waves, block: Block) -> None:
        last = block.last
        name = last.mnemonic
        if name == control.END:
            self._end(group)
            group.dissolve()
        elif name == control.BARRIER:
            self._enter(group, last.end, last)
            if self.batch.lds_watch is not None:
                self.batch.lds_watch.barrier(group)
            self._arrive(group)
        elif name == control.BRANCH:
            self._go(group, control.branch_target(last), last)
        elif name in control.CONDITIONS:
            taken = control.taken(last, group)
            if taken.all():
                self._go(group, control.branch_target(last), last)
            elif not taken.any():
                self._go(group, last.end, last)
            else:
                self._go(group.select(taken), control.branch_target(last), last)
                self._go(group.select(~taken), last.end, last)
                group.dissolve()
        elif name in JUMPS:
            targets: NDArray[np.int64] = np.asarray(group.target)
            places = np.unique(targets).tolist()
            if len(places) == 1:
                self._go(group, places[0], last)
                return
            for place in places:
                self._go(group.select(targets == place), place, last)
            group.dissolve()
        else:
            self._go(group, last.end, last)

    def _go(self, group: Waves, pc: int, last: Instruction) -> None:
        self._enter(group, pc, last)
        self._ready.append(group)

    def _enter(self, group: Waves, pc: int, last: Instruction) -> None:
        before, group.block = group.block, self.program.block_at(pc, last)
        self.edges.add((before, group.block))

    def _workgroups(self, group: Waves) -> NDArray[np.int64]:
        """Each wave's workgroup, counted within the batch."""
        return group.ids // self.batch.waves_per_workgroup

    def _arrive(self, group: Waves) -> None:
        """Waves reach a barrier: whoever completes a workgroup lets it go on."""
        np.add.at(self._arrived, self._workgroups(group), 1)
        self._parked.append(group)
        self._release()

    def _end(self, group: Waves) -> None:
        np.subtract.at(self._live, self._workgroups(group), 1)
        if not self._parked:
            return
        waiting = np.unique(self._workgroups(group))
        for other in self._parked:
            late = np.intersect1d(waiting, self._workgroups(other))
            if len(late):
                barrier = self.program.blocks[other.block - 1].last
                self.batch.recorder.finding(
                    FindingKind.MISSING_BARRIER_PARTNER,
                    barrier,
                    "other waves of the workgroup ended without reaching a barrier",
                    late + self.batch.first_workgroup,
                    len(late),
                )
        self._release()

    def _release(self) -> None:
        complete = (self._arrived == self._live) & (self._live > 0)
        if not complete.any():
            return
        parked, self._parked = self._parked, []
        for group in parked:
            free = complete[self._workgroups(group)]
            if free.all():
                self._ready.append(group)
            elif not free.any():
                self._parked.append(group)
            else:
                self._ready.append(group.select(free))
                self._parked.append(group.select(~free))
                group.dissolve()
        self._arrived[complete] = 0
