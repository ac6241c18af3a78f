"""What all waves of one batch of workgroups share: memory, LDS, scratch, and the recorder of faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aiterfix.gfx950.memory import aligned_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.lds_watch import LdsWatch
    from aiterfix.gfx950.memory import DeviceMemory
    from aiterfix.gfx950.recorder import Recorder


class Batch:
    """Shared state of ``workgroups`` workgroups executed together.

    Attributes:
        first_workgroup: linear id of the first; the batch holds a run of consecutive ids.
        lds: LDS of all workgroups end to end, ``lds_bytes`` each.
        lds_written: 1 for every byte of it that was written; None once every byte has been written.
        lds_watch: what looks for waves that disturb each other there, if anything does.
        counted_rows: vector registers whose writes ``Waves.versions`` counts.
        code_address: of the kernel's first instruction; 0 where no instruction asks for it.
        scratch: private memory, ``scratch_bytes`` a lane, lanes end to end.
    """

    def __init__(
        self,
        memory: DeviceMemory,
        recorder: Recorder,
        first_workgroup: int,
        workgroups: int,
        waves_per_workgroup: int,
        lds_bytes: int,
        scratch_bytes: int,
    ) -> None:
        self.memory = memory
        self.recorder = recorder
        self.first_workgroup = first_workgroup
        self.workgroups = workgroups
        self.waves_per_workgroup = waves_per_workgroup
        self.lds_bytes = lds_bytes
        self.scratch_bytes = scratch_bytes
        self.lds: NDArray[np.uint8] = aligned_bytes(workgroups * lds_bytes)
        self.lds_written: NDArray[np.uint8] | None = aligned_bytes(workgroups * lds_bytes)
        self.lds_watch: LdsWatch | None = None
        self.counted_rows: frozenset[int] = frozenset()
        self.code_address = 0
        self.scratch: NDArray[np.uint8] = aligned_bytes(workgroups * waves_per_workgroup * 64 * scratch_bytes)

    def workgroup_of(self, wave_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Linear workgroup id of each wave."""
        return wave_ids // self.waves_per_workgroup + self.first_workgroup
