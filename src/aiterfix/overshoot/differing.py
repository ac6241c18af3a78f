"""The registers of programs that differ between their lanes: taken apart, put together, compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from aiterfix.overshoot.lanes import Choice, Mask, Numbers, Spread, Value


class Lanes:
    """The registers of some programs that differ between lanes.

    Attributes:
        count: lanes of a program.
        vectors: by row of the register array.
        masks: by the first of two scalar registers.
        scalars: by scalar register: numbers that differ between waves, and are the same in all lanes of each.
    """

    def __init__(
        self,
        count: int,
        vectors: dict[int, Value] | None = None,
        masks: dict[int, Mask] | None = None,
        scalars: dict[int, Spread] | None = None,
    ) -> None:
        self.count = count
        self.vectors: dict[int, Value] = vectors or {}
        self.masks: dict[int, Mask] = masks or {}
        self.scalars: dict[int, Spread] = scalars or {}

    def in_scalar(self, code: int) -> bool:
        """Whether a scalar register is other than the one number that the program's element has for it."""
        return code in self.scalars or code & ~1 in self.masks

    def in_pair(self, pair: int) -> bool:
        """Whether one of two scalar registers is."""
        return pair in self.masks or pair in self.scalars or pair + 1 in self.scalars

    def kept(self, vectors: Sequence[int], scalars: Sequence[int]) -> Lanes:
        """Without what is not live."""
        return Lanes(
            self.count,
            {row: value for row, value in self.vectors.items() if row in vectors},
            {pair: mask for pair, mask in self.masks.items() if pair in scalars or pair + 1 in scalars},
            {code: value for code, value in self.scalars.items() if code in scalars},
        )

    def numbers(self) -> list[Numbers]:
        """Every program's numbers, in the order of :meth:`form`."""
        found: list[Numbers] = []
        _rebuilt(self, lambda numbers: found.append(numbers) or numbers)  # type: ignore[func-returns-value]
        return found

    def form(self) -> tuple[Any, ...]:
        """What must be equal for programs to be run together: all but the numbers."""
        return (
            tuple((row, _form(value)) for row, value in sorted(self.vectors.items())),
            tuple((pair, _form(mask)) for pair, mask in sorted(self.masks.items())),
            tuple((code, value.table) for code, value in sorted(self.scalars.items())),
        )

    def selected(self, rows: Numbers) -> Lanes:
        """Some of the programs."""
        return _rebuilt(self, lambda numbers: numbers if len(numbers) == 1 else numbers[rows])

    @staticmethod
    def joined(parts: Sequence[Lanes], counts: Sequence[int], order: Numbers) -> Lanes:
        """Programs of one form put together."""
        columns = zip(*(part.numbers() for part in parts), strict=True)
        whole = iter(
            [
                np.concatenate([np.broadcast_to(one, (n,)) for one, n in zip(column, counts, strict=True)])[order]
                for column in columns
            ]
        )
        return _rebuilt(parts[0], lambda _: next(whole))


def _rebuilt(lanes: Lanes, change: Callable[[Numbers], Numbers]) -> Lanes:
    return Lanes(
        lanes.count,
        {row: _value(value, change) for row, value in sorted(lanes.vectors.items())},
        {pair: _mask(mask, change) for pair, mask in sorted(lanes.masks.items())},
        {code: Spread(change(value.base), value.table) for code, value in sorted(lanes.scalars.items())},
    )


def _value(value: Value, change: Callable[[Numbers], Numbers]) -> Value:
    if isinstance(value, Spread):
        return Spread(change(value.base), value.table)
    return Choice(_mask(value.mask, change), *(Spread(change(s.base), s.table) for s in (value.on, value.off)))


def _mask(mask: Mask, change: Callable[[Numbers], Numbers]) -> Mask:
    return Mask(mask.pure, tuple((table, change(least)) for table, least in mask.conditions))


def _form(value: Value | Mask) -> tuple[Any, ...]:
    if isinstance(value, Spread):
        return (value.table,)
    if isinstance(value, Mask):
        return (value.pure, *(table for table, _ in value.conditions))
    return (_form(value.mask), value.on.table, value.off.table)
