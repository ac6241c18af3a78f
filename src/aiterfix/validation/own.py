"""This project's own kernel, as Triton's launcher would compile it for a gfx950, run in the emulator and judged.

Its compile-time values depend on shapes, so that every launch is planned by the kernel file itself, which needs torch
and triton; the GPU path runs the same scenarios through its public function.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.gfx950 import CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import CompileError, Compiler
from aiterfix.gfx950.signature import CompileRequest, KernelConfig
from aiterfix.validation.emulate import arguments_in_order, execution_of
from aiterfix.validation.execute import Execution, cache_row_bytes
from aiterfix.validation.judge import OUTPUT, SENTINEL, judge
from aiterfix.validation.portable import Portable
from aiterfix.validation.problem import Problem, pack_cache
from aiterfix.validation.reference import reference
from aiterfix.validation.report import CodeObjectFacts, NotRun, Report, ScenarioResult
from aiterfix.validation.run import choose_scenarios
from aiterfix.validation.scenarios import Scenario, Suite, problem_of
from aiterfix.validation.series import Progress, not_run, run_series
from aiterfix.validation.source_lines import SourceLines

FUNCTION = "_paged_mqa_logits"
KERNELS = (Portable.OWN, Portable.OWN_PRESHUFFLE)
_ARCHITECTURE = "hip"
_MOST_DATA = 1 << 31
"""Bytes: the launcher tells the compiler of a tensor below this that 32-bit offsets reach all of it."""


class OwnOnEmulator:
    """The kernel file, ready to be launched on the emulator.

    Args:
        file: ``kernels/paged_mqa_logits.py``.
        compiler: compiles for gfx950.

    Raises:
        EnvironmentProblem: this interpreter lacks torch or triton.
    """

    device = "emulator"

    def __init__(self, file: Path, compiler: Compiler) -> None:
        self.source = file.read_bytes()
        self.filename = file.name
        self._module = _load(self.source, file.name)
        self._compiler = compiler
        self._parsed: dict[str, CodeObject] = {}

    def plan(self, scenario: Scenario, tensors: dict[str, Any]) -> Any:
        """The kernel's own ``Launch`` for these tensors, with as many programs as the scenario has splits."""
        batch = len(scenario.context_lengths)
        tuning = self._module.tuning_for(_ARCHITECTURE, scenario.next_n, scenario.config.heads)
        return self._module.plan(
            tensors["Q_buffer"],
            tensors["KV_buffer"],
            tensors["weights"],
            tensors[OUTPUT],
            tensors["context_len_ptr"],
            tensors["kv_indices"],
            scenario.max_model_len,
            scenario.kernel.preshuffled,
            scenario.config.kv_block_size,
            _ARCHITECTURE,
            max(1, -(-scenario.splits * batch // tuning.programs)),
        )

    def compile(self, planned: Any) -> CompiledKernel:
        """The code object that the launcher would make for a plan."""
        return self._compiler.compile(own_request(self._module, planned, self.source, self.filename))

    def execute(self, scenario: Scenario, problem: Problem) -> tuple[CompiledKernel, Execution]:
        """Plan, compile and run one launch.

        Raises:
            CompileError: the compiler refused or died.
            NotUnderstoodError: an instruction is not modelled.
        """
        memory = DeviceMemory()
        arrays = _arrays(scenario, problem)
        placed = {name: memory.allocate(name, array) for name, array in arrays.items()}
        tensors = _tensors(scenario, arrays)
        planned = self.plan(scenario, tensors)
        kernel = self.compile(planned)
        bases = {t.untyped_storage().data_ptr(): placed[name].address for name, t in tensors.items()}
        if kernel.sha256 not in self._parsed:
            self._parsed[kernel.sha256] = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
        code = self._parsed[kernel.sha256]
        result = run_planned(planned, kernel, code, memory, bases, threads=1 if scenario.gap == 0 else None)
        output = placed[OUTPUT].array(np.uint32, (problem.rows, problem.row_stride))
        return kernel, execution_of(result, output)


def validate_own(
    file: Path,
    *,
    kernels: Iterable[Portable] = KERNELS,
    configs: Sequence[KernelConfig] | None = None,
    suite: Suite = "quick",
    scenario: str | None = None,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
    compiler: Compiler | None = None,
) -> Report:
    """Run this project's kernel through the scenarios, on the emulator.

    Args:
        file: ``kernels/paged_mqa_logits.py``.
        kernels: with preshuffled keys, without, or both.
        configs: configurations instead of the suite's.
        suite: ``quick`` or ``full``.
        scenario: name or shell pattern of scenarios to run alone.
        strict: findings fail the run too.
        progress: called before and after every scenario.
        compiler: instead of one made here.

    Raises:
        UsageError: an unknown scenario or configuration.
        EnvironmentProblem: this interpreter lacks torch or triton.
    """
    started = time.perf_counter()
    todo = choose_scenarios(tuple(kernels), configs, suite, scenario)
    objects: dict[CodeObjectFacts, None] = {}
    own = compiler if compiler is not None else Compiler()
    try:
        machine = OwnOnEmulator(file, own)
        lines = SourceLines.of(machine.source, machine.filename)

        def launch(item: Scenario) -> ScenarioResult | NotRun:
            problem = problem_of(item)
            try:
                kernel, execution = machine.execute(item, problem)
            except (CompileError, NotUnderstoodError) as error:
                return not_run(item, error)
            stride = dict(kernel.arguments).get("stride_logits_row", "i32")
            objects[CodeObjectFacts(item.kernel.value, item.config.name, kernel.sha256, stride)] = None
            return judge(item, reference(problem), lines.located(execution))

        results, failed = run_series(todo, launch, progress)
        triton = own.triton
    finally:
        if compiler is None:
            own.close()
    return Report(
        path=str(file),
        source_sha256=hashlib.sha256(machine.source).hexdigest(),
        device=machine.device,
        triton=triton,
        suite=suite if scenario is None else "scenario",
        strict=strict,
        code_objects=tuple(objects),
        scenarios=results,
        not_run=tuple(failed.values()),
        seconds=time.perf_counter() - started,
        subject="this project's kernel",
    )


def run_planned(
    planned: Any,
    kernel: CompiledKernel,
    code: CodeObject,
    memory: DeviceMemory,
    bases: Mapping[int, int],
    threads: int | None = None,
) -> RunResult:
    """Run a planned launch.

    Args:
        planned: the kernel file's own ``Launch``.
        kernel: compiled for it.
        code: the same, parsed.
        memory: holds every tensor's storage.
        bases: where, by the address of the storage on the host. A parameter may be a view of a tensor, as keys and
            scales are of the cache.
        threads: see :func:`aiterfix.gfx950.run`.
    """
    values = {
        name: value if isinstance(value, int) else bases[value.untyped_storage().data_ptr()] + _offset(value)
        for name, value in planned.arguments.items()
    }
    launch = Launch(
        grid=(planned.programs, 1, 1),
        block=(kernel.threads, 1, 1),
        args=arguments_in_order(kernel, code, values),
        lds_bytes=kernel.shared_bytes,
    )
    return run(code, memory, launch, threads=threads)


def own_request(
    module: ModuleType, planned: Any, source: bytes, filename: str, *, narrow: bool | None = None
) -> CompileRequest:
    """What Triton's launcher would have compiled for a planned launch on ROCm.

    Args:
        module: the kernel's module.
        planned: its ``Launch``.
        source: its text.
        filename: its name.
        narrow: whether 32-bit offsets reach all of each tensor, of which AMD's compiler makes buffer instructions;
            None: where it spans less than 2 GiB.
    """
    signature: list[tuple[str, str]] = []
    constants: list[tuple[str, int | str]] = list(planned.constants.items())
    attributes: list[tuple[int, tuple[tuple[str, int], ...]]] = []
    for index, parameter in enumerate(getattr(module, FUNCTION).params):
        name = parameter.name
        if name in planned.constants:
            signature.append((name, "constexpr"))
            continue
        value = planned.arguments[name]
        found: tuple[tuple[str, int], ...] = ()
        if not isinstance(value, int):
            signature.append((name, _pointer(value)))
            # Storages are aligned to more than that, on the device as in the emulator.
            found = (("tt.divisibility", 16),) if _offset(value) % 16 == 0 else ()
            small = value.untyped_storage().nbytes() < _MOST_DATA
            if narrow or (narrow is None and small):
                found = (*found, ("tt.pointer_range", 32))
        elif value == 1 and not parameter.do_not_specialize:
            signature.append((name, "constexpr"))
            constants.append((name, 1))
        else:
            signature.append((name, "i32" if value < 1 << 31 else "i64"))
            found = (("tt.divisibility", 16),) if value % 16 == 0 and not parameter.do_not_specialize else ()
        if found:
            attributes.append((index, found))
    return CompileRequest(
        source=source,
        filename=filename,
        function=FUNCTION,
        signature=tuple(signature),
        constants=tuple(constants),
        attributes=tuple(attributes),
        options=(("num_warps", planned.warps), ("num_stages", planned.stages)),
        language="triton",
        label=FUNCTION,
    )


def _pointer(tensor: Any) -> str:
    import torch

    return {
        torch.float8_e4m3fn: "*fp8e4nv",
        torch.float32: "*fp32",
        torch.int32: "*i32",
        torch.int64: "*i64",
    }[tensor.dtype]


def _offset(tensor: Any) -> int:
    """Bytes from the start of its storage."""
    return int(tensor.data_ptr() - tensor.untyped_storage().data_ptr())


def _arrays(scenario: Scenario, problem: Problem) -> dict[str, npt.NDArray[Any]]:
    row_bytes = cache_row_bytes(scenario)
    return {
        "Q_buffer": problem.q,
        "KV_buffer": pack_cache(
            problem.keys, problem.scales, preshuffle=scenario.kernel.preshuffled, row_bytes=row_bytes
        ),
        "weights": problem.weights,
        "context_len_ptr": problem.context_lengths,
        "kv_indices": problem.block_table,
        OUTPUT: np.full((problem.rows, problem.row_stride), SENTINEL, np.uint32),
    }


def _tensors(scenario: Scenario, arrays: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """The arrays as the public function is given them; each its own storage."""
    import torch

    made = {name: torch.from_numpy(np.array(array.view(np.uint8))) for name, array in arrays.items()}
    size = scenario.config.kv_block_size
    blocks, row_bytes = arrays["KV_buffer"].shape
    return {
        "Q_buffer": made["Q_buffer"].view(torch.float8_e4m3fn),
        "KV_buffer": made["KV_buffer"].view(blocks, size, 1, row_bytes // size),
        "weights": made["weights"].view(torch.float32),
        "context_len_ptr": made["context_len_ptr"].view(torch.int32),
        "kv_indices": made["kv_indices"].view(torch.int32),
        OUTPUT: made[OUTPUT].view(torch.float32),
    }


def _load(source: bytes, filename: str) -> ModuleType:
    from aiterfix.validation.gpu.subjects import load_file

    try:
        return load_file(source, filename)
    except ImportError as error:
        raise EnvironmentProblem(
            f"this project's kernel needs torch and triton: {error}",
            remedy="run it with a Python that has both; on this path neither needs a GPU",
        ) from error
