"""The kept instructions of a kernel on one element a program: the emulator executes them on the programs' numbers, and
once more on all lanes of one program, which shows what differs between them (:mod:`~aiterfix.overshoot.lanes`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aiterfix.gfx950 import vop, vopc
from aiterfix.gfx950.instruction import EXEC, EXECZ, SCC, VCC, VCCZ, Encoding, Instruction
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE, Binder, Kind
from aiterfix.gfx950.vector import SOURCE_FIELDS
from aiterfix.gfx950.waves import ALL_ON, LANES, bools_from_bits
from aiterfix.overshoot.lanes import (
    EVERY,
    Lost,
    Mask,
    NotFollowed,
    Numbers,
    Offset,
    Table,
    Varying,
    alike,
    at_least,
    refused,
)
from aiterfix.overshoot.moves import Moves
from aiterfix.overshoot.stores import store_of

if TYPE_CHECKING:
    from aiterfix.errors import NotUnderstoodError
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.overshoot.programs import Programs
    from aiterfix.overshoot.slicing import Kept

Step: TypeAlias = "Callable[[Any], None]"
_Rule: TypeAlias = "Callable[[Programs], dict[int, Varying]]"
"""Executes an instruction; what lanes hold of its results besides the programs' numbers."""
_Value: TypeAlias = "tuple[Numbers, Table | None]"

_VECTOR = frozenset({Encoding.VOP1, Encoding.VOP2, Encoding.VOPC, Encoding.VOP3, Encoding.VOP3SD})
_SCALAR = frozenset({Encoding.SOP1, Encoding.SOP2, Encoding.SOPC, Encoding.SOPK})
_SELECT, _AND, _FIRST, _CHOOSE = "v_cndmask_b32", "s_and_b64", "v_readfirstlane_b32", "s_cselect_b64"
_CONDITIONS = frozenset({VCCZ, EXECZ, SCC})
_NO_SCC: dict[int, Varying] = {SCC_REGISTER: Lost()}
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
COMPARED = {
    f"v_cmp_{relation}_{kind.name.lower()}": (relation, mirrored, kind)
    for relation, mirrored in _MIRRORED.items()
    for kind in (Kind.I32, Kind.U32)
}
"""Comparisons that leave a condition: the relation, the same with its sides changed, and what they compare."""
_EACH_LANE_ALONE = (
    {name for name, operation in (vop.INTEGER | vop.FLOAT).items() if operation.result.bits != 16}
    | vopc.COMPARISONS.keys()
    | vopc.MULTIPLY_ADDS.keys()
    | {"v_bitop3_b32", _FIRST}
) - {"v_mbcnt_lo_u32_b32", "v_mbcnt_hi_u32_b32"}
"""Vector instructions that give every lane the same where their operands are the same in every lane."""
LINEAR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("v_mov_b32", "v_not_b32", _FIRST, "v_add_u32", "v_sub_u32", "v_subrev_u32", "v_add3_u32"), ()),
    **dict.fromkeys(("s_mov_b32", "s_not_b32", "s_add_u32", "s_add_i32", "s_sub_u32", "s_sub_i32"), ()),
    **dict.fromkeys(("s_addk_i32", "s_mulk_i32", *(f"s_lshl{count}_add_u32" for count in (1, 2, 3, 4))), ()),
    "v_lshlrev_b32": ("src0",),
    "v_lshl_add_u32": ("src1",),
    "v_add_lshl_u32": ("src2",),
    "v_mul_lo_u32": ("src0", "src1"),
    "v_mad_u64_u32": ("src0", "src1"),
    "s_lshl_b32": ("ssrc1",),
    "s_mul_i32": ("ssrc0", "ssrc1"),
}
"""What adds up multiples of its operands, in the first register that it writes: so a lane's number adds the same in all
programs. The fields of a count, or of factors, of which one must be the same in all lanes and programs."""
BITWISE = {
    **dict.fromkeys([f"{kind}_{name}_b32" for kind in "vs" for name in ("and", "or", "xor")], 2),
    **dict.fromkeys(("v_or3_b32", "v_and_or_b32", "v_lshl_or_b32", "v_bitop3_b32"), 3),
}
"""What takes each bit of its result from the same bit of its operands, of which there are so many; where the name says
so the first is shifted by the second before."""


def step_of(item: Kept, code: CodeObject) -> Step:
    """An instruction's effect on programs of which one element stands for each.

    Raises:
        NotUnderstoodError: it stores in a way that is not followed. The step: the lanes of the result are not known.
    """
    if item.is_store:
        step = store_of(item, code)
    else:
        step = _move(item.bound) if isinstance(item.bound, Moves) else _computed(item, code)

    def execute(g: Programs) -> None:
        try:
            step(g)
        except NotFollowed as error:
            raise _not_followed(item.instruction) from error

    return execute


