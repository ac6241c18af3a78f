from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aiterfix.family.inputs import LaunchInputs
from aiterfix.family.signature import OUTPUT, Kernel, KernelConfig
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.validation.comparison import attributed
from aiterfix.validation.execution import Execution
from aiterfix.validation.report import AccessOutside, ScenarioResult
from aiterfix.validation.scenarios import (
    GAP,
    OF_COMPILER,
    Scenario,
    empty_first,
    far_blocks,
    far_rows,
    full_rows,
    hidden,
    in_blocks,
)
from tests.validation.launching import run_scenario

from .conftest import MakeModel  # only for the annotation; the fixture gives the class

EDGES = Scenario(Kernel.PRESHUFFLE, KernelConfig(), "edges", (1, 2, 65, 999, 1000), 2, 1000, GAP, 3)
FULL = Scenario(Kernel.PRESHUFFLE, KernelConfig(), "full", (1000, 1000), 2, 1000, 0, 3)
OTHER_TRITON = frozenset({OF_COMPILER})
"""What a run with any Triton but 3.5.1 knows not to be the reason."""


def names(result: ScenarioResult) -> dict[str, int]:
    return {finding.name: finding.count for finding in result.findings}


def test_a_right_kernel_passes_with_nothing_found(model: MakeModel, compiled: CompiledKernel) -> None:
    result = run_scenario(EDGES, compiled, model())
    assert result.passed and not result.findings and not result.outside
    assert result.rows == 10
    assert result.visible_logits == sum(max(0, n - 2 + p + 1) for n in EDGES.context_lengths for p in (0, 1))
    assert result.largest_error == result.error_of_bound == 0


def test_overshoot_is_measured_in_the_gap(model: MakeModel, compiled: CompiledKernel) -> None:
    result = run_scenario(EDGES, compiled, model(bounded=False))
    assert not result.passed
    assert result.overshoot_columns == 24
    assert result.elements_in_gaps == 4 * 24
    assert result.wrong_logits == result.elements_past_last_row == 0


def test_overshoot_does_its_damage_where_rows_have_no_gap(model: MakeModel, compiled: CompiledKernel) -> None:
    result = run_scenario(FULL, compiled, model(bounded=False))
    assert not result.passed
    assert (result.elements_past_last_row, result.wrong_logits, result.overshoot_columns) == (24, 72, 24)
    assert result.wrong_at[0].startswith("row 1, column 0: got -inf, expected ")
    (store,) = result.outside
    assert (store.first_element, store.last_element, store.source) == (4000, 4023, "model.py:1")


def test_an_error_beyond_rounding_is_wrong(model: MakeModel, compiled: CompiledKernel) -> None:
    result = run_scenario(EDGES, compiled, model(relative_error=1e-4))
    assert not result.passed and result.wrong_logits > 1000
    small = run_scenario(EDGES, compiled, model(relative_error=1e-7))
    assert small.passed and small.largest_error > 0 and 0 < small.error_of_bound < 1


@pytest.mark.parametrize(
    ("faults", "found"),
    [
        ({"finite_unseen": True}, {"unseen-columns-finite": 5}),
        ({"leave_unseen": True}, {"unseen-columns-unwritten": 5}),
        ({"value_past_context": True}, {"values-past-context": 2 * (63 + 62 + 63 + 1)}),
        ({"loads_outside": 3}, {"load-outside-allocation": 3}),
    ],
)
def test_findings_have_names_and_do_not_fail(
    faults: dict[str, object], found: dict[str, int], model: MakeModel, compiled: CompiledKernel
) -> None:
    result = run_scenario(EDGES, compiled, model(**faults))
    assert result.passed
    assert names(result) == found


