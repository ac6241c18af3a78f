"""Sub-dword addressing: vector instructions that pick bytes or words of their operands (ISA manual, section 13.3.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.instruction import VGPR, Encoding, Instruction
from aiterfix.gfx950.operands import Array, Binder, Execute, Fetch, Kind, write_vector
from aiterfix.gfx950.vector_operation import VectorOperation, modified

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

_INTEGERS_END = 209
"""The first operand code behind those of integers."""
_DWORD = 6
_PLACES = {0: (0, 8), 1: (8, 8), 2: (16, 8), 3: (24, 8), 4: (0, 16), 5: (16, 16), _DWORD: (0, 32)}
"""Selector to (first bit, width): BYTE_0 to BYTE_3, WORD_0, WORD_1, DWORD."""
_PAD, _SIGN_EXTEND, _PRESERVE = 0, 1, 2


def sdwa_sources(binder: Binder, kinds: tuple[Kind, ...], signed_bits: bool) -> list[Fetch]:
    """The selected, extended and modified sources."""
    instruction = binder.instruction
    fields = ("vsrc0",) if instruction.base is Encoding.VOP1 else ("vsrc0", "vsrc1")
    fetches = []
    for number, (field, kind) in enumerate(zip(fields, kinds, strict=False)):
        if kind.bits == 64:
            binder.refuse("a 64-bit operand in SDWA form")
        code, select, sign = (instruction[name] for name in (field, f"src{number}_sel", f"src{number}_sext"))
        if _INTEGERS_END <= code < VGPR and (select != _DWORD or kind.bits == 16):
            binder.refuse("a part of a constant that is no integer")
        picked = _picked(binder, binder.vector_source(code, Kind.U32), select, bool(sign), kind)
        fetch = binder.flushed(picked, kind)
        negative, absolute = instruction[f"src{number}_neg"], instruction[f"src{number}_abs"]
        if signed_bits and (negative or absolute) and select != _DWORD:
            binder.refuse("a sign modifier on a part of a register that is no number")
        fetches.append(modified(binder, fetch, kind, bool(absolute), bool(negative), signed_bits))
    return fetches


def _picked(binder: Binder, fetch: Fetch, select: int, sign: bool, kind: Kind) -> Fetch:
    if select not in _PLACES:
        binder.refuse(f"source selector {select}")
    first, width = _PLACES[select]
    up = np.uint32(32 - first - width)
    down = np.uint32(32 - width)
    dtype = kind.dtype

    def pick(g: Waves) -> Array:
        value = fetch(g)
        if width != 32:
            value = value << up
            value = ((value.view(np.int32) >> np.int32(down)).view(np.uint32)) if sign else value >> down
        if kind.bits == 16:
            return value.astype(np.uint16).view(dtype)
        return value.view(dtype)

    return pick


def places_result(instruction: Instruction) -> bool:
    """Does an instruction of this form write to a part of its destination?"""
    return instruction["dst_sel"] != _DWORD or instruction["dst_unused"] > _PRESERVE


def sdwa_result(
    binder: Binder, compute: Callable[..., Any], fetches: list[Fetch], op: VectorOperation, row: int
) -> Execute:
    """The function that computes the result and places it in a part of the destination."""
    instruction = binder.instruction
    select, unused = instruction["dst_sel"], instruction["dst_unused"]
    if op.result.bits == 64 or select not in _PLACES or unused > _PRESERVE:
        binder.refuse(f"destination selector {select}, unused bits {unused}, result of {op.result.bits} bits")
    first, width = _PLACES[select]
    field = np.uint32(((1 << width) - 1) << first)
    dtype = op.result.dtype
    if unused == _PRESERVE:
        binder.note_vector(row, 1, binder.reads)

    def execute(g: Waves) -> None:
        out = np.empty((g.count, 64), dtype)
        compute(*[fetch(g) for fetch in fetches], out=out)
        value = out.view(np.uint16).astype(np.uint32) if op.result.bits == 16 else out.view(np.uint32)
        placed = value << np.uint32(first) & field
        if unused == _PRESERVE:
            placed |= g.vector[row] & ~field
        elif unused == _SIGN_EXTEND:
            up = np.int32(32 - first - width)
            placed = ((placed << up.view(np.uint32)).view(np.int32) >> up).view(np.uint32)
        write_vector(g, row, placed)

    return execute
