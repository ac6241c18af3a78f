"""The three instructions around an IEEE division's Newton steps (ISA manual, V_DIV_SCALE, V_DIV_FMAS, V_DIV_FIXUP).

The manual's pseudocode is read with what it must mean for the sequence that compilers emit to divide correctly, which a
test holds it to: a result that it does not assign is the first source; ``1 / denominator`` is called denormal in the
format of the operands, and where the quotient is too, the denominator is scaled down (up, as written, makes it
infinite); the last step scales by 2^64 (2^128), up or down by the exponent of the addend, not by 2^32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import numerics
from aiterfix.gfx950.instruction import VCC
from aiterfix.gfx950.operands import Array, Binder, Bound, Kind, write_vector, write_vector64
from aiterfix.gfx950.vector import sources_of, vector_result
from aiterfix.gfx950.vector_operation import VectorOperation, operation

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "vector float"
_KINDS = {"f32": Kind.F32, "f64": Kind.F64}
NAMES = frozenset({f"v_div_{step}_{kind}" for step in ("scale", "fmas") for kind in _KINDS})
_LIMITS = {Kind.F32: (96, 23, 64), Kind.F64: (768, 53, 128)}
"""Exponent difference near the largest number, exponent of a tiny numerator, and the power of two to scale by."""


def bind(binder: Binder) -> Bound:
    """Bind ``v_div_scale`` or ``v_div_fmas``."""
    binder.only_zero("omod", "clmp")
    _, _, step, kind = binder.instruction.mnemonic.split("_")
    return (_bind_scale if step == "scale" else _bind_fmas)(binder, _KINDS[kind])


def _exponent(values: Array) -> Array:
    """The biased exponent field."""
    info = np.finfo(values.dtype)
    bits = np.ascontiguousarray(values).view(f"u{values.itemsize}")
    return (bits >> bits.dtype.type(info.nmant)).astype(np.int64) & (1 << info.iexp) - 1


def _denormal_quotient(numerator: Array, denominator: Array) -> Array:
    """Is the exact quotient of two numbers other than 0 below the least normal number?"""
    (top, high), (bottom, low) = np.frexp(numerator), np.frexp(denominator)
    quotient = np.frexp(np.abs(top / bottom))[1] + high - low
    finite = np.isfinite(numerator) & np.isfinite(denominator)
    return finite & (quotient <= np.finfo(numerator.dtype).minexp)


def scaled(value: Array, denominator: Array, numerator: Array, kind: Kind) -> tuple[Array, Array]:
    """Result of ``v_div_scale`` and whether its flag is set; all ``(n, 64)``."""
    far, tiny, power = _LIMITS[kind]
    up, down = np.ldexp(value, power), np.ldexp(value, -power)
    only_denominator = np.where(value == denominator, up, value)
    denominator_down = np.where(value == denominator, down, value)
    only_numerator = np.where(value == numerator, up, value)
    difference = _exponent(numerator) - _exponent(denominator)
    small = (denominator != 0) & (np.abs(denominator) < np.finfo(kind.dtype).tiny)
    inverse = _denormal_quotient(np.ones_like(denominator), denominator)
    quotient = _denormal_quotient(numerator, denominator)
    cases = [
        ((numerator == 0) | (denominator == 0), np.full_like(value, np.nan), False),
        (difference >= far, only_denominator, True),
        (small, up, False),
        (inverse & quotient, denominator_down, True),
        (inverse, down, False),
        (quotient, only_numerator, True),
        (_exponent(numerator) <= tiny, up, False),
    ]
    conditions = [condition for condition, _, _ in cases]
    result = np.select(conditions, [result for _, result, _ in cases], value)
    return result.astype(kind.dtype), np.select(conditions, [np.asarray(flag) for _, _, flag in cases], False)


def _bind_scale(binder: Binder, kind: Kind) -> Bound:
    fetches = sources_of(binder, (kind,) * 3)
    row = binder.row(binder.instruction["vdst"])
    binder.note_vector(row, kind.bits // 32, binder.writes)
    write_mask = binder.mask_result(binder.instruction["sdst"])

    def execute(g: Waves) -> None:
        value, denominator, numerator = (np.broadcast_to(fetch(g), (g.count, 64)) for fetch in fetches)
        result, flag = scaled(value, denominator, numerator, kind)
        if kind.bits == 64:
            write_vector64(g, row, result)
        else:
            write_vector(g, row, result.view(np.uint32))
        write_mask(g, flag)

    return binder.bound(execute)


def _bind_fmas(binder: Binder, kind: Kind) -> Bound:
    fma: Any = numerics.fma_f32 if kind is Kind.F32 else numerics.fma_f64
    power, middle = _LIMITS[kind][2], np.finfo(kind.dtype).maxexp - 1

    def compute(a: Array, b: Array, c: Array, mask: Array, out: Array) -> None:
        result = np.empty(out.shape, out.dtype)
        fma(a, b, c, out=result)
        by = np.where(_exponent(np.broadcast_to(c, out.shape)) > middle, power, -power)
        out[...] = np.where(mask != 0, np.ldexp(result, by), result)

    fetches = [*sources_of(binder, (kind,) * 3), binder.mask_source(VCC)]
    return vector_result(binder, VectorOperation(compute, kind, (kind,) * 3), fetches)


def _fixup(quotient: Array, denominator: Array, numerator: Array, out: Array) -> None:
    """The quotient with the sign, the infinities, zeros and NaNs of the division."""
    shape, dtype = out.shape, out.dtype
    a, b, c = (np.broadcast_to(x, shape) for x in (quotient, denominator, numerator))
    info = np.finfo(dtype)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    quiet = unsigned.type(1 << (info.nmant - 1))
    invalid = np.full(shape, -np.nan, dtype)
    negative = np.signbit(b) ^ np.signbit(c)
    too_small = _exponent(c) - _exponent(b) < -(info.nmant + info.maxexp - 1)
    zero = np.isinf(b) | (c == 0) | (too_small if dtype != np.float16 else np.False_)
    # The steps make a NaN of what is too large (so hardware of a near relation: tinygrad's tests ran on it).
    cases = [(b == 0) | np.isinf(c), zero, np.isnan(a)]
    size = np.select(cases, [dtype.type(np.inf), dtype.type(0), dtype.type(np.inf)], np.abs(a))
    quieted = [(np.ascontiguousarray(x).view(unsigned) | quiet).view(dtype) for x in (c, b)]
    out[...] = np.select(
        [np.isnan(c), np.isnan(b), (b == 0) & (c == 0) | np.isinf(b) & np.isinf(c)],
        [*quieted, invalid],
        np.where(negative, -size, size),
    )


FIXUPS: dict[str, VectorOperation] = {
    f"v_div_fixup_{name}": operation(_fixup, f"{name.upper()} <- {name.upper()} {name.upper()} {name.upper()}")
    for name in ("f16", "f32", "f64")
}
