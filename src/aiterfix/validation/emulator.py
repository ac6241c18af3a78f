"""Validate on this package's own gfx950 emulator: what is compiled for gfx950, executed on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.reference import reference
from aiterfix.family.signature import OUTPUT, STORE_STRIDE
from aiterfix.gfx950 import Allocation, CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.blas import one_thread
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.storage.children import Owner
from aiterfix.validation.comparison import SENTINEL, compare
from aiterfix.validation.execution import Execution, Launcher, cache_of, scalar_arguments
from aiterfix.validation.interface import Subject
from aiterfix.validation.report import AccessOutside, Anomaly, CodeObjectFacts, Report, ScenarioResult
from aiterfix.validation.scenarios import Scenario, inputs_of, scenarios
from aiterfix.validation.source_lines import SourceLines

_STRIDES = (STORE_STRIDE, "stride_logits_row")
"""What kernels call the row stride of their output: aiter's, and this project's."""


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
        lines: what makes reports name statements, where there is a source.
    """

    ran: Report
    launch: Callable[[Scenario, LaunchInputs], Launched]
    lines: SourceLines | None = None

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Make the inputs, launch, compare."""
        inputs = inputs_of(scenario)
        kernel, execution = self.launch(scenario, inputs)
        stride = next((kind for name, kind in kernel.arguments if name in _STRIDES), "i32")
        facts = CodeObjectFacts(scenario.kernel.value, scenario.config.name, kernel.sha256, stride)
        if facts not in self.ran.code_objects:
            self.ran = replace(self.ran, code_objects=(*self.ran.code_objects, facts))
        if self.lines is not None:
            execution = self.lines.located(execution)
        return compare(scenario, reference(inputs), execution)

    def report(self) -> Report:
        """What ran so far."""
        return self.ran


class EmulatedSubject(Subject, Protocol):
    """A subject that runs on the emulator."""

    def emulated(self, compiler: Compiler, launcher: Launcher) -> EmulatedRun:
        """It, with what compiles it for gfx950 and what launches a code object."""


@dataclass
class Emulator:
    """The executor.

    Attributes:
        python: the interpreter whose Triton compiles; None for this one.
        compiler: instead of one made for each validation.
        launcher: instead of the emulator's.
        owner: whose rights the compiling process has; None for this process's.
    """

    python: str | None = None
    compiler: Compiler | None = None
    launcher: Launcher | None = None
    owner: Owner | None = None
    offered = staticmethod(scenarios)

    @contextmanager
    def prepare(self, subject: EmulatedSubject) -> Iterator[EmulatedRun]:
        """See :class:`aiterfix.validation.interface.Executor`."""
        with ExitStack() as stack:
            compiler = self.compiler or stack.enter_context(Compiler(self.python, owner=self.owner))
            # BLAS's own threads would spin beside the emulator's, between the reference's products.
            stack.enter_context(one_thread())
            yield subject.emulated(compiler, self.launcher or EmulatorLauncher())


@dataclass
class EmulatorLauncher:
    """Executes code objects on the CPU.

    Attributes:
        step_limit: instructions of one wave after which a launch counts as endless.
    """

    step_limit: int = 5_000_000
    device: str = "emulator"
    _parsed: dict[str, CodeObject] = field(default_factory=dict)

    def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs) -> Execution:
        """See :class:`aiterfix.validation.execution.Launcher`.

        Raises:
            NotUnderstoodError: the code object, an instruction or its arguments are not understood.
        """
        code = self._parse(kernel)
        memory = DeviceMemory()
        cache = cache_of(scenario, inputs)
        output = allocate_output(memory, scenario)
        kv = memory.allocate("KV_buffer", cache)
        arguments = scalar_arguments(scenario, len(cache), inputs.block_table.shape[1]) | {
            OUTPUT: output.address,
            "KV_buffer": kv.address,
            "scale_buffer": kv.address + scenario.config.kv_block_size * scenario.config.hidden,
            "Q_buffer": memory.allocate("Q_buffer", inputs.q).address,
            "context_len_ptr": memory.allocate("context_len_ptr", inputs.context_lengths).address,
            "kv_indices": memory.allocate("kv_indices", inputs.block_table).address,
            "weights": memory.allocate("weights", inputs.weights).address,
        }
        if any(name == "safe_chunks_per_cta_ptr" for name, _ in kernel.arguments):
            schedule = np.asarray([scenario.safe_chunks()], np.int32)
            arguments["safe_chunks_per_cta_ptr"] = memory.allocate("safe_chunks_per_cta_ptr", schedule).address
        result = run(
            code,
            memory,
            Launch(
                grid=(scenario.workgroups, 1, 1),
                block=(kernel.threads, 1, 1),
                args=arguments_in_order(kernel, code, arguments),
                lds_bytes=kernel.shared_bytes,
            ),
            step_limit=self.step_limit,
            # Rows without a gap are overwritten by their neighbours: which store comes last must not depend on timing.
            threads=1 if scenario.gap == 0 else None,
        )
        return execution_of(result, output, scenario)

    def _parse(self, kernel: CompiledKernel) -> CodeObject:
        if kernel.sha256 not in self._parsed:
            self._parsed[kernel.sha256] = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
        return self._parsed[kernel.sha256]


def allocate_output(memory: DeviceMemory, scenario: Scenario) -> Allocation:
    """Output memory that holds the sentinel in every row's window; the rest of a sparse one is zeros."""
    shape = (scenario.rows, scenario.row_stride)
    if not scenario.sparse:
        return memory.allocate(OUTPUT, np.full(shape, SENTINEL, np.uint32))
    output = memory.allocate_sparse(OUTPUT, 4 * scenario.rows * scenario.row_stride, element_size=4)
    output.array(np.uint32, shape)[:, : scenario.window] = SENTINEL
    return output


def execution_of(result: RunResult, output: Allocation, scenario: Scenario) -> Execution:
    """What the emulator noted of a run, and left in the output, in the terms of a validation."""
    rows: npt.NDArray[np.uint32] = output.array(np.uint32, (scenario.rows, scenario.row_stride))
    return Execution(
        output=rows[:, : scenario.window],
        outside=tuple(_outside(result)),
        findings=tuple(_findings(result)),
        seconds=result.seconds,
        wave_instructions=result.wave_instructions,
        by_group={group: count for group, (count, _) in result.by_group.items()},
        written_behind=sum(int(np.count_nonzero(row[scenario.window :])) for row in rows) if scenario.sparse else 0,
    )


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
