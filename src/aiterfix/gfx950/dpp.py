"""Data-parallel primitives: vector instructions whose first source comes from another lane (ISA manual, 13.3.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.instruction import Encoding
from aiterfix.gfx950.operands import Binder, Execute, Fetch, Kind, write_vector
from aiterfix.gfx950.vector_operation import VectorOperation, modified

if TYPE_CHECKING:
    from aiterfix.gfx950.waves import Waves

_LANE = np.arange(64)
_ROW, _IN_ROW = _LANE // 16, _LANE % 16


def source_lanes(control: int) -> Any:
    """The lane each lane reads for a DPP control word, -1 where there is none; None for an unknown control.

    Rows are 16 lanes. Wave-wide shifts and rotations exist on gfx9 as well.
    """
    if control <= 0xFF:
        return _LANE & ~3 | (control >> (2 * (_LANE & 3))) & 3
    by = control & 15
    if 0x101 <= control <= 0x10F:
        return np.where(_IN_ROW + by < 16, _LANE + by, -1)
    if 0x111 <= control <= 0x11F:
        return np.where(by <= _IN_ROW, _LANE - by, -1)
    if 0x121 <= control <= 0x12F:
        return _ROW * 16 + (_IN_ROW - by) % 16
    if 0x150 <= control <= 0x15F:
        return _ROW * 16 + by
    return {
        0x130: np.where(_LANE < 63, _LANE + 1, -1),
        0x134: (_LANE + 1) % 64,
        0x138: _LANE - 1,
        0x13C: (_LANE - 1) % 64,
        0x140: _ROW * 16 + 15 - _IN_ROW,
        0x141: _LANE ^ 7,
        0x142: np.where(_ROW > 0, _ROW * 16 - 1, -1),
        0x143: np.where(_LANE >= 32, 31, -1),
    }.get(control)


def dpp_sources(binder: Binder, kinds: tuple[Kind, ...], signed_bits: bool) -> list[Fetch]:
    """The sources, the first permuted; lanes without a source read 0 here and are sorted out by ``dpp_result``."""
    instruction = binder.instruction
    lanes = source_lanes(instruction["dpp"])
    if lanes is None:
        binder.refuse(f"DPP control {instruction['dpp']:#x}")
    if any(kind.bits == 64 for kind in kinds):
        binder.refuse("DPP on operands of 64 bits")
    plain = binder.vector_source(instruction["vsrc0"], kinds[0])
    take, valid = np.maximum(lanes, 0), lanes >= 0

    def permuted(g: Waves) -> Any:
        active = np.broadcast_to(valid, (g.count, 64)) if g.lanes is None else valid & (g.lanes != 0)[:, take]
        return np.where(active, plain(g)[:, take], 0).astype(kinds[0].dtype)

    sources: list[Fetch] = [permuted]
    if instruction.base is not Encoding.VOP1 and len(kinds) > 1:
        sources.append(binder.vector_source(instruction["vsrc1"], kinds[1]))
    signs = [(bool(instruction[f"src{k}_abs"]), bool(instruction[f"src{k}_neg"])) for k in range(len(sources))]
    return [
        modified(binder, fetch, kind, *sign, signed_bits)
        for fetch, kind, sign in zip(sources, kinds, signs, strict=False)
    ]


def dpp_result(
    binder: Binder, compute: Callable[..., Any], fetches: list[Fetch], op: VectorOperation, row: int
) -> Execute:
    """The function that computes and writes the lanes that are enabled.

    A lane is left alone where its row or bank is masked off; and, unless BOUND_CTRL is set, where it has no source
    lane or that lane is off. With BOUND_CTRL the source reads as 0 there.
    """
    instruction = binder.instruction
    if op.result.bits == 64:
        binder.refuse("DPP on a result of 64 bits")
    lanes = source_lanes(instruction["dpp"])
    take, valid = np.maximum(lanes, 0), lanes >= 0
    enabled = (instruction["row_mask"] >> _ROW & 1 != 0) & (instruction["bank_mask"] >> (_IN_ROW // 4) & 1 != 0)
    bound_control = bool(instruction["bc"])
    binder.note_vector(row, 1, binder.reads)
    dtype = op.result.dtype
    unsigned = np.dtype(f"u{op.result.bits // 8}")

    def execute(g: Waves) -> None:
        out = np.empty((g.count, 64), dtype)
        compute(*[fetch(g) for fetch in fetches], out=out)
        write = np.broadcast_to(enabled, (g.count, 64))
        if not bound_control:
            write = write & valid
            if g.lanes is not None:
                write = write & (g.lanes != 0)[:, take]
        write_vector(g, row, np.where(write, out.view(unsigned), g.vector[row]))

    return execute
