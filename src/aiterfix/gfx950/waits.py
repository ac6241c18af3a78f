"""Uses of a load's result that no ``s_waitcnt`` covers, found by following the counters through the program.

The emulator completes every load when it is issued, so a missing wait never changes a result here; on hardware it
does, now and then. So the counters are checked apart from execution, over the blocks that were executed and the
edges between them that were taken (ISA manual, section 4.4):

- ``vmcnt`` counts buffer, global, flat and scratch loads and stores, which are taken to finish in order.
- ``lgkmcnt`` counts LDS instructions, which finish in order among themselves, and scalar loads, which do not: only a
  wait for 0 covers a scalar load. Flat instructions count in both.

A register with a load under way may neither be read nor be overwritten, except by a later load that counts in the
same counter and finishes in order. A barrier may not be reached with writes to LDS under way: the other waves would
read what is not there yet. Loads straight into LDS may cross one, as pipelines have them; ``lds_watch`` follows those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiterfix.gfx950 import control, ds
from aiterfix.gfx950.instruction import Encoding, Instruction

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiterfix.gfx950.blocks import Block

VMCNT, _LDS, _SCALAR = "vmcnt", "lgkmcnt (LDS)", "lgkmcnt (scalar)"
LDS_WRITES = -2
"""Writes to LDS, where registers have their numbers."""
_COUNTERS = {
    Encoding.MUBUF: (VMCNT,),
    Encoding.GLOBAL: (VMCNT,),
    Encoding.SCRATCH: (VMCNT,),
    Encoding.FLAT: (VMCNT, _LDS),
    Encoding.DS: (_LDS,),
    Encoding.SMEM: (_SCALAR,),
}
_AGE_LIMIT = 64
"""Ages beyond the widest counter are alike."""


@dataclass
class _LoadsUnderWay:
    """For each counter: register to the number of operations issued after the load into it."""

    ages: dict[str, dict[int, int]] = field(default_factory=lambda: {VMCNT: {}, _LDS: {}, _SCALAR: {}})

    def copy(self) -> _LoadsUnderWay:
        return _LoadsUnderWay({counter: dict(ages) for counter, ages in self.ages.items()})

    def join(self, other: _LoadsUnderWay) -> bool:
        """Take in another path; the younger load counts. True if anything changed."""
        changed = False
        for counter, ages in other.ages.items():
            mine = self.ages[counter]
            for register, age in ages.items():
                if mine.get(register, _AGE_LIMIT + 1) > age:
                    mine[register] = age
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
    return _COUNTERS.get(instruction.encoding, ())


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
    entries = {entry: _LoadsUnderWay()}
    work = {entry}
    while work:
        work.remove(number := min(work))  # in the program's order: most predecessors come first
        state = entries[number].copy()
        _walk(blocks[number], state, None)
        for successor in followed.get(number, ()):
            if successor not in entries:
                entries[successor] = state.copy()
                work.add(successor)
            elif entries[successor].join(state):
                work.add(successor)
    found: dict[tuple[int, int, str], MissingWait] = {}
    for number, state in entries.items():
        _walk(blocks[number], state.copy(), found)
    return tuple(found[key] for key in sorted(found))


def _walk(block: Block, state: _LoadsUnderWay, found: dict[tuple[int, int, str], MissingWait] | None) -> None:
    for instruction, bound in zip(block.instructions, block.bound, strict=True):
        if found is not None and instruction.mnemonic == control.BARRIER and LDS_WRITES in state.ages[_LDS]:
            found[instruction.pc, LDS_WRITES, _LDS] = MissingWait(instruction, LDS_WRITES, _LDS)
        counters = counters_of(instruction)
        for counter, ages in state.ages.items():
            if not ages or (ages.keys().isdisjoint(bound.reads) and ages.keys().isdisjoint(bound.writes)):
                continue
            for register in sorted(ages.keys() & (bound.reads | bound.writes)):
                in_order = counter in counters and counter != _SCALAR
                if found is not None and (register in bound.reads or not in_order):
                    key = (instruction.pc, register, counter)
                    found[key] = MissingWait(instruction, register, counter)
                # Reported once; a register overwritten by something else is no longer the load's.
                del ages[register]
        if instruction.mnemonic == "s_waitcnt":
            vector, lgkm = counts_waited_for(instruction)
            for counter, limit in ((VMCNT, vector), (_LDS, lgkm)):
                state.ages[counter] = {r: age for r, age in state.ages[counter].items() if age < limit}
            if lgkm == 0:
                state.ages[_SCALAR] = {}
        for counter in counters:
            ages = state.ages[counter]
            for register in ages:
                ages[register] = min(ages[register] + 1, _AGE_LIMIT)
            for register in bound.writes:
                ages[register] = 0
            if counter == _LDS and ds.changes_lds(instruction.mnemonic):
                ages[LDS_WRITES] = 0
