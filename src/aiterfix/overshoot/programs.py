"""Programs at one place of a kernel of which one element stands for each, on the emulator's machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.instruction import EXEC
from aiterfix.gfx950.machine import Machine
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE
from aiterfix.gfx950.waves import ALL_ON, LANES, Waves
from aiterfix.overshoot.lanes import Lost, Mask, Numbers, Offset, Table, Varying, changed, numbers_of, shape_of
from aiterfix.overshoot.stores import Refusing

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from aiterfix.gfx950.memory import DeviceMemory
    from aiterfix.overshoot.slicing import Live, Slice

STEP_LIMIT = 5_000_000
_LOW = 0xFFFF_FFFF


class ProgramBatch(Batch):
    """Programs of any launches.

    Attributes:
        part: what decides where they store.
        ends: for each program, by its number, one past the last column stored to so far.
        lanes: lanes of a program; ``no_difference``: 0 for each.
        sample: all lanes of one program, to see on them what an instruction does.
    """

    def __init__(self, part: Slice, memory: DeviceMemory, programs: int, lanes: int) -> None:
        super().__init__(memory, Refusing(part.code, memory, {}), 0, programs, 1, 0, 0)
        self.part = part
        self.ends: NDArray[np.int64] = np.zeros(programs, np.int64)
        self.lanes = lanes
        self.no_difference = Table.of(np.zeros(lanes))
        self.sample = Sample(self)


def _contents(g: Waves, number: int) -> Any:
    """A register in place: ``(n,)``, of a vector register ``(n, 64)``, or ``(n, 1)`` where one stands for all lanes."""
    if number == SCC_REGISTER:
        return g.scc
    return g.vector[number - VECTOR_BASE] if number >= VECTOR_BASE else g.scalar[number]


class Sample(Waves):
    """The waves of one program, lane by lane."""

    __slots__ = ()

    def __init__(self, batch: ProgramBatch) -> None:
        waves = batch.lanes // LANES
        vector, scc = np.zeros((batch.part.highest, waves, LANES), np.uint32), np.zeros(waves, np.bool_)
        pairs, written = np.full((64, waves, 2), _LOW, np.uint32), np.zeros((waves, 0), np.bool_)
        super().__init__(batch, np.arange(waves), vector, pairs, scc, written, 0, 0)

    def put(self, number: int, words: NDArray[np.uint32]) -> None:
        """Set a register: ``(lanes,)``, or one number for all."""
        lanes = np.broadcast_to(words, (self.count * LANES,)).reshape(self.count, LANES)
        _contents(self, number)[...] = lanes if number >= VECTOR_BASE else lanes[:, 0]

    def get(self, number: int) -> NDArray[np.uint32]:
        """``(lanes,)``, of a vector or a scalar register."""
        words: NDArray[np.uint32] = _contents(self, number)
        return words.reshape(-1) if number >= VECTOR_BASE else words.repeat(LANES)


class Programs(Waves):
    """One element for each program in place of its lanes. Vector instructions are done where all lanes are on only.

    Attributes:
        varying: by register number, what lanes hold besides the number of their program.
    """

    __slots__ = ("varying",)
    batch: ProgramBatch

    def __init__(
        self,
        batch: ProgramBatch,
        ids: NDArray[np.int64],
        vector: NDArray[np.uint32],
        pairs: NDArray[np.uint32],
        scc: NDArray[np.bool_],
        varying: dict[int, Varying],
        block: int,
        steps: int,
    ) -> None:
        # Which registers were ever written is the whole machine's concern.
        super().__init__(batch, ids, vector, pairs, scc, np.zeros((len(ids), 0), np.bool_), block, steps)
        self.varying = varying

    def number(self, register: int) -> Numbers:
        """``(n,)``: the programs' numbers in a register, in place."""
        held: Numbers = _contents(self, register)
        return held[:, 0] if held.ndim > 1 else held

    def overwritten(self, writes: frozenset[int]) -> None:
        """Registers hold numbers of the program from here on."""
        varying = self.varying
        for number in writes.intersection(varying):
            del varying[number]
            if isinstance(varying.get(number - 1), Mask) and number - 1 not in writes:
                varying[number - 1] = Lost()

    def exec_changed(self) -> None:
        """Bring ``lanes`` up to date after a write to EXEC: None, or something."""
        full = (self.pairs64[EXEC >> 1] == ALL_ON).all()
        self.lanes = None if full else np.zeros((1, 1), np.uint32)

    def dissolve(self) -> None:
        """Nothing: the arrays are not the workspace's."""

    def select(self, rows: NDArray[np.bool_]) -> Programs:
        """A copy of some programs, with what is live behind the block."""
        return gathered([self], self.batch.part.leaving[self.block], np.flatnonzero(rows))

    def state(self, live: Live, place: int) -> NDArray[np.uint32]:
        """``(programs, words)``: a place, and what is live there of registers, a row for each program."""
        columns: list[Numbers] = [np.full(1, place, np.uint32)]
        columns += [self.number(n) for n in sorted(live - self.varying.keys())]
        for number, lanes in sorted(self.varying.items()):
            columns += [self.number(number)] * isinstance(lanes, Offset) + numbers_of(lanes)
        parts = [half for x in columns for half in ([x] if x.itemsize <= 4 else [x & _LOW, x >> 32 & _LOW])]
        table = np.zeros((self.count, len(parts)), np.uint32)
        for at, part in enumerate(parts):
            table[:, at] = part
        return table

    def keep(self, live: Live) -> tuple[Any, ...]:
        """Keep what is live of what differs; what must be equal for programs to be run together."""
        self.varying = _living(self.varying, live)
        return tuple((number, shape_of(varying)) for number, varying in sorted(self.varying.items()))


