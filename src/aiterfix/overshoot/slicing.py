"""Which instructions of a compiled kernel decide where it stores: all others are left out.

A backward slice of the machine code, by the liveness of registers. Needed are the operands of every branch, of EXEC,
and the *addresses* of every store to memory; the stored data are not. An instruction is kept if something it writes is
live behind it. The analysis starts from nothing live and grows to a fixed point, so that a value that only feeds its
own next iteration is left out too ("faint" variables). What remains of an attention kernel is its integer part: a few
dozen instructions of some thousands.

A write to a vector register changes the active lanes only, so it ends the register's life only where EXEC is known to
be all ones. That is followed through the program: which pairs of scalar registers hold all ones at each block.

Registers spilled to private memory at fixed places are followed like registers. The slice refuses
(:class:`~aiterfix.errors.NotUnderstoodError`) kernels whose store addresses depend on matrix results, LDS, private
memory at computed places, or atomics: then only a full execution tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control, mfma, semantics
from aiterfix.gfx950.instruction import EXEC, Encoding, Instruction
from aiterfix.gfx950.operands import VECTOR_BASE, Binder, Bound, Execute

if TYPE_CHECKING:
    from aiterfix.gfx950.program import Block, Program

_EXEC = frozenset({EXEC, EXEC + 1})
_MEMORY = frozenset({Encoding.MUBUF, Encoding.GLOBAL, Encoding.FLAT})
_MINUS_ONE = 193
"""Operand code of the inline constant -1."""
_NO_SCALAR_ADDRESS = 0x7F
_SLOT_BASE = 1 << 16
"""Private memory in register sets: a number above every vector register for each dword of a lane."""


@dataclass(frozen=True)
class SlicedInstruction:
    """One instruction that is kept.

    Attributes:
        instruction: the instruction.
        execute: its effect; for a store only a caller that watches it gives it one.
        is_store: whether it stores to memory.
    """

    instruction: Instruction
    execute: Execute
    is_store: bool


@dataclass(frozen=True)
class SlicedBlock:
    """What is kept of a basic block.

    Attributes:
        kept: instructions, in order.
        live: registers that are live where the block is entered: waves with equal contents behave alike from there.
        scalars, vectors: the same by kind: scalar operand codes, and rows of ``Waves.vector``.
        scc: whether SCC is live there.
        spilled: whether private memory is live there.
        stored: whether a wave may have stored something before it enters.
    """

    kept: tuple[SlicedInstruction, ...]
    live: frozenset[int]
    scalars: tuple[int, ...]
    vectors: tuple[int, ...]
    scc: bool
    spilled: bool
    stored: bool


@dataclass(frozen=True)
class Slice:
    """The part of a kernel that decides where it stores.

    Attributes:
        program: the whole kernel.
        blocks: for each of its blocks, what is kept.
        kept, total: number of instructions.
        keeps_identity: whether vector register 0, which holds the lanes' numbers at the start, is never written.
    """

    program: Program
    blocks: tuple[SlicedBlock, ...]
    kept: int
    total: int
    keeps_identity: bool


def is_store(instruction: Instruction) -> bool:
    """Whether an instruction stores registers to device memory."""
    return instruction.encoding in _MEMORY and "_store_" in instruction.mnemonic


def slice_of(program: Program) -> Slice:
    """Slice a kernel.

    Raises:
        NotUnderstoodError: store addresses depend on what a slice cannot follow, or an instruction is not modelled.
    """
    bound = [
        tuple(_with_slots(i, semantics.bind(Binder(i, program.code))) for i in block.instructions)
        for block in program.blocks
    ]
    successors = [_successors(program, block) for block in program.blocks]
    full = _full_lanes(program, bound, successors)
    entries: list[frozenset[int]] = [frozenset()] * len(program.blocks)
    kept: list[list[bool]] = [[] for _ in program.blocks]
    changed = True
    while changed:
        changed = False
        for number in reversed(range(len(program.blocks))):
            after = frozenset().union(*(entries[n] for n in successors[number]))
            live, marks = _walk(program.blocks[number], bound[number], full[number], after)
            if live != entries[number] or marks != kept[number]:
                changed = True
                entries[number], kept[number] = live, marks
    stored = _behind_stores(program, successors)
    blocks = tuple(
        _sliced(program.blocks[number], bound[number], kept[number], entries[number], number in stored)
        for number in range(len(program.blocks))
    )
    return Slice(
        program,
        blocks,
        sum(len(block.kept) for block in blocks),
        len(program.instructions),
        not any(
            mark and VECTOR_BASE in item.writes
            for b, m in zip(bound, kept, strict=True)
            for item, mark in zip(b, m, strict=True)
        ),
    )


def _with_slots(instruction: Instruction, item: Bound) -> Bound:
    """Private memory at a fixed place, dword by dword, noted like registers."""
    if instruction.encoding is not Encoding.SCRATCH:
        return item
    immediate = instruction["offset"]
    immediate -= immediate >> 12 << 13
    words = _SLOT_WORDS.get(instruction.mnemonic.split("_", 2)[2])
    if instruction["sve"] or instruction["saddr"] != _NO_SCALAR_ADDRESS or words is None or immediate % 4:
        return item
    slots = frozenset(range(_SLOT_BASE + immediate // 4, _SLOT_BASE + immediate // 4 + words))
    if "_load_" in instruction.mnemonic:
        return replace(item, reads=item.reads | slots)
    return replace(item, writes=item.writes | slots)


_SLOT_WORDS = {"dword": 1, "dwordx2": 2, "dwordx3": 3, "dwordx4": 4}


def _followed(instruction: Instruction, item: Bound) -> bool:
    """Whether a slice can follow what an instruction computes."""
    if instruction.encoding is Encoding.SCRATCH:
        return any(number >= _SLOT_BASE for number in item.reads | item.writes)
    return (
        instruction.encoding is not Encoding.DS
        and instruction.mnemonic not in mfma.NAMES
        and "atomic" not in instruction.mnemonic
    )


def _successors(program: Program, block: Block) -> tuple[int, ...]:
    last = block.last
    if last.mnemonic == control.END:
        return ()
    places = [last.end]
    if last.mnemonic == control.BRANCH:
        places = [control.branch_target(last)]
    elif last.mnemonic in control.CONDITIONS:
        places.append(control.branch_target(last))
    # Padding behind the last branch falls off the kernel's end; executing it is an error of its own.
    return tuple(program.block_at(pc) for pc in places if _known(program, pc))


def _behind_stores(program: Program, successors: list[tuple[int, ...]]) -> set[int]:
    """Blocks that can be entered after a store."""
    found: set[int] = set()
    work = [n for block in program.blocks if any(map(is_store, block.instructions)) for n in successors[block.number]]
    while work:
        number = work.pop()
        if number not in found:
            found.add(number)
            work.extend(successors[number])
    return found


def _known(program: Program, pc: int) -> bool:
    return any(block.pc == pc for block in program.blocks)


def _walk(
    block: Block, bound: tuple[Bound, ...], full: list[bool], after: frozenset[int]
) -> tuple[frozenset[int], list[bool]]:
    """Registers live at a block's entry, and which of its instructions are needed."""
    live = set(after)
    marks = [False] * len(bound)
    for index in reversed(range(len(bound))):
        instruction, item = block.instructions[index], bound[index]
        if is_store(instruction):
            marks[index] = True
            live |= item.steers | _EXEC
            continue
        branch = control.is_terminator(instruction)
        if not (branch or item.writes & live or item.writes & _EXEC):
            continue
        marks[index] = not branch
        if _kills(instruction, full[index]):
            live -= item.writes
        else:
            live -= {number for number in item.writes if number < VECTOR_BASE}
        live |= item.reads
        if not branch and _reads_lanes(item):
            live |= _EXEC
    return frozenset(live), marks


