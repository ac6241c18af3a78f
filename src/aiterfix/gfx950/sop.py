"""Scalar ALU: SOP1, SOP2, SOPC, SOPK (ISA manual, chapter 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.instruction import EXEC, LITERAL, Encoding
from aiterfix.gfx950.numerics import multiply_high
from aiterfix.gfx950.operands import SCC_REGISTER, Array, Binder, Bound, Fetch, Kind

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

NAME = "scalar"


@dataclass(frozen=True)
class ScalarOperation:
    """One line of the table.

    Attributes:
        compute: from the sources (``(n,)`` arrays) to the result and the new SCC, either of them None.
        result: kind of the result, None for comparisons.
        sources: kinds of the sources.
        reads_scc: SCC is passed as a last source (bool).
        reads_result: the destination's old value is passed as a first source.
        writes_scc: False where ``compute`` gives None for SCC.
    """

    compute: Callable[..., tuple[Array | None, Array | None]]
    result: Kind | None
    sources: tuple[Kind, ...]
    reads_scc: bool = False
    reads_result: bool = False
    writes_scc: bool = True


def _op(
    compute: Callable[..., tuple[Any, Any]], kinds: str, *, reads_scc: bool = False, reads_result: bool = False
) -> ScalarOperation:
    result, sources = kinds.split("<-")
    kind = Kind[result.strip()] if result.strip() else None
    return ScalarOperation(compute, kind, tuple(Kind[s] for s in sources.split()), reads_scc, reads_result)


def _quiet(function: Callable[..., Any], kinds: str, **flags: bool) -> ScalarOperation:
    """An operation that leaves SCC alone."""
    return replace(_op(lambda *sources: (function(*sources), None), kinds, **flags), writes_scc=False)


def _nonzero(function: Callable[..., Any], kinds: str, **flags: bool) -> ScalarOperation:
    """An operation that sets SCC where the result is not 0."""

    def compute(*sources: Array) -> tuple[Array, Array]:
        result = function(*sources)
        return result, result != 0

    return _op(compute, kinds, **flags)


def _compare(function: Callable[..., Any], kinds: str) -> ScalarOperation:
    return _op(lambda *sources: (None, function(*sources)), "<- " + kinds)


def _add_i32(a: Array, b: Array) -> tuple[Array, Array]:
    result = a + b
    return result, ((a ^ result) & (b ^ result)) < 0


def _sub_i32(a: Array, b: Array) -> tuple[Array, Array]:
    result = a - b
    return result, ((a ^ b) & (a ^ result)) < 0


def _add_u32(a: Array, b: Array) -> tuple[Array, Array]:
    result = a + b
    return result, result < a


def _addc_u32(a: Array, b: Array, carry: Array) -> tuple[Array, Array]:
    total = a.astype(np.uint64) + b + carry
    return total.astype(np.uint32), total >> np.uint64(32) != 0


def _subb_u32(a: Array, b: Array, borrow: Array) -> tuple[Array, Array]:
    taken = b.astype(np.uint64) + borrow
    return (a - taken).astype(np.uint32), taken > a


def _shift_add(shift: int) -> Callable[[Array, Array], tuple[Array, Array]]:
    def compute(a: Array, b: Array) -> tuple[Array, Array]:
        total = (a.astype(np.uint64) << np.uint64(shift)) + b
        return total.astype(np.uint32), total >> np.uint64(32) != 0

    return compute


def _abs_i32(a: Array) -> Array:
    return np.where(a < 0, np.negative(a), a)


def _bfe(a: Array, spec: Array) -> Array:
    """Bit field: offset in bits 4:0 (5:0 of a 64-bit one) and width in bits 22:16; signed by the array's type."""
    bits = a.dtype.itemsize * 8
    offset = (spec & np.uint32(bits - 1)).astype(np.int64)
    width = np.minimum((spec >> np.uint32(16)) & np.uint32(0x7F), bits).astype(np.int64)
    # Signed: a field that reaches past the top bit goes on with the sign.
    unsigned = (a >> offset.astype(a.dtype)).view(f"u{a.dtype.itemsize}")
    # Widths of 0 and of the whole register are both in range: shift in two steps, numpy's shift count stays legal.
    up = np.where(width == 0, 0, bits - width).astype(a.dtype)
    field = (unsigned << up.astype(unsigned.dtype)).view(a.dtype) >> up
    return np.where(width == 0, a.dtype.type(0), field)


