"""Run a slice for many programs at once, and note the columns that each stores to.

Every program is a workgroup of a launch of its own: its kernel arguments are its own, so that programs of thousands of
launches (context lengths, widths, splits) run in lockstep. Waves that have stored nothing yet and whose live registers
are equal do the same from there on: one of them is run, the others are given its result. That is exact, since liveness
says that nothing else is read; and most of thousands of launches come down to the same few hundred chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control
from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.findings import Access
from aiterfix.gfx950.launch import Launch, _initial_waves
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.gfx950.waves import Waves
from aiterfix.overshoot.programs import LaunchShape, scalar_arguments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.signature import KernelConfig
    from aiterfix.overshoot.slicing import Slice

_OUTPUT = 0x2000_0000_0000
"""Where the output would be. No allocation is there: every store is reported, and none performed."""
_OUTPUT_SPAN = 1 << 32
_NULL_POINTERS = 0x3000_0000_0000
_SEQUENCE_BYTES = 64
_BATCH_WAVES = 8192
_ALIKE_ROWS = 2
"""Waves are compared where no more vector registers than this are live: later it costs more than it saves."""
_STEP_LIMIT = 5_000_000


class _NumberedBatch(Batch):
    """Waves are numbered through all batches, and take the place of workgroups in what is reported of them."""

    def workgroup_of(self, wave_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The number of each wave."""
        return wave_ids + self.first_workgroup * self.waves_per_workgroup


class _Watch:
    """Takes the place of the recorder of faults: stores to the output are what is looked for.

    Attributes:
        ends: for each wave, one past the last column stored to.
        like: for each wave, the number of the one that runs in its stead; its own while it runs itself.
        known: by block, the live registers of waves that entered it, and one of their numbers.
    """

    def __init__(self, code: CodeObject, waves: int) -> None:
        self._code = code
        self.ends: NDArray[np.int64] = np.zeros(waves, np.int64)
        self.like: NDArray[np.int64] = np.arange(waves, dtype=np.int64)
        self.known: dict[int, dict[bytes, int]] = {}

    def resolve(self) -> NDArray[np.int64]:
        """The ends, those of waves that others ran for included."""
        while True:
            ends = np.maximum(self.ends, self.ends[self.like])
            if (ends == self.ends).all():
                return ends
            self.ends = ends

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


