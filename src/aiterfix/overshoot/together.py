"""What goes with a group of programs of which one element stands for each, and how steps read and write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from aiterfix.gfx950.instruction import EXECZ, VCCZ, VGPR, Encoding
from aiterfix.gfx950.operands import VECTOR_BASE, Binder, Fetch, Kind
from aiterfix.overshoot.differing import Lanes
from aiterfix.overshoot.lanes import Choice, Mask, NotInForm, Spread, Value, settled

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.slicing import SlicedInstruction

FIELDS = {
    Encoding.VOP1: ("src0",),
    Encoding.VOP2: ("src0", "vsrc1"),
    Encoding.VOPC: ("src0", "vsrc1"),
    Encoding.VOP3: ("src0", "src1", "src2"),
}
"""Fields of the sources of vector instructions."""


class Together:
    """What goes with a group of programs of which one element stands for each.

    Attributes:
        lanes: what differs between lanes.
        lost: registers whose content is not known any more: nothing may read them before they are written.
    """

    __slots__ = ("lanes", "lost")

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.lost: set[int] = set()


def forget(together: Together, writes: frozenset[int]) -> None:
    """Registers are overwritten by numbers of the program."""
    lanes = together.lanes
    for number in writes:
        together.lost.discard(number)
        if number >= VECTOR_BASE:
            lanes.vectors.pop(number - VECTOR_BASE, None)
            continue
        lanes.scalars.pop(number, None)
        if lanes.masks.pop(number & ~1, None) is not None and number ^ 1 not in writes:
            together.lost.add(number ^ 1)


Write: TypeAlias = "Callable[[Waves, Together], None]"
Special: TypeAlias = "Callable[[Waves, Lanes], Write]"


def source_of(code: int, owner: CodeObject, item: SlicedInstruction) -> Callable[[Waves, Lanes], Spread]:
    """How to get an operand of 32 bits; NotInForm where it is no number of the program plus one of the lane."""
    if code < VGPR:
        fetch: Fetch = Binder(item.instruction, owner).scalar_source(code, Kind.U32)
        pair = code & ~1

        def scalar(g: Waves, lanes: Lanes) -> Spread:
            if code in lanes.scalars:
                return lanes.scalars[code]
            if pair in lanes.masks or code in (VCCZ, EXECZ):
                raise NotInForm
            return Spread(np.array(fetch(g), np.uint32), None)

        return scalar
    row = Binder(item.instruction, owner).row(code)

    def vector(g: Waves, lanes: Lanes) -> Spread:
        value = lanes.vectors.get(row)
        if value is None:
            return Spread(g.vector[row][:, 0].copy(), None)
        if isinstance(value, Choice):
            raise NotInForm
        return value

    return vector


def write_vector(row: int, value: Value) -> Write:
    """A value into a vector register."""

    def write(g: Waves, together: Together) -> None:
        if isinstance(value, Spread) and value.table is None:
            g.vector[row][:, 0] = value.base
        else:
            together.lanes.vectors[row] = value

    return write


def write_mask(pair: int, mask: Mask, lost: int | None = None) -> Write:
    """A mask into two scalar registers, ``lost`` not being known any more."""

    def write(g: Waves, together: Together) -> None:
        together.lanes.masks[pair] = mask
        if lost is not None:
            together.lost.add(lost)

    return write


def write_scalar(target: int, value: Spread, lost: int | None = None) -> Write:
    """A value that is the same in all lanes of a wave into a scalar register, ``lost`` not being known any more."""
    value = settled(value)

    def write(g: Waves, together: Together) -> None:
        if value.table is None:
            g.scalar[target][...] = value.base
        else:
            together.lanes.scalars[target] = value
        if lost is not None:
            together.lost.add(lost)

    return write
