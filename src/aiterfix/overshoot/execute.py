"""Run a slice for many programs at once, and note the columns that each stores to.

Every program is a workgroup of a launch of its own: its kernel arguments are its own, so that programs of thousands of
launches (context lengths, widths, splits) run in lockstep. What is equal is run once:

- The waves of a program differ in the lanes' numbers only. Until an instruction reads those, one wave stands for all.
- Waves that have stored nothing yet and whose live registers are equal do the same from there on: one of them is run,
  the others are given its result. That is exact, since liveness says that nothing else is read; and most of millions
  of programs come down to the same few thousand chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control
from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.findings import Access
from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.gfx950.waves import Waves
from aiterfix.overshoot.programs import DECIDING, Launches, LaunchShape, scalar_arguments

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
_PROGRAMS = 4096
"""Programs that are run together while one wave stands for each."""
_WAVES = 8192
"""Waves that are run together after that."""
_ALIKE_ROWS = 2
"""Waves are compared where no more vector registers than this are live: later it costs more than it saves."""
_STEP_LIMIT = 5_000_000


@dataclass(frozen=True)
class Stored:
    """What the programs of one launch stored.

    Attributes:
        ends: for each program, one past the last column stored to; 0 where nothing was stored.
        like: for each program, the number of a program that did the same from some place on: equal where two programs
            came to equal states.
    """

    ends: NDArray[np.int64]
    like: NDArray[np.int64]


class _NumberedBatch(Batch):
    """Waves of any programs: they are numbered through all of them, and take the place of workgroups in reports.

    Attributes:
        numbers: for each wave of the batch, its number.
    """

    def __init__(
        self, memory: DeviceMemory, watch: _Watch, numbers: NDArray[np.int64], waves: int, scratch_bytes: int
    ) -> None:
        super().__init__(memory, watch, 0, -(-len(numbers) // waves), waves, 0, scratch_bytes)  # type: ignore[arg-type]
        self.numbers = numbers

    def workgroup_of(self, wave_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each wave."""
        return self.numbers[wave_ids]