def stored_ends(
    part: Slice, kernel: CompiledKernel, config: KernelConfig, shapes: Sequence[LaunchShape]
) -> list[NDArray[np.int64]]:
    """Run the programs of these launches.

    Args:
        part: the kernel's slice.
        kernel: for the names and types of its arguments.
        config: what it is compiled for.
        shapes: launches.

    Returns:
        for each launch, for each of its programs, one past the last column stored to; 0 where nothing was stored.

    Raises:
        NotUnderstoodError: what is stored where depends on more than integers, or an instruction is not modelled.
    """
    code = part.program.code
    counts = np.array([shape.count for shape in shapes], np.int64)
    firsts = np.array([shape.first for shape in shapes], np.int64)
    launch_of = np.repeat(np.arange(len(shapes)), counts)
    identity = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts - firsts, counts)
    memory, segments, words = _memory(code, kernel, config, shapes)
    waves_per_program = -(-kernel.threads // 64)
    watch = _Watch(code, len(launch_of) * waves_per_program)
    size = max(1, _BATCH_WAVES // waves_per_program)
    for first in range(0, len(launch_of), size):
        launches = launch_of[first : first + size]
        batch = _NumberedBatch(memory, watch, first, len(launches), waves_per_program, 0, code.scratch_bytes)  # type: ignore[arg-type]
        waves = _start(part, batch, kernel.threads, segments[launches], words[launches], identity[first : first + size])
        _run(part, waves, watch)
    ends = watch.resolve().reshape(-1, waves_per_program).max(axis=1, initial=0)
    return np.split(ends, np.cumsum(counts)[:-1])


def _memory(
    code: CodeObject, kernel: CompiledKernel, config: KernelConfig, shapes: Sequence[LaunchShape]
) -> tuple[DeviceMemory, NDArray[np.int64], NDArray[np.uint32]]:
    """Device memory with every launch's arguments, their addresses, and the same as dwords."""
    memory = DeviceMemory()
    # A context length stands alone: a kernel that read its neighbour would read nonsense, not another launch's.
    sequences = np.full((len(shapes), _SEQUENCE_BYTES // 4), 0x7ABC_DEF0, np.int32)
    sequences[:, 0] = [shape.context_length for shape in shapes]
    schedules = np.full((len(shapes), _SEQUENCE_BYTES // 4), 0x7ABC_DEF0, np.int32)
    schedules[:, 0] = [shape.splits for shape in shapes]
    context = memory.allocate("context_len_ptr", sequences).address
    schedule = memory.allocate("safe_chunks_per_cta_ptr", schedules).address
    size = -(-max(code.descriptor.kernarg_bytes, 16) // 16) * 16
    bits = np.zeros((len(shapes), size), np.uint8)
    index = np.arange(len(shapes), dtype=np.int64)
    pointers = {
        "context_len_ptr": context + index * _SEQUENCE_BYTES,
        "safe_chunks_per_cta_ptr": schedule + index * _SEQUENCE_BYTES,
        "OutLogits_buffer": np.full(len(shapes), _OUTPUT),
    }
    scalars = [scalar_arguments(config, shape) for shape in shapes]
    for position, (name, kind) in enumerate(kernel.arguments):
        if position >= len(code.kernarg):
            raise NotUnderstoodError(f"the code object of {kernel.function} takes fewer arguments than its source says")
        argument = code.kernarg[position]
        if kind.startswith("*"):
            values: Any = pointers.get(name, np.full(len(shapes), _NULL_POINTERS))
        else:
            values = np.array([row[name] for row in scalars], np.int64)
        if argument.size not in (4, 8) or argument.is_pointer != kind.startswith("*"):
            raise NotUnderstoodError(f"the code object of {kernel.function} declares {name} otherwise than its source")
        raw = np.ascontiguousarray(values, np.int64).view(np.uint8).reshape(len(shapes), 8)
        bits[:, argument.offset : argument.offset + argument.size] = raw[:, : argument.size]
    segment = memory.allocate("kernel arguments", bits, align=256)
    return memory, segment.address + index * size, bits.view(np.uint32)


def _start(
    part: Slice,
    batch: Batch,
    threads: int,
    segments: NDArray[np.int64],
    words: NDArray[np.uint32],
    identity: NDArray[np.int64],
) -> Waves:
    """Waves as the hardware sets them up, each program with the arguments of its own launch."""
    code = part.program.code
    descriptor = code.descriptor
    launch = Launch(grid=(batch.workgroups, 1, 1), block=(threads, 1, 1))
    waves = _initial_waves(code, part.program, batch, launch, 0, np.zeros(16, np.uint8))
    program = waves.ids // batch.waves_per_workgroup
    register = 0
    if descriptor.kernarg_pointer:
        waves.scalar[0][...] = (segments & 0xFFFF_FFFF)[program]
        waves.scalar[1][...] = (segments >> 32)[program]
        register = 2
    for k in range(descriptor.preload_length):
        place = descriptor.preload_offset + k
        if place < words.shape[1]:
            waves.scalar[register + k][...] = words[:, place][program]
    if not descriptor.workgroup_ids[0]:
        raise NotUnderstoodError(f"kernel {code.name} does not ask which program it is")
    waves.scalar[descriptor.user_sgprs][...] = identity[program]
    # Which registers were ever written is the whole machine's concern.
    return Waves(batch, waves.ids, waves.vector, waves.pairs, waves.scc, waves.written[:, :0], waves.block, 0)


def _run(part: Slice, waves: Waves, watch: _Watch) -> None:
    """Execute until every wave has ended; the group furthest back goes first, as in the whole machine."""
    ready = [waves]
    with np.errstate(all="ignore"):
        while ready:
            number = min(group.block for group in ready)
            here = [group for group in ready if group.block == number]
            ready = [group for group in ready if group.block != number]
            block = part.blocks[number]
            group = here[0] if len(here) == 1 else _merged(here, block.vectors)
            if len(block.vectors) <= _ALIKE_ROWS and not block.spilled and not block.stored:
                group = _distinct(part, group, watch)
                if not group.count:
                    continue
            for item in block.kept:
                item.execute(group)
            group.steps += len(block.kept)
            if group.steps > _STEP_LIMIT:
                raise NotUnderstoodError(f"kernel {part.program.code.name} loops without end in block {number}")
            _leave(part, group, ready)


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
            other = _selected(group, np.flatnonzero(taken), part.blocks[target].vectors)
            other.block = target
            ready.append(other)
            group = _selected(group, np.flatnonzero(~taken), part.blocks[after].vectors)
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


def _distinct(part: Slice, group: Waves, watch: _Watch) -> Waves:
    """Waves whose live registers no earlier wave had at this block; the others are noted to be like one that had."""
    block = part.blocks[group.block]
    columns = [group.scalar[code][:, np.newaxis] for code in block.scalars]
    if 0 in block.vectors and part.keeps_identity:
        # The lanes' numbers within the program, as they were at the start.
        columns.append((group.ids % group.batch.waves_per_workgroup).astype(np.uint32)[:, np.newaxis])
    columns += [group.vector[row] for row in block.vectors if row or not part.keeps_identity]
    if block.scc:
        columns.append(group.scc[:, np.newaxis].astype(np.uint32))
    if not columns:
        return group
    state = np.ascontiguousarray(np.concatenate(columns, axis=1))
    rows = state.view(np.dtype((np.void, state.shape[1] * 4)))[:, 0]
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    numbers = group.batch.workgroup_of(group.ids)
    known = watch.known.setdefault(group.block, {})
    chosen = np.empty(len(first), np.int64)
    fresh = []
    for position, index in enumerate(first.tolist()):
        number = int(numbers[index])
        chosen[position] = known.setdefault(rows[index].tobytes(), number)
        if chosen[position] == number:
            fresh.append(index)
    if len(fresh) == group.count:
        return group
    watch.like[numbers] = chosen[inverse.reshape(-1)]
    return _selected(group, np.sort(np.array(fresh, np.int64)), block.vectors)
