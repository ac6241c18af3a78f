"""The machine instruction as a record of our own: what the decoder found, free of the decoder's types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from aiterfix.errors import NotUnderstoodError

# Operand codes are the ISA's nine-bit source space, extended upwards by one page for accumulation registers.
VGPR = 256
AGPR = 512
VCC, M0, EXEC = 106, 124, 126
MODE = 123
"""Where the emulator keeps MODE.FP16_OVFL: a trap handler's register, which no kernel reads."""
VCCZ, EXECZ, SCC, LITERAL = 251, 252, 253, 255


class Encoding(Enum):
    """Instruction formats of the CDNA 4 ISA manual, chapter 13, and the variants of the vector formats."""

    SOP1 = "SOP1"
    SOP2 = "SOP2"
    SOPC = "SOPC"
    SOPK = "SOPK"
    SOPP = "SOPP"
    SMEM = "SMEM"
    VOP1 = "VOP1"
    VOP2 = "VOP2"
    VOPC = "VOPC"
    VOP3 = "VOP3"
    VOP3SD = "VOP3SD"
    VOP3P = "VOP3P"
    MFMA = "MFMA"
    MFMA_SCALED = "MFMA_SCALED"
    SDWA = "SDWA"
    DPP = "DPP"
    DS = "DS"
    MUBUF = "MUBUF"
    FLAT = "FLAT"
    GLOBAL = "GLOBAL"
    SCRATCH = "SCRATCH"


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction.

    Attributes:
        pc: byte offset from the kernel's first instruction.
        size: bytes it occupies, literal included.
        raw: those bytes.
        mnemonic: the ISA's name in lower case, without the ``_e32``/``_e64`` suffix.
        encoding: the format; a variant (SDWA, DPP) names the variant, ``base`` the format it varies.
        fields: every field by the manual's name. Register operands are operand codes (0 to 511), the rest raw bits.
        literal: the 32-bit literal that follows, if any.
    """

    pc: int
    size: int
    raw: bytes
    mnemonic: str
    encoding: Encoding
    base: Encoding
    fields: Mapping[str, int]
    literal: int | None = None

    def __getitem__(self, field: str) -> int:
        return self.fields[field]

    def get(self, field: str) -> int:
        """A field's bits, 0 where this format has no such field."""
        return self.fields.get(field, 0)

    @property
    def end(self) -> int:
        """The next instruction's pc."""
        return self.pc + self.size

    def at(self, pc: int) -> Instruction:
        """The same instruction at another place."""
        return Instruction(pc, self.size, self.raw, self.mnemonic, self.encoding, self.base, self.fields, self.literal)

    def describe(self) -> str:
        """Mnemonic, pc and bytes, for messages."""
        return f"{self.mnemonic} at pc {self.pc:#x} ({self.raw.hex(' ', 4)})"


JUMPS = frozenset({"s_setpc_b64", "s_swappc_b64", "s_call_b64"})
"""Calls of functions and returns from them: they go where a register says, or say in one where they came from."""


class UnmodelledInstructionError(NotUnderstoodError):
    """An instruction, modifier or mode whose effect this emulator does not know.

    Args:
        instruction: the instruction met.
        reason: what about it is not modelled.
    """

    code = "unmodelled-instruction"

    def __init__(self, instruction: Instruction, reason: str, source: str = "") -> None:
        self.instruction = instruction
        self.reason = reason
        where = f", {source}" if source else ""
        super().__init__(
            f"{instruction.describe()}{where} is not modelled: {reason}",
            why="The emulator stops rather than skip what it does not know.",
            remedy="Run on a gfx950 GPU, or add the instruction to aiterfix.gfx950.",
        )
