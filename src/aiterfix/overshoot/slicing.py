"""Which instructions of a compiled kernel decide where it stores: all others are left out.

A backward slice of the machine code, by the liveness of registers. Needed are the operands of branches, and the
*addresses* of every store to memory, with the lanes that are on; the stored data are not. An instruction is kept if
something it writes is live behind it. The analysis starts from nothing live and grows to a fixed point, so that a value
that only feeds its own next iteration is left out too ("faint" variables), and so is a branch around instructions of
which none is kept. What remains of an attention kernel is its integer part: a few dozen instructions of some thousands.
The result is a program of its own, which the emulator's machine runs on one element a program
(:mod:`~aiterfix.overshoot.programs`).

A write to a vector register changes the active lanes only, so it ends the register's life only where EXEC is known to
be all ones. That is followed through the program, as is which scalar registers hold the address of the arguments.
Where EXEC becomes all ones again, it does so whatever it was: masks around loads of data are left out.

What is spilled at fixed places is followed like registers, and so are the kernel's arguments, dword by dword
(:mod:`~aiterfix.overshoot.moves`): which of them are live at the entry is which of them decide where the kernel stores.
The slice refuses (:class:`~aiterfix.errors.NotUnderstoodError`) kernels whose store addresses depend on matrix results,
LDS, private memory at computed places, or atomics: then only a full execution tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aiterfix.gfx950 import control, mfma
from aiterfix.gfx950.blocks import PRELOAD_ENTRY, Block
from aiterfix.gfx950.instruction import EXEC, Encoding, Instruction
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE, Bound
from aiterfix.gfx950.program import Program
from aiterfix.gfx950.waves import ALL_ON
from aiterfix.overshoot.instructions import branch_of, step_of
from aiterfix.overshoot.lanes import refused
from aiterfix.overshoot.moves import Moves, Places, moves_of

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject

_NONE: frozenset[int] = frozenset()
_EXEC = frozenset({EXEC, EXEC + 1})
_MEMORY = frozenset({Encoding.MUBUF, Encoding.GLOBAL, Encoding.FLAT})
_MINUS_ONE = 193
"""Operand code of an inline constant."""
_ONES, _ARGUMENTS = "all ones", "the arguments' address"
_Facts = frozenset[tuple[int, str]]
"""Pairs of scalar registers, by the first, that are known to hold something."""
Live = frozenset[int]
"""Registers that are live at some place, by :data:`~aiterfix.gfx950.operands.VECTOR_BASE`: programs with equal contents
behave alike from there."""


@dataclass(frozen=True)
class Kept:
    """One instruction that is kept.

    Attributes:
        instruction: the instruction.
        bound: its effect and registers; of moves, those that are needed.
        is_store: whether it stores to memory.
    """

    instruction: Instruction
    bound: Bound
    is_store: bool


class Slice(Program):
    """The part of a kernel that decides where it stores, as a program.

    Args:
        code: the kernel.

    Attributes:
        kept: for each block, what is kept of it.
        live: for each block, what is live at its entry; ``leaving``: what is live behind it.
        skips: blocks whose branch leads past instructions of which none is kept: all may as well take it.
        merges: blocks that lead to the first stores: programs with equal states are one from there.
        arguments: registers that hold kernel arguments at the entry and decide where the kernel stores: for each, the
            dword of the kernarg segment.
        highest: number of vector rows: registers, and what stands for spills and arguments.

    Raises:
        NotUnderstoodError: store addresses depend on what a slice cannot follow, or an instruction is not modelled.
    """

    def __init__(self, code: CodeObject) -> None:
        super().__init__(code)
        whole = self.blocks
        successors = [self.successors(block) for block in whole]
        bound = [self.bound_instructions(block) for block in whole]
        facts = _facts(self, bound, successors)
        places = Places(self, bound)
        followed = [
            [
                _followed(*one, places)
                for one in zip(block.instructions, bound[block.number], facts[block.number], strict=True)
            ]
            for block in whole
        ]
        self.live: list[Live] = [frozenset()] * len(whole)
        self.kept: list[tuple[Kept, ...]] = [() for _ in whole]
        changed = True
        while changed:
            changed = False
            for number in reversed(range(len(whole))):
                after = _NONE.union(*(self.live[n] for n in successors[number]))
                if not self._skips(number, successors):
                    after |= _of_branch(whole[number].last, bound[number][-1])
                walked = _walk(whole[number], followed[number], facts[number], after)
                if walked != (self.live[number], self.kept[number]):
                    changed = True
                    self.live[number], self.kept[number] = walked
        self._check()
        self.highest = places.end - VECTOR_BASE
        self.leaving = [_NONE.union(*(self.live[n] for n in following)) for following in successors]
        self.skips = {block.number for block in whole if self._skips(block.number, successors)}
        storing = _behind(successors, [any(map(is_store, block.instructions)) for block in whole])
        self.merges = {
            number
            for number, following in enumerate(successors)
            if number not in storing and any(n in storing and self.live[n] for n in following)
        }
        self.blocks = tuple(_always_taken(b) if b.number in self.skips else b for b in whole)
        self.arguments = self._deciding(places)

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

    def _check(self) -> None:
        for instruction in (k.instruction for kept in self.kept for k in kept if not isinstance(k.bound, Moves)):
            name = instruction.mnemonic
            if instruction.encoding in (Encoding.SCRATCH, Encoding.DS) or name in mfma.NAMES or "atomic" in name:
                raise refused(
                    f"where the kernel stores depends on {instruction.describe()}",
                    why="the integer part of a kernel is run without matrix results, LDS and atomics",
                )

    def _deciding(self, places: Places) -> dict[int, int]:
        """Dwords of the kernarg segment that are loaded later, or are in preloaded registers, and are live.

        Raises:
            NotUnderstoodError: something is live that no launch sets up: it could be anything on a GPU.
        """
        descriptor, entry = self.code.descriptor, self.live[self.entry]
        if descriptor.dispatch_pointer or descriptor.queue_pointer or descriptor.dispatch_id:
            raise refused(
                f"{self.code.name} asks for its dispatch packet, queue or number",
                why="where it stores could depend on them, and its arguments are in other registers",
            )
        if not descriptor.workgroup_ids[0]:
            raise refused(f"kernel {self.code.name} does not ask which program it is")
        first = 2 if descriptor.kernarg_pointer else 0
        preloaded = {first + k: descriptor.preload_offset + k for k in range(descriptor.preload_length)}
        begun = {**places.arguments, **preloaded}
        identity = range(descriptor.user_sgprs, descriptor.user_sgprs + sum(descriptor.workgroup_ids))
        unknown = sorted(entry - begun.keys() - {VECTOR_BASE, EXEC, EXEC + 1, *identity})
        if unknown:
            pointer = descriptor.kernarg_pointer and not {0, 1}.isdisjoint(unknown)
            what = "its arguments" if pointer else f"register {unknown[0]}, which nothing has written,"
            raise refused(f"kernel {self.code.name} reads {what} in a way that is not followed")
        return {number: begun[number] for number in sorted(entry & begun.keys())}


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


def _followed(instruction: Instruction, item: Bound, known: _Facts, places: Places) -> Bound:
    """An instruction, as what is known of it."""
    if (EXEC, _ONES) in _gained(instruction, known):
        return Bound(_all_on if SCC_REGISTER in item.writes else _on, frozenset(), item.writes, frozenset())
    return places.followed(instruction, item, (instruction.get("sbase"), _ARGUMENTS) in known)


def _on(g: Any) -> None:
    g.pairs64[EXEC >> 1] = ALL_ON
    g.exec_changed()


def _all_on(g: Any) -> None:
    _on(g)
    g.scc[...] = True  # it is not 0


def _of_branch(last: Instruction, item: Bound) -> frozenset[int]:
    """What a block's last instruction reads if it branches."""
    if not control.is_terminator(last):
        return frozenset()
    return item.reads | (_EXEC if "_cbranch_exec" in last.mnemonic else frozenset())


