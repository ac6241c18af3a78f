"""Scenarios one after another, on whatever runs them: how far it is, and when to give up on a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiterfix.errors import AiterfixError, EnvironmentProblem, NotUnderstoodError
from aiterfix.validation.report import NotRun, ScenarioResult
from aiterfix.validation.scenarios import Scenario


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: scenarios judged.
        total: scenarios to judge.
        what: what is being done now.
        last: the result just judged, if one was.
    """

    done: int
    total: int
    what: str
    last: ScenarioResult | None = None


@dataclass(frozen=True)
class Series:
    """What came of it.

    Attributes:
        results: in order.
        not_run: kernels and configurations that were given up.
        error: why the first of them was.
    """

    results: tuple[ScenarioResult, ...]
    not_run: tuple[NotRun, ...]
    error: AiterfixError | None


def run_series(
    todo: Sequence[Scenario],
    run: Callable[[Scenario], ScenarioResult],
    progress: Callable[[Progress], None] | None = None,
) -> Series:
    """Run scenarios in order; of a kernel and configuration that could not be run once, the rest are left out.

    Args:
        todo: the scenarios.
        run: runs and judges one; it raises where its kernel cannot be compiled or is not understood.
        progress: called before and after every scenario.
    """
    results: list[ScenarioResult] = []
    given_up: dict[tuple[object, object], NotRun] = {}
    first: AiterfixError | None = None
    for item in todo:
        if (item.kernel, item.config) in given_up:
            continue
        if progress:
            progress(Progress(len(results), len(todo), item.name))
        try:
            result = run(item)
        except (EnvironmentProblem, NotUnderstoodError) as error:
            first = first or error
            given_up[item.kernel, item.config] = _not_run(item, error)
            continue
        results.append(result)
        if progress:
            progress(Progress(len(results), len(todo), item.name, result))
    return Series(tuple(results), tuple(given_up.values()), first)


def _not_run(scenario: Scenario, error: AiterfixError) -> NotRun:
    understood = not isinstance(error, NotUnderstoodError)
    what = f"{scenario.name}: {error.what}"
    return NotRun(scenario.kernel.value, scenario.config.name, what, error.why, understood)
