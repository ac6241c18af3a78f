"""What only moves registers, and is followed as that: loads of kernel arguments, and what is spilled at fixed places,
scalar registers to lanes of a vector register, vector ones to private memory. Each place has a vector row of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from aiterfix.gfx950.instruction import Encoding, Instruction
from aiterfix.gfx950.operands import VECTOR_BASE, Bound

if TYPE_CHECKING:
    from aiterfix.gfx950.program import Program

_ZERO, _SIXTY_THREE = 128, 191
"""Operand codes of inline constants."""
_NO_SCALAR_ADDRESS = 0x7F
_LONGEST = 4096
"""Bytes of arguments that are looked at."""


@dataclass
class Moves(Bound):
    """Registers copied.

    Attributes:
        moves: the copies, (from, to); no register is on both sides.
        masked: whether EXEC says in which lanes.
    """

    moves: tuple[tuple[int, int], ...]
    masked: bool


@cache
def moves_of(moves: tuple[tuple[int, int], ...], *, masked: bool) -> Moves:
    """Copies of registers, as a bound instruction."""

    def execute(g: Any) -> None:
        for source, target in moves:
            g.number(target)[...] = g.number(source)

    reads, writes = (frozenset(numbers) for numbers in zip(*moves, strict=True))
    return Moves(execute, reads, writes, frozenset(), moves, masked)


class Places:
    """Which instructions of a program only move registers, and the rows of what they move from or to.

    Lanes of a vector register are followed where nothing but these instructions touches it, private memory where every
    place in it is fixed.

    Attributes:
        first: number of the first row, behind all registers.
        arguments: by row, the dword of the kernarg segment that is loaded from it.
    """

    def __init__(self, program: Program, bound: list[tuple[Bound, ...]]) -> None:
        pairs = [pair for b in program.blocks for pair in zip(b.instructions, bound[b.number], strict=True)]
        self._touched = {n for i, item in pairs if lane_of(i) is None for n in item.reads | item.writes}
        self._private = all(_private_words(i) for i, _ in pairs if i.encoding is Encoding.SCRATCH)
        self.first = VECTOR_BASE + program.code.vgprs + program.code.agprs
        self._rows: dict[tuple[str, int, int], int] = {}
        self.arguments: dict[int, int] = {}

    @property
    def end(self) -> int:
        """One past the last row."""
        return self.first + len(self._rows)

    def _row(self, kind: str, register: int, place: int) -> int:
        return self._rows.setdefault((kind, register, place), self.first + len(self._rows))

    def followed(self, instruction: Instruction, item: Bound, of_arguments: bool) -> Bound:
        """An instruction as moves, or as it was. A scalar load may be from the address ``of_arguments``."""
        lane, targets = lane_of(instruction), sorted(item.writes)
        if of_arguments and _loads_fixed(instruction):
            dwords = range(instruction["offset"] // 4, instruction["offset"] // 4 + len(targets))
            rows = [self._row("argument", 0, dword) for dword in dwords]
            self.arguments.update(zip(rows, dwords, strict=True))
            return moves_of(tuple(zip(rows, targets, strict=True)), masked=False)
        if lane is not None:
            (vector,) = (n for n in item.reads | item.writes if n >= VECTOR_BASE)
            if vector in self._touched:
                return item
            place = self._row("lane", vector, lane)
            if instruction.mnemonic == "v_readlane_b32":
                return moves_of(((place, *targets),), masked=False)
            scalar = next((n for n in item.reads if n < VECTOR_BASE), None)
            return item if scalar is None else moves_of(((scalar, place),), masked=False)
        if not self._private or instruction.encoding is not Encoding.SCRATCH:
            return item
        places = [self._row("private", 0, dword) for dword in _private_words(instruction)]
        loads = "_load_" in instruction.mnemonic
        sources, targets = (places, targets) if loads else (sorted(item.reads), places)
        return moves_of(tuple(zip(sources, targets, strict=True)), masked=True)


def _loads_fixed(instruction: Instruction) -> bool:
    """Whether a scalar load is of dwords at a fixed place behind its address."""
    fixed = instruction.mnemonic.startswith("s_load_dword") and instruction["imm"] and not instruction["soffset_en"]
    return bool(fixed) and instruction["offset"] % 4 == 0 and instruction["offset"] < _LONGEST


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
