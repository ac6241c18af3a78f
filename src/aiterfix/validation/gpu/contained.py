"""The parent's handle on the child: what kills or hangs the child fails one scenario and nothing else."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from aiterfix.errors import EnvironmentProblem
from aiterfix.storage import children
from aiterfix.storage.children import NOT_FROM_HERE
from aiterfix.validation.gpu.messages import Raised, Ready, Refused, Setup, receive, send
from aiterfix.validation.gpu.subjects import GpuSubject
from aiterfix.validation.report import ScenarioResult
from aiterfix.validation.scenarios import Scenario

_START = (
    NOT_FROM_HERE + "sys.path.append({root!r}); from aiterfix.validation.gpu.worker import main; main({descriptor})"
)
_LAST_WORDS = 2000


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
        self._child: _Child | None = None
        self.children = 0
        """How many children there have been."""

    def ready(self) -> Ready:
        """Start the child if there is none.

        Raises:
            EnvironmentProblem: it could not start, load the subject, or find a GPU.
            NotUnderstoodError: the subject is not understood.
        """
        if self._child is None:
            self._child = _Child(self._python)
            self.children += 1
        child = self._child
        if child.ready is not None:
            return child.ready
        reply = child.ask(self._setup, self._start_limit)
        if isinstance(reply, Ready):
            child.ready = reply
            return reply
        self.close()
        if isinstance(reply, Refused):
            raise reply.error()
        raise EnvironmentProblem(
            f"the process that was to run kernels on the GPU {reply}", remedy="use --device emulator"
        )

    def run(self, scenario: Scenario) -> ScenarioResult | Refused:
        """Run one scenario; a fault of any kind is a result that did not pass.

        Raises:
            EnvironmentProblem: no child could be started.
        """
        self.ready()
        child = self._child
        assert child is not None
        started = time.perf_counter()
        reply = child.ask(scenario, self._limit)
        seconds = time.perf_counter() - started
        if isinstance(reply, (ScenarioResult, Refused)):
            return reply
        if isinstance(reply, Raised):
            if not reply.usable:
                self.close()
            return faulted(scenario, reply.what + ("" if reply.usable else "; the device was lost"), seconds)
        self.close()
        return faulted(scenario, f"the process {reply}", seconds)

    def close(self) -> None:
        """End the child, whatever it does."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def __enter__(self) -> Contained:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Child:
    def __init__(self, python: str) -> None:
        self.ready: Ready | None = None
        self._scratch = tempfile.TemporaryDirectory(prefix="aiterfix-gpu-")
        self._words = Path(self._scratch.name, "words")
        root = str(Path(__file__).parents[3])
        reading, writing = os.pipe()
        try:
            with self._words.open("wb") as words:
                self._process = subprocess.Popen(
                    [python, "-c", _START.format(root=root, descriptor=writing)],
                    stdin=subprocess.PIPE,
                    stdout=words,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writing,),
                    start_new_session=True,
                    env=children.environment({"TMPDIR": self._scratch.name}),
                )
        except OSError as error:
            os.close(reading)
            self._scratch.cleanup()
            raise EnvironmentProblem(f"cannot run {python}", why=str(error)) from error
        finally:
            os.close(writing)
        self._replies: BinaryIO = os.fdopen(reading, "rb", buffering=0)

    def ask(self, message: object, limit: float) -> object:
        """The reply, or in words what became of the child instead."""
        assert self._process.stdin is not None
        try:
            send(self._process.stdin, message)  # type: ignore[arg-type]
        except BrokenPipeError:
            return self._fate()
        if not select.select([self._replies], [], [], limit)[0]:
            return f"did not finish within {limit:g} s"
        try:
            return receive(self._replies)
        except EOFError:
            return self._fate()

    def _fate(self) -> str:
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        killed = f"was killed by {signal.Signals(-status).name}" if status < 0 else ""
        how = killed or f"ended with exit status {status}"
        words = self._words.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()
        return f"{how}: {words.splitlines()[-1]}" if words else how

    def end(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was not yet written to a dead child cannot be flushed
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=0.0 if self.ready is None else 5.0)
        with contextlib.suppress(ProcessLookupError):  # the group of a child that has ended may be gone
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._replies.close()
        self._scratch.cleanup()


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
