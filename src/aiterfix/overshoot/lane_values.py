"""What differs between the lanes of a program, kept apart from what differs between programs.

A register that differs from lane to lane is nearly always *a number of the program, plus a number of the lane* that is
the same in all programs: the lane's place in a tile. Such a register is a :class:`Spread`. Comparing one with a number
of the program gives a :class:`Mask`, selecting by that a :class:`Choice`. So an instruction costs one element a
program, where 256 lanes would cost 256, and a store's furthest lane is looked up.

All of it is exact, in 32-bit arithmetic that wraps; what cannot be kept in this form is :class:`NotInForm`, and those
programs are run lane by lane.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np

from aiterfix.gfx950.waves import LANES

if TYPE_CHECKING:
    from numpy.typing import NDArray

Numbers: TypeAlias = "NDArray[Any]"
"""``(n,)``, or ``(1,)`` where all programs have the same."""


class NotInForm(Exception):  # noqa: N818 - a way to go on, not an error
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
        self.bits = int(np.bitwise_or.reduce(words))

    @classmethod
    def of(cls, words: Numbers) -> Table:
        """The table of these numbers."""
        words = np.ascontiguousarray(words, np.uint32)
        key = words.tobytes()
        found = _TABLES.get(key)
        if found is None:
            # Of two threads that make one, both get the one that was first.
            found = _TABLES.setdefault(key, cls(words))
        return found


_TABLES: dict[bytes, Table] = {}


class Spread(NamedTuple):
    """A number of each program, plus one of each lane (None: none), modulo 2^32.

    Attributes:
        base: uint32.
        table: the lanes' numbers.
    """

    base: Numbers
    table: Table | None

    def disjoint(self) -> bool:
        """Whether the sum is also the bitwise or."""
        return self.table is None or not (self.base & np.uint32(self.table.bits)).any()


class Mask(NamedTuple):
    """Lanes that are on: where ``pure`` says so, and for every condition the table's number is at least the program's.

    Attributes:
        pure: nonzero where a lane may be on; None for all.
        conditions: (table, int64 number of each program).
    """

    pure: Table | None
    conditions: tuple[tuple[Table, Numbers], ...]

    def both(self, other: Mask) -> Mask:
        """Lanes that are on in both."""
        pure = self.pure
        if other.pure is not None:
            pure = other.pure if pure is None else Table.of(pure.words & other.pure.words)
        return Mask(pure, self.conditions + other.conditions)

    def lanes(self, rows: Numbers, lanes: int) -> NDArray[np.bool_]:
        """``(rows, lanes)`` bool, for some programs."""
        on = np.ones((len(rows), lanes), np.bool_)
        if self.pure is not None:
            on &= self.pure.words != 0
        for table, least in self.conditions:
            on &= table.signed >= of_rows(least, rows)[:, np.newaxis]
        return on


class Choice(NamedTuple):
    """One number where a lane is on, another where it is off."""

    mask: Mask
    on: Spread
    off: Spread


class Half(NamedTuple):
    """The second register of a mask, which stands in the first."""


class Lost(NamedTuple):
    """What is not known any more: nothing may read it before it is written."""


Form: TypeAlias = "Spread | Mask | Choice | Half | Lost"
_Tuple = TypeVar("_Tuple", bound="tuple[Any, ...]")


def changed(form: _Tuple, change: Callable[[Numbers], Any]) -> _Tuple:
    """A form with something else in place of every array of programs' numbers."""
    parts = [
        change(x) if isinstance(x, np.ndarray) else changed(x, change) if isinstance(x, tuple) else x for x in form
    ]
    kind: Any = type(form)
    made: Any = tuple(parts) if kind is tuple else kind(*parts)
    return made  # type: ignore[no-any-return]


def numbers_of(form: Form) -> list[Numbers]:
    """The arrays of programs' numbers in it."""
    found: list[Numbers] = []
    changed(form, found.append)
    return found


def shape_of(form: Form) -> tuple[Any, ...]:
    """What must be equal for programs to be run together: all but the numbers."""
    return type(form), changed(form, lambda _: None)


def of_rows(values: Numbers, rows: Numbers) -> Numbers:
    """The numbers of some programs."""
    return np.broadcast_to(values, (len(rows),)) if len(values) == 1 else values[rows]


def shared(values: Numbers) -> Numbers:
    """The same as one number, where all programs have it."""
    return values[:1] if (values == values[0]).all() else values


def same(values: Numbers) -> int:
    """The number that all programs have; NotInForm where they differ."""
    first = int(values[0])
    if len(values) > 1 and (values != values[0]).any():
        raise NotInForm
    return first


def constant_of(number: int) -> Spread:
    """A number that all programs and lanes have."""
    return Spread(np.full(1, number & 0xFFFF_FFFF, np.uint32), None)


def _part_by_part(function: Callable[..., Numbers]) -> Callable[[Spread, Spread], Spread]:
    """A sum or a difference."""

    def compute(a: Spread, b: Spread) -> Spread:
        base = function(a.base, b.base)
        if a.table is b.table is None:
            return Spread(base, None)
        return Spread(base, Table.of(function(*(np.uint32(0) if x.table is None else x.table.words for x in (a, b)))))

    return compute


add, subtract = _part_by_part(np.add), _part_by_part(np.subtract)


def _scaled(function: Callable[..., Numbers], a: Spread, by: Spread) -> Spread:
    """A function of both parts and a number that is the same in all lanes, and in all programs if the lanes differ."""
    if by.table is not None:
        raise NotInForm
    if a.table is None:
        return Spread(function(a.base, by.base), None)
    number = np.uint32(same(by.base))
    return Spread(function(a.base, number), Table.of(function(a.table.words, number)))


