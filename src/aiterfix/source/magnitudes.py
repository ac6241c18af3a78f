"""How large a number may be, and whether it is computed in enough bits to be right.

Three sizes are told apart: small numbers, made of literals, constexpr parameters, lanes (`arange`) and remainders by
these; lanes and remainders times a parameter that is multiplied with nothing larger (a token's place in its block,
times the stride between tokens); and all others, which may be anything that their type holds. Products of the last are
what passes 2^31; sums of them are taken not to, as everywhere in this package (`aiterfix.source.values`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from enum import IntEnum

from aiterfix.source.values import ADAPTS, NARROW, UNKNOWN_WIDTH, WIDE

CONSTEXPR = 1 << 12
"""The most that a constexpr parameter is taken to be: tokens of a block, columns of a chunk, elements of a key."""
LIMIT = 1 << 31


class Size(IntEnum):
    """How large a number may be; the larger one is a sum's."""

    SMALL = 0
    INSIDE = 1
    """A small number times a parameter: inside a block, as long as that parameter is no stride between blocks."""
    ANY = 2


class Fits(IntEnum):
    """Whether an address is computed in enough bits; the worse one is a sum's."""

    YES = 0
    UNKNOWN = 1
    NO = 2


@dataclass(frozen=True)
class Number:
    """What is known of a number, or of every element of a tensor.

    Attributes:
        width: its bits, see `aiterfix.source.values`.
        size: how large it may be.
        fits: whether no product in it has passed its bits.
        strides: parameters that a small number was multiplied with in fewer than 64 bits.
        most: the largest that a small number can be, either side of 0.
        parameter: the parameter that it is, where it is one as it was passed.
        device: whether it is a value of the device whatever the kernel is specialised for: it has methods.
    """

    width: int
    size: Size = Size.ANY
    fits: Fits = Fits.YES
    strides: frozenset[str] = frozenset()
    most: int = 0
    parameter: str = ""
    device: bool = False


@dataclass(frozen=True)
class Pointer:
    """An address in a cache.

    Attributes:
        cache: the parameter that it is made from.
        fits: whether everything that was added to it was right.
        strides: see `Number`.
    """

    cache: str
    fits: Fits = Fits.YES
    strides: frozenset[str] = frozenset()


Abstract = Number | Pointer

NOT_FOLLOWED = Number(UNKNOWN_WIDTH, Size.ANY, Fits.UNKNOWN)
FLAG = Number(NARROW, Size.SMALL, most=1)


def constant(value: object) -> Number:
    """What is known of a constant."""
    if not isinstance(value, int):
        return NOT_FOLLOWED
    small = abs(value) < LIMIT
    return Number(ADAPTS if small else WIDE, Size.SMALL if small else Size.ANY, most=abs(value) if small else 0)


def joined(left: Abstract | None, right: Abstract | None) -> Abstract | None:
    """What holds of both; None stands for what has no value yet."""
    if left is None or right is None or left == right:
        return right if left is None else left
    if isinstance(left, Pointer) and isinstance(right, Pointer) and left.cache == right.cache:
        return Pointer(left.cache, max(left.fits, right.fits), left.strides | right.strides)
    if isinstance(left, Pointer):
        return replace(left, fits=Fits.UNKNOWN)
    if isinstance(right, Pointer):
        return replace(right, fits=Fits.UNKNOWN)
    widths = {left.width, right.width} - {ADAPTS}
    return Number(
        ADAPTS if not widths else widths.pop() if len(widths) == 1 else UNKNOWN_WIDTH,
        max(left.size, right.size),
        max(left.fits, right.fits),
        left.strides | right.strides,
        max(left.most, right.most),
        device=left.device and right.device,
    )


class Arithmetic:
    """Operations on numbers of one kernel.

    Attributes:
        block_strides: parameters that were multiplied with numbers which may be anything: distances between blocks.
    """

    def __init__(self) -> None:
        self.block_strides: set[str] = set()

    def combined(self, op: ast.operator, left: Number, right: Number, natural: int | None = None) -> Number:
        """What an operation gives.

        Args:
            op: the operation.
            left: its first operand.
            right: its second operand.
            natural: the operand that is a small literal and not negative, where there is one.
        """
        width, fits = max(left.width, right.width), max(left.fits, right.fits)
        strides, device = left.strides | right.strides, left.device or right.device
        if isinstance(op, (ast.Mult, ast.LShift)):
            return self._product(op, left, right, Number(width, fits=fits, strides=strides, device=device))
        if isinstance(op, (ast.Add, ast.Sub)):
            size = max(left.size, right.size)
            return _sized(Number(width, size, fits, strides, device=device), left.most + right.most)
        if isinstance(op, (ast.FloorDiv, ast.RShift)):
            return _sized(Number(width, left.size, fits, left.strides, device=device), left.most)
        if isinstance(op, ast.Mod) and right.size is Size.SMALL:  # whatever was divided
            return Number(width, Size.SMALL, most=right.most, device=device)
        if isinstance(op, ast.BitAnd) and natural is not None:
            return replace(constant(natural), width=width, device=device)
        if isinstance(op, (ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor)):
            return Number(width, Size.ANY, fits, strides, device=device)
        return NOT_FOLLOWED

    def _product(self, op: ast.operator, left: Number, right: Number, product: Number) -> Number:
        """What is known of a product beside what its factors share."""
        if left.size is right.size is Size.SMALL:
            factor = right.most if isinstance(op, ast.Mult) else 1 << min(right.most, 32)
            if left.most * factor < LIMIT:
                return replace(product, size=Size.SMALL, most=left.most * factor)
        # What lies in a block differs from lane to lane or was divided; a constexpr may be a stride itself.
        for small, stride in ((left, right), (right, left)):
            if small.size is Size.SMALL and small.device and stride.parameter and isinstance(op, ast.Mult):
                named = frozenset({stride.parameter}) if product.width < WIDE else frozenset()
                return replace(product, size=Size.INSIDE, strides=product.strides | named)
        self.block_strides |= {left.parameter, right.parameter} - {""}
        width = product.width
        narrow = Fits.YES if width == WIDE else Fits.UNKNOWN if width == UNKNOWN_WIDTH else Fits.NO
        return replace(product, fits=max(product.fits, narrow))


def _sized(value: Number, most: int) -> Number:
    """A number that a small one may be larger than: then it may be anything."""
    if value.size is not Size.SMALL:
        return value
    return replace(value, most=most) if most < LIMIT else replace(value, size=Size.ANY)
