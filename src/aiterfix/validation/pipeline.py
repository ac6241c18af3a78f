"""Choose, run, report: the whole of a validation, whatever is validated and wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from aiterfix import __version__
from aiterfix.errors import UsageError
from aiterfix.faults.base import Presence
from aiterfix.gfx950.compile import CompileError
from aiterfix.judge.compiler import compiler_faults, compiler_notes
from aiterfix.judge.kernel_objects import known_faults
from aiterfix.validation.calls import TOLD
from aiterfix.validation.comparison import attributed
from aiterfix.validation.evidence import CALLED, Evidence, Outcome, keep, names_digest, today
from aiterfix.validation.interface import Executor, RefusedLaunchError, Subject
from aiterfix.validation.report import NO_CODE, NotRun, Report, ScenarioResult
from aiterfix.validation.scenarios import CALLS_OF_FAULT, OF_COMPILER, SCENARIOS_OF_FAULT, Scenario, faults_shown
from aiterfix.validation.selection import Selection, choose_scenarios
from aiterfix.validation.series import Progress, group_of, run_series

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
    todo = choose_scenarios(kernels, configs, selection, executor.offered, subject.calls)
    with executor.prepare(subject) as prepared:

        def refusal(scenario: Scenario) -> str | None:
            presence = prepared.report().presence(scenario.kernel)
            shown = () if scenario.call else faults_shown(scenario)
            return next((fault for fault in shown if presence.get(fault) is Presence.REFUSED), None)

        def run(scenario: Scenario) -> ScenarioResult:
            fault = refusal(scenario)
            if fault is not None:
                raise RefusedLaunchError(f"every entry that launches this kernel raises first ({fault})")
            presence = prepared.report().presence(scenario.kernel)
            harmless = {fault for fault, found in presence.items() if found.harmless}
            if OF_COMPILER not in compiler_faults(prepared.report().triton, known_faults()):
                harmless.add(OF_COMPILER)
            return attributed(prepared.run(scenario), scenario, frozenset(harmless))

        if started:
            started(replace(prepared.report(), suite=selection.name, strict=strict), todo)
        given_up = {group_of(scenario) for scenario in todo if refusal(scenario) is not None}
        prepared.ahead([scenario for scenario in todo if group_of(scenario) not in given_up])
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
    """What a whole suite has shown, one record a text whose mends are known and of which nothing is missing that no
    known fault explains."""
    called = {s.name for shown in CALLS_OF_FAULT.values() for s in shown}
    for source in report.sources:
        if source.wrapper:
            shown = CALLS_OF_FAULT
            results = [result for result in report.scenarios if result.name in called]
            without = [left for left in report.not_run if left.call]
        else:
            shown = SCENARIOS_OF_FAULT
            results = [r for r in report.scenarios if r.kernel in source.kernels and r.name not in called]
            without = [left for left in report.not_run if left.kernel in source.kernels and not left.call]
        missing = any(not (left.refused or left.known_faults) for left in without)
        found = _by_fault(results, without, shown)
        if source.mends is None or missing or not (results or "no code" in found.values()):
            continue
        yield Evidence(
            text_sha256=source.sha256,
            original_sha256=source.original_sha256,
            mends=tuple(sorted(set(source.mends))),
            triton=TOLD if source.wrapper else report.triton,
            device=CALLED if source.wrapper else report.device,
            suite=report.suite,
            scenarios=len(results),
            names_sha256=names_digest(result.name for result in results),
            # What a compiler spoils says nothing of a text or a mend.
            failed=sum(not result.passed and not set(result.known_faults) - {OF_COMPILER} for result in results),
            faults=tuple(sorted(found.items())),
            version=__version__,
            date=today(),
            fp_fusion=None if source.wrapper else report.fp_fusion,
        )


def _by_fault(
    results: Sequence[ScenarioResult], without: Sequence[NotRun], scenarios: Mapping[str, Sequence[Scenario]]
) -> dict[str, Outcome]:
    """Of each fault, what the scenarios came to that are there to show it: the worst of them."""
    found: dict[str, Outcome] = {}
    by_name = {result.name: result for result in results}
    for fault, shown in scenarios.items():
        ran = [by_name[scenario.name] for scenario in shown if scenario.name in by_name]
        refused = any(
            m.refused and (m.kernel, m.config) == (s.kernel.value, s.config.name) for m in without for s in shown
        )
        wrong = fault != NO_CODE and any(not result.passed for result in ran)
        if wrong or any(fault in result.known_faults for result in results):
            found[fault] = "failed"
        elif any(fault in missing.known_faults for missing in without):
            found[fault] = "no code"
        elif ran:
            found[fault] = "passed"
        elif refused:
            found[fault] = "refused"
    return found
