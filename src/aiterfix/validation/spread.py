"""Scenarios spread over processes, each an emulator of its own; what they come to is asked for one by one, in order.

The parent alone compiles, makes calls and keeps caches: whatever runs another's code is started by it, once. A process
that has no code object asks the parent for it. They run ahead of what is asked for, and a process that is lost costs
the scenario that it was at.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from aiterfix.errors import AiterfixError, EnvironmentProblem
from aiterfix.gfx950.blas import one_thread
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.request import CompileRequest
from aiterfix.storage.children import Owner
from aiterfix.validation.child import Child, receive, send
from aiterfix.validation.report import CodeObjectFacts, Report, ScenarioResult
from aiterfix.validation.scenarios import Scenario
from aiterfix.validation.series import group_of

if TYPE_CHECKING:
    from aiterfix.validation.emulator import EmulatedRun, EmulatedSubject
    from aiterfix.validation.execution import KernelCompiler

LEAST = 8
"""Scenarios for a process to be worth its start, which takes as long as some of them."""

MOST = 16
"""Processes where nobody says how many: a large launch takes one some 400 MB."""


@dataclass(frozen=True)
class Setup:
    """To a process, first: what to run, and what the parent's compiler says of itself."""

    subject: EmulatedSubject
    triton: str
    fp_fusion: bool | None


@dataclass(frozen=True)
class Judged:
    """From a process: what a scenario came to, and of which code objects."""

    outcome: ScenarioResult | AiterfixError
    code_objects: tuple[CodeObjectFacts, ...] = ()


@dataclass
class _Worker:
    child: Child
    at: Scenario | None = None


