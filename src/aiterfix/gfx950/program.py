"""A kernel cut into basic blocks of bound instructions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import control, semantics
from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.operands import VECTOR_BASE, Binder, Bound, Execute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.recorder import Recorder
    from aiterfix.gfx950.waits import MissingWait
    from aiterfix.gfx950.waves import Waves

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


class Program:
    """The executable form of a kernel. Made once for a code object and used by all batches and threads."""

    def __init__(self, code: CodeObject) -> None:
        self.code = code
        self.instructions = code.instructions
        self.registers = VECTOR_BASE + code.vgprs + code.agprs
        self._lock = threading.Lock()
        self._missing_waits: dict[frozenset[int], tuple[MissingWait, ...]] = {}
        self.blocks = self._cut()
        self._at = {block.pc: block.number for block in self.blocks}
        self._matrix_rows: dict[int, set[Any]] | None = None

    def _cut(self) -> tuple[Block, ...]:
        starts = {0, PRELOAD_ENTRY}
        known = {instruction.pc for instruction in self.instructions}
        for instruction in self.instructions:
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

    def bind(self, block: Block) -> None:
        """Make a block executable.

        Raises:
            UnmodelledInstructionError: it contains something that is not modelled.
        """
        with self._lock:
            if block.executes:
                return
            bound = self.bound_instructions(block)
            exposed: set[int] = set()
            written: set[int] = set()
            for item in bound:
                exposed |= item.reads - written
                written |= item.writes
            block.exposed = np.array(sorted(r for r in exposed if r >= 0), np.int64)
            block.written = np.array(sorted(r for r in written if r >= 0), np.int64)
            block.bound = bound
            block.executes = tuple(self._with_conversions_dropped(item) for item in bound)

    def bound_instructions(self, block: Block) -> tuple[Bound, ...]:
        """The block's instructions with their register sets."""
        return tuple(semantics.bind(Binder(instruction, self.code)) for instruction in block.instructions)

    def report_missing_waits(self, recorder: Recorder, counts: NDArray[np.int64]) -> None:
        """Report uses of a load's result without a wait, among the instructions that were executed."""
        from aiterfix.gfx950.waits import missing_waits

        executed = frozenset(block.number for block in self.blocks if counts[block.first])
        with self._lock:
            if executed not in self._missing_waits:
                self._missing_waits[executed] = missing_waits(self, executed)
        for missing in self._missing_waits[executed]:
            recorder.finding(
                FindingKind.MISSING_WAIT,
                missing.instruction,
                f"touches {self.register_name(missing.register)} without waiting for {missing.counter}",
            )

    def register_name(self, number: int) -> str:
        """The assembler's name of a register number."""
        if number < VECTOR_BASE:
            return {106: "vcc_lo", 107: "vcc_hi", 124: "m0", 126: "exec_lo", 127: "exec_hi"}.get(number, f"s{number}")
        row = number - VECTOR_BASE
        return f"v{row}" if row < self.code.vgprs else f"a{row - self.code.vgprs}"

    def _with_conversions_dropped(self, item: Bound) -> Execute:
        """Matrix operands are kept converted; a write to a register under one drops it."""
        if self._matrix_rows is None:
            self._matrix_rows = _matrix_operand_rows(self.instructions, self.code)
        keys = {
            key
            for number in item.writes
            if number >= VECTOR_BASE
            for key in self._matrix_rows.get(number - VECTOR_BASE, ())
        }
        if not keys:
            return item.execute
        execute, dropped = item.execute, tuple(keys)

        def execute_and_drop(g: Waves) -> None:
            execute(g)
            g.stale.update(dropped)

        return execute_and_drop


def _matrix_operand_rows(instructions: Sequence[Instruction], code: CodeObject) -> dict[int, set[Any]]:
    from aiterfix.gfx950 import mfma

    rows: dict[int, set[Any]] = {}
    for instruction in instructions:
        if instruction.mnemonic in mfma.NAMES:
            for key in mfma.conversion_keys(Binder(instruction, code)):
                for row in range(key[0], key[0] + key[1]):
                    rows.setdefault(row, set()).add(key)
    return rows
