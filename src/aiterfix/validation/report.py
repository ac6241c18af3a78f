"""What a validation found, as facts; and their form for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiterfix.family.portable import Portable
from aiterfix.faults.base import Presence

if TYPE_CHECKING:
    from aiterfix.family.portable import AnyKernel
    from aiterfix.validation.scenarios import Scenario

NO_CODE = "instruction-shape"
"""The fault by which a kernel gives no code in any configuration: one that runs has it not."""


@dataclass(frozen=True)
class AccessOutside:
    """Accesses outside every allocation that one instruction made, over all its lanes and repetitions.

    Attributes:
        kind: ``load`` or ``store``.
        allocation: the kernel argument whose allocation is nearest.
        source: kernel source line, ``file:line``; empty where the line table does not say.
        pc: byte offset of the instruction in the code.
        count: lanes that accessed outside, all executions together.
        first_element: lowest element offset from the allocation's start, or None where it is not known.
        last_element: highest.
        workgroup: one workgroup that did it.
    """

    kind: str
    allocation: str
    source: str
    pc: int
    count: int
    first_element: int | None
    last_element: int | None
    workgroup: int | None


@dataclass(frozen=True)
class Anomaly:
    """Something that is not as it should be and does not fail a run unless it is strict.

    Attributes:
        name: stable name of the kind of finding.
        count: how many elements, lanes or rows.
        detail: where, in words.
    """

    name: str
    count: int
    detail: str


@dataclass(frozen=True)
class ScenarioResult:
    """One launch, judged.

    Attributes:
        kernel: the kernel's short name.
        passed: nothing written outside a row or an allocation, and the visible columns right.
        visible_logits: logits that were compared.
        largest_error: largest absolute error of a logit that is right.
        error_of_bound: the same as a fraction of the bound that float32 rounding explains.
        wrong_at: a few of them, ``row, column: got, expected``.
        overshoot_columns: columns written past ``max_model_len``, the most of any row; measured in the gap between
            rows, or past the last row where rows have no gap.
        elements_in_gaps: elements written between rows, all together.
        elements_past_last_row: elements written past the output's end.
        outside: accesses outside allocations, stores first.
        seconds: time that it took to execute.
        wave_instructions: instructions executed, counted once a wave; 0 on a GPU.
        fault: what ended the launch before there was anything to judge; empty otherwise.
        known_faults: ids of the faults that explain what is wrong, where the kernel has them.
        tolerance: largest error that float32 rounding explains, of any logit.
    """

    name: str
    kernel: str
    config: str
    passed: bool
    rows: int
    visible_logits: int = 0
    largest_error: float = 0.0
    error_of_bound: float = 0.0
    wrong_logits: int = 0
    wrong_at: tuple[str, ...] = ()
    overshoot_columns: int = 0
    elements_in_gaps: int = 0
    elements_past_last_row: int = 0
    outside: tuple[AccessOutside, ...] = ()
    findings: tuple[Anomaly, ...] = ()
    seconds: float = 0.0
    wave_instructions: int = 0
    fault: str = ""
    known_faults: tuple[str, ...] = ()
    tolerance: float = 0.0


@dataclass(frozen=True)
class Hardware:
    """The machine that a kernel ran on.

    Attributes:
        kind: ``rocm``, ``cuda``, or ``cpu`` for Triton's interpreter.
        name: the device's own name.
        arch: ``gfx950``, ``sm_90``; empty for a CPU.
        torch: release.
        triton: release; empty where there is none.
        runtime: ``ROCm 7.0`` or ``CUDA 13.0``, as torch was built for it.
        driver: release of the kernel driver; empty where it is not known.
    """

    kind: str
    name: str
    arch: str
    torch: str
    triton: str
    runtime: str
    driver: str


@dataclass(frozen=True)
class NotRun:
    """A kernel and configuration that could not be compiled or executed, and why.

    ``understood`` is false where the kernel or its code object holds something that this package does not know;
    ``refused`` is true where no launch of the kind can be, because the wrapper raises first; ``known_faults`` explain
    why there is no code. ``call`` is true where it is a call of a wrapper that was not made.
    """

    kernel: str
    config: str
    what: str
    why: str
    understood: bool = True
    refused: bool = False
    known_faults: tuple[str, ...] = ()
    call: bool = False


@dataclass(frozen=True)
class SourceFacts:
    """A text that was compiled.

    Attributes:
        path: what the report calls it.
        sha256: its digest; empty for a prebuilt code object.
        original_sha256: digest of the text before it was mended.
        mends: ids of the faults that were mended in it; None where what ran may be another text.
        presence: function to fault to whether source says that it has it.
        wrapper: whether it is what launches the kernels, of which calls were made.
    """

    path: str
    sha256: str = ""
    original_sha256: str = ""
    mends: tuple[str, ...] | None = None
    kernels: tuple[str, ...] = ()
    presence: Mapping[str, Mapping[str, Presence]] = field(default_factory=dict, repr=False)
    wrapper: bool = False


@dataclass(frozen=True)
class CodeObjectFacts:
    """One code object that was executed."""

    kernel: str
    config: str
    sha256: str
    out_stride: str


@dataclass(frozen=True)
class Report:
    """A whole validation.

    Attributes:
        device: ``emulator``, or the GPU's name.
        triton: release that compiled; empty where it is not known.
        suite: ``quick``, ``full``, or ``scenario`` for chosen ones.
        strict: whether findings fail the run.
        seconds: wall time, compilation included.
        notes: what went wrong beside the judgement, such as evidence that could not be kept.
        hardware: the GPU that it ran on; None for the emulator.
        subject: what was run, in words; empty for Gluon kernels and prebuilt code objects on the emulator.
        interrupted: how many scenarios were left when somebody ended the run; 0 where nobody did.
        fp_fusion: whether that Triton makes one instruction of a multiplication and an addition where a launch says
            nothing of it, as the wrappers do; None where it is not known.
    """

    sources: tuple[SourceFacts, ...]
    device: str
    triton: str
    suite: str = ""
    strict: bool = False
    code_objects: tuple[CodeObjectFacts, ...] = ()
    scenarios: tuple[ScenarioResult, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    hardware: Hardware | None = None
    subject: str = ""
    interrupted: int = 0
    fp_fusion: bool | None = None

    def presence(self, kernel: AnyKernel) -> Mapping[str, Presence]:
        """What source says of each judged fault in a kernel; of files that define it, the first one's counts."""
        found = (source.presence for source in self.sources if kernel.value in source.kernels)
        return next(found, {}).get(kernel.function, {})

    @property
    def passed(self) -> bool:
        """Whether all that can be launched ran, every scenario passed, and, if strict, nothing was found."""
        return bool(self.scenarios) and not self.missing and not self.failures and not self.interrupted

    @property
    def missing(self) -> tuple[NotRun, ...]:
        """What was not run and would have to be: of a kernel that ran, not what a known fault explains."""
        ran = {result.kernel for result in self.scenarios}
        return tuple(m for m in self.not_run if not m.refused and not (m.known_faults and m.kernel in ran))

    @property
    def failures(self) -> tuple[ScenarioResult, ...]:
        """Scenarios that did not pass."""
        return tuple(s for s in self.scenarios if _fails(self, s))

    @property
    def not_understood(self) -> bool:
        """Whether something was not run because it is not understood, rather than for want of a compiler."""
        return any(not missing.understood for missing in self.missing)

    @property
    def overshoot_columns(self) -> int:
        """The most columns written past ``max_model_len`` in any scenario."""
        return max((s.overshoot_columns for s in self.scenarios), default=0)