def branch_of(last: Instruction) -> Step:
    """Sees that all lanes take the branch that ends a block, if one does, or that none does."""
    name = last.mnemonic.removeprefix("s_cbranch_")
    pair = {"scc": {SCC_REGISTER}, "vcc": {VCC, VCC + 1}}.get(name[:3], set())

    def see(g: Programs) -> None:
        if not pair.isdisjoint(g.varying):
            raise _not_followed(last)

    return see


def _not_followed(instruction: Instruction) -> NotUnderstoodError:
    return refused(
        f"where the kernel stores depends on what {instruction.describe()} makes of numbers that differ between lanes",
        why="such a number is followed as one of the program plus one of the lane",
    )


def _computed(item: Kept, code: CodeObject) -> Step:
    instruction, bound = item.instruction, item.bound
    vector = instruction.encoding in _VECTOR
    plain = instruction.mnemonic in _EACH_LANE_ALONE if vector else instruction.encoding in {*_SCALAR, Encoding.SMEM}
    rule = _rule_of(item, code)

    def step(g: Programs) -> None:
        differs = instruction.mnemonic == _SELECT or not bound.reads.isdisjoint(g.varying)
        if (vector and g.lanes is not None) or not (rule if differs else plain):
            raise NotFollowed
        found: dict[int, Varying] = {}
        if differs and rule:
            found = rule(g)
        else:
            bound.execute(g)
        g.overwritten(bound.writes)
        g.varying.update(found)

    return step


def _rule_of(item: Kept, code: CodeObject) -> _Rule | None:
    """How to do an instruction where lanes differ; None where that is not known."""
    instruction, name = item.instruction, item.instruction.mnemonic
    sources = {instruction.get(field) for field in ("src0", "src1", "src2", "ssrc0", "ssrc1")}
    if not item.bound.writes.isdisjoint({EXEC, EXEC + 1}) or not sources.isdisjoint(_CONDITIONS):
        return None
    if name == _AND:
        pairs = instruction["ssrc0"], instruction["ssrc1"]
        return lambda g: _pair(instruction["sdst"], *(_mask_of(g, pair) for pair in pairs)) | _NO_SCC
    if name == _SELECT:
        whole = instruction.encoding in _VECTOR and not instruction.get("neg") and not instruction.get("abs")
        return _select(item, code) if whole else None
    if name in COMPARED and instruction.encoding in _VECTOR:
        return _compare(item, code)
    # Floating point may depend on a mode besides.
    alone = instruction.encoding in _VECTOR and name in _EACH_LANE_ALONE - vop.FLOAT.keys()
    return _arithmetic(item, code) if alone or instruction.encoding in _SCALAR else None


def _operand(item: Kept, field: str, code: CodeObject, kind: Kind = Kind.U32) -> Callable[[Programs], _Value]:
    """How to get an operand of 32 bits: each program's number, and what is to be added in its lanes."""
    binder = Binder(item.instruction, code)
    fetch = binder.vector_source(item.instruction[field], kind)

    def operand(g: Programs) -> _Value:
        (varying,) = _offsets(g, binder.reads).values() or (None,)
        return fetch(g)[:, 0], varying and varying.table

    return operand


def _offsets(g: Programs, numbers: frozenset[int] | set[int]) -> dict[int, Offset]:
    """What lanes hold besides in those of some registers in which they differ."""
    found = {}
    for number in numbers & g.varying.keys():
        varying = g.varying[number]
        if not isinstance(varying, Offset) or varying.mask.conditions:
            raise NotFollowed
        found[number] = varying
    return found


def _arithmetic(item: Kept, code: CodeObject) -> _Rule:
    """Numbers of which those of the lanes are seen on one program, where all programs have the same."""
    bound, name = item.bound, item.instruction.mnemonic
    fields = None if item.instruction.get("clmp") else LINEAR.get(name)
    factors = [_operand(item, field, code) for field in fields or ()]
    sources = SOURCE_FIELDS.get(item.instruction.encoding, ("ssrc0", "ssrc1"))[: BITWISE.get(name, 0)]
    bits = [_operand(item, field, code) for field in sources]
    masks = (item.instruction.encoding in _VECTOR and name != _FIRST) or name == _CHOOSE
    first = min(bound.writes - {SCC_REGISTER} - ({*range(VECTOR_BASE)} if masks else set()), default=None)

    def rule(g: Programs) -> dict[int, Varying]:
        offsets = _offsets(g, bound.reads)
        linear = fields == () or any(_same(factor(g)) for factor in factors)
        exact = not linear and all(alike(g.number(number)) for number in bound.reads)
        if not linear and not exact:
            _check_bits([source(g) for source in bits], shifted=name == "v_lshl_or_b32")
        sample = g.batch.sample
        for number in bound.reads:
            base = g.number(number)[0]
            sample.put(number, base + offsets[number].table.words if number in offsets else base)
        bound.execute(sample)
        bound.execute(g)
        found: dict[int, Varying] = {}
        if SCC_REGISTER in bound.writes:
            found |= _waves(g) if exact else _NO_SCC
        for number in bound.writes - {SCC_REGISTER}:
            if linear and number != first:
                found[number] = Lost()
            elif masks and number < VECTOR_BASE:
                lanes = bools_from_bits(sample.pairs64[number >> 1]).reshape(-1)
                found |= _pair(number & ~1, Mask.of(lanes))
            else:
                words, base = sample.get(number), g.number(number)
                if linear:
                    words = words - base[0]
                else:
                    differing = np.bitwise_or.reduce(words ^ base[0])
                    base &= ~differing
                    words = words & differing
                if alike(words):
                    base += words[0]
                else:
                    found[number] = Offset(Table.of(words))
        return found

    return rule


