"""States that programs were in. Found by a hash, told by comparison: no hash is believed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_SHIFT = np.uint64(29)


class StateTable:
    """States of one place, numbered as they come: a hash table with linear probing."""

    def __init__(self) -> None:
        self.count = 0
        # Room is doubled, so that millions are not moved for every thousand.
        self._states: NDArray[np.uint32] = np.zeros((0, 0), np.uint32)
        self._slots: NDArray[np.int64] = np.full(1 << 12, -1)

    def number(self, states: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of states, a row each; and which rows are the first of those that are new, in order of number."""
        self._make_room(states)
        place = self._place(states)
        found = np.empty(len(states), np.int64)
        fresh: list[NDArray[np.int64]] = []
        left = np.arange(len(states))
        while len(left):
            claimed = left[self._slots[place[left]] < 0]
            # The last to write a slot has it; the others compare themselves with it.
            self._slots[place[claimed]] = claimed
            won = claimed[self._slots[place[claimed]] == claimed]
            numbers = np.arange(self.count, self.count + len(won))
            self._slots[place[won]] = numbers
            self._states[numbers] = states[won]
            self.count += len(won)
            fresh.append(won)
            held = self._slots[place[left]]
            same = (self._states[held] == states[left]).all(axis=1)
            found[left[same]] = held[same]
            left = left[~same]
            place[left] = place[left] + 1 & len(self._slots) - 1
        return found, np.concatenate(fresh) if fresh else left

    def _place(self, states: NDArray[np.uint32]) -> NDArray[np.int64]:
        place: NDArray[np.int64] = (_hashed(states) >> np.uint64(8)).astype(np.int64) & len(self._slots) - 1
        return place

    def _make_room(self, states: NDArray[np.uint32]) -> None:
        most = self.count + len(states)
        if most > len(self._states):
            grown = np.empty((2 * most, states.shape[1]), np.uint32)
            grown[: self.count] = self._states[: self.count] if self.count else 0
            self._states = grown
        if 2 * most <= len(self._slots):
            return
        self._slots = np.full(1 << (4 * most).bit_length(), -1)
        place, left = self._place(self._states[: self.count]), np.arange(self.count)
        while len(left):
            free = left[self._slots[place[left]] < 0]
            self._slots[place[free]] = free
            left = left[self._slots[place[left]] != left]
            place[left] = place[left] + 1 & len(self._slots) - 1


def _hashed(states: NDArray[Any]) -> NDArray[np.uint64]:
    result = np.zeros(len(states), np.uint64)
    for column in states.T:
        result ^= column
        result *= _MULTIPLIER
        result ^= result >> _SHIFT
    return result
