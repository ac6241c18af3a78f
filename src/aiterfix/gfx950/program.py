"""The executable form of a kernel: its basic blocks, bound."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950 import control, ds, global_memory, mfma
from aiterfix.gfx950.blocks import PRELOAD_ENTRY, Block, ControlFlow
from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.instruction import VGPR, Encoding, UnmodelledInstructionError
from aiterfix.gfx950.operands import VECTOR_BASE, Binder, Bound, Execute
from aiterfix.gfx950.waits import (
    LDS,
    VMCNT,
    MissingWait,
    counters_of,
    counts_waited_for,
    missing_waits,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.recorder import Recorder
    from aiterfix.gfx950.waves import Waves


class Program(ControlFlow):
    """The executable form of a kernel. Made once for a code object and used by all batches and threads.

    Args:
        code: the kernel.

    Attributes:
        counted_rows: vector registers whose writes are counted: what comes of their contents is kept until then.
        mnemonics: those that it has, and the place among them of each instruction's.
    """

    def __init__(self, code: CodeObject) -> None:
        super().__init__(code)
        self.registers = VECTOR_BASE + code.vgprs + code.agprs
        self._lock = threading.Lock()
        self._missing_waits: dict[frozenset[tuple[int, int]], tuple[MissingWait, ...]] = {}
        self.counted_rows = _counted_rows(code)
        self.entry = self.block_at(PRELOAD_ENTRY if code.descriptor.preload_length else 0)
        names, places = np.unique([i.mnemonic for i in self.instructions], return_inverse=True)
        self.mnemonics: tuple[list[str], NDArray[np.int64]] = (names.tolist(), places)
        self.barriers = any(i.mnemonic == control.BARRIER for i in self.instructions)
        self.loads_to_lds = any(global_memory.loads_to_lds(i) for i in self.instructions)
        self.lds_cell = min((ds.narrowest(i.mnemonic) for i in self.instructions), default=4)

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
            replaced = chained(block, bound, self.code)
            block.executes = tuple(
                self._counting_loads(self._counting_versions(replaced.get(position, item.execute), item), instruction)
                for position, (item, instruction) in enumerate(zip(bound, block.instructions, strict=True))
            )

    def report_missing_waits(self, recorder: Recorder, edges: Collection[tuple[int, int]]) -> None:
        """Report uses of a load's result without a wait, along the edges between blocks that were taken."""
        taken = frozenset(edges)
        with self._lock:
            if taken not in self._missing_waits:
                self._missing_waits[taken] = missing_waits(self.blocks, self.entry, taken)
        for missing in self._missing_waits[taken]:
            what = f"touches {self.register_name(missing.register)} without waiting for {missing.counter}"
            recorder.finding(FindingKind.MISSING_WAIT, missing.instruction, what)

    def register_name(self, number: int) -> str:
        """The assembler's name of a register number."""
        if number < VECTOR_BASE:
            return {106: "vcc_lo", 107: "vcc_hi", 124: "m0", 126: "exec_lo", 127: "exec_hi"}.get(number, f"s{number}")
        row = number - VECTOR_BASE
        return f"v{row}" if row < self.code.vgprs else f"a{row - self.code.vgprs}"

    def _counting_versions(self, execute: Execute, item: Bound) -> Execute:
        """Let a write to a register be noticed if something is kept of what it holds."""
        rows = tuple(n - VECTOR_BASE for n in item.writes if n - VECTOR_BASE in self.counted_rows)
        if not rows:
            return execute

        def execute_and_count(g: Waves) -> None:
            execute(g)
            for row in rows:
                g.versions[row] += 1

        return execute_and_count

    def _counting_loads(self, execute: Execute, instruction: Instruction) -> Execute:
        """Let it be known what each wave has issued and what it waited for, as far as it matters to LDS: loads where
        some go straight there, its own instructions where reads may cross a barrier."""
        watched = [counter for counter, asked in ((VMCNT, self.loads_to_lds), (LDS, self.barriers)) if asked]
        for counter in (counter for counter in watched if counter in counters_of(instruction)):

            def execute_and_issue(g: Waves, counter: str = counter) -> None:
                execute(g)
                if g.batch.lds_watch is not None:
                    g.batch.lds_watch.issued(g, counter)

            return execute_and_issue
        if watched and instruction.mnemonic == "s_waitcnt":
            left = dict(zip((VMCNT, LDS), counts_waited_for(instruction), strict=True))
            left = {counter: left[counter] for counter in watched}

            def execute_and_wait(g: Waves) -> None:
                if g.batch.lds_watch is not None:
                    g.batch.lds_watch.waited(g, left)

            return execute_and_wait
        return execute