def multiply(a: Spread, b: Spread) -> Spread:
    """Their product."""
    return _scaled(np.multiply, a, b) if b.table is None else _scaled(np.multiply, b, a)


def shift_left(a: Spread, b: Spread) -> Spread:
    """``a`` shifted by ``b``."""
    return _scaled(lambda x, n: x << (n & np.uint32(31)), a, b)


def shift_right(a: Spread, b: Spread) -> Spread:
    """``a`` shifted by ``b``, zeros coming in."""
    if not a.disjoint():
        raise NotInForm
    return _scaled(lambda x, n: x >> (n & np.uint32(31)), a, b)


def bitwise(function: Callable[..., Numbers], *operands: Spread) -> Spread:
    """A function of one bit of each operand, bit by bit.

    A bit that differs between lanes must be the same in all programs in operands where the lanes do not decide it.
    """
    bits = 0
    for operand in operands:
        if not operand.disjoint():
            raise NotInForm
        bits |= 0 if operand.table is None else operand.table.bits
    of_lanes = np.uint32(bits)
    base = function(*[operand.base for operand in operands]) & ~of_lanes
    if not bits:
        return Spread(base, None)
    shared = [np.uint32(same(operand.base & of_lanes)) for operand in operands]
    words = [bit if o.table is None else bit | o.table.words for bit, o in zip(shared, operands, strict=True)]
    return Spread(base, Table.of(function(*words) & of_lanes))


either, common, unlike = (partial(bitwise, f) for f in (np.bitwise_or, np.bitwise_and, np.bitwise_xor))


def bit_field(a: Spread, place: Spread) -> Spread:
    """A field of bits: where it begins in bits 4:0 of its place, its width in bits 22:16."""
    if place.table is not None:
        raise NotInForm
    width = same(place.base) >> 16 & 0x7F
    return common(shift_right(a, place), constant_of((1 << width) - 1))


def first_of_waves(a: Spread) -> Spread:
    """What the first lane of each wave has, all lanes being on."""
    if a.table is None:
        return a
    return settled(Spread(a.base, Table.of(np.repeat(a.table.words[::LANES], LANES))))


_SHIFTED = {f"s_lshl{times}_add_u32": times for times in (1, 2, 3, 4)}
ARITHMETIC: dict[str, Callable[..., Spread]] = {
    **dict.fromkeys(("v_mov_b32", "s_mov_b32"), lambda a: a),
    **dict.fromkeys(("v_add_u32", "s_add_i32", "s_add_u32", "s_addk_i32"), add),
    **dict.fromkeys(("v_sub_u32", "s_sub_i32", "s_sub_u32"), subtract),
    "v_subrev_u32": lambda a, b: subtract(b, a),
    **dict.fromkeys(("v_and_b32", "s_and_b32"), common),
    **dict.fromkeys(("v_or_b32", "s_or_b32"), either),
    **dict.fromkeys(("v_xor_b32", "s_xor_b32"), unlike),
    **dict.fromkeys(("v_mul_lo_u32", "s_mul_i32"), multiply),
    "v_not_b32": lambda a: bitwise(np.invert, a),
    "v_lshlrev_b32": lambda a, b: shift_left(b, a),
    "v_lshrrev_b32": lambda a, b: shift_right(b, a),
    "s_lshl_b32": shift_left,
    "s_lshr_b32": shift_right,
    **{name: lambda a, b, t=times: add(shift_left(a, constant_of(t)), b) for name, times in _SHIFTED.items()},
    "s_bfe_u32": bit_field,
    "v_readfirstlane_b32": first_of_waves,
    "v_add3_u32": lambda a, b, c: add(add(a, b), c),
    "v_or3_b32": lambda a, b, c: either(either(a, b), c),
    "v_and_or_b32": lambda a, b, c: either(common(a, b), c),
    "v_lshl_or_b32": lambda a, b, c: either(shift_left(a, b), c),
    "v_lshl_add_u32": lambda a, b, c: add(shift_left(a, b), c),
    "v_add_lshl_u32": lambda a, b, c: shift_left(add(a, b), c),
}
"""Instructions whose result has the form if their operands have, but for the condition that some leave."""


def settled(a: Spread) -> Spread:
    """The same without a table where all lanes have the same."""
    if a.table is None or a.table.low != a.table.high:
        return a
    return Spread(a.base + a.table.words[0], None)


COMPARISONS = frozenset(
    f"v_cmp_{relation}_{kind}" for relation in ("lt", "le", "gt", "ge", "eq", "ne") for kind in ("i32", "u32")
)
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}


def compare(name: str, a: Spread, b: Spread) -> Mask:
    """Where a comparison holds. One side is the same in all lanes; the other must not wrap between its lanes."""
    relation, kind = name.split("_")[2:]
    if a.table is None:
        a, b, relation = b, a, _MIRRORED[relation]
    table = a.table
    if table is None or b.table is not None:
        raise NotInForm
    kinds = np.int32 if kind == "i32" else np.uint32
    mine, other = a.base.view(kinds).astype(np.int64), b.base.view(kinds).astype(np.int64)
    limits = np.iinfo(kinds)
    if int(mine.min()) + table.low < limits.min or int(mine.max()) + table.high > limits.max:
        raise NotInForm
    gap = other - mine
    if relation in ("eq", "ne"):
        equal = table.signed == same(gap)
        return Mask(Table.of(equal if relation == "eq" else ~equal), ())
    if relation in ("ge", "gt"):
        return Mask(None, ((table, gap + (relation == "gt")),))
    mirrored = Table.of(np.uint32(0) - table.words)
    if mirrored.low != -table.high:  # -2^31 has no opposite
        raise NotInForm
    return Mask(None, ((mirrored, (relation == "lt") - gap),))
