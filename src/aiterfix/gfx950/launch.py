"""Launching a kernel: kernarg segment, initial registers, batches, threads, and the result."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import UsageError
from aiterfix.gfx950 import control, semantics
from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.blas import one_thread
from aiterfix.gfx950.blocks import PRELOAD_ENTRY
from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.lds_watch import LdsWatch
from aiterfix.gfx950.machine import Machine
from aiterfix.gfx950.memory import Allocation, DeviceMemory, aligned_bytes
from aiterfix.gfx950.operands import VECTOR_BASE
from aiterfix.gfx950.program import Program
from aiterfix.gfx950.recorder import Recorder
from aiterfix.gfx950.waves import Waves
from aiterfix.gfx950.workspace import borrow, without_collector

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject, KernelArgument
    from aiterfix.gfx950.findings import InstructionFinding, Violation
    from aiterfix.gfx950.kernel_descriptor import KernelDescriptor

DEFAULT_STEP_LIMIT = 5_000_000
_BATCH_WAVES = 512
"""Waves of a batch: fewer spend more of the time in Python, more leave the cache with every instruction."""

ArgumentValue = int | float | Allocation | None


@dataclass(frozen=True)
class Launch:
    """What a host would pass at launch.

    Attributes:
        grid: workgroups in x, y, z.
        block: work-items of a workgroup in x, y, z.
        args: values by argument name or, as a sequence, in order. Pointers take an ``Allocation``, an address, or
            None for a null pointer. Arguments that Triton appends (scratch pointers) may be left out: they are 0.
        lds_bytes: LDS of a workgroup asked for at launch, on top of the kernel's static size. Triton's kernels get
            all of theirs this way: pass the compiled kernel's ``metadata.shared``.
    """

    grid: tuple[int, int, int]
    block: tuple[int, int, int] = (256, 1, 1)
    args: Mapping[str, ArgumentValue] | Sequence[ArgumentValue] = ()
    lds_bytes: int = 0


@dataclass(frozen=True)
class RunResult:
    """What a run did.

    Attributes:
        violations: accesses outside every allocation.
        findings: other faults: LDS, scratch, registers never written, missing waits.
        wave_instructions: instructions executed, counted once a wave.
        seconds: wall time of the execution.
        by_group: group of instructions to (wave-instructions, seconds); seconds are 0 unless profiled.
        by_opcode: mnemonic to the same.
    """

    violations: tuple[Violation, ...]
    findings: tuple[InstructionFinding, ...]
    wave_instructions: int
    seconds: float
    by_group: Mapping[str, tuple[int, float]] = field(repr=False)
    by_opcode: Mapping[str, tuple[int, float]] = field(repr=False)


@without_collector()
def run(
    code: CodeObject,
    memory: DeviceMemory,
    launch: Launch,
    *,
    step_limit: int = DEFAULT_STEP_LIMIT,
    batch_workgroups: int | None = None,
    threads: int | None = None,
    profile: bool = False,
) -> RunResult:
    """Execute a kernel over its whole grid.

    Args:
        memory: every allocation that the arguments point to; changed by the kernel's stores.
        step_limit: instructions that one wave may execute.
        batch_workgroups: workgroups executed together; chosen for the cache if None.
        threads: threads to spread the batches over (numpy computes outside the interpreter lock); at most two by
            default. Workgroups of different batches run concurrently, as on hardware.
        profile: measure time by instruction; costs a few per cent.

    Raises:
        UsageError: arguments that do not fit the kernel.
        UnmodelledInstructionError: the kernel needs something that is not modelled.
        StepLimitError: an endless loop.
    """
    items = math.prod(launch.block)
    workgroups = math.prod(launch.grid)
    if items < 1 or items > code.workgroup_size:
        raise UsageError(f"Kernel {code.name} takes 1 to {code.workgroup_size} work-items, not {items}.")
    if min(launch.grid) < 1:
        raise UsageError(f"The grid {launch.grid} holds no workgroup.")
    program = program_of(code)
    kernarg, names = kernarg_of(code, launch)
    code_address = 0
    if any(name in control.OWN_ADDRESS for name in program.mnemonics[0]):
        memory, code_address = _with_code(memory, code)
    lds_bytes = code.lds_bytes + launch.lds_bytes
    # The segment is read through device memory of its own view, so that a caller's memory does not grow with runs.
    visible = memory.extended(kernarg)
    recorder = Recorder(code, visible, names)
    segment = next(a for a in visible if a.name == kernarg.name and a.data is kernarg.data)
    packet_address = 0
    if code.descriptor.dispatch_pointer:
        packet = _dispatch_packet(code, launch, segment.address, lds_bytes)
        visible = visible.extended(packet)
        recorder = Recorder(code, visible, names)
        packet_address = next(a.address for a in visible if a.data is packet.data)
    pointers = _user_registers(code.descriptor, packet_address, segment.address)
    waves_per_workgroup = -(-items // 64)
    size = batch_workgroups or max(1, _BATCH_WAVES // waves_per_workgroup)
    threads = threads or min(2, os.cpu_count() or 1)
    if batch_workgroups is None and workgroups < size * threads:
        size = max(1, -(-workgroups // threads))
    starts = range(0, workgroups, size)

    def run_batch(first: int) -> Machine:
        count = min(size, workgroups - first)
        batch = Batch(visible, recorder, first, count, waves_per_workgroup, lds_bytes, code.scratch_bytes)
        batch.counted_rows = program.counted_rows
        batch.code_address = code_address
        if lds_bytes and (waves_per_workgroup > 1 or program.loads_to_lds):
            batch.lds_watch = LdsWatch(batch, program.lds_cell, program.loads_to_lds, program.barriers)
        machine = Machine(batch, program, step_limit, profile)
        machine.run(_initial_waves(code, program, batch, launch, pointers, kernarg.data))
        batch.lds_watch = None  # which knows the batch: so that its memory is free without a search for cycles
        return machine

    started = perf_counter()
    with one_thread():
        if threads == 1 or len(starts) == 1:
            machines = [run_batch(first) for first in starts]
        else:
            with ThreadPoolExecutor(threads) as pool:
                machines = list(pool.map(run_batch, starts))
    seconds = perf_counter() - started
    program.report_missing_waits(recorder, set().union(*(machine.edges for machine in machines)))
    return _result(program, recorder, machines, seconds)


def _with_code(memory: DeviceMemory, code: CodeObject) -> tuple[DeviceMemory, int]:
    """A memory in which the loaded code object lies as well, and the address of the kernel there."""
    image, start = code.image()
    data = aligned_bytes(len(image))
    data[: len(image)] = np.frombuffer(image, np.uint8)
    visible = memory.extended(Allocation("code object", 0, len(image), 4, data))
    return visible, start + next(a.address for a in visible if a.data is data)


def program_of(code: CodeObject) -> Program:
    """The kernel's executable form, made once for each code object."""
    program: Program = code.__dict__.get("_program") or code.__dict__.setdefault("_program", Program(code))
    return program


