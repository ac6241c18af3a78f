"""Choose, run, report: the whole of a validation, whatever is validated and wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from aiterfix import __version__
from aiterfix.errors import UsageError
from aiterfix.validation.evidence import Evidence, keep, names_digest, today
from aiterfix.validation.interface import Executor, Subject
from aiterfix.validation.report import Report
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
    record: bool = True,
) -> Report:
    """Run a subject's kernels and compare every logit with a reference.

    Args:
        subject: what holds the kernels.
        executor: what runs them.
        selection: which scenarios; default the quick set of every kernel that the subject holds.
        strict: anomalies fail the run too.
        progress: called before and after every scenario.
        record: keep a whole suite's outcome as evidence, where it is about one text.

    Raises:
        UsageError: an unknown kernel, scenario, fault or configuration.
        NotUnderstoodError: the subject holds no kernel that is known, or nothing of it is understood.
        EnvironmentProblem: what compiles or runs is not there, or nothing could be compiled.
    """
    started = time.perf_counter()
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
        series = run_series(todo, prepared.run, progress)
        if not series.results and series.error is not None:
            raise series.error
        ran = prepared.report()
    report = replace(
        ran,
        suite=selection.name,
        strict=strict,
        scenarios=series.results,
        not_run=series.not_run,
        seconds=time.perf_counter() - started,
    )
    if record and selection.whole and report.mends is not None and not report.not_run:
        try:
            keep(_evidence(report, report.mends))
        except OSError as error:
            report = replace(report, notes=(*report.notes, f"no evidence was kept: {error}"))
    return report


def _evidence(report: Report, mends: tuple[str, ...]) -> Evidence:
    names = [result.name for result in report.scenarios]
    return Evidence(
        text_sha256=report.source_sha256,
        mends=tuple(sorted(set(mends))),
        triton=report.triton,
        device=report.device,
        suite=report.suite,
        scenarios=len(names),
        names_sha256=names_digest(names),
        failed=sum(not result.passed for result in report.scenarios),
        version=__version__,
        date=today(),
    )
