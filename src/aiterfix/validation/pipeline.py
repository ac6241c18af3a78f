"""Choose, run, report: the whole of a validation, whatever is validated and wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from aiterfix import __version__
from aiterfix.errors import UsageError
from aiterfix.faults.base import Presence
from aiterfix.gfx950.compile import CompileError
from aiterfix.judge.compiler import compiler_notes
from aiterfix.judge.kernel_objects import known_faults
from aiterfix.validation.comparison import attributed
from aiterfix.validation.evidence import Evidence, Outcome, keep, names_digest, today
from aiterfix.validation.interface import Executor, RefusedLaunchError, Subject
from aiterfix.validation.report import NotRun, Report, ScenarioResult
from aiterfix.validation.scenarios import SCENARIOS_OF_FAULT, Scenario, faults_shown
from aiterfix.validation.selection import Selection, choose_scenarios
from aiterfix.validation.series import Progress, run_series

S = TypeVar("S", bound=Subject)


def validate(
    subject: S,
    executor: Executor[S],
    selection: Selection | None = None,
    *,
    strict: bool = False,
    progress: Callable[[Progress], None] | None = None,
    started: Callable[[Report, Sequence[Scenario]], None] | None = None,
    record: bool = True,
) -> Report:
    """Run a subject's kernels and compare every logit with a reference.

    Args:
        subject: what holds the kernels.
        executor: what runs them.
        selection: which scenarios; default the quick set of every kernel that the subject holds.
        strict: anomalies fail the run too.
        progress: called before and after every scenario.
        started: called with what runs, and the scenarios that will be, before the first of them.
        record: keep a whole suite's outcome as evidence, where it is about one text.

    Raises:
        UsageError: an unknown kernel, scenario, fault or configuration.
        NotUnderstoodError: the subject holds no kernel that is known, or nothing of it is understood.
        EnvironmentProblem: what compiles or runs is not there.
    """
    clock = time.perf_counter()
    selection = selection or Selection()
    kernels = subject.kernels
    if selection.kernels is not None:
        absent = [kernel.value for kernel in selection.kernels if kernel not in kernels]
        if absent:
            raise UsageError(
                f"there is no kernel {', '.join(absent)} in what is validated",
                remedy="one of " + ", ".join(kernel.value for kernel in kernels),
            )
        kernels = selection.kernels
    configs = selection.configs if selection.configs is not None else subject.configs
    todo = choose_scenarios(kernels, configs, selection, executor.offered)
    with executor.prepare(subject) as prepared:

        def run(scenario: Scenario) -> ScenarioResult:
            presence = prepared.report().presence(scenario.kernel)
            for fault in faults_shown(scenario):
                if presence.get(fault) is Presence.REFUSED:
                    raise RefusedLaunchError(f"every entry that launches this kernel raises first ({fault})")
            harmless = frozenset(fault for fault, found in presence.items() if found.harmless)
            return attributed(prepared.run(scenario), scenario, harmless)

        if started:
            started(replace(prepared.report(), suite=selection.name, strict=strict), todo)
        series = run_series(todo, run, progress)
        # What one kernel lacks leaves the others; what all lack, such as a compiler, is said once.
        if not series.results and series.error is not None and not isinstance(series.error, CompileError):
            raise series.error
        ran = prepared.report()
    report = replace(
        ran,
        suite=selection.name,
        strict=strict,
        scenarios=series.results,
        not_run=series.not_run,
        interrupted=series.interrupted,
        seconds=time.perf_counter() - clock,
        notes=(*ran.notes, *compiler_notes(ran.triton, known_faults())),
    )
    if record and selection.whole and not report.interrupted:
        try:
            for evidence in evidence_from(report):
                keep(evidence)
        except OSError as error:
            report = replace(report, notes=(*report.notes, f"no evidence was kept: {error}"))
    return report


def evidence_from(report: Report) -> Iterator[Evidence]:
    """What a whole suite has shown, one record a text whose mends are known and of which nothing is missing."""
    missing = {found.kernel for found in report.missing}
    for source in report.sources:
        results = [result for result in report.scenarios if result.kernel in source.kernels]
        if source.mends is None or not results or missing & set(source.kernels):
            continue
        without = [missing for missing in report.not_run if missing.kernel in source.kernels]
        yield Evidence(
            text_sha256=source.sha256,
            original_sha256=source.original_sha256,
            mends=tuple(sorted(set(source.mends))),
            triton=report.triton,
            device=report.device,
            suite=report.suite,
            scenarios=len(results),
            names_sha256=names_digest(result.name for result in results),
            failed=sum(not result.passed and not result.known_faults for result in results),
            faults=tuple(sorted(_by_fault(results, without).items())),
            version=__version__,
            date=today(),
        )


def _by_fault(results: Sequence[ScenarioResult], without: Sequence[NotRun]) -> dict[str, Outcome]:
    """Of each fault, what the scenarios came to that are there to show it: the worst of them."""
    found: dict[str, Outcome] = {}
    by_name = {result.name: result for result in results}
    for fault, shown in SCENARIOS_OF_FAULT.items():
        ran = [by_name[scenario.name] for scenario in shown if scenario.name in by_name]
        refused = any(
            m.refused and (m.kernel, m.config) == (s.kernel.value, s.config.name) for m in without for s in shown
        )
        if any(fault in result.known_faults for result in results) or any(not result.passed for result in ran):
            found[fault] = "failed"
        elif any(fault in missing.known_faults for missing in without):
            found[fault] = "no code"
        elif ran:
            found[fault] = "passed"
        elif refused:
            found[fault] = "refused"
    return found
