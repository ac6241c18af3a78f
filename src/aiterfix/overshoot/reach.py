"""How far the lanes of a program get, looked up: the largest number that any of them has."""

from __future__ import annotations

import numpy as np

from aiterfix.overshoot.lanes import Mask, Numbers, Spread, Table, Value, of_rows

_WORD = 1 << 32


def furthest(value: Value, below: Numbers, count: int, lanes: int) -> Numbers:
    """For each of ``count`` programs, the largest number below its limit that any lane has; -1 where none has."""
    if isinstance(value, Spread):
        return _furthest(Mask(None, ()), value, below, count, lanes)
    best = _furthest(value.mask, value.on, below, count, lanes)
    # What masked lanes store is dropped: an offset past the buffer.
    off = value.off
    if off.table is None and (off.base >= below).all():
        return best
    rows = np.arange(count)
    return np.maximum(best, _lane_by_lane(value.mask, off, below, rows, lanes, on=False))


def _furthest(mask: Mask, value: Spread, below: Numbers, count: int, lanes: int) -> Numbers:
    table = value.table or Table.of(np.zeros(lanes, np.uint32))
    base = value.base.astype(np.int64)
    inside = np.broadcast_to((base + table.low >= 0) & (base + table.high < below), (count,))
    best = _best(mask, table, count, lanes)
    result: Numbers = np.where(best >= table.low, base + best, -1)
    if not inside.all():
        beyond = np.broadcast_to((base + table.low >= below) & (base + table.high < _WORD), (count,))
        result[beyond] = -1
        rows = np.flatnonzero(~inside & ~beyond)
        if len(rows):
            result[rows] = _lane_by_lane(mask, value, below, rows, lanes, on=True)
    return result


_NOTHING = -(1 << 40)


def _best(mask: Mask, table: Table, count: int, lanes: int) -> Numbers:
    """For each program, the largest of the table's numbers in lanes that are on."""
    on = np.ones(lanes, np.bool_) if mask.pure is None else mask.pure.words != 0
    best = np.full(count, table.signed[on].max(initial=_NOTHING))
    partly = np.zeros(count, np.bool_)
    for other, least in mask.conditions:
        partly |= least > other.low
    rows = np.flatnonzero(partly)
    if not len(rows):
        return best
    code: Numbers = np.zeros(len(rows), np.int64)
    for other, least in mask.conditions:
        # A lane is on where its rank is at least the place of the program's number among the steps.
        code = code * (len(other.steps) + 1) + np.searchsorted(other.steps, of_rows(least, rows))
    distinct, inverse = np.unique(code, return_inverse=True)
    allowed = np.broadcast_to(on, (len(distinct), lanes))
    left = distinct
    for other, _ in reversed(mask.conditions):
        left, place = np.divmod(left, len(other.steps) + 1)
        allowed = allowed & (other.ranks >= place[:, np.newaxis])
    best[rows] = np.where(allowed, table.signed, _NOTHING).max(axis=1)[inverse.reshape(-1)]
    return best


def _lane_by_lane(mask: Mask, value: Spread, below: Numbers, rows: Numbers, lanes: int, *, on: bool) -> Numbers:
    result = np.empty(len(rows), np.int64)
    words = np.uint32(0) if value.table is None else value.table.words
    for first in range(0, len(rows), 4096):
        part = rows[first : first + 4096]
        numbers = (of_rows(value.base, part)[:, np.newaxis] + np.broadcast_to(words, (lanes,))).astype(np.int64)
        chosen = (mask.lanes(part, lanes) == on) & (numbers < of_rows(below, part)[:, np.newaxis])
        result[first : first + 4096] = np.where(chosen, numbers, -1).max(axis=1)
    return result
