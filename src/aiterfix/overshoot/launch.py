"""What a launch sets up: its arguments in memory, and the registers that its programs begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.overshoot.groups import waves_at
from aiterfix.overshoot.programs import DECIDING, Launches, scalar_arguments
from aiterfix.overshoot.watch import OUTPUT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.family.signature import KernelConfig
    from aiterfix.gfx950.batch import Batch
    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.slicing import Slice

_NULL_POINTERS = 0x3000_0000_0000
_SEQUENCE_BYTES = 64


def lay_out(
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
        "OutLogits_buffer": np.full(count, OUTPUT),
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


def start(
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
    return waves_at(batch, np.arange(count), vector, pairs, np.zeros(count, np.bool_), part.entry, 0)
