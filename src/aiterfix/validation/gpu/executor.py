"""Validate on a GPU, in a child process that alone touches it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aiterfix.validation.gpu.contained import Contained
from aiterfix.validation.gpu.devices import runs_gluon
from aiterfix.validation.gpu.messages import Ready
from aiterfix.validation.gpu.subjects import GpuSubject
from aiterfix.validation.gpu.suite import gpu_scenarios
from aiterfix.validation.report import Report, ScenarioResult
from aiterfix.validation.scenarios import Scenario

LOADS_NOT_SEEN = (
    "on a GPU a load outside an allocation is seen only where it faults or changes a logit; the emulator sees every one"
)
NEVER_RUN = (
    "validation through aiter's function on ROCm was written and tested without a gfx942 or gfx950: it had never run "
    "on one when this release was made"
)
NOT_GFX950 = "this run says nothing of gfx950: it ran on {device}, not on a gfx942 or gfx950"


@dataclass(frozen=True)
class Gpu:
    """The executor.

    Attributes:
        python: interpreter that has torch, Triton and the subject; None for this one.
        device: torch's word: ``cuda``, for ROCm too; or ``cpu``, for Triton's interpreter.
        limit: seconds that a scenario may take.
    """

    python: str | None = None
    device: str = "cuda"
    limit: float = 300.0
    offered = staticmethod(gpu_scenarios)

    @contextmanager
    def prepare(self, subject: GpuSubject) -> Iterator[GpuRun]:
        """See :class:`aiterfix.validation.interface.Executor`."""
        with Contained(subject, self.device, python=self.python, limit=self.limit) as child:
            yield GpuRun(child, child.ready())


@dataclass(frozen=True)
class GpuRun:
    """A subject in a child process; see :class:`aiterfix.validation.interface.Prepared`.

    Attributes:
        ready: what it loaded, on what.
    """

    child: Contained
    ready: Ready

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Have the child run and judge it; a fault of any kind is a result that did not pass."""
        return self.child.run(scenario)

    def ahead(self, scenarios: Sequence[Scenario]) -> None:
        """Nothing: a GPU runs one after another."""

    def report(self) -> Report:
        """What ran so far."""
        ready, gpu = self.ready, self.ready.hardware
        notes = tuple(_notes(ready, self.child.children))
        return Report((ready.source,), gpu.name, gpu.triton, notes=notes, hardware=gpu, subject=ready.what)


def _notes(ready: Ready, children: int) -> Iterable[str]:
    yield from ready.notes
    if not runs_gluon(ready.hardware):
        yield NOT_GFX950.format(device=ready.hardware.name)
    elif ready.hardware.kind == "rocm":
        yield NEVER_RUN
    yield LOADS_NOT_SEEN
    if children > 1:
        yield f"{children - 1} child process(es) were lost to faults; scenarios after each ran in a fresh one"