@dataclass
class SpreadRun:
    """A subject in several processes; see :class:`aiterfix.validation.interface.Prepared`.

    Attributes:
        local: the same in this process, for what is not spread.
        jobs: how many processes at most.
    """

    local: EmulatedRun
    subject: EmulatedSubject
    compiler: KernelCompiler
    jobs: int
    workers: list[_Worker] = field(default_factory=list)
    _waiting: deque[Scenario] = field(default_factory=deque)
    _judged: dict[Scenario, Judged] = field(default_factory=dict)

    def ahead(self, scenarios: Sequence[Scenario]) -> None:
        """Start on what will be asked for."""
        launches = [scenario for scenario in scenarios if not scenario.call]
        if self.local.calls is not None and len(launches) < len(scenarios):
            self.local.calls.begin()
        jobs = min(self.jobs, len(launches) // LEAST)
        if jobs > 1:
            self._waiting.extend(launches)
            for _ in range(jobs):
                self.workers.append(_Worker(_child()))
            for worker in self.workers:
                self._set_up(worker)

    def run(self, scenario: Scenario) -> ScenarioResult:
        """What a scenario came to; waits for it, and meanwhile has the others go on."""
        while scenario not in self._judged and self._coming(scenario):
            self._go_on()
        judged = self._judged.pop(scenario, None)
        if judged is None:  # a call, too few to be spread, or no process is left
            return self.local.run(scenario)
        for facts in judged.code_objects:
            self.local.note(facts)
        if isinstance(judged.outcome, AiterfixError):
            raise judged.outcome
        return judged.outcome

    def report(self) -> Report:
        """What ran so far, of what was asked for."""
        return self.local.report()

    def close(self) -> None:
        """End every process, whatever it does: they hold nothing that has to be put away."""
        for worker in self.workers:
            worker.child.end()
        self.workers = []
        if self.local.calls is not None:
            self.local.calls.close()

    def _coming(self, scenario: Scenario) -> bool:
        at = [worker.at for worker in self.workers]
        return scenario in at or (bool(at) and scenario in self._waiting)

    def _go_on(self) -> None:
        """Give those that are idle something to do, and hear the next of the others."""
        for worker in self.workers:
            if worker.at is None and self._waiting:
                worker.at = self._waiting.popleft()
                self._tell(worker, worker.at)
        busy = {worker.child.replies: worker for worker in self.workers if worker.at is not None}
        for replies in select.select(list(busy), [], [])[0] if busy else ():
            self._hear(busy[replies])

    def _hear(self, worker: _Worker) -> None:
        try:
            message = receive(worker.child.replies)
        except EOFError:
            self._replace(worker)
            return
        if isinstance(message, CompileRequest):
            answer: CompiledKernel | AiterfixError
            try:
                answer = self.compiler.compile(message)
            except AiterfixError as error:
                answer = error
            self._tell(worker, answer)
            return
        assert isinstance(message, Judged) and worker.at is not None
        self._settle(worker, message)

    def _settle(self, worker: _Worker, judged: Judged) -> None:
        assert worker.at is not None
        self._judged[worker.at] = judged
        if isinstance(judged.outcome, AiterfixError):
            # As the series will: what has failed once is not tried again.
            given_up = group_of(worker.at)
            self._waiting = deque(s for s in self._waiting if group_of(s) != given_up)
        worker.at = None

    def _replace(self, worker: _Worker) -> None:
        fate = worker.child.fate()
        lost = EnvironmentProblem(
            f"the process that ran it {fate}",
            why="where memory ran out, fewer at a time take less: --jobs 1" if "SIGKILL" in fate else "",
        )
        worker.child.end()
        self._settle(worker, Judged(lost))
        self.workers.remove(worker)
        if self._waiting:
            with suppress(EnvironmentProblem):  # the others go on, or this process does
                fresh = _Worker(_child())
                self.workers.append(fresh)
                self._set_up(fresh)

    def _set_up(self, worker: _Worker) -> None:
        self._tell(worker, Setup(self.subject, self.compiler.triton, self.compiler.fp_fusion))

    @staticmethod
    def _tell(worker: _Worker, message: object) -> None:
        try:
            worker.child.send(message)
        except BrokenPipeError:
            return  # what became of it is heard where its reply is waited for


def default_jobs() -> int:
    """As many as this process may use processor cores, within what takes a bounded part of a machine's memory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, MOST)


def _child() -> Child:
    """A process that finds the modules that this one has found: another copy of this package may compute other bits."""
    path = repr([entry for entry in sys.path if entry]).replace("{", "{{").replace("}", "}}")
    program = f"import sys; sys.path[:] = {path}; from aiterfix.validation.spread import main; main({{descriptor}})"
    return Child(sys.executable, program)


# -- in the process ----------------------------------------------------------------------------------------------------


@dataclass
class _Asking:
    """A compiler whose code objects the parent makes."""

    triton: str
    fp_fusion: bool | None
    requests: BinaryIO
    replies: BinaryIO
    python = sys.executable
    owner: Owner | None = None

    def compile(self, request: CompileRequest) -> CompiledKernel:
        """Ask, and wait."""
        send(self.replies, request)
        answer = receive(self.requests)
        if isinstance(answer, AiterfixError):
            raise answer
        assert isinstance(answer, CompiledKernel)
        return answer


def main(replies_to: int) -> None:
    """Serve the parent: scenarios on standard input, what they came to on this descriptor; ends where the parent has.

    An error that this package does not raise on purpose ends the process: the parent reads it as last words.
    """
    from aiterfix.validation.emulator import EmulatorLauncher

    with os.fdopen(replies_to, "wb") as replies, one_thread():
        requests = sys.stdin.buffer
        try:
            setup = receive(requests)
            assert isinstance(setup, Setup)
            compiler = _Asking(setup.triton, setup.fp_fusion, requests, replies)
            run = setup.subject.emulated(compiler, EmulatorLauncher(threads=1))
            blank = run.ran
            while True:
                scenario = receive(requests)
                assert isinstance(scenario, Scenario)
                run.ran = replace(blank, code_objects=())
                outcome: ScenarioResult | AiterfixError
                try:
                    outcome = run.run(scenario)
                except AiterfixError as error:
                    outcome = error
                send(replies, Judged(outcome, run.ran.code_objects))
        except EOFError:
            return