def head(report: Report, scenarios: Sequence[Scenario]) -> Iterator[str]:
    """What runs, and the head of the rows that follow, line by line."""
    for source in report.sources:
        digest = source.sha256[:12] or "(prebuilt)"
        mended = f", with {', '.join(source.mends)} mended" if source.mends else ""
        yield f"{source.path}  sha256 {digest}{mended}"
    yield from _executed_by(report)
    width = _width(scenarios)
    yield f"{'scenario':{width}}  status  {'over':>4}  {'wrong':>7}  {'error':>8}  {'tolerance':>9}  {'seconds':>7}"


def row(report: Report, result: ScenarioResult, scenarios: Sequence[Scenario]) -> str:
    """One result as a line."""
    word = "FAILED" if _fails(report, result) else "passed"
    line = f"{result.name:{_width(scenarios)}}  {word}"
    if result.fault:
        line += f"  {result.fault}"
    elif result.visible_logits or not result.passed:
        numbers = f"{result.largest_error:8.2e}  {result.tolerance:9.2e}  {result.seconds:7.2f}"
        line += f"  {result.overshoot_columns:4}  {result.wrong_logits:7}  {numbers}"
    return f"{line}  known fault: {', '.join(result.known_faults)}" if result.known_faults else line


def _width(scenarios: Sequence[Scenario]) -> int:
    return max((len(scenario.name) for scenario in scenarios), default=8)


