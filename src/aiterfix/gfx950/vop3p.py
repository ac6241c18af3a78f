"""Packed vector instructions and accumulation-register moves: VOP3P (ISA manual, section 6.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import numerics
from aiterfix.gfx950.control import sets_overflow
from aiterfix.gfx950.instruction import AGPR, LITERAL, VGPR
from aiterfix.gfx950.kernel_descriptor import Denormals
from aiterfix.gfx950.operands import Array, Binder, Bound, Fetch, Kind, write_vector
from aiterfix.gfx950.vector_operation import modified
from aiterfix.gfx950.workspace import temporary

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "vector packed"

PACKED_32: dict[str, tuple[Callable[..., Any], int]] = {
    "v_pk_add_f32": (np.add, 2),
    "v_pk_mul_f32": (np.multiply, 2),
    "v_pk_fma_f32": (numerics.fma_f32, 3),
}
"""Array code over single precision and number of sources; done for each half of 64-bit operands."""

PACKED_16_OF_THREE: dict[str, tuple[Callable[..., Any], Kind]] = {
    "v_pk_fma_f16": (numerics.fma_f16, Kind.F16),
    "v_pk_mad_u16": (numerics.multiply_add, Kind.U16),
    "v_pk_mad_i16": (numerics.multiply_add, Kind.I16),
    "v_pk_maximum3_f16": (numerics.of_three(numerics.ieee_maximum), Kind.F16),
    "v_pk_minimum3_f16": (numerics.of_three(numerics.ieee_minimum), Kind.F16),
}

PACKED_16: dict[str, tuple[Callable[..., Any], Kind]] = {
    "v_pk_add_f16": (np.add, Kind.F16),
    "v_pk_mul_f16": (np.multiply, Kind.F16),
    "v_pk_max_f16": (numerics.maximum, Kind.F16),
    "v_pk_min_f16": (numerics.minimum, Kind.F16),
    "v_pk_add_u16": (np.add, Kind.U16),
    "v_pk_sub_u16": (np.subtract, Kind.U16),
    "v_pk_mul_lo_u16": (np.multiply, Kind.U16),
    "v_pk_add_i16": (np.add, Kind.I16),
    "v_pk_sub_i16": (np.subtract, Kind.I16),
    "v_pk_max_i16": (np.maximum, Kind.I16),
    "v_pk_min_i16": (np.minimum, Kind.I16),
    "v_pk_max_u16": (np.maximum, Kind.U16),
    "v_pk_min_u16": (np.minimum, Kind.U16),
    "v_pk_lshlrev_b16": (lambda n, a, out: np.left_shift(a, n & np.uint16(15), out=out), Kind.U16),
    "v_pk_lshrrev_b16": (lambda n, a, out: np.right_shift(a, n & np.uint16(15), out=out), Kind.U16),
    "v_pk_ashrrev_i16": (lambda n, a, out: np.right_shift(a, n & np.int16(15), out=out), Kind.I16),
}

MIXES = {"v_mad_mix_f32": None, "v_mad_mixlo_f16": 0, "v_mad_mixhi_f16": 16}
"""Multiply-adds of singles and halves, fused (so LLVM: ``v_fma_mix``; the names are those of older hardware), and the
bit of the result's register that a half goes to; the other half stays."""

DOTS: dict[str, tuple[Callable[..., Any], Kind]] = {
    **{
        f"v_dot{32 // bits}_{kind}32_{kind}{bits}": (numerics.dot_product(bits), Kind[f"{kind.upper()}32"])
        for bits in (16, 8, 4)
        for kind in "iu"
    },
    "v_dot2_f32_f16": (numerics.half_dot_product("f16", addend_first=True), Kind.F32),
    "v_dot2_f32_bf16": (numerics.half_dot_product("bf16", addend_first=False), Kind.F32),
}
"""Sums of products of the parts of two registers and a third, and what that is."""

ACCUMULATION = frozenset({"v_accvgpr_read", "v_accvgpr_write", "v_accvgpr_mov_b32"})
NAMES = frozenset({*PACKED_32, *PACKED_16, *PACKED_16_OF_THREE, *MIXES, *DOTS, *ACCUMULATION, "v_pk_mov_b32"})
_SOURCES = ("src0", "src1", "src2")


def bind(binder: Binder) -> Bound:
    """Bind a packed instruction or an accumulation-register move."""
    name = binder.instruction.mnemonic
    if name in ACCUMULATION:
        return _bind_accumulation(binder)
    binder.only_zero("clmp")
    if name in PACKED_16:
        return _bind_16(binder, *PACKED_16[name], 2)
    if name in PACKED_16_OF_THREE:
        return _bind_16(binder, *PACKED_16_OF_THREE[name], 3)
    if name in MIXES:
        return _bind_mix(binder, MIXES[name])
    if name in DOTS:
        return _bind_dot(binder, *DOTS[name])
    if name == "v_pk_mov_b32":
        return _bind_move(binder)
    return _bind_32(binder, *PACKED_32[name])


