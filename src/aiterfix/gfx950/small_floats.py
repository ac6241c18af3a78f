"""Conversions to and from floats of 8 bits (ISA manual, V_CVT_PK_FP8_F32, V_CVT_SCALEF32_* and the rest).

To nearest even. What is too large becomes the largest number where MODE.FP16_OVFL is set, else NaN (fp8) or infinity
(bf8); an infinite source where it is set is refused: no text at hand says what it becomes. A scale is a power of two,
the exponent of a single: numbers are divided by it on their way to 8 bits, multiplied on their way back.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950 import matrix_formats, numerics
from aiterfix.gfx950.control import overflow_clamps, sets_overflow
from aiterfix.gfx950.instruction import VGPR, Encoding
from aiterfix.gfx950.operands import Array, Binder, Bound, Fetch, Kind, write_vector
from aiterfix.gfx950.vector import SOURCE_FIELDS
from aiterfix.gfx950.vector_operation import VectorOperation, modified, operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.waves import Waves

NAME = "vector float"
_FORMATS = ("fp8", "bf8")
_PACKS = {f"v_cvt_{scale}pk_{fmt}_f32": (fmt, bool(scale)) for scale in ("", "scalef32_") for fmt in _FORMATS}
"""Two singles (and a scale) to a half of the destination, which ``opsel`` chooses."""
_NARROWS = {f"v_cvt_scalef32_pk_{fmt}_{kind}": (fmt, kind) for fmt in _FORMATS for kind in ("f16", "bf16")}
"""Likewise, with both numbers in one register."""
_UNPACKS = {
    f"v_cvt_scalef32_pk_{kind}_{fmt}": (kind, fmt) for kind in ("f32", "f16", "bf16") for fmt in ("fp8", "bf8", "fp4")
}
"""A half of the source (of a 4-bit format: a byte), which ``opsel`` chooses, times a scale to two larger numbers."""
NAMES = frozenset({*_PACKS, *_NARROWS, *_UNPACKS})
_NAN = {"fp8": 0x7F, "bf8": 0x7F}
_TOO_LARGE = {"fp8": 0x7F, "bf8": 0x7C}


@cache
def _numbers(fmt: str) -> NDArray[np.float64]:
    """The numbers from 0 on, in order of their codes, which they are in."""
    table = matrix_formats.table(fmt)[:128]
    numbers: NDArray[np.float64] = table[np.isfinite(table)]
    return numbers


def encoded(numbers: Array, fmt: str, clamps: Array) -> NDArray[np.uint32]:
    """Codes of numbers (double precision), to nearest even.

    Args:
        clamps: bool that broadcasts to ``numbers``: what is too large becomes the largest number.
    """
    table = _numbers(fmt)
    size = np.abs(numbers)
    # Between two codes the even one wins where the number lies in the middle.
    above = np.clip(np.searchsorted(table, size), 1, len(table) - 1)
    low, high = table[above - 1], table[above]
    middle = (low + high) / 2
    up = (size > middle) | ((size == middle) & (above % 2 == 0))
    code = np.where(up, above, above - 1).astype(np.uint32)
    largest = table[-1]
    limit = largest + (largest - table[-2]) / 2
    # At the middle between the largest number and the next one, the next one's code would be the even one or not.
    over = (size > limit) | ((size == limit) & (len(table) % 2 == 0))
    code = np.where(size >= largest, np.uint32(len(table) - 1), code)
    code = np.where(over, np.where(clamps, np.uint32(len(table) - 1), np.uint32(_TOO_LARGE[fmt])), code)
    code = np.where(np.isnan(numbers), np.uint32(_NAN[fmt]), code)
    signed: NDArray[np.uint32] = (code | np.signbit(numbers).astype(np.uint32) << np.uint32(7)).astype(np.uint32)
    return signed


def bind(binder: Binder) -> Bound:
    """Bind a conversion of two numbers, to 8 bits or back."""
    instruction = binder.instruction
    if instruction.mnemonic in _UNPACKS:
        return _bind_unpack(binder, *_UNPACKS[instruction.mnemonic])
    return (_bind_narrow if instruction.mnemonic in _NARROWS else _bind_pack)(binder)


def _bind_pack(binder: Binder) -> Bound:
    instruction = binder.instruction
    fmt, has_scale = _PACKS[instruction.mnemonic]
    if instruction.encoding is not Encoding.VOP3:
        binder.refuse("a conversion to 8 bits in SDWA or DPP form")
    binder.only_zero("omod", "clmp")
    fetches = [
        modified(
            binder,
            binder.vector_source(instruction[field], Kind.F32),
            Kind.F32,
            bool(instruction["abs"] >> number & 1),
            bool(instruction["neg"] >> number & 1),
        )
        for number, field in enumerate(SOURCE_FIELDS[Encoding.VOP3][: 3 if has_scale else 2])
    ]
    return _packed(binder, fmt, fetches[:2], fetches[2] if has_scale else None)


def _bind_narrow(binder: Binder) -> Bound:
    instruction = binder.instruction
    fmt, kind = _NARROWS[instruction.mnemonic]
    binder.only_zero("omod", "clmp", "abs", "neg")
    if 128 <= instruction["src0"] < VGPR:
        binder.refuse("two halves that are no register")
    both = binder.vector_source(instruction["src0"], Kind.U32)
    widened = [_widened(both, shift, kind) for shift in (0, 16)]
    return _packed(binder, fmt, widened, binder.vector_source(instruction["src1"], Kind.F32))


def _widened(fetch: Fetch, shift: int, kind: str) -> Fetch:
    return lambda g: numerics.from_half_of(fetch(g), shift, kind)


def _packed(binder: Binder, fmt: str, sources: list[Fetch], scale_source: Fetch | None) -> Bound:
    """The codes of two singles (divided by the scale) in the half of the destination that ``opsel`` chooses."""
    instruction = binder.instruction
    if instruction["opsel"] & 7:
        binder.refuse(f"opsel {instruction['opsel']:#x} on sources of 32 bits")
    row = binder.row(instruction["vdst"])
    binder.note_vector(row, 1, binder.reads)  # the other half is kept
    binder.note_vector(row, 1, binder.writes)
    shift = 16 if instruction["opsel"] & 8 else 0

    def execute(g: Waves) -> None:
        values = [np.broadcast_to(fetch(g), (g.count, 64)) for fetch in sources]
        scale: Any = 0
        if scale_source is not None:
            bits = np.ascontiguousarray(np.broadcast_to(scale_source(g), (g.count, 64))).view(np.uint32)
            scale = _exponent(binder, g, bits)
        clamps = overflow_clamps(g)
        codes = []
        for value in values:
            if clamps.any() and (np.isinf(value) & clamps & (g.lanes is None or g.lanes != 0)).any():
                binder.refuse("an infinite source while MODE.FP16_OVFL is set")
            codes.append(encoded(np.ldexp(value.astype(np.float64), -scale), fmt, clamps))
        packed = (codes[0] | codes[1] << np.uint32(8)) << np.uint32(shift)
        write_vector(g, row, g.vector[row] & np.uint32(0xFFFF_0000 if shift == 0 else 0xFFFF) | packed)

    return binder.bound(execute)


def _exponent(binder: Binder, g: Waves, bits: Array) -> Array:
    """The power of two that a scale is, ``(n, 64)``."""
    exponent = (bits >> np.uint32(23) & np.uint32(0xFF)).astype(np.int64)
    if ((exponent == 255) & (g.lanes is None or g.lanes != 0)).any():
        binder.refuse("an infinite scale, or one that is no number")
    return exponent - 127


def _bind_unpack(binder: Binder, kind: str, fmt: str) -> Bound:
    instruction = binder.instruction
    binder.only_zero("omod", "clmp", "abs", "neg")
    if kind == "f16" and sets_overflow(binder.code):
        binder.refuse("a half as result in a kernel that sets MODE.FP16_OVFL")
    part, bits = instruction["opsel"], matrix_formats.BITS[fmt]
    if part >= 32 // (2 * bits):
        binder.refuse(f"opsel {part:#x}")
    source, scale = (binder.vector_source(instruction[f"src{k}"], Kind.U32) for k in (0, 1))
    row = binder.row(instruction["vdst"])
    binder.note_vector(row, 2 if kind == "f32" else 1, binder.writes)
    table, mask = matrix_formats.table(fmt), np.uint32((1 << bits) - 1)

    def execute(g: Waves) -> None:
        packed = np.broadcast_to(source(g), (g.count, 64)) >> np.uint32(2 * bits * part)
        exponent = _exponent(binder, g, np.broadcast_to(scale(g), (g.count, 64)))
        # Exact in single precision but for what leaves its range.
        low, high = (np.ldexp(table[packed >> np.uint32(k * bits) & mask], exponent).astype(np.float32) for k in (0, 1))
        if kind == "f32":
            write_vector(g, row, low.view(np.uint32))
            write_vector(g, row + 1, high.view(np.uint32))
            return
        narrow = numerics.to_bf16 if kind == "bf16" else lambda x: numerics.to_half(x).view(np.uint16).astype(np.uint32)
        write_vector(g, row, narrow(low) | narrow(high) << np.uint32(16))

    return binder.bound(execute)


def _decode(fmt: str) -> Any:
    def compute(a: Array, out: Array) -> None:
        out[...] = matrix_formats.table(fmt)[a & np.uint32(0xFF)]

    return compute


def _decode_pair(fmt: str) -> Any:
    def compute(a: Array, out: Array) -> None:
        table = matrix_formats.table(fmt).astype(np.float32).view(np.uint32).astype(np.uint64)
        out[...] = table[a & np.uint32(0xFF)] | table[a >> np.uint32(8) & np.uint32(0xFF)] << np.uint64(32)

    return compute


OPERATIONS: dict[str, VectorOperation] = {
    **{f"v_cvt_f32_{fmt}": operation(_decode(fmt), "F32 <- U32") for fmt in _FORMATS},
    **{f"v_cvt_pk_f32_{fmt}": operation(_decode_pair(fmt), "U64 <- U32") for fmt in _FORMATS},
}
"""SDWA chooses the byte or the half; else it is the lowest."""
