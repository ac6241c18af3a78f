"""Programs on their way through a slice, from where they begin to where they end."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control
from aiterfix.gfx950.instruction import EXEC, VCC
from aiterfix.gfx950.operands import SCC_REGISTER
from aiterfix.overshoot.differing import Lanes
from aiterfix.overshoot.groups import Group, NumberedBatch, alike, merged, part_of, selected
from aiterfix.overshoot.known import Known, states_of
from aiterfix.overshoot.lanes import NotInForm, Numbers, Spread, Table
from aiterfix.overshoot.steps import Step, step_of
from aiterfix.overshoot.together import Together, forget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.memory import DeviceMemory
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.slicing import Slice, SlicedInstruction
    from aiterfix.overshoot.watch import Watch

PROGRAMS = 16384
"""Programs that are run together, one element each: more do not stay in the processor's cache."""
_STEP_LIMIT = 5_000_000


class Run:
    """Programs on their way through a slice.

    Attributes:
        left: numbers of programs that have to be run lane by lane.
    """

    def __init__(
        self, part: Slice, watch: Watch, words: NDArray[np.uint32], launch_of: NDArray[np.int64], waves: int
    ) -> None:
        self.part = part
        self.watch = watch
        self.words = words
        self.launch_of = launch_of
        self.left: list[NDArray[np.int64]] = []
        self._lanes = 64 * waves
        self._steps: dict[int, tuple[Step, ...]] = {}
        self._known: dict[tuple[Any, ...], Known] = defaultdict(Known)
        self._waiting: dict[tuple[int, Any], list[Group]] = defaultdict(list)

    def begin(self, start: Waves) -> None:
        """Execute one element for each program until all have ended, or wait where they may store first."""
        lanes = Lanes(self._lanes)
        if 0 in self.part.blocks[start.block].entry.vectors:
            numbers = Table.of(np.arange(self._lanes, dtype=np.uint32))
            lanes.vectors[0] = Spread(np.zeros(1, np.uint32), numbers)
        self._together([(start, Together(lanes))])

    def finish(self, memory: DeviceMemory) -> None:
        """Continue those that wait: states are few, so that they come together from many batches."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        for (block, _), members in sorted(waiting.items(), key=lambda item: item[0][0]):
            live = self.part.blocks[block].entry
            while members:
                taken: list[Group] = []
                while members and sum(group.count for group, _ in taken) < PROGRAMS:
                    taken.append(members.pop())
                numbers = np.concatenate([group.batch.workgroup_of(group.ids) for group, _ in taken])
                batch = NumberedBatch(memory, self.watch, numbers, 1, 0)
                counts = [group.count for group, _ in taken]
                for (group, _), first in zip(taken, np.cumsum(counts) - counts, strict=True):
                    group.batch, group.ids = batch, np.arange(first, first + group.count)
                self._together(alike(taken, live), waited=True)

    def _together(self, ready: list[Group], *, waited: bool = False) -> None:
        """The group furthest back goes first, as in the machine."""
        with np.errstate(all="ignore"):
            while ready:
                number = min(group.block for group, _ in ready)
                here = [pair for pair in ready if pair[0].block == number]
                ready = [pair for pair in ready if pair[0].block != number]
                for group, together in alike(here, self.part.blocks[number].entry):
                    if self.part.blocks[number].merges and not waited:
                        group, together = self._distinct(group, together)
                        if group.count:
                            self._waiting[number, together.lanes.form()].append((group, together))
                        continue
                    try:
                        self._follow(group, together)
                    except NotInForm:
                        self.left.append(group.batch.workgroup_of(group.ids))
                        continue
                    self._check_steps(group)
                    for rows, block in _ways(self.part, group):
                        ready.append(part_of((group, together), rows, block, self.part.blocks[block].entry))

    def lane_by_lane(self, start: Waves) -> None:
        """Execute whole waves until all have ended."""
        ready = [start]
        with np.errstate(all="ignore"):
            while ready:
                number = min(group.block for group in ready)
                here = [group for group in ready if group.block == number]
                ready = [group for group in ready if group.block != number]
                block = self.part.blocks[number]
                group = here[0] if len(here) == 1 else merged(here, block.entry)[0]
                for item in block.kept:
                    if item.arguments:
                        self._load_arguments(group, item)
                    else:
                        item.execute(group)
                group.steps += len(block.kept)
                self._check_steps(group)
                for rows, successor in _ways(self.part, group):
                    ready.append(selected(group, rows, successor, self.part.blocks[successor].entry))

    def _follow(self, group: Waves, together: Together) -> None:
        """Execute a block.

        Raises:
            NotInForm: these programs have to be run lane by lane.
        """
        block = self.part.blocks[group.block]
        steps = self._steps.get(group.block)
        if steps is None:
            code = self.part.program.code
            steps = tuple(step_of(item, code, self._lanes, self.watch.furthest) for item in block.kept)
            self._steps[group.block] = steps
        for item, step in zip(block.kept, steps, strict=True):
            if item.arguments:
                self._load_arguments(group, item)
                forget(together, item.writes)
            else:
                step(group, together)
        group.steps += len(block.kept)
        last = self.part.program.blocks[group.block].last.mnemonic
        lost, lanes = together.lost, together.lanes
        if not block.skips and (
            (last.startswith("s_cbranch_scc") and SCC_REGISTER in lost)
            or (last.startswith("s_cbranch_vcc") and (lanes.in_pair(VCC) or VCC in lost or VCC + 1 in lost))
            or (last.startswith("s_cbranch_exec") and EXEC in lanes.masks)
        ):
            raise NotInForm
        for successor in block.successors if lost else ():
            live = self.part.blocks[successor].entry
            if (live.scc and SCC_REGISTER in lost) or not lost.isdisjoint(live.scalars):
                raise NotInForm
        lost.clear()

    def _check_steps(self, group: Waves) -> None:
        if group.steps > _STEP_LIMIT:
            raise NotUnderstoodError(f"kernel {self.part.program.code.name} loops without end in block {group.block}")

    def _load_arguments(self, group: Waves, item: SlicedInstruction) -> None:
        launches = self.launch_of[group.batch.workgroup_of(group.ids)]
        for register, word in item.arguments:
            group.scalar[register][...] = self.words[launches, word]

    def _distinct(self, group: Waves, together: Together) -> Group:
        """Programs whose live registers no earlier one had here; the others are noted to be like one that had."""
        live = self.part.blocks[group.block].entry
        if live.spilled:
            return group, together
        numbers = group.batch.workgroup_of(group.ids)
        lanes = together.lanes
        columns: list[Numbers] = [group.scalar[code] for code in live.scalars if not lanes.in_scalar(code)]
        launches = self.launch_of[numbers]
        columns += [self.words[launches, word] for word in live.arguments]
        columns += [group.vector[row][:, 0] for row in live.vectors if row not in lanes.vectors]
        columns += lanes.numbers()
        if live.scc:
            columns.append(group.scc)
        known = self._known[group.block, lanes.form()]
        like = known.first_of(states_of(columns, group.count), numbers)
        self.watch.like[numbers] = like
        return part_of((group, together), np.flatnonzero(like == numbers), group.block, live)


def _ways(part: Slice, group: Waves) -> list[tuple[NDArray[np.int64] | None, int]]:
    """Which programs go on at which block; None for all of them."""
    program = part.program
    last = program.blocks[group.block].last
    if last.mnemonic == control.END:
        return []
    if last.mnemonic == control.BRANCH:
        return [(None, program.block_at(control.branch_target(last), last))]
    if last.mnemonic not in control.CONDITIONS:
        return [(None, program.block_at(last.end, last))]
    if part.blocks[group.block].skips:
        return [(None, program.block_at(control.branch_target(last), last))]
    taken = control.taken(last, group)
    target, after = program.block_at(control.branch_target(last), last), program.block_at(last.end, last)
    if taken.all():
        return [(None, target)]
    if not taken.any():
        return [(None, after)]
    return [(np.flatnonzero(taken), target), (np.flatnonzero(~taken), after)]
