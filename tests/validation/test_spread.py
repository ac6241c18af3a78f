"""Scenarios in several processes: the same report, whatever becomes of one of them."""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.errors import AiterfixError, EnvironmentProblem, NotUnderstoodError
from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.own_kernel import own_kernel_file
from aiterfix.family.portable import AnyKernel
from aiterfix.family.signature import Kernel
from aiterfix.gfx950.cache import CodeObjectCache, CompiledKernel
from aiterfix.gfx950.compile import Compiler, CompilerDiedError
from aiterfix.gfx950.instruction import UnmodelledInstructionError
from aiterfix.gfx950.request import CompileRequest
from aiterfix.validation.emulator import EmulatedRun, Emulator, EmulatorLauncher, Launched
from aiterfix.validation.execution import KernelCompiler, Launcher
from aiterfix.validation.own import OwnKernel
from aiterfix.validation.pipeline import validate
from aiterfix.validation.report import Report
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.selection import Selection
from aiterfix.validation.series import Progress
from aiterfix.validation.source import AiterSource
from aiterfix.validation.spread import SpreadRun, default_jobs
from tests.emulator import needs_emulator
from tests.validation.launching import source

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs a Triton that compiles Gluon for AMD, 3.6 or later"
)

SOUND = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
FAULTY = SOUND.replace(b"BOUND_STORES = tl.constexpr(True)", b"BOUND_STORES = tl.constexpr(False)")
SOME = Selection((Kernel.PRESHUFFLE,), pattern="preshuffle/h64-b[26]*/[fw]*/n1-len[36]00-*-split3")
"""Small ones, of two configurations."""


class Counting(Compiler):
    """Counts what it compiles, and refuses one configuration."""

    asked = 0
    refuses = ""

    def compile(self, request: CompileRequest) -> CompiledKernel:
        self.asked += 1
        if self.refuses and self.refuses in request.label:
            raise CompilerDiedError("it died", why="signal 8", remedy="another")
        return super().compile(request)


@pytest.fixture(scope="module")
def compiler(code_objects: CodeObjectCache) -> Iterator[Counting]:
    made = Counting(cache=code_objects)
    with made:
        yield made


@dataclass(frozen=True)
class Dying:
    """Kernels of which one scenario is the end of a process that is not the first."""

    inner: AiterSource
    name: str
    parent: int
    configs = None
    calls = ()

    @property
    def kernels(self) -> tuple[AnyKernel, ...]:
        return self.inner.kernels

    def emulated(self, compiler: KernelCompiler, launcher: Launcher) -> EmulatedRun:
        run = self.inner.emulated(compiler, launcher)
        launch = run.launch

        def die(scenario: Scenario, inputs: LaunchInputs) -> Launched:
            if scenario.name == self.name and os.getpid() != self.parent:
                os.kill(os.getpid(), signal.SIGKILL)
            return launch(scenario, inputs)

        run.launch = die
        return run


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[SpreadRun]:
    """Those that start processes, which a few scenarios do here."""
    monkeypatch.setattr("aiterfix.validation.spread.LEAST", 2)
    made: list[SpreadRun] = []
    ahead = SpreadRun.ahead

    def noted(self: SpreadRun, scenarios: Any) -> None:
        ahead(self, scenarios)
        made.append(self)

    monkeypatch.setattr(SpreadRun, "ahead", noted)
    return made


def run(compiler: Compiler, jobs: int, text: bytes = FAULTY, **how: Any) -> Report:
    selection = how.pop("selection", SOME)
    emulator = Emulator(compiler=compiler, jobs=jobs)
    return validate(source(text, "sample_kernels.py"), emulator, selection, record=False, **how)


def untimed(report: Report) -> Report:
    return replace(report, seconds=0.0, scenarios=tuple(replace(s, seconds=0.0) for s in report.scenarios))


