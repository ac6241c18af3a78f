"""The loop that every device's validation goes through."""

from __future__ import annotations

import pytest

from aiterfix.errors import AiterfixError, EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950.compile import CompileError, CompilerDiedError
from aiterfix.validation.interface import RefusedLaunchError
from aiterfix.validation.report import NotRun, ScenarioResult
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.series import Progress, run_series

SHAPE = ("instruction-shape",)


def scenario(kernel: Kernel, title: str) -> Scenario:
    return Scenario(kernel, KernelConfig(), title, (1,), 1, 64, 0, 1)


def result(item: Scenario) -> ScenarioResult:
    names = (item.name, item.kernel.value, item.config.name)
    return ScenarioResult(*names, True, 1, 1, 0.0, 0.0, 0, (), 0, 0, 0, (), (), 0.0, 0)


def test_a_kernel_that_could_not_be_run_once_is_given_up_and_the_others_go_on() -> None:
    base = [scenario(Kernel.BASE, title) for title in ("a", "b", "c")]
    other = [scenario(Kernel.PRESHUFFLE, title) for title in ("a", "b")]
    launched: list[Scenario] = []
    steps: list[Progress] = []

    died = EnvironmentProblem("it died", why="signal 11")

    def launch(item: Scenario) -> ScenarioResult:
        launched.append(item)
        if item is base[1]:
            raise died
        return result(item)

    series = run_series([*base, *other], launch, steps.append)
    assert launched == [base[0], base[1], *other]
    assert [r.name for r in series.results] == [base[0].name, *(o.name for o in other)]
    assert series.not_run == (NotRun("base", "h64-b64", f"{base[1].name}: it died", "signal 11", True),)
    assert series.error is died
    assert [(s.done, s.what, s.last is not None) for s in steps] == [
        (0, base[0].name, False),
        (1, base[0].name, True),
        (1, base[1].name, False),
        (3, other[0].name, False),
        (4, other[0].name, True),
        (4, other[1].name, False),
        (5, other[1].name, True),
    ]
    assert {s.total for s in steps} == {5}


def test_what_is_not_understood_is_told_from_what_the_machine_lacks() -> None:
    for error, understood in ((NotUnderstoodError("unknown instruction"), False), (EnvironmentProblem("none"), True)):

        def launch(_: Scenario, error: AiterfixError = error) -> ScenarioResult:
            raise error

        (missing,) = run_series([scenario(Kernel.BASE, "a")], launch).not_run
        assert missing.understood is understood
    with pytest.raises(UsageError):
        run_series([scenario(Kernel.BASE, "a")], _misused)


def test_an_interrupt_keeps_what_was_judged_by_then() -> None:
    todo = [scenario(Kernel.BASE, title) for title in ("a", "b", "c")]

    def launch(item: Scenario) -> ScenarioResult:
        if item is todo[1]:
            raise KeyboardInterrupt
        return result(item)

    series = run_series(todo, launch)
    assert [r.name for r in series.results] == [todo[0].name] and series.interrupted == 2


def test_a_launch_that_the_wrapper_refuses_is_no_want_of_anything() -> None:
    def launch(_: Scenario) -> ScenarioResult:
        raise RefusedLaunchError("the wrapper refuses blocks of 64 tokens")

    series = run_series([scenario(Kernel.BASE, "a")], launch)
    (missing,) = series.not_run
    assert missing.refused and series.error is None


@pytest.mark.parametrize(
    ("error", "title", "known"),
    [
        (CompilerDiedError("it died", why="signal 8"), "small-chunk", ("small-chunk",)),
        (CompilerDiedError("it died", why="signal 6"), "full", ()),
        (CompileError("no", why="AssertionError: instr_shape must follow the (M, N, K) format"), "full", SHAPE),
        (CompileError("no", why="no matching matrix core intrinsic for mfma version 3 with"), "small-chunk", SHAPE),
        (CompileError("no", why="SyntaxError"), "small-chunk", ()),
        (EnvironmentProblem("no Triton"), "small-chunk", ()),
    ],
)
def test_want_of_code_is_explained_by_known_faults(error: AiterfixError, title: str, known: tuple[str, ...]) -> None:
    def launch(_: Scenario) -> ScenarioResult:
        raise error

    (missing,) = run_series([scenario(Kernel.BASE, title)], launch).not_run
    assert missing.known_faults == known


def _misused(_: Scenario) -> ScenarioResult:
    raise UsageError("too few programs")