def _living(varying: dict[int, Varying], live: Live) -> dict[int, Varying]:
    # A mask counts by either of its registers.
    return {n: v for n, v in varying.items() if not {n, n + isinstance(v, Mask)}.isdisjoint(live)}


def gathered(groups: Sequence[Programs], live: Live, rows: NDArray[np.int64] | None = None) -> Programs:
    """Groups at one place put together, whose lanes differ alike; or some programs of one group. With what is live."""
    first = groups[0]

    def joined(arrays: Sequence[NDArray[Any]], out: Any = None) -> Any:
        return np.concatenate(arrays, out=out) if rows is None else arrays[0].take(rows, 0, out, "clip")

    def numbers(column: Sequence[Numbers]) -> Any:
        if all(len(array) == 1 and array[0] == column[0][0] for array in column):
            return column[0]  # the same in all programs
        return joined([np.broadcast_to(array, g.count) for array, g in zip(column, groups, strict=True)])

    ids = joined([g.ids for g in groups])
    vector = np.empty((len(first.vector), len(ids), 1), np.uint32)
    for row in (n - VECTOR_BASE for n in live if n >= VECTOR_BASE):
        joined([g.vector[row, :, 0] for g in groups], vector[row, :, 0])
    pairs = np.empty((64, len(ids), 2), np.uint32)
    for pair in {n >> 1 for n in live if 0 <= n < VECTOR_BASE} | {EXEC >> 1}:
        joined([g.pairs64[pair] for g in groups], pairs[pair].view(np.uint64)[:, 0])
    varying = _living(first.varying, live)
    for number, lanes in varying.items():
        taken = map(numbers, zip(*(numbers_of(g.varying[number]) for g in groups), strict=True))
        varying[number] = changed(lanes, lambda _, taken=taken: next(taken))  # type: ignore[misc]
    scc = joined([g.scc for g in groups])
    return Programs(first.batch, ids, vector, pairs, scc, varying, first.block, max(g.steps for g in groups))


class ProgramMachine(Machine):
    """Executes one element for each program, until all have ended or are handed over.

    What cannot be followed ends the measurement.

    Args:
        batch: the programs.
        arrived: is given programs that come to where the first stores are near, with what is live there and how
            their lanes differ; None where they are past that.
    """

    def __init__(self, batch: ProgramBatch, arrived: Callable[[Programs, Live, Any], None] | None) -> None:
        super().__init__(batch, batch.part, STEP_LIMIT, False)
        self.part = batch.part
        self._arrived_at_stores = arrived

    def _met(self, here: list[Waves]) -> list[Waves]:
        live = self.part.live[here[0].block]
        shapes: dict[tuple[Any, ...], list[Programs]] = {}
        for group in here:
            assert isinstance(group, Programs)
            shapes.setdefault(group.keep(live), []).append(group)
        met = {shape: gathered(parts, live) if len(parts) > 1 else parts[0] for shape, parts in shapes.items()}
        if self._arrived_at_stores is None or here[0].block not in self.part.merges:
            return [*met.values()]
        for shape, group in met.items():
            self._arrived_at_stores(group, live, shape)
        return []

    def _arrive(self, group: Waves) -> None:
        self._ready.append(group)  # a program is whole
