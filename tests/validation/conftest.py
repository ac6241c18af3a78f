from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import pytest

from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.reference import reference
from aiterfix.family.signature import OUTPUT
from aiterfix.gfx950.cache import CodeObjectCache, CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.report.document import dump
from aiterfix.report.types.validate import ValidateReport
from aiterfix.validation.comparison import SENTINEL
from aiterfix.validation.execution import Execution
from aiterfix.validation.report import AccessOutside, Anomaly, Report
from aiterfix.validation.scenarios import Scenario
from tests import schemas


@dataclass
class ModelLauncher:
    """A kernel modelled in NumPy, with faults to switch on: what the judgement is tested against."""

    bounded: bool = True
    finite_unseen: bool = False
    leave_unseen: bool = False
    value_past_context: bool = False
    stop_at_empty: bool = False
    relative_error: float = 0.0
    loads_outside: int = 0
    device: str = "model"
    ran: list[str] = field(default_factory=list)

    def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs, **_: object) -> Execution:
        self.ran.append(scenario.name)
        expected = reference(inputs)
        stride = scenario.window
        size = inputs.rows * stride
        memory = np.full(size + 4096, SENTINEL, np.uint32)
        for overshooting in (False, True):  # what stays inside first: the damage is done last, as on hardware
            for row in range(inputs.rows):
                context, visible = int(expected.contexts[row]), int(expected.visible_counts[row])
                if self.stop_at_empty and 0 in inputs.context_lengths[: row // inputs.next_n + 1]:
                    continue
                block = scenario.config.kv_block_size
                end = -(-context // block) * block
                if self.bounded:
                    end = min(end, inputs.max_model_len)
                line = np.full(end, -np.inf, np.float32)
                line[:visible] = expected.logits[row, :visible] * (1 + self.relative_error)
                written = np.ones(end, bool)
                if self.finite_unseen:
                    line[visible:context] = 1.5
                if self.leave_unseen:
                    written[visible:context] = False
                if self.value_past_context:
                    line[context:] = 2.5
                keep = np.arange(end) >= inputs.max_model_len if overshooting else written
                at = row * stride + np.nonzero(keep)[0]
                memory[at] = line.view(np.uint32)[keep]
        past = np.nonzero(memory[size:] != SENTINEL)[0]
        outside = []
        if len(past):
            first, last = size + int(past[0]), size + int(past[-1])
            outside.append(AccessOutside("store", OUTPUT, "model.py:1", 64, len(past), first, last, 0))
        if self.loads_outside:
            outside.append(AccessOutside("load", "kv_indices", "model.py:2", 8, self.loads_outside, 9, 9, 0))
        output = memory[:size].reshape(inputs.rows, stride)
        return Execution(output, tuple(outside), (), 0.01, 100)


class MakeModel(Protocol):
    def __call__(self, **faults: object) -> ModelLauncher: ...


@pytest.fixture
def model() -> MakeModel:
    return ModelLauncher  # type: ignore[return-value]


@pytest.fixture(scope="module")
def compiler(code_objects: CodeObjectCache) -> Iterator[Compiler]:
    with Compiler(cache=code_objects) as made:
        yield made


def hold_to_schema(report: Report) -> dict[str, Any]:
    """A report as JSON, which its schema takes."""
    return schemas.read(dump(ValidateReport.of(report)), "validate")  # type: ignore[no-any-return]


@pytest.fixture
def compiled() -> CompiledKernel:
    return CompiledKernel(b"\x7fELF", "", "kernel", 0, 256, "3.6.0", ())


@pytest.fixture
def finding() -> type[Anomaly]:
    return Anomaly
