"""Run a slice for many programs at once, and note the columns that each stores to.

Every program is a workgroup of a launch of its own: its kernel arguments are its own, so that programs of thousands of
launches (context lengths, widths, splits) run in lockstep. What is equal is run once:

- One element of an array stands for a program, what differs between its lanes being kept apart
  (:mod:`~aiterfix.overshoot.lanes`). Programs for which that does not work out are run again from their start, lane by
  lane; what they were seen to store until then they do store, so it counts.
- Programs that come to the block of their first stores with equal live registers do the same from there on: one of
  them is run, the others are given its result. That is exact, since liveness says that nothing else is read; and most
  of millions of programs come down to the same few thousand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control
from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.findings import Access
from aiterfix.gfx950.instruction import EXEC, VCC
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.gfx950.operands import SCC_REGISTER
from aiterfix.gfx950.waves import Waves
from aiterfix.overshoot.differing import Lanes
from aiterfix.overshoot.known import Known, states_of
from aiterfix.overshoot.lanes import NotInForm, Numbers, Spread, Table
from aiterfix.overshoot.programs import DECIDING, Launches, scalar_arguments
from aiterfix.overshoot.steps import Step, step_of
from aiterfix.overshoot.together import Together, forget

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.signature import KernelConfig
    from aiterfix.overshoot.slicing import Slice, SlicedInstruction, State

_OUTPUT = 0x2000_0000_0000
"""Where the output would be. No allocation is there: every store is reported, and none performed."""
_OUTPUT_SPAN = 1 << 32
_NULL_POINTERS = 0x3000_0000_0000
_SEQUENCE_BYTES = 64
_PROGRAMS = 16384
"""Programs that are run together, one element each: more do not stay in the processor's cache."""
_WAVES = 8192
"""Waves that are run together lane by lane."""
_STEP_LIMIT = 5_000_000


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


