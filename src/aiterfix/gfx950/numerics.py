"""Floating-point array code where numpy's own operation differs from the hardware's, and the fp8 tables."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.workspace import temporary

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array = Any
_TIE = np.uint64(0x1000_0000)
_BELOW_SINGLE = np.uint64(0x1FFF_FFFF)
_SMALLEST_NORMAL = np.float64(2.0**-126)


def fma_f32(a: Array, b: Array, c: Array, out: NDArray[np.float32]) -> None:
    """``a * b + c`` in single precision with one rounding.

    The product is exact in double precision. Rounding the sum to double and then to single goes wrong only where the
    double lies exactly between two singles (its low 29 bits are 1 followed by zeros) or where the single is denormal;
    there the sum is rounded to odd first, which makes the second rounding right.
    """
    shape = out.shape
    product = np.multiply(a, b, out=temporary("fma product", shape, np.float64), dtype=np.float64)
    total = np.add(product, c, out=temporary("fma total", shape, np.float64))
    spare = temporary("fma spare", shape, np.uint64)
    np.bitwise_and(total.view(np.uint64), _BELOW_SINGLE, out=spare)
    rare = np.equal(spare, _TIE, out=temporary("fma tie", shape, np.bool_)).any()
    if not rare:
        size = np.abs(total, out=spare.view(np.float64))
        # A sum of 0 is exact, and common (ReLU).
        rare = size.min() < _SMALLEST_NORMAL and ((size < _SMALLEST_NORMAL) & (size != 0)).any()
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


def maximum(a: Array, b: Array, out: Array) -> None:
    """The larger value in IEEE mode: a NaN loses against a number, +0 is larger than -0, a signalling NaN wins quieted.

    ``max(x, 0)`` (the ReLU of the kernels) takes a short way.
    """
    constant = a if a.size == 1 else b if b.size == 1 else None
    if constant is not None and constant.view(f"u{constant.itemsize}").item(0) == 0:
        value = b if constant is a else a
        if not _signalling_nans(value):
            np.add(np.fmax(value, constant), constant, out=out)  # adding +0 turns -0 into +0
            return
    _extreme(a, b, out, np.fmax, np.bitwise_and)


def minimum(a: Array, b: Array, out: Array) -> None:
    """The smaller value in IEEE mode; see ``maximum``."""
    _extreme(a, b, out, np.fmin, np.bitwise_or)


def _signalling_nans(value: Array) -> bool:
    # Any NaN at all sends us the long way: the sum of the values is NaN then (or by chance, which costs only time).
    return bool(np.isnan(value).any())


def _extreme(a: Array, b: Array, out: Array, choose: Any, zeros: Any) -> None:
    unsigned = np.dtype(f"u{a.itemsize}")
    quiet = unsigned.type(1 << (np.finfo(a.dtype).nmant - 1))
    a, b = np.broadcast_arrays(a, b)
    bits_a, bits_b = np.ascontiguousarray(a).view(unsigned), np.ascontiguousarray(b).view(unsigned)
    result = choose(a, b).view(unsigned)
    # Equal values differ at most in the sign of zero: the AND (or OR) of the bits has the sign wanted.
    result = np.where(a == b, zeros(bits_a, bits_b), result)
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    result = np.where(nan_a & nan_b, bits_b, result)
    result = np.where(nan_b & (bits_b & quiet == 0), bits_b | quiet, result)
    result = np.where(nan_a & (bits_a & quiet == 0), bits_a | quiet, result)
    out[...] = result.view(a.dtype)


def to_integer(dtype: Any) -> Any:
    """Float to integer conversion: towards zero, saturating, NaN to 0."""
    limits = np.iinfo(dtype)

    def convert(a: Array, out: Array) -> None:
        wide = np.nan_to_num(np.asarray(a, np.float64), nan=0.0, posinf=np.inf, neginf=-np.inf)
        out[...] = np.clip(np.trunc(wide), float(limits.min), float(limits.max)).astype(dtype)

    return convert


def rounded(function: Any) -> Any:
    """A transcendental evaluated in double precision and rounded once; the hardware's own error is up to 1 ulp."""

    def compute(a: Array, out: Array) -> None:
        out[...] = function(np.asarray(a, np.float64))

    return compute


@cache
def fp8_table(fmt: str) -> NDArray[np.float32]:
    """The 256 values of an 8-bit float: ``e4m3fn`` or ``e5m2`` (OCP, as gfx950 reads fp8 and bf8)."""
    codes = np.arange(256)
    sign = np.where(codes & 0x80, -1.0, 1.0)
    mantissa_bits, bias = {"e4m3fn": (3, 7), "e5m2": (2, 15)}[fmt]
    exponent = (codes & 0x7F) >> mantissa_bits
    mantissa = codes & (1 << mantissa_bits) - 1
    value = np.where(
        exponent == 0,
        mantissa * 2.0 ** (1 - bias - mantissa_bits),
        (1 + mantissa / 2.0**mantissa_bits) * 2.0 ** (exponent - bias),
    )
    if fmt == "e4m3fn":
        value = np.where(codes & 0x7F == 0x7F, np.nan, value)
    else:
        value = np.where(exponent == 31, np.where(mantissa == 0, np.inf, np.nan), value)
    table: NDArray[np.float32] = (sign * value).astype(np.float32)
    return table


@cache
def fp8_pair_table(fmt: str) -> NDArray[np.complex64]:
    """Two 8-bit floats at once: 65,536 pairs of singles, each pair stored as one complex number."""
    table = fp8_table(fmt)
    codes = np.arange(65536)
    pairs = np.empty((65536, 2), np.float32)
    pairs[:, 0] = table[codes & 0xFF]
    pairs[:, 1] = table[codes >> 8]
    return pairs.view(np.complex64)[:, 0]
