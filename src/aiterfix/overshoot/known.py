"""States that were seen, and who had them first. Found by a hash, told by comparison: no hash is believed alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_SHIFT = np.uint64(29)


def states_of(columns: Sequence[NDArray[Any]], count: int) -> NDArray[np.uint64]:
    """``(count, columns)``: a row for each program, of integer columns of ``count`` or 1."""
    table = np.zeros((count, max(1, len(columns))), np.uint64)
    for place, column in enumerate(columns):
        # A signed number keeps its bits.
        table[:, place] = column.astype(np.int64).view(np.uint64) if column.dtype.kind == "i" else column
    return table


class Known:
    """States of one place, found in order of their hashes, with the number of the first program that had each."""

    def __init__(self) -> None:
        self._hashes: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._rows: NDArray[np.int64] = np.zeros(0, np.int64)
        # By row, as they came; room is doubled, so that millions are not moved for every thousand.
        self._states: NDArray[np.uint64] = np.zeros((0, 0), np.uint64)
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)

    def first_of(self, states: NDArray[np.uint64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each state, the number of the first program that had it: its own where none had."""
        hashes = _hashed(states)
        distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        mine = states[first]
        found = numbers[first].copy()
        places = np.searchsorted(self._hashes, distinct)
        fresh = np.ones(len(distinct), np.bool_)
        if len(self._hashes):
            held = np.minimum(places, len(self._hashes) - 1)
            fresh = self._hashes[held] != distinct
            occupied = np.flatnonzero(~fresh)
            rows = self._rows[held[occupied]]
            equal = (self._states[rows] == mine[occupied]).all(axis=1)
            found[occupied[equal]] = self._numbers[rows[equal]]
        self._add(distinct[fresh], places[fresh], mine[fresh], numbers[first[fresh]])
        # Of two states with one hash the second stands for itself.
        same = (mine[inverse] == states).all(axis=1)
        return np.where(same, found[inverse], numbers)

    def _add(
        self,
        hashes: NDArray[np.uint64],
        places: NDArray[np.int64],
        states: NDArray[np.uint64],
        numbers: NDArray[np.int64],
    ) -> None:
        used, count = len(self._hashes), len(hashes)
        if used + count > len(self._numbers):
            room = max(2 * len(self._numbers), used + count)
            grown = np.empty((room, states.shape[1]), np.uint64)
            grown[:used] = self._states[:used] if used else 0
            self._states = grown
            self._numbers = np.concatenate([self._numbers, np.empty(room - len(self._numbers), np.int64)])
        rows = np.arange(used, used + count)
        self._states[rows], self._numbers[rows] = states, numbers
        self._hashes = np.insert(self._hashes, places, hashes)
        self._rows = np.insert(self._rows, places, rows)


def _hashed(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    result = np.zeros(len(states), np.uint64)
    for column in states.T:
        result ^= column
        result *= _MULTIPLIER
        result ^= result >> _SHIFT
    return result
