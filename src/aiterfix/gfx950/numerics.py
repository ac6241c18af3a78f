"""Floating-point array code where numpy's own operation differs from the hardware's, and the fp8 tables."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import matrix_formats
from aiterfix.gfx950.workspace import temporary

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = Any
_TIE = np.iinfo(np.int64).min
"""The low 29 bits of a double that lies between two singles, moved to the top."""
_SMALLEST_NORMAL = (1023 - 126) << 53
"""The bits of 2^-126 without the sign; what is less but not 0 is denormal."""


def fma_f32(a: Array, b: Array, c: Array, out: NDArray[np.float32]) -> None:
    """``a * b + c`` in single precision with one rounding.

    The product is exact in double precision. Rounding the sum to double and then to single goes wrong only where the
    double lies exactly between two singles (its low 29 bits are 1 followed by zeros) or where the single is denormal;
    there the sum is rounded to odd first, which makes the second rounding right.
    """
    shape = out.shape
    product = np.multiply(a, b, out=temporary("fma product", shape, np.float64), dtype=np.float64)
    total = np.add(product, c, out=temporary("fma total", shape, np.float64))
    spare = np.left_shift(total.view(np.int64), 35, out=temporary("fma spare", shape, np.int64))
    rare = spare.min() == _TIE
    if not rare:
        # Without the sign, and 0 made the largest of all: a sum of 0 is exact, and common (ReLU).
        size = np.left_shift(total.view(np.uint64), 1, out=spare.view(np.uint64))
        rare = np.subtract(size, 1, out=size).min() < _SMALLEST_NORMAL
    if rare:
        _round_to_odd(total, product, np.asarray(c, np.float64))
    np.copyto(out, total, casting="same_kind")


def _round_to_odd(total: NDArray[np.float64], product: Array, addend: Array) -> None:
    """Replace each inexact sum by whichever of its two double neighbours has an odd significand."""
    recovered = total - product
    error = (product - (total - recovered)) + (addend - recovered)
    bits = total.view(np.int64)
    adjust = np.isfinite(error) & (error != 0) & np.isfinite(total) & (bits & 1 == 0)
    away = (error > 0) == (total > 0)
    bits += np.where(adjust, np.where(away, 1, -1), 0)


def fma_f64(a: Array, b: Array, c: Array, out: NDArray[np.float64]) -> None:
    """``a * b + c`` in double precision with one rounding, by way of exact rational arithmetic (slow)."""
    from fractions import Fraction

    sources = np.broadcast_arrays(a, b, c, out)
    plain = np.multiply(a, b) + c
    result = np.broadcast_to(plain, out.shape).copy()
    finite = np.isfinite(sources[0]) & np.isfinite(sources[1]) & np.isfinite(sources[2])
    for place in zip(*np.nonzero(finite), strict=True):
        x, y, z = (float(source[place]) for source in sources[:3])
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        if exact:
            try:
                result[place] = exact.numerator / exact.denominator
            except OverflowError:
                result[place] = np.inf if exact > 0 else -np.inf
    out[...] = result


def fma_f16(a: Array, b: Array, c: Array, out: NDArray[np.float16]) -> None:
    """``a * b + c`` in half precision with one rounding: exact in double precision but for its last step.

    A product of halves has 22 bits and a sum with a half at most 64 places, so double precision (53) may round; it is
    rounded to odd, which makes the second rounding right.
    """
    product = np.multiply(a, b, dtype=np.float64)
    addend = np.broadcast_to(c, out.shape).astype(np.float64)
    total = np.add(product, addend, out=np.empty(out.shape))
    _round_to_odd(total, np.broadcast_to(product, out.shape), addend)
    out[...] = total


def median(a: Array, b: Array, c: Array, out: Array) -> None:
    """The value in the middle; the least number where one is NaN (ISA manual, V_MED3_F32)."""
    shape = out.shape
    least, largest = np.empty(shape, out.dtype), np.empty(shape, out.dtype)
    minimum(a, b, least)
    minimum(least, c, least)
    pairs = []
    for first, second in ((b, c), (a, c), (a, b)):
        pair = np.empty(shape, out.dtype)
        maximum(first, second, pair)
        pairs.append(pair)
    maximum(a, b, largest)
    maximum(largest, c, largest)
    nan = np.isnan(a) | np.isnan(b) | np.isnan(c)
    out[...] = np.select([nan, largest == a, largest == b], [least, pairs[0], pairs[1]], pairs[2])


def ieee_maximum(a: Array, b: Array, out: Array) -> None:
    """The larger value, a NaN where either is one (IEEE 754-2019, ``maximum``)."""
    nan = np.isnan(a) | np.isnan(b)
    total = np.add(a, b)
    maximum(a, b, out)
    out[...] = np.where(nan, total, out)


def ieee_minimum(a: Array, b: Array, out: Array) -> None:
    """The smaller value, a NaN where either is one."""
    nan = np.isnan(a) | np.isnan(b)
    total = np.add(a, b)
    minimum(a, b, out)
    out[...] = np.where(nan, total, out)


def of_three(function: Any) -> Any:
    """A function of two sources done twice: of the first two, and of that and the third."""

    def compute(a: Array, b: Array, c: Array, out: Array) -> None:
        middle = np.empty(out.shape, out.dtype)
        function(a, b, out=middle)
        function(middle, c, out=out)

    return compute


def multiply_add(a: Array, b: Array, c: Array, out: Array) -> None:
    """``a * b + c`` of integers, in the width of the result."""
    out[...] = a.astype(out.dtype) * b.astype(out.dtype) + c


def dot_product(bits: int) -> Any:
    """The sum of the products of the parts of two registers and a third, with signs where those have them."""
    # Up to the top and back down, which brings a sign along.
    down = 32 - bits

    def compute(a: Array, b: Array, c: Array, out: Array) -> None:
        kind = out.dtype.type
        total = np.broadcast_to(c, out.shape).copy()
        for first in range(0, 32, bits):
            up = kind(down - first)
            total += ((a << up) >> kind(down)) * ((b << up) >> kind(down))
        out[...] = total

    return compute


def half_dot_product(kind: str, addend_first: bool) -> Any:
    """The sum of the products of the halves (``f16`` or ``bf16``) of two registers and a single, each step rounded to
    single precision in the order of AMD's pseudocode; hardware may round otherwise.
    """

    def compute(a: Array, b: Array, c: Array, out: Array) -> None:
        low, high = (from_half_of(a, shift, kind) * from_half_of(b, shift, kind) for shift in (0, 16))
        out[...] = c + low + high if addend_first else low + high + c

    return compute


def of_revolutions(function: Any) -> Any:
    """Sine or cosine of an angle in revolutions, evaluated in double precision and rounded once."""

    def compute(a: Array, out: Array) -> None:
        turns = np.asarray(a, np.float64)
        out[...] = function(2 * np.pi * (turns - np.rint(turns)))

    return compute


def maximum(a: Array, b: Array, out: Array) -> None:
    """The larger value in IEEE mode: a NaN loses against a number, +0 is larger than -0, a signalling NaN wins quieted.

    ``max(x, 0)`` (the ReLU of the kernels) takes a short way.
    """
    constant = a if a.size == 1 else b if b.size == 1 else None
    if constant is not None and constant.view(f"u{constant.itemsize}").item(0) == 0:
        value = b if constant is a else a
        found = np.maximum.reduce(value, axis=None)
        if found == found:
            # Bits of positive numbers are positive as integers, those of negative ones and -0 negative.
            signed = np.dtype(f"i{value.itemsize}")
            np.maximum(value.view(signed), _zeros(value.shape, signed), out=out.view(signed))
            return
        if _all_quiet(value):  # a quiet NaN loses, a signalling one goes the long way
            np.fmax(value, _zeros(value.shape, value.dtype), out=out)
            np.add(out, constant, out=out)  # adding +0 turns -0 into +0
            return
    _extreme(a, b, out, np.maximum, np.fmax, np.bitwise_and)


def _all_quiet(values: Array) -> bool:
    """Is no NaN among them signalling?"""
    bits = values[np.isnan(values)].view(f"u{values.itemsize}")
    return bool((bits >> bits.dtype.type(np.finfo(values.dtype).nmant - 1) & bits.dtype.type(1)).all())


@lru_cache(64)
def _zeros(shape: tuple[int, ...], dtype: Any) -> Array:
    """To compare with: NumPy takes ten times as long where one side is a single number."""
    zeros = np.zeros(shape, dtype)
    zeros.flags.writeable = False
    return zeros


def minimum(a: Array, b: Array, out: Array) -> None:
    """The smaller value in IEEE mode; see ``maximum``."""
    _extreme(a, b, out, np.minimum, np.fmin, np.bitwise_or)


def _extreme(a: Array, b: Array, out: Array, plain: Any, choose: Any, zeros: Any) -> None:
    unsigned = np.dtype(f"u{a.itemsize}")
    bits_a, bits_b = a.view(unsigned), b.view(unsigned)
    found = plain(a, b)
    bits = found.view(unsigned)
    zero = found == 0
    if np.count_nonzero(zero):
        # The AND (or OR) of the signs is the sign of the zero wanted, whatever the other source is.
        sign = zero.astype(unsigned) << (8 * a.itemsize - 1)
        bits &= ~sign
        bits |= zeros(bits_a, bits_b) & sign
    if np.isnan(np.maximum.reduce(found, axis=None)):
        np.copyto(found, choose(a, b), where=np.isnan(found))
        _quiet_nans(bits, (np.isnan(b), bits_b), (np.isnan(a), bits_a), np.finfo(a.dtype).nmant - 1)
    np.copyto(out, found)


def _quiet_nans(result: Array, second: tuple[Array, Array], first: tuple[Array, Array], quiet: int) -> None:
    """Put NaNs into bits where numbers stand already: the second source's where both are NaN, a signalling one quieted
    wherever it is, the first source's first."""
    both = first[0] & second[0]
    if np.count_nonzero(both):
        np.copyto(result, second[1], where=both)
    for nan, bits in (second, first):
        signalling = nan & (bits >> quiet & 1 == 0)
        if np.count_nonzero(signalling):
            np.copyto(result, bits | bits.dtype.type(1 << quiet), where=signalling)


