"""Validate on this package's own gfx950 emulator: what is compiled for gfx950, executed on the CPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.portable import Portable
from aiterfix.family.reference import reference
from aiterfix.family.signature import OUTPUT, OUTPUT_BY_HEAD, STORE_STRIDE
from aiterfix.gfx950 import Allocation, CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.blas import one_thread
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.storage.children import Owner
from aiterfix.validation.calls import Calls
from aiterfix.validation.comparison import SENTINEL, compare
from aiterfix.validation.execution import (
    Execution,
    KernelCompiler,
    Launcher,
    cache_of,
    scalar_arguments,
    schedule_arguments,
)
from aiterfix.validation.interface import Subject
from aiterfix.validation.report import AccessOutside, Anomaly, CodeObjectFacts, Report, ScenarioResult
from aiterfix.validation.scenarios import Scenario, inputs_of, scenarios
from aiterfix.validation.source_lines import SourceLines
from aiterfix.validation.spread import SpreadRun

_STRIDES = (STORE_STRIDE, "stride_logits_row")
"""What kernels call the row stride of their output: aiter's, and this project's."""


UNSCHEDULED = 0x3FFFFFFF
"""What stands where the schedule kernel stores, before it does."""


class Launched(NamedTuple):
    """A launch, and the code object that it was of."""

    kernel: CompiledKernel
    execution: Execution


@dataclass
class EmulatedRun:
    """A subject on the emulator; see :class:`aiterfix.validation.interface.Prepared`.

    Attributes:
        ran: what it is, a report without results; code objects are noted there as they are launched.
        launch: compiles what is not yet, and launches. It raises CompileError where the compiler refuses or dies, and
            NotUnderstoodError where the kernel, its code object or an instruction is not understood.
        lines: what makes reports name statements, one a source.
    """

    ran: Report
    launch: Callable[[Scenario, LaunchInputs], Launched]
    lines: tuple[SourceLines, ...] = ()
    calls: Calls | None = None

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Make the inputs, launch, compare; or call."""
        if self.calls is not None and scenario.call:
            return self.calls.run(scenario)
        inputs = inputs_of(scenario)
        kernel, execution = self.launch(scenario, inputs)
        stride = next((kind for name, kind in kernel.arguments if name in _STRIDES), "i32")
        facts = CodeObjectFacts(scenario.kernel.value, scenario.config.name, kernel.sha256, stride)
        self.note(facts)
        for lines in self.lines:
            execution = lines.located(execution)
        return compare(scenario, reference(inputs), execution)

    def note(self, facts: CodeObjectFacts) -> None:
        """A code object was executed."""
        if facts not in self.ran.code_objects:
            self.ran = replace(self.ran, code_objects=(*self.ran.code_objects, facts))

    def ahead(self, scenarios: Sequence[Scenario]) -> None:
        """Nothing: one is run after another."""

    def report(self) -> Report:
        """What ran so far."""
        return self.ran


class EmulatedSubject(Subject, Protocol):
    """A subject that runs on the emulator."""

    def emulated(self, compiler: KernelCompiler, launcher: Launcher) -> EmulatedRun:
        """It, with what compiles it for gfx950 and what launches a code object."""


@dataclass
class Emulator:
    """The executor.

    Attributes:
        python: the interpreter whose Triton compiles; None for this one.
        compiler: instead of one made for each validation.
        launcher: instead of the emulator's.
        owner: whose rights the compiling process has; None for this process's.
        jobs: processes to spread scenarios over, at most; with a launcher of one's own all are run in this one.
    """

    python: str | None = None
    compiler: Compiler | None = None
    launcher: Launcher | None = None
    owner: Owner | None = None
    jobs: int = 1
    offered = staticmethod(scenarios)

    @contextmanager
    def prepare(self, subject: EmulatedSubject) -> Iterator[EmulatedRun | SpreadRun]:
        """See :class:`aiterfix.validation.interface.Executor`."""
        with ExitStack() as stack:
            compiler = self.compiler or stack.enter_context(Compiler(self.python, owner=self.owner))
            # BLAS's own threads would spin beside the emulator's, between the reference's products.
            stack.enter_context(one_thread())
            local = subject.emulated(compiler, self.launcher or EmulatorLauncher())
            if self.jobs == 1 or self.launcher is not None:
                yield local
                return
            spread = SpreadRun(local, subject, compiler, self.jobs)
            stack.callback(spread.close)
            yield spread