@needs_emulator
def test_two_processes_give_the_report_of_one_and_rows_in_order(compiler: Counting, runs: list[SpreadRun]) -> None:
    steps: list[Progress] = []
    alone = run(compiler, 1)
    assert not runs and len(alone.scenarios) == 6 and {s.passed for s in alone.scenarios} == {True, False}
    before = compiler.asked
    report = run(compiler, 2, progress=steps.append)
    assert untimed(report) == untimed(alone) and report.code_objects
    assert [s.last.name for s in steps if s.last is not None] == [s.name for s in alone.scenarios]
    # Each process has asked this one for the first configuration's code, so that each ran some.
    assert len(runs) == 1 and compiler.asked - before in (3, 4)
    assert runs[0].workers == []


@needs_emulator
def test_what_cannot_be_compiled_is_given_up_as_in_one_process(compiler: Counting, runs: list[SpreadRun]) -> None:
    compiler.refuses = "h64-b64"
    try:
        alone, report = run(compiler, 1), run(compiler, 2)
    finally:
        compiler.refuses = ""
    assert runs and untimed(report) == untimed(alone)
    assert {(m.config, m.why) for m in report.not_run} == {("h64-b64", "signal 8")} and report.scenarios


@needs_emulator
def test_a_process_that_dies_costs_one_scenario_a_named_error(compiler: Counting, runs: list[SpreadRun]) -> None:
    """Its kernel's configuration is given up, as after any error; the others go on in a fresh process."""
    name = run(compiler, 1, SOUND).scenarios[1].name
    subject = Dying(source(SOUND, "sample_kernels.py"), name, os.getpid())
    report = validate(subject, Emulator(compiler=compiler, jobs=2), SOME, record=False)
    (lost,) = report.not_run
    assert lost.what == f"{name}: the process that ran it was killed by SIGKILL" and "--jobs 1" in lost.why
    assert not report.passed and report.missing == (lost,) and lost.understood
    of_others = [s for s in report.scenarios if s.config != lost.config]
    assert len(of_others) == 3 and len(report.scenarios) == 4 and all(s.passed for s in report.scenarios)
    assert len(runs) == 1 and runs[0].workers == []


@needs_emulator
def test_an_interrupt_keeps_what_was_judged_and_ends_every_process(compiler: Counting, runs: list[SpreadRun]) -> None:
    pids: list[int] = []

    def interrupt(step: Progress) -> None:
        if step.done == 3 and step.last is not None:
            pids.extend(worker.child.pid for worker in runs[0].workers)
            raise KeyboardInterrupt

    report = run(compiler, 2, progress=interrupt)
    assert len(report.scenarios) == 3 and report.interrupted > 0 and len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@needs_emulator
def test_few_scenarios_and_another_launcher_stay_in_this_process(
    compiler: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr("aiterfix.validation.spread.Child", lambda *words: started.append(words))
    few = Selection((Kernel.PRESHUFFLE,), pattern="*/h64-b64/[fw]*/n1-len[36]00-*-split3")
    assert len(run(compiler, 2, SOUND, selection=few).scenarios) == 3
    assert not started
    with Emulator(compiler=compiler, launcher=EmulatorLauncher(), jobs=2).prepare(source(SOUND, "k.py")) as prepared:
        assert not isinstance(prepared, SpreadRun)


@pytest.mark.parametrize(("cores", "jobs"), [(1, 1), (2, 2), (128, 16)])
def test_by_default_there_are_as_many_as_cores(cores: int, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    assert default_jobs() == jobs


def test_what_goes_to_a_process_can() -> None:
    for subject in (OwnKernel(own_kernel_file()), source(SOUND, "sample_kernels.py")):
        assert pickle.loads(pickle.dumps(subject)) == subject
    unmodelled = UnmodelledInstructionError.__new__(UnmodelledInstructionError)
    NotUnderstoodError.__init__(unmodelled, "v_nonesuch", why="kernel.py:7", remedy="wait")
    for error in (CompilerDiedError("it died", why="signal 8"), EnvironmentProblem("none"), unmodelled):
        again: AiterfixError = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and str(again) == str(error) and again.args == error.args
