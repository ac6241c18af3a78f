"""Vector ALU with one result a lane: VOP1, VOP2, VOP3 (ISA manual, chapter 6)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import division, numerics, small_floats
from aiterfix.gfx950.instruction import LITERAL, Instruction
from aiterfix.gfx950.operands import Array, Binder, Bound, Kind, write_vector
from aiterfix.gfx950.vector import bind_vector, plain_result
from aiterfix.gfx950.vector_operation import VectorOperation, operation
from aiterfix.gfx950.vop3p import check_halves

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME_INTEGER = "vector integer"
NAME_FLOAT = "vector float"


_31 = np.uint32(31)


def _shift_left(count: Array, a: Array, out: Array) -> None:
    np.left_shift(a, count & count.dtype.type(a.itemsize * 8 - 1), out=out, casting="unsafe")


def _shift_right(count: Array, a: Array, out: Array) -> None:
    np.right_shift(a, count & count.dtype.type(a.itemsize * 8 - 1), out=out, casting="unsafe")


def _bfe(a: Array, offset: Array, width: Array, out: Array) -> None:
    unsigned = np.uint32
    offset, width = offset & unsigned(31), width & unsigned(31)
    # Signed: a field that reaches past bit 31 goes on with the sign.
    field = (a.view(out.dtype) >> offset.astype(out.dtype)).view(unsigned)
    up = (unsigned(32) - width) & unsigned(31)
    shifted = (field << up).view(out.dtype) >> up.astype(out.dtype)
    out[...] = np.where(width == 0, out.dtype.type(0), shifted)


def _align(mask: int, unit: int) -> Any:
    def compute(a: Array, b: Array, c: Array, out: Array) -> None:
        out[...] = (a.astype(np.uint64) << np.uint64(32) | b) >> (c & np.uint32(mask)) * np.uint32(unit)

    return compute


def _perm(a: Array, b: Array, selector: Array, out: Array) -> None:
    """Each byte of the selector picks a byte of ``{a, b}``, a sign, or a constant."""
    both = a.astype(np.uint64) << np.uint64(32) | b
    result = np.zeros(out.shape, np.uint64)
    for k in range(4):
        pick = selector >> np.uint32(8 * k) & np.uint32(0xFF)
        byte = both >> (np.minimum(pick, 7) * np.uint64(8)) & np.uint64(0xFF)
        if (pick > 7).any():
            # 8 to 11: the sign of bytes 1, 3, 5 and 7, eight times; 12: 0; above: all ones.
            sign = (both >> ((pick & 3) * np.uint64(16) + np.uint64(15)) & np.uint64(1)) * np.uint64(0xFF)
            other = np.where(pick == 12, np.uint64(0), np.uint64(0xFF))
            byte = np.where(pick < 8, byte, np.where(pick < 12, sign, other))
        result |= byte << np.uint64(8 * k)
    np.copyto(out, result, casting="same_kind")


def _multiply_high(a: Array, b: Array, out: Array) -> None:
    out[...] = numerics.multiply_high(a, b)


def _u24(a: Array) -> Array:
    return a & np.uint32(0xFF_FFFF)


def _i24(a: Array) -> Array:
    return (a << np.int32(8)) >> np.int32(8)


def _lanes_below(half: int) -> Any:
    positions = np.arange(64)
    masks = (np.uint64(1) << positions.astype(np.uint64)) - np.uint64(1)
    return (masks >> np.uint64(32 * half) & np.uint64(0xFFFF_FFFF)).astype(np.uint32)[np.newaxis]


def _count_ones(a: Array) -> Array:
    a = a - (a >> np.uint32(1) & np.uint32(0x5555_5555))
    a = (a & np.uint32(0x3333_3333)) + (a >> np.uint32(2) & np.uint32(0x3333_3333))
    return ((a + (a >> np.uint32(4)) & np.uint32(0x0F0F_0F0F)) * np.uint32(0x0101_0101)) >> np.uint32(24)


def _mbcnt(half: int) -> Any:
    below = _lanes_below(half)

    def compute(a: Array, b: Array, out: Array) -> None:
        np.add(_count_ones(a & below), b, out=out)

    return compute


def _first_high(a: Array, out: Array) -> None:
    """Leading zeros, -1 for 0."""
    exponent = np.frexp(a.astype(np.float64))[1]
    out[...] = np.where(a == 0, -1, 32 - exponent).astype(np.int32).view(np.uint32)


def _first_unlike(a: Array, out: Array) -> None:
    """Bits from the top that are like the sign, -1 where all are."""
    _first_high((a ^ (a >> np.int32(31))).view(np.uint32), out.view(np.uint32))


def _first_low(a: Array, out: Array) -> None:
    lowest = a & (~a + np.uint32(1))
    exponent = np.frexp(lowest.astype(np.float64))[1] - 1
    out[...] = np.where(a == 0, -1, exponent).astype(np.int32).view(np.uint32)


_REVERSED_BYTE = np.packbits(np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1)[:, ::-1], axis=1)[
    :, 0
]


def _reverse(a: Array, out: Array) -> None:
    contiguous = np.ascontiguousarray(a)
    swapped = _REVERSED_BYTE[contiguous.view(np.uint8)].view(np.uint32)
    out[...] = swapped.byteswap()


def _bitop3(table: int) -> Any:
    """Any function of three bits: bit ``4 a + 2 b + c`` of ``table`` is the result."""

    def compute(a: Array, b: Array, c: Array, out: Array) -> None:
        result = np.zeros(out.shape, out.dtype)
        for entry in range(8):
            if table >> entry & 1:
                term = a if entry & 4 else ~a
                term = term & (b if entry & 2 else ~b)
                result |= term & (c if entry & 1 else ~c)
        out[...] = result

    return compute


def _med3(a: Array, b: Array, c: Array, out: Array) -> None:
    out[...] = np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def _ldexp(a: Array, exponent: Array, out: Array) -> None:
    out[...] = np.ldexp(np.asarray(a, np.float64), np.clip(exponent, -5000, 5000))


def _convert(a: Array, out: Array) -> None:
    out[...] = a


def _mantissa(a: Array, out: Array) -> None:
    out[...] = np.frexp(a)[0]


def _exponent(a: Array, out: Array) -> None:
    out[...] = np.where(np.isfinite(a), np.frexp(a)[1], 0)


def _rounded(function: Any) -> Any:
    """A half's transcendental, evaluated in double precision and rounded once; denormals are numbers to it."""
    return lambda a, out: _convert(function(np.asarray(a, np.float64)), out)