def _kills(instruction: Instruction, lanes_full: bool) -> bool:
    """Whether what an instruction writes is written in every lane."""
    return lanes_full and instruction.mnemonic != "v_writelane_b32"


def _reads_lanes(item: Bound) -> bool:
    """Whether EXEC bears on the result: everything that touches a vector register or makes a lane mask."""
    return any(number >= VECTOR_BASE for number in item.reads | item.writes)


def _full_lanes(
    program: Program, bound: list[tuple[Bound, ...]], successors: list[tuple[int, ...]]
) -> list[list[bool]]:
    """For every instruction, whether EXEC is known to be all ones before it."""
    everything = frozenset(range(0, 128, 2))
    entry: list[frozenset[int] | None] = [None] * len(program.blocks)
    first = {0, *(block.number for block in program.blocks if block.pc == 256)}
    work = []
    for number in first:
        entry[number] = frozenset({EXEC})
        work.append(number)
    result: list[list[bool]] = [[False] * len(items) for items in bound]
    while work:
        number = work.pop()
        known = entry[number]
        assert known is not None and known <= everything
        for index, item in enumerate(bound[number]):
            result[number][index] = EXEC in known
            known = _full_after(program.blocks[number].instructions[index], item, known)
        for successor in successors[number]:
            before = entry[successor]
            joined = known if before is None else before & known
            if joined != before:
                entry[successor] = joined
                work.append(successor)
    return result


def _full_after(instruction: Instruction, item: Bound, known: frozenset[int]) -> frozenset[int]:
    """Scalar pairs known to be all ones behind an instruction."""

    def full(code: int) -> bool:
        return code in known or code == _MINUS_ONE

    name = instruction.mnemonic
    gained: set[int] = set()
    if (
        (name == "s_mov_b64" and full(instruction["ssrc0"]))
        or (name == "s_or_b64" and (full(instruction["ssrc0"]) or full(instruction["ssrc1"])))
        or (name == "s_and_b64" and full(instruction["ssrc0"]) and full(instruction["ssrc1"]))
        or (name.endswith("_saveexec_b64") and EXEC in known)
    ):
        gained.add(instruction["sdst"])
    lost = {number & ~1 for number in item.writes if 0 <= number < VECTOR_BASE}
    return (known - lost) | frozenset(gained)


def _sliced(
    block: Block, bound: tuple[Bound, ...], marks: list[bool], live: frozenset[int], stored: bool
) -> SlicedBlock:
    kept = []
    for instruction, item, mark in zip(block.instructions, bound, marks, strict=True):
        if not mark:
            continue
        if not _followed(instruction, item):
            raise NotUnderstoodError(
                f"where the kernel stores depends on {instruction.describe()}",
                why="the integer part of a kernel is run without matrix results, LDS and atomics",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        kept.append(SlicedInstruction(instruction, item.execute, is_store(instruction)))
    return SlicedBlock(
        kept=tuple(kept),
        live=live,
        scalars=tuple(sorted(number for number in live if 0 <= number < VECTOR_BASE)),
        vectors=_rows(live),
        scc=-1 in live,
        spilled=any(number >= _SLOT_BASE for number in live),
        stored=stored,
    )


def _rows(registers: frozenset[int]) -> tuple[int, ...]:
    return tuple(sorted(number - VECTOR_BASE for number in registers if VECTOR_BASE <= number < _SLOT_BASE))
