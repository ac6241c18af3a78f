"""Which instructions of a compiled kernel decide where it stores: all others are left out.

A backward slice of the machine code, by the liveness of registers. Needed are the operands of every branch, of EXEC,
and the *addresses* of every store to memory; the stored data are not. An instruction is kept if something it writes is
live behind it. The analysis starts from nothing live and grows to a fixed point, so that a value that only feeds its
own next iteration is left out too ("faint" variables). What remains of an attention kernel is its integer part: a few
dozen instructions of some thousands. The result is a program of its own, which the emulator's machine runs on one
element a program (:mod:`~aiterfix.overshoot.programs`).

Of a register not only is it known whether it is live, but which bits of it are: where a kernel looks at one bit of a
context length, lengths that have it alike are alike.

A write to a vector register changes the active lanes only, so it ends the register's life only where EXEC is known to
be all ones. That is followed through the program, as is which scalar registers hold the address of the arguments.

What is spilled at fixed places is followed like registers (:mod:`~aiterfix.overshoot.spills`), and so are the kernel's
arguments, dword by dword: which of them are live at the entry is which of them decide where the kernel stores. The
slice refuses (:class:`~aiterfix.errors.NotUnderstoodError`) kernels whose store addresses depend on matrix results,
LDS, private memory at computed places, or atomics: then only a full execution tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control, mfma
from aiterfix.gfx950.blocks import PRELOAD_ENTRY, Block
from aiterfix.gfx950.instruction import EXEC, Encoding, Instruction
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE, Bound, Kind, constant_bits
from aiterfix.gfx950.program import Program
from aiterfix.overshoot.instructions import branch_of, step_of
from aiterfix.overshoot.spills import Moves, followed_spills

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiterfix.gfx950.code_object import CodeObject

_EXEC = frozenset({EXEC, EXEC + 1})
_MEMORY = frozenset({Encoding.MUBUF, Encoding.GLOBAL, Encoding.FLAT})
_MINUS_ONE = 193
"""Operand code of an inline constant."""
_ARGUMENT_BASE = 1 << 24
"""Kernel arguments in register sets: a number above every register for each dword of the kernarg segment."""
_ONES, _ARGUMENTS = "all ones", "the arguments' address"
_Facts = frozenset[tuple[int, str]]
"""Pairs of scalar registers, by the first, that are known to hold something."""
_Bits = dict[int, int]
"""Registers that are live, and the bits of each that are."""
_ALL = 0xFFFF_FFFF


@dataclass(frozen=True)
class Kept:
    """One instruction that is kept.

    Attributes:
        instruction: the instruction.
        bound: its effect and registers; for a load of kernel arguments it writes those that are needed.
        is_store: whether it stores to memory.
    """

    instruction: Instruction
    bound: Bound
    is_store: bool


@dataclass(frozen=True)
class Live:
    """Registers that are live at some place: programs with equal contents behave alike from there.

    Attributes:
        bits: by the numbers of :data:`~aiterfix.gfx950.operands.VECTOR_BASE`, the bits of each that are live.
        scalars: scalar operand codes; ``pairs``: their pairs, and that of EXEC.
        vectors: rows of ``Waves.vector``, private memory and lanes that hold scalars among them.
        arguments: dwords of the kernarg segment that may still be loaded.
    """

    bits: _Bits
    scalars: tuple[int, ...]
    pairs: tuple[int, ...]
    vectors: tuple[int, ...]
    arguments: tuple[int, ...]

    @classmethod
    def of(cls, live: _Bits) -> Live:
        """Sort register numbers by kind."""
        numbers = sorted(live)
        scalars = tuple(n for n in numbers if 0 <= n < VECTOR_BASE)
        return cls(
            live,
            scalars,
            tuple(sorted({code >> 1 for code in scalars} | {EXEC >> 1})),
            tuple(n - VECTOR_BASE for n in numbers if VECTOR_BASE <= n < _ARGUMENT_BASE),
            tuple(n - _ARGUMENT_BASE for n in numbers if n >= _ARGUMENT_BASE),
        )


class Slice(Program):
    """The part of a kernel that decides where it stores, as a program.

    Args:
        code: the kernel.

    Attributes:
        kept: for each block, what is kept of it.
        live: for each block, what is live at its entry; ``leaving``: what is live behind it.
        skips: blocks whose branch leads past instructions of which none is kept: all may as well take it.
        merges: blocks that lead to the first stores: programs with equal states are one from there.
        arguments: dwords of the kernarg segment that decide where the kernel stores.
        highest: number of vector registers up to the last that is kept, with what stands for spills.

    Raises:
        NotUnderstoodError: store addresses depend on what a slice cannot follow, or an instruction is not modelled.
    """

    def __init__(self, code: CodeObject) -> None:
        super().__init__(code)
        whole = self.blocks
        successors = [self.successors(block) for block in whole]
        bound = followed_spills(self)
        facts = _facts(self, bound, successors)
        entries: list[_Bits] = [{} for _ in whole]
        marks: list[list[bool]] = [[] for _ in whole]
        changed = True
        while changed:
            changed = False
            for number in reversed(range(len(whole))):
                after = _joined(entries[n] for n in successors[number])
                walked = _walk(whole[number], bound[number], facts[number], after)
                if walked != (entries[number], marks[number]):
                    changed = True
                    entries[number], marks[number] = walked
        leaving = [_joined(entries[n] for n in following) for following in successors]
        self.live = [Live.of(entry) for entry in entries]
        self.leaving = [Live.of(live) for live in leaving]
        self.kept = [_kept(b, bound[b.number], facts[b.number], marks[b.number], leaving[b.number]) for b in whole]
        self.skips = {b.number for b in whole if self._skips(b.number, successors)}
        storing = _behind(successors, [any(map(is_store, block.instructions)) for block in whole])
        self.merges = {
            number
            for number, following in enumerate(successors)
            if number not in storing and any(n in storing and entries[n] for n in following)
        }
        self.blocks = tuple(_always_taken(b) if b.number in self.skips else b for b in whole)
        self.arguments = self._deciding()
        touched = (k.bound.steers if k.is_store else k.bound.reads | k.bound.writes for kept in self.kept for k in kept)
        self.highest = max((n for numbers in touched for n in numbers), default=0) + 1 - VECTOR_BASE

    def bind(self, block: Block) -> None:
        """Make ready what is kept of a block, for programs of which one element stands for each."""
        steps = [step_of(item, self.code) for item in self.kept[block.number]]
        block.executes = (*steps, branch_of(block.last))

    def _skips(self, number: int, successors: list[tuple[int, ...]]) -> bool:
        """Whether a block ends in a branch whose other way comes to the same place with nothing done."""
        if self.blocks[number].last.mnemonic not in control.CONDITIONS or len(successors[number]) != 2:
            return False
        after, target = successors[number]
        seen = {number}
        while after != target:
            if after in seen or self.kept[after] or len(successors[after]) != 1:
                return False
            seen.add(after)
            (after,) = successors[after]
        return True

    def _deciding(self) -> frozenset[int]:
        """Dwords of the kernarg segment that are loaded later, or are in preloaded registers that are live.

        Raises:
            NotUnderstoodError: something is live that no launch sets up: it could be anything on a GPU.
        """
        descriptor, entry = self.code.descriptor, self.live[self.entry]
        first = 2 if descriptor.kernarg_pointer else 0
        preloaded = range(first, first + descriptor.preload_length)
        begun = {*preloaded, VECTOR_BASE, EXEC, EXEC + 1}
        if descriptor.workgroup_ids[0]:
            begun.update(range(descriptor.user_sgprs, descriptor.user_sgprs + sum(descriptor.workgroup_ids)))
        unknown = sorted(number for number in entry.bits if number < _ARGUMENT_BASE and number not in begun)
        if unknown:
            pointer = descriptor.kernarg_pointer and not {0, 1}.isdisjoint(unknown)
            what = (
                "its arguments in a way" if pointer else f"register {unknown[0]}, which nothing has written, in a way"
            )
            raise NotUnderstoodError(
                f"kernel {self.code.name} reads {what} that is not followed",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        decides = {descriptor.preload_offset + code - first for code in preloaded if code in entry.bits}
        return frozenset(decides.union(entry.arguments))


def is_store(instruction: Instruction) -> bool:
    """Whether an instruction stores registers to device memory; atomic operations do."""
    return instruction.encoding in _MEMORY and ("_store_" in instruction.mnemonic or "_atomic_" in instruction.mnemonic)


def _behind(successors: list[tuple[int, ...]], within: list[bool]) -> set[int]:
    """Blocks that can be entered after one of those."""
    found: set[int] = set()
    work = [n for number, some in enumerate(within) if some for n in successors[number]]
    while work:
        number = work.pop()
        if number not in found:
            found.add(number)
            work.extend(successors[number])
    return found


def _facts(program: Program, bound: list[tuple[Bound, ...]], successors: list[tuple[int, ...]]) -> list[list[_Facts]]:
    """What is known before every instruction, on every path to it."""
    begin = {(EXEC, _ONES)} | ({(0, _ARGUMENTS)} if program.code.descriptor.kernarg_pointer else set())
    work = [block.number for block in program.blocks if block.pc in (0, PRELOAD_ENTRY)]
    entry: dict[int, _Facts] = dict.fromkeys(work, frozenset(begin))
    result: list[list[_Facts]] = [[frozenset()] * len(items) for items in bound]
    while work:
        number = work.pop()
        known = entry[number]
        for index, (instruction, item) in enumerate(
            zip(program.blocks[number].instructions, bound[number], strict=True)
        ):
            result[number][index] = known
            lost = {n & ~1 for n in item.writes if 0 <= n < VECTOR_BASE}
            known = frozenset(f for f in known if f[0] not in lost) | _gained(instruction, known)
        for successor in successors[number]:
            joined = known & entry.get(successor, known)
            if joined != entry.get(successor):
                entry[successor] = joined
                work.append(successor)
    return result


def _gained(instruction: Instruction, known: _Facts) -> _Facts:
    """What is known behind an instruction of what it writes."""

    def holds(field: str, fact: str = _ONES) -> bool:
        return (instruction[field], fact) in known or (fact == _ONES and instruction[field] == _MINUS_ONE)

    name = instruction.mnemonic
    if name == "s_mov_b64":
        return frozenset((instruction["sdst"], fact) for fact in (_ONES, _ARGUMENTS) if holds("ssrc0", fact))
    if (
        (name == "s_or_b64" and (holds("ssrc0") or holds("ssrc1")))
        or (name == "s_and_b64" and holds("ssrc0") and holds("ssrc1"))
        or (name.endswith("_saveexec_b64") and (EXEC, _ONES) in known)
    ):
        return frozenset({(instruction["sdst"], _ONES)})
    return frozenset()


def _argument(instruction: Instruction, known: _Facts) -> int | None:
    """The first dword that an instruction loads if it loads kernel arguments."""
    if (
        instruction.mnemonic.startswith("s_load_dword")
        and (instruction["sbase"], _ARGUMENTS) in known
        and instruction["imm"]
        and not instruction["soffset_en"]
        and instruction["offset"] % 4 == 0
        and instruction["offset"] < 4096
    ):
        return instruction["offset"] // 4
    return None


def _joined(entries: Iterable[_Bits]) -> _Bits:
    """What is live in any of them."""
    found: _Bits = {}
    for entry in entries:
        _need(found, entry)
    return found


def _need(live: _Bits, numbers: Iterable[int], bits: int | None = None) -> None:
    """More that is live: of every number those bits, or what it is given with."""
    for number in numbers:
        more = numbers[number] if isinstance(numbers, dict) else _ALL if bits is None else bits
        live[number] = live.get(number, 0) | more


def _walk(block: Block, bound: tuple[Bound, ...], facts: list[_Facts], after: _Bits) -> tuple[_Bits, list[bool]]:
    """Registers live at a block's entry; which of its instructions are needed."""
    live = dict(after)
    marks = [False] * len(bound)
    for index in reversed(range(len(bound))):
        instruction, item = block.instructions[index], bound[index]
        if is_store(instruction):
            marks[index] = True
            _need(live, item.steers | _EXEC)
        elif control.is_terminator(instruction):
            _need(live, item.reads | (_EXEC if "_cbranch_exec" in instruction.mnemonic else frozenset()))
        elif not item.writes.isdisjoint(live) or item.writes & _EXEC:
            marks[index] = True
            first = _argument(instruction, facts[index])
            wanted = {n: live[n] for n in item.writes if n in live}
            for number in item.writes:
                if first is not None or number < VECTOR_BASE or _kills(instruction, item, facts[index]):
                    live.pop(number, None)
            if first is not None:
                _need(live, {_ARGUMENT_BASE + first + number - min(item.writes): _ALL for number in wanted})
                continue
            _need(live, item.reads, _bits_read(instruction, wanted))
            if any(number >= VECTOR_BASE for number in item.reads | item.writes) and not _unmasked(item):
                _need(live, _EXEC)
    return live, marks


