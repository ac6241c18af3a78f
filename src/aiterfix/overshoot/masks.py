"""Lane masks: made, moved, taken for EXEC, and selected by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950.instruction import EXEC, VCC, VGPR, Encoding
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE
from aiterfix.gfx950.waves import ALL_ON
from aiterfix.overshoot.lanes import Choice, Mask, NotInForm, Table
from aiterfix.overshoot.together import FIELDS, Special, Together, Write, source_of, write_mask, write_vector

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves
    from aiterfix.overshoot.differing import Lanes
    from aiterfix.overshoot.slicing import SlicedInstruction


def bind(item: SlicedInstruction, code: CodeObject) -> Special | None:
    """An instruction of ``NAMES``."""
    return _BINDERS[item.instruction.mnemonic](item, code)


def _mask_of(g: Waves, lanes: Lanes, pair: int) -> Mask:
    """A mask, made of a number of the program where it is all on or all off in each."""
    found = lanes.masks.get(pair)
    if found is None:
        if lanes.in_pair(pair):
            raise NotInForm
        bits = g.pairs64[pair >> 1]
        if (bits == ALL_ON).all():
            return Mask(None, ())
        off = bits == 0
        if not (off | (bits == ALL_ON)).all():
            raise NotInForm
        return Mask(None, ((Table.of(np.zeros(lanes.count, np.uint32)), off.astype(np.int64)),))
    return found


def _and_masks(item: SlicedInstruction, code: CodeObject) -> Special | None:
    instruction = item.instruction
    first, second, target = instruction["ssrc0"], instruction["ssrc1"], instruction["sdst"]
    if max(first, second) >= VECTOR_BASE or target == EXEC:
        return None
    return lambda g, lanes: write_mask(target, _mask_of(g, lanes, first).both(_mask_of(g, lanes, second)), SCC_REGISTER)


def _move_mask(item: SlicedInstruction, code: CodeObject) -> Special | None:
    source, target = item.instruction["ssrc0"], item.instruction["sdst"]
    if source >= VECTOR_BASE or target == EXEC:
        return None
    return lambda g, lanes: write_mask(target, _mask_of(g, lanes, source))


def _narrow_lanes(item: SlicedInstruction, code: CodeObject) -> Special | None:
    """Lanes are switched off by a mask. EXEC itself keeps all ones; that it is meant otherwise stands in the masks."""
    source, target = item.instruction["ssrc0"], item.instruction["sdst"]
    if source >= VECTOR_BASE or EXEC in (source, target):
        return None

    def narrow(g: Waves, lanes: Lanes) -> Write:
        mask = _mask_of(g, lanes, source)
        if g.lanes is not None or EXEC in lanes.masks:
            raise NotInForm

        def write(g: Waves, together: Together) -> None:
            g.pairs64[target >> 1] = ALL_ON
            together.lanes.masks[EXEC] = mask
            together.lost.add(SCC_REGISTER)

        return write

    return narrow


def _restore_lanes(item: SlicedInstruction, code: CodeObject) -> Special | None:
    """All lanes are switched on again."""
    instruction = item.instruction
    saved = {instruction["ssrc0"], instruction["ssrc1"]} - {EXEC}
    if instruction["sdst"] != EXEC or len(saved) != 1 or max(saved) >= VECTOR_BASE:
        return None
    pair = saved.pop()

    def restore(g: Waves, lanes: Lanes) -> Write:
        if lanes.in_pair(pair) or g.lanes is not None or (g.pairs64[pair >> 1] != ALL_ON).any():
            raise NotInForm

        def write(g: Waves, together: Together) -> None:
            together.lost.add(SCC_REGISTER)

        return write

    return restore


def _select(item: SlicedInstruction, code: CodeObject) -> Special | None:
    instruction = item.instruction
    fields = FIELDS[instruction.encoding]
    off, on = (source_of(instruction[field], code, item) for field in fields[:2])
    pair = instruction["src2"] if instruction.encoding is Encoding.VOP3 else VCC
    row = instruction["vdst"] - VGPR
    if pair >= VECTOR_BASE:
        return None

    def select(g: Waves, lanes: Lanes) -> Write:
        mask = _mask_of(g, lanes, pair)
        value = on(g, lanes)
        return write_vector(row, value if mask == Mask(None, ()) else Choice(mask, value, off(g, lanes)))

    return select


_BINDERS = {
    "s_and_b64": _and_masks,
    "s_mov_b64": _move_mask,
    "s_and_saveexec_b64": _narrow_lanes,
    "s_or_b64": _restore_lanes,
    "v_cndmask_b32": _select,
}
NAMES = _BINDERS.keys()
