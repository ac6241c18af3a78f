"""This project's own kernel, as Triton's launcher would compile it for a gfx950, run in the emulator and judged.

Its compile-time values depend on shapes, so that every launch is planned by the kernel file itself, which needs torch
and triton; the GPU path runs the same scenarios through its public function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy.typing as npt

from aiterfix.errors import EnvironmentProblem
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.launcher import Parameter, Pointer, specialise
from aiterfix.family.portable import Portable
from aiterfix.family.signature import OUTPUT
from aiterfix.gfx950 import Allocation, CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.request import CompileRequest
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.emulator import (
    EmulatedRun,
    Launched,
    allocate_cache,
    allocate_output,
    arguments_in_order,
    execution_of,
)
from aiterfix.validation.execution import KernelCompiler, Launcher, cache_row_bytes
from aiterfix.validation.gpu.subjects import load_file
from aiterfix.validation.report import Report, SourceFacts
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.source_lines import SourceLines

FUNCTION = "_paged_mqa_logits"
_ARCHITECTURE = "hip"


@dataclass(frozen=True)
class OwnKernel:
    """This project's kernel; runs on the emulator.

    Attributes:
        file: ``kernels/paged_mqa_logits.py``.
    """

    file: Path
    kernels = (Portable.OWN, Portable.OWN_PRESHUFFLE)
    configs = None
    calls = ()

    def emulated(self, compiler: KernelCompiler, launcher: Launcher) -> EmulatedRun:
        """See :class:`aiterfix.validation.emulator.EmulatedSubject`.

        Raises:
            EnvironmentProblem: this interpreter lacks torch or triton.
        """
        source, name = self.file.read_bytes(), self.file.name
        digest = sha256_hex(source)
        ran = Report(
            (SourceFacts(str(self.file), digest, digest),),
            "emulator",
            compiler.triton,
            subject="this project's kernel",
            fp_fusion=compiler.fp_fusion,
        )
        launches = _Planned(_load(source, name), source, name, compiler)
        return EmulatedRun(ran, launches.launch, (SourceLines.of(source, name),))


@dataclass
class _Planned:
    """Launches of the kernel file, each planned and compiled as the file's public function would have it."""

    module: ModuleType
    source: bytes
    filename: str
    compiler: KernelCompiler
    parsed: dict[str, CodeObject] = field(default_factory=dict)

    def plan(self, scenario: Scenario, tensors: dict[str, Any]) -> Any:
        """The kernel's own ``Launch`` for these tensors, with as many programs as the scenario has splits."""
        batch = len(scenario.context_lengths)
        tuning = self.module.tuning_for(_ARCHITECTURE, scenario.next_n, scenario.config.heads)
        return self.module.plan(
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

    def launch(self, scenario: Scenario, inputs: LaunchInputs) -> Launched:
        """See :class:`aiterfix.validation.emulator.EmulatedRun`."""
        memory = DeviceMemory()
        arrays: dict[str, npt.NDArray[Any]] = {
            "Q_buffer": inputs.q,
            "weights": inputs.weights,
            "context_len_ptr": inputs.context_lengths,
            "kv_indices": inputs.physical_table(),
        }
        placed = {name: memory.allocate(name, array) for name, array in arrays.items()}
        placed["KV_buffer"] = allocate_cache(memory, scenario, inputs)
        placed[OUTPUT] = allocate_output(memory, scenario)
        tensors = _tensors(scenario, inputs, placed)
        planned = self.plan(scenario, tensors)
        kernel = self.compiler.compile(own_request(self.module, planned, self.source, self.filename))
        bases = {t.untyped_storage().data_ptr(): placed[name].address for name, t in tensors.items()}
        if kernel.sha256 not in self.parsed:
            self.parsed[kernel.sha256] = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
        code = self.parsed[kernel.sha256]
        result = run_planned(planned, kernel, code, memory, bases, threads=1 if scenario.gap == 0 else None)
        return Launched(kernel, execution_of(result, placed[OUTPUT], scenario))


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
        memory: holds every tensor's storage.
        bases: where, by the address of the storage on the host. A parameter may be a view of a tensor, as keys and
            scales are of the cache.
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
        planned: its ``Launch``.
        narrow: whether 32-bit offsets reach all of each tensor, of which AMD's compiler makes buffer instructions;
            None: where it spans less than 2 GiB.
    """
    parameters = [
        Parameter(p.name, constexpr=p.name in planned.constants, specialise=not p.do_not_specialize)
        for p in getattr(module, FUNCTION).params
    ]
    values = {name: _argument(value, narrow) for name, value in planned.arguments.items()} | planned.constants
    found = specialise(parameters, values)
    return CompileRequest(
        source=source,
        filename=filename,
        function=FUNCTION,
        signature=found.signature,
        constants=found.constants,
        attributes=found.attributes,
        options=(("num_warps", planned.warps), ("num_stages", planned.stages)),
        language="triton",
        label=FUNCTION,
    )


def _argument(value: Any, narrow: bool | None) -> int | Pointer:
    if isinstance(value, int):
        return value
    # Storages are aligned to more than 16 bytes, on the device as in the emulator.
    storage = value.untyped_storage().nbytes()
    return Pointer(_pointer(value), storage if narrow is None else 0 if narrow else 1 << 31, _offset(value))


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


def _tensors(scenario: Scenario, inputs: LaunchInputs, placed: Mapping[str, Allocation]) -> dict[str, Any]:
    """Device memory as the public function is given it, each allocation a storage of its own. Nothing is copied: what
    takes no host memory there takes none here."""
    import torch

    made = {name: torch.from_numpy(allocation.array()) for name, allocation in placed.items()}
    size, row_bytes = scenario.config.kv_block_size, cache_row_bytes(scenario)
    # One token may be padded; between blocks may lie those of other layers, which are in no tensor of this one's.
    token_bytes = row_bytes if size == 1 else scenario.config.block_bytes // size
    shape, strides = (inputs.cache_blocks, size, 1, token_bytes), (row_bytes, token_bytes, token_bytes, 1)
    return {
        "Q_buffer": made["Q_buffer"].view(torch.float8_e4m3fn).view(inputs.q.shape),
        "KV_buffer": made["KV_buffer"].as_strided(shape, strides),
        "weights": made["weights"].view(torch.float32).view(inputs.weights.shape),
        "context_len_ptr": made["context_len_ptr"].view(torch.int32),
        "kv_indices": made["kv_indices"].view(torch.int32).view(inputs.block_table.shape),
        OUTPUT: made[OUTPUT].view(torch.float32).view(inputs.rows, inputs.row_stride),
    }


def _load(source: bytes, filename: str) -> ModuleType:
    try:
        return load_file(source, filename)
    except ImportError as error:
        raise EnvironmentProblem(
            f"this project's kernel needs torch and triton: {error}",
            remedy="run it with a Python that has both; on this path neither needs a GPU",
        ) from error
