"""What a validation found, as facts; and their form for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aiterfix.family.portable import Portable
from aiterfix.report.terminal import table as columns


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
        name: the scenario's name.
        kernel: the kernel's short name.
        config: name of the configuration.
        passed: nothing written outside a row or an allocation, and the visible columns right.
        rows: rows of the output.
        visible_logits: logits that were compared.
        largest_error: largest absolute error of a logit that is right.
        error_of_bound: the same as a fraction of the bound that float32 rounding explains.
        wrong_logits: visible logits that are wrong.
        wrong_at: a few of them, ``row, column: got, expected``.
        overshoot_columns: columns written past ``max_model_len``, the most of any row; measured in the gap between
            rows, or past the last row where rows have no gap.
        elements_in_gaps: elements written between rows, all together.
        elements_past_last_row: elements written past the output's end.
        outside: accesses outside allocations, stores first.
        findings: findings by name.
        seconds: time that it took to execute.
        wave_instructions: instructions executed, counted once a wave; 0 on a GPU.
        fault: what ended the launch before there was anything to judge; empty otherwise.
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

    ``understood`` is false where the kernel or its code object holds something that this package does not know.
    """

    kernel: str
    config: str
    what: str
    why: str
    understood: bool = True


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
        path: the kernel file, as named by the caller.
        source_sha256: its digest; empty for a prebuilt code object.
        device: ``emulator``, or the GPU's name.
        triton: release that compiled; empty where it is not known.
        suite: ``quick``, ``full``, or ``scenario`` for chosen ones.
        strict: whether findings fail the run.
        code_objects: what was executed.
        scenarios: results in order.
        not_run: what could not be.
        seconds: wall time, compilation included.
        notes: what went wrong beside the judgement, such as evidence that could not be kept.
        hardware: the GPU that it ran on; None for the emulator.
        subject: what was run, in words; empty for Gluon kernels and prebuilt code objects on the emulator.
        mends: ids of the faults that were mended in the text of this digest; None where what ran may be another text,
            so that nothing is recorded of it.
    """

    path: str
    source_sha256: str
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
    mends: tuple[str, ...] | None = None

    @property
    def passed(self) -> bool:
        """Whether everything ran, every scenario passed, and, if strict, nothing was found."""
        return bool(self.scenarios) and not self.not_run and not self.failures

    @property
    def failures(self) -> tuple[ScenarioResult, ...]:
        """Scenarios that did not pass."""
        return tuple(s for s in self.scenarios if not s.passed or (self.strict and s.findings))

    @property
    def not_understood(self) -> bool:
        """Whether something was not run because it is not understood, rather than for want of a compiler."""
        return any(not missing.understood for missing in self.not_run)

    @property
    def overshoot_columns(self) -> int:
        """The most columns written past ``max_model_len`` in any scenario."""
        return max((s.overshoot_columns for s in self.scenarios), default=0)


def table(report: Report, arguments: Sequence[str] = ()) -> Iterator[str]:
    """The report for people, line by line.

    Args:
        report: what to tell.
        arguments: of ``aiterfix validate``, that say what was validated; repeated where a scenario is to be replayed.
    """
    yield f"{report.path}  sha256 {report.source_sha256[:12] or '(prebuilt)'}"
    yield from _executed_by(report)
    rows: list[tuple[str, ...]] = [("scenario", "", "overshoot", "wrong", "largest error", "seconds")]
    failed = {s.name for s in report.failures}
    for s in report.scenarios:
        row = (s.name, "FAILED" if s.name in failed else "passed")
        numbers = (str(s.overshoot_columns), str(s.wrong_logits), f"{s.largest_error:.2e}", f"{s.seconds:.2f}")
        rows.append((*row, s.fault) if s.fault else (*row, *numbers))
    yield from columns(rows, right=range(2, 6))
    for kind in ("store", "load"):
        yield from _accesses(report, kind)
    yield from _findings(report)
    for missing in report.not_run:
        yield f"not run: {missing.kernel} {missing.config}: {missing.what}"
        if missing.why:
            yield f"    {missing.why}"
    for note in report.notes:
        yield f"note: {note}"
    word = "passed" if report.passed else "failed"
    yield f"{word}: {len(report.scenarios)} scenarios, {len(failed)} failed, {report.seconds:.1f} s"
    for s in report.failures[:3]:
        words = ("aiterfix", "validate", *arguments, *_option(s.kernel), "--scenario", s.name)
        yield f"  replay: {shlex.join(words)}"


def _option(kernel: str) -> tuple[str, ...]:
    """The option without which a kernel is not run."""
    if kernel not in {portable.value for portable in Portable}:
        return ()
    return ("--kernel", "own" if Portable(kernel).own else "stage1")


def _executed_by(report: Report) -> Iterator[str]:
    ran = report.hardware
    if ran is None:
        what = f"{report.subject}, " if report.subject else ""
        triton = report.triton or "(unknown)"
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
