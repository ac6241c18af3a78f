"""States that programs were in. Found by a hash, told by comparison: no hash is believed alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
_SHIFT = np.uint64(29)


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
            _, first, place = np.unique(states, axis=0, return_index=True, return_inverse=True)
        before, known = len(self), self._numbers
        whole: list[bytes] = states[first].view((np.void, 4 * states.shape[1]))[:, 0].tolist()
        numbers = np.array([known.setdefault(state, len(known)) for state in whole], np.int64)
        return numbers[place.reshape(-1)], first[numbers >= before]


def _hashed(states: NDArray[Any]) -> NDArray[np.uint64]:
    result = np.zeros(len(states), np.uint64)
    for column in states.T:
        result ^= column
        result *= _MULTIPLIER
        result ^= result >> _SHIFT
    return result
