"""Vector instructions that write or read lane masks: comparisons, selects, carries (ISA manual, sections 6.3, 6.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.instruction import EXEC, VCC, Encoding
from aiterfix.gfx950.operands import Array, Binder, Bound, Kind, write_vector, write_vector64
from aiterfix.gfx950.vector import sources_of, vector_result
from aiterfix.gfx950.vector_operation import operation
from aiterfix.gfx950.waves import bools_from_bits

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "vector compare and select"

_Relations = dict[str, Callable[[Array, Array], Array]]
_RELATIONS: _Relations = {
    "f": lambda a, b: np.zeros(np.broadcast_shapes(a.shape, b.shape), np.bool_),
    "lt": np.less,
    "eq": np.equal,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}
_INTEGER_RELATIONS: _Relations = {
    **_RELATIONS,
    "ne": np.not_equal,
    "t": lambda a, b: np.ones(np.broadcast_shapes(a.shape, b.shape), np.bool_),
}


def _ordered(a: Array, b: Array) -> Array:
    return ~(np.isnan(a) | np.isnan(b))


_FLOAT_RELATIONS: _Relations = {
    **_RELATIONS,
    "lg": lambda a, b: (a < b) | (a > b),
    "o": _ordered,
    "u": lambda a, b: ~_ordered(a, b),
    "nge": lambda a, b: ~(a >= b),
    "nlg": lambda a, b: ~((a < b) | (a > b)),
    "ngt": lambda a, b: ~(a > b),
    "nle": lambda a, b: ~(a <= b),
    "neq": lambda a, b: ~(a == b),
    "nlt": lambda a, b: ~(a < b),
    "tru": lambda a, b: np.ones(np.broadcast_shapes(a.shape, b.shape), np.bool_),
}

COMPARISONS: dict[str, tuple[Callable[[Array, Array], Array], Kind]] = {
    f"v_cmp{x}_{relation}_{kind.name.lower()}": (function, kind)
    for kind in Kind
    for relation, function in (_FLOAT_RELATIONS if kind.is_float else _INTEGER_RELATIONS).items()
    for x in ("", "x")
}

CARRIES: dict[str, tuple[Callable[[Array, Array, Array], Array], bool]] = {
    # The 33-bit sum (or the difference, negative where it borrows) in int64, and whether the carry is an operand.
    "v_add_co_u32": (lambda a, b, c: a + b, False),
    "v_sub_co_u32": (lambda a, b, c: a - b, False),
    "v_subrev_co_u32": (lambda a, b, c: b - a, False),
    "v_addc_co_u32": (lambda a, b, c: a + b + c, True),
    "v_subb_co_u32": (lambda a, b, c: a - b - c, True),
    "v_subbrev_co_u32": (lambda a, b, c: b - a - c, True),
}

MULTIPLY_ADDS = {"v_mad_u64_u32": Kind.U32, "v_mad_i64_i32": Kind.I32}


def bind(binder: Binder) -> Bound:
    """Bind an instruction of this module."""
    name = binder.instruction.mnemonic
    binder.only_zero("omod", "clmp")
    if name in COMPARISONS:
        return _bind_comparison(binder, *COMPARISONS[name])
    if name in CLASSES:
        return _bind_comparison(binder, *CLASSES[name], Kind.U32)
    if name in CARRIES:
        return _bind_carry(binder, *CARRIES[name])
    if name in MULTIPLY_ADDS:
        return _bind_multiply_add(binder, MULTIPLY_ADDS[name])
    return _bind_select(binder)


def _mask_destination(binder: Binder, field: str) -> int:
    """Where the lane mask goes: a field of the 64-bit encodings, VCC in the short ones."""
    instruction = binder.instruction
    if instruction.encoding is Encoding.SDWA:
        return instruction["sdst"] if instruction.get("sd") else VCC
    return instruction[field] if instruction.encoding in (Encoding.VOP3, Encoding.VOP3SD) else VCC


def _bind_comparison(binder: Binder, compare: Callable[..., Array], kind: Kind, second: Kind | None = None) -> Bound:
    first_fetch, second_fetch = sources_of(binder, (kind, second or kind))
    write = binder.mask_result(_mask_destination(binder, "vdst"))
    if not binder.instruction.mnemonic.startswith("v_cmpx"):
        return binder.bound(lambda g: write(g, compare(first_fetch(g), second_fetch(g))))
    write_exec = binder.mask_result(EXEC)
    binder.steers |= binder.reads

    def execute(g: Waves) -> None:
        lanes = compare(first_fetch(g), second_fetch(g))
        write(g, lanes)
        write_exec(g, lanes)

    return binder.bound(execute)


def _in_class(kind: Kind) -> Callable[[Array, Array], Array]:
    """Membership in the classes of the mask: sNaN, qNaN, -inf, -normal, -denormal, -0, +0, ..., +inf."""
    info = np.finfo(kind.dtype)
    one = np.dtype(f"u{kind.bits // 8}").type(1)
    sign, infinity, normal = (one << kind.bits - 1, one * ((1 << info.iexp) - 1) << info.nmant, one << info.nmant)

    def belongs(bits: Array, mask: Array) -> Array:
        magnitude, negative = bits & ~sign, bits & sign != 0
        size = np.select(
            [magnitude == 0, magnitude < normal, magnitude < infinity, magnitude == infinity], [0, 1, 2, 3], 4
        )
        number = np.where(negative, 5 - size, 6 + size)
        number = np.where(size == 4, np.where(magnitude & normal >> 1, 1, 0), number)
        return mask >> number.astype(np.uint32) & np.uint32(1) != 0

    return belongs


CLASSES: dict[str, tuple[Callable[[Array, Array], Array], Kind]] = {
    f"v_cmp{x}_class_f{kind.bits}": (_in_class(kind), bits)
    for kind, bits in ((Kind.F16, Kind.U16), (Kind.F32, Kind.U32), (Kind.F64, Kind.U64))
    for x in ("", "x")
}
"""As ``COMPARISONS``; the number is looked at as bits, which nothing flushes, and the mask has 32."""
NAMES = frozenset({*COMPARISONS, *CLASSES, *CARRIES, *MULTIPLY_ADDS, "v_cndmask_b32"})


def _bind_carry(binder: Binder, total: Callable[..., Array], carry_in: bool) -> Bound:
    instruction = binder.instruction
    first, second = sources_of(binder, (Kind.U32, Kind.U32))
    row = binder.row(instruction["vdst"])
    binder.note_vector(row, 1, binder.writes)
    carry = None
    if carry_in:
        carry = binder.scalar_source(instruction["src2"] if instruction.encoding is Encoding.VOP3SD else VCC, Kind.U64)
    write_mask = binder.mask_result(_mask_destination(binder, "sdst"))
    if instruction.encoding in (Encoding.SDWA, Encoding.DPP):
        binder.refuse("a carry in SDWA or DPP form")

    def execute(g: Waves) -> None:
        bits: Any = (
            0 if carry is None else np.broadcast_to(bools_from_bits(np.broadcast_to(carry(g), g.count)), (g.count, 64))
        )
        sum_ = total(first(g).astype(np.int64), second(g).astype(np.int64), bits)
        sum_ = np.broadcast_to(sum_, (g.count, 64))
        write_vector(g, row, sum_.astype(np.uint32))
        write_mask(g, sum_ >> 32 != 0)

    return binder.bound(execute)


def _bind_multiply_add(binder: Binder, kind: Kind) -> Bound:
    instruction = binder.instruction
    signed = kind is Kind.I32
    wide: Any = np.int64 if signed else np.uint64
    first, second, third = sources_of(binder, (kind, kind, Kind.I64 if signed else Kind.U64))
    row = binder.row(instruction["vdst"])
    binder.note_vector(row, 2, binder.writes)
    write_mask = binder.mask_result(instruction["sdst"])

    def execute(g: Waves) -> None:
        product = np.multiply(first(g), second(g), dtype=wide)
        addend = third(g)
        result = product + addend
        # Signed: bit 64 of the sum is its sign, which differs from bit 63 where the addition overflowed.
        overflow = ((product ^ result) & (addend ^ result)) < 0 if signed else False
        carry = (result < 0) ^ overflow if signed else result < addend
        write_vector64(g, row, result)
        write_mask(g, carry)

    return binder.bound(execute)


def _select(zero: Array, one: Array, lanes: Array, out: Array) -> None:
    out[...] = zero ^ ((zero ^ one) & lanes)


_SELECT = operation(_select, "U32 <- U32 U32 U32")


def _bind_select(binder: Binder) -> Bound:
    """Bits, not numbers: sign modifiers change the sign bit and nothing is flushed."""
    instruction = binder.instruction
    fetches = sources_of(binder, (Kind.U32, Kind.U32), signed_bits=True)
    fetches.append(binder.mask_source(instruction["src2"] if instruction.encoding is Encoding.VOP3 else VCC))
    return vector_result(binder, _SELECT, fetches)
