"""Uses of a load's result that no ``s_waitcnt`` covers, found by following the counters through the program.

The emulator completes every load when it is issued, so a missing wait never changes a result here; on hardware it
does, now and then. So the counters are checked apart from execution, over the blocks that were executed and the
edges between them that were taken (ISA manual, section 4.4):

- ``vmcnt`` counts buffer, global and scratch loads and stores, which are taken to finish in order; ``buffer_inv`` it
  does not count (LLVM's SIInsertWaitcnts).
- ``lgkmcnt`` counts LDS instructions, which finish in order among themselves, and scalar loads, which do not: only a
  wait for 0 covers a scalar load.
- Flat instructions count in both and may finish before what was issued earlier: only a wait for 0 of both covers one,
  and it does not make up for what others are waited for (LLVM: on gfx9 they "can report early completion").

A register with a load under way may neither be read nor be overwritten, except by a later load that counts in the
same counter and finishes in order. What reads, writes and loads to LDS that cross a barrier do to other waves
``lds_watch`` follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiterfix.gfx950.instruction import Encoding, Instruction

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiterfix.gfx950.blocks import Block

VMCNT, LDS, _SCALAR = "vmcnt", "lgkmcnt (LDS)", "lgkmcnt (scalar)"
_FLAT_VMCNT, _FLAT_LGKM = "vmcnt (flat)", "lgkmcnt (flat)"
_UNORDERED = (_SCALAR, _FLAT_VMCNT, _FLAT_LGKM)
_COUNTERS = {
    Encoding.MUBUF: (VMCNT,),
    Encoding.GLOBAL: (VMCNT,),
    Encoding.SCRATCH: (VMCNT,),
    Encoding.FLAT: (_FLAT_VMCNT, _FLAT_LGKM),
    Encoding.DS: (LDS,),
    Encoding.SMEM: (_SCALAR,),
}
_AGE_LIMIT = 64
"""Ages beyond the widest counter are alike."""


_Ages = dict[str, dict[int, int]]
"""For each counter: register to the number of operations issued after the load into it."""


def _join(mine: _Ages, other: _Ages) -> bool:
    """Take in another path; the younger load counts. True if anything changed."""
    changed = False
    for counter, ages in other.items():
        for register, age in ages.items():
            if mine[counter].get(register, _AGE_LIMIT + 1) > age:
                mine[counter][register] = age
                changed = True
    return changed


@dataclass(frozen=True)
class MissingWait:
    """An instruction that touches a register before the load into it is known to be complete."""

    instruction: Instruction
    register: int
    counter: str


def counts_waited_for(instruction: Instruction) -> tuple[int, int]:
    """``vmcnt`` and ``lgkmcnt`` that an ``s_waitcnt`` waits for."""
    bits = instruction["simm16"]
    return bits & 0xF | bits >> 14 << 4, bits >> 8 & 0xF


def counters_of(instruction: Instruction) -> tuple[str, ...]:
    """The counters that it counts in until it is complete."""
    return () if instruction.mnemonic == "buffer_inv" else _COUNTERS.get(instruction.encoding, ())


def missing_waits(blocks: Sequence[Block], entry: int, edges: Collection[tuple[int, int]]) -> tuple[MissingWait, ...]:
    """Check what was executed.

    Args:
        blocks: the kernel's; those executed are bound.
        entry: number of the first one executed.
        edges: pairs of blocks, the second executed after the first.
    """
    followed: dict[int, list[int]] = {}
    for before, after in sorted(edges):
        followed.setdefault(before, []).append(after)
    entries: dict[int, _Ages] = {entry: {counter: {} for counter in (VMCNT, LDS, *_UNORDERED)}}
    steps = {number: _steps(blocks[number]) for number in {entry, *(n for edge in edges for n in edge)}}
    work = {entry}
    while work:
        work.remove(number := min(work))  # in the program's order: most predecessors come first
        state = {counter: dict(ages) for counter, ages in entries[number].items()}
        _walk(steps[number], state, None)
        for successor in followed.get(number, ()):
            if successor not in entries:
                entries[successor] = {counter: dict(ages) for counter, ages in state.items()}
                work.add(successor)
            elif _join(entries[successor], state):
                work.add(successor)
    found: dict[tuple[int, int, str], MissingWait] = {}
    for number, state in entries.items():
        _walk(steps[number], state, found)
    return tuple(found[key] for key in sorted(found))


@dataclass(frozen=True)
class _Step:
    """What of an instruction the counters are concerned with."""

    instruction: Instruction
    reads: frozenset[int]
    touches: frozenset[int]
    counters: tuple[str, ...]
    results: frozenset[int]
    waits: tuple[tuple[str, int], ...]


def _steps(block: Block) -> list[_Step]:
    found = []
    for instruction, bound in zip(block.instructions, block.bound, strict=True):
        counters, waits = counters_of(instruction), []
        if instruction.mnemonic == "s_waitcnt":
            vector, lgkm = counts_waited_for(instruction)
            waits = [(VMCNT, vector), (_FLAT_VMCNT, vector), (LDS, lgkm), (_SCALAR, lgkm), (_FLAT_LGKM, lgkm)]
        found.append(_Step(instruction, bound.reads, bound.reads | bound.writes, counters, bound.writes, tuple(waits)))
    return found


def _walk(steps: list[_Step], state: _Ages, found: dict[tuple[int, int, str], MissingWait] | None) -> None:
    # Ages are kept less the operations issued meanwhile, so that none need be touched for each that is.
    issued = dict.fromkeys(state, 0)
    for step in steps:
        for counter, ages in state.items():
            if not ages or step.touches.isdisjoint(ages):
                continue
            in_order = counter in step.counters and counter not in _UNORDERED
            for register in sorted(step.touches.intersection(ages)):
                if found is not None and (register in step.reads or not in_order):
                    key = (step.instruction.pc, register, counter)
                    found[key] = MissingWait(step.instruction, register, counter)
                # Reported once; a register overwritten by something else is no longer the load's.
                del ages[register]
        for counter, limit in step.waits:
            oldest = (1 << 30 if counter in _UNORDERED and limit else limit) - issued[counter]
            state[counter] = {register: age for register, age in state[counter].items() if age < oldest}
        for counter in step.counters:
            issued[counter] += 1
            state[counter].update(dict.fromkeys(step.results, -issued[counter]))
    for counter, count in issued.items():
        state[counter] = {register: min(age + count, _AGE_LIMIT) for register, age in state[counter].items()}
