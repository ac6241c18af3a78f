"""The parent's handle on the child: what kills or hangs the child fails one scenario and nothing else."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from aiterfix.errors import AiterfixError, EnvironmentProblem
from aiterfix.storage.children import NOT_FROM_HERE
from aiterfix.validation.child import Child
from aiterfix.validation.gpu.messages import Raised, Ready, Setup
from aiterfix.validation.gpu.subjects import GpuSubject
from aiterfix.validation.report import ScenarioResult
from aiterfix.validation.scenarios import Scenario

_START = (
    NOT_FROM_HERE + "sys.path.append({root!r}); from aiterfix.validation.gpu.worker import main; main({descriptor})"
)


class Contained:
    """A child that runs scenarios, replaced by a fresh one where it is lost. A context manager.

    Args:
        subject: what to validate; None only to ask for the hardware.
        device: ``cuda`` or ``cpu``.
        python: interpreter of the child; default this one.
        limit: seconds that a scenario may take, compilation included.
        start_limit: seconds that loading may take.
    """

    def __init__(
        self,
        subject: GpuSubject | None,
        device: str,
        *,
        python: str | None = None,
        limit: float = 300.0,
        start_limit: float = 600.0,
    ) -> None:
        self._setup = Setup(subject, device)
        self._python = python or sys.executable
        self._limit = limit
        self._start_limit = start_limit
        self._child: Child | None = None
        self._ready: Ready | None = None
        self.children = 0
        """How many children there have been."""

    def ready(self) -> Ready:
        """Start the child if there is none.

        Raises:
            EnvironmentProblem: it could not start, load the subject, or find a GPU.
            NotUnderstoodError: the subject is not understood.
        """
        if self._child is None:
            self._child = Child(self._python, _START)
            self.children += 1
        if self._ready is not None:
            return self._ready
        reply = self._child.ask(self._setup, self._start_limit)
        if isinstance(reply, Ready):
            self._ready = reply
            return reply
        self.close()
        if isinstance(reply, AiterfixError):
            raise reply
        raise EnvironmentProblem(
            f"the process that was to run kernels on the GPU {reply}", remedy="use --device emulator"
        )

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Run one scenario; a fault of any kind is a result that did not pass.

        Raises:
            EnvironmentProblem: no child could be started.
            AiterfixError: what the child could not do, and why.
        """
        self.ready()
        child = self._child
        assert child is not None
        started = time.perf_counter()
        reply = child.ask(scenario, self._limit)
        seconds = time.perf_counter() - started
        if isinstance(reply, ScenarioResult):
            return reply
        if isinstance(reply, AiterfixError):
            raise reply
        if isinstance(reply, Raised):
            if not reply.usable:
                self.close()
            return faulted(scenario, reply.what + ("" if reply.usable else "; the device was lost"), seconds)
        self.close()
        return faulted(scenario, f"the process {reply}", seconds)

    def close(self) -> None:
        """End the child, whatever it does."""
        child, self._child = self._child, None
        ready, self._ready = self._ready, None
        if child is not None:
            child.end(patience=0.0 if ready is None else 5.0)

    def __enter__(self) -> Contained:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def faulted(scenario: Scenario, fault: str, seconds: float) -> ScenarioResult:
    """A scenario that left nothing to judge."""
    names = (scenario.name, scenario.kernel.value, scenario.config.name)
    return ScenarioResult(*names, passed=False, rows=scenario.rows, seconds=seconds, fault=fault)


def ask_hardware(python: str | None = None) -> Ready:
    """What GPU a child finds.

    Raises:
        EnvironmentProblem: none, or torch is missing.
    """
    with Contained(None, "cuda", python=python, start_limit=120.0) as child:
        return child.ready()
