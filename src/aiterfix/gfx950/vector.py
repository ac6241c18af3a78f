"""Binding of vector ALU instructions: encodings, modifiers and EXEC around a table entry's array code."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.control import sets_overflow
from aiterfix.gfx950.dpp import dpp_result, dpp_sources
from aiterfix.gfx950.instruction import Encoding
from aiterfix.gfx950.kernel_descriptor import Denormals
from aiterfix.gfx950.numerics import flush_denormals
from aiterfix.gfx950.operands import (
    Array,
    Binder,
    Bound,
    Execute,
    Fetch,
    Kind,
    write_vector,
    write_vector64,
)
from aiterfix.gfx950.sdwa import places_result, sdwa_result, sdwa_sources
from aiterfix.gfx950.vector_operation import VectorOperation, modified
from aiterfix.gfx950.workspace import temporary

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

SOURCE_FIELDS = {
    Encoding.VOP1: ("src0",),
    Encoding.VOP2: ("src0", "vsrc1"),
    Encoding.VOPC: ("src0", "vsrc1"),
    Encoding.VOP3: ("src0", "src1", "src2"),
    Encoding.VOP3SD: ("src0", "src1", "src2"),
}

KEEPS_OTHER_HALF = frozenset(
    {"v_fma_f16", "v_div_fixup_f16", "v_add_i16", "v_sub_i16", "v_bitop3_b16", "v_mad_i16", "v_mad_u16"}
    | {f"v_{name}_{kind}" for name in ("max3", "min3", "med3") for kind in ("f16", "i16", "u16")}
)
"""Results of 16 bits that leave the register's other half alone: LLVM has ``op_sel`` for them, and does not list them
with those that clear it (``zeroesHigh16BitsOfDest``). All others do."""


def sources_of(binder: Binder, kinds: tuple[Kind, ...], *, signed_bits: bool = False) -> list[Fetch]:
    """The sources of a vector instruction in any encoding, modifiers applied.

    Args:
        signed_bits: singles fetched as integers: their modifiers change the sign bit.
    """
    instruction = binder.instruction
    if instruction.encoding is Encoding.SDWA:
        return sdwa_sources(binder, kinds, signed_bits)
    if instruction.encoding is Encoding.DPP:
        return dpp_sources(binder, kinds, signed_bits)
    fetches = []
    opsel = instruction.get("opsel")
    if opsel and instruction.mnemonic not in (*KEEPS_OTHER_HALF, "v_pack_b32_f16"):
        binder.refuse(f"opsel {opsel:#x}, which LLVM does not give it")
    for number, (field, kind) in enumerate(zip(SOURCE_FIELDS[instruction.encoding], kinds, strict=False)):
        fetch = binder.vector_source(instruction[field], kind, high_half=bool(opsel >> number & 1))
        absolute = instruction.get("abs") >> number & 1
        negative = instruction.get("neg") >> number & 1
        fetches.append(modified(binder, fetch, kind, bool(absolute), bool(negative), signed_bits))
    return fetches


def bind_vector(binder: Binder, op: VectorOperation) -> Bound:
    """Bind a vector instruction whose result is a vector register."""
    fetches = sources_of(binder, op.sources)
    if op.accumulates:
        fetches.append(binder.vector_source(binder.instruction["vdst"], op.result))
    return vector_result(binder, op, fetches)


def vector_result(binder: Binder, op: VectorOperation, fetches: list[Fetch]) -> Bound:
    """Bind a vector instruction from its sources on."""
    instruction = binder.instruction
    compute = _finished(binder, op)
    row = binder.row(instruction["vdst"])
    count = 2 if op.result.bits == 64 else 1
    binder.note_vector(row, count, binder.writes)
    high_result = bool(instruction.get("opsel") & 8)
    if high_result and op.result.bits != 16:
        binder.refuse("opsel on a result of 32 bits or more")
    if instruction.encoding is Encoding.SDWA and places_result(instruction):
        return binder.bound(sdwa_result(binder, compute, fetches, op, row))
    if instruction.encoding is Encoding.DPP:
        return binder.bound(dpp_result(binder, compute, fetches, op, row))
    if op.result.bits == 64:
        return binder.bound(_wide(compute, fetches, op.result, row))
    if op.result.bits == 16:
        keep = instruction.mnemonic in KEEPS_OTHER_HALF
        if keep:
            binder.note_vector(row, 1, binder.reads)
        return binder.bound(_narrow(compute, fetches, op.result, row, high_result, keep))
    return binder.bound(_plain(compute, fetches, op.result, row))


def plain_result(binder: Binder, op: VectorOperation, fetches: list[Fetch], row: int) -> Execute:
    """The function that computes a 32-bit result from sources at hand and writes it under EXEC."""
    return _plain(_finished(binder, op), fetches, op.result, row)


def _finished(binder: Binder, op: VectorOperation) -> Callable[..., Any]:
    """The table's array code with output modifiers and the denormal mode around it."""
    instruction = binder.instruction
    mode = binder.code.descriptor.mode
    compute = op.compute
    binder.only_zero("omod")
    steps: list[Callable[[Array], Array]] = []
    if op.result.is_float:
        width_mode = mode.denormals_32 if op.result is Kind.F32 else mode.denormals_16_64
        if width_mode in (Denormals.FLUSH_ALL, Denormals.FLUSH_RESULTS):
            steps.append(flush_denormals)
    if (op.result is Kind.F16 or instruction.mnemonic in _HALVES_AS_BITS) and sets_overflow(binder.code):
        binder.refuse("a half as result in a kernel that sets MODE.FP16_OVFL")
    if instruction.get("clmp"):
        if instruction.mnemonic in SATURATING:
            return _saturating(*SATURATING[instruction.mnemonic])
        if not op.result.is_float:
            binder.refuse("clamp on an integer result")
        if not mode.dx10_clamp:
            binder.refuse("clamp without DX10_CLAMP")
        steps.append(_clamped)
    if not steps:
        return compute

    def stepped(*sources: Array, out: Array) -> None:
        compute(*sources, out=out)
        for step in steps:
            out[...] = step(out)

    return stepped


