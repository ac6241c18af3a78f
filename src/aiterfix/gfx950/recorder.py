"""Collects what went wrong during a run and turns it into ``Violation`` and ``InstructionFinding`` records."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950.findings import Access, FindingKind, InstructionFinding, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.memory import Allocation, DeviceMemory

_WORKGROUPS_KEPT = 64


@dataclass
class _Tally:
    """What one violation or finding has added up to."""

    instruction: Instruction
    first: int = 0
    last: int = 0
    lanes: int = 0
    count: int = 0
    workgroups: set[int] = field(default_factory=set)

    def add(self, offsets: NDArray[np.int64], lanes: NDArray[np.int64], workgroups: NDArray[np.int64]) -> None:
        low, high = int(offsets.min()), int(offsets.max())
        self.first = low if not self.count else min(self.first, low)
        self.last = high if not self.count else max(self.last, high)
        for lane in np.unique(lanes).tolist():
            self.lanes |= 1 << lane
        if len(self.workgroups) < _WORKGROUPS_KEPT:
            self.workgroups.update(np.unique(workgroups).tolist())
        self.count += len(offsets)


class Recorder:
    """Thread-safe tallies of one run.

    Args:
        arguments: allocation to the name of the kernel argument that points into it.
    """

    def __init__(self, code: CodeObject, memory: DeviceMemory, arguments: Mapping[int, str]) -> None:
        self._code = code
        self._memory = memory
        self._arguments = arguments
        self._lock = threading.Lock()
        self._violations: dict[tuple[Access, int, int], tuple[Allocation | None, _Tally]] = {}
        self._findings: dict[tuple[FindingKind, int, str], _Tally] = {}

    def outside(
        self,
        access: Access,
        instruction: Instruction,
        addresses: NDArray[np.int64],
        lanes: NDArray[np.int64],
        workgroups: NDArray[np.int64],
        base: int | None = None,
    ) -> None:
        """Note accesses that lie in no allocation.

        Args:
            addresses, lanes, workgroups: one entry an access, ``(n,)``.
            base: an address inside the object that was meant (a buffer descriptor's base), where known.
        """
        with self._lock:
            meant = None if base is None else self._memory.containing(base, base)
            nearest = self._memory.nearest(addresses) if meant is None else np.zeros(len(addresses), np.int64)
            for number in np.unique(nearest).tolist():
                owner = meant or (None if number < 0 else [*self._memory][number])
                chosen = nearest == number
                key = (access, instruction.pc, id(owner))
                _, tally = self._violations.setdefault(key, (owner, _Tally(instruction)))
                start = 0 if owner is None else owner.address
                tally.add(addresses[chosen] - start, lanes[chosen], workgroups[chosen])

    def finding(
        self,
        kind: FindingKind,
        instruction: Instruction,
        detail: str,
        workgroups: NDArray[np.int64] | None = None,
        count: int = 0,
    ) -> None:
        """Note a fault; the same kind, place and detail add up."""
        with self._lock:
            tally = self._findings.setdefault((kind, instruction.pc, detail), _Tally(instruction))
            tally.count += count
            if workgroups is not None and len(tally.workgroups) < _WORKGROUPS_KEPT:
                tally.workgroups.update(np.unique(workgroups).tolist())

    def violations(self) -> tuple[Violation, ...]:
        """Everything noted by ``outside``, by pc."""
        found = []
        for (access, pc, _), (owner, tally) in self._violations.items():
            size = owner.element_size if owner else 1
            name = "no allocation" if owner is None else self._arguments.get(owner.address, owner.name)
            found.append(
                Violation(
                    access=access,
                    pc=pc,
                    mnemonic=tally.instruction.mnemonic,
                    source=self._code.source_line(pc),
                    argument=name,
                    element_size=size,
                    first_element=tally.first // size,
                    last_element=tally.last // size,
                    lanes=tally.lanes,
                    workgroups=tuple(sorted(tally.workgroups))[:_WORKGROUPS_KEPT],
                    count=tally.count,
                )
            )
        return tuple(sorted(found, key=lambda v: (v.pc, v.access.value, v.argument)))

    def findings(self) -> tuple[InstructionFinding, ...]:
        """Everything noted by ``finding``, by pc."""
        return tuple(
            InstructionFinding(
                kind,
                pc,
                tally.instruction.mnemonic,
                self._code.source_line(pc),
                detail,
                tuple(sorted(tally.workgroups))[:_WORKGROUPS_KEPT],
                tally.count,
            )
            for (kind, pc, detail), tally in sorted(
                self._findings.items(), key=lambda item: (item[0][1], item[0][0].value, item[0][2])
            )
        )