def _bits_read(instruction: Instruction, wanted: _Bits) -> int:
    """The bits of its register that decide those wanted of its result; all where that is not followed."""
    name = instruction.mnemonic
    if name not in ("s_and_b32", "s_lshl_b32", "s_lshr_b32", "s_ashr_i32") or SCC_REGISTER in wanted:
        return _ALL
    constant, bits = constant_bits(instruction["ssrc1"], Kind.U32, instruction.literal), max(wanted.values(), default=0)
    if constant is None:
        return _ALL
    if name == "s_and_b32":
        return bits & constant
    count = constant & 31
    if name == "s_lshl_b32":
        return bits >> count
    sign = name == "s_ashr_i32" and bits >> (31 - count)
    return bits << count & _ALL | (1 << 31 if sign else 0)


def _unmasked(item: Bound) -> bool:
    return isinstance(item, Moves) and not item.masked


def _kills(instruction: Instruction, item: Bound, known: _Facts) -> bool:
    """Whether what an instruction writes to vector registers is written in every lane."""
    return _unmasked(item) or ((EXEC, _ONES) in known and instruction.mnemonic != "v_writelane_b32")


def _kept(
    block: Block, bound: tuple[Bound, ...], facts: list[_Facts], marks: list[bool], leaving: _Bits
) -> tuple[Kept, ...]:
    kept: list[Kept] = []
    for index, (instruction, item) in enumerate(zip(block.instructions, bound, strict=True)):
        if not marks[index]:
            continue
        if not isinstance(item, Moves) and (
            instruction.encoding in (Encoding.SCRATCH, Encoding.DS)
            or instruction.mnemonic in mfma.NAMES
            or "atomic" in instruction.mnemonic
        ):
            raise NotUnderstoodError(
                f"where the kernel stores depends on {instruction.describe()}",
                why="the integer part of a kernel is run without matrix results, LDS and atomics",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        first = _argument(instruction, facts[index])
        if first is not None:
            rest = Block(block.number, block.first, block.instructions[index + 1 :] or (instruction,))
            after, _ = _walk(rest, bound[index + 1 :], facts[index + 1 :], leaving)
            item = _load(sorted(item.writes & after.keys()), first - min(item.writes), item)
        kept.append(Kept(instruction, item, is_store(instruction)))
    return tuple(kept)


def _load(registers: list[int], distance: int, item: Bound) -> Bound:
    """Kernel arguments, as each program's launch has them, into those of the registers that are needed."""

    def execute(g: Any) -> None:
        for register in registers:
            g.scalar[register][...] = g.batch.word(register + distance, g.ids)

    return replace(item, execute=execute, reads=frozenset(), writes=frozenset(registers))


def _always_taken(block: Block) -> Block:
    last = replace(block.last, mnemonic=control.BRANCH)
    return Block(block.number, block.first, (*block.instructions[:-1], last))
