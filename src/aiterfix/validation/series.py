"""Scenarios one after another, on whatever runs them: how far it is, and when to give up on a kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiterfix.errors import AiterfixError, EnvironmentProblem, NotUnderstoodError
from aiterfix.family.signature import Kernel
from aiterfix.gfx950.compile import CompileError, CompilerDiedError
from aiterfix.validation.interface import RefusedLaunchError
from aiterfix.validation.report import NotRun, ScenarioResult
from aiterfix.validation.scenarios import Scenario

_INSTRUCTION_SHAPE = ("instr_shape must follow", "no matching matrix core intrinsic for mfma version 3")
"""What compilers say of a matrix instruction of two dimensions, and of one for the generation before gfx950's."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
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
        not_run: kernels and configurations that were given up.
        error: why the first of them was.
        interrupted: how many were left when somebody ended the run.
    """

    results: tuple[ScenarioResult, ...]
    not_run: tuple[NotRun, ...]
    error: AiterfixError | None
    interrupted: int = 0


def run_series(
    todo: Sequence[Scenario],
    run: Callable[[Scenario], ScenarioResult],
    progress: Callable[[Progress], None] | None = None,
) -> Series:
    """Run scenarios in order; of a kernel and configuration that could not be run once, the rest are left out.

    An interrupt ends the series; what was judged by then is kept.

    Args:
        run: runs and judges one; it raises where its kernel cannot be compiled or is not understood.
        progress: called before and after every scenario.
    """
    results: list[ScenarioResult] = []
    given_up: dict[tuple[object, ...], NotRun] = {}
    first: AiterfixError | None = None
    done = 0
    try:
        for done, item in enumerate(todo):
            about = group_of(item)
            if about in given_up:
                continue
            if progress:
                progress(Progress(done, len(todo), item.name))
            try:
                results.append(run(item))
            except (EnvironmentProblem, NotUnderstoodError, RefusedLaunchError) as error:
                if not isinstance(error, RefusedLaunchError):
                    first = first or error
                given_up[about] = _not_run(item, error)
                continue
            if progress:
                progress(Progress(done + 1, len(todo), item.name, results[-1]))
    except KeyboardInterrupt:
        return Series(tuple(results), tuple(given_up.values()), first, len(todo) - done)
    return Series(tuple(results), tuple(given_up.values()), first)


def group_of(scenario: Scenario) -> tuple[object, ...]:
    """What is given up together: a kernel in a configuration, or one kind of call."""
    return scenario.kernel, scenario.config, scenario.title if scenario.call else None


def _not_run(scenario: Scenario, error: AiterfixError) -> NotRun:
    refused = isinstance(error, RefusedLaunchError)
    known = faults_without_code(scenario, error) if isinstance(error, CompileError) else ()
    return NotRun(
        scenario.kernel.value,
        scenario.config.name,
        f"{scenario.name}: {error.what}",
        error.why,
        understood=not isinstance(error, NotUnderstoodError),
        refused=refused,
        known_faults=known,
        call=scenario.call,
    )


def faults_without_code(scenario: Scenario, error: CompileError) -> tuple[str, ...]:
    """The known faults that explain why a Gluon kernel does not compile, by how the compiler ended."""
    if not isinstance(scenario.kernel, Kernel):
        return ()
    if isinstance(error, CompilerDiedError) and scenario.title == "small-chunk":
        return ("small-chunk",)
    return ("instruction-shape",) if any(words in error.why for words in _INSTRUCTION_SHAPE) else ()