def _bind_accumulation(binder: Binder) -> Bound:
    instruction = binder.instruction
    target, source = instruction["vdst"], instruction["src0"]
    if instruction.mnemonic != "v_accvgpr_read" and target < AGPR:
        target += AGPR - VGPR
    if instruction.mnemonic != "v_accvgpr_write" and source >= VGPR:
        source += AGPR - VGPR
    fetch = binder.vector_source(source, Kind.U32)
    row = binder.row(target)
    binder.note_vector(row, 1, binder.writes)
    return binder.bound(lambda g: write_vector(g, row, fetch(g)))


def _half(binder: Binder, number: int, high: int, kind: Kind) -> Fetch:
    """One 32-bit half of a 64-bit source; a constant has the same low half only."""
    code = binder.instruction[_SOURCES[number]]
    if code >= VGPR:
        row = binder.row(code)
        binder.note_vector(row, 2, binder.reads)
        return binder.vector_source(code + high, kind)
    if code >= 128:
        fetch = binder.vector_source(code, kind)
        if high and code != 128:
            binder.refuse("the high half of a constant other than 0")
        return fetch
    if code & 1:
        binder.refuse(f"64-bit scalar operand at odd register {code}")
    return binder.vector_source(code + high, kind)


def _halves(binder: Binder, count: int, half: Callable[[int, int], Fetch], floats: bool = True) -> list[list[Fetch]]:
    """The sources of the low and of the high result, each by ``half`` of its number and the half that it takes."""
    instruction = binder.instruction
    low, high = instruction["opsel"], instruction["opsel_hi"] | instruction["opsel_hi2"] << 2
    if not floats:
        binder.only_zero("neg", "neg_hi")
    return [
        [_signed(half(number, select >> number & 1), negative >> number & 1) for number in range(count)]
        for select, negative in ((low, instruction["neg"]), (high, instruction["neg_hi"]))
    ]


def _signed(fetch: Fetch, negative: int) -> Fetch:
    return (lambda g: np.negative(fetch(g))) if negative else fetch


def _bind_32(binder: Binder, compute: Callable[..., Any], count: int) -> Bound:
    if binder.code.descriptor.mode.denormals_32 is not Denormals.KEEP:
        binder.refuse("a packed operation while denormals are flushed")
    halves = _halves(binder, count, lambda number, high: _half(binder, number, high, Kind.F32))
    row = binder.row(binder.instruction["vdst"])
    binder.note_vector(row, 2, binder.writes)

    def execute(g: Waves) -> None:
        # Both halves are computed before either is written: the destination may be a source.
        results = [temporary(f"packed {half}", (g.count, 64), np.float32) for half in range(2)]
        for fetches, out in zip(halves, results, strict=True):
            compute(*[fetch(g) for fetch in fetches], out=out)
        for half, out in enumerate(results):
            write_vector(g, row + half, out.view(np.uint32))

    return binder.bound(execute)


def _bind_move(binder: Binder) -> Bound:
    """The low half of the result from the first source, the high half from the second."""
    binder.only_zero("neg", "neg_hi")
    low = binder.instruction["opsel"]
    first = _half(binder, 0, low & 1, Kind.U32)
    second = _half(binder, 1, low >> 1 & 1, Kind.U32)
    row = binder.row(binder.instruction["vdst"])
    binder.note_vector(row, 2, binder.writes)

    def execute(g: Waves) -> None:
        shape = (g.count, 64)
        one, two = np.broadcast_to(first(g), shape).copy(), np.broadcast_to(second(g), shape).copy()
        write_vector(g, row, one)
        write_vector(g, row + 1, two)

    return binder.bound(execute)


def _bind_16(binder: Binder, compute: Callable[..., Any], kind: Kind, count: int) -> Bound:
    if kind.is_float and sets_overflow(binder.code):
        binder.refuse("a half as result in a kernel that sets MODE.FP16_OVFL")
    if kind.is_float and binder.code.descriptor.mode.denormals_16_64 is not Denormals.KEEP:
        binder.refuse("a packed operation while denormals are flushed")
    halves = _halves(binder, count, lambda number, high: _half_16(binder, number, high, kind), kind.is_float)
    row = binder.row(binder.instruction["vdst"])
    binder.note_vector(row, 1, binder.writes)
    dtype = kind.dtype

    def execute(g: Waves) -> None:
        packed: Array = None
        for shift, fetches in zip((0, 16), halves, strict=True):
            out = np.empty((g.count, 64), dtype)
            compute(*[fetch(g) for fetch in fetches], out=out)
            part = out.view(np.uint16).astype(np.uint32) << np.uint32(shift)
            packed = part if packed is None else packed | part
        write_vector(g, row, packed)

    return binder.bound(execute)


