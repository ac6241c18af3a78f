"""``aiter``'s kernels by their source texts, compiled for gfx950 as the installed wrapper has them compiled."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.errors import NotUnderstoodError
from aiterfix.family import standins
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.launcher import Parameter, Pointer, read_parameters, specialise
from aiterfix.family.portable import SCHEDULE, AnyKernel, Portable, defines
from aiterfix.family.signature import OUTPUT, OUTPUT_BY_HEAD, Kernel, WrapperFacts, make_request
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.request import CompileRequest
from aiterfix.validation.calls import Calls, WrapperFile, calls_of
from aiterfix.validation.emulator import EmulatedRun, Launched
from aiterfix.validation.execution import (
    KernelCompiler,
    Launcher,
    cache_row_bytes,
    scalar_arguments,
    scale_offset,
    schedule_arguments,
)
from aiterfix.validation.interface import RefusedLaunchError
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.report import Report, SourceFacts
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.source_lines import SourceLines

_OPTIONS = (("num_warps", 4), ("num_stages", 2))
_SCHEDULE_WAVES = 4
"""``waves_per_eu`` that the wrapper launches the schedule with."""


@dataclass(frozen=True)
class AiterSource:
    """The kernel files of one ``aiter``; runs on the emulator.

    Attributes:
        files: they. Of kernels that several define, the first one's count.
        wrapper: facts from the wrapper's text, where it is at hand.
        wrappers: the texts of what launches the kernels, where they are.
    """

    files: tuple[KernelFile, ...]
    wrapper: WrapperFacts | None = None
    wrappers: tuple[WrapperFile, ...] = ()
    configs = None

    @property
    def kernels(self) -> tuple[AnyKernel, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        present = tuple(dict.fromkeys(kernel for file in self.files for kernel in file.kernels))
        if not present:
            raise NotUnderstoodError(
                f"{', '.join(file.filename for file in self.files)}: no kernel that is known is defined there",
                why="looked for " + ", ".join(kernel.function for kernel in (*Kernel, *Portable) if kernel.function),
                remedy="name a file that holds kernels: aiter/ops/triton/gluon/pa_mqa_logits.py in most releases",
            )
        return present

    @property
    def calls(self) -> tuple[Scenario, ...]:
        """See :class:`aiterfix.validation.interface.Subject`."""
        return calls_of(self.kernels, self.wrappers)

    @property
    def called(self) -> tuple[WrapperFile, ...]:
        """The wrappers that these are made of."""
        return tuple(w for w in self.wrappers if any(w.launches(kernel) for kernel in self.kernels))

    @property
    def facts(self) -> tuple[SourceFacts, ...]:
        """What reports say of its texts."""
        return (*(file.facts for file in self.files), *(wrapper.facts for wrapper in self.called))

    def emulated(self, compiler: KernelCompiler, launcher: Launcher) -> EmulatedRun:
        """See :class:`aiterfix.validation.emulator.EmulatedSubject`; what is compiled once is not compiled again."""
        ran = Report(self.facts, launcher.device, compiler.triton, fp_fusion=compiler.fp_fusion)
        calls = Calls(self.files, self.called, compiler.python, compiler.owner) if self.called else None
        lines = tuple(SourceLines.of(file.text, file.filename) for file in self.files)
        return EmulatedRun(ran, _Launches(self, compiler, launcher).launch, lines, calls)

    def file_of(self, kernel: AnyKernel) -> KernelFile:
        """The file that defines a kernel.

        Raises:
            NotUnderstoodError: none does.
        """
        for file in self.files:
            if kernel in file.kernels:
                return file
        raise NotUnderstoodError(f"no file defines {kernel.value}")


@dataclass
class _Launches:
    """Compiles and launches the kernels of a source."""

    source: AiterSource
    compiler: KernelCompiler
    launcher: Launcher
    compiled: dict[object, CompiledKernel] = field(default_factory=dict)

    def launch(self, scenario: Scenario, inputs: LaunchInputs) -> Launched:
        """See :class:`aiterfix.validation.emulator.EmulatedRun`."""
        file, kernel = self.source.file_of(scenario.kernel), scenario.kernel
        if isinstance(kernel, Kernel):
            key = (kernel, scenario.config)
            if key not in self.compiled:
                request = make_request(file.text, file.filename, kernel, scenario.config, self.source.wrapper)
                self.compiled[key] = self.compiler.compile(request)
            schedule = self._schedule(scenario, inputs) if kernel is Kernel.PRESHUFFLE_VARCTX else None
            code = self.compiled[key]
            return Launched(code, self.launcher.launch(code, scenario, inputs, schedule=schedule))
        request, offset = plain_request(file, scenario, inputs.cache_blocks)
        code = self._compile(request)
        return Launched(code, self.launcher.launch(code, scenario, inputs, scale_offset=offset))

    def _schedule(self, scenario: Scenario, inputs: LaunchInputs) -> CompiledKernel | None:
        file = next((f for f in self.source.files if defines(f.text, f.filename, SCHEDULE)), None)
        if file is None:
            return None
        values: dict[str, int | str | Pointer] = {**schedule_arguments(scenario)[0]}
        values["context_len_ptr"] = Pointer("*i32", inputs.context_lengths.nbytes)
        values["safe_chunks_per_cta_ptr"] = Pointer("*i32", 4)
        parameters = read_parameters(file.text, file.filename, SCHEDULE)
        return self._compile(_request(file, SCHEDULE, parameters, values, _SCHEDULE_WAVES, scenario))

    def _compile(self, request: CompileRequest) -> CompiledKernel:
        if request not in self.compiled:
            self.compiled[request] = self.compiler.compile(request)
        return self.compiled[request]


def takes_blocks(kernel: Portable, parameters: tuple[Parameter, ...], scenario: Scenario) -> bool:
    """Whether a plain kernel is told of blocks of several tokens.

    Raises:
        RefusedLaunchError: it is not, and its wrapper refuses what the scenario asks for.
    """
    known = any(parameter.name == "KVBlockSize" for parameter in parameters)
    size = scenario.config.kv_block_size
    if not known and kernel is Portable.REDUCING and size != 1:
        raise RefusedLaunchError(f"the wrapper refuses blocks of {size} tokens for {kernel.value}")
    return known


def plain_request(file: KernelFile, scenario: Scenario, blocks: int) -> tuple[CompileRequest, int]:
    """What Triton's launcher has compiled where the wrapper launches a plain kernel; and the bytes from a block to its
    scales.

    Args:
        blocks: of the cache.

    Raises:
        RefusedLaunchError: the wrapper refuses what the scenario asks for.
    """
    config, kernel = scenario.config, scenario.kernel
    assert isinstance(kernel, Portable)
    parameters = read_parameters(file.text, file.filename, kernel.function)
    offset = scale_offset(scenario, blocks_known=takes_blocks(kernel, parameters, scenario))
    batch, table_width = len(scenario.context_lengths), -(-scenario.max_model_len // config.kv_block_size)
    values: dict[str, int | str | Pointer] = {
        **scalar_arguments(scenario, blocks, table_width),
        "ChunkQ": kernel.head_tile or config.heads,
        "ChunkK": config.chunk_k,
        "HiddenDim": config.hidden,
        "KVBlockSize": config.kv_block_size,
        "SplitKV": scenario.split_constant(scenario.splits * scenario.rows),
    }
    cache = blocks * cache_row_bytes(scenario)
    output = Pointer("*fp32", 4 * scenario.outputs * scenario.rows * scenario.row_stride)
    values |= {
        "Q_buffer": Pointer("*fp8e4nv", scenario.rows * config.heads * config.hidden),
        "KV_buffer": Pointer("*fp8e4nv", cache),
        "scale_buffer": Pointer("*fp32", cache, offset),
        "context_len_ptr": Pointer("*i32", 4 * batch),
        "prefix_sum_context_lens": Pointer("*i32", 4 * batch + 4),
        "kv_indices": Pointer("*i32", 4 * batch * table_width),
        "weights": Pointer("*fp32", 4 * scenario.rows * config.heads),
        OUTPUT: output,
        OUTPUT_BY_HEAD: output,
    }
    return _request(file, kernel.function, parameters, values, config.waves_per_eu, scenario), offset


def _request(
    file: KernelFile,
    function: str,
    parameters: tuple[Parameter, ...],
    values: dict[str, int | str | Pointer],
    waves: int,
    scenario: Scenario,
) -> CompileRequest:
    found = specialise(parameters, values)
    return CompileRequest(
        source=file.text,
        filename=file.filename,
        function=function,
        signature=found.signature,
        constants=found.constants,
        attributes=found.attributes,
        options=(*_OPTIONS, ("waves_per_eu", waves)),
        language="triton",
        stand_ins=Path(standins.__file__),
        label=scenario.config.name,
    )
