"""States that programs were in. Found by a hash, told by comparison: no hash is believed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)


class StateTable:
    """States of one place, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, states: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Numbers of states, a row each; and which rows are the first of those that are new, in order of number."""
        _, first, place = np.unique(_hashed(states), return_index=True, return_inverse=True)
        if (states[first[place]] != states).any():  # unlike states of one hash
            first = place = np.arange(len(states))
        before, known = len(self), self._numbers
        rows: list[bytes] = states[first].view((np.void, 4 * states.shape[1]))[:, 0].tolist()
        numbers = np.array([known.setdefault(row, len(known)) for row in rows], np.int64)
        found, at = np.unique(numbers, return_index=True)
        return numbers[place], first[at[found >= before]]


def _hashed(states: NDArray[np.uint32]) -> NDArray[np.uint64]:
    return states.astype(np.uint64) @ np.cumprod(np.full(states.shape[1], _MULTIPLIER))
