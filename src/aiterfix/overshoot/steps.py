"""The kept instructions of a kernel on one element a program: numbers as the machine has them, and
:mod:`~aiterfix.overshoot.lanes` for what differs between lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from aiterfix.gfx950.instruction import EXEC, VCC, VGPR, Encoding
from aiterfix.gfx950.operands import VECTOR_BASE, Binder, Kind
from aiterfix.gfx950.vop import truth_table_of
from aiterfix.overshoot import alone, masks, scalars, wide
from aiterfix.overshoot.lanes import (
    ARITHMETIC,
    COMPARISONS,
    Choice,
    NotInForm,
    Numbers,
    Spread,
    compare,
    truth_table,
)
from aiterfix.overshoot.reach import furthest
from aiterfix.overshoot.together import FIELDS, Special, Together, Write, forget, source_of, write_mask, write_vector

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.differing import Lanes
    from aiterfix.overshoot.slicing import SlicedInstruction

Step: TypeAlias = "Callable[[Waves, Together], None]"
Report: TypeAlias = "Callable[[Waves, SlicedInstruction, Numbers, Numbers], None]"
"""Takes programs, the store, and for each program the furthest byte offset (-1: none) and where the buffer begins."""

_SCALAR = frozenset({Encoding.SOP1, Encoding.SOP2, Encoding.SOPC, Encoding.SOPK, Encoding.SMEM, Encoding.SOPP})
_VECTOR = frozenset({Encoding.VOP1, Encoding.VOP2, Encoding.VOPC, Encoding.VOP3})
_BITWISE = "v_bitop3_b32"
_EACH_LANE_ALONE = (
    ARITHMETIC.keys()
    | COMPARISONS
    | {
        *("v_cvt_f32_u32", "v_cvt_u32_f32", "v_cvt_f32_i32", "v_cvt_i32_f32", "v_rcp_iflag_f32", "v_rcp_f32"),
        *("v_mul_f32", "v_fma_f32", "v_trunc_f32", "v_bfrev_b32", _BITWISE),
        *("v_mul_lo_u32", "v_mul_hi_u32", "v_mul_u32_u24", "v_mad_u32_u24", "v_ashrrev_i32", "v_bfe_u32", "v_bfe_i32"),
        *("v_min_i32", "v_max_i32", "v_min_u32", "v_max_u32", "v_readfirstlane_b32"),
    }
)
"""Vector instructions that give every lane the same where their operands are the same in every lane."""
_MODIFIERS = ("neg", "abs", "omod", "clmp", "opsel")
"""The first three hold the truth table of a bit operation."""
_STRIDE_AND_SWIZZLE = np.uint32(0xFFFF_0000)
_ADD_THREAD_ID_AND_TYPE = np.uint32(0xC080_0000)


def step_of(item: SlicedInstruction, code: CodeObject, lanes: int, report: Report) -> Step:
    """An instruction's effect on a group of programs.

    Args:
        item: the instruction; not one that loads kernel arguments.
        code: its kernel.
        lanes: lanes of a program.
        report: is told of stores.

    The step raises :class:`NotInForm`, with registers in between, where the programs have to be run lane by lane.
    """
    instruction = item.instruction
    if item.is_store:
        return _store(item, code, lanes, report)
    vector = instruction.encoding in _VECTOR
    if not vector and instruction.encoding not in _SCALAR:
        return _refuse
    name = instruction.mnemonic
    rows = tuple(number - VECTOR_BASE for number in item.reads if number >= VECTOR_BASE)
    registers = tuple(number for number in item.reads if 0 <= number < VECTOR_BASE)
    plain = not vector or name in _EACH_LANE_ALONE
    modified = any(instruction.get(field) for field in (_MODIFIERS[3:] if name == _BITWISE else _MODIFIERS))
    doubled = wide.bind(item, code) if name in wide.NAMES and not modified else None
    always = name == "v_cndmask_b32"
    special = None if modified else _special(item, code)
    last = alone.bind(item) if name in _EACH_LANE_ALONE or scalars.is_arithmetic(instruction) else None

    def step(g: Waves, together: Together) -> None:
        lanes = together.lanes
        if together.lost and not item.reads.isdisjoint(together.lost):
            raise NotInForm
        if vector and (g.lanes is not None or EXEC in lanes.masks):
            raise NotInForm
        if (
            always
            or (lanes.vectors and any(row in lanes.vectors for row in rows))
            or ((lanes.masks or lanes.scalars) and any(map(lanes.in_scalar, registers)))
        ):
            result = _result(g, lanes, special, last)
            forget(together, item.writes)
            result(g, together)
        else:
            if plain:
                item.execute(g)
            elif doubled is not None:
                doubled(g)
            else:
                raise NotInForm
            forget(together, item.writes)

    return step


def _refuse(g: Waves, together: Together) -> None:
    raise NotInForm


def _result(g: Waves, lanes: Lanes, special: Special | None, last: Special | None) -> Write:
    if special is not None:
        try:
            return special(g, lanes)
        except NotInForm:
            if last is None:
                raise
    if last is None:
        raise NotInForm
    return last(g, lanes)


def _special(item: SlicedInstruction, code: CodeObject) -> Special | None:
    """How to do an instruction on what differs between lanes; it reads at once, and writes when it is told to."""
    instruction = item.instruction
    name = instruction.mnemonic
    if name in masks.NAMES:
        return masks.bind(item, code)
    if name in scalars.NAMES:
        return scalars.bind(item, code)
    fields = FIELDS.get(instruction.encoding, ())
    if name in ARITHMETIC or name == _BITWISE:
        compute = truth_table(truth_table_of(instruction)) if name == _BITWISE else ARITHMETIC[name]
        count = 1 if name in _ONE else 3 if name in _THREE else 2
        sources = [source_of(instruction[field], code, item) for field in fields[:count]]
        row = instruction["vdst"] - VGPR
        return lambda g, lanes: write_vector(row, compute(*[source(g, lanes) for source in sources]))
    if name in COMPARISONS:
        sources = [source_of(instruction[field], code, item) for field in fields[:2]]
        pair = instruction["vdst"] if instruction.encoding is Encoding.VOP3 else VCC
        if pair == EXEC:
            return None
        return lambda g, lanes: write_mask(pair, compare(name, *[source(g, lanes) for source in sources]))
    return None


_ONE = frozenset({"v_mov_b32", "v_not_b32"})
_THREE = frozenset(
    {_BITWISE, "v_add3_u32", "v_or3_b32", "v_and_or_b32", "v_lshl_or_b32", "v_lshl_add_u32", "v_add_lshl_u32"}
)


def _store(item: SlicedInstruction, code: CodeObject, lanes: int, report: Report) -> Step:
    """A store of dwords through a raw buffer descriptor, as :mod:`aiterfix.gfx950.mubuf` has it."""
    instruction = item.instruction
    if instruction.mnemonic != "buffer_store_dword" or not instruction["offen"] or instruction["idxen"]:
        return _refuse
    binder = Binder(instruction, code)
    row = binder.row(instruction["vaddr"])
    moved_by = binder.scalar_source(instruction["soffset"], Kind.U32)
    immediate = np.uint32(instruction["offset"])
    descriptor = instruction["srsrc"]

    def moved(value: Spread) -> Spread:
        return Spread(value.base + immediate, value.table)

    def step(g: Waves, together: Together) -> None:
        held = together.lanes
        if g.lanes is not None or EXEC in held.masks or not item.steers.isdisjoint(together.lost):
            raise NotInForm
        if any(held.in_scalar(number) for number in item.steers if 0 <= number < VECTOR_BASE):
            raise NotInForm
        words = [g.scalar[descriptor + k] for k in range(4)]
        if (words[1] & _STRIDE_AND_SWIZZLE).any() or (words[3] & _ADD_THREAD_ID_AND_TYPE).any():
            raise NotInForm
        base = words[0].astype(np.int64) | words[1].astype(np.int64) << 32
        shift = moved_by(g).astype(np.int64)
        value = held.vectors.get(row)
        if value is None:
            value = Spread(g.vector[row][:, 0].copy(), None)
        value = moved(value) if isinstance(value, Spread) else Choice(value.mask, moved(value.on), moved(value.off))
        reach = furthest(value, words[2].astype(np.int64) - shift, g.count, lanes)
        report(g, item, reach, base + shift)

    return step
