"""The kept instructions of a kernel on one element a program: numbers as the machine has them, and
:mod:`~aiterfix.overshoot.lane_values` for what differs between lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aiterfix.gfx950 import vop, vopc
from aiterfix.gfx950.instruction import EXEC, EXECZ, SCC, VCC, VCCZ, VGPR, Encoding
from aiterfix.gfx950.mubuf import is_raw
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE, Binder, Kind
from aiterfix.gfx950.transfers import STORES
from aiterfix.gfx950.vector import SOURCE_FIELDS
from aiterfix.gfx950.waves import ALL_ON
from aiterfix.overshoot.lane_values import (
    ARITHMETIC,
    COMPARISONS,
    Choice,
    Form,
    Half,
    Lost,
    Mask,
    NotInForm,
    Spread,
    Table,
    compare,
    constant_of,
    settled,
    shared,
)
from aiterfix.overshoot.slicing import Moves
from aiterfix.overshoot.stores import Buffer, furthest

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.overshoot.elements import Elements
    from aiterfix.overshoot.slicing import Kept

Step: TypeAlias = "Callable[[Elements], None]"
_Result: TypeAlias = "Callable[[Elements], Form | None]"
"""None where what is to be written is as the machine has it already."""

_VECTOR = frozenset({Encoding.VOP1, Encoding.VOP2, Encoding.VOPC, Encoding.VOP3})
_SCALAR = frozenset({Encoding.SOP1, Encoding.SOP2, Encoding.SOPC, Encoding.SOPK, Encoding.SMEM, Encoding.SOPP})
_FIELDS = {**SOURCE_FIELDS, Encoding.SOP1: ("ssrc0",), Encoding.SOP2: ("ssrc0", "ssrc1")}
_NO_REGISTER = -2
_SELECT, _AND, _NARROW, _RESTORE = "v_cndmask_b32", "s_and_b64", "s_and_saveexec_b64", "s_or_b64"
_EACH_LANE_ALONE = (
    {name for name, operation in (vop.INTEGER | vop.FLOAT).items() if operation.result.bits != 16}
    | vopc.COMPARISONS.keys()
    | {"v_bitop3_b32", "v_readfirstlane_b32"}
) - {"v_mbcnt_lo_u32_b32", "v_mbcnt_hi_u32_b32"}
"""Vector instructions that give every lane the same where their operands are the same in every lane."""
_MODIFIERS = ("opsel", "clmp", "neg", "abs", "omod")


def step_of(item: Kept, code: CodeObject) -> Step:
    """An instruction's effect on programs of which one element stands for each.

    The step raises :class:`NotInForm`, with registers in between, where the programs have to be run lane by lane.
    """
    instruction, bound, name = item.instruction, item.bound, item.instruction.mnemonic
    if item.is_store:
        return _store(item, code)
    if isinstance(bound, Moves):
        return _move(bound)
    vector = instruction.encoding in _VECTOR
    plain = name in _EACH_LANE_ALONE if vector else instruction.encoding in _SCALAR
    in_form = None if any(map(instruction.get, _MODIFIERS)) else _in_form(item, code)
    target = EXEC if name == _NARROW else min(bound.writes - {SCC_REGISTER}, default=SCC_REGISTER)

    def step(g: Elements) -> None:
        forms = g.forms
        if vector and g.some_lanes_off:
            raise NotInForm
        if name == _SELECT or not bound.reads.isdisjoint(forms):
            if in_form is None:
                raise NotInForm
            value = in_form(g)
            g.overwritten(bound.writes)
            if SCC_REGISTER in bound.writes:
                forms[SCC_REGISTER] = Lost()
            if value is not None:
                _write(g, target, value)
        elif plain:
            bound.execute(g)
            g.overwritten(bound.writes)
        else:
            raise NotInForm

    return step


def _write(g: Elements, target: int, value: Form) -> None:
    if isinstance(value, Spread):
        value = settled(value)
        if value.table is None:
            (g.vector[target - VECTOR_BASE][:, 0] if target >= VECTOR_BASE else g.scalar[target])[...] = value.base
            return
    g.forms[target] = value
    if isinstance(value, Mask):
        g.forms[target + 1] = Half()


def _move(bound: Moves) -> Step:
    def step(g: Elements) -> None:
        if bound.masked and g.some_lanes_off:
            raise NotInForm
        moved = {target: g.forms[source] for source, target in bound.moves if source in g.forms}
        if not all(isinstance(form, (Spread, Choice)) for form in moved.values()):
            raise NotInForm  # half of a mask is none
        bound.execute(g)
        g.overwritten(bound.writes)
        g.forms.update(moved)

    return step


# Where operands differ between lanes


def _source(code: int, item: Kept, owner: CodeObject) -> Callable[[Elements], Spread]:
    """How to get an operand of 32 bits; NotInForm where it is no number of the program plus one of the lane."""
    binder = Binder(item.instruction, owner)
    fetch: Callable[[Any], Any]
    if code >= VGPR:
        row = binder.row(code)
        number = VECTOR_BASE + row
        fetch = lambda g: g.vector[row][:, 0].copy()  # noqa: E731 - one of two
    else:
        # Codes of constants are numbers of vector registers.
        number = code if code < VECTOR_BASE else _NO_REGISTER
        fetch = binder.scalar_source(code, Kind.U32)

    def source(g: Elements) -> Spread:
        value = g.forms.get(number)
        if isinstance(value, Spread):
            return value
        if value is not None or code in (VCCZ, EXECZ, SCC):
            raise NotInForm
        return Spread(np.array(fetch(g), np.uint32), None)

    return source


def _in_form(item: Kept, code: CodeObject) -> _Result | None:
    """How to do an instruction on what differs between lanes; None where that is not known."""
    instruction = item.instruction
    name = instruction.mnemonic
    fields = _FIELDS.get(instruction.encoding, ())
    if name == _NARROW:
        return _narrow(instruction["ssrc0"], instruction["sdst"])
    if name == _RESTORE and instruction["sdst"] == EXEC:
        return _restore({instruction["ssrc0"], instruction["ssrc1"]} - {EXEC})
    if {EXEC, EXEC + 1} & item.bound.writes:
        return None
    if name == _AND:
        first_mask, second_mask = instruction["ssrc0"], instruction["ssrc1"]
        if max(first_mask, second_mask) >= VECTOR_BASE:
            return None
        return lambda g: _mask_of(g, first_mask).both(_mask_of(g, second_mask))
    if name not in ARITHMETIC and name not in COMPARISONS and name != _SELECT:
        return None
    if not fields and instruction.encoding is not Encoding.SOPK:
        return None  # parts of registers (SDWA), or other lanes' (DPP)
    compute: Any = ARITHMETIC.get(name)
    count = len(vop.INTEGER[name].sources) if name in vop.INTEGER else 2
    sources = [_source(instruction[field], item, code) for field in fields[:count]]
    if instruction.encoding is Encoding.SOPK:
        bits = instruction["simm16"]
        constant = constant_of(bits - (bits >> 15 << 16))
        sources = [_source(instruction["sdst"], item, code), lambda _: constant]
    if name in COMPARISONS:
        return lambda g: compare(name, *[source(g) for source in sources])
    if name == _SELECT:
        return _select(sources, instruction["src2"] if instruction.encoding is Encoding.VOP3 else VCC)
    # Vector instructions come here where all lanes are on only, so the first of a wave is its lane 0.
    return lambda g: compute(*[source(g) for source in sources])


def _narrow(source: int, saved: int) -> _Result | None:
    """Lanes are switched off by a mask. EXEC itself keeps all ones; that it is meant otherwise stands in the forms."""
    if source >= VECTOR_BASE or EXEC in (source, saved):
        return None

    def narrow(g: Elements) -> Form:
        mask = _mask_of(g, source)
        if g.some_lanes_off:
            raise NotInForm
        g.pairs64[saved >> 1] = ALL_ON
        return mask

    return narrow


def _restore(saved: set[int]) -> _Result | None:
    """All lanes are switched on again."""
    if len(saved) != 1 or max(saved) >= VECTOR_BASE:
        return None
    (pair,) = saved

    def restore(g: Elements) -> None:
        off = g.lanes is not None or (g.pairs64[pair >> 1] != ALL_ON).any()
        if off or not {pair, pair + 1}.isdisjoint(g.forms):
            raise NotInForm

    return restore


def _select(sources: list[Callable[[Elements], Spread]], pair: int) -> _Result | None:
    if pair >= VECTOR_BASE:
        return None
    off, on = sources

    def select(g: Elements) -> Form:
        mask, value = _mask_of(g, pair), on(g)
        return value if mask.pure is None and not mask.conditions else Choice(mask, value, off(g))

    return select


def _mask_of(g: Elements, pair: int) -> Mask:
    """A mask, made of a number of the program where it is all on or all off in each."""
    found = g.forms.get(pair)
    if isinstance(found, Mask):
        return found
    if not {pair, pair + 1}.isdisjoint(g.forms):
        raise NotInForm
    bits = g.pairs64[pair >> 1]
    off = bits == 0
    if not (off | (bits == ALL_ON)).all():
        raise NotInForm
    if not off.any():
        return Mask(None, ())
    return Mask(None, ((Table.of(np.zeros(g.batch.lanes, np.uint32)), off.astype(np.int64)),))


def _store(item: Kept, code: CodeObject) -> Step:
    """A store of dwords through a raw buffer descriptor, as :mod:`aiterfix.gfx950.mubuf` has it."""
    instruction = item.instruction
    suffix = instruction.mnemonic.removeprefix("buffer_store_")
    binder = Binder(instruction, code)
    raw = suffix in STORES and suffix.startswith("dword") and instruction["offen"] and not instruction["idxen"]
    if not raw:
        return _refuse
    words = STORES[suffix][0] // 4
    row = binder.row(instruction["vaddr"])
    moved_by = binder.scalar_source(instruction["soffset"], Kind.U32)
    immediate = np.uint32(instruction["offset"])
    place = instruction["srsrc"], instruction["soffset"]
    scalars = frozenset(number for number in item.bound.steers if 0 <= number < VECTOR_BASE)

    def moved(value: Form) -> Spread:
        if not isinstance(value, Spread):
            raise NotInForm
        return Spread(value.base + immediate, value.table)

    def buffer(g: Elements) -> Buffer:
        held = [shared(g.scalar[instruction["srsrc"] + k]) for k in range(4)]
        if not scalars.isdisjoint(g.forms) or not is_raw(held):
            raise NotInForm
        shift = shared(moved_by(g)).astype(np.int64)
        base = held[0].astype(np.int64) | held[1].astype(np.int64) << 32
        return Buffer(base + shift, held[2].astype(np.int64) - shift, scalars)

    def step(g: Elements) -> None:
        value = g.forms.get(VECTOR_BASE + row) or Spread(g.vector[row][:, 0], None)
        if g.some_lanes_off:
            raise NotInForm
        # Stores of one buffer follow one another.
        start, limit, _ = g.buffers.get(place) or g.buffers.setdefault(place, buffer(g))
        value = Choice(value.mask, moved(value.on), moved(value.off)) if isinstance(value, Choice) else moved(value)
        reach = furthest(value, limit, g.count, g.batch.lanes)
        for k in range(1, words):
            # Each dword of a lane is in range, or is not, by itself.
            further = furthest(value, limit - 4 * k, g.count, g.batch.lanes)
            reach = np.maximum(reach, np.where(further >= 0, further + 4 * k, -1))
        ends = g.batch.recorder.ends_of(instruction, start, reach)
        np.maximum(g.ends, ends, out=g.ends)

    return step


def _refuse(g: Elements) -> None:
    raise NotInForm
