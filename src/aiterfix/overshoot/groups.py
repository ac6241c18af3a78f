"""Programs, or their waves, at one place of a kernel: taken apart where they part, put together where they meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.waves import ALL_ON, Waves
from aiterfix.overshoot.differing import Lanes
from aiterfix.overshoot.together import Together

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.memory import DeviceMemory
    from aiterfix.overshoot.slicing import State
    from aiterfix.overshoot.watch import Watch

Group: TypeAlias = "tuple[Waves, Together]"
"""Programs of which one element stands for each, and what differs between their lanes."""


class NumberedBatch(Batch):
    """Waves of any programs: they are numbered through all of them, and take the place of workgroups in reports.

    Attributes:
        numbers: for each wave of the batch, the number of its program.
    """

    def __init__(
        self, memory: DeviceMemory, watch: Watch, numbers: NDArray[np.int64], waves: int, scratch_bytes: int
    ) -> None:
        super().__init__(memory, watch, 0, -(-len(numbers) // waves), waves, 0, scratch_bytes)  # type: ignore[arg-type]
        self.numbers = numbers

    def workgroup_of(self, wave_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The program of each wave."""
        return self.numbers[wave_ids]


class Elements(Waves):
    """One element for each program in place of 64 lanes. Vector instructions are done where all lanes are on only."""

    __slots__ = ()

    def exec_changed(self) -> None:
        """Bring ``lanes`` up to date after a write to EXEC: None, or something."""
        full = (self.pairs64[EXEC >> 1] == ALL_ON).all()
        self.lanes = None if full else np.zeros((1, 1), np.uint32)


def waves_at(
    batch: Batch,
    ids: NDArray[np.int64],
    vector: NDArray[np.uint32],
    pairs: NDArray[np.uint32],
    scc: NDArray[np.bool_],
    block: int,
    steps: int,
) -> Waves:
    """Waves of these registers; elements where a vector register has one column."""
    # Which registers were ever written is the whole machine's concern.
    kind = Elements if vector.shape[2] == 1 else Waves
    return kind(batch, ids, vector, pairs, scc, np.zeros((len(ids), 0), np.bool_), block, steps)


def part_of(pair: Group, rows: NDArray[np.int64] | None, block: int, live: State) -> Group:
    """Some programs of a group, None for all, going on at a block."""
    group, together = pair
    lanes = together.lanes.kept(live.vectors, live.scalars)
    if rows is not None and len(rows) == group.count:
        rows = None
    return selected(group, rows, block, live), Together(lanes if rows is None else lanes.selected(rows))


def _pairs(live: State) -> list[int]:
    return sorted({code >> 1 for code in live.scalars} | {EXEC >> 1})


def selected(group: Waves, rows: NDArray[np.int64] | None, block: int, live: State) -> Waves:
    """A copy of some waves at a block, with the registers that are live there; other memory is never touched."""
    if rows is None:
        group.block = block
        return group
    vector = np.empty((group.vector.shape[0], len(rows), group.vector.shape[2]), np.uint32)
    for row in live.vectors:
        vector[row] = group.vector[row].take(rows, axis=0)
    pairs = np.empty((64, len(rows), 2), np.uint32)
    whole = pairs.view(np.uint64)[:, :, 0]
    for pair in _pairs(live):
        whole[pair] = group.pairs64[pair].take(rows)
    return waves_at(group.batch, group.ids[rows], vector, pairs, group.scc[rows], block, group.steps)


def merged(groups: Sequence[Waves], live: State) -> tuple[Waves, NDArray[np.int64]]:
    """Groups at one block put together, in order of their numbers; and that order."""
    ids = np.concatenate([group.ids for group in groups])
    order = np.argsort(ids, kind="stable")
    first = groups[0]
    vector = np.empty((first.vector.shape[0], len(ids), first.vector.shape[2]), np.uint32)
    for row in live.vectors:
        vector[row] = np.concatenate([group.vector[row] for group in groups])[order]
    pairs = np.empty((64, len(ids), 2), np.uint32)
    for pair in _pairs(live):
        pairs[pair] = np.concatenate([group.pairs[pair] for group in groups])[order]
    scc = np.concatenate([group.scc for group in groups])[order]
    steps = max(group.steps for group in groups)
    return waves_at(first.batch, ids[order], vector, pairs, scc, first.block, steps), order


def alike(groups: Sequence[Group], live: State) -> list[Group]:
    """Groups at one block, those of one form put together."""
    if len(groups) == 1:
        return list(groups)
    forms: dict[Any, list[Group]] = {}
    for pair in groups:
        forms.setdefault(pair[1].lanes.form(), []).append(pair)
    result = []
    for members in forms.values():
        if len(members) == 1:
            result += members
            continue
        group, order = merged([waves for waves, _ in members], live)
        counts = [waves.count for waves, _ in members]
        lanes = Lanes.joined([together.lanes for _, together in members], counts, order)
        result.append((group, Together(lanes)))
    return result
