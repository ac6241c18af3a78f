"""What the fix costs on gfx950: registers, spills, LDS, occupancy, code size, instructions executed.

Both texts are compiled by the same Triton for the same configuration, and run on the emulator on the same inputs.
Counts, not times: nothing here has run on gfx950 hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiterfix.family.signature import Kernel, KernelConfig, WrapperFacts, make_request
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.storage.children import Owner
from aiterfix.validation.emulator import EmulatorLauncher
from aiterfix.validation.execution import Launcher
from aiterfix.validation.scenarios import Scenario, inputs_of

# CDNA 4 ("MI350 Series" ISA guide, and LLVM's AMDGPU usage guide): a SIMD has 512 vector registers a lane, shared by
# architectural and accumulation registers and handed out in eights, and holds at most 8 waves; a compute unit has four
# SIMDs and 160 KiB of LDS. Scalar registers do not limit occupancy: every wave gets the most it can address.
VECTOR_REGISTERS = 512
VECTOR_GRANULE = 8
MOST_WAVES = 8
SIMDS = 4
LDS_BYTES = 160 * 1024
LANES = 64


@dataclass(frozen=True)
class CodeCost:
    """One code object's use of the machine.

    Attributes:
        vgprs: architectural vector registers.
        agprs: accumulation vector registers.
        sgprs: scalar registers.
        vgpr_spills: vector registers spilled.
        sgpr_spills: scalar registers spilled.
        scratch_bytes: private memory of a lane.
        lds_bytes: LDS of a workgroup.
        occupancy: waves that a SIMD can hold at once.
        code_bytes: size of the machine code.
        static_instructions: instructions in it.
        executed: instructions executed over the whole launch, counted once a wave, by group.
    """

    vgprs: int
    agprs: int
    sgprs: int
    vgpr_spills: int
    sgpr_spills: int
    scratch_bytes: int
    lds_bytes: int
    occupancy: int
    code_bytes: int
    static_instructions: int
    executed: Mapping[str, int]

    @property
    def executed_total(self) -> int:
        """Instructions executed, of every group."""
        return sum(self.executed.values())


@dataclass(frozen=True)
class KernelCost:
    """A kernel and configuration before and after.

    Attributes:
        kernel: which.
        config: what it is compiled for.
        before: cost of the one text.
        after: cost of the other.
    """

    kernel: Kernel
    config: KernelConfig
    before: CodeCost
    after: CodeCost

    @property
    def dearer(self) -> tuple[str, ...]:
        """What got worse in a way that can cost more than the added instructions: occupancy, spills, scratch."""
        reasons = []
        if self.after.occupancy < self.before.occupancy:
            reasons.append(f"occupancy {self.before.occupancy} -> {self.after.occupancy}")
        for name in ("vgpr_spills", "sgpr_spills", "scratch_bytes"):
            old, new = getattr(self.before, name), getattr(self.after, name)
            if new > old:
                reasons.append(f"{name.replace('_', ' ')} {old} -> {new}")
        return tuple(reasons)


def occupancy(vector_registers: int, lds_bytes: int, waves: int) -> int:
    """Waves that a SIMD can hold at once.

    Args:
        vector_registers: architectural and accumulation registers of a wave together.
        lds_bytes: LDS of a workgroup.
        waves: waves of a workgroup.
    """
    granted = max(VECTOR_GRANULE, -(-vector_registers // VECTOR_GRANULE) * VECTOR_GRANULE)
    by_registers = VECTOR_REGISTERS // granted
    if not lds_bytes:
        return min(MOST_WAVES, by_registers)
    workgroups = LDS_BYTES // lds_bytes
    return min(MOST_WAVES, by_registers, workgroups * waves // SIMDS)


def code_cost(kernel: CompiledKernel, scenario: Scenario, launcher: Launcher) -> CodeCost:
    """Read a code object and run it once.

    Raises:
        NotUnderstoodError: the emulator does not understand something in it.
    """
    code = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
    execution = launcher.launch(kernel, scenario, inputs_of(scenario))
    lds = code.lds_bytes + kernel.shared_bytes
    # Accumulation registers start at a multiple of four behind the architectural ones.
    registers = (code.vgprs + 3) // 4 * 4 + code.agprs if code.agprs else code.vgprs
    return CodeCost(
        vgprs=code.vgprs,
        agprs=code.agprs,
        sgprs=code.sgprs,
        vgpr_spills=code.vgpr_spills,
        sgpr_spills=code.sgpr_spills,
        scratch_bytes=code.scratch_bytes,
        lds_bytes=lds,
        occupancy=occupancy(registers, lds, kernel.threads // LANES),
        code_bytes=len(code.text),
        static_instructions=len(code.instructions),
        executed=dict(execution.by_group),
    )


def measure(
    before: bytes,
    after: bytes,
    filename: str,
    configs: Sequence[tuple[Kernel, KernelConfig]],
    *,
    context: int = 8192,
    next_n: int = 1,
    wrapper: WrapperFacts | None = None,
    python: str | None = None,
    owner: Owner | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[KernelCost, ...]:
    """Compare two texts of a kernel file.

    Args:
        before: the one text.
        after: the other.
        filename: for messages.
        configs: kernels and what to compile them for.
        context: tokens of the one sequence that is run; also the width of a row, so that bounds are tight.
        next_n: rows.
        wrapper: what the wrapper says of argument types.
        python: interpreter whose Triton compiles.
        owner: whose rights it has; None for this process's.
        progress: called with what is about to be done.

    Raises:
        CompileError: Triton refuses one of the texts.
        NotUnderstoodError: a kernel or its code is not understood.
    """
    launcher = EmulatorLauncher()
    results = []
    with Compiler(python, owner=owner) as compiler:
        for kernel, config in configs:
            if progress:
                progress(f"{kernel.value} {config.name}")
            scenario = Scenario(kernel, config, "cost", (context,), next_n, context, 0, 1)
            costs = [
                code_cost(compiler.compile(make_request(text, filename, kernel, config, wrapper)), scenario, launcher)
                for text in (before, after)
            ]
            results.append(KernelCost(kernel, config, *costs))
    return tuple(results)
