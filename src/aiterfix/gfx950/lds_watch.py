"""What waves of a workgroup do to each other through LDS with no barrier between: hardware gives now one result, now
another, the emulator always the same.

For each cell of LDS the last writer and reader are kept, with the number of barriers that they had passed. It is found
where one wave reads what another wrote, or changes what another read or wrote, both after the same barrier. Waves that
write the value that is there already disturb nobody: compilers let all waves store what they all hold. Two readers are
told from one, three writers of one value not from two, so that nothing is found that is none.

Following every access takes a quarter of the time of all else, so of each batch only the first workgroups are watched.

Loads straight into LDS are numbered for each wave. What one brings may be read by its own wave after a wait, by another
after a wait and a barrier. Reads and writes are numbered too: one that reaches a barrier with no wait goes on behind
it, where another wave may change what it reads, or read what it has not written yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.findings import FindingKind
from aiterfix.gfx950.waits import LDS, VMCNT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiterfix.gfx950.batch import Batch
    from aiterfix.gfx950.instruction import Instruction
    from aiterfix.gfx950.waves import Waves

_NEVER = -1
WATCHED = 2
"""Workgroups of a batch."""
_MOST_KEPT = 64
"""Reads, or writes, kept before those that are complete are looked for."""
_EARLY = "touches LDS that a load into it may not have reached: vmcnt, and a barrier for another wave's"
_CHANGES = "changes what another wave uses with no barrier between, or only one that its access crosses with no wait"
_READS = "reads what another wave wrote with no barrier between, or only one that its write crosses with no wait"


@dataclass(frozen=True)
class Touched:
    """What the lanes of one access touch.

    Attributes:
        rows: ``(lanes,)``: each one's row in its group.
        waves: ``(lanes,)``: its wave.
        cells: ``(lanes, k)``.
    """

    rows: Any
    waves: Any
    cells: Any


class LdsWatch:
    """The LDS of one batch.

    Args:
        batch: whose LDS.
        cell: bytes that are told apart: 4, or what the kernel's narrowest LDS instruction accesses.
        direct: the kernel has loads straight into LDS.
        barriers: it has barriers, which reads and writes may cross.
    """

    def __init__(self, batch: Batch, cell: int, direct: bool, barriers: bool) -> None:
        self._batch = batch
        self._cell = cell
        workgroups = min(batch.workgroups, WATCHED)
        self._watched = workgroups * batch.waves_per_workgroup
        cells = -(-workgroups * batch.lds_bytes // cell)
        waves = batch.workgroups * batch.waves_per_workgroup
        # A stamp is ``barriers passed * _step + wave of the workgroup``, the last place for "several waves".
        self._step = np.int32(batch.waves_per_workgroup + 1)
        self._first = np.zeros(waves, np.int32)  # the least stamp behind the last barrier
        self._me = (np.arange(waves) % batch.waves_per_workgroup).astype(np.int32)
        self._written = np.full(cells, _NEVER, np.int32)
        self._read = np.full(cells, _NEVER, np.int32)
        self._by_atomic = np.zeros(cells, np.bool_)
        self.direct = direct
        self._barriers = barriers
        # What each wave has issued, and how much of it is complete: loads and stores, LDS instructions.
        self._issued = {counter: np.zeros(waves, np.int32) for counter in (VMCNT, LDS)}
        self._complete = {counter: np.zeros(waves, np.int32) for counter in (VMCNT, LDS)}
        self._reads: list[tuple[Any, Any, Any]] = []
        self._writes: list[tuple[Any, Any, Any]] = []
        """Those that may be under way: wave and number of each lane's, ``(lanes,)``, and its cells, ``(lanes, k)``."""
        if direct:
            self._complete_at_barrier = np.zeros(waves, np.int32)
            self._number = np.zeros(cells, np.int32)
            self._owner = np.zeros(cells, np.int32)

    def rows(self, g: Waves) -> int:
        """How many of these waves are watched: they come first."""
        if g.watched is None:
            g.watched = int(np.searchsorted(g.ids, self._watched))
        return g.watched

    def barrier(self, g: Waves) -> None:
        """These waves reach a barrier."""
        self._first[g.ids] += self._step
        self._me[g.ids] += self._step
        if self.direct:
            self._complete_at_barrier[g.ids] = self._complete[VMCNT][g.ids]
        ids = g.ids[: self.rows(g)]
        if (self._issued[LDS][ids] == self._complete[LDS][ids]).all():
            return  # as compilers have it
        for kept, reads in ((self._reads, True), (self._writes, False)):
            self._forget_complete(kept)
            for waves, number, cells in kept:
                late = np.isin(waves, g.ids) & (number > self._complete[LDS][waves])
                me, first = self._stamps(waves[late])
                if reads:
                    self._stamp_readers(cells[late], me, first)
                else:
                    self._written[cells[late]] = me

    def issued(self, g: Waves, counter: str) -> None:
        """These waves have issued something that this counter counts."""
        self._issued[counter][g.ids[: self.rows(g)]] += 1

    def waited(self, g: Waves, left: Mapping[str, int]) -> None:
        """These waves waited until so many operations of each counter at most were under way."""
        ids = g.ids[: self.rows(g)]
        for counter, count in left.items() if len(ids) else ():
            complete = self._complete[counter]
            complete[ids] = np.maximum(complete[ids], self._issued[counter][ids] - count)

    def _keep(self, kept: list[tuple[Any, Any, Any]], waves: Any, cells: Any) -> None:
        """Note an access that is being issued."""
        kept.append((waves, self._issued[LDS].take(waves) + 1, cells))
        if len(kept) > _MOST_KEPT:
            self._forget_complete(kept)

    def _forget_complete(self, kept: list[tuple[Any, Any, Any]]) -> None:
        complete = self._complete[LDS]
        kept[:] = [each for each in kept if (each[1] > complete[each[0]]).any()]

    def read(self, g: Waves, instruction: Instruction, touched: Touched) -> None:
        """Lanes read; of the waves watched."""
        waves, cells = touched.waves, touched.cells
        me, first = self._stamps(waves)
        writers = self._written.take(cells)
        foreign = (writers >= first) & (writers != me) & (writers != first + self._step - 1)
        if foreign.any():
            self._found(g, instruction, touched, foreign, _READS)
        if self.direct:
            self._check_landed(g, instruction, touched)
        self._stamp_readers(cells, me, first)
        if self._barriers:
            self._keep(self._reads, waves, cells)

    def _stamp_readers(self, cells: Any, me: Any, first: Any) -> None:
        readers = self._read.take(cells)
        self._read[cells] = np.where((readers >= first) & (readers != me), first + (self._step - 1), me)
        shared = (self._read.take(cells) != me) & (readers < first)
        if shared.any():
            # Waves that execute this together read the same cell.
            self._read[cells[shared]] = np.broadcast_to(first + self._step - 1, cells.shape)[shared]

    def write(
        self, g: Waves, instruction: Instruction, touched: Touched, *, changed: Any, lost: Any, direct: bool = False
    ) -> None:
        """The same for a write that was done.

        Args:
            changed: ``(lanes chosen,)``: other bytes were there before.
            lost: likewise: other bytes are there now, another lane's.
            direct: by a load straight into LDS that is under way.
        """
        waves, cells = touched.waves, touched.cells
        me, first = self._stamps(waves)
        if self.direct and not direct:
            self._check_landed(g, instruction, touched)
        writers, readers = self._written.take(cells), self._read.take(cells)
        several = first + self._step - 1
        others = (writers >= first) & (writers != me)
        changed = changed[:, np.newaxis]
        foreign = changed & (others | (readers >= first) & (readers != me))
        if foreign.any():
            self._found(g, instruction, touched, foreign, _CHANGES)
        # What was there already stays who wrote it: nobody can tell.
        fresh = changed | (writers == _NEVER)
        stamp = np.where(others, several, np.where(fresh, me, writers))
        self._written[cells] = stamp
        self._by_atomic[cells] = False
        together = (self._written.take(cells) != stamp) & (writers < first)
        if together.any():
            clash = together & lost[:, np.newaxis]
            if clash.any():
                self._found(g, instruction, touched, clash, "several waves write different values to one place")
            self._written[cells[together]] = np.broadcast_to(several, cells.shape)[together]
        if self._barriers and not direct:
            alone = fresh & (self._written.take(cells) == me)
            self._keep(
                self._writes, np.broadcast_to(waves[:, np.newaxis], cells.shape)[alone], cells[alone, np.newaxis]
            )
        if self.direct:
            self._number[cells] = self._issued[VMCNT][waves][:, np.newaxis] + 1 if direct else 0
            self._owner[cells] = waves[:, np.newaxis]

    def atomic(self, g: Waves, instruction: Instruction, touched: Touched) -> None:
        """The same for atomic operations, which do not disturb each other."""
        cells = touched.cells
        me, first = self._stamps(touched.waves)
        if self.direct:
            self._check_landed(g, instruction, touched)
        writers, readers = self._written.take(cells), self._read.take(cells)
        others = (writers >= first) & (writers != me)
        foreign = others & ~self._by_atomic[cells] | (readers >= first) & (readers != me)
        if foreign.any():
            self._found(g, instruction, touched, foreign, _CHANGES)
        self._written[cells] = np.where(others, first + self._step - 1, me)
        self._by_atomic[cells] = True
        if self._barriers:
            self._keep(self._writes, touched.waves, cells)

    def touched(self, g: Waves, index: Any, chosen: Any, size: int) -> Touched:
        """What lanes of watched waves access: ``size`` bytes at byte ``index`` of the batch's LDS where ``chosen``."""
        rows = chosen.nonzero()[0]
        steps = np.arange(max(size // self._cell, 1))
        return Touched(rows, g.ids[rows], (index[chosen] // self._cell)[:, np.newaxis] + steps)

    def _stamps(self, waves: Any) -> tuple[Any, Any]:
        """Each lane's stamp and the least one after the same barrier, ``(lanes, 1)``."""
        return self._me.take(waves)[:, np.newaxis], self._first.take(waves)[:, np.newaxis]

    def _check_landed(self, g: Waves, instruction: Instruction, touched: Touched) -> None:
        number, owner = self._number[touched.cells], self._owner[touched.cells]
        mine = owner == touched.waves[:, np.newaxis]
        early = number > np.where(mine, self._complete[VMCNT][owner], self._complete_at_barrier[owner])
        if early.any():
            self._found(g, instruction, touched, early, _EARLY)

    def _found(self, g: Waves, instruction: Instruction, touched: Touched, cells: Any, detail: str) -> None:
        kind = FindingKind.MISSING_WAIT if detail == _EARLY else FindingKind.LDS_RACE
        where = touched.rows[cells.any(axis=1)]
        self._batch.recorder.finding(kind, instruction, detail, self._batch.workgroup_of(g.ids)[where], len(where))
