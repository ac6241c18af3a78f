"""A kernel cut into basic blocks, and which may follow which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control, semantics
from aiterfix.gfx950.instruction import JUMPS
from aiterfix.gfx950.operands import Binder, Bound, Execute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.instruction import Instruction

PRELOAD_ENTRY = 256
"""Firmware that preloads kernarg SGPRs starts a wave this many bytes in, past the code that loads them."""


class Block:
    """Instructions executed one after the other, the last of which may branch.

    Attributes:
        number: place in ``Program.blocks``.
        first: index of its first instruction in the program.
        instructions: the instructions.
        executes: their effects; empty until ``Program.bind`` is called for the block.
        exposed: numbers of the registers read before the block writes them.
        written: numbers of the registers it writes.
    """

    __slots__ = ("bound", "executes", "exposed", "first", "instructions", "number", "written")

    def __init__(self, number: int, first: int, instructions: tuple[Instruction, ...]) -> None:
        self.number = number
        self.first = first
        self.instructions = instructions
        self.executes: tuple[Execute, ...] = ()
        self.bound: tuple[Bound, ...] = ()
        self.exposed: NDArray[np.int64] = np.zeros(0, np.int64)
        self.written: NDArray[np.int64] = np.zeros(0, np.int64)

    @property
    def pc(self) -> int:
        """Where it starts."""
        return self.instructions[0].pc

    @property
    def last(self) -> Instruction:
        """Its last instruction."""
        return self.instructions[-1]


class ControlFlow:
    """The blocks of a kernel.

    Args:
        code: the kernel.
    """

    def __init__(self, code: CodeObject) -> None:
        self.code = code
        self.instructions = code.instructions
        self.blocks = self._cut()
        self._at = {block.pc: block.number for block in self.blocks}

    def _cut(self) -> tuple[Block, ...]:
        starts = {0, PRELOAD_ENTRY}
        known = {instruction.pc for instruction in self.instructions}
        before = None
        for instruction in self.instructions:
            if before is None or instruction.pc != before.end:
                starts.add(instruction.pc)  # a function that the kernel calls
            before = instruction
            if control.is_terminator(instruction):
                starts.add(instruction.end)
                if instruction.mnemonic in control.CONDITIONS or instruction.mnemonic == control.BRANCH:
                    target = control.branch_target(instruction)
                    if target not in known:
                        raise NotUnderstoodError(
                            f"{instruction.describe()} branches to {target:#x}, where no instruction of the kernel is.",
                            remedy="Check that the code object is complete.",
                        )
                    starts.add(target)
        blocks: list[Block] = []
        current: list[Instruction] = []
        first = 0
        for index, instruction in enumerate(self.instructions):
            if instruction.pc in starts and current:
                blocks.append(Block(len(blocks), first, tuple(current)))
                current = []
            if not current:
                first = index
            current.append(instruction)
        if current:
            blocks.append(Block(len(blocks), first, tuple(current)))
        return tuple(blocks)

    def block_at(self, pc: int, reached_from: Instruction | None = None) -> int:
        """Number of the block that starts at ``pc``.

        Raises:
            NotUnderstoodError: control flow leaves the kernel.
        """
        if pc in self._at:
            return self._at[pc]
        came = "" if reached_from is None else f" after {reached_from.describe()}"
        raise NotUnderstoodError(
            f"Execution leaves kernel {self.code.name} at pc {pc:#x}{came}.",
            remedy="Check that the code object is complete.",
        )

    def successors(self, block: Block) -> tuple[int, ...]:
        """Numbers of the blocks that may follow: the next one, and where a branch leads.

        Padding behind the last branch falls off the kernel's end; executing it is an error of its own.

        Raises:
            NotUnderstoodError: it ends in a call or a return.
        """
        last = block.last
        if last.mnemonic in JUMPS:
            raise NotUnderstoodError(
                f"{last.describe()} goes where a register says.",
                why="What may follow is known only where it is executed.",
                remedy="Compile the kernel without noinline functions.",
            )
        pcs = [] if last.mnemonic in (control.BRANCH, control.END) else [last.end]
        if last.mnemonic in control.CONDITIONS or last.mnemonic == control.BRANCH:
            pcs.append(control.branch_target(last))
        return tuple(self._at[pc] for pc in pcs if pc in self._at)

    def bound_instructions(self, block: Block) -> tuple[Bound, ...]:
        """The block's instructions with their register sets."""
        return tuple(semantics.bind(Binder(instruction, self.code)) for instruction in block.instructions)