def test_rows_after_an_empty_sequence_are_wrong_which_the_schedule_s_fault_explains(
    model: MakeModel, compiled: CompiledKernel
) -> None:
    scenario = empty_first(Kernel.PRESHUFFLE_VARCTX, KernelConfig())
    result = run_scenario(scenario, compiled, model(stop_at_empty=True))
    assert not result.passed and result.wrong_logits == result.visible_logits > 0
    assert "untouched" in result.wrong_at[0]
    assert attributed(result, scenario, OTHER_TRITON).known_faults == ("empty-sequence-schedule",)
    assert attributed(result, scenario, OTHER_TRITON | {"empty-sequence-schedule"}).known_faults == ()


@pytest.mark.parametrize(
    ("scenario", "faults", "known"),
    [
        (full_rows(Kernel.PRESHUFFLE, KernelConfig()), {"bounded": False}, ("column-bound",)),
        (full_rows(Kernel.PRESHUFFLE, KernelConfig()), {"relative_error": 1e-3}, ()),
        (full_rows(Kernel.PRESHUFFLE, KernelConfig()), {"finite_unseen": True}, ()),
        (hidden(Kernel.PRESHUFFLE, KernelConfig(kv_block_size=128)), {"finite_unseen": True}, ("hidden-columns",)),
        (hidden(Kernel.PRESHUFFLE, KernelConfig(kv_block_size=128)), {"leave_unseen": True}, ()),
        (in_blocks(Kernel.BASE, KernelConfig()), {"relative_error": 1e-3}, ("block-paging",)),
        (far_rows(Kernel.BASE, KernelConfig(kv_block_size=1)), {"relative_error": 1e-3}, ("row-offset-32",)),
        (far_blocks(Kernel.BASE, KernelConfig(kv_block_size=1)), {"relative_error": 1e-3}, ("cache-offset-32",)),
        (far_blocks(Kernel.BASE, KernelConfig(kv_block_size=1)), {}, ()),
    ],
)
def test_a_failure_is_explained_by_the_fault_that_its_scenario_shows(
    scenario: Scenario, faults: dict[str, Any], known: tuple[str, ...], model: MakeModel, compiled: CompiledKernel
) -> None:
    result = run_scenario(scenario, compiled, model(**faults))
    assert attributed(result, scenario, OTHER_TRITON).known_faults == known
    # A compiler that has the fault may be why a kernel for a cache in tiles fails, whatever it is launched for.
    tiles = isinstance(scenario.kernel, Kernel) and scenario.kernel.preshuffled
    compiler = {OF_COMPILER} if tiles and not result.passed else set()
    assert set(attributed(result, scenario).known_faults) == {*known, *compiler}


def test_stores_far_past_the_end_are_counted_without_being_listed(model: MakeModel, compiled: CompiledKernel) -> None:
    """A wrapped offset may reach 2^29 elements past; overlapping stores count once."""

    class Far:
        device = "model"

        def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs, **_: object) -> Execution:
            ran = model().launch(kernel, scenario, inputs)
            size = scenario.rows * scenario.row_stride
            reached = [(size - 5, size + 9), (size + 3, size + 12), (size + 100, size + (1 << 29)), (-8, -1)]
            stores = tuple(AccessOutside("store", OUTPUT, "", 8, 1, first, last, 0) for first, last in reached)
            return replace(ran, outside=stores)

    result = run_scenario(FULL, compiled, Far())
    assert result.elements_past_last_row == 13 + (1 << 29) - 99
    assert result.overshoot_columns == (1 << 29) + 1 and not result.passed


def test_what_is_written_behind_the_windows_of_a_sparse_output_fails(
    model: MakeModel, compiled: CompiledKernel
) -> None:
    far = far_rows(Kernel.PRESHUFFLE, KernelConfig())
    assert far.window < far.row_stride

    class Stray:
        device = "model"

        def launch(self, kernel: CompiledKernel, scenario: Scenario, inputs: LaunchInputs, **_: object) -> Execution:
            return replace(model().launch(kernel, scenario, inputs), written_behind=2)

    assert run_scenario(far, compiled, model()).passed
    stray = run_scenario(far, compiled, Stray())
    assert (stray.passed, stray.elements_in_gaps, stray.wrong_logits) == (False, 2, 0)
