"""One scenario on a device: inputs and reference there, the launch, and what it left behind."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.reference import Expected
from aiterfix.family.reference_torch import reference_torch
from aiterfix.validation.comparison import SENTINEL, compare
from aiterfix.validation.execution import Execution
from aiterfix.validation.gpu.buffers import Buffers, make_buffers
from aiterfix.validation.gpu.devices import dot_roundoff
from aiterfix.validation.gpu.subjects import Launch
from aiterfix.validation.report import Anomaly, Hardware, ScenarioResult
from aiterfix.validation.scenarios import Scenario, inputs_of

LAUNCHES = 32
"""Launches of a scenario whose rows overwrite one another."""


@dataclass(frozen=True)
class Runner:
    """Runs scenarios on one device.

    Attributes:
        device: torch's name for it, ``cuda`` or ``cpu``.
        launches: at most so many of a scenario whose rows overwrite one another.
    """

    launch: Launch
    hardware: Hardware
    device: str
    torch: Any
    launches: int = LAUNCHES

    def run(self, scenario: Scenario) -> ScenarioResult:
        """Make a scenario's inputs, launch, judge.

        Raises:
            Exception: whatever the launch raises; a device fault may instead end the process.
        """
        inputs = inputs_of(scenario)
        expected = reference_torch(
            inputs, self.device, dot_roundoff=dot_roundoff(self.hardware, scenario.config.hidden)
        )
        return self._worst(scenario, inputs, expected)

    def _worst(self, scenario: Scenario, inputs: LaunchInputs, expected: Expected) -> ScenarioResult:
        """The worst of several launches where rows have no gap: whose store comes last is then a race.

        On an H200, one launch of a kernel that overshoots left from none to all of the columns wrong that it wrote
        to in other rows. A kernel that is clean twice is not launched again.
        """
        results = [compare(scenario, expected, self.execute(scenario, inputs))]
        while scenario.gap == 0 and len(results) < self._wanted(results):
            results.append(compare(scenario, expected, self.execute(scenario, inputs)))
        worst = max(results, key=lambda result: (not result.passed, result.wrong_logits))
        fewest = min(result.wrong_logits for result in results)
        if fewest == worst.wrong_logits:
            return worst
        said = f"{worst.wrong_logits} in the worst of {len(results)} launches, {fewest} in the best"
        return replace(worst, findings=(*worst.findings, Anomaly("wrong-logits-vary", worst.wrong_logits, said)))

    def _wanted(self, results: list[ScenarioResult]) -> int:
        return self.launches if any(not result.passed for result in results) else min(2, self.launches)

    def execute(self, scenario: Scenario, inputs: LaunchInputs) -> Execution:
        """Launch on output memory that holds the sentinel, and read back what became of it."""
        fnuz = self.hardware.kind == "rocm" and self.hardware.arch == "gfx942"
        buffers = make_buffers(scenario, inputs, self.torch, self.device, fnuz=fnuz)
        self._wait()
        started = time.perf_counter()
        self.launch(buffers)
        self._wait()
        seconds = time.perf_counter() - started
        outside = buffers.stores_outside()
        window = buffers.output[..., : scenario.window].contiguous()
        bits = _sum_of_heads(window, self.torch) if scenario.outputs > 1 else window.view(self.torch.int32)
        outside = tuple(scenario.within_rows(access) for access in outside)
        behind = self._written_behind(buffers) if scenario.sparse else 0
        return Execution(bits.cpu().numpy().view(np.uint32), outside, (), seconds, 0, written_behind=behind)

    def _written_behind(self, buffers: Buffers) -> int:
        """Elements behind the rows' windows that do not hold the sentinel; row by row, for want of memory."""
        rows = buffers.output.view(self.torch.int32).flatten(0, -2)
        return sum(int(self.torch.count_nonzero(row[buffers.scenario.window :] != SENTINEL)) for row in rows)

    def _wait(self) -> None:
        if self.device != "cpu":
            self.torch.cuda.synchronize()


def _sum_of_heads(output: Any, torch: Any) -> Any:
    """What the caller of a stage1 kernel makes of its output; a cell that no head wrote keeps the sentinel."""
    untouched = (output.view(torch.int32) == SENTINEL).all(dim=0)
    return torch.where(untouched, SENTINEL, output.sum(dim=0).view(torch.int32))
