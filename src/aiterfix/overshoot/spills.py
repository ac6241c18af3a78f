"""Registers that are spilled at fixed places, and followed like registers: scalar ones to lanes of a vector register,
vector ones to private memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiterfix.gfx950.instruction import Encoding, Instruction
from aiterfix.gfx950.operands import VECTOR_BASE, Bound

if TYPE_CHECKING:
    from aiterfix.gfx950.program import Program

_ZERO, _SIXTY_THREE = 128, 191
"""Operand codes of inline constants."""
_NO_SCALAR_ADDRESS = 0x7F


@dataclass
class Moves(Bound):
    """A spill, or what brings it back: registers copied, (from, to).

    Attributes:
        moves: the copies.
        masked: whether EXEC says in which lanes.
    """

    moves: tuple[tuple[int, int], ...]
    masked: bool


def followed_spills(program: Program) -> list[tuple[Bound, ...]]:
    """The instructions of every block, spills as moves to rows of their own.

    Lanes of a vector register are followed where nothing but these instructions touches it, private memory where every
    place in it is fixed.
    """
    bound = [program.bound_instructions(block) for block in program.blocks]
    pairs = [pair for b in program.blocks for pair in zip(b.instructions, bound[b.number], strict=True)]
    touched = {n for i, item in pairs if lane_of(i) is None for n in item.reads | item.writes}
    private = all(_private_words(i) for i, _ in pairs if i.encoding is Encoding.SCRATCH)
    first = VECTOR_BASE + program.code.vgprs + program.code.agprs
    rows: dict[tuple[str, int, int], int] = {}

    def row(kind: str, register: int, place: int) -> int:
        return rows.setdefault((kind, register, place), first + len(rows))

    def followed(instruction: Instruction, item: Bound) -> Bound:
        lane = lane_of(instruction)
        if lane is not None:
            (vector,) = (n for n in item.reads | item.writes if n >= VECTOR_BASE)
            if vector in touched:
                return item
            place = row("lane", vector, lane)
            if instruction.mnemonic == "v_readlane_b32":
                return moves_of([(place, next(iter(item.writes)))], masked=False)
            scalar = next((n for n in item.reads if n < VECTOR_BASE), None)
            return item if scalar is None else moves_of([(scalar, place)], masked=False)
        if not private or instruction.encoding is not Encoding.SCRATCH:
            return item
        places = [row("private", 0, dword) for dword in _private_words(instruction)]
        if "_load_" in instruction.mnemonic:
            return moves_of(list(zip(places, sorted(item.writes), strict=True)), masked=True)
        return moves_of(list(zip(sorted(item.reads), places, strict=True)), masked=True)

    return [tuple(followed(i, x) for i, x in zip(b.instructions, bound[b.number], strict=True)) for b in program.blocks]


def lane_of(instruction: Instruction) -> int | None:
    """The lane, if it is fixed, that a scalar register is spilled to or brought back from."""
    name = instruction.mnemonic
    if name not in ("v_readlane_b32", "v_writelane_b32") or not _ZERO <= instruction["src1"] <= _SIXTY_THREE:
        return None
    return instruction["src1"] - _ZERO if name == "v_readlane_b32" or instruction["src0"] < VECTOR_BASE else None


def _private_words(instruction: Instruction) -> range:
    """The dwords of private memory that an instruction reads or writes; none where they are not fixed."""
    immediate = instruction["offset"]
    immediate -= immediate >> 12 << 13
    words = _WORDS.get(instruction.mnemonic.split("_", 2)[2], 0)
    if instruction["sve"] or instruction["saddr"] != _NO_SCALAR_ADDRESS or immediate % 4:
        words = 0
    return range(immediate // 4, immediate // 4 + words)


_WORDS = {"dword": 1, "dwordx2": 2, "dwordx3": 3, "dwordx4": 4}


def moves_of(moves: list[tuple[int, int]], *, masked: bool) -> Moves:
    """Copies of registers, as a bound instruction."""

    def execute(g: Any) -> None:
        for source, target in moves:
            value, place = (
                g.vector[n - VECTOR_BASE][:, 0] if n >= VECTOR_BASE else g.scalar[n] for n in (source, target)
            )
            place[...] = value

    reads, writes = (frozenset(numbers) for numbers in zip(*moves, strict=True))
    return Moves(execute, reads, writes, frozenset(), tuple(moves), masked)