def _fails(report: Report, result: ScenarioResult) -> bool:
    return not result.passed or (report.strict and bool(result.findings))


def tail(report: Report, arguments: Sequence[str] = ()) -> Iterator[str]:
    """What is to be said after the rows, line by line.

    Args:
        arguments: of ``aiterfix validate``, that say what was validated; repeated where a scenario is to be replayed.
    """
    for kind in ("store", "load"):
        yield from _accesses(report, kind)
    yield from _findings(report)
    for missing in report.not_run:
        word = "refused by the wrapper" if missing.refused else "not run"
        known = f" (known fault: {', '.join(missing.known_faults)})" if missing.known_faults else ""
        yield f"{word}{known}: {missing.kernel} {missing.config}: {missing.what}"
        if missing.why and not missing.known_faults:
            yield from (f"    {line}" for line in missing.why.splitlines())
    for note in report.notes:
        yield f"note: {note}"
    for s in report.failures[:1]:
        kernel = _option(s.kernel, on_gpu=report.hardware is not None)
        words = ("aiterfix", "validate", *arguments, *kernel, "--scenario", s.name)
        others = ", and the others by their names" if len(report.failures) > 1 else ""
        yield f"replay it alone{others}: {shlex.join(words)}"
    failed = report.failures
    explained = [s for s in failed if s.known_faults]
    count = f"{len(failed)} failed"
    if explained:
        names = dict.fromkeys(fault for s in explained for fault in s.known_faults)
        count += f", {len(explained)} of them by known faults ({', '.join(names)})"
    if report.interrupted:
        yield f"interrupted: {report.interrupted} scenarios were left"
    word = "passed" if report.passed else "failed"
    yield f"{word}: {len(report.scenarios)} scenarios, {count}, {report.seconds:.1f} s"


def _option(kernel: str, *, on_gpu: bool) -> tuple[str, ...]:
    """The option without which a kernel is not run."""
    known = next((portable for portable in Portable if portable.value == kernel), None)
    if known is None or not (known.own or on_gpu):
        return ()
    return ("--kernel", "own" if known.own else "stage1")


def _executed_by(report: Report) -> Iterator[str]:
    ran = report.hardware
    if ran is None:
        what = f"{report.subject}, " if report.subject else ""
        triton = (report.triton or "(unknown)") + (" without FP fusion" if report.fp_fusion is False else "")
        yield f"{what}executed by {report.device}, compiled by Triton {triton}, {report.suite} set"
        return
    yield f"{report.subject}, {report.suite} set"
    parts = (ran.arch, ran.runtime, f"driver {ran.driver}" if ran.driver else "", f"torch {ran.torch}")
    said = ", ".join(part for part in (*parts, f"Triton {ran.triton or '(none)'}") if part)
    yield f"ran on {ran.name} ({said})"


def _accesses(report: Report, kind: str) -> Iterator[str]:
    seen: dict[tuple[str, str, str], tuple[int, str]] = {}
    for s in report.scenarios:
        for access in s.outside:
            if access.kind == kind:
                key = (s.kernel, access.source, access.allocation)
                count, first = seen.get(key, (0, s.name))
                seen[key] = (count + access.count, first)
    if seen:
        yield f"{kind}s outside allocations:"
    for (kernel, source, allocation), (count, first) in sorted(seen.items()):
        yield f"  {source or '(no source line)'}  {kernel}  {allocation}  {count} lanes, first in {first}"


def _findings(report: Report) -> Iterator[str]:
    seen: dict[tuple[str, str], list[Anomaly]] = {}
    for s in report.scenarios:
        for finding in s.findings:
            seen.setdefault((finding.name, s.kernel), []).append(finding)
    if seen:
        yield "findings (fail only with --strict):"
    for (name, kernel), found in sorted(seen.items()):
        total = sum(f.count for f in found)
        yield f"  {name}  {kernel}: {total} in {len(found)} scenarios, e.g. {found[0].detail}"