def _walk(block: Block, bound: list[Bound], facts: list[_Facts], after: Live) -> tuple[Live, tuple[Kept, ...]]:
    """Registers live at a block's entry, where those ``after`` are behind it; which of its instructions are needed."""
    live, kept = set(after), []
    for instruction, item, known in zip(reversed(block.instructions), reversed(bound), reversed(facts), strict=True):
        wanted = item.writes & live
        whole = (EXEC, _ONES) in known
        if is_store(instruction):
            kept.append(Kept(instruction, item, is_store=True))
            live |= item.steers | _EXEC
        elif isinstance(item, Moves) and wanted:
            item = moves_of(tuple(move for move in item.moves if move[1] in wanted), masked=item.masked)
            kept.append(Kept(instruction, item, is_store=False))
            if whole or not item.masked:
                live -= wanted
            live |= item.reads | (_EXEC if item.masked else _NONE)
        elif wanted:
            kept.append(Kept(instruction, item, is_store=False))
            whole = whole and instruction.mnemonic != "v_writelane_b32"
            live -= {number for number in wanted if number < VECTOR_BASE or whole}
            live |= item.reads
            if any(number >= VECTOR_BASE for number in item.reads | item.writes):
                live |= _EXEC
    return frozenset(live), tuple(reversed(kept))


def _always_taken(block: Block) -> Block:
    last = replace(block.last, mnemonic=control.BRANCH)
    return Block(block.number, block.first, (*block.instructions[:-1], last))