@dataclass
class EmulatorLauncher:
    """Executes code objects on the CPU.

    Attributes:
        step_limit: instructions of one wave after which a launch counts as endless.
        threads: of a launch; None for the emulator's own choice.
    """

    step_limit: int = 5_000_000
    threads: int | None = None
    device: str = "emulator"
    _parsed: dict[str, CodeObject] = field(default_factory=dict)

    def launch(
        self,
        kernel: CompiledKernel,
        scenario: Scenario,
        inputs: LaunchInputs,
        *,
        scale_offset: int | None = None,
        schedule: CompiledKernel | None = None,
    ) -> Execution:
        """See :class:`aiterfix.validation.execution.Launcher`.

        Raises:
            NotUnderstoodError: the code object, an instruction or its arguments are not understood.
        """
        memory = DeviceMemory()
        kv = allocate_cache(memory, scenario, inputs)
        output = allocate_output(memory, scenario)
        if scale_offset is None:
            scale_offset = scenario.config.kv_block_size * scenario.config.hidden
        ragged = isinstance(scenario.kernel, Portable) and scenario.kernel.ragged
        table = inputs.ragged_tokens() if ragged else inputs.physical_table()
        arrays: dict[str, npt.NDArray[Any]] = {"Q_buffer": inputs.q, "weights": inputs.weights, "kv_indices": table}
        if ragged:
            arrays["prefix_sum_context_lens"] = inputs.prefix_sums()
        else:
            arrays["context_len_ptr"] = inputs.context_lengths
        arguments = scalar_arguments(scenario, inputs.cache_blocks, inputs.block_table.shape[1])
        arguments |= {name: memory.allocate(name, array).address for name, array in arrays.items()}
        arguments |= {"KV_buffer": kv.address, "scale_buffer": kv.address + scale_offset}
        arguments |= dict.fromkeys((OUTPUT, OUTPUT_BY_HEAD), output.address)
        before = None
        if any(name == "safe_chunks_per_cta_ptr" for name, _ in kernel.arguments):
            computed = scenario.safe_chunks() if schedule is None else UNSCHEDULED
            chunks = memory.allocate("safe_chunks_per_cta_ptr", np.asarray([computed], np.int32))
            arguments["safe_chunks_per_cta_ptr"] = chunks.address
            if schedule is not None:
                numbers, programs = schedule_arguments(scenario)
                before = self._run(schedule, memory, arguments | numbers, programs)
        order: dict[str, int] = {}
        if scenario.gap == 0:
            # Rows are overwritten by their neighbours: which store comes last must not depend on timing. With an output
            # a head, programs that run together would store in the order of heads; split by split, what is past a row
            # comes last, as in the worst of many launches on a GPU.
            order["threads"] = 1
            if scenario.outputs > 1:
                order["batch_workgroups"] = scenario.rows * scenario.head_tiles
        result = self._run(kernel, memory, arguments, scenario.workgroups, **order)
        return execution_of(result, output, scenario, before)

    def _run(
        self, kernel: CompiledKernel, memory: DeviceMemory, values: dict[str, int], programs: int, **order: int
    ) -> RunResult:
        code = self._parse(kernel)
        launch = Launch(
            grid=(programs, 1, 1),
            block=(kernel.threads, 1, 1),
            args=arguments_in_order(kernel, code, values),
            lds_bytes=kernel.shared_bytes,
        )
        return run(
            code,
            memory,
            launch,
            step_limit=self.step_limit,
            batch_workgroups=order.get("batch_workgroups"),
            threads=order.get("threads", self.threads),
        )

    def _parse(self, kernel: CompiledKernel) -> CodeObject:
        if kernel.sha256 not in self._parsed:
            self._parsed[kernel.sha256] = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
        return self._parsed[kernel.sha256]


def allocate_cache(memory: DeviceMemory, scenario: Scenario, inputs: LaunchInputs) -> Allocation:
    """The cache; the part of it below the first block that is used takes no memory, but for block 0."""
    used = cache_of(scenario, inputs)
    if not inputs.first_block:
        return memory.allocate("KV_buffer", used)
    row_bytes = used.shape[1]
    cache = memory.allocate_sparse("KV_buffer", inputs.cache_blocks * row_bytes, element_size=1)
    cache.data[:row_bytes] = 0xFF
    cache.data[inputs.first_block * row_bytes : cache.size] = used.reshape(-1)
    return cache


