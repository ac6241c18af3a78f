"""Our kernel as Triton's launcher would run it on a gfx950: compiled for it, and executed in the emulator.

``python -m tests.own_kernel.emulated`` prints what the compiled kernels of every tuning take and execute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch

from aiterfix.gfx950 import CodeObject, DeviceMemory, RunResult
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.validation.own import own_request, run_planned
from tests.own_kernel.paged_mqa_logits_check import (
    KERNEL,
    Inputs,
    LaunchFunction,
    Scenario,
    check,
    load_kernel,
    replaced_tunings,
)

_MULTIPROCESSORS = 2
"""Few, so that a program handles several tiles; with several programs a sequence."""


def replaced_source(replacement: tuple[str, str]) -> bytes:
    """The kernel's text with a part of it, once in it, replaced; the first is empty where nothing is."""
    source = KERNEL.read_text(encoding="utf-8")
    if not replacement[0]:
        return source.encode()
    if source.count(replacement[0]) != 1:
        raise ValueError(f"the kernel's source has {replacement[0]!r} {source.count(replacement[0])} times")
    return source.replace(*replacement).encode()


class Emulated:
    """Launches on the emulator, and what it saw."""

    def __init__(
        self, kernel: ModuleType, compiler: Compiler, narrow: bool = True, replacement: tuple[str, str] = ("", "")
    ) -> None:
        self.kernel = kernel
        self.compiler = compiler
        self.narrow = narrow
        self.replacement = replacement
        self.change: Callable[[dict[str, Any]], None] | None = None
        """Changes a launch's arguments after they were planned."""
        self.compiled: CompiledKernel | None = None
        self.result: RunResult | None = None

    def launch(self, scenario: Scenario) -> LaunchFunction:
        """To be given to ``check``."""

        def launch(inputs: Inputs, out: torch.Tensor) -> None:
            with replaced_tunings(self.kernel, scenario):
                planned = self.kernel.plan(
                    inputs.q,
                    inputs.cache,
                    inputs.weights,
                    out,
                    inputs.lengths,
                    inputs.table,
                    scenario.max_model_len,
                    scenario.preshuffle,
                    scenario.block_size,
                    "hip",
                    _MULTIPROCESSORS,
                )
            if self.change is not None:
                self.change(planned.arguments)
            source = replaced_source(self.replacement)
            wanted = own_request(self.kernel, planned, source, KERNEL.name, narrow=self.narrow)
            self.compiled = self.compiler.compile(wanted)
            self.result = self._run(self.compiled, planned)

        return launch

    def _run(self, compiled: CompiledKernel, planned: Any) -> RunResult:
        memory = DeviceMemory()
        placed: dict[int, Any] = {}
        for name, value in planned.arguments.items():
            if isinstance(value, torch.Tensor):
                storage = value.untyped_storage()
                if storage.data_ptr() not in placed:
                    contents = np.frombuffer(bytes(storage), np.uint8)
                    allocation = memory.allocate(name, contents, element_size=value.element_size())
                    placed[storage.data_ptr()] = storage, allocation
        code = CodeObject.from_bytes(compiled.code, kernel=compiled.function)
        bases = {begin: allocation.address for begin, (_, allocation) in placed.items()}
        result = run_planned(planned, compiled, code, memory, bases)
        logits = planned.arguments["logits_ptr"]
        storage, allocation = placed[logits.untyped_storage().data_ptr()]
        whole = torch.empty(0, dtype=torch.uint8).set_(storage)
        whole.copy_(torch.from_numpy(allocation.array(np.uint8).copy()))
        return result


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel takes of a gfx950, and executes."""

    registers: int
    """Vector registers of a lane, accumulation registers included."""
    scratch: int
    """Bytes of a lane that were spilled."""
    lds: int
    """Bytes of a program."""
    waves: int
    """Waves of a program."""
    instructions: int
    """Executed, a wave and tile."""

    @property
    def waves_of_simd(self) -> int:
        """Waves that a SIMD holds at once: 512 registers a lane, handed out by eights; 8 at most; 160 KiB of LDS."""
        by_registers = 512 // (-(-self.registers // 8) * 8)
        by_lds = (160 * 1024 // max(1, self.lds)) * self.waves // 4
        return min(8, by_registers, by_lds)

    @property
    def programs(self) -> int:
        """Programs that a compute unit (4 SIMDs) holds at once."""
        return self.waves_of_simd * 4 // self.waves


def resources(kernel: ModuleType, compiler: Compiler, scenario: Scenario, narrow: bool = False) -> Resources:
    """Compile and run a scenario; as of a cache past 2 GiB unless ``narrow``."""
    emulated = Emulated(kernel, compiler, narrow)
    result = check(scenario, "cpu", 0, emulated.launch(scenario))
    if result["wrong"] or emulated.compiled is None or emulated.result is None:
        raise RuntimeError(f"{scenario}: {result['wrong']}")
    code = CodeObject.from_bytes(emulated.compiled.code, kernel=emulated.compiled.function)
    waves = emulated.compiled.threads // 64
    tiles = sum(-(-context // 64) for context in scenario.contexts)
    return Resources(
        registers=code.vgprs + code.agprs,
        scratch=code.scratch_bytes,
        lds=emulated.compiled.shared_bytes,
        waves=waves,
        instructions=emulated.result.wave_instructions // (waves * tiles),
    )


def main() -> None:
    """Print a table."""
    kernel = load_kernel()
    columns = (
        "next_n  block           registers  spilled  LDS    waves  waves/SIMD  programs/CU  instructions/(wave, tile)"
    )
    print(columns)  # noqa: T201
    with Compiler() as compiler:
        for next_n in (1, 2, 4):
            for block, preshuffle in ((1, False), (64, True), (64, False), (256, True)):
                scenario = Scenario(
                    contexts=(2048,), max_model_len=2048, gap=0, next_n=next_n, block_size=block, preshuffle=preshuffle
                )
                r = resources(kernel, compiler, scenario)
                print(  # noqa: T201
                    f"{next_n:<7} {block:<4}{'preshuffled' if preshuffle else '':12}{r.registers:<10} {r.scratch:<8} "
                    f"{r.lds:<6} {r.waves:<6} {r.waves_of_simd:<11} {r.programs:<12} {r.instructions}"
                )


if __name__ == "__main__":
    main()
