"""This project's own kernel, as Triton's launcher would compile it for a gfx950, run in the emulator and judged.

Its compile-time values depend on shapes, so that every launch is planned by the kernel file itself, which needs torch
and triton; the GPU path runs the same scenarios through its public function.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from aiterfix.errors import EnvironmentProblem
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.portable import Portable
from aiterfix.family.signature import OUTPUT
from aiterfix.gfx950 import CodeObject, DeviceMemory, Launch, RunResult, run
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.gfx950.request import CompileRequest
from aiterfix.validation.comparison import SENTINEL
from aiterfix.validation.emulator import EmulatedRun, Launched, arguments_in_order, execution_of
from aiterfix.validation.execution import Launcher, cache_of
from aiterfix.validation.gpu.subjects import load_file
from aiterfix.validation.report import Report
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.source_lines import SourceLines

FUNCTION = "_paged_mqa_logits"
_ARCHITECTURE = "hip"
_MOST_DATA = 1 << 31
"""Bytes: the launcher tells the compiler of a tensor below this that 32-bit offsets reach all of it."""


@dataclass(frozen=True)
class OwnKernel:
    """This project's kernel; runs on the emulator.

    Attributes:
        file: ``kernels/paged_mqa_logits.py``.
    """

    file: Path
    kernels = (Portable.OWN, Portable.OWN_PRESHUFFLE)
    configs = None

    def emulated(self, compiler: Compiler, launcher: Launcher) -> EmulatedRun:
        """See :class:`aiterfix.validation.emulator.EmulatedSubject`.

        Raises:
            EnvironmentProblem: this interpreter lacks torch or triton.
        """
        source, name = self.file.read_bytes(), self.file.name
        digest = hashlib.sha256(source).hexdigest()
        ran = Report(str(self.file), digest, "emulator", compiler.triton, subject="this project's kernel")
        launches = _Planned(_load(source, name), source, name, compiler)
        return EmulatedRun(ran, launches.launch, SourceLines.of(source, name))


@dataclass
class _Planned:
    """Launches of the kernel file, each planned and compiled as the file's public function would have it."""

    module: ModuleType
    source: bytes
    filename: str
    compiler: Compiler
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
        arrays = _arrays(scenario, inputs)
        placed = {name: memory.allocate(name, array) for name, array in arrays.items()}
        tensors = _tensors(scenario, arrays)
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


def _arrays(scenario: Scenario, inputs: LaunchInputs) -> dict[str, npt.NDArray[Any]]:
    return {
        "Q_buffer": inputs.q,
        "KV_buffer": cache_of(scenario, inputs),
        "weights": inputs.weights,
        "context_len_ptr": inputs.context_lengths,
        "kv_indices": inputs.block_table,
        OUTPUT: np.full((inputs.rows, inputs.row_stride), SENTINEL, np.uint32),
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
    try:
        return load_file(source, filename)
    except ImportError as error:
        raise EnvironmentProblem(
            f"this project's kernel needs torch and triton: {error}",
            remedy="run it with a Python that has both; on this path neither needs a GPU",
        ) from error