def _bind_mix(binder: Binder, shift: int | None) -> Bound:
    """Each source is a single, or a half where ``opsel_hi`` says so; ``neg_hi`` takes the size of it."""
    instruction = binder.instruction
    mode = binder.code.descriptor.mode
    if Denormals.KEEP not in (mode.denormals_32, mode.denormals_16_64) or mode.denormals_32 is not mode.denormals_16_64:
        binder.refuse("a mixed operation while denormals are flushed")
    if shift is not None and sets_overflow(binder.code):
        binder.refuse("a half as result in a kernel that sets MODE.FP16_OVFL")
    halves = instruction["opsel_hi"] | instruction["opsel_hi2"] << 2
    fetches = []
    for number, field in enumerate(_SOURCES):
        code = instruction[field]
        if not halves >> number & 1:
            fetch = binder.vector_source(code, Kind.F32)
        elif 128 < code < 240 or code == LITERAL:
            # LLVM (its pull request 183487): F16 sources use F16 constants in the low half; of others it says nothing.
            binder.refuse("an integer or a literal as a half among singles")
        else:
            fetch = _widened(_half_16(binder, number, instruction["opsel"] >> number & 1, Kind.F16))
        absolute, negative = (bool(instruction[bits] >> number & 1) for bits in ("neg_hi", "neg"))
        fetches.append(modified(binder, fetch, Kind.F32, absolute, negative))
    row = binder.row(instruction["vdst"])
    binder.note_vector(row, 1, binder.writes)
    if shift is not None:
        binder.note_vector(row, 1, binder.reads)

    def execute(g: Waves) -> None:
        out = np.empty((g.count, 64), np.float32)
        a, b, c = (fetch(g) for fetch in fetches)
        numerics.fma_f32(a, b, c, out)
        if shift is None:
            write_vector(g, row, out.view(np.uint32))
            return
        half = numerics.to_half(out).view(np.uint16).astype(np.uint32) << np.uint32(shift)
        write_vector(g, row, half | g.vector[row] & np.uint32(0xFFFF_0000 >> shift))

    return binder.bound(execute)


def _widened(fetch: Fetch) -> Fetch:
    return lambda g: numerics.from_half(fetch(g))


def _bind_dot(binder: Binder, compute: Callable[..., Any], kind: Kind) -> Bound:
    instruction = binder.instruction
    binder.only_zero("neg", "neg_hi", "opsel")
    if instruction["opsel_hi"] != 3 or instruction["opsel_hi2"] != 1:
        binder.refuse("halves of a dot product's sources swapped")
    if kind.is_float:
        check_halves(binder, "src0", "src1")
    parts = Kind.U32 if kind.is_float else kind
    fetches = [
        binder.vector_source(instruction[field], k) for field, k in zip(_SOURCES, (parts, parts, kind), strict=True)
    ]
    row = binder.row(instruction["vdst"])
    binder.note_vector(row, 1, binder.writes)

    def execute(g: Waves) -> None:
        out = np.empty((g.count, 64), kind.dtype)
        compute(*[fetch(g) for fetch in fetches], out)
        write_vector(g, row, out.view(np.uint32))

    return binder.bound(execute)


def check_halves(binder: Binder, *fields: str) -> None:
    """Refuse a dot product of halves in a mode or with a constant whose effect on it is told nowhere."""
    mode = binder.code.descriptor.mode
    if mode.denormals_32 is not Denormals.KEEP or mode.denormals_16_64 is not Denormals.KEEP:
        binder.refuse("a dot product of halves while denormals are flushed")
    if any(240 <= binder.instruction.get(field) <= 248 for field in fields):
        binder.refuse("a floating-point constant as two halves")


def _half_16(binder: Binder, number: int, high: int, kind: Kind) -> Fetch:
    code = binder.instruction[_SOURCES[number]]
    if code >= VGPR:
        return binder.vector_source(code, kind, high_half=bool(high))
    if code >= 128:
        if high and code != 128:
            binder.refuse("the high half of a constant other than 0")
        return binder.vector_source(code, kind)
    fetch = binder.scalar_source(code, Kind.U32)
    dtype = kind.dtype
    return lambda g: (fetch(g) >> np.uint32(16 * high)).astype(np.uint16).view(dtype)[:, np.newaxis]