def _bfm(bits: int) -> Callable[[Array, Array], Array]:
    kind = np.dtype(f"u{bits // 8}").type

    def compute(width: Array, offset: Array) -> Array:
        mask = (kind(1) << (width & np.uint32(bits - 1)).astype(kind)) - kind(1)
        return mask << (offset & np.uint32(bits - 1)).astype(kind)

    return compute


def _first_set(a: Array) -> Array:
    """Position of the lowest one, -1 where there is none."""
    lowest = a & (~a + a.dtype.type(1))
    position = np.frexp(lowest.astype(np.float64))[1] - 1
    return np.where(a == 0, -1, position).astype(np.int32)


def _leading_like_sign(bits: int) -> Callable[[Array], Array]:
    """Bits from the top that are like the sign, -1 where all are."""
    return lambda a: _leading((a ^ (a >> a.dtype.type(bits - 1))).view(f"u{bits // 8}"))


def _leading(a: Array) -> Array:
    """Leading zeros, -1 where there is no one."""
    bits = a.dtype.itemsize * 8
    spread = a.copy()
    for step in (1, 2, 4, 8, 16, 32)[: bits.bit_length() - 1]:
        spread |= spread >> a.dtype.type(step)
    return np.where(a == 0, -1, bits - _count_ones(spread).astype(np.int64)).astype(np.int32)


def _count_ones(a: Array) -> Array:
    raw = np.ascontiguousarray(a).view(np.uint8).reshape(len(a), -1)
    return np.unpackbits(raw, axis=1).sum(axis=1).astype(np.uint32)


def _reversed(a: Array) -> Array:
    raw = np.ascontiguousarray(a).view(np.uint8).reshape(len(a), -1)
    return np.packbits(np.unpackbits(raw, axis=1, bitorder="little")[:, ::-1], axis=1, bitorder="little").view(a.dtype)[
        :, 0
    ]


def _bit(of: Array, number: Array) -> Array:
    kind = of.dtype.type
    return kind(1) << (number & np.uint32(8 * of.itemsize - 1)).astype(of.dtype)


def _shl(a: Array, b: Array) -> Array:
    return a << (b & np.uint32(a.dtype.itemsize * 8 - 1)).astype(a.dtype)


def _shr(a: Array, b: Array) -> Array:
    return a >> (b & np.uint32(a.dtype.itemsize * 8 - 1)).astype(a.dtype)


def _select(a: Array, b: Array, scc: Array) -> Array:
    return np.where(scc, a, b)


def _keep_unless(old: Array, a: Array, scc: Array) -> Array:
    return np.where(scc, a, old)


def _sign_extended(bits: int) -> Callable[[Array], Array]:
    return lambda a: a.astype(f"i{bits // 8}").astype(np.int32)


_LOGIC: dict[str, Callable[[Array, Array], Array]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "andn2": lambda a, b: a & ~b,
    "orn2": lambda a, b: a | ~b,
    "nand": lambda a, b: ~(a & b),
    "nor": lambda a, b: ~(a | b),
    "xnor": lambda a, b: ~(a ^ b),
}
_COMPARISONS: dict[str, Callable[..., Any]] = {
    "eq": np.equal,
    "lg": np.not_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "lt": np.less,
    "le": np.less_equal,
}