_HALVES_AS_BITS = frozenset({"v_cvt_pkrtz_f16_f32", "v_cvt_pk_f16_f32"})

SATURATING: dict[str, tuple[Any, bool]] = {
    f"v_{name}_{kind}": (function, swapped)
    for kind in ("u32", "i32", "u16", "i16")
    for name, function, swapped in (("add", np.add, False), ("sub", np.subtract, False), ("subrev", np.subtract, True))
}
"""Mnemonic to the operation whose exact result the clamp limits to what the type holds, and whether sources swap."""


def _saturating(function: Any, swapped: bool) -> Callable[..., Any]:
    def compute(a: Array, b: Array, out: Array) -> None:
        first, second = (b, a) if swapped else (a, b)
        limits = np.iinfo(out.dtype)
        out[...] = np.clip(function(first.astype(np.int64), second.astype(np.int64)), limits.min, limits.max)

    return compute


def _clamped(values: Array) -> Array:
    # fmax turns NaN into 0, as DX10_CLAMP asks; adding 0 turns -0 into +0.
    return np.fmin(np.fmax(values, values.dtype.type(0)), values.dtype.type(1)) + values.dtype.type(0)


def _plain(compute: Callable[..., Any], fetches: list[Fetch], kind: Kind, row: int) -> Execute:
    dtype = kind.dtype
    view = {Kind.U32: "vector", Kind.I32: "vector_i32", Kind.F32: "vector_f32"}[kind]

    def partial(g: Waves, *values: Array) -> None:
        out = temporary("vector result", (g.count, 64), dtype)
        compute(*values, out=out)
        write_vector(g, row, out.view(np.uint32))

    # Spelled out for two sources: this is the innermost loop.
    if len(fetches) == 2:
        first, second = fetches

        def two(g: Waves) -> None:
            if g.lanes is None:
                compute(first(g), second(g), out=getattr(g, view)[row])
            else:
                partial(g, first(g), second(g))

        return two

    def many(g: Waves) -> None:
        values = [fetch(g) for fetch in fetches]
        if g.lanes is None:
            compute(*values, out=getattr(g, view)[row])
        else:
            partial(g, *values)

    return many


def _wide(compute: Callable[..., Any], fetches: list[Fetch], kind: Kind, row: int) -> Execute:
    dtype = kind.dtype

    def execute(g: Waves) -> None:
        out = temporary("vector result", g.vector.shape[1:], dtype)
        compute(*[fetch(g) for fetch in fetches], out=out)
        write_vector64(g, row, out)

    return execute


def _narrow(compute: Callable[..., Any], fetches: list[Fetch], kind: Kind, row: int, high: bool, keep: bool) -> Execute:
    dtype = kind.dtype

    def execute(g: Waves) -> None:
        out = temporary("vector result", (g.count, 64), dtype)
        compute(*[fetch(g) for fetch in fetches], out=out)
        wide = out.view(np.uint16).astype(np.uint32)
        if high:
            wide <<= 16
        if keep:
            wide |= g.vector[row] & np.uint32(0xFFFF if high else 0xFFFF_0000)
        write_vector(g, row, wide)

    return execute
