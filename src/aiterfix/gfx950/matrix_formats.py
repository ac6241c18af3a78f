"""Operands of matrix instructions in the true order of k: their formats, layout and scales.

Needed where the order matters, for products of operands whose layouts differ and for scaled ones, and where an
instruction multiplies several blocks. Layout by AMD's
matrix cores guide for CDNA 4: of an 8-bit operand with 32 values a lane, the lanes of group ``g`` hold the k from
``16 g`` and those from ``K / 2 + 16 g``, 16 each; of a 6- or 4-bit one the 32 from ``32 g``. A scale (E8M0) belongs to
32 consecutive k of one row: those from ``32 g`` for the lanes of group ``g``, whatever the layout of the values.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BITS = {"fp8": 8, "bf8": 8, "i8": 8, "fp6": 6, "bf6": 6, "fp4": 4, "f16": 16, "bf16": 16, "f32": 32, "f64": 64}
"""Bits of an element."""
_FLOATS = {"fp8": (4, 3, 7), "bf8": (5, 2, 15), "fp6": (2, 3, 1), "bf6": (3, 2, 3), "fp4": (2, 1, 1)}
"""Exponent bits, mantissa bits and bias."""
_SCALED = 32
"""Values of k that share a scale."""


@cache
def table(fmt: str) -> NDArray[np.float64]:
    """The value of every code. Formats of 6 and 4 bits have neither infinities nor NaN (OCP Microscaling, v1.0)."""
    if fmt == "i8":
        return np.arange(256).astype(np.int8).astype(np.float64)
    exponent_bits, mantissa_bits, bias = _FLOATS[fmt]
    codes = np.arange(1 << (1 + exponent_bits + mantissa_bits))
    mantissa = (codes & (1 << mantissa_bits) - 1) / 2.0**mantissa_bits
    exponent = codes >> mantissa_bits & (1 << exponent_bits) - 1
    value = np.where(exponent == 0, mantissa * 2.0 ** (1 - bias), (1 + mantissa) * 2.0 ** (exponent - bias))
    if fmt == "fp8":
        value[codes & 0x7F == 0x7F] = np.nan
    if fmt == "bf8":
        value[exponent == 31] = np.inf
        value[(exponent == 31) & (mantissa != 0)] = np.nan
    return np.where(codes >> (exponent_bits + mantissa_bits), -value, value)


def codes(packed: NDArray[np.uint32], bits: int) -> NDArray[np.uint8]:
    """Registers ``(..., r)`` to the codes in them ``(..., 32 r / bits)``, the first in the lowest bits."""
    stream = np.ascontiguousarray(packed).view(np.uint8)
    if bits == 8:
        return stream
    single = np.unpackbits(stream, axis=-1, bitorder="little").reshape(*stream.shape[:-1], -1, bits)
    return np.packbits(single, axis=-1, bitorder="little")[..., 0]


@cache
def order(fmt: str, groups: int, depth: int) -> NDArray[np.int64]:
    """``(lane groups, values of a lane)``: the k of each."""
    group, place = np.arange(groups)[:, np.newaxis], np.arange(depth // groups)
    found: NDArray[np.int64] = depth // groups * group + place
    if BITS[fmt] == 8 and depth // groups == _SCALED:
        found = place // 16 * (depth // 2) + 16 * group + place % 16
    return found


def values(packed: NDArray[np.uint32], fmt: str, size: int, depth: int, blocks: int = 1) -> NDArray[np.float64]:
    """Registers ``(waves, 64, r)`` to the operand ``(waves, blocks, size, K)``: lanes count rows first, then blocks."""
    groups = 64 // (size * blocks)
    found = _numbers(packed, fmt).reshape(len(packed), groups, blocks, size, -1)
    result = np.empty((len(packed), blocks, size, depth))
    for group, places in enumerate(order(fmt, groups, depth)):
        result[..., places] = found[:, group]
    return result


def _numbers(packed: NDArray[np.uint32], fmt: str) -> Any:
    if fmt in ("f16", "f32", "f64"):
        return packed.view(f"f{BITS[fmt] // 8}")
    if fmt == "bf16":
        return (packed.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)
    return table(fmt)[codes(packed, BITS[fmt])]


def scales(exponents: Any, size: int) -> NDArray[np.float64]:
    """E8M0 codes ``(waves, 64)`` to a factor for every element, ``(waves, 1, size, K)``; 255 is NaN."""
    factors = np.where(exponents == 255, np.nan, np.ldexp(1.0, exponents.astype(np.int32) - 127))
    rows = factors.reshape(len(factors), 64 // size, size).transpose(0, 2, 1)
    repeated: NDArray[np.float64] = rows.repeat(_SCALED, axis=2)[:, np.newaxis]
    return repeated