def _waves(g: Programs) -> dict[int, Varying]:
    """What waves hold in SCC, which is the same in all programs."""
    held = g.batch.sample.scc
    g.scc[...] = held.all()
    return {} if alike(held) else {SCC_REGISTER: Offset(Table.of(held.repeat(LANES)))}


def _same(value: _Value) -> bool:
    """Whether it is the same in all lanes and programs."""
    return value[1] is None and alike(value[0])


def _check_bits(sources: list[_Value], *, shifted: bool) -> None:
    """See that all programs have the same in every bit that lanes can bear on."""
    parts = [(base, np.uint32(0) if table is None else table.bits) for base, table in sources]
    if shifted:
        count = parts.pop(1)[0][0] & np.uint32(31)
        parts[0] = parts[0][0] << count, parts[0][1] << count
    bits = np.bitwise_or.reduce([own for _, own in parts]) if parts else 0
    if not bits or (shifted and not _same(sources[1])):
        raise NotFollowed
    if any((base & own).any() or not alike(base & bits) for base, own in parts):
        raise NotFollowed


def _compare(item: Kept, code: CodeObject) -> _Rule:
    """One side is the same in all lanes; the other must not wrap between its lanes."""
    relation, mirrored, kind = COMPARED[item.instruction.mnemonic]
    fields = SOURCE_FIELDS[item.instruction.encoding]
    first, second = (_operand(item, field, code, kind) for field in fields[:2])
    target = min(item.bound.writes)

    def rule(g: Programs) -> dict[int, Varying]:
        (a, of_a), (b, of_b) = first(g), second(g)
        if of_a is not None and of_b is None:
            return _pair(target, at_least(relation, of_a, a, b))
        if of_b is not None and of_a is None:
            return _pair(target, at_least(mirrored, of_b, b, a))
        raise NotFollowed

    return rule


def _select(item: Kept, code: CodeObject) -> _Rule:
    off, on = (_operand(item, field, code) for field in SOURCE_FIELDS[item.instruction.encoding][:2])
    pair = item.instruction["src2"] if item.instruction.encoding is Encoding.VOP3 else VCC
    (target,) = item.bound.writes

    def rule(g: Programs) -> dict[int, Varying]:
        mask, (value, table) = _mask_of(g, pair), on(g)
        offset = Offset(table or g.batch.no_difference)
        if mask != EVERY:
            elsewhere, differing = off(g)
            if differing is not None:
                raise NotFollowed
            offset = Offset(offset.table, mask, elsewhere.copy())
        g.number(target)[...] = value
        return {} if mask == EVERY and table is None else {target: offset}

    return rule


def _pair(target: int, *masks: Mask) -> dict[int, Varying]:
    """A pair of registers that holds lanes that are on in all of these."""
    return {target: Mask(tuple(one for mask in masks for one in mask.conditions)), target + 1: Lost()}


def _mask_of(g: Programs, pair: int) -> Mask:
    """A mask, made of a number of the program where it is all on or all off in each."""
    found = g.varying.get(pair)
    if isinstance(found, Mask):
        return found
    if pair >= VECTOR_BASE or not {pair, pair + 1}.isdisjoint(g.varying):
        raise NotFollowed
    bits = g.pairs64[pair >> 1]
    off = bits == 0
    if not (off | (bits == ALL_ON)).all():
        raise NotFollowed
    return Mask(((g.batch.no_difference, off.astype(np.int64)),)) if off.any() else EVERY


def _move(bound: Moves) -> Step:
    def step(g: Programs) -> None:
        if bound.masked and g.lanes is not None:
            raise NotFollowed
        moved = {target: g.varying[source] for source, target in bound.moves if source in g.varying}
        if not all(isinstance(varying, Offset) for varying in moved.values()):
            raise NotFollowed  # half of a mask is none
        bound.execute(g)
        g.overwritten(bound.writes)
        g.varying.update(moved)

    return step