def allocate_output(memory: DeviceMemory, scenario: Scenario) -> Allocation:
    """Output memory that holds the sentinel in every row's window; the rest of a sparse one is zeros."""
    shape = (scenario.outputs, scenario.rows, scenario.row_stride)
    if not scenario.sparse:
        return memory.allocate(OUTPUT, np.full(shape, SENTINEL, np.uint32))
    output = memory.allocate_sparse(OUTPUT, 4 * math.prod(shape), element_size=4)
    output.array(np.uint32, shape)[..., : scenario.window] = SENTINEL
    return output


def execution_of(
    result: RunResult, output: Allocation, scenario: Scenario, before: RunResult | None = None
) -> Execution:
    """What the emulator noted of a run, and left in the output, in the terms of a validation.

    Args:
        before: of the kernel that was run before it, if one was.
    """
    shape = (scenario.outputs, scenario.rows, scenario.row_stride)
    found: npt.NDArray[np.uint32] = output.array(np.uint32, shape)[..., : scenario.window]
    runs = (result,) if before is None else (before, result)
    return Execution(
        output=found[0] if scenario.outputs == 1 else _sum_of_heads(found),
        outside=tuple(scenario.within_rows(access) for run in runs for access in _outside(run)),
        findings=tuple(finding for run in runs for finding in _findings(run)),
        seconds=sum(run.seconds for run in runs),
        wave_instructions=sum(run.wave_instructions for run in runs),
        by_group={group: count for group, (count, _) in result.by_group.items()},
        written_behind=_written_behind(output, scenario) if scenario.sparse else 0,
    )


def _sum_of_heads(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """What the caller of a stage1 kernel makes of its output; a cell that no head wrote keeps the sentinel."""
    with np.errstate(invalid="ignore", over="ignore"):
        summed = bits.view(np.float32).sum(axis=0, dtype=np.float32).view(np.uint32)
    found: npt.NDArray[np.uint32] = np.where((bits == SENTINEL).all(axis=0), np.uint32(SENTINEL), summed)
    return found


def _written_behind(output: Allocation, scenario: Scenario) -> int:
    count = 0
    for part in output.touched():
        written = np.flatnonzero(output.data[part].view(np.uint32)) + part.start // 4
        count += int((written % scenario.row_stride >= scenario.window).sum())
    return count


def arguments_in_order(kernel: CompiledKernel, code: CodeObject, values: dict[str, int]) -> tuple[int, ...]:
    """Values in the order of the kernarg segment; Triton's own trailing pointers (scratch) are null.

    Raises:
        NotUnderstoodError: the code object's arguments are not those of the kernel's signature.
    """
    sizes = [8 if kind.startswith("*") or kind == "i64" else 4 for _, kind in kernel.arguments]
    # Hidden ones stand at the end, and are filled in where the kernel is launched.
    stated = [(a.size, a.is_pointer) for a in code.kernarg if not a.kind.startswith("hidden_")]
    wanted = [(size, kind.startswith("*")) for size, (_, kind) in zip(sizes, kernel.arguments, strict=True)]
    extra = stated[len(wanted) :]
    if stated[: len(wanted)] != wanted or any(not pointer for _, pointer in extra):
        raise NotUnderstoodError(
            f"the code object of {kernel.function} takes other arguments than its source declares",
            why=f"sizes {[size for size, _ in stated]} against {sizes}",
            remedy="validate the source that this code object was compiled from",
        )
    return (*(values[name] for name, _ in kernel.arguments), *(0 for _ in extra))


def _outside(result: RunResult) -> Iterator[AccessOutside]:
    for violation in result.violations:
        yield AccessOutside(
            kind=violation.access.value,
            allocation=violation.argument,
            source=str(violation.source or ""),
            pc=violation.pc,
            count=violation.count,
            first_element=violation.first_element,
            last_element=violation.last_element,
            workgroup=violation.workgroups[0] if violation.workgroups else None,
        )


def _findings(result: RunResult) -> Iterator[Anomaly]:
    for finding in result.findings:
        where = f"{finding.mnemonic} at {finding.source or hex(finding.pc)}"
        yield Anomaly(finding.kind.value, finding.count, f"{where}: {finding.detail}")
