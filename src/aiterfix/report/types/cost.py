"""``aiterfix cost --json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from aiterfix.report.document import Body, Limits
from aiterfix.report.types.common import Count, Positive, Sha256
from aiterfix.report.types.validate import KernelName
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.validation.cost import CodeCost, KernelCost


@record(frozen=True)
class CodeUse:
    """One code object's use of the machine.

    Attributes:
        occupancy: waves that a SIMD can hold at once.
        executed: instructions executed over the whole launch, counted once a wave, by group.
    """

    vgprs: Count
    agprs: Count
    sgprs: Count
    vgpr_spills: Count
    sgpr_spills: Count
    scratch_bytes: Count
    lds_bytes: Count
    occupancy: Annotated[int, Limits(minimum=0, maximum=8)]
    code_bytes: Count
    static_instructions: Count
    executed: Mapping[str, Count]
    executed_total: Count

    @classmethod
    def of(cls, cost: CodeCost) -> CodeUse:
        """From what was measured."""
        return cls(**vars(cost), executed_total=cost.executed_total)


@record(frozen=True)
class KernelReport:
    """A kernel and configuration before and after.

    Attributes:
        mends: ids of the faults that are out after; empty where another text is compared.
        dearer: what got worse in a way that can cost more than the added instructions.
    """

    kernel: KernelName
    configuration: str
    mends: tuple[str, ...]
    before: CodeUse
    after: CodeUse
    dearer: tuple[str, ...]

    @classmethod
    def of(cls, cost: KernelCost) -> KernelReport:
        """From what was measured."""
        before, after = CodeUse.of(cost.before), CodeUse.of(cost.after)
        return cls(cost.kernel.value, cost.config.name, cost.mends, before, after, cost.dearer)


@record(frozen=True)
class CostReport(Body):
    """Texts of one kernel file, compared.

    Attributes:
        sha256: of the text before.
        triton: release that compiled all of them.
        unaffected: ids of judged faults whose mend does not change this file.
    """

    command = "cost"

    source: str
    sha256: Sha256
    triton: str
    unaffected: tuple[str, ...]
    context: Positive
    next_n: Positive
    dearer: bool
    kernels: tuple[KernelReport, ...]
