"""Programs at one place of a kernel of which one element stands for each, on the emulator's machine."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.gfx950.batch import Batch
from aiterfix.gfx950.instruction import EXEC, VCC
from aiterfix.gfx950.machine import Machine
from aiterfix.gfx950.operands import SCC_REGISTER, VECTOR_BASE
from aiterfix.gfx950.waves import ALL_ON, Waves
from aiterfix.overshoot.instructions import Step, holds, step_of
from aiterfix.overshoot.lane_values import Form, Lost, Mask, NotInForm, Numbers, changed, numbers_of, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from aiterfix.gfx950.blocks import Block
    from aiterfix.gfx950.memory import DeviceMemory
    from aiterfix.overshoot.slicing import Live, Slice
    from aiterfix.overshoot.stores import StoreRecorder

_STEP_LIMIT = 5_000_000
_CONDITIONS = {"_scc": (SCC_REGISTER,), "_vcc": (VCC, VCC + 1), "_exe": (EXEC,)}


class ProgramBatch(Batch):
    """Waves of programs of any launches, or one element for each program.

    Attributes:
        recorder: takes what is stored by the programs' numbers.
        numbers: for each program, its number; it takes the place of the workgroup's in reports.
        words: ``(programs, dwords)``, the kernel arguments of its launch.
        identity: its place in the launch.
        part: what decides where they store.
        lanes: lanes of a program.
    """

    recorder: StoreRecorder

    def __init__(
        self,
        part: Slice,
        memory: DeviceMemory,
        recorder: StoreRecorder,
        numbers: NDArray[np.int64],
        words: NDArray[np.uint32],
        identity: NDArray[np.int64],
        lanes: int,
        waves: int = 1,
    ) -> None:
        super().__init__(memory, recorder, 0, len(numbers), waves, 0, 0)
        self.part = part
        self.numbers = numbers
        self.words = words
        self.identity = identity
        self.lanes = lanes

    def workgroup_of(self, wave_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The program of each wave."""
        return self.numbers[wave_ids // self.waves_per_workgroup]


class Elements(Waves):
    """One element for each program in place of its lanes. Vector instructions are done where all lanes are on only.

    Attributes:
        forms: by register number, what differs between lanes; a mask by the first of its two registers.
    """

    __slots__ = ("forms",)
    batch: ProgramBatch

    def __init__(
        self,
        batch: ProgramBatch,
        ids: NDArray[np.int64],
        vector: NDArray[np.uint32],
        pairs: NDArray[np.uint32],
        scc: NDArray[np.bool_],
        forms: dict[int, Form],
        block: int,
        steps: int,
    ) -> None:
        # Which registers were ever written is the whole machine's concern.
        super().__init__(batch, ids, vector, pairs, scc, np.zeros((len(ids), 0), np.bool_), block, steps)
        self.forms = forms

    def exec_changed(self) -> None:
        """Bring ``lanes`` up to date after a write to EXEC: None, or something."""
        full = (self.pairs64[EXEC >> 1] == ALL_ON).all()
        self.lanes = None if full else np.zeros((1, 1), np.uint32)

    def dissolve(self) -> None:
        """Nothing: the arrays are not the workspace's."""

    def select(self, rows: NDArray[np.bool_]) -> Elements:
        """A copy of some programs, with what is live behind the block."""
        return self.some(np.flatnonzero(rows), self.batch.part.leaving[self.block])

    def some(self, rows: NDArray[np.int64], live: Live) -> Elements:
        """A copy of some programs, with what is live."""
        vector = np.empty((len(self.vector), len(rows), 1), np.uint32)
        for row in live.vectors:
            vector[row] = self.vector[row].take(rows, axis=0)
        pairs = np.empty((64, len(rows), 2), np.uint32)
        whole = pairs.view(np.uint64)[:, :, 0]
        for pair in live.pairs:
            whole[pair] = self.pairs64[pair].take(rows)

        def chosen(numbers: Numbers) -> Numbers:
            return numbers if len(numbers) == 1 else numbers[rows]

        forms = {number: changed(form, chosen) for number, form in _live_forms(self.forms, live).items()}
        return Elements(self.batch, self.ids[rows], vector, pairs, self.scc[rows], forms, self.block, self.steps)

    def state(self, live: Live) -> NDArray[np.uint32]:
        """``(programs, words)``: the contents of live registers and arguments, a row for each program."""
        forms = self.forms
        columns: list[Numbers] = [self.scalar[code] for code in live.scalars if not holds(forms, code)]
        columns += [self.vector[row][:, 0] for row in live.vectors if VECTOR_BASE + row not in forms]
        columns += list(self.batch.words[self.ids][:, live.arguments].T)
        if SCC_REGISTER in live.numbers:
            columns.append(self.scc)
        for _, form in sorted(forms.items()):
            columns += numbers_of(form)
        parts = [half for column in columns for half in _words_of(column)]
        table = np.zeros((self.count, max(1, len(parts))), np.uint32)
        for place, part in enumerate(parts):
            table[:, place] = part
        return table


def _words_of(column: Numbers) -> list[Numbers]:
    return [column] if column.dtype.itemsize <= 4 else [column & 0xFFFF_FFFF, column >> 32 & 0xFFFF_FFFF]


def _live_forms(forms: dict[int, Form], live: Live) -> dict[int, Form]:
    # A mask counts by either of its registers.
    return {n: f for n, f in forms.items() if n in live.numbers or (isinstance(f, Mask) and n + 1 in live.numbers)}


def joined(groups: Sequence[Elements], live: Live) -> Elements:
    """Groups of one shape of forms put together, in order of their numbers."""
    ids = np.concatenate([group.ids for group in groups])
    order = np.argsort(ids, kind="stable")
    first = groups[0]
    vector = np.empty((len(first.vector), len(ids), 1), np.uint32)
    for row in live.vectors:
        vector[row] = np.concatenate([group.vector[row] for group in groups])[order]
    pairs = np.empty((64, len(ids), 2), np.uint32)
    for pair in live.pairs:
        pairs[pair] = np.concatenate([group.pairs[pair] for group in groups])[order]
    scc = np.concatenate([group.scc for group in groups])[order]
    forms = {}
    for number, form in first.forms.items():
        columns = zip(*(numbers_of(group.forms[number]) for group in groups), strict=True)
        whole = [
            np.concatenate([np.broadcast_to(x, (g.count,)) for x, g in zip(column, groups, strict=True)])[order]
            for column in columns
        ]
        forms[number] = changed(form, functools.partial(lambda parts, _: next(parts), iter(whole)))
    return Elements(first.batch, ids[order], vector, pairs, scc, forms, first.block, max(g.steps for g in groups))


Shape = tuple[Any, ...]
"""What forms programs have in which registers."""


def shape_of_forms(group: Elements) -> Shape:
    """What must be equal for programs to be run together."""
    return tuple((number, shape_of(form)) for number, form in sorted(group.forms.items()))


class ElementMachine(Machine):
    """Executes one element for each program, until all have ended or are handed over.

    Args:
        batch: the programs.
        steps: of the blocks that were executed before; added to.
        arrived: is given programs that come to where the first stores are near, and goes on with what it gives back;
            None where they are past that.

    Attributes:
        left: numbers of programs, within the batch, that have to be run lane by lane.
    """

    def __init__(
        self,
        batch: ProgramBatch,
        steps: dict[int, tuple[Step, ...]],
        arrived: Callable[[Elements, Live], None] | None,
    ) -> None:
        super().__init__(batch, batch.part, _STEP_LIMIT, False)
        self.part = batch.part
        self.left: list[NDArray[np.int64]] = []
        self._steps = steps
        self._arrived_at_stores = arrived

    def _met(self, here: list[Waves]) -> list[Waves]:
        live = self.part.live[here[0].block]
        shapes: dict[Shape, list[Elements]] = {}
        for group in here:
            assert isinstance(group, Elements)
            group.forms = _live_forms(group.forms, live)
            shapes.setdefault(shape_of_forms(group), []).append(group)
        met = [groups[0] if len(groups) == 1 else joined(groups, live) for groups in shapes.values()]
        if self._arrived_at_stores is None or here[0].block not in self.part.merges:
            return [*met]
        for group in met:
            if any(isinstance(form, Lost) for form in group.forms.values()):
                self.left.append(group.ids)
            else:
                self._arrived_at_stores(group, live)
        return []

    def _advance(self, group: Waves) -> None:
        try:
            super()._advance(group)
        except NotInForm:
            self.left.append(group.ids)

    def _execute(self, group: Waves, block: Block) -> None:
        assert isinstance(group, Elements)
        steps = self._steps.get(block.number)
        if steps is None:
            steps = tuple(step_of(item, self.part.code) for item in self.part.kept[block.number])
            self._steps[block.number] = steps
        for step in steps:
            step(group)
        if group.forms:
            _, branch, condition = block.last.mnemonic.partition("s_cbranch")
            if branch and any(holds(group.forms, number) for number in _CONDITIONS[condition[:4]]):
                raise NotInForm
