"""What waves of a workgroup do to each other through LDS with no barrier between: hardware gives now one result, now
another, the emulator always the same.

For each cell of LDS the last writer and reader are kept, with the number of barriers that they had passed. It is found
where one wave reads what another wrote, or changes what another read or wrote, both after the same barrier. Waves that
write the value that is there already disturb nobody: compilers let all waves store what they all hold. Two readers are
told from one, three writers of one value not from two, so that nothing is found that is none.

Following every access takes a quarter of the time of all else, so of each batch only the first workgroups are watched.

Loads straight into LDS are numbered for each wave. What one brings may be read by its own wave after a wait, by another
after a wait and a barrier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.findings import FindingKind

if TYPE_CHECKING:
    from aiterfix.gfx950.batch import Batch
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.waves import Waves

_NEVER = -1
WATCHED = 2
"""Workgroups of a batch."""


class LdsWatch:
    """The LDS of one batch.

    Args:
        batch: whose LDS.
        cell: bytes that are told apart: 4, or what the kernel's narrowest LDS instruction accesses.
        direct: the kernel has loads straight into LDS.
    """

    def __init__(self, batch: Batch, cell: int, direct: bool) -> None:
        self._batch = batch
        self._cell = cell
        workgroups = min(batch.workgroups, WATCHED)
        self._watched = workgroups * batch.waves_per_workgroup
        cells = -(-workgroups * batch.lds_bytes // cell)
        waves = batch.workgroups * batch.waves_per_workgroup
        # A stamp is ``barriers passed * _step + wave of the workgroup``, the last place for "several waves".
        self._step = batch.waves_per_workgroup + 1
        self._epoch = np.zeros(waves, np.int32)
        self._written = np.full(cells, _NEVER, np.int32)
        self._read = np.full(cells, _NEVER, np.int32)
        self._by_atomic = np.zeros(cells, np.bool_)
        self.direct = direct
        if direct:
            self._issued = np.zeros(waves, np.int32)
            self._complete = np.zeros(waves, np.int32)
            self._complete_at_barrier = np.zeros(waves, np.int32)
            self._number = np.zeros(cells, np.int32)
            self._owner = np.zeros(cells, np.int32)

    def rows(self, g: Waves) -> int:
        """How many of these waves are watched: they come first."""
        return int(np.searchsorted(g.ids, self._watched))

    def barrier(self, g: Waves) -> None:
        """These waves reach a barrier."""
        self._epoch[g.ids] += 1
        if self.direct:
            self._complete_at_barrier[g.ids] = self._complete[g.ids]

    def memory_operation(self, g: Waves) -> None:
        """These waves have issued something that ``vmcnt`` counts."""
        self._issued[g.ids] += 1

    def waited(self, g: Waves, left: int) -> None:
        """These waves waited until ``left`` such operations at most were under way."""
        self._complete[g.ids] = np.maximum(self._complete[g.ids], self._issued[g.ids] - left)

    def read(self, g: Waves, instruction: Instruction, index: Any, chosen: Any, size: int) -> None:
        """Lanes read ``size`` bytes at byte ``index`` of the batch's LDS where ``chosen``; of the waves watched."""
        cells, me, first = self._cells(g, index, chosen, size)
        writers = self._written[cells]
        foreign = (writers >= first) & (writers != me) & (writers != first + self._step - 1)
        if foreign.any():
            self._found(g, instruction, chosen, foreign, "reads what another wave wrote with no barrier between")
        if self.direct:
            self._check_landed(g, instruction, chosen, cells)
        readers = self._read[cells]
        self._read[cells] = np.where((readers >= first) & (readers != me), first + self._step - 1, me)
        shared = (self._read[cells] != me) & (readers < first)
        if shared.any():
            # Waves that execute this together read the same cell.
            self._read[cells[shared]] = np.broadcast_to(first + self._step - 1, cells.shape)[shared]

    def write(
        self,
        g: Waves,
        instruction: Instruction,
        index: Any,
        chosen: Any,
        size: int,
        *,
        changed: Any,
        lost: Any,
        direct: bool = False,
    ) -> None:
        """The same for a write that was done.

        Args:
            changed: ``(lanes chosen,)``: other bytes were there before.
            lost: likewise: other bytes are there now, another lane's.
            direct: by a load straight into LDS that is under way.
        """
        cells, me, first = self._cells(g, index, chosen, size)
        if self.direct and not direct:
            self._check_landed(g, instruction, chosen, cells)
        writers, readers = self._written[cells], self._read[cells]
        several = first + self._step - 1
        others = (writers >= first) & (writers != me)
        changed = changed[:, np.newaxis]
        foreign = changed & (others | (readers >= first) & (readers != me))
        if foreign.any():
            self._found(g, instruction, chosen, foreign, "changes what another wave uses with no barrier between")
        # What was there already stays who wrote it: nobody can tell.
        fresh = changed | (writers == _NEVER)
        stamp = np.where(others, several, np.where(fresh, me, writers))
        self._written[cells] = stamp
        self._by_atomic[cells] = False
        together = (self._written[cells] != stamp) & (writers < first)
        if together.any():
            clash = together & lost[:, np.newaxis]
            if clash.any():
                self._found(g, instruction, chosen, clash, "several waves write different values to one place")
            self._written[cells[together]] = np.broadcast_to(several, cells.shape)[together]
        if self.direct:
            waves = np.broadcast_to(g.ids[: len(chosen), np.newaxis], chosen.shape)[chosen][:, np.newaxis]
            self._number[cells] = self._issued[waves] + 1 if direct else 0
            self._owner[cells] = waves

    def atomic(self, g: Waves, instruction: Instruction, index: Any, chosen: Any, size: int) -> None:
        """The same for atomic operations, which do not disturb each other."""
        cells, me, first = self._cells(g, index, chosen, size)
        if self.direct:
            self._check_landed(g, instruction, chosen, cells)
        writers, readers = self._written[cells], self._read[cells]
        others = (writers >= first) & (writers != me)
        foreign = others & ~self._by_atomic[cells] | (readers >= first) & (readers != me)
        if foreign.any():
            self._found(g, instruction, chosen, foreign, "changes what another wave uses with no barrier between")
        self._written[cells] = np.where(others, first + self._step - 1, me)
        self._by_atomic[cells] = True

    def _cells(self, g: Waves, index: Any, chosen: Any, size: int) -> tuple[Any, Any, Any]:
        """Cells ``(lanes chosen, k)``; each lane's stamp and the least one after the same barrier, ``(lanes, 1)``."""
        ids = g.ids[: len(chosen)]
        lanes = np.broadcast_to(np.arange(len(ids))[:, np.newaxis], chosen.shape)[chosen]
        first = self._epoch[ids] * np.int32(self._step)
        me = first + (ids % self._batch.waves_per_workgroup).astype(np.int32)
        steps = np.arange(max(size // self._cell, 1))
        cells = (index[chosen] // self._cell)[:, np.newaxis] + steps
        return cells, me[lanes][:, np.newaxis], first[lanes][:, np.newaxis]

    def _check_landed(self, g: Waves, instruction: Instruction, chosen: Any, cells: Any) -> None:
        number, owner = self._number[cells], self._owner[cells]
        mine = np.broadcast_to(g.ids[: len(chosen), np.newaxis], chosen.shape)[chosen][:, np.newaxis]
        complete = np.where(owner == mine, self._complete[owner], self._complete_at_barrier[owner])
        early = number > complete
        if early.any():
            where = chosen.nonzero()[0][early.any(axis=1)]
            self._batch.recorder.finding(
                FindingKind.MISSING_WAIT,
                instruction,
                "touches LDS that a load into it may not have reached: vmcnt, and a barrier for another wave's",
                self._batch.workgroup_of(g.ids)[where],
                len(where),
            )

    def _found(self, g: Waves, instruction: Instruction, chosen: Any, foreign: Any, detail: str) -> None:
        where = chosen.nonzero()[0][foreign.any(axis=1)]
        self._batch.recorder.finding(
            FindingKind.LDS_RACE, instruction, detail, self._batch.workgroup_of(g.ids)[where], len(where)
        )