def kernarg_of(code: CodeObject, launch: Launch) -> tuple[Allocation, dict[int, str]]:
    """The kernarg segment, not yet placed, and allocation address to argument name."""
    args = launch.args
    hidden_values = _hidden(launch)
    given: dict[str, ArgumentValue] = {}
    if isinstance(args, Mapping):
        given.update(args)
        unknown = set(given) - {argument.name for argument in code.kernarg}
        if unknown:
            raise UsageError(
                f"Kernel {code.name} has no argument {', '.join(sorted(unknown))}.",
                why=f"Its arguments are {', '.join(a.name for a in code.kernarg)}.",
                remedy="Name them with CodeObject.with_argument_names, or pass a sequence.",
            )
    else:
        if len(args) > len(code.kernarg):
            raise UsageError(f"Kernel {code.name} takes {len(code.kernarg)} arguments; {len(args)} were given.")
        given.update({argument.name: value for argument, value in zip(code.kernarg, args, strict=False)})
    hidden = _trailing_pointers(code)
    data = bytearray(max(code.descriptor.kernarg_bytes, 16))
    names: dict[int, str] = {}
    for argument in code.kernarg:
        if argument.kind in hidden_values:
            data[argument.offset : argument.offset + argument.size] = _encoded(argument, hidden_values[argument.kind])
            continue
        if argument.name not in given:
            if argument not in hidden and not argument.kind.startswith("hidden_"):
                raise UsageError(f"Kernel {code.name} needs a value for its argument {argument.name}.")
            continue
        value = given[argument.name]
        data[argument.offset : argument.offset + argument.size] = _encoded(argument, value)
        if isinstance(value, Allocation):
            known = names.get(value.address)
            names[value.address] = argument.name if known is None else f"{known}, {argument.name}"
    contents = np.zeros(-(-len(data) // 16) * 16, np.uint8)
    contents[: len(data)] = np.frombuffer(data, np.uint8)
    aligned = np.zeros(len(contents) // 16, np.complex128).view(np.uint8)
    aligned[:] = contents
    return Allocation("kernel arguments", 0, len(data), 4, aligned), names


def _user_registers(descriptor: KernelDescriptor, packet: int, kernarg: int) -> tuple[int | None, ...]:
    """What the pairs of user SGPRs begin with. The queue and the number of a dispatch are not modelled: their registers
    count as never written, so that a kernel which uses them is found out; compilers ask for them and do not."""
    asked = (
        (descriptor.dispatch_pointer, packet),
        (descriptor.queue_pointer, None),
        (descriptor.kernarg_pointer, kernarg),
        (descriptor.dispatch_id, None),
    )
    return tuple(value for enabled, value in asked if enabled)


def _dispatch_packet(code: CodeObject, launch: Launch, kernarg_address: int, lds_bytes: int) -> Allocation:
    """The AQL packet that the launch would have been queued as, not yet placed: 64 bytes, as the HSA runtime
    specification lays out ``hsa_kernel_dispatch_packet_t``. Completion signal and kernel object are null."""
    items = [groups * size for groups, size in zip(launch.grid, launch.block, strict=True)]
    header = 2  # HSA_PACKET_TYPE_KERNEL_DISPATCH
    packed = struct.pack(
        "<6H5IQQQQ",
        *(header, _dimensions(launch), *launch.block, 0),
        *(*items, code.scratch_bytes, lds_bytes),
        *(0, kernarg_address, 0, 0),
    )
    data = aligned_bytes(len(packed))
    data[: len(packed)] = np.frombuffer(packed, np.uint8)
    return Allocation("dispatch packet", 0, len(packed), 4, data)


def _hidden(launch: Launch) -> dict[str, int]:
    """Values of the arguments that the runtime appends, by kind; those of others (host calls, heaps) stay null."""
    values = {"hidden_grid_dims": _dimensions(launch)}
    for axis, groups, size in zip("xyz", launch.grid, launch.block, strict=True):
        values |= {f"hidden_block_count_{axis}": groups, f"hidden_group_size_{axis}": size}
    return values


def _dimensions(launch: Launch) -> int:
    return 3 if launch.grid[2] > 1 else 2 if launch.grid[1] > 1 else 1


def _trailing_pointers(code: CodeObject) -> list[KernelArgument]:
    """The pointers at the end that Triton appends: global scratch, and profile scratch from 3.5 on.

    From 3.9 on hidden arguments may follow them.
    """
    tail: list[KernelArgument] = []
    for argument in reversed([a for a in code.kernarg if not a.kind.startswith("hidden_")]):
        if len(tail) == 2 or not argument.is_pointer:
            break
        tail.append(argument)
    return tail


def _encoded(argument: KernelArgument, value: ArgumentValue) -> bytes:
    if isinstance(value, Allocation):
        value = value.address
    if value is None:
        value = 0
    if isinstance(value, float):
        formats = {2: "<e", 4: "<f", 8: "<d"}
        if argument.size not in formats or argument.is_pointer:
            raise UsageError(f"Argument {argument.name} ({argument.kind}, {argument.size} bytes) takes no float.")
        return struct.pack(formats[argument.size], value)
    bits = 8 * argument.size
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise UsageError(f"{value} does not fit into argument {argument.name} of {argument.size} bytes.")
    return (int(value) & (1 << bits) - 1).to_bytes(argument.size, "little")


def _initial_waves(
    code: CodeObject, program: Program, batch: Batch, launch: Launch, pointers: Sequence[int | None], kernarg: Any
) -> Waves:
    """Registers as the hardware sets them up: user SGPRs, workgroup ids, packed work-item ids, EXEC."""
    count = batch.workgroups * batch.waves_per_workgroup
    ids = np.arange(count, dtype=np.int64)
    descriptor = code.descriptor
    vector = borrow((code.vgprs + code.agprs, count, 64), np.uint32)
    vector.fill(0)
    pairs = np.zeros((64, count, 2), np.uint32)
    written = np.zeros((count, program.registers), np.bool_)

    def set_scalar(register: int, value: Any) -> None:
        pairs[register >> 1, :, register & 1] = value
        written[:, register] = True

    register = 0
    for address in pointers:
        if address is not None:
            set_scalar(register, address & 0xFFFF_FFFF)
            set_scalar(register + 1, address >> 32)
        register += 2
    words = kernarg.view(np.uint32)
    for k in range(descriptor.preload_length):
        place = descriptor.preload_offset + k
        set_scalar(register + k, words[place] if place < len(words) else 0)
    workgroup = batch.workgroup_of(ids)
    width, height, _ = launch.grid
    position = (workgroup % width, workgroup // width % height, workgroup // (width * height))
    register = descriptor.user_sgprs
    for axis, enabled in enumerate(descriptor.workgroup_ids):
        if enabled:
            set_scalar(register, position[axis])
            register += 1
    item = (ids % batch.waves_per_workgroup)[:, np.newaxis] * 64 + np.arange(64)
    x_size, y_size, _ = launch.block
    packed = item % x_size
    if descriptor.workitem_dimensions >= 1:
        packed = packed | (item // x_size % y_size) << 10
    if descriptor.workitem_dimensions >= 2:
        packed = packed | (item // (x_size * y_size)) << 20
    vector[0] = packed
    written[:, VECTOR_BASE] = True
    active = item < math.prod(launch.block)
    lanes = np.packbits(active, axis=1, bitorder="little").view(np.uint32)
    set_scalar(EXEC, lanes[:, 0])
    set_scalar(EXEC + 1, lanes[:, 1])
    entry = PRELOAD_ENTRY if descriptor.preload_length else 0
    return Waves(batch, ids, vector, pairs, np.zeros(count, np.bool_), written, program.block_at(entry), 0)


def _result(program: Program, recorder: Recorder, machines: list[Machine], seconds: float) -> RunResult:
    counts = np.sum([machine.counts for machine in machines], axis=0)
    times = np.sum([machine.seconds for machine in machines], axis=0)
    groups: dict[str, tuple[int, float]] = {}
    opcodes: dict[str, tuple[int, float]] = {}
    names, places = program.mnemonics
    sums = zip(names, np.bincount(places, counts), np.bincount(places, times), strict=True)
    for name, count, spent in ((name, int(count), float(spent)) for name, count, spent in sums if count):
        opcodes[name] = (count, spent)
        before = groups.get(group := semantics.group_of(name), (0, 0.0))
        groups[group] = (before[0] + count, before[1] + spent)
    order = dict(sorted(groups.items(), key=lambda item: (-item[1][1], -item[1][0])))
    return RunResult(
        violations=recorder.violations(),
        findings=recorder.findings(),
        wave_instructions=int(counts.sum()),
        seconds=seconds,
        by_group=order,
        by_opcode=dict(sorted(opcodes.items(), key=lambda item: (-item[1][1], -item[1][0]))),
    )