def to_integer(dtype: Any) -> Any:
    """Float to integer conversion: towards zero, saturating, NaN to 0."""
    limits = np.iinfo(dtype)

    def convert(a: Array, out: Array) -> None:
        wide = np.nan_to_num(np.asarray(a, np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        out[...] = np.clip(np.trunc(wide), float(limits.min), float(limits.max)).astype(dtype)

    return convert


def flush_denormals(values: Array) -> Array:
    """Denormals as zeros of the same sign."""
    tiny = np.finfo(values.dtype).tiny
    return np.where(np.abs(values) < tiny, np.copysign(values.dtype.type(0), values), values)


def approximate(function: Any) -> Any:
    """A transcendental evaluated in double precision and rounded once; the hardware's own error is up to 1 ulp.

    Denormals count as zeros, in source and result, whatever the mode: LLVM scales sources and results around these
    instructions for that reason (AMDGPUCodeGenPrepare: "v_rcp_f32 and v_rsq_f32 do not support denormals").
    """

    def compute(a: Array, out: Array) -> None:
        exact = function(flush_denormals(a).astype(np.float64))
        out[...] = flush_denormals(exact.astype(a.dtype))

    return compute


def multiply_high(a: Array, b: Array) -> Array:
    """Upper half of the 64-bit product, by the sources' signedness."""
    wide = np.int64 if a.dtype.kind == "i" else np.uint64
    return (np.multiply(a, b, dtype=wide) >> wide(32)).astype(a.dtype)


def to_half(values: Array) -> Array:
    """Single to half, to nearest even; a NaN keeps its payload's upper bits and becomes quiet (NumPy's may not)."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    nan = bits >> np.uint32(16) & np.uint32(0x8000) | bits >> np.uint32(13) & np.uint32(0x3FF) | np.uint32(0x7E00)
    return np.where(
        np.isnan(values), nan.astype(np.uint16), np.asarray(values).astype(np.float16).view(np.uint16)
    ).view(np.float16)


def to_bf16(values: Array) -> Array:
    """Single to bfloat16 bits (in uint32), to nearest even; NaN stays NaN."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(values), bits >> np.uint32(16) | np.uint32(0x40), rounded)


def from_half(values: Array) -> Array:
    """Half to single, exactly; a NaN becomes quiet."""
    bits = np.ascontiguousarray(values).view(np.uint16).astype(np.uint32)
    nan = (bits & np.uint32(0x8000)) << np.uint32(16) | (bits & np.uint32(0x3FF)) << np.uint32(13)
    single = np.asarray(values).astype(np.float32)
    return np.where(np.isnan(values), nan | np.uint32(0x7FC0_0000), single.view(np.uint32)).view(np.float32)


def from_bf16(bits: Array) -> Array:
    """The single that bits of bfloat16 are the upper half of."""
    return (np.ascontiguousarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def from_half_of(register: Array, shift: int, kind: str) -> Array:
    """The single that the ``f16`` or ``bf16`` from bit ``shift`` of a register is."""
    half = (register >> np.uint32(shift)).astype(np.uint16)
    return from_half(half.view(np.float16)) if kind == "f16" else from_bf16(half)


def fp8_table(fmt: str) -> NDArray[np.float32]:
    """The 256 values of an 8-bit float: ``e4m3fn`` or ``e5m2`` (OCP, as gfx950 reads fp8 and bf8)."""
    return matrix_formats.table({"e4m3fn": "fp8", "e5m2": "bf8"}[fmt]).astype(np.float32)


@cache
def fp8_pair_table(fmt: str) -> NDArray[np.complex64]:
    """Two 8-bit floats at once: 65,536 pairs of singles, each pair stored as one complex number."""
    table = fp8_table(fmt)
    codes = np.arange(65536)
    pairs = np.empty((65536, 2), np.float32)
    pairs[:, 0] = table[codes & 0xFF]
    pairs[:, 1] = table[codes >> 8]
    return pairs.view(np.complex64)[:, 0]
