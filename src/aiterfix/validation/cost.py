"""What mends cost on gfx950, each alone and all together: registers, LDS, occupancy, code size, instructions.

All texts are compiled by the same Triton for the same configuration, and run on the emulator on the same inputs.
Counts, not times: nothing here has run on gfx950 hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.portable import AnyKernel
from aiterfix.family.signature import KernelConfig, WrapperFacts
from aiterfix.faults.base import Fault
from aiterfix.faults.mend import mend
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.storage.children import Owner
from aiterfix.validation.emulator import EmulatorLauncher
from aiterfix.validation.execution import Execution
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.scenarios import Scenario, inputs_of
from aiterfix.validation.source import AiterSource

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
        scratch_bytes: private memory of a lane.
        lds_bytes: LDS of a workgroup.
        occupancy: waves that a SIMD can hold at once.
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
        mends: ids of the faults that the other text has out; empty where it is another text for another reason.
    """

    kernel: AnyKernel
    config: KernelConfig
    mends: tuple[str, ...]
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


@dataclass(frozen=True)
class Variant:
    """A text to compare with the one before.

    Attributes:
        mends: ids of the faults that it has out.
        kernels: functions that differ; None where any may.
    """

    mends: tuple[str, ...]
    text: bytes
    kernels: frozenset[str] | None = None


def variants(before: bytes, faults: Sequence[Fault], filename: str, together: Collection[str]) -> tuple[Variant, ...]:
    """Each fault's mend alone, and those of ``together`` together: the texts that differ.

    Args:
        together: ids of the faults that are mended together.

    Raises:
        NotUnderstoodError: the text is not understood.
    """
    found = []
    for wanted in (*((f.id,) for f in faults), tuple(f.id for f in faults if f.id in together)):
        result = mend(before, faults, filename=filename, wanted=wanted)
        if result.changed:
            names = frozenset(kernel for step in result.steps for kernel, _ in step.places)
            found.append(Variant(tuple(step.fault for step in result.steps), result.new, names))
    return tuple({v.mends: v for v in found}.values())


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


def code_cost(kernel: CompiledKernel, execution: Execution) -> CodeCost:
    """Read a code object, and what a run of it came to."""
    code = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
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
    others: Sequence[Variant],
    filename: str,
    configs: Sequence[tuple[AnyKernel, KernelConfig]],
    *,
    context: int = 8192,
    next_n: int = 1,
    wrapper: WrapperFacts | None = None,
    python: str | None = None,
    owner: Owner | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[tuple[KernelCost, ...], str]:
    """Compare texts of a kernel file with one of them, and say which Triton compiled them.

    Args:
        others: what it is compared with, each where it differs.
        context: tokens of the one sequence that is run; also the width of a row, so that bounds are tight.
        wrapper: what the wrapper says of argument types.
        python: interpreter whose Triton compiles.
        owner: whose rights it has; None for this process's.

    Raises:
        CompileError: Triton refuses one of the texts.
        NotUnderstoodError: a kernel or its code is not understood.
    """
    results = []
    with Compiler(python, owner=owner) as compiler:
        for kernel, config in configs:
            scenario = Scenario(kernel, config, "cost", (context,), next_n, context, 0, 1)
            known = _SameCode()
            first: CodeCost | None = None
            for v in (Variant((), before), *others):
                if v.kernels is not None and kernel.function not in v.kernels:
                    continue
                if progress:
                    progress(f"{kernel.value} {config.name} {'+'.join(v.mends) or 'as it is'}")
                run = AiterSource((KernelFile(v.text, filename),), wrapper).emulated(compiler, known)
                cost = code_cost(*run.launch(scenario, inputs_of(scenario)))
                if first is None:
                    first = cost
                else:
                    results.append(KernelCost(kernel, config, v.mends, first, cost))
        return tuple(results), compiler.triton


class _SameCode:
    """The emulator, for one configuration: the same instructions in the same frame are run once, since a mend may be
    for other configurations."""

    device = EmulatorLauncher.device

    def __init__(self) -> None:
        self._emulator = EmulatorLauncher()
        self._known: dict[object, Execution] = {}

    def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs, **how: Any) -> Execution:
        """See :class:`aiterfix.validation.execution.Launcher`."""
        code = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
        same = (bytes(code.text), code.lds_bytes, code.vgprs, code.agprs, code.sgprs, kernel.shared_bytes)
        if same not in self._known:
            self._known[same] = self._emulator.launch(kernel, scenario, inputs, **how)
        return self._known[same]
