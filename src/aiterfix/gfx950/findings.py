"""What a run found wrong: accesses outside allocations, and the faults that hardware would hide."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Access(Enum):
    """Direction of a memory access."""

    LOAD = "load"
    STORE = "store"


@dataclass(frozen=True)
class SourceLine:
    """A place in the kernel's source; ``str()`` gives ``file:line``."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Violation:
    """Accesses of one instruction outside every allocation, those near one allocation taken together.

    Nothing was read or written: loads returned 0, stores were dropped.

    Attributes:
        access: load or store.
        pc: byte offset of the instruction in the kernel.
        mnemonic: its name.
        source: kernel source line, None without a line table.
        argument: kernel argument (or allocation name) nearest to the addresses.
        element_size: bytes of an element: the allocation's element, as it was allocated.
        first_element, last_element: elements touched, counted from the allocation's start; may be negative.
        lanes: bit mask of the lanes (0 to 63) that did it.
        workgroups: linear workgroup ids, sorted, the first 64 of them.
        count: lane accesses in all.
    """

    access: Access
    pc: int
    mnemonic: str
    source: SourceLine | None
    argument: str
    element_size: int
    first_element: int
    last_element: int
    lanes: int
    workgroups: tuple[int, ...]
    count: int


class FindingKind(Enum):
    """Faults other than accesses outside allocations."""

    LDS_OUT_OF_RANGE = "lds-out-of-range"
    LDS_NEVER_WRITTEN = "lds-never-written"
    LDS_RACE = "lds-race"
    SCRATCH_OUT_OF_RANGE = "scratch-out-of-range"
    REGISTER_NEVER_WRITTEN = "register-never-written"
    MISSING_WAIT = "missing-wait"
    MISSING_BARRIER_PARTNER = "missing-barrier-partner"


@dataclass(frozen=True)
class InstructionFinding:
    """One fault of one instruction, however often it happened.

    Attributes:
        kind: what.
        pc, mnemonic, source: where.
        detail: the register, the LDS address or the counter, in words.
        workgroups: linear workgroup ids where known, sorted, the first 64 of them.
        count: lanes (LDS, scratch) or waves (registers) it happened to; 0 for what was found without running.
    """

    kind: FindingKind
    pc: int
    mnemonic: str
    source: SourceLine | None
    detail: str
    workgroups: tuple[int, ...]
    count: int