class _NumberedBatch(Batch):
    """Waves of any programs: they are numbered through all of them, and take the place of workgroups in reports.

    Attributes:
        numbers: for each wave of the batch, the number of its program.
    """

    def __init__(
        self, memory: DeviceMemory, watch: _Watch, numbers: NDArray[np.int64], waves: int, scratch_bytes: int
    ) -> None:
        super().__init__(memory, watch, 0, -(-len(numbers) // waves), waves, 0, scratch_bytes)  # type: ignore[arg-type]
        self.numbers = numbers

    def workgroup_of(self, wave_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The program of each wave."""
        return self.numbers[wave_ids]


class _Watch:
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
        offsets = addresses - _OUTPUT
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


def stored_ends(part: Slice, kernel: CompiledKernel, config: KernelConfig, table: Launches) -> Stored:
    """Run the programs of these launches.

    Args:
        part: the kernel's slice.
        kernel: for the names and types of its arguments.
        config: what it is compiled for.
        table: launches.

    Returns:
        what their programs stored.

    Raises:
        NotUnderstoodError: what is stored where depends on more than integers, or an instruction is not modelled.
    """
    code = part.program.code
    check_arguments(part, kernel)
    total = int(table.count.sum())
    launch_of = np.repeat(np.arange(len(table.count)), table.count)
    identity = np.arange(total) - np.repeat(np.cumsum(table.count) - table.count - table.first, table.count)
    memory, segments, words = _memory(code, kernel, config, table)
    if kernel.threads % 64:
        raise NotUnderstoodError(f"{kernel.function} has {kernel.threads} threads, which are no whole waves")
    waves = kernel.threads // 64
    watch = _Watch(code, total)
    run = _Run(part, watch, words, launch_of, waves)
    for first in range(0, total, _PROGRAMS):
        numbers = np.arange(first, min(first + _PROGRAMS, total))
        batch = _NumberedBatch(memory, watch, numbers, 1, 0)
        launches = launch_of[numbers]
        run.begin(_start(part, batch, segments[launches], words, launches, identity[numbers], 1))
    run.finish(memory)
    left = np.sort(np.concatenate(run.left)) if run.left else np.zeros(0, np.int64)
    size = max(1, _WAVES // waves)
    for first in range(0, len(left), size):
        numbers = np.repeat(left[first : first + size], waves)
        batch = _NumberedBatch(memory, watch, numbers, waves, code.scratch_bytes)
        launches = launch_of[numbers]
        run.lane_by_lane(_start(part, batch, segments[launches], words, launches, identity[numbers], waves))
    return watch.resolve(len(left))


def _memory(
    code: CodeObject, kernel: CompiledKernel, config: KernelConfig, table: Launches
) -> tuple[DeviceMemory, NDArray[np.int64], NDArray[np.uint32]]:
    """Device memory with every launch's arguments, their addresses, and the same as dwords."""
    memory = DeviceMemory()
    count = len(table.count)
    # A context length stands alone: a kernel that read its neighbour would read nonsense, not another launch's.
    sequences = np.full((count, _SEQUENCE_BYTES // 4), 0x7ABC_DEF0, np.int32)
    for position in range(_SEQUENCE_BYTES // 4):
        sequences[:, position] = np.where(position < table.batch, table.context_length, 0x7ABC_DEF0)
    schedules = np.full((count, _SEQUENCE_BYTES // 4), 0x7ABC_DEF0, np.int32)
    schedules[:, 0] = table.splits
    context = memory.allocate("context_len_ptr", sequences).address
    schedule = memory.allocate("safe_chunks_per_cta_ptr", schedules).address
    size = -(-max(code.descriptor.kernarg_bytes, 16) // 16) * 16
    bits = np.zeros((count, size), np.uint8)
    index = np.arange(count, dtype=np.int64)
    pointers = {
        "context_len_ptr": context + index * _SEQUENCE_BYTES,
        "safe_chunks_per_cta_ptr": schedule + index * _SEQUENCE_BYTES,
        "OutLogits_buffer": np.full(count, _OUTPUT),
    }
    scalars = scalar_arguments(config, table)
    for position, (name, kind) in enumerate(kernel.arguments):
        if position >= len(code.kernarg):
            raise NotUnderstoodError(f"the code object of {kernel.function} takes fewer arguments than its source says")
        argument = code.kernarg[position]
        if kind.startswith("*"):
            values: Any = pointers.get(name, np.full(count, _NULL_POINTERS))
        else:
            values = np.broadcast_to(np.asarray(scalars[name], np.int64), count)
        if argument.size not in (4, 8) or argument.is_pointer != kind.startswith("*"):
            raise NotUnderstoodError(f"the code object of {kernel.function} declares {name} otherwise than its source")
        raw = np.ascontiguousarray(values, np.int64).view(np.uint8).reshape(count, 8)
        bits[:, argument.offset : argument.offset + argument.size] = raw[:, : argument.size]
    segment = memory.allocate("kernel arguments", bits, align=256)
    return memory, segment.address + index * size, bits.view(np.uint32)


def check_arguments(part: Slice, kernel: CompiledKernel) -> tuple[str, ...]:
    """Names of the arguments that decide where a kernel stores.

    Raises:
        NotUnderstoodError: others do than those that launches are varied in.
    """
    code = part.program.code
    names = tuple(
        name
        for position, (name, _) in enumerate(kernel.arguments)
        if position < len(code.kernarg)
        and any(
            code.kernarg[position].offset < 4 * (word + 1)
            and 4 * word < code.kernarg[position].offset + code.kernarg[position].size
            for word in part.arguments
        )
    )
    others = sorted(set(names) - DECIDING)
    if others:
        raise NotUnderstoodError(
            f"where {kernel.function} stores depends on {', '.join(others)}",
            why="launches are varied in their lengths and splits only",
            remedy="run `aiterfix validate`, which executes the whole kernel",
        )
    return names


def _start(
    part: Slice,
    batch: Batch,
    segments: NDArray[np.int64],
    words: NDArray[np.uint32],
    launches: NDArray[np.int64],
    identity: NDArray[np.int64],
    waves: int,
) -> Waves:
    """Waves as the hardware sets them up, with the arguments of their own launches; or one element for each program."""
    program = part.program
    descriptor = program.code.descriptor
    count = len(identity)
    pairs = np.zeros((64, count, 2), np.uint32)

    def set_scalar(register: int, value: Any) -> None:
        pairs[register >> 1, :, register & 1] = value

    register = 0
    if descriptor.kernarg_pointer:
        set_scalar(0, segments & 0xFFFF_FFFF)
        set_scalar(1, segments >> 32)
        register = 2
    for k in range(descriptor.preload_length):
        place = descriptor.preload_offset + k
        if place < words.shape[1]:
            set_scalar(register + k, words[launches, place])
    if not descriptor.workgroup_ids[0]:
        raise NotUnderstoodError(f"kernel {program.code.name} does not ask which program it is")
    set_scalar(descriptor.user_sgprs, identity)
    for code in (EXEC, EXEC + 1):
        set_scalar(code, 0xFFFF_FFFF)
    together = batch.waves_per_workgroup == 1 and waves == 1
    vector = np.empty((program.code.vgprs + program.code.agprs, count, 1 if together else 64), np.uint32)
    for row in part.blocks[part.entry].entry.vectors:
        vector[row] = 0
        if row == 0 and not together:
            vector[row] = np.arange(count)[:, np.newaxis] % waves * 64 + np.arange(64)
    return _waves(batch, np.arange(count), vector, pairs, np.zeros(count, np.bool_), part.entry, 0)


def _waves(
    batch: Batch,
    ids: NDArray[np.int64],
    vector: NDArray[np.uint32],
    pairs: NDArray[np.uint32],
    scc: NDArray[np.bool_],
    block: int,
    steps: int,
) -> Waves:
    # Which registers were ever written is the whole machine's concern.
    kind = _Elements if vector.shape[2] == 1 else Waves
    return kind(batch, ids, vector, pairs, scc, np.zeros((len(ids), 0), np.bool_), block, steps)


class _Elements(Waves):
    """One element for each program in place of 64 lanes. Vector instructions are done where all lanes are on only."""

    __slots__ = ()

    def exec_changed(self) -> None:
        """Bring ``lanes`` up to date after a write to EXEC: None, or something."""
        full = (self.pairs64[EXEC >> 1] == _ALL).all()
        self.lanes = None if full else np.zeros((1, 1), np.uint32)


_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_Group = tuple[Waves, Together]


class _Run:
    """Programs on their way through a slice.

    Attributes:
        left: numbers of programs that have to be run lane by lane.
    """

    def __init__(
        self, part: Slice, watch: _Watch, words: NDArray[np.uint32], launch_of: NDArray[np.int64], waves: int
    ) -> None:
        self.part = part
        self.watch = watch
        self.words = words
        self.launch_of = launch_of
        self.left: list[NDArray[np.int64]] = []
        self._lanes = 64 * waves
        self._steps: dict[int, tuple[Step, ...]] = {}
        self._known: dict[tuple[Any, ...], Known] = defaultdict(Known)
        self._waiting: dict[tuple[int, Any], list[_Group]] = defaultdict(list)

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
                taken: list[_Group] = []
                while members and sum(group.count for group, _ in taken) < _PROGRAMS:
                    taken.append(members.pop())
                numbers = np.concatenate([group.batch.workgroup_of(group.ids) for group, _ in taken])
                batch = _NumberedBatch(memory, self.watch, numbers, 1, 0)
                counts = [group.count for group, _ in taken]
                for (group, _), first in zip(taken, np.cumsum(counts) - counts, strict=True):
                    group.batch, group.ids = batch, np.arange(first, first + group.count)
                self._together(_alike(taken, live), waited=True)

    def _together(self, ready: list[_Group], *, waited: bool = False) -> None:
        """The group furthest back goes first, as in the machine."""
        with np.errstate(all="ignore"):
            while ready:
                number = min(group.block for group, _ in ready)
                here = [pair for pair in ready if pair[0].block == number]
                ready = [pair for pair in ready if pair[0].block != number]
                for group, together in _alike(here, self.part.blocks[number].entry):
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
                        ready.append(_part_of((group, together), rows, block, self.part.blocks[block].entry))

    def lane_by_lane(self, start: Waves) -> None:
        """Execute whole waves until all have ended."""
        ready = [start]
        with np.errstate(all="ignore"):
            while ready:
                number = min(group.block for group in ready)
                here = [group for group in ready if group.block == number]
                ready = [group for group in ready if group.block != number]
                block = self.part.blocks[number]
                group = here[0] if len(here) == 1 else _merged(here, block.entry)[0]
                for item in block.kept:
                    if item.arguments:
                        self._load_arguments(group, item)
                    else:
                        item.execute(group)
                group.steps += len(block.kept)
                self._check_steps(group)
                for rows, successor in _ways(self.part, group):
                    ready.append(_selected(group, rows, successor, self.part.blocks[successor].entry))

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

    def _distinct(self, group: Waves, together: Together) -> _Group:
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
        return _part_of((group, together), np.flatnonzero(like == numbers), group.block, live)


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


def _part_of(pair: _Group, rows: NDArray[np.int64] | None, block: int, live: State) -> _Group:
    group, together = pair
    lanes = together.lanes.kept(live.vectors, live.scalars)
    if rows is None or len(rows) == group.count:
        group.block = block
        return group, Together(lanes)
    return _selected(group, rows, block, live), Together(lanes.selected(rows))


def _pairs(live: State) -> list[int]:
    return sorted({code >> 1 for code in live.scalars} | {EXEC >> 1})


def _selected(group: Waves, rows: NDArray[np.int64] | None, block: int, live: State) -> Waves:
    """A copy of some waves at a block, with the registers that are live there; other memory is never touched."""
    if rows is None:
        group.block = block
        return group
    vector = np.empty((group.vector.shape[0], len(rows), group.vector.shape[2]), np.uint32)
    for row in live.vectors:
        vector[row] = group.vector[row].take(rows, axis=0)
    pairs = np.empty((64, len(rows), 2), np.uint32)
    whole = pairs.view(np.uint64)[:, :, 0]
    for pair in _pairs(live):
        whole[pair] = group.pairs64[pair].take(rows)
    return _waves(group.batch, group.ids[rows], vector, pairs, group.scc[rows], block, group.steps)


def _merged(groups: Sequence[Waves], live: State) -> tuple[Waves, NDArray[np.int64]]:
    """Groups at one block put together, in order of their numbers; and that order."""
    ids = np.concatenate([group.ids for group in groups])
    order = np.argsort(ids, kind="stable")
    first = groups[0]
    vector = np.empty((first.vector.shape[0], len(ids), first.vector.shape[2]), np.uint32)
    for row in live.vectors:
        vector[row] = np.concatenate([group.vector[row] for group in groups])[order]
    pairs = np.empty((64, len(ids), 2), np.uint32)
    for pair in _pairs(live):
        pairs[pair] = np.concatenate([group.pairs[pair] for group in groups])[order]
    scc = np.concatenate([group.scc for group in groups])[order]
    steps = max(group.steps for group in groups)
    return _waves(first.batch, ids[order], vector, pairs, scc, first.block, steps), order


def _alike(groups: Sequence[_Group], live: State) -> list[_Group]:
    """Groups at one block, those of one form put together."""
    if len(groups) == 1:
        return list(groups)
    forms: dict[Any, list[_Group]] = {}
    for pair in groups:
        forms.setdefault(pair[1].lanes.form(), []).append(pair)
    result = []
    for members in forms.values():
        if len(members) == 1:
            result += members
            continue
        group, order = _merged([waves for waves, _ in members], live)
        counts = [waves.count for waves, _ in members]
        lanes = Lanes.joined([together.lanes for _, together in members], counts, order)
        result.append((group, Together(lanes)))
    return result
