"""From what a launch left in memory to a judgement.

Passed means: nothing was written outside a row or an allocation, and the visible columns are right. Everything else
that is not as it should be is a named finding:

``load-outside-allocation``     a lane loaded from outside every allocation
``unseen-columns-finite``       columns that a row may not see, below its context length, hold logits, not ``-inf``
``unseen-columns-unwritten``    the same columns were not written at all
``values-past-context``         columns from the context length on hold something other than ``-inf``
``rows-after-empty-sequence``   the schedule kernel left all rows after an empty sequence uncomputed
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from aiterfix.family.reference import Expected
from aiterfix.family.signature import OUTPUT, Kernel
from aiterfix.validation.execution import Execution
from aiterfix.validation.report import Anomaly, ScenarioResult
from aiterfix.validation.scenarios import Scenario

SENTINEL = 0x7FA51A5D
"""Bits of untouched output: a NaN that no arithmetic yields (results of NaN operations are quiet)."""

_EXAMPLES = 5


def compare(scenario: Scenario, expected: Expected, execution: Execution) -> ScenarioResult:
    """Compare what a launch wrote with what it should have written.

    Args:
        scenario: the launch.
        expected: the reference's result.
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
    skipped = _skipped_rows(scenario, expected, untouched)
    wrong[skipped] = False

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
        findings=tuple(_findings(execution, values, untouched, seen, below, skipped)),
        seconds=execution.seconds,
        wave_instructions=execution.wave_instructions,
    )


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


def _skipped_rows(scenario: Scenario, expected: Expected, untouched: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Rows that stand after an empty sequence and were not computed at all, by the kernel that stops there."""
    skipped = np.zeros(scenario.rows, np.bool_)
    if scenario.kernel is not Kernel.PRESHUFFLE_VARCTX or 0 not in scenario.context_lengths:
        return skipped
    first = scenario.context_lengths.index(0) * scenario.next_n
    later = np.arange(scenario.rows) >= first
    return later & (expected.contexts > 0) & untouched.all(axis=1)


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
    skipped: npt.NDArray[np.bool_],
) -> Iterator[Anomaly]:
    loads = [access for access in execution.outside if access.kind == "load"]
    if loads:
        where = sorted({f"{a.allocation} at {a.source or hex(a.pc)}" for a in loads})
        yield Anomaly("load-outside-allocation", sum(a.count for a in loads), "; ".join(where))
    masked = np.isneginf(values)
    computed = ~skipped[:, None]
    unseen = below & ~seen & computed
    yield from _cells("unseen-columns-finite", unseen & ~masked & ~untouched)
    yield from _cells("unseen-columns-unwritten", unseen & untouched)
    yield from _cells("values-past-context", ~below & ~masked & ~untouched)
    if skipped.any():
        rows = np.nonzero(skipped)[0]
        yield Anomaly("rows-after-empty-sequence", len(rows), f"rows {rows[0]} to {rows[-1]} were not computed")
    yield from execution.findings


def _cells(name: str, cells: npt.NDArray[np.bool_]) -> Iterator[Anomaly]:
    if cells.any():
        row = int(np.nonzero(cells.any(axis=1))[0][0])
        columns = np.nonzero(cells[row])[0]
        where = f"column {columns[0]}" if len(columns) == 1 else f"columns {columns[0]} to {columns[-1]}"
        yield Anomaly(name, int(cells.sum()), f"row {row}, {where}")
