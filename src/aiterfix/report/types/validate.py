"""``aiterfix validate --json``."""

from __future__ import annotations

from typing import Annotated

from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel
from aiterfix.report.document import Body, Limits
from aiterfix.report.types.common import Count, Sha256
from aiterfix.storage.record import record
from aiterfix.validation.report import AccessOutside, Anomaly, Hardware, Report, ScenarioResult

KernelName = Annotated[str, Limits(enum=[*(k.value for k in Kernel), *(p.value for p in Portable)])]
Measure = Annotated[float, Limits(minimum=0)]


@record(frozen=True)
class ValidatedSource:
    """The kernel file.

    Attributes:
        sha256: empty for a prebuilt code object.
    """

    path: str
    sha256: Annotated[str, Limits(pattern="^([0-9a-f]{64})?$")]


@record(frozen=True)
class ExecutedBy:
    """What ran the kernels.

    Attributes:
        device: emulator, or the name of the GPU.
        subject: what was run: aiter's own function, plain-Triton kernels of aiter, this project's kernel; empty for
            aiter's Gluon kernels on the emulator.
        hardware: null where no kernel ran on hardware.
    """

    device: str
    triton: str
    subject: str
    hardware: Hardware | None


@record(frozen=True)
class CodeObjectReport:
    """One code object that was executed."""

    kernel: KernelName
    config: str
    sha256: Sha256
    out_stride: Annotated[str, Limits(enum=["i32", "i64"])]


@record(frozen=True)
class ScenarioReport:
    """One launch, judged.

    Attributes:
        name: give it to `--scenario` to run this launch alone.
        passed: nothing written outside a row or an allocation, visible columns right, and, if strict, nothing found.
        error_of_bound: largest error as a fraction of what float32 rounding explains.
        violations: accesses outside allocations, stores first.
        fault: what ended the launch before there was anything to judge, or empty.
    """

    name: str
    kernel: KernelName
    config: str
    passed: bool
    rows: Count
    visible_logits: Count
    largest_error: Measure
    error_of_bound: Measure
    wrong_logits: Count
    wrong_at: tuple[str, ...]
    overshoot_columns: Count
    elements_in_gaps: Count
    elements_past_last_row: Count
    violations: tuple[AccessOutside, ...]
    findings: tuple[Anomaly, ...]
    seconds: Measure
    wave_instructions: Count
    fault: str

    @classmethod
    def of(cls, result: ScenarioResult, *, passed: bool) -> ScenarioReport:
        """From a result."""
        facts = {**vars(result), "passed": passed, "seconds": round(result.seconds, 3)}
        return cls(violations=facts.pop("outside"), **facts)


@record(frozen=True)
class NotRunReport:
    """A kernel and configuration that could not be compiled or executed, and why."""

    kernel: KernelName
    config: str
    what: str
    why: str


@record(frozen=True)
class ValidateReport(Body):
    """A whole validation.

    Attributes:
        passed: everything ran and every scenario passed.
        overshoot_columns: the most columns written at or past `max_model_len` in any scenario.
        notes: what went wrong beside the judgement.
    """

    command = "validate"

    passed: bool
    strict: bool
    suite: Annotated[str, Limits(enum=["quick", "full", "scenario"])]
    source: ValidatedSource
    executed_by: ExecutedBy
    overshoot_columns: Count
    code_objects: tuple[CodeObjectReport, ...]
    scenarios: tuple[ScenarioReport, ...]
    not_run: tuple[NotRunReport, ...]
    seconds: Measure
    notes: tuple[str, ...]

    @classmethod
    def of(cls, report: Report) -> ValidateReport:
        """From what was found."""
        failures = report.failures
        return cls(
            passed=report.passed,
            strict=report.strict,
            suite=report.suite,
            source=ValidatedSource(report.path, report.source_sha256),
            executed_by=ExecutedBy(report.device, report.triton, report.subject, report.hardware),
            overshoot_columns=report.overshoot_columns,
            code_objects=tuple(
                CodeObjectReport(c.kernel, c.config, c.sha256, c.out_stride) for c in report.code_objects
            ),
            scenarios=tuple(ScenarioReport.of(s, passed=s not in failures) for s in report.scenarios),
            not_run=tuple(NotRunReport(n.kernel, n.config, n.what, n.why) for n in report.not_run),
            seconds=round(report.seconds, 3),
            notes=report.notes,
        )
