"""Vector ALU with one result a lane: VOP1, VOP2, VOP3 (ISA manual, chapter 6)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from aiterfix.gfx950 import division, numerics, small_floats
from aiterfix.gfx950.instruction import LITERAL, Instruction
from aiterfix.gfx950.operands import Array, Binder, Bound, Kind
from aiterfix.gfx950.vector import bind_vector, plain_result
from aiterfix.gfx950.vector_operation import VectorOperation, operation

NAME_INTEGER = "vector integer"
NAME_FLOAT = "vector float"


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


def _alignbit(a: Array, b: Array, c: Array, out: Array) -> None:
    wide = a.astype(np.uint64) << np.uint64(32) | b
    out[...] = (wide >> (c & np.uint32(31))).astype(np.uint32)


def _alignbyte(a: Array, b: Array, c: Array, out: Array) -> None:
    wide = a.astype(np.uint64) << np.uint64(32) | b
    out[...] = (wide >> ((c & np.uint32(3)) * np.uint32(8))).astype(np.uint32)


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
    wide = np.int64 if a.dtype.kind == "i" else np.uint64
    out[...] = np.multiply(a, b, dtype=wide) >> wide(32)


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


def _extreme3(first: Any) -> Any:
    def compute(a: Array, b: Array, c: Array, out: Array) -> None:
        middle = np.empty(out.shape, out.dtype)
        first(a, b, out=middle)
        first(middle, c, out=out)

    return compute


def _ldexp(a: Array, exponent: Array, out: Array) -> None:
    out[...] = np.ldexp(np.asarray(a, np.float64), np.clip(exponent, -5000, 5000))


def _convert(a: Array, out: Array) -> None:
    out[...] = a


def _nearest_even(a: Array, out: Array) -> None:
    np.rint(a, out=out)


def _fract(a: Array, out: Array) -> None:
    largest = np.nextafter(out.dtype.type(1), out.dtype.type(0))
    out[...] = np.where(np.isinf(a), np.nan, np.minimum(a - np.floor(a), largest))


def _unsigned_byte(index: int) -> Any:
    def compute(a: Array, out: Array) -> None:
        out[...] = a >> np.uint32(8 * index) & np.uint32(0xFF)

    return compute


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
    low, high = (numerics.to_half(np.broadcast_to(x, out.shape)).view(np.uint16).astype(np.uint32) for x in (a, b))
    out[...] = low | high << np.uint32(16)


def _from_bf16(bits: Array) -> Array:
    return (np.ascontiguousarray(bits).astype(np.uint32) << np.uint32(16)).view(np.float32)


def _pack_bf16(a: Array, b: Array, out: Array) -> None:
    out[...] = numerics.to_bf16(a) | numerics.to_bf16(b) << np.uint32(16)


def _swapped(compute: Any) -> Any:
    return lambda a, b, out: compute(b, a, out=out)


def _lshl_add_u64(a: Array, count: Array, c: Array, out: Array) -> None:
    # The manual: shifts of 0 to 4 only; what more does is not defined, so the count's low three bits are taken.
    shifted = a << (count & np.uint32(7)).astype(np.uint64)
    np.add(shifted, c, out=out)


INTEGER: dict[str, VectorOperation] = {
    "v_mov_b32": operation(np.positive, "U32 <- U32"),
    "v_mov_b64": operation(np.positive, "U64 <- U64"),
    "v_not_b32": operation(np.invert, "U32 <- U32"),
    "v_bfrev_b32": operation(_reverse, "U32 <- U32"),
    "v_ffbh_u32": operation(_first_high, "U32 <- U32"),
    "v_ffbl_b32": operation(_first_low, "U32 <- U32"),
    "v_add_u32": operation(np.add, "U32 <- U32 U32"),
    "v_sub_u32": operation(np.subtract, "U32 <- U32 U32"),
    "v_subrev_u32": operation(_swapped(np.subtract), "U32 <- U32 U32"),
    "v_add_i32": operation(np.add, "I32 <- I32 I32"),
    "v_sub_i32": operation(np.subtract, "I32 <- I32 I32"),
    "v_and_b32": operation(np.bitwise_and, "U32 <- U32 U32"),
    "v_or_b32": operation(np.bitwise_or, "U32 <- U32 U32"),
    "v_xor_b32": operation(np.bitwise_xor, "U32 <- U32 U32"),
    "v_xnor_b32": operation(lambda a, b, out: np.invert(a ^ b, out=out), "U32 <- U32 U32"),
    "v_min_i32": operation(np.minimum, "I32 <- I32 I32"),
    "v_max_i32": operation(np.maximum, "I32 <- I32 I32"),
    "v_min_u32": operation(np.minimum, "U32 <- U32 U32"),
    "v_max_u32": operation(np.maximum, "U32 <- U32 U32"),
    "v_lshlrev_b32": operation(_shift_left, "U32 <- U32 U32"),
    "v_lshrrev_b32": operation(_shift_right, "U32 <- U32 U32"),
    "v_ashrrev_i32": operation(_shift_right, "I32 <- I32 I32"),
    "v_lshlrev_b64": operation(lambda n, a, out: _shift_left(n.astype(np.uint64), a, out), "U64 <- U32 U64"),
    "v_lshrrev_b64": operation(lambda n, a, out: _shift_right(n.astype(np.uint64), a, out), "U64 <- U32 U64"),
    "v_ashrrev_i64": operation(lambda n, a, out: _shift_right(n.astype(np.int64), a, out), "I64 <- U32 I64"),
    "v_mul_lo_u32": operation(np.multiply, "U32 <- U32 U32"),
    "v_mul_hi_u32": operation(_multiply_high, "U32 <- U32 U32"),
    "v_mul_hi_i32": operation(_multiply_high, "I32 <- I32 I32"),
    "v_mul_u32_u24": operation(lambda a, b, out: np.multiply(_u24(a), _u24(b), out=out), "U32 <- U32 U32"),
    "v_mul_i32_i24": operation(lambda a, b, out: np.multiply(_i24(a), _i24(b), out=out), "I32 <- I32 I32"),
    "v_mul_hi_u32_u24": operation(lambda a, b, out: _multiply_high(_u24(a), _u24(b), out), "U32 <- U32 U32"),
    "v_mul_hi_i32_i24": operation(lambda a, b, out: _multiply_high(_i24(a), _i24(b), out), "I32 <- I32 I32"),
    "v_mad_u32_u24": operation(lambda a, b, c, out: np.add(_u24(a) * _u24(b), c, out=out), "U32 <- U32 U32 U32"),
    "v_mad_i32_i24": operation(lambda a, b, c, out: np.add(_i24(a) * _i24(b), c, out=out), "I32 <- I32 I32 I32"),
    "v_add3_u32": operation(lambda a, b, c, out: np.add(a + b, c, out=out), "U32 <- U32 U32 U32"),
    "v_add_lshl_u32": operation(lambda a, b, c, out: _shift_left(c, a + b, out), "U32 <- U32 U32 U32"),
    "v_lshl_add_u32": operation(
        lambda a, b, c, out: np.add(a << (b & np.uint32(31)), c, out=out), "U32 <- U32 U32 U32"
    ),
    "v_lshl_add_u64": operation(_lshl_add_u64, "U64 <- U64 U32 U64"),
    "v_lshl_or_b32": operation(
        lambda a, b, c, out: np.bitwise_or(a << (b & np.uint32(31)), c, out=out), "U32 <- U32 U32 U32"
    ),
    "v_and_or_b32": operation(lambda a, b, c, out: np.bitwise_or(a & b, c, out=out), "U32 <- U32 U32 U32"),
    "v_or3_b32": operation(lambda a, b, c, out: np.bitwise_or(a | b, c, out=out), "U32 <- U32 U32 U32"),
    "v_xad_u32": operation(lambda a, b, c, out: np.add(a ^ b, c, out=out), "U32 <- U32 U32 U32"),
    "v_bfe_u32": operation(_bfe, "U32 <- U32 U32 U32"),
    "v_bfe_i32": operation(_bfe, "I32 <- U32 U32 U32"),
    "v_bfi_b32": operation(lambda a, b, c, out: np.bitwise_or(a & b, ~a & c, out=out), "U32 <- U32 U32 U32"),
    "v_bfm_b32": operation(
        lambda a, b, out: np.left_shift(
            (np.uint32(1) << (a & np.uint32(31))) - np.uint32(1), b & np.uint32(31), out=out
        ),
        "U32 <- U32 U32",
    ),
    "v_bcnt_u32_b32": operation(lambda a, b, out: np.add(_count_ones(a), b, out=out), "U32 <- U32 U32"),
    "v_alignbit_b32": operation(_alignbit, "U32 <- U32 U32 U32"),
    "v_alignbyte_b32": operation(_alignbyte, "U32 <- U32 U32 U32"),
    "v_perm_b32": operation(_perm, "U32 <- U32 U32 U32"),
    "v_mbcnt_lo_u32_b32": operation(_mbcnt(0), "U32 <- U32 U32"),
    "v_mbcnt_hi_u32_b32": operation(_mbcnt(1), "U32 <- U32 U32"),
    "v_min3_i32": operation(_extreme3(np.minimum), "I32 <- I32 I32 I32"),
    "v_max3_i32": operation(_extreme3(np.maximum), "I32 <- I32 I32 I32"),
    "v_med3_i32": operation(_med3, "I32 <- I32 I32 I32"),
    "v_min3_u32": operation(_extreme3(np.minimum), "U32 <- U32 U32 U32"),
    "v_max3_u32": operation(_extreme3(np.maximum), "U32 <- U32 U32 U32"),
    "v_med3_u32": operation(_med3, "U32 <- U32 U32 U32"),
    # 16 bit
    "v_add_u16": operation(np.add, "U16 <- U16 U16"),
    "v_sub_u16": operation(np.subtract, "U16 <- U16 U16"),
    "v_subrev_u16": operation(_swapped(np.subtract), "U16 <- U16 U16"),
    "v_mul_lo_u16": operation(np.multiply, "U16 <- U16 U16"),
    "v_lshlrev_b16": operation(_shift_left, "U16 <- U16 U16"),
    "v_lshrrev_b16": operation(_shift_right, "U16 <- U16 U16"),
    "v_ashrrev_i16": operation(_shift_right, "I16 <- I16 I16"),
    "v_min_u16": operation(np.minimum, "U16 <- U16 U16"),
    "v_max_u16": operation(np.maximum, "U16 <- U16 U16"),
    "v_min_i16": operation(np.minimum, "I16 <- I16 I16"),
    "v_max_i16": operation(np.maximum, "I16 <- I16 I16"),
    "v_add_i16": operation(np.add, "I16 <- I16 I16"),
    "v_sub_i16": operation(np.subtract, "I16 <- I16 I16"),
    "v_ffbh_i32": operation(_first_unlike, "I32 <- I32"),
    "v_pack_b32_f16": operation(
        lambda a, b, out: np.copyto(out, a.astype(np.uint32) | b.astype(np.uint32) << np.uint32(16)), "U32 <- U16 U16"
    ),
}

FLOAT: dict[str, VectorOperation] = {
    "v_add_f32": operation(np.add, "F32 <- F32 F32"),
    "v_sub_f32": operation(np.subtract, "F32 <- F32 F32"),
    "v_subrev_f32": operation(_swapped(np.subtract), "F32 <- F32 F32"),
    "v_mul_f32": operation(np.multiply, "F32 <- F32 F32"),
    "v_max_f32": operation(numerics.maximum, "F32 <- F32 F32"),
    "v_min_f32": operation(numerics.minimum, "F32 <- F32 F32"),
    "v_max3_f32": operation(_extreme3(numerics.maximum), "F32 <- F32 F32 F32"),
    "v_min3_f32": operation(_extreme3(numerics.minimum), "F32 <- F32 F32 F32"),
    "v_fma_f32": operation(numerics.fma_f32, "F32 <- F32 F32 F32"),
    "v_fmac_f32": operation(numerics.fma_f32, "F32 <- F32 F32", accumulates=True),
    "v_rcp_f32": operation(numerics.approximate(np.reciprocal), "F32 <- F32"),
    "v_rcp_iflag_f32": operation(numerics.approximate(np.reciprocal), "F32 <- F32"),
    "v_rsq_f32": operation(numerics.approximate(lambda a: 1 / np.sqrt(a)), "F32 <- F32"),
    "v_sqrt_f32": operation(np.sqrt, "F32 <- F32"),
    "v_exp_f32": operation(numerics.approximate(np.exp2), "F32 <- F32"),
    "v_log_f32": operation(numerics.approximate(np.log2), "F32 <- F32"),
    "v_floor_f32": operation(np.floor, "F32 <- F32"),
    "v_ceil_f32": operation(np.ceil, "F32 <- F32"),
    "v_trunc_f32": operation(np.trunc, "F32 <- F32"),
    "v_rndne_f32": operation(_nearest_even, "F32 <- F32"),
    "v_fract_f32": operation(_fract, "F32 <- F32"),
    "v_ldexp_f32": operation(_ldexp, "F32 <- F32 I32"),
    "v_cvt_f32_i32": operation(_convert, "F32 <- I32"),
    "v_cvt_f32_u32": operation(_convert, "F32 <- U32"),
    "v_cvt_i32_f32": operation(numerics.to_integer(np.int32), "I32 <- F32"),
    "v_cvt_u32_f32": operation(numerics.to_integer(np.uint32), "U32 <- F32"),
    "v_cvt_f16_f32": operation(lambda a, out: np.copyto(out, numerics.to_half(a)), "F16 <- F32"),
    "v_cvt_f32_f16": operation(lambda a, out: np.copyto(out, numerics.from_half(a)), "F32 <- F16"),
    **{f"v_cvt_f32_ubyte{k}": operation(_unsigned_byte(k), "F32 <- U32") for k in range(4)},
    "v_cvt_pkrtz_f16_f32": operation(_pack_f16, "U32 <- F32 F32"),
    "v_cvt_pk_bf16_f32": operation(_pack_bf16, "U32 <- F32 F32"),
    "v_add_f16": operation(np.add, "F16 <- F16 F16"),
    "v_sub_f16": operation(np.subtract, "F16 <- F16 F16"),
    "v_mul_f16": operation(np.multiply, "F16 <- F16 F16"),
    "v_max_f16": operation(numerics.maximum, "F16 <- F16 F16"),
    "v_min_f16": operation(numerics.minimum, "F16 <- F16 F16"),
    "v_add_f64": operation(np.add, "F64 <- F64 F64"),
    "v_mul_f64": operation(np.multiply, "F64 <- F64 F64"),
    "v_fma_f64": operation(numerics.fma_f64, "F64 <- F64 F64 F64"),
    "v_cvt_f64_i32": operation(_convert, "F64 <- I32"),
    "v_cvt_f64_u32": operation(_convert, "F64 <- U32"),
    "v_cvt_f64_f32": operation(_convert, "F64 <- F32"),
    "v_cvt_f32_f64": operation(_convert, "F32 <- F64"),
    "v_cvt_i32_f64": operation(numerics.to_integer(np.int32), "I32 <- F64"),
    "v_cvt_u32_f64": operation(numerics.to_integer(np.uint32), "U32 <- F64"),
    "v_cvt_f32_bf16": operation(lambda a, out: np.copyto(out, _from_bf16(a)), "F32 <- U16"),
    "v_cvt_pk_f16_f32": operation(_pack_f16_nearest, "U32 <- F32 F32"),
    "v_med3_f32": operation(numerics.median, "F32 <- F32 F32 F32"),
    "v_maximum3_f32": operation(_extreme3(numerics.ieee_maximum), "F32 <- F32 F32 F32"),
    "v_minimum3_f32": operation(_extreme3(numerics.ieee_minimum), "F32 <- F32 F32 F32"),
    "v_subrev_f16": operation(_swapped(np.subtract), "F16 <- F16 F16"),
    "v_fma_f16": operation(numerics.fma_f16, "F16 <- F16 F16 F16"),
    "v_fmac_f64": operation(numerics.fma_f64, "F64 <- F64 F64", accumulates=True),
    "v_min_f64": operation(numerics.minimum, "F64 <- F64 F64"),
    "v_max_f64": operation(numerics.maximum, "F64 <- F64 F64"),
    "v_rcp_f64": operation(lambda a, out: np.divide(1.0, a, out=out), "F64 <- F64"),
    "v_rsq_f64": operation(lambda a, out: np.divide(1.0, np.sqrt(a), out=out), "F64 <- F64"),
    "v_sqrt_f64": operation(np.sqrt, "F64 <- F64"),
    "v_ldexp_f64": operation(_ldexp, "F64 <- F64 I32"),
    "v_floor_f64": operation(np.floor, "F64 <- F64"),
    "v_ceil_f64": operation(np.ceil, "F64 <- F64"),
    "v_trunc_f64": operation(np.trunc, "F64 <- F64"),
    "v_rndne_f64": operation(_nearest_even, "F64 <- F64"),
    "v_sin_f32": operation(numerics.of_revolutions(np.sin), "F32 <- F32"),
    "v_cos_f32": operation(numerics.of_revolutions(np.cos), "F32 <- F32"),
    **division.FIXUPS,
    **small_floats.OPERATIONS,
}

LITERAL_FMA = {"v_fmamk_f32": ("src0", "literal", "vsrc1"), "v_fmaak_f32": ("src0", "vsrc1", "literal")}
"""Fused multiply-adds with a literal: the order of factor, factor, addend."""

BITOP3: dict[str, str] = {"v_bitop3_b32": "U32 <- U32 U32 U32", "v_bitop3_b16": "U16 <- U16 U16 U16"}


def bind(binder: Binder) -> Bound:
    """Bind a vector instruction of this module's tables."""
    name = binder.instruction.mnemonic
    return bind_vector(binder, INTEGER.get(name) or FLOAT[name])


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
    # LLVM's zeroesHigh16BitsOfDest does not list the 16-bit form: the other half is kept, as with every opsel form.
    bound = bind_vector(binder, replace(op, keeps_high_half=op.result.bits == 16))
    binder.instruction = instruction
    return bound
