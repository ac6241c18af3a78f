"""From what a launch left in memory to a judgement, and to the known fault that it shows.

Passed means: nothing was written outside a row or an allocation, and the visible columns are right. Everything else
that is not as it should be is a named finding:

``load-outside-allocation``     a lane loaded from outside every allocation
``unseen-columns-finite``       columns that a row may not see, below its context length, hold logits, not ``-inf``
``unseen-columns-unwritten``    the same columns were not written at all
``values-past-context``         columns from the context length on hold something other than ``-inf``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from aiterfix.family.reference import Expected
from aiterfix.family.signature import OUTPUT
from aiterfix.validation.execution import Execution
from aiterfix.validation.report import Anomaly, ScenarioResult
from aiterfix.validation.scenarios import FINDINGS_OF_FAULT, Scenario, faults_shown

SENTINEL = 0x7FA51A5D
"""Bits of untouched output: a NaN that no arithmetic yields (results of NaN operations are quiet)."""

_EXAMPLES = 5


def compare(scenario: Scenario, expected: Expected, execution: Execution) -> ScenarioResult:
    """Compare what a launch wrote with what it should have written.

    Args:
        execution: output bits (rows, window), prefilled with :data:`SENTINEL`, and what happened.
    """
    width = scenario.max_model_len
    bits = execution.output[:, :width]
    values = bits.view(np.float32)
    untouched = bits == SENTINEL
    columns = np.arange(width)
    seen = columns < expected.visible_counts[:, None]
    below = columns < expected.contexts[:, None]
    error = np.zeros(values.shape, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        np.subtract(values, expected.logits, out=error, where=seen, dtype=np.float64)
        np.abs(error, out=error)
        right = error <= expected.bound
    wrong = seen & (~right | untouched)

    gap = execution.output[:, width:] != SENTINEL
    overshoot = int((np.nonzero(gap)[1] + 1).max()) if gap.any() else 0
    past, furthest = _past_end(execution, scenario.rows * scenario.row_stride)
    if scenario.gap == 0:
        overshoot = furthest
    stores = [access for access in execution.outside if access.kind == "store"]
    good = error[seen & ~wrong & ~untouched]
    bound = expected.bound[seen & ~wrong & ~untouched]
    return ScenarioResult(
        name=scenario.name,
        kernel=scenario.kernel.value,
        config=scenario.config.name,
        passed=not wrong.any() and not gap.any() and not execution.written_behind and not stores,
        rows=scenario.rows,
        visible_logits=int(seen.sum()),
        largest_error=float(good.max(initial=0.0)),
        error_of_bound=float((good[bound > 0] / bound[bound > 0]).max(initial=0.0)),
        wrong_logits=int(wrong.sum()),
        wrong_at=tuple(_examples(wrong, bits, values, expected)),
        overshoot_columns=overshoot,
        elements_in_gaps=int(gap.sum()) + execution.written_behind,
        elements_past_last_row=past,
        outside=tuple(sorted(execution.outside, key=lambda a: (a.kind != "store", a.pc))),
        findings=tuple(_findings(execution, values, untouched, seen, below)),
        tolerance=float(expected.bound[seen].max(initial=0.0)),
        seconds=execution.seconds,
        wave_instructions=execution.wave_instructions,
    )


def attributed(result: ScenarioResult, scenario: Scenario, harmless: frozenset[str] = frozenset()) -> ScenarioResult:
    """The result with the ids of the known faults that explain what is wrong with it.

    Args:
        harmless: faults that the kernel is known not to have: where one of these is shown, source was read wrongly, and
            the failure is not explained.
    """
    shown = tuple(f for f in faults_shown(scenario) if f not in harmless and _shows(result, scenario, f))
    return replace(result, known_faults=shown) if shown else result


def _shows(result: ScenarioResult, scenario: Scenario, fault: str) -> bool:
    past_rows = result.overshoot_columns > 0 or result.elements_past_last_row > 0 or result.elements_in_gaps > 0
    if fault == "column-bound":
        return past_rows
    if fault == "block-paging" and scenario.gap == 0 and past_rows:
        return False  # what is wrong may be what another row stored there
    noticed = FINDINGS_OF_FAULT.get(fault, frozenset())
    return not result.passed or any(finding.name in noticed for finding in result.findings)


def _past_end(execution: Execution, size: int) -> tuple[int, int]:
    """How many elements past an output of ``size`` elements were stored to, and how far past the last of them lies."""
    count, end = 0, size
    for first, last in sorted(
        (size if access.first_element is None else max(size, access.first_element), access.last_element)
        for access in execution.outside
        if access.kind == "store" and access.allocation == OUTPUT and access.last_element is not None
    ):
        count += max(0, last + 1 - max(first, end))
        end = max(end, last + 1)
    return count, end - size


def _examples(
    wrong: npt.NDArray[np.bool_],
    bits: npt.NDArray[np.uint32],
    values: npt.NDArray[np.float32],
    expected: Expected,
) -> Iterator[str]:
    for row, column in np.argwhere(wrong)[:_EXAMPLES].tolist():
        got = "untouched" if bits[row, column] == SENTINEL else f"{values[row, column]:.7g}"
        yield f"row {row}, column {column}: got {got}, expected {expected.logits[row, column]:.7g}"


def _findings(
    execution: Execution,
    values: npt.NDArray[np.float32],
    untouched: npt.NDArray[np.bool_],
    seen: npt.NDArray[np.bool_],
    below: npt.NDArray[np.bool_],
) -> Iterator[Anomaly]:
    loads = [access for access in execution.outside if access.kind == "load"]
    if loads:
        where = sorted({f"{a.allocation} at {a.source or hex(a.pc)}" for a in loads})
        yield Anomaly("load-outside-allocation", sum(a.count for a in loads), "; ".join(where))
    masked = np.isneginf(values)
    unseen = below & ~seen
    yield from _cells("unseen-columns-finite", unseen & ~masked & ~untouched)
    yield from _cells("unseen-columns-unwritten", unseen & untouched)
    yield from _cells("values-past-context", ~below & ~masked & ~untouched)
    yield from execution.findings


def _cells(name: str, cells: npt.NDArray[np.bool_]) -> Iterator[Anomaly]:
    if cells.any():
        row = int(np.nonzero(cells.any(axis=1))[0][0])
        columns = np.nonzero(cells[row])[0]
        where = f"column {columns[0]}" if len(columns) == 1 else f"columns {columns[0]} to {columns[-1]}"
        yield Anomaly(name, int(cells.sum()), f"row {row}, {where}")
