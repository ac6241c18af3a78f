"""Run a launch on this package's own gfx950 emulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.validation.execute import Execution, cache_row_bytes, scalar_arguments
from aiterfix.validation.judge import OUTPUT, SENTINEL
from aiterfix.validation.problem import Problem, pack_cache
from aiterfix.validation.report import AccessOutside, Finding
from aiterfix.validation.scenarios import Scenario


@dataclass
class EmulatorExecutor:
    """Executes code objects on the CPU.

    Attributes:
        step_limit: instructions of one wave after which a launch counts as endless.
    """

    step_limit: int = 5_000_000
    device: str = "emulator"
    _parsed: dict[str, CodeObject] = field(default_factory=dict)

    def execute(self, kernel: CompiledKernel, scenario: Scenario, problem: Problem) -> Execution:
        """Run one launch; see :class:`aiterfix.validation.execute.Executor`.

        Raises:
            NotUnderstoodError: the code object, an instruction or its arguments are not understood.
        """
        code = self._parse(kernel)
        memory = DeviceMemory()
        row_bytes = cache_row_bytes(scenario)
        cache = pack_cache(problem.keys, problem.scales, preshuffle=scenario.kernel.preshuffled, row_bytes=row_bytes)
        output = memory.allocate(OUTPUT, np.full((problem.rows, problem.row_stride), SENTINEL, np.uint32))
        kv = memory.allocate("KV_buffer", cache)
        arguments: dict[str, int] = scalar_arguments(scenario, problem, row_bytes)
        arguments |= {
            OUTPUT: output.address,
            "KV_buffer": kv.address,
            "scale_buffer": kv.address + scenario.config.kv_block_size * scenario.config.hidden,
            "Q_buffer": memory.allocate("Q_buffer", problem.q).address,
            "context_len_ptr": memory.allocate("context_len_ptr", problem.context_lengths).address,
            "kv_indices": memory.allocate("kv_indices", problem.block_table).address,
            "weights": memory.allocate("weights", problem.weights).address,
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
        return execution_of(result, output.array(np.uint32, (problem.rows, problem.row_stride)))

    def _parse(self, kernel: CompiledKernel) -> CodeObject:
        if kernel.sha256 not in self._parsed:
            self._parsed[kernel.sha256] = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
        return self._parsed[kernel.sha256]


def execution_of(result: RunResult, output: npt.NDArray[np.uint32]) -> Execution:
    """What the emulator noted of a run, in the terms of a validation."""
    return Execution(
        output=output,
        outside=tuple(_outside(result)),
        findings=tuple(_findings(result)),
        seconds=result.seconds,
        wave_instructions=result.wave_instructions,
        by_group={group: count for group, (count, _) in result.by_group.items()},
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


def _findings(result: RunResult) -> Iterator[Finding]:
    for finding in result.findings:
        where = f"{finding.mnemonic} at {finding.source or hex(finding.pc)}"
        yield Finding(finding.kind.value, finding.count, f"{where}: {finding.detail}")