class _Watch:
    """Takes the place of the recorder of faults: stores to the output are what is looked for.

    Attributes:
        ends: for each wave, one past the last column stored to.
        like: for each wave, the number of the one that runs in its stead; its own while it runs itself.
        program_like: the same for programs that one wave still stood for.
        known: by place, the live registers of waves that came there, and one of their numbers.
    """

    def __init__(self, code: CodeObject, programs: int, waves: int) -> None:
        self._code = code
        self.waves = waves
        self.ends: NDArray[np.int64] = np.zeros(programs * waves, np.int64)
        self.like: NDArray[np.int64] = np.arange(programs * waves, dtype=np.int64)
        self.program_like: NDArray[np.int64] = np.arange(programs, dtype=np.int64)
        self.known: dict[tuple[int, bool], dict[bytes, int]] = {}

    def resolve(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ends of programs, those that others ran for included; and which program did the same as each."""
        # A wave that another runs for has stored nothing itself.
        ends = self.ends[_roots(self.like)].reshape(-1, self.waves).max(axis=1, initial=0)
        roots = _roots(self.program_like)
        return ends[roots], roots

    def outside(
        self,
        access: Access,
        instruction: Any,
        addresses: NDArray[np.int64],
        lanes: NDArray[np.int64],
        workgroups: NDArray[np.int64],
        base: int | None = None,
    ) -> None:
        place = self._code.source_line(instruction.pc)
        where = instruction.describe() + (f", {place}" if place else "")
        if access is not Access.STORE:
            raise NotUnderstoodError(
                f"where the kernel stores depends on memory that only data decide: {where}",
                why="the integer part of a kernel is run without tensors",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        offsets = addresses - _OUTPUT
        if ((offsets < 0) | (offsets >= _OUTPUT_SPAN)).any():
            raise NotUnderstoodError(
                f"the kernel stores to something that is not its output: {where}",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        # Accesses come in order of their waves, so that equal workgroups stand together.
        starts = np.flatnonzero(np.diff(workgroups, prepend=-1))
        np.maximum.at(self.ends, workgroups[starts], np.maximum.reduceat(offsets, starts) // 4 + 1)

    def finding(self, kind: Any, instruction: Any, detail: str, workgroups: Any = None, count: int = 0) -> None:
        raise NotUnderstoodError(f"{instruction.describe()}: {detail}")


def _roots(like: NDArray[np.int64]) -> NDArray[np.int64]:
    while True:
        further = like[like]
        if (further == like).all():
            return like
        like = further


def stored_ends(
    part: Slice, kernel: CompiledKernel, config: KernelConfig, shapes: Sequence[LaunchShape]
) -> list[Stored]:
    """Run the programs of these launches.

    Args:
        part: the kernel's slice.
        kernel: for the names and types of its arguments.
        config: what it is compiled for.
        shapes: launches.

    Returns:
        for each launch, what its programs stored.

    Raises:
        NotUnderstoodError: what is stored where depends on more than integers, or an instruction is not modelled.
    """
    code = part.program.code
    check_arguments(part, kernel)
    if not shapes:
        return []
    table = Launches.of(shapes)
    total = int(table.count.sum())
    launch_of = np.repeat(np.arange(len(shapes)), table.count)
    identity = np.arange(total) - np.repeat(np.cumsum(table.count) - table.count - table.first, table.count)
    memory, segments, words = _memory(code, kernel, config, table)
    if kernel.threads % 64:
        raise NotUnderstoodError(f"{kernel.function} has {kernel.threads} threads, which are no whole waves")
    waves = kernel.threads // 64
    watch = _Watch(code, total, waves)
    later: dict[int, list[_Paused]] = {}
    run = _Run(part, watch, words, launch_of, later)
    for first in range(0, total, _PROGRAMS):
        chosen = slice(first, min(first + _PROGRAMS, total))
        numbers = np.arange(chosen.start, chosen.stop)
        launches = launch_of[chosen]
        batch = _NumberedBatch(memory, watch, numbers * waves, 1, 0)
        run.to_the_end(_start(part, batch, segments[launches], words[launches], identity[chosen]), wide=False)
    size = max(1, _WAVES // waves)
    for number, paused in sorted(later.items()):
        run.resume(number, _together(paused), memory, size)
    ends, like = watch.resolve()
    cuts = np.cumsum(table.count)[:-1]
    return [Stored(*pair) for pair in zip(np.split(ends, cuts), np.split(like, cuts), strict=True)]


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
    identity: NDArray[np.int64],
) -> Waves:
    """The first wave of each program as the hardware sets it up, with the arguments of its own launch."""
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
            set_scalar(register + k, words[:, place])
    if not descriptor.workgroup_ids[0]:
        raise NotUnderstoodError(f"kernel {program.code.name} does not ask which program it is")
    set_scalar(descriptor.user_sgprs, identity)
    for code in (EXEC, EXEC + 1):
        set_scalar(code, 0xFFFF_FFFF)
    vector = np.empty((program.code.vgprs + program.code.agprs, count, 64), np.uint32)
    for row in part.blocks[part.entry].entry.vectors:
        vector[row] = np.arange(64) if row == 0 else 0
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
    return Waves(batch, ids, vector, pairs, scc, np.zeros((len(ids), 0), np.bool_), block, steps)


@dataclass(frozen=True)
class _Paused:
    """Programs that came to a block where their waves part: their state, still one wave's."""

    numbers: NDArray[np.int64]
    pairs: NDArray[np.uint32]
    scc: NDArray[np.bool_]
    vectors: NDArray[np.uint32]


def _together(parts: list[_Paused]) -> _Paused:
    return _Paused(
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.pairs for part in parts], axis=1),
        np.concatenate([part.scc for part in parts]),
        np.concatenate([part.vectors for part in parts], axis=1),
    )