OPERATIONS: dict[str, ScalarOperation] = {
    # SOP2
    "s_add_u32": _op(_add_u32, "U32 <- U32 U32"),
    "s_add_i32": _op(_add_i32, "I32 <- I32 I32"),
    "s_sub_u32": _op(lambda a, b: (a - b, b > a), "U32 <- U32 U32"),
    "s_sub_i32": _op(_sub_i32, "I32 <- I32 I32"),
    "s_addc_u32": _op(_addc_u32, "U32 <- U32 U32", reads_scc=True),
    "s_subb_u32": _op(_subb_u32, "U32 <- U32 U32", reads_scc=True),
    **{f"s_min_{k.lower()}": _op(lambda a, b: (np.minimum(a, b), a < b), f"{k} <- {k} {k}") for k in ("I32", "U32")},
    **{f"s_max_{k.lower()}": _op(lambda a, b: (np.maximum(a, b), a >= b), f"{k} <- {k} {k}") for k in ("I32", "U32")},
    **{f"s_lshl{k}_add_u32": _op(_shift_add(k), "U32 <- U32 U32") for k in (1, 2, 3, 4)},
    "s_mul_i32": _quiet(lambda a, b: a * b, "U32 <- U32 U32"),
    "s_mul_hi_u32": _quiet(multiply_high, "U32 <- U32 U32"),
    "s_mul_hi_i32": _quiet(multiply_high, "I32 <- I32 I32"),
    "s_absdiff_i32": _nonzero(lambda a, b: _abs_i32(a - b), "I32 <- I32 I32"),
    "s_pack_ll_b32_b16": _quiet(lambda a, b: a & np.uint32(0xFFFF) | b << np.uint32(16), "U32 <- U32 U32"),
    "s_pack_lh_b32_b16": _quiet(lambda a, b: a & np.uint32(0xFFFF) | b & np.uint32(0xFFFF_0000), "U32 <- U32 U32"),
    "s_pack_hh_b32_b16": _quiet(lambda a, b: a >> np.uint32(16) | b & np.uint32(0xFFFF_0000), "U32 <- U32 U32"),
    # SOP1
    "s_sext_i32_i8": _quiet(_sign_extended(8), "I32 <- I32"),
    "s_sext_i32_i16": _quiet(_sign_extended(16), "I32 <- I32"),
    "s_abs_i32": _nonzero(_abs_i32, "I32 <- I32"),
    # SOPC
    **{
        f"s_cmp_{name}_{k.lower()}": _compare(f, f"{k} {k}") for name, f in _COMPARISONS.items() for k in ("I32", "U32")
    },
    "s_cmp_eq_u64": _compare(np.equal, "U64 U64"),
    "s_cmp_lg_u64": _compare(np.not_equal, "U64 U64"),
    # What is the same on 32 bits and on 64
    **{
        f"s_{name.format(bits)}": line
        for bits in (32, 64)
        for u, i in ((f"U{bits}", f"I{bits}"),)
        for name, line in {
            **{f"{name}_b{{}}": _nonzero(f, f"{u} <- {u} {u}") for name, f in _LOGIC.items()},
            "cselect_b{}": _quiet(_select, f"{u} <- {u} {u}", reads_scc=True),
            "lshl_b{}": _nonzero(_shl, f"{u} <- {u} U32"),
            "lshr_b{}": _nonzero(_shr, f"{u} <- {u} U32"),
            "ashr_i{}": _nonzero(_shr, f"{i} <- {i} U32"),
            "bfm_b{}": _quiet(_bfm(bits), f"{u} <- U32 U32"),
            "bfe_u{}": _nonzero(_bfe, f"{u} <- {u} U32"),
            "bfe_i{}": _nonzero(_bfe, f"{i} <- {i} U32"),
            "mov_b{}": _quiet(np.copy, f"{u} <- {u}"),
            "cmov_b{}": _quiet(_keep_unless, f"{u} <- {u}", reads_scc=True, reads_result=True),
            "not_b{}": _nonzero(np.invert, f"{u} <- {u}"),
            "brev_b{}": _quiet(_reversed, f"{u} <- {u}"),
            "bcnt0_i32_b{}": _nonzero(lambda a: _count_ones(~a), f"U32 <- {u}"),
            "bcnt1_i32_b{}": _nonzero(_count_ones, f"U32 <- {u}"),
            "ff0_i32_b{}": _quiet(lambda a: _first_set(~a), f"I32 <- {u}"),
            "ff1_i32_b{}": _quiet(_first_set, f"I32 <- {u}"),
            "flbit_i32_b{}": _quiet(_leading, f"I32 <- {u}"),
            "flbit_i32" + ("_i64" if bits == 64 else ""): _quiet(_leading_like_sign(bits), f"I32 <- {i}"),
            "bitset0_b{}": _quiet(lambda old, b: old & ~_bit(old, b), f"{u} <- U32", reads_result=True),
            "bitset1_b{}": _quiet(lambda old, b: old | _bit(old, b), f"{u} <- U32", reads_result=True),
            "bitcmp0_b{}": _compare(lambda a, b: a & _bit(a, b) == 0, f"{u} U32"),
            "bitcmp1_b{}": _compare(lambda a, b: a & _bit(a, b) != 0, f"{u} U32"),
        }.items()
    },
}

