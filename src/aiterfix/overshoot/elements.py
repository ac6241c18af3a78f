"""Programs at one place of a kernel of which one element stands for each, on the emulator's machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.instruction import EXEC, VCC
from aiterfix.gfx950.machine import Machine
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE
from aiterfix.gfx950.waves import ALL_ON, Waves
from aiterfix.overshoot.instructions import Step, step_of
from aiterfix.overshoot.lane_values import Form, Half, Lost, Mask, NotInForm, Numbers, changed, numbers_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from aiterfix.gfx950.blocks import Block
    from aiterfix.gfx950.memory import DeviceMemory
    from aiterfix.overshoot.slicing import Live, Slice
    from aiterfix.overshoot.stores import Buffer, StoreRecorder

STEP_LIMIT = 5_000_000
_LOW = 0xFFFF_FFFF
_CONDITIONS = {"_scc": SCC_REGISTER, "_vcc": VCC, "_exe": EXEC}


class ProgramBatch(Batch):
    """Waves of programs of any launches, or one element for each program.

    Attributes:
        recorder: takes what the programs store, by their numbers.
        part: what decides where they store.
        words: those dwords of the kernel arguments that decide, each for every launch.
        launch: for each program, its launch; ``identity``: its place there.
        lanes: lanes of a program.
    """

    recorder: StoreRecorder

    def __init__(
        self,
        part: Slice,
        memory: DeviceMemory,
        recorder: StoreRecorder,
        words: Mapping[int, NDArray[np.uint32]],
        launch: NDArray[np.int64],
        identity: NDArray[np.int64],
        lanes: int,
        waves: int = 1,
    ) -> None:
        super().__init__(memory, recorder, 0, len(launch), waves, 0, 0)
        self.part = part
        self.words = words
        self.launch = launch
        self.identity = identity
        self.lanes = lanes

    def lane_by_lane(self) -> ProgramBatch:
        """The same programs as whole waves."""
        taken = self.part, self.memory, self.recorder, self.words, self.launch, self.identity, self.lanes
        return ProgramBatch(*taken, waves=self.lanes // 64)

    def word(self, place: int, waves: NDArray[np.int64]) -> NDArray[np.uint32]:
        """A dword of the arguments of some waves' launches."""
        return self.words[place][self.launch[waves // self.waves_per_workgroup]]


class Elements(Waves):
    """One element for each program in place of its lanes. Vector instructions are done where all lanes are on only.

    Attributes:
        forms: by register number, what differs between lanes; a mask by the first of its two registers.
        ends: for each program, one past the last column stored to so far.
        buffers: descriptors that stores have asked for, until their registers are written again.
    """

    __slots__ = ("buffers", "ends", "forms")
    batch: ProgramBatch

    def __init__(
        self,
        batch: ProgramBatch,
        ids: NDArray[np.int64],
        vector: NDArray[np.uint32],
        pairs: NDArray[np.uint32],
        scc: NDArray[np.bool_],
        forms: dict[int, Form],
        ends: NDArray[np.int64],
        block: int,
        steps: int,
    ) -> None:
        # Which registers were ever written is the whole machine's concern.
        super().__init__(batch, ids, vector, pairs, scc, np.zeros((len(ids), 0), np.bool_), block, steps)
        self.forms = forms
        self.ends = ends
        self.buffers: dict[Any, Buffer] = {}

    def overwritten(self, writes: frozenset[int]) -> None:
        """Registers hold numbers of the program from here on."""
        forms = self.forms
        for number in writes.intersection(forms):
            if isinstance(forms.pop(number), (Mask, Half)) and number ^ 1 not in writes:
                forms[number ^ 1] = Lost()
        for place in [place for place, buffer in self.buffers.items() if not buffer.registers.isdisjoint(writes)]:
            del self.buffers[place]

    @property
    def some_lanes_off(self) -> bool:
        """Whether EXEC is not all ones, or not known to be."""
        return self.lanes is not None or EXEC in self.forms

    def exec_changed(self) -> None:
        """Bring ``lanes`` up to date after a write to EXEC: None, or something."""
        full = (self.pairs64[EXEC >> 1] == ALL_ON).all()
        self.lanes = None if full else np.zeros((1, 1), np.uint32)

    def dissolve(self) -> None:
        """Nothing: the arrays are not the workspace's."""

    def select(self, rows: NDArray[np.bool_]) -> Elements:
        """A copy of some programs, with what is live behind the block."""
        return gathered([self], self.batch.part.leaving[self.block], np.flatnonzero(rows))

    def state(self, live: Live, place: int) -> NDArray[np.uint32]:
        """``(programs, words)``: a place, and what is live there of registers and arguments, a row for each program."""
        forms, codes = self.forms, live.scalars
        columns: list[Numbers] = [np.full(1, place, np.uint32)]
        columns += [self.scalar[n] & np.uint32(live.bits[n]) for n in codes if n not in forms]
        columns += [self.vector[row][:, 0] for row in live.vectors if VECTOR_BASE + row not in forms]
        columns += [self.batch.word(dword, self.ids) for dword in live.arguments]
        columns += [self.scc] * (SCC_REGISTER in live.bits)
        columns += [numbers for _, form in sorted(forms.items()) for numbers in numbers_of(form)]
        parts = [half for x in columns for half in ([x] if x.itemsize <= 4 else [x & _LOW, x >> 32 & _LOW])]
        table = np.zeros((self.count, len(parts)), np.uint32)
        for at, part in enumerate(parts):
            table[:, at] = part
        return table

    def keep(self, live: Live) -> tuple[Any, ...]:
        """Keep what is live of the forms; what must be equal for programs to be run together."""
        self.forms = _live_forms(self.forms, live)
        return tuple((number, shape_of(form)) for number, form in sorted(self.forms.items()))


def _live_forms(forms: dict[int, Form], live: Live) -> dict[int, Form]:
    # A mask counts by either of its registers.
    return {n: f for n, f in forms.items() if n in live.bits or (isinstance(f, (Mask, Half)) and n ^ 1 in live.bits)}


def gathered(groups: Sequence[Elements], live: Live, rows: NDArray[np.int64] | None = None) -> Elements:
    """Groups at one place put together, of one shape of forms; or some programs of one group. With what is live."""
    first = groups[0]

    def joined(arrays: Sequence[NDArray[Any]], out: Any = None) -> Any:
        return np.concatenate(arrays, out=out) if rows is None else arrays[0].take(rows, 0, out, "clip")

    def numbers(column: Sequence[Numbers]) -> Any:
        if all(len(array) == 1 and array[0] == column[0][0] for array in column):
            return column[0]  # the same in all programs
        return joined([np.broadcast_to(array, g.count) for array, g in zip(column, groups, strict=True)])

    ids = joined([g.ids for g in groups])
    vector = np.empty((len(first.vector), len(ids), 1), np.uint32)
    for row in live.vectors:
        joined([g.vector[row, :, 0] for g in groups], vector[row, :, 0])
    pairs = np.empty((64, len(ids), 2), np.uint32)
    for pair in live.pairs:
        joined([g.pairs64[pair] for g in groups], pairs[pair].view(np.uint64)[:, 0])
    forms = _live_forms(first.forms, live)
    for number, form in forms.items():
        taken = map(numbers, zip(*(numbers_of(g.forms[number]) for g in groups), strict=True))
        forms[number] = changed(form, lambda _, taken=taken: next(taken))  # type: ignore[misc]
    scc, ends = joined([g.scc for g in groups]), joined([g.ends for g in groups])
    return Elements(first.batch, ids, vector, pairs, scc, forms, ends, first.block, max(g.steps for g in groups))


class ElementMachine(Machine):
    """Executes one element for each program, until all have ended or are handed over.

    Args:
        batch: the programs.
        steps: of the blocks that were executed before; added to.
        arrived: is given programs that come to where the first stores are near, with what is live there and the shape
            of their forms; None where they are past that.

    Attributes:
        left: numbers of programs that have to be run lane by lane; to be emptied by who runs them.
    """

    def __init__(
        self,
        batch: ProgramBatch,
        steps: dict[int, tuple[Step, ...]],
        arrived: Callable[[Elements, Live, tuple[Any, ...]], None] | None,
    ) -> None:
        super().__init__(batch, batch.part, STEP_LIMIT, False)
        self.part = batch.part
        self.left: list[NDArray[np.int64]] = []
        self._ends = batch.recorder.ends
        self._steps = steps
        self._arrived_at_stores = arrived

    def _met(self, here: list[Waves]) -> list[Waves]:
        live = self.part.live[here[0].block]
        shapes: dict[tuple[Any, ...], list[Elements]] = {}
        for group in here:
            assert isinstance(group, Elements)
            shapes.setdefault(group.keep(live), []).append(group)
        met = {shape: gathered(parts, live) if len(parts) > 1 else parts[0] for shape, parts in shapes.items()}
        if self._arrived_at_stores is None or here[0].block not in self.part.merges:
            return [*met.values()]
        for shape, group in met.items():
            if any(isinstance(form, Lost) for form in group.forms.values()):
                self.left.append(group.ids)
            else:
                self._arrived_at_stores(group, live, shape)
        return []

    def _advance(self, group: Waves) -> None:
        try:
            super()._advance(group)
        except NotInForm:
            self._end(group)
            self.left.append(group.ids)

    def _end(self, group: Waves) -> None:
        assert isinstance(group, Elements)
        self._ends[group.ids] = group.ends

    def _arrive(self, group: Waves) -> None:
        self._ready.append(group)  # a program is whole

    def _execute(self, group: Waves, block: Block) -> None:
        assert isinstance(group, Elements)
        steps = self._steps.get(block.number)
        if steps is None:
            steps = tuple(step_of(item, self.part.code) for item in self.part.kept[block.number])
            self._steps[block.number] = steps
        for step in steps:
            step(group)
        _, branch, condition = block.last.mnemonic.partition("s_cbranch")
        if branch:
            number = _CONDITIONS[condition[:4]]
            if number in group.forms or number ^ 1 in group.forms:
                raise NotInForm