@cache
def _two_over_pi() -> int:
    """The first 1201 bits of 2 / pi, by Machin's formula for pi / 4 with bits to spare."""
    one = 1 << 1264
    quarter = 0
    for factor, inverse in ((4, 5), (-1, 239)):
        power, divisor = one // inverse, 1
        while power:
            quarter += factor * (power // divisor if divisor % 4 == 1 else -(power // divisor))
            power, divisor = power // inverse**2, divisor + 2
    return (one << 1201) // (2 * quarter)


def _part_of_two_over_pi(a: Array, segment: Array, out: Array) -> None:
    """53 bits of 2 / pi, from those on that matter to the remainder of so large an angle; zeros after the 1201st."""
    exponent = np.asarray(a).view(np.uint64).astype(np.int64) >> 52 & 0x7FF
    shift = (segment & np.uint32(31)).astype(np.int64) * 53 + np.maximum(exponent - 1077, 0)
    shifts, where = np.unique(shift, return_inverse=True)
    bits = [float((_two_over_pi() << int(by) >> 1201 - 53) & (1 << 53) - 1) for by in shifts]
    scale = np.where(exponent >= 1968, 128, 0) - 53 - shift
    out[...] = np.ldexp(np.array(bits)[where.reshape(shift.shape)], scale)


def _sum_of_differences(bits: int, shift: int = 0) -> Any:
    """Absolute differences of the parts of two registers, summed onto a third."""
    mask = np.uint32((1 << bits) - 1)

    def compute(a: Array, b: Array, c: Array, out: Array) -> None:
        total = np.zeros(out.shape, np.uint32)
        for first in range(0, 32, bits):
            one, two = (x >> np.uint32(first) & mask for x in (a, b))
            total += np.maximum(one, two) - np.minimum(one, two)
        np.add(total << np.uint32(shift), c, out=out)

    return compute


def _fract(a: Array, out: Array) -> None:
    largest = np.nextafter(out.dtype.type(1), out.dtype.type(0))
    out[...] = np.where(np.isinf(a), np.nan, np.minimum(a - np.floor(a), largest))


def _unsigned_byte(index: int) -> Any:
    def compute(a: Array, out: Array) -> None:
        out[...] = a >> np.uint32(8 * index) & np.uint32(0xFF)

    return compute


def _bits(half: Array) -> Array:
    return np.ascontiguousarray(half).view(np.uint16).astype(np.uint32)


def _pack_f16(a: Array, b: Array, out: Array) -> None:
    """Two singles to packed halves, rounded towards zero."""
    result = []
    for source in (a, b):
        source = np.broadcast_to(source, out.shape)
        half = numerics.to_half(source)
        over = np.abs(half.astype(np.float32)) > np.abs(source)
        bits = half.view(np.uint16)
        result.append(np.where(over, bits - np.uint16(1), bits).astype(np.uint32))
    out[...] = result[0] | result[1] << np.uint32(16)


def _pack_f16_nearest(a: Array, b: Array, out: Array) -> None:
    low, high = (_bits(numerics.to_half(np.broadcast_to(x, out.shape))) for x in (a, b))
    out[...] = low | high << np.uint32(16)


def _pack_bf16(a: Array, b: Array, out: Array) -> None:
    out[...] = numerics.to_bf16(a) | numerics.to_bf16(b) << np.uint32(16)


def _swapped(compute: Any) -> Any:
    return lambda a, b, out: compute(b, a, out=out)


def _lshl_add_u64(a: Array, count: Array, c: Array, out: Array) -> None:
    # The manual: shifts of 0 to 4 only; what more does is not defined, so the count's low three bits are taken.
    shifted = a << (count & np.uint32(7)).astype(np.uint64)
    np.add(shifted, c, out=out)


def _each(kinds: str, signature: str, **functions: Any) -> dict[str, VectorOperation]:
    """A line for each kind: of ``add`` with ``u16`` and ``X <- X X``, that of ``v_add_u16``."""
    return {
        f"v_{name}_{kind}": operation(function, signature.replace("X", kind.upper()))
        for kind in kinds.split()
        for name, function in functions.items()
    }


INTEGER: dict[str, VectorOperation] = {
    "v_mov_b32": operation(np.positive, "U32 <- U32"),
    "v_mov_b64": operation(np.positive, "U64 <- U64"),
    "v_not_b32": operation(np.invert, "U32 <- U32"),
    "v_bfrev_b32": operation(_reverse, "U32 <- U32"),
    "v_ffbh_u32": operation(_first_high, "U32 <- U32"),
    "v_ffbl_b32": operation(_first_low, "U32 <- U32"),
    "v_ffbh_i32": operation(_first_unlike, "I32 <- I32"),
    **_each("u32 i32 u16 i16", "X <- X X", add=np.add, sub=np.subtract, min=np.minimum, max=np.maximum),
    **_each("u32 u16", "X <- X X", subrev=_swapped(np.subtract), mul_lo=np.multiply),
    **_each("u32 i32", "X <- X X", mul_hi=_multiply_high),
    **_each(
        "i32 u32 i16 u16",
        "X <- X X X",
        min3=numerics.of_three(np.minimum),
        max3=numerics.of_three(np.maximum),
        med3=_med3,
    ),
    **_each("i16 u16", "X <- X X X", mad=numerics.multiply_add, mad_legacy=numerics.multiply_add),
    **{f"v_mad_{x}32_{x}16": operation(numerics.multiply_add, f"{x}32 <- {x}16 {x}16 {x}32".upper()) for x in "iu"},
    **{
        f"v_sad_{name}": operation(_sum_of_differences(bits, shift), "U32 <- U32 U32 U32")
        for name, bits, shift in (("u8", 8, 0), ("hi_u8", 8, 16), ("u16", 16, 0), ("u32", 32, 0))
    },
    **{
        f"v_dot{32 // bits}c_i32_i{bits}": operation(numerics.dot_product(bits), "I32 <- I32 I32", accumulates=True)
        for bits in (16, 8, 4)
    },
    "v_and_b32": operation(np.bitwise_and, "U32 <- U32 U32"),
    "v_or_b32": operation(np.bitwise_or, "U32 <- U32 U32"),
    "v_xor_b32": operation(np.bitwise_xor, "U32 <- U32 U32"),
    "v_xnor_b32": operation(lambda a, b, out: np.invert(a ^ b, out=out), "U32 <- U32 U32"),
    "v_lshlrev_b32": operation(_shift_left, "U32 <- U32 U32"),
    "v_lshrrev_b32": operation(_shift_right, "U32 <- U32 U32"),
    "v_ashrrev_i32": operation(_shift_right, "I32 <- I32 I32"),
    "v_lshlrev_b64": operation(lambda n, a, out: _shift_left(n.astype(np.uint64), a, out), "U64 <- U32 U64"),
    "v_lshrrev_b64": operation(lambda n, a, out: _shift_right(n.astype(np.uint64), a, out), "U64 <- U32 U64"),
    "v_ashrrev_i64": operation(lambda n, a, out: _shift_right(n.astype(np.int64), a, out), "I64 <- U32 I64"),
    "v_lshlrev_b16": operation(_shift_left, "U16 <- U16 U16"),
    "v_lshrrev_b16": operation(_shift_right, "U16 <- U16 U16"),
    "v_ashrrev_i16": operation(_shift_right, "I16 <- I16 I16"),
    "v_mul_u32_u24": operation(lambda a, b, out: np.multiply(_u24(a), _u24(b), out=out), "U32 <- U32 U32"),
    "v_mul_i32_i24": operation(lambda a, b, out: np.multiply(_i24(a), _i24(b), out=out), "I32 <- I32 I32"),
    "v_mul_hi_u32_u24": operation(lambda a, b, out: _multiply_high(_u24(a), _u24(b), out), "U32 <- U32 U32"),
    "v_mul_hi_i32_i24": operation(lambda a, b, out: _multiply_high(_i24(a), _i24(b), out), "I32 <- I32 I32"),
    "v_mad_u32_u24": operation(lambda a, b, c, out: np.add(_u24(a) * _u24(b), c, out=out), "U32 <- U32 U32 U32"),
    "v_mad_i32_i24": operation(lambda a, b, c, out: np.add(_i24(a) * _i24(b), c, out=out), "I32 <- I32 I32 I32"),
    "v_add3_u32": operation(lambda a, b, c, out: np.add(a + b, c, out=out), "U32 <- U32 U32 U32"),
    "v_add_lshl_u32": operation(lambda a, b, c, out: _shift_left(c, a + b, out), "U32 <- U32 U32 U32"),
    "v_lshl_add_u32": operation(lambda a, b, c, out: np.add(a << (b & _31), c, out=out), "U32 <- U32 U32 U32"),
    "v_lshl_add_u64": operation(_lshl_add_u64, "U64 <- U64 U32 U64"),
    "v_lshl_or_b32": operation(lambda a, b, c, out: np.bitwise_or(a << (b & _31), c, out=out), "U32 <- U32 U32 U32"),
    "v_and_or_b32": operation(lambda a, b, c, out: np.bitwise_or(a & b, c, out=out), "U32 <- U32 U32 U32"),
    "v_or3_b32": operation(lambda a, b, c, out: np.bitwise_or(a | b, c, out=out), "U32 <- U32 U32 U32"),
    "v_xad_u32": operation(lambda a, b, c, out: np.add(a ^ b, c, out=out), "U32 <- U32 U32 U32"),
    "v_bfe_u32": operation(_bfe, "U32 <- U32 U32 U32"),
    "v_bfe_i32": operation(_bfe, "I32 <- U32 U32 U32"),
    "v_bfi_b32": operation(lambda a, b, c, out: np.bitwise_or(a & b, ~a & c, out=out), "U32 <- U32 U32 U32"),
    "v_bfm_b32": operation(
        lambda a, b, out: np.left_shift((np.uint32(1) << (a & _31)) - np.uint32(1), b & _31, out=out), "U32 <- U32 U32"
    ),
    "v_bcnt_u32_b32": operation(lambda a, b, out: np.add(_count_ones(a), b, out=out), "U32 <- U32 U32"),
    "v_alignbit_b32": operation(_align(31, 1), "U32 <- U32 U32 U32"),
    "v_alignbyte_b32": operation(_align(3, 8), "U32 <- U32 U32 U32"),
    "v_perm_b32": operation(_perm, "U32 <- U32 U32 U32"),
    "v_mbcnt_lo_u32_b32": operation(_mbcnt(0), "U32 <- U32 U32"),
    "v_mbcnt_hi_u32_b32": operation(_mbcnt(1), "U32 <- U32 U32"),
    "v_pack_b32_f16": operation(
        lambda a, b, out: np.copyto(out, _bits(a) | _bits(b) << np.uint32(16)), "U32 <- F16 F16"
    ),
}

FLOAT: dict[str, VectorOperation] = {
    **_each("f16 f32 f64", "X <- X X", add=np.add, mul=np.multiply, max=numerics.maximum, min=numerics.minimum),
    **_each("f16 f32", "X <- X X", sub=np.subtract, subrev=_swapped(np.subtract)),
    **_each(
        "f16 f32 f64", "X <- X", floor=np.floor, ceil=np.ceil, trunc=np.trunc, rndne=np.rint, sqrt=np.sqrt,
        fract=_fract, frexp_mant=_mantissa,
    ),
    **_each("f32 f64", "I32 <- X", frexp_exp_i32=_exponent),
    **_each("f32 f64", "X <- X I32", ldexp=_ldexp),
    "v_frexp_exp_i16_f16": operation(_exponent, "I16 <- F16"),
    "v_ldexp_f16": operation(_ldexp, "F16 <- F16 I16"),
    "v_trig_preop_f64": operation(_part_of_two_over_pi, "F64 <- F64 U32"),
    **_each(
        "f16", "X <- X", rcp=_rounded(np.reciprocal), rsq=_rounded(lambda a: 1 / np.sqrt(a)), exp=_rounded(np.exp2),
        log=_rounded(np.log2), sin=numerics.of_revolutions(np.sin), cos=numerics.of_revolutions(np.cos),
    ),
    **_each("i16 u16", "F16 <- X", cvt_f16=_convert),
    "v_cvt_i16_f16": operation(numerics.to_integer(np.int16), "I16 <- F16"),
    "v_cvt_u16_f16": operation(numerics.to_integer(np.uint16), "U16 <- F16"),
    **_each("i32 u32", "F32 <- X", cvt_f32=_convert),
    **_each("i32 u32", "F64 <- X", cvt_f64=_convert),
    **_each("f32 f64", "I32 <- X", cvt_i32=numerics.to_integer(np.int32)),
    **_each("f32 f64", "U32 <- X", cvt_u32=numerics.to_integer(np.uint32)),
    **_each(
        "f16 f32", "X <- X X X", max3=numerics.of_three(numerics.maximum), min3=numerics.of_three(numerics.minimum),
        med3=numerics.median,
    ),
    **_each(
        "f32", "X <- X X X",
        maximum3=numerics.of_three(numerics.ieee_maximum), minimum3=numerics.of_three(numerics.ieee_minimum),
        fma=numerics.fma_f32,
    ),
    **_each(
        "f32", "X <- X", rcp=numerics.approximate(np.reciprocal), rcp_iflag=numerics.approximate(np.reciprocal),
        rsq=numerics.approximate(lambda a: 1 / np.sqrt(a)), exp=numerics.approximate(np.exp2),
        log=numerics.approximate(np.log2), sin=numerics.of_revolutions(np.sin), cos=numerics.of_revolutions(np.cos),
    ),
    "v_fma_f16": operation(numerics.fma_f16, "F16 <- F16 F16 F16"),
    "v_fma_f64": operation(numerics.fma_f64, "F64 <- F64 F64 F64"),
    "v_fmac_f32": operation(numerics.fma_f32, "F32 <- F32 F32", accumulates=True),
    "v_fmac_f64": operation(numerics.fma_f64, "F64 <- F64 F64", accumulates=True),
    "v_rcp_f64": operation(lambda a, out: np.divide(1.0, a, out=out), "F64 <- F64"),
    "v_rsq_f64": operation(lambda a, out: np.divide(1.0, np.sqrt(a), out=out), "F64 <- F64"),
    "v_cvt_f64_f32": operation(_convert, "F64 <- F32"),
    "v_cvt_f32_f64": operation(_convert, "F32 <- F64"),
    "v_cvt_f16_f32": operation(lambda a, out: np.copyto(out, numerics.to_half(a)), "F16 <- F32"),
    "v_cvt_f32_f16": operation(lambda a, out: np.copyto(out, numerics.from_half(a)), "F32 <- F16"),
    "v_cvt_f32_bf16": operation(lambda a, out: np.copyto(out, numerics.from_bf16(a)), "F32 <- U16"),
    **{f"v_cvt_f32_ubyte{k}": operation(_unsigned_byte(k), "F32 <- U32") for k in range(4)},
    "v_cvt_pkrtz_f16_f32": operation(_pack_f16, "U32 <- F32 F32"),
    "v_cvt_pk_f16_f32": operation(_pack_f16_nearest, "U32 <- F32 F32"),
    "v_cvt_pk_bf16_f32": operation(_pack_bf16, "U32 <- F32 F32"),
    **division.FIXUPS,
    **small_floats.OPERATIONS,
}  # fmt: skip

HALF_DOTS: dict[str, VectorOperation] = {
    f"v_dot2c_f32_{kind}": operation(
        numerics.half_dot_product(kind, addend_first=True), "F32 <- U32 U32", accumulates=True
    )
    for kind in ("f16", "bf16")
}

LITERAL_FMA = {"v_fmamk_f32": ("src0", "literal", "vsrc1"), "v_fmaak_f32": ("src0", "vsrc1", "literal")}
"""Fused multiply-adds with a literal: the order of factor, factor, addend."""

BITOP3: dict[str, str] = {"v_bitop3_b32": "U32 <- U32 U32 U32", "v_bitop3_b16": "U16 <- U16 U16 U16"}


def bind(binder: Binder) -> Bound:
    """Bind a vector instruction of this module's tables."""
    name = binder.instruction.mnemonic
    return bind_vector(binder, INTEGER.get(name) or FLOAT[name])


def bind_half_dot(binder: Binder) -> Bound:
    """Bind a dot product of halves that adds to its destination."""
    check_halves(binder, "src0", "src1")
    return bind_vector(binder, HALF_DOTS[binder.instruction.mnemonic])


def bind_swap(binder: Binder) -> Bound:
    """Bind the exchange of two vector registers, in the lanes that are on."""
    rows = [binder.row(binder.instruction[field]) for field in ("vdst", "src0")]
    for row in rows:
        binder.note_vector(row, 1, binder.reads)
        binder.note_vector(row, 1, binder.writes)

    def execute(g: Waves) -> None:
        old = [g.vector[row].copy() for row in rows]
        for row, values in zip(rows, reversed(old), strict=True):
            write_vector(g, row, values)

    return binder.bound(execute)


def bind_literal_fma(binder: Binder) -> Bound:
    """Bind a multiply-add whose second factor or addend is the literal that follows."""
    instruction = binder.instruction
    codes = [LITERAL if f == "literal" else instruction[f] for f in LITERAL_FMA[instruction.mnemonic]]
    a, b, c = (binder.vector_source(code, Kind.F32) for code in codes)
    row = binder.row(instruction["vdst"])
    binder.note_vector(row, 1, binder.writes)
    op = operation(numerics.fma_f32, "F32 <- F32 F32 F32")
    return binder.bound(plain_result(binder, op, [a, b, c], row))


def truth_table_of(instruction: Instruction) -> int:
    """The function of a three-input bit operation: bit ``4 a + 2 b + c`` is the result."""
    omod, absolute, negative = (int(instruction[field]) for field in ("omod", "abs", "neg"))
    return omod << 6 | absolute << 3 | negative


def bind_bitop3(binder: Binder) -> Bound:
    """Bind a three-input bit operation: its truth table sits where the float modifiers of VOP3 are."""
    instruction = binder.instruction
    table = truth_table_of(instruction)
    fields = {**instruction.fields, "omod": 0, "abs": 0, "neg": 0}
    binder.instruction = replace(instruction, fields=fields)
    op = operation(_bitop3(table), BITOP3[instruction.mnemonic])
    bound = bind_vector(binder, op)
    binder.instruction = instruction
    return bound
