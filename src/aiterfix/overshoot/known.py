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
    """States of one place, in order of their hashes, with the number of the first program that came there with it."""

    def __init__(self) -> None:
        self._hashes: NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self._states: NDArray[np.uint64] = np.zeros((0, 0), np.uint64)

    def first_of(self, states: NDArray[np.uint64], numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each state, the number of the first program that had it: its own where none had."""
        hashes = _hashed(states)
        distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
        inverse = inverse.reshape(-1)
        mine = states[first]
        found = numbers[first].copy()
        places = np.searchsorted(self._hashes, distinct)
        held = np.minimum(places, max(0, len(self._hashes) - 1))
        occupied = self._hashes[held] == distinct if len(self._hashes) else np.zeros(len(distinct), np.bool_)
        if occupied.any():
            rows = np.flatnonzero(occupied)
            equal = (self._states[held[rows]] == mine[rows]).all(axis=1)
            found[rows[equal]] = self._numbers[held[rows[equal]]]
        fresh = ~occupied
        if fresh.any():
            if not len(self._hashes):
                self._states = np.zeros((0, states.shape[1]), np.uint64)
            at = places[fresh]
            self._hashes = np.insert(self._hashes, at, distinct[fresh])
            self._numbers = np.insert(self._numbers, at, numbers[first[fresh]])
            self._states = np.insert(self._states, at, mine[fresh], axis=0)
        # Of two states with one hash the second stands for itself.
        same = (mine[inverse] == states).all(axis=1)
        return np.where(same, found[inverse], numbers)


def _hashed(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    result = np.zeros(len(states), np.uint64)
    for column in states.T:
        result ^= column
        result *= _MULTIPLIER
        result ^= result >> _SHIFT
    return result
