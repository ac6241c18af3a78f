"""Which instructions of a compiled kernel decide where it stores: all others are left out.

A backward slice of the machine code, by the liveness of registers. Needed are the operands of every branch, of EXEC,
and the *addresses* of every store to memory; the stored data are not. An instruction is kept if something it writes is
live behind it. The analysis starts from nothing live and grows to a fixed point, so that a value that only feeds its
own next iteration is left out too ("faint" variables). What remains of an attention kernel is its integer part: a few
dozen instructions of some thousands.

A write to a vector register changes the active lanes only, so it ends the register's life only where EXEC is known to
be all ones. That is followed through the program: which pairs of scalar registers hold all ones at each block.

Registers spilled to private memory at fixed places are followed like registers, and so are the kernel's arguments,
dword by dword: which of them are live at the entry is which of them decide where the kernel stores. The slice refuses
(:class:`~aiterfix.errors.NotUnderstoodError`) kernels whose store addresses depend on matrix results, LDS, private
memory at computed places, or atomics: then only a full execution tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control, mfma, semantics
from aiterfix.gfx950.blocks import PRELOAD_ENTRY
from aiterfix.gfx950.instruction import EXEC, Encoding, Instruction
from aiterfix.gfx950.operands import VECTOR_BASE, Binder, Bound, Execute

if TYPE_CHECKING:
    from aiterfix.gfx950.blocks import Block
    from aiterfix.gfx950.program import Program

_EXEC = frozenset({EXEC, EXEC + 1})
_MEMORY = frozenset({Encoding.MUBUF, Encoding.GLOBAL, Encoding.FLAT})
_MINUS_ONE = 193
"""Operand code of the inline constant -1."""
_NO_SCALAR_ADDRESS = 0x7F
_SLOT_BASE = 1 << 16
"""Private memory in register sets: a number above every vector register for each dword of a lane."""
_ARGUMENT_BASE = 1 << 24
"""Kernel arguments in register sets: a number above those for each dword of the kernarg segment."""
_ARGUMENT_POINTER = frozenset({0, 1})


@dataclass(frozen=True)
class SlicedInstruction:
    """One instruction that is kept.

    Attributes:
        instruction: the instruction.
        execute: its effect; for a store only a caller that watches it gives it one.
        is_store: whether it stores to memory.
        arguments: for a load of kernel arguments, (scalar register, dword of the segment) of those that are needed;
            it is executed by writing these, not by ``execute``.
        reads, writes, steers: registers, as :class:`~aiterfix.gfx950.operands.Bound` has them.
    """

    instruction: Instruction
    execute: Execute
    is_store: bool
    arguments: tuple[tuple[int, int], ...]
    reads: frozenset[int]
    writes: frozenset[int]
    steers: frozenset[int]


@dataclass(frozen=True)
class State:
    """Registers that are live at some place, by kind: waves with equal contents behave alike from there.

    Attributes:
        scalars: scalar operand codes.
        vectors: rows of ``Waves.vector``.
        arguments: dwords of the kernarg segment that may still be loaded.
        scc: whether SCC is live.
        spilled: whether private memory is live.
    """

    scalars: tuple[int, ...]
    vectors: tuple[int, ...]
    arguments: tuple[int, ...]
    scc: bool
    spilled: bool

    @classmethod
    def of(cls, live: frozenset[int]) -> State:
        """Sort register numbers by kind."""
        return cls(
            tuple(sorted(number for number in live if 0 <= number < VECTOR_BASE)),
            tuple(sorted(number - VECTOR_BASE for number in live if VECTOR_BASE <= number < _SLOT_BASE)),
            tuple(sorted(number - _ARGUMENT_BASE for number in live if number >= _ARGUMENT_BASE)),
            -1 in live,
            any(_SLOT_BASE <= number < _ARGUMENT_BASE for number in live),
        )


@dataclass(frozen=True)
class SlicedBlock:
    """What is kept of a basic block.

    Attributes:
        kept: instructions, in order.
        entry: what is live where the block is entered.
        successors: blocks that may follow.
        skips: its branch leads past instructions of which none is kept, so that all may as well take it.
        merges: whether it leads to the first stores, or holds them: programs with equal states are one from there.
    """

    kept: tuple[SlicedInstruction, ...]
    entry: State
    successors: tuple[int, ...]
    skips: bool
    merges: bool


@dataclass(frozen=True)
class Slice:
    """The part of a kernel that decides where it stores.

    Attributes:
        program: the whole kernel.
        blocks: for each of its blocks, what is kept.
        kept, total: number of instructions.
        entry: number of the block where waves begin.
        arguments: dwords of the kernarg segment that decide where the kernel stores.
    """

    program: Program
    blocks: tuple[SlicedBlock, ...]
    kept: int
    total: int
    entry: int
    arguments: tuple[int, ...]


def is_store(instruction: Instruction) -> bool:
    """Whether an instruction stores registers to device memory; atomic operations do."""
    return instruction.encoding in _MEMORY and ("_store_" in instruction.mnemonic or "_atomic_" in instruction.mnemonic)


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
    loads = _argument_loads(program, bound, successors)
    entries: list[frozenset[int]] = [frozenset()] * len(program.blocks)
    kept: list[list[bool]] = [[] for _ in program.blocks]
    changed = True
    while changed:
        changed = False
        for number in reversed(range(len(program.blocks))):
            after = frozenset().union(*(entries[n] for n in successors[number]))
            live, marks, _ = _walk(program.blocks[number], bound[number], full[number], loads[number], after)
            if live != entries[number] or marks != kept[number]:
                changed = True
                entries[number], kept[number] = live, marks
    stores = [any(map(is_store, block.instructions)) for block in program.blocks]
    stored = _behind(program, successors, stores)
    blocks = tuple(
        _sliced(
            program.blocks[number],
            bound[number],
            loads[number],
            _walk(
                program.blocks[number],
                bound[number],
                full[number],
                loads[number],
                frozenset().union(*(entries[n] for n in successors[number])),
            ),
            frozenset().union(*(entries[n] for n in successors[number])),
            successors[number],
            number not in stored and any(n in stored and entries[n] for n in successors[number]),
        )
        for number in range(len(program.blocks))
    )
    entry = program.block_at(_entry(program))
    blocks = tuple(replace(block, skips=_skips(program, blocks, number)) for number, block in enumerate(blocks))
    return Slice(
        program,
        blocks,
        sum(len(block.kept) for block in blocks),
        len(program.instructions),
        entry,
        _deciding_arguments(program, blocks[entry].entry),
    )


def _entry(program: Program) -> int:
    return PRELOAD_ENTRY if program.code.descriptor.preload_length else 0


def _deciding_arguments(program: Program, entry: State) -> tuple[int, ...]:
    """Dwords of the kernarg segment that are loaded later, or are in preloaded registers that are live."""
    descriptor = program.code.descriptor
    first = 2 if descriptor.kernarg_pointer else 0
    preloaded = {
        descriptor.preload_offset + code - first
        for code in entry.scalars
        if first <= code < first + descriptor.preload_length
    }
    if descriptor.kernarg_pointer and _ARGUMENT_POINTER & set(entry.scalars):
        raise NotUnderstoodError(
            f"kernel {program.code.name} reads its arguments in a way that is not followed",
            remedy="run `aiterfix validate`, which executes the whole kernel",
        )
    return tuple(sorted(preloaded | set(entry.arguments)))


def _argument_loads(
    program: Program, bound: list[tuple[Bound, ...]], successors: list[tuple[int, ...]]
) -> list[list[int | None]]:
    """For every instruction, the first dword that it loads if it loads kernel arguments, else None.

    A load counts where its base is the pointer that a wave starts with, on every path to it.
    """
    result: list[list[int | None]] = [[None] * len(items) for items in bound]
    if not program.code.descriptor.kernarg_pointer:
        return result
    lost = _behind(program, successors, [any(item.writes & _ARGUMENT_POINTER for item in items) for items in bound])
    for block in program.blocks:
        intact = block.number not in lost
        for index, (instruction, item) in enumerate(zip(block.instructions, bound[block.number], strict=True)):
            if (
                intact
                and instruction.mnemonic.startswith("s_load_dword")
                and instruction["sbase"] == 0
                and instruction["imm"]
                and not instruction["soffset_en"]
                and instruction["offset"] % 4 == 0
                and instruction["offset"] < 4096
            ):
                result[block.number][index] = instruction["offset"] // 4
            intact = intact and not item.writes & _ARGUMENT_POINTER
    return result


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


def _behind(program: Program, successors: list[tuple[int, ...]], within: list[bool]) -> set[int]:
    """Blocks that can be entered after one of those."""
    found: set[int] = set()
    work = [n for block in program.blocks if within[block.number] for n in successors[block.number]]
    while work:
        number = work.pop()
        if number not in found:
            found.add(number)
            work.extend(successors[number])
    return found


def _known(program: Program, pc: int) -> bool:
    return any(block.pc == pc for block in program.blocks)


def _walk(
    block: Block,
    bound: tuple[Bound, ...],
    full: list[bool],
    loads: list[int | None],
    after: frozenset[int],
) -> tuple[frozenset[int], list[bool], list[frozenset[int]]]:
    """Registers live at a block's entry; which of its instructions are needed; what is live before each."""
    live = set(after)
    marks = [False] * len(bound)
    before: list[frozenset[int]] = [frozenset()] * len(bound)
    for index in reversed(range(len(bound))):
        instruction, item, first = block.instructions[index], bound[index], loads[index]
        branch = control.is_terminator(instruction)
        if is_store(instruction):
            marks[index] = True
            live |= item.steers | _EXEC
        elif branch or item.writes & live or item.writes & _EXEC:
            marks[index] = not branch
            if first is not None:
                needed = item.writes & live
                live -= needed
                live |= {_ARGUMENT_BASE + first + number - min(item.writes) for number in needed}
            else:
                if _kills(instruction, full[index]):
                    live -= item.writes
                else:
                    live -= {number for number in item.writes if number < VECTOR_BASE}
                live |= item.reads
                if not branch and _reads_lanes(item):
                    live |= _EXEC
        before[index] = frozenset(live)
    return frozenset(live), marks, before


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
    block: Block,
    bound: tuple[Bound, ...],
    loads: list[int | None],
    walked: tuple[frozenset[int], list[bool], list[frozenset[int]]],
    behind: frozenset[int],
    successors: tuple[int, ...],
    merges: bool,
) -> SlicedBlock:
    live, marks, before = walked
    kept: list[SlicedInstruction] = []
    after = [*before[1:], behind]
    for index, (instruction, item, mark) in enumerate(zip(block.instructions, bound, marks, strict=True)):
        if not mark:
            continue
        if not _followed(instruction, item):
            raise NotUnderstoodError(
                f"where the kernel stores depends on {instruction.describe()}",
                why="the integer part of a kernel is run without matrix results, LDS and atomics",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        arguments: tuple[tuple[int, int], ...] = ()
        first = loads[index]
        if first is not None:
            target = min(item.writes)
            arguments = tuple((number, first + number - target) for number in sorted(item.writes & after[index]))
        kept.append(
            SlicedInstruction(
                instruction, item.execute, is_store(instruction), arguments, item.reads, item.writes, item.steers
            )
        )
    return SlicedBlock(tuple(kept), State.of(live), successors, False, merges)


def _skips(program: Program, blocks: tuple[SlicedBlock, ...], number: int) -> bool:
    """Whether a block ends in a branch whose other way comes to the same place with nothing done."""
    last = program.blocks[number].last
    if last.mnemonic not in control.CONDITIONS or len(blocks[number].successors) != 2:
        return False
    after, target = blocks[number].successors
    seen = {number}
    while after != target:
        if after in seen or blocks[after].kept or len(blocks[after].successors) != 1:
            return False
        seen.add(after)
        (after,) = blocks[after].successors
    return True
