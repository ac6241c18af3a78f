"""Scenarios one after another, on whatever runs them: how far it is, and when to give up on a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiterfix.errors import AiterfixError, NotUnderstoodError
from aiterfix.gfx950.signature import KernelConfig
from aiterfix.validation.report import NotRun, ScenarioResult
from aiterfix.validation.scenarios import AnyKernel, Scenario


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


def run_series(
    todo: Sequence[Scenario],
    launch: Callable[[Scenario], ScenarioResult | NotRun],
    progress: Callable[[Progress], None] | None = None,
) -> tuple[tuple[ScenarioResult, ...], dict[tuple[AnyKernel, KernelConfig], NotRun]]:
    """Launch scenarios in order; of a kernel and configuration that could not be run once, the rest are left out.

    Args:
        todo: the scenarios.
        launch: runs and judges one, or says why that cannot be; see :func:`not_run`.
        progress: called before and after every scenario.

    Returns:
        results in order, and what was given up.
    """
    results: list[ScenarioResult] = []
    given_up: dict[tuple[AnyKernel, KernelConfig], NotRun] = {}
    for item in todo:
        if (item.kernel, item.config) in given_up:
            continue
        if progress:
            progress(Progress(len(results), len(todo), item.name))
        outcome = launch(item)
        if isinstance(outcome, NotRun):
            given_up[item.kernel, item.config] = outcome
            continue
        results.append(outcome)
        if progress:
            progress(Progress(len(results), len(todo), item.name, outcome))
    return tuple(results), given_up


def not_run(scenario: Scenario, error: AiterfixError) -> NotRun:
    """That a scenario's kernel could not be run, because of an error."""
    understood = not isinstance(error, NotUnderstoodError)
    what = f"{scenario.name}: {error.what}"
    return NotRun(scenario.kernel.value, scenario.config.name, what, error.why, understood)
