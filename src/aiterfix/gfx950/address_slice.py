"""Which instructions a kernel's addresses and branches depend on.

To know where a kernel stores, its floating-point data need not be computed. This finds the instructions whose results
can reach an address, a branch or EXEC: live-register analysis backwards over the blocks, with those uses as the only
roots. The others may be left out, since nobody looks at what they compute.

Addresses that pass through LDS or scratch are followed (their stores count as uses); addresses that a kernel reads
back from device memory it wrote itself are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiterfix.gfx950 import control
from aiterfix.gfx950.instruction import EXEC, Encoding

if TYPE_CHECKING:
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.operands import Bound
    from aiterfix.gfx950.program import Program

_EXEC_REGISTERS = frozenset({EXEC, EXEC + 1})
_DEVICE_MEMORY = frozenset({Encoding.MUBUF, Encoding.GLOBAL, Encoding.FLAT, Encoding.SMEM})
_PRIVATE_MEMORY = frozenset({Encoding.DS, Encoding.SCRATCH})
_SCALAR_RESULT = frozenset({Encoding.SOP1, Encoding.SOP2, Encoding.SOPC, Encoding.SOPK, Encoding.SMEM})


def needed_for_addresses(program: Program) -> frozenset[int]:
    """The pcs of the instructions to execute so that every access happens at its place.

    All memory instructions and all control flow are among them; stores then write data that mean nothing.

    Raises:
        UnmodelledInstructionError: something in the kernel is not modelled, reached or not.
    """
    bound = {block.number: program.bound_instructions(block) for block in program.blocks}
    # A vector write leaves the lanes alone that are off. Where EXEC never changes they stay off, and the write ends the
    # old value's life; elsewhere the old value may be read again, so a vector register stays live (fewer are left out).
    exec_is_constant = not any(item.writes & _EXEC_REGISTERS for items in bound.values() for item in items)
    live_in: dict[int, frozenset[int]] = dict.fromkeys(bound, frozenset())
    needed: set[int] = set()
    changed = True
    while changed:
        changed = False
        for block in reversed(program.blocks):
            live: frozenset[int] = frozenset()
            for successor in program.successors(block):
                live |= live_in[successor]
            for instruction, item in zip(reversed(block.instructions), reversed(bound[block.number]), strict=True):
                uses = _uses(instruction, item, live)
                if uses is None:
                    continue
                needed.add(instruction.pc)
                whole = instruction.mnemonic != "v_writelane_b32"
                if instruction.encoding in _SCALAR_RESULT or (exec_is_constant and whole):
                    live -= item.writes
                live |= uses
            if live != live_in[block.number]:
                live_in[block.number] = live
                changed = True
    return frozenset(needed)


def _uses(instruction: Instruction, item: Bound, live: frozenset[int]) -> frozenset[int] | None:
    """Registers that keeping this instruction makes live; None if it may be left out."""
    if instruction.encoding in _PRIVATE_MEMORY or instruction.mnemonic in control.NAMES:
        return item.reads
    if item.writes & (live | _EXEC_REGISTERS):
        return item.reads
    if instruction.encoding in _DEVICE_MEMORY:
        return item.steers
    return None
