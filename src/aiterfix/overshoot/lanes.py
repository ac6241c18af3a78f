"""What differs between the lanes of a program, kept apart from what differs between programs.

A register that differs from lane to lane is nearly always *a number of the program, plus a number of the lane* that is
the same in all programs: the lane's place in a tile. The machine holds the program's number; the lane's stands in an
:class:`Offset`. Comparing such a register with a number of the program gives a :class:`Mask`, selecting by that an
offset that counts where the mask is on. So an instruction costs one element a program, where 256 lanes would cost 256,
and a store's furthest lane is looked up.

All of it is exact, in 32-bit arithmetic that wraps; what cannot be kept so is :class:`NotFollowed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from aiterfix.errors import NotUnderstoodError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Numbers: TypeAlias = "NDArray[Any]"
"""``(n,)``, or ``(1,)`` where all programs have the same."""


def refused(problem: str, why: str = "") -> NotUnderstoodError:
    """That a kernel cannot be measured, and what can be done instead."""
    return NotUnderstoodError(problem, why=why, remedy="run `aiterfix validate`, which executes the whole kernel")


class NotFollowed(Exception):  # noqa: N818 - what that means is for the machine to say
    """Something that is no number of the program plus one of the lane."""


class Table:
    """A number for each lane of a program's waves. Equal tables are one object: make them by :meth:`of`.

    Attributes:
        words: ``(lanes,)`` uint32.
        signed: the same read as signed, int64.
        low, high: least and largest of those.
        bits: every bit that is set in some lane.
    """

    def __init__(self, words: NDArray[np.uint32]) -> None:
        self.words = words
        self.signed: NDArray[np.int64] = words.view(np.int32).astype(np.int64)
        self.low, self.high = int(self.signed.min()), int(self.signed.max())
        self.bits = np.bitwise_or.reduce(words)

    @classmethod
    def of(cls, words: Numbers) -> Table:
        """The table of these numbers."""
        words = np.array(words, np.uint32)
        key = words.tobytes()
        found = _TABLES.get(key)
        if found is None:
            # Of two threads that make one, both get the one that was first.
            found = _TABLES.setdefault(key, cls(words))
        return found


_TABLES: dict[bytes, Table] = {}


class Mask(NamedTuple):
    """Lanes that are on: those for which in every condition the table's number is at least the program's.

    It stands by the first of its two registers; the second is :class:`Lost`.

    Attributes:
        conditions: (table, int64 number of each program).
    """

    conditions: tuple[tuple[Table, Numbers], ...] = ()

    @classmethod
    def of(cls, lanes: Numbers) -> Mask:
        """These lanes, ``(lanes,)`` bool, in all programs."""
        return cls(((Table.of(lanes), np.ones(1, np.int64)),))

    def lanes(self, rows: Numbers, lanes: int) -> NDArray[np.bool_]:
        """``(rows, lanes)`` bool, for some programs."""
        on = np.ones((len(rows), lanes), np.bool_)
        for table, least in self.conditions:
            on &= table.signed >= of_rows(least, rows)[:, np.newaxis]
        return on


EVERY = Mask()


class Offset(NamedTuple):
    """What lanes hold besides the number of their program in the machine.

    Attributes:
        table: to be added, modulo 2^32.
        mask: where that is so.
        elsewhere: what lanes hold that are off in the mask, uint32; None where none can be.
    """

    table: Table
    mask: Mask = EVERY
    elsewhere: Numbers | None = None


class Lost(NamedTuple):
    """What is not known any more: nothing may read it before it is written."""


Varying: TypeAlias = "Offset | Mask | Lost"
_Tuple = TypeVar("_Tuple", bound="tuple[Any, ...]")


def changed(varying: _Tuple, change: Callable[[Numbers], Any]) -> _Tuple:
    """The same with something else in place of every array of programs' numbers."""
    parts = [
        change(x) if isinstance(x, np.ndarray) else changed(x, change) if isinstance(x, tuple) else x for x in varying
    ]
    kind: Any = type(varying)
    made: Any = tuple(parts) if kind is tuple else kind(*parts)
    return made  # type: ignore[no-any-return]


def numbers_of(varying: Varying) -> list[Numbers]:
    """The arrays of programs' numbers in it."""
    found: list[Numbers] = []
    changed(varying, found.append)
    return found


def shape_of(varying: Varying) -> tuple[Any, ...]:
    """What must be equal for programs to be run together: all but the numbers."""
    return type(varying), changed(varying, lambda _: None)


def of_rows(values: Numbers, rows: Numbers) -> Numbers:
    """The numbers of some programs."""
    return np.broadcast_to(values, (len(rows),)) if len(values) == 1 else values[rows]


def alike(values: Numbers) -> bool:
    """Whether all programs have the same."""
    return bool((values == values[0]).all())


def shared(values: Numbers) -> Numbers:
    """The same as one number, where all programs have it."""
    return values[:1] if alike(values) else values


def at_least(relation: str, table: Table, mine: Numbers, other: Numbers) -> Mask:
    """Where a lane's number stands in a relation to its program's.

    Args:
        relation: lt, le, gt or ge.
        table, mine: the lane's number is their sum.
        other: the program's; as ``mine``, int32 or uint32, as the comparison reads them.
    """
    limits = np.iinfo(mine.dtype)
    mine, other = mine.astype(np.int64), other.astype(np.int64)
    if int(mine.min()) + table.low < limits.min or int(mine.max()) + table.high > limits.max:
        raise NotFollowed  # it wraps between its lanes
    gap = other - mine
    if relation in ("ge", "gt"):
        return Mask(((table, gap + (relation == "gt")),))
    mirrored = Table.of(np.uint32(0) - table.words)
    if mirrored.low != -table.high:  # -2^31 has no opposite
        raise NotFollowed
    return Mask(((mirrored, (relation == "lt") - gap),))