class _Run:
    """Programs on their way through a slice.

    Attributes:
        later: by block, the programs that wait there to be continued with all their waves.
    """

    def __init__(
        self,
        part: Slice,
        watch: _Watch,
        words: NDArray[np.uint32],
        launch_of: NDArray[np.int64],
        later: dict[int, list[_Paused]],
    ) -> None:
        self.part = part
        self.watch = watch
        self.words = words
        self.launch_of = launch_of
        self.later = later

    def to_the_end(self, waves: Waves, *, wide: bool, cut: int = 0) -> None:
        """Execute until every wave has ended or waits; the group furthest back goes first, as in the machine.

        Args:
            waves: one for each program, or all.
            wide: whether it is all.
            cut: how many instructions of their first block they have behind them.
        """
        ready = [waves]
        with np.errstate(all="ignore"):
            while ready:
                number = min(group.block for group in ready)
                here = [group for group in ready if group.block == number]
                ready = [group for group in ready if group.block != number]
                block = self.part.blocks[number]
                group = here[0] if len(here) == 1 else _merged(here, block.entry.vectors)
                if not cut:
                    group = self._distinct(group, block.entry, (2 * number, wide), stored=block.stored)
                if not group.count:
                    continue
                if block.cut is not None and not wide:
                    self._execute(group, block.kept[: block.cut])
                    group = self._distinct(group, block.at_cut, (2 * number + 1, wide), stored=block.stored)
                    self._pause(group, block.at_cut)
                    continue
                self._execute(group, block.kept[cut:])
                cut = 0
                if group.steps > _STEP_LIMIT:
                    raise NotUnderstoodError(
                        f"kernel {self.part.program.code.name} loops without end in block {number}"
                    )
                _leave(self.part, group, ready)

    def resume(self, number: int, paused: _Paused, memory: DeviceMemory, size: int) -> None:
        """Continue programs with all their waves, ``size`` programs at a time."""
        block = self.part.blocks[number]
        waves = self.watch.waves
        code = self.part.program.code
        for first in range(0, len(paused.numbers), size):
            chosen = slice(first, first + size)
            numbers = (paused.numbers[chosen, np.newaxis] * waves + np.arange(waves)).reshape(-1)
            batch = _NumberedBatch(memory, self.watch, numbers, waves, code.scratch_bytes)
            vector = np.empty((code.vgprs + code.agprs, len(numbers), 64), np.uint32)
            # What is in the first wave's registers is in the others', but for the lanes' numbers.
            for place, row in enumerate(block.at_cut.vectors):
                vector[row] = np.repeat(paused.vectors[place, chosen], waves, axis=0)
            if 0 in block.at_cut.vectors:
                vector[0] = np.arange(len(numbers))[:, np.newaxis] % waves * 64 + np.arange(64)
            group = _waves(
                batch,
                np.arange(len(numbers)),
                vector,
                np.repeat(paused.pairs[:, chosen], waves, axis=1),
                np.repeat(paused.scc[chosen], waves),
                number,
                0,
            )
            assert block.cut is not None
            # What came before the cut is behind them; a cut of 0 is none.
            self.to_the_end(group, wide=True, cut=block.cut)

    def _pause(self, group: Waves, live: State) -> None:
        if group.count:
            numbers = group.batch.workgroup_of(group.ids) // self.watch.waves
            vectors = np.empty((len(live.vectors), group.count, 64), np.uint32)
            for place, row in enumerate(live.vectors):
                vectors[place] = group.vector[row]
            self.later.setdefault(group.block, []).append(_Paused(numbers, group.pairs.copy(), group.scc, vectors))

    def _execute(self, group: Waves, kept: tuple[SlicedInstruction, ...]) -> None:
        for item in kept:
            if item.arguments:
                words = self.words[self._launches(group)]
                for register, word in item.arguments:
                    group.scalar[register][...] = words[:, word]
            else:
                item.execute(group)
        group.steps += len(kept)

    def _launches(self, group: Waves) -> NDArray[np.int64]:
        launches: NDArray[np.int64] = self.launch_of[group.batch.workgroup_of(group.ids) // self.watch.waves]
        return launches

    def _distinct(self, group: Waves, live: State, place: tuple[int, bool], *, stored: bool) -> Waves:
        """Waves whose live registers no earlier wave had here; the others are noted to be like one that had."""
        wide = place[1]
        watch = self.watch
        # One wave stands for a program only while the register holds the lanes' numbers.
        numbered = not wide or self.part.blocks[group.block].numbered
        if live.spilled or len(live.vectors) > _ALIKE_ROWS:
            return group
        if stored and (wide or watch.ends[group.batch.workgroup_of(group.ids)].any()):
            return group
        columns = [group.scalar[code][:, np.newaxis] for code in live.scalars]
        if live.arguments:
            columns.append(self.words[self._launches(group)][:, list(live.arguments)])
        if wide and 0 in live.vectors and numbered:
            # The lanes' numbers within the program, as they were at the start.
            columns.append((group.ids % watch.waves).astype(np.uint32)[:, np.newaxis])
        columns += [group.vector[row] for row in live.vectors if row or not numbered]
        if live.scc:
            columns.append(group.scc[:, np.newaxis].astype(np.uint32))
        if not columns:
            columns.append(np.zeros((group.count, 1), np.uint32))
        state = np.ascontiguousarray(np.concatenate(columns, axis=1))
        rows = state.view(np.dtype((np.void, state.shape[1] * 4)))[:, 0]
        _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
        numbers = group.batch.workgroup_of(group.ids)
        known = watch.known.setdefault(place, {})
        chosen = np.empty(len(first), np.int64)
        fresh = []
        for position, index in enumerate(first.tolist()):
            number = int(numbers[index])
            chosen[position] = known.setdefault(rows[index].tobytes(), number)
            if chosen[position] == number:
                fresh.append(index)
        if len(fresh) == group.count:
            return group
        if wide:
            watch.like[numbers] = chosen[inverse.reshape(-1)]
        else:
            watch.program_like[numbers // watch.waves] = chosen[inverse.reshape(-1)] // watch.waves
        return _selected(group, np.sort(np.array(fresh, np.int64)), live.vectors)


def _leave(part: Slice, group: Waves, ready: list[Waves]) -> None:
    program = part.program
    block = program.blocks[group.block]
    last = block.last
    if last.mnemonic == control.END:
        return
    if last.mnemonic == control.BRANCH:
        group.block = program.block_at(control.branch_target(last), last)
    elif last.mnemonic in control.CONDITIONS:
        taken = control.taken(last, group)
        target, after = program.block_at(control.branch_target(last), last), program.block_at(last.end, last)
        if taken.any() and not taken.all():
            other = _selected(group, np.flatnonzero(taken), part.blocks[target].entry.vectors)
            other.block = target
            ready.append(other)
            group = _selected(group, np.flatnonzero(~taken), part.blocks[after].entry.vectors)
            group.block = after
        else:
            group.block = target if taken.all() else after
    else:
        group.block = program.block_at(last.end, last)
    ready.append(group)


def _selected(group: Waves, rows: NDArray[np.int64], live: tuple[int, ...]) -> Waves:
    """A copy of some waves, with the vector registers that are live; the others' memory is never touched."""
    vector = np.empty((group.vector.shape[0], len(rows), 64), np.uint32)
    for row in live:
        vector[row] = group.vector[row][rows]
    return Waves(
        group.batch,
        group.ids[rows],
        vector,
        np.ascontiguousarray(group.pairs[:, rows]),
        group.scc[rows],
        group.written[rows],
        group.block,
        group.steps,
    )


def _merged(groups: list[Waves], live: tuple[int, ...]) -> Waves:
    ids = np.concatenate([group.ids for group in groups])
    order = np.argsort(ids, kind="stable")
    vector = np.empty((groups[0].vector.shape[0], len(ids), 64), np.uint32)
    for row in live:
        vector[row] = np.concatenate([group.vector[row] for group in groups])[order]
    return Waves(
        groups[0].batch,
        ids[order],
        vector,
        np.ascontiguousarray(np.concatenate([group.pairs for group in groups], axis=1)[:, order]),
        np.concatenate([group.scc for group in groups])[order],
        np.concatenate([group.written for group in groups])[order],
        groups[0].block,
        max(group.steps for group in groups),
    )
