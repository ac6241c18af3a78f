"""Program control: branches, barriers, waits (ISA manual, chapter 4).

Branches and barriers end a basic block; ``machine`` carries them out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.instruction import EXEC, JUMPS, MODE, VCC, Instruction
from aiterfix.gfx950.operands import SCC_REGISTER, Binder, Bound, Kind

if TYPE_CHECKING:
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.waves import Waves

NAME = "control"

CONDITIONS: dict[str, Callable[[Waves], Any]] = {
    "s_cbranch_scc0": lambda g: ~g.scc,
    "s_cbranch_scc1": lambda g: g.scc,
    "s_cbranch_vccz": lambda g: g.pairs64[VCC >> 1] == 0,
    "s_cbranch_vccnz": lambda g: g.pairs64[VCC >> 1] != 0,
    "s_cbranch_execz": lambda g: g.pairs64[EXEC >> 1] == 0,
    "s_cbranch_execnz": lambda g: g.pairs64[EXEC >> 1] != 0,
}
"""Which waves take a conditional branch."""

NOTHING = frozenset(
    {"s_nop", "s_waitcnt", "s_sleep", "s_setprio", "s_sethalt", "s_sendmsg", "s_icache_inv", "s_incperflevel",
     "s_decperflevel", "s_ttracedata", "v_nop"}
)  # fmt: skip
"""No effect on what is computed: loads complete when they are issued, and there is no timing."""

BRANCH, BARRIER, END = "s_branch", "s_barrier", "s_endpgm"
OWN_ADDRESS = frozenset({*JUMPS, "s_getpc_b64"})
"""Instructions to which the kernel's address in memory matters."""
NAMES = frozenset({*CONDITIONS, *NOTHING, *OWN_ADDRESS, BRANCH, BARRIER, END, "s_setreg_imm32_b32", "s_setreg_b32"})


def is_terminator(instruction: Instruction) -> bool:
    """True where the instruction ends a basic block."""
    return instruction.mnemonic in CONDITIONS or instruction.mnemonic in (BRANCH, BARRIER, END, *JUMPS)


def branch_target(instruction: Instruction) -> int:
    """The pc a branch goes to when taken."""
    offset = instruction["simm16"]
    return instruction.end + 4 * (offset - (offset >> 15 << 16))


def bind(binder: Binder) -> Bound:
    """Bind an instruction of this group; terminators do nothing here but name the registers they read, and write."""
    instruction = binder.instruction
    name = instruction.mnemonic
    if name in OWN_ADDRESS:
        return _bind_own_address(binder)
    if name == "s_sethalt" and instruction["simm16"] & 1:
        binder.refuse("it halts the wave")
    if name == "s_sendmsg":
        binder.refuse("a message to the host")
    if name.startswith("s_setreg"):
        return _bind_set_overflow(binder)
    if name.startswith("s_cbranch_scc"):
        binder.reads.add(SCC_REGISTER)
        binder.steers.add(SCC_REGISTER)
    elif name.startswith("s_cbranch_vcc"):
        binder.note_scalar(VCC, 2, binder.reads, steer=True)
    return binder.bound(_nothing)


_MODE_REGISTER, _OVERFLOW_BIT = 1, 23


def _writes_overflow(instruction: Instruction) -> bool:
    """Does it write MODE.FP16_OVFL and nothing else?"""
    if not instruction.mnemonic.startswith("s_setreg"):
        return False
    place = instruction["simm16"]
    return (place & 63, place >> 6 & 31, place >> 11) == (_MODE_REGISTER, _OVERFLOW_BIT, 0)


def sets_overflow(code: CodeObject) -> bool:
    """Does the kernel write MODE.FP16_OVFL?"""
    return any(_writes_overflow(instruction) for instruction in code.instructions)


def overflow_clamps(g: Waves) -> Any:
    """``(n, 1)`` bool: what is too large for 8 or 16 bits becomes the largest number (MODE.FP16_OVFL)."""
    return g.scalar[MODE][:, np.newaxis] != 0


def _bind_set_overflow(binder: Binder) -> Bound:
    instruction = binder.instruction
    if not _writes_overflow(instruction):
        binder.refuse("a write to a hardware register other than MODE.FP16_OVFL: the mode is the kernel descriptor's")
    if instruction.mnemonic == "s_setreg_imm32_b32":
        bit = np.array([(instruction.literal or 0) & 1], np.uint32)
        return binder.bound(lambda g: np.copyto(g.scalar[MODE], bit))
    fetch = binder.scalar_source(instruction["sdst"], Kind.U32)
    return binder.bound(lambda g: np.copyto(g.scalar[MODE], fetch(g) & np.uint32(1)))


def _bind_own_address(binder: Binder) -> Bound:
    """The address of the next instruction to a register, and where to go on to ``Waves.target``."""
    instruction = binder.instruction
    name = instruction.mnemonic
    write = None if name == "s_setpc_b64" else binder.scalar_result(instruction["sdst"], 64)
    fetch = binder.scalar_source(instruction["ssrc0"], Kind.U64, steer=True) if name in _TO_A_REGISTER else None

    def execute(g: Waves) -> None:
        if fetch is not None:
            g.target = fetch(g).astype(np.int64) - g.batch.code_address
        elif name in JUMPS:
            g.target = np.full(g.count, branch_target(instruction))
        if write is not None:
            write(g, np.full(g.count, g.batch.code_address + instruction.end, np.uint64))

    return binder.bound(execute)


_TO_A_REGISTER = frozenset({"s_setpc_b64", "s_swappc_b64"})


def _nothing(g: Waves) -> None:
    pass


def taken(instruction: Instruction, g: Waves) -> Any:
    """``(n,)`` bool: the waves that take a conditional branch."""
    return np.asarray(CONDITIONS[instruction.mnemonic](g), np.bool_)
