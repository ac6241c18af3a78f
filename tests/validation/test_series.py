"""The loop that every device's validation goes through."""

from __future__ import annotations

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.gfx950.signature import Kernel, KernelConfig
from aiterfix.validation.report import NotRun, ScenarioResult
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.series import Progress, not_run, run_series


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

    def launch(item: Scenario) -> ScenarioResult | NotRun:
        launched.append(item)
        return not_run(item, EnvironmentProblem("it died", why="signal 11")) if item is base[1] else result(item)

    results, given_up = run_series([*base, *other], launch, steps.append)
    assert launched == [base[0], base[1], *other]
    assert [r.name for r in results] == [base[0].name, *(o.name for o in other)]
    assert given_up == {
        (Kernel.BASE, KernelConfig()): NotRun("base", "h64-b64", f"{base[1].name}: it died", "signal 11", True)
    }
    assert [(s.done, s.what, s.last is not None) for s in steps] == [
        (0, base[0].name, False),
        (1, base[0].name, True),
        (1, base[1].name, False),
        (1, other[0].name, False),
        (2, other[0].name, True),
        (2, other[1].name, False),
        (3, other[1].name, True),
    ]
    assert {s.total for s in steps} == {5}


def test_what_is_not_understood_is_told_from_what_the_machine_lacks() -> None:
    item = scenario(Kernel.BASE, "a")
    assert not not_run(item, NotUnderstoodError("unknown instruction")).understood
    assert not_run(item, EnvironmentProblem("no compiler")).understood
