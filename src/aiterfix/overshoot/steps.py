"""The kept instructions of a kernel on one element a program: numbers as the machine has them, and
:mod:`~aiterfix.overshoot.lanes` for what differs between lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from aiterfix.gfx950.instruction import EXEC, VCC, VGPR, Encoding
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE, Binder, Fetch, Kind
from aiterfix.gfx950.waves import Waves
from aiterfix.overshoot.lanes import (
    ARITHMETIC,
    COMPARISONS,
    Choice,
    Lanes,
    Mask,
    NotInForm,
    Numbers,
    Spread,
    Table,
    Value,
    compare,
    furthest,
)

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.overshoot.slicing import SlicedInstruction

Step: TypeAlias = "Callable[[Waves, Together], None]"
Report: TypeAlias = "Callable[[Waves, SlicedInstruction, Numbers, Numbers], None]"
"""Takes programs, the store, and for each program the furthest byte offset (-1: none) and where the buffer begins."""

_SCALAR = frozenset({Encoding.SOP1, Encoding.SOP2, Encoding.SOPC, Encoding.SOPK, Encoding.SMEM, Encoding.SOPP})
_VECTOR = frozenset({Encoding.VOP1, Encoding.VOP2, Encoding.VOPC, Encoding.VOP3})
_EACH_LANE_ALONE = (
    ARITHMETIC.keys()
    | COMPARISONS
    | {
        *("v_cvt_f32_u32", "v_cvt_u32_f32", "v_cvt_f32_i32", "v_cvt_i32_f32", "v_rcp_iflag_f32", "v_rcp_f32"),
        *("v_mul_f32", "v_fma_f32", "v_trunc_f32", "v_bfrev_b32", "v_not_b32", "v_xor_b32"),
        *("v_mul_lo_u32", "v_mul_hi_u32", "v_mul_u32_u24", "v_mad_u32_u24", "v_ashrrev_i32", "v_bfe_u32", "v_bfe_i32"),
        *("v_min_i32", "v_max_i32", "v_min_u32", "v_max_u32", "v_readfirstlane_b32"),
    }
)
"""Vector instructions that give every lane the same where their operands are the same in every lane."""
_FIELDS = {
    Encoding.VOP1: ("src0",),
    Encoding.VOP2: ("src0", "vsrc1"),
    Encoding.VOPC: ("src0", "vsrc1"),
    Encoding.VOP3: ("src0", "src1", "src2"),
}
_MODIFIERS = ("neg", "abs", "omod", "clmp", "opsel")
_STRIDE_AND_SWIZZLE = np.uint32(0xFFFF_0000)
_ADD_THREAD_ID_AND_TYPE = np.uint32(0xC080_0000)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)


class Together:
    """What goes with a group of programs of which one element stands for each.

    Attributes:
        lanes: what differs between lanes.
        lost: registers whose content is not known any more: nothing may read them before they are written.
    """

    __slots__ = ("lanes", "lost")

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.lost: set[int] = set()


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
    name = instruction.mnemonic
    rows = tuple(number - VECTOR_BASE for number in item.reads if number >= VECTOR_BASE)
    pairs = tuple({number & ~1 for number in item.reads if 0 <= number < VECTOR_BASE})
    vector = instruction.encoding in _VECTOR
    plain = instruction.encoding in _SCALAR or (vector and name in _EACH_LANE_ALONE)
    modified = any(instruction.get(field) for field in _MODIFIERS)
    wide = _wide(item, code) if vector and name in _WIDE and not modified else None
    always = name == "v_cndmask_b32"
    special = None if modified else _special(item, code)

    def step(g: Waves, together: Together) -> None:
        lanes = together.lanes
        if together.lost and not item.reads.isdisjoint(together.lost):
            raise NotInForm
        if vector and (g.lanes is not None or EXEC in lanes.masks):
            raise NotInForm
        if (
            always
            or (lanes.vectors and any(row in lanes.vectors for row in rows))
            or (lanes.masks and any(pair in lanes.masks for pair in pairs))
        ):
            if special is None:
                raise NotInForm
            result = special(g, lanes)
            forget(together, item.writes)
            result(g, together)
        else:
            if plain:
                item.execute(g)
            elif wide is not None:
                wide(g)
            else:
                raise NotInForm
            forget(together, item.writes)

    return step


def forget(together: Together, writes: frozenset[int]) -> None:
    """Registers are overwritten by numbers of the program."""
    lanes = together.lanes
    for number in writes:
        together.lost.discard(number)
        if number >= VECTOR_BASE:
            lanes.vectors.pop(number - VECTOR_BASE, None)
        elif lanes.masks.pop(number & ~1, None) is not None and number ^ 1 not in writes:
            together.lost.add(number ^ 1)


_Write: TypeAlias = "Callable[[Waves, Together], None]"
_Special: TypeAlias = "Callable[[Waves, Lanes], _Write]"


def _special(item: SlicedInstruction, code: CodeObject) -> _Special | None:
    """How to do an instruction on what differs between lanes; it reads at once, and writes when it is told to."""
    instruction = item.instruction
    name = instruction.mnemonic
    if name == "s_and_b64":
        return _and_masks(item, code)
    if name == "s_mov_b64":
        return _move_mask(item)
    if name == "s_and_saveexec_b64":
        return _narrow_lanes(item)
    if name == "s_or_b64":
        return _restore_lanes(item)
    fields = _FIELDS.get(instruction.encoding, ())
    if name in ARITHMETIC:
        compute = ARITHMETIC[name]
        count = 1 if name == "v_mov_b32" else 3 if name in _THREE else 2
        sources = [_source(instruction[field], code, item) for field in fields[:count]]
        row = instruction["vdst"] - VGPR
        return lambda g, lanes: _vector_write(row, compute(*[source(g, lanes) for source in sources]))
    if name in COMPARISONS:
        sources = [_source(instruction[field], code, item) for field in fields[:2]]
        pair = instruction["vdst"] if instruction.encoding is Encoding.VOP3 else VCC
        if pair == EXEC:
            return None
        return lambda g, lanes: _mask_write(pair, compare(name, *[source(g, lanes) for source in sources]))
    if name == "v_cndmask_b32":
        return _select(item, code, fields)
    return None


_THREE = frozenset({"v_add3_u32", "v_or3_b32", "v_and_or_b32", "v_lshl_or_b32", "v_lshl_add_u32", "v_add_lshl_u32"})


def _source(code: int, owner: CodeObject, item: SlicedInstruction) -> Callable[[Waves, Lanes], Spread]:
    if code < VGPR:
        fetch: Fetch = Binder(item.instruction, owner).scalar_source(code, Kind.U32)
        pair = code & ~1

        def scalar(g: Waves, lanes: Lanes) -> Spread:
            if pair in lanes.masks:
                raise NotInForm
            return Spread(np.array(fetch(g), np.uint32), None)

        return scalar
    row = Binder(item.instruction, owner).row(code)

    def vector(g: Waves, lanes: Lanes) -> Spread:
        value = lanes.vectors.get(row)
        if value is None:
            return Spread(g.vector[row][:, 0].copy(), None)
        if isinstance(value, Choice):
            raise NotInForm
        return value

    return vector


def _vector_write(row: int, value: Value) -> _Write:
    def write(g: Waves, together: Together) -> None:
        if isinstance(value, Spread) and value.table is None:
            g.vector[row][:, 0] = value.base
        else:
            together.lanes.vectors[row] = value

    return write


def _mask_write(pair: int, mask: Mask, lost: int | None = None) -> _Write:
    def write(g: Waves, together: Together) -> None:
        together.lanes.masks[pair] = mask
        if lost is not None:
            together.lost.add(lost)

    return write


def _mask_of(g: Waves, lanes: Lanes, pair: int) -> Mask:
    """A mask, made of a number of the program where it is all on or all off in each."""
    found = lanes.masks.get(pair)
    if found is None:
        bits = g.pairs64[pair >> 1]
        if (bits == _ALL).all():
            return Mask(None, ())
        off = bits == 0
        if not (off | (bits == _ALL)).all():
            raise NotInForm
        return Mask(None, ((Table.of(np.zeros(lanes.count, np.uint32)), off.astype(np.int64)),))
    return found


def _and_masks(item: SlicedInstruction, code: CodeObject) -> _Special | None:
    instruction = item.instruction
    first, second, target = instruction["ssrc0"], instruction["ssrc1"], instruction["sdst"]
    if max(first, second) >= VECTOR_BASE or target == EXEC:
        return None
    return lambda g, lanes: _mask_write(
        target, _mask_of(g, lanes, first).both(_mask_of(g, lanes, second)), SCC_REGISTER
    )


def _move_mask(item: SlicedInstruction) -> _Special | None:
    source, target = item.instruction["ssrc0"], item.instruction["sdst"]
    if source >= VECTOR_BASE or target == EXEC:
        return None
    return lambda g, lanes: _mask_write(target, _mask_of(g, lanes, source))


def _narrow_lanes(item: SlicedInstruction) -> _Special | None:
    """Lanes are switched off by a mask. EXEC itself keeps all ones; that it is meant otherwise stands in the masks."""
    source, target = item.instruction["ssrc0"], item.instruction["sdst"]
    if source >= VECTOR_BASE or EXEC in (source, target):
        return None

    def narrow(g: Waves, lanes: Lanes) -> _Write:
        mask = _mask_of(g, lanes, source)
        if g.lanes is not None or EXEC in lanes.masks:
            raise NotInForm

        def write(g: Waves, together: Together) -> None:
            g.pairs64[target >> 1] = _ALL
            together.lanes.masks[EXEC] = mask
            together.lost.add(SCC_REGISTER)

        return write

    return narrow


def _restore_lanes(item: SlicedInstruction) -> _Special | None:
    """All lanes are switched on again."""
    instruction = item.instruction
    saved = {instruction["ssrc0"], instruction["ssrc1"]} - {EXEC}
    if instruction["sdst"] != EXEC or len(saved) != 1 or max(saved) >= VECTOR_BASE:
        return None
    pair = saved.pop()

    def restore(g: Waves, lanes: Lanes) -> _Write:
        if pair in lanes.masks or g.lanes is not None or (g.pairs64[pair >> 1] != _ALL).any():
            raise NotInForm

        def write(g: Waves, together: Together) -> None:
            together.lost.add(SCC_REGISTER)

        return write

    return restore


def _select(item: SlicedInstruction, code: CodeObject, fields: tuple[str, ...]) -> _Special | None:
    instruction = item.instruction
    off, on = (_source(instruction[field], code, item) for field in fields[:2])
    pair = instruction["src2"] if instruction.encoding is Encoding.VOP3 else VCC
    row = instruction["vdst"] - VGPR
    if pair >= VECTOR_BASE:
        return None

    def select(g: Waves, lanes: Lanes) -> _Write:
        mask = _mask_of(g, lanes, pair)
        value = on(g, lanes)
        return _vector_write(row, value if mask == Mask(None, ()) else Choice(mask, value, off(g, lanes)))

    return select


_SIXTY_THREE = np.uint64(63)
_SEVEN = np.uint64(7)
_WIDE: dict[str, Callable[..., Numbers]] = {
    "v_mov_b64": lambda a: a,
    "v_lshlrev_b64": lambda count, a: a << (count & _SIXTY_THREE),
    "v_lshl_add_u64": lambda a, count, b: (a << (count & _SEVEN)) + b,
    "v_cmp_eq_u64": lambda a, b: np.where(a == b, _ALL, np.uint64(0)),
    "v_cmp_ne_u64": lambda a, b: np.where(a != b, _ALL, np.uint64(0)),
}
"""Instructions of 64-bit operands, on numbers of the program."""
_COUNTS = {"v_lshlrev_b64": 0, "v_lshl_add_u64": 1}
"""Which operand has 32 bits."""


def _wide(item: SlicedInstruction, code: CodeObject) -> Callable[[Waves], None]:
    instruction = item.instruction
    name = instruction.mnemonic
    compute = _WIDE[name]
    fields = _FIELDS[instruction.encoding]
    size = compute.__code__.co_argcount
    sources = [
        _wide_source(instruction[field], code, item, narrow=_COUNTS.get(name) == place)
        for place, field in enumerate(fields[:size])
    ]
    compares = name.startswith("v_cmp")
    target = instruction["vdst"] if instruction.encoding is Encoding.VOP3 or not compares else VCC

    def execute(g: Waves) -> None:
        result = np.broadcast_to(compute(*[source(g) for source in sources]), (g.count,))
        if compares:
            g.pairs64[target >> 1] = result
            return
        row = target - VGPR
        g.vector[row][:, 0] = result & np.uint64(0xFFFF_FFFF)
        g.vector[row + 1][:, 0] = result >> np.uint64(32)

    return execute


def _wide_source(code: int, owner: CodeObject, item: SlicedInstruction, *, narrow: bool) -> Callable[[Waves], Numbers]:
    binder = Binder(item.instruction, owner)
    if code < VGPR:
        fetch = binder.scalar_source(code, Kind.U32 if narrow else Kind.U64)
        return lambda g: fetch(g).astype(np.uint64)
    row = binder.row(code)
    if narrow:
        return lambda g: g.vector[row][:, 0].astype(np.uint64)
    return lambda g: g.vector[row][:, 0].astype(np.uint64) | g.vector[row + 1][:, 0].astype(np.uint64) << np.uint64(32)


def _store(item: SlicedInstruction, code: CodeObject, lanes: int, report: Report) -> Step:
    """A store of dwords through a raw buffer descriptor, as :mod:`aiterfix.gfx950.mubuf` has it."""
    instruction = item.instruction
    if instruction.mnemonic != "buffer_store_dword" or not instruction["offen"] or instruction["idxen"]:

        def refuse(g: Waves, together: Together) -> None:
            raise NotInForm

        return refuse
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
        if any(number & ~1 in held.masks for number in item.steers if 0 <= number < VECTOR_BASE):
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