IMMEDIATE_OPERATIONS: dict[str, ScalarOperation] = {
    # SOPK: the last source is the sign-extended (for _u32 comparisons: zero-extended) 16-bit constant.
    "s_movk_i32": _quiet(np.copy, "I32 <- I32"),
    "s_cmovk_i32": _quiet(_keep_unless, "I32 <- I32", reads_scc=True, reads_result=True),
    "s_addk_i32": _op(_add_i32, "I32 <- I32", reads_result=True),
    "s_mulk_i32": _quiet(lambda old, k: old * k, "I32 <- I32", reads_result=True),
    **{
        f"s_cmpk_{name}_{kind.lower()}": replace(_compare(f, kind), reads_result=True)
        for name, f in _COMPARISONS.items()
        for kind in ("I32", "U32")
    },
}

_SHIFTS_64 = frozenset({"s_lshl_b64", "s_lshr_b64", "s_ashr_i64", "s_bfe_u64", "s_bfe_i64"})

SAVE_EXEC: dict[str, Callable[[Array, Array], Array]] = {
    f"s_{name}_saveexec_b64": f
    for name, f in {
        **_LOGIC,
        # The manual's andn1/orn1 invert the register instead of EXEC.
        "andn1": lambda a, b: ~a & b,
        "orn1": lambda a, b: ~a | b,
    }.items()
}
"""New EXEC from the source and the old EXEC."""


def bind(binder: Binder) -> Bound:
    """Bind a scalar ALU instruction."""
    instruction = binder.instruction
    name = instruction.mnemonic
    if name in SAVE_EXEC:
        return _bind_save_exec(binder, SAVE_EXEC[name])
    if name in IMMEDIATE_OPERATIONS:
        return _bind_immediate(binder, IMMEDIATE_OPERATIONS[name])
    op = OPERATIONS[name]
    fields = ("ssrc0",) if instruction.encoding is Encoding.SOP1 else ("ssrc0", "ssrc1")
    if name in _SHIFTS_64 and instruction["ssrc0"] == LITERAL and (instruction.literal or 0) >> 31:
        binder.refuse("a negative literal as 64-bit source: whether its sign extends it is not known")
    fetches = [binder.scalar_source(instruction[f], kind) for f, kind in zip(fields, op.sources, strict=True)]
    return _bind(binder, op, fetches)


def _bind_immediate(binder: Binder, op: ScalarOperation) -> Bound:
    bits = binder.instruction["simm16"]
    signed = bits - (bits >> 15 << 16)
    value = np.array([bits if op.sources[0] is Kind.U32 else signed], op.sources[0].dtype)
    return _bind(binder, op, [lambda g: value])


def _bind(binder: Binder, op: ScalarOperation, fetches: list[Fetch]) -> Bound:
    compute = op.compute
    if op.reads_result:
        fetches.insert(0, binder.scalar_source(binder.instruction["sdst"], op.result or op.sources[0]))
    if op.reads_scc:
        binder.reads.add(SCC_REGISTER)
        fetches.append(lambda g: g.scc)
    write = None
    if op.result is not None:
        write = binder.scalar_result(binder.instruction["sdst"], op.result.bits)
        if binder.instruction["sdst"] >> 1 == EXEC >> 1:
            binder.steers |= binder.reads
    if op.writes_scc:
        binder.writes.add(SCC_REGISTER)

    def execute(g: Waves) -> None:
        result, scc = compute(*[fetch(g) for fetch in fetches])
        if write is not None:
            write(g, result)
        if scc is not None:
            g.scc[...] = scc

    return binder.bound(execute)


def _bind_save_exec(binder: Binder, combine: Callable[[Array, Array], Array]) -> Bound:
    fetch = binder.scalar_source(binder.instruction["ssrc0"], Kind.U64, steer=True)
    write = binder.scalar_result(binder.instruction["sdst"], 64)
    pair = EXEC >> 1

    def execute(g: Waves) -> None:
        old = g.pairs64[pair].copy()
        new = combine(fetch(g), old)
        write(g, old)
        g.pairs64[pair] = new
        g.scc[...] = new != 0
        g.exec_changed()

    binder.writes.update((EXEC, EXEC + 1, SCC_REGISTER))
    return binder.bound(execute)
