"""``aiterfix validate --json``."""

from __future__ import annotations

from typing import Annotated

from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel
from aiterfix.report.document import Body, Limits
from aiterfix.report.types.common import Count, Sha256
from aiterfix.storage.record import record
from aiterfix.validation.report import NO_CODE, AccessOutside, Anomaly, Hardware, Report, ScenarioResult

KernelName = Annotated[str, Limits(enum=[*(k.value for k in Kernel), *(p.value for p in Portable)])]
Measure = Annotated[float, Limits(minimum=0)]


@record(frozen=True)
class ValidatedSource:
    """A kernel file.

    Attributes:
        sha256: of the text that ran; empty for a prebuilt code object.
        original_sha256: of the text before it was mended.
        mends: ids of the faults that were mended in it; null where that is not known.
    """

    path: str
    sha256: Annotated[str, Limits(pattern="^([0-9a-f]{64})?$")]
    original_sha256: Annotated[str, Limits(pattern="^([0-9a-f]{64})?$")]
    mends: tuple[str, ...] | None
    kernels: tuple[KernelName, ...]


@record(frozen=True)
class ExecutedBy:
    """What ran the kernels.

    Attributes:
        device: emulator, or the name of the GPU.
        subject: what was run: aiter's own function, plain-Triton kernels of aiter, this project's kernel; empty for
            aiter's Gluon kernels on the emulator.
        hardware: null where no kernel ran on hardware.
        fp_fusion: whether that Triton makes one instruction of a multiplication and an addition where a launch says
            nothing of it; null where that is not known.
    """

    device: str
    triton: str
    subject: str
    hardware: Hardware | None
    fp_fusion: bool | None = None


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
        known_faults: ids of the faults that explain what is wrong.
        tolerance: the largest error that float32 rounding explains, of any logit.
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
    known_faults: tuple[str, ...]
    tolerance: Measure

    @classmethod
    def of(cls, result: ScenarioResult, *, passed: bool) -> ScenarioReport:
        """From a result."""
        facts = {**vars(result), "passed": passed, "seconds": round(result.seconds, 3)}
        return cls(violations=facts.pop("outside"), **facts)


@record(frozen=True)
class NotRunReport:
    """A kernel and configuration that could not be compiled or executed, and why.

    Attributes:
        refused: no such launch can be: the wrapper raises first.
        known_faults: ids of the faults that explain it.
    """

    kernel: KernelName
    config: str
    what: str
    why: str
    refused: bool
    known_faults: tuple[str, ...]


Outcome = Annotated[str, Limits(enum=["fails", "passes", "refused", "not run", "no mend"])]


@record(frozen=True)
class FaultPairReport:
    """A fault's scenarios before its mend and after.

    Attributes:
        shown: they pass after the mend, and fail before it unless they pass already.
    """

    id: str
    before: Outcome
    after: Outcome
    shown: bool

    @classmethod
    def of(cls, fault: str, before: Report, after: Report | None) -> FaultPairReport:
        """From the reports of both; ``after`` is None where nothing mends it."""
        was, is_now = _outcome(before, fault), _outcome(after, fault) if after is not None else "no mend"
        if is_now == "no mend" and was in ("passes", "refused"):
            is_now = was
        shown = was in ("fails", "passes", "refused") and is_now in ("passes", "refused")
        return cls(fault, was, is_now, shown)


def _outcome(report: Report, fault: str) -> str:
    if fault != NO_CODE and any(s for s in report.scenarios if not s.passed or fault in s.known_faults):
        return "fails"
    if any(fault in missing.known_faults for missing in report.not_run):
        return "fails"
    if report.interrupted or any(not missing.known_faults for missing in report.missing):
        return "not run"
    if report.scenarios:
        return "passes"
    return "refused" if any(missing.refused for missing in report.not_run) else "not run"


@record(frozen=True)
class ValidateReport(Body):
    """A whole validation.

    Attributes:
        passed: everything ran and every scenario passed.
        overshoot_columns: the most columns written at or past `max_model_len` in any scenario.
        fault: with `--fault`, the outcome before its mend and after; the rest is then about the text after it.
        interrupted: scenarios that were left when somebody ended the run.
        notes: what went wrong beside the judgement.
    """

    command = "validate"

    passed: bool
    strict: bool
    suite: Annotated[str, Limits(enum=["quick", "full", "scenario"])]
    sources: tuple[ValidatedSource, ...]
    executed_by: ExecutedBy
    overshoot_columns: Count
    code_objects: tuple[CodeObjectReport, ...]
    scenarios: tuple[ScenarioReport, ...]
    not_run: tuple[NotRunReport, ...]
    seconds: Measure
    notes: tuple[str, ...]
    interrupted: Count
    fault: FaultPairReport | None = None

    @classmethod
    def of(cls, report: Report) -> ValidateReport:
        """From what was found."""
        failures = report.failures
        return cls(
            passed=report.passed,
            strict=report.strict,
            suite=report.suite,
            sources=tuple(
                ValidatedSource(s.path, s.sha256, s.original_sha256, s.mends, s.kernels) for s in report.sources
            ),
            executed_by=ExecutedBy(report.device, report.triton, report.subject, report.hardware, report.fp_fusion),
            overshoot_columns=report.overshoot_columns,
            code_objects=tuple(
                CodeObjectReport(c.kernel, c.config, c.sha256, c.out_stride) for c in report.code_objects
            ),
            scenarios=tuple(ScenarioReport.of(s, passed=s not in failures) for s in report.scenarios),
            not_run=tuple(
                NotRunReport(n.kernel, n.config, n.what, n.why, n.refused, n.known_faults) for n in report.not_run
            ),
            seconds=round(report.seconds, 3),
            notes=report.notes,
            interrupted=report.interrupted,
        )