def _counted_rows(code: CodeObject) -> frozenset[int]:
    """Vector registers that some matrix instruction multiplies, or that hold addresses of LDS."""
    rows: set[int] = set()
    for instruction in code.instructions:
        if instruction.encoding is Encoding.DS:
            rows.add(instruction["addr"] - VGPR)
        if (operands := _matrices(instruction, code)) is not None:
            rows.update(operands.a, operands.b)
    return frozenset(rows)


def _matrices(instruction: Instruction, code: CodeObject) -> mfma.Matrices | None:
    """Operands of a matrix instruction that keeps them converted; None for any other, and for what is not modelled."""
    if instruction.mnemonic not in mfma.NAMES:
        return None
    try:
        operands = mfma.matrices(Binder(instruction, code))
    except UnmodelledInstructionError:
        return None
    return operands if operands.op.any_order else None


def _nothing(g: Waves) -> None:
    """In place of an instruction whose result nobody looks at."""


def chained(block: Block, bound: Sequence[Bound], code: CodeObject) -> dict[int, Execute]:
    """Matrix instructions that may be executed as one.

    Instruction ``j`` continues ``i`` where it adds to ``i``'s result; nothing else reads or writes that result before
    it is overwritten in the same block; and the registers that ``i`` multiplies still hold the same at ``j``.

    Returns:
        By position in the block, the replacements: nothing for all but the last of a chain.
    """
    found = {position: _matrices(instruction, code) for position, instruction in enumerate(block.instructions)}
    operands = {position: matrices for position, matrices in found.items() if matrices is not None}
    replaced: dict[int, Execute] = {}
    used: set[int] = set()
    for start in operands:
        if start in used:
            continue
        chain = [start]
        while (following := _continuation(chain, operands, bound)) is not None:
            chain.append(following)
        if len(chain) > 1:
            used.update(chain)
            replaced.update(dict.fromkeys(chain[:-1], _nothing))
            replaced[chain[-1]] = mfma.executor([operands[position] for position in chain])
    return replaced


def _continuation(chain: list[int], operands: dict[int, mfma.Matrices], bound: Sequence[Bound]) -> int | None:
    link = operands[chain[-1]]
    result = frozenset(range(VECTOR_BASE + link.target, VECTOR_BASE + link.target + link.op.results))
    inputs = frozenset(
        VECTOR_BASE + row for position in chain for row in (*operands[position].a, *operands[position].b)
    )
    first = operands[chain[0]]
    if first.addend is not None:
        inputs |= frozenset(range(VECTOR_BASE + first.addend, VECTOR_BASE + first.addend + first.op.results))
    position = chain[-1] + 1
    while position < len(bound):
        item = bound[position]
        if position in operands and operands[position].addend == link.target and operands[position].op == link.op:
            break
        if item.reads & result or item.writes & (result | inputs):
            return None
        position += 1
    else:
        return None
    following = bound[position]
    left = set(result - following.writes)
    multiplied = frozenset(VECTOR_BASE + row for row in (*operands[position].a, *operands[position].b))
    if multiplied & result:
        return None
    for item in bound[position + 1 :]:
        if not left:
            break
        if item.reads & left:
            return None
        left -= item.writes
    return None if left else position
