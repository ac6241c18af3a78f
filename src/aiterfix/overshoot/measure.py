"""The overshoot of a compiled kernel at one width, established for every context length and split.

docs/padding.md has the argument, and the four steps by which those (length, split, program) that decide are found.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.portable import AnyKernel, Portable
from aiterfix.family.signature import KernelConfig
from aiterfix.family.splits import head_tiles
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.overshoot.launches import (
    MOST_SEQUENCES,
    Launches,
    describe,
    every_split,
    joined,
    launches_of,
    lengths_of,
    programs_in,
    programs_of,
    whole_launch,
)
from aiterfix.overshoot.runner import Runner, Stored
from aiterfix.overshoot.slicing import Slice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

LONGEST = 131072
"""Largest ``max_model_len`` that this has been checked for."""
WHOLE = 8192
"""Up to this length every program with work is run, of every length and split."""
_SAMPLES = 400
_STRIDES = 64
"""Of rows, in the sample."""
_AT_ONCE = 1 << 20
"""Launches that are run together."""
_FEW = 16
"""Programs for each number of chunks, besides those around the last, that are run for every length past ``WHOLE``."""


@dataclass
class Overshoot:
    """What was established for one kernel, configuration and width.

    Attributes:
        max_model_len: the width.
        end: one past the last column stored to, by any program of any context length up to the width.
        context_length: the longest context that gets furthest.
        past_context: most columns that any of the lengths run stored to past its own end.
        programs: how many programs were run.
    """

    max_model_len: int
    end: int = 0
    context_length: int = 0
    past_context: int = 0
    programs: int = 0

    @property
    def columns(self) -> int:
        """Columns stored to at or past ``max_model_len``."""
        return max(0, self.end - self.max_model_len)

    def take(self, stored: Stored) -> None:
        """Take account of what launches stored."""
        ends, lengths = stored.furthest, stored.launches.context_length
        self.programs += len(stored.ends)
        self.past_context = max(self.past_context, int((ends - lengths).max()))
        # Lengths are at most 2^20 or so: one number orders by end, then by length.
        best = int((ends * (1 << 32) + lengths).argmax())
        self.end, self.context_length = max((int(ends[best]), int(lengths[best])), (self.end, self.context_length))


class IntegerPart:
    """A compiled kernel, made ready to be asked where it stores.

    Args:
        kernel: the code object.
        which: the kernel it is.
        config: what it was compiled for.
        splits: values of ``SplitKV`` that it may be launched with; None for all that its wrapper computes.

    Raises:
        NotUnderstoodError: where it stores depends on more than integers.
    """

    def __init__(
        self, kernel: CompiledKernel, which: AnyKernel, config: KernelConfig, splits: Sequence[int] | None = None
    ) -> None:
        self.kernel = kernel
        self.which = which
        self.config = config
        self.splits = splits
        self.part = Slice(CodeObject.from_bytes(kernel.code, kernel=kernel.function))

    def ends(self, launches: Sequence[Launches]) -> list[list[int]]:
        """For each launch, for each of its programs, one past the last column stored to; 0 where nothing was."""
        table = joined(launches)
        stored = self.runner(int(max(table.context_length.max(), table.splits.max()))).run(table)
        return [ends.tolist() for ends in np.split(stored.ends, np.cumsum(table["count"])[:-1])]

    def runner(self, longest: int) -> Runner:
        """What runs programs of contexts, or of chunks a program, up to a number."""
        return Runner(self.part, self.kernel, self.config, longest)

    def overshoot(self, max_model_len: int, next_n: int = 1) -> Overshoot:
        """Establish the overshoot at one width.

        Raises:
            NotUnderstoodError: where the kernel stores does not follow from what was run.
        """
        measured = _Measurement(self, max_model_len, next_n)
        plan = measured.every_split()
        measured.every_length(plan)
        measured.whole_rows(plan)
        measured.sample(plan)
        return measured.found


class _Measurement:
    """The steps by which an overshoot is established."""

    def __init__(self, part: IntegerPart, width: int, next_n: int) -> None:
        self.part = part
        self.which = part.which
        self.config = part.config
        self.width = width
        self.next_n = next_n
        # Programs side by side, of one split.
        self.abreast = next_n * head_tiles(part.which, part.config)
        self.splits = part.splits
        # Triton compiles a size of 1 in.
        self.several = any(name == "batch_size" for name, _ in part.kernel.arguments)
        self.runner = part.runner(width)
        self.found = Overshoot(width)

    def _launches(self, lengths: Numbers, splits: Numbers, count: Numbers, first: Numbers | int = 0) -> Launches:
        return launches_of(
            context_length=lengths, max_model_len=self.width, next_n=self.next_n, splits=splits, count=count,
            first=first,
        )  # fmt: skip

    def _run(self, launches: Launches) -> Stored:
        """Run launches, and take account of what each stored."""
        stored = self.runner.run(launches)
        self.found.take(stored)
        return stored

    def every_split(self) -> _Plan:
        """Step 1."""
        chunk, width = self.config.chunk_k, self.width
        plan = np.array(
            [
                (chunks, splits)
                for chunks in range(1, -(-width // chunk) + 1)
                for splits in self.splits or every_split(self.which, chunks, self.abreast, self.config.waves_per_eu)
            ],
            np.int64,
        )
        chunks, splits = np.ascontiguousarray(plan.T)
        high = np.minimum(chunk * chunks, width)
        counts = self.abreast * programs_of(self.which, chunk, high, splits)
        lengths = np.concatenate([chunk * (chunks - 1) + 1, high])
        stored = self._run(self._launches(lengths, np.tile(splits, 2), np.tile(counts, 2)))
        half = int(counts.sum())
        starts = np.cumsum(counts) - counts
        of, place = stored.launch[:half], stored.place[:half] // self.abreast
        ends = stored.ends[half:]
        last = np.maximum(np.maximum.reduceat(np.where(ends > 0, place, -1), starts), 0)
        # What stored and was in no state is like nothing else.
        states = np.where((stored.states < 0) & (stored.ends > 0), -2 - np.arange(2 * half), stored.states)
        at_shortest, at_longest = states[:half], states[half:]
        near = np.abs(place - last[of]) <= 1
        varies = (at_shortest != at_longest) | near
        # Rows of a sequence, and splits, that come to the same states at both lengths need no run of their own.
        numbers = np.flatnonzero(varies)
        if len(numbers) - int(near.sum()) > _FEW * len(np.unique(chunks)):
            # A length bears on all programs, as it does where a kernel counts from the end of the context.
            numbers = np.flatnonzero(near)
        pairs = np.stack([chunks[of[numbers]], at_shortest[numbers], at_longest[numbers]])
        fresh = numbers[np.unique(pairs, axis=1, return_index=True)[1]]
        return _Plan(chunks, splits, counts, starts, last, varies, np.sort(fresh), ends)

    def every_length(self, plan: _Plan) -> None:
        """Step 2."""
        chunk = self.config.chunk_k
        row, first, count = plan.runs()
        step = max(1, _AT_ONCE // chunk)
        for at in range(0, len(row), step):
            part = row[at : at + step]
            lengths = ((chunk * (plan.chunks[part] - 1))[:, np.newaxis] + np.arange(1, chunk + 1)).reshape(-1)
            # Up to WHOLE the next step runs them, with all others.
            inside = np.flatnonzero((lengths > WHOLE) & (lengths <= self.width))
            of = at + inside // chunk
            if len(inside):
                self._run(self._launches(lengths[inside], plan.splits[row[of]], count[of], first[of]))

    def whole_rows(self, plan: _Plan) -> None:
        """Step 3."""
        chunk, width = self.config.chunk_k, self.width
        near = max(1, width - max(chunk, self.config.kv_block_size) + 1)
        lengths = np.unique(np.concatenate([np.arange(1, min(WHOLE, width) + 1), np.arange(near, width + 1)]))
        low = np.searchsorted(plan.chunks, -(-lengths // chunk))
        high = np.searchsorted(plan.chunks, -(-lengths // chunk), "right")
        length_of = np.repeat(np.arange(len(lengths)), high - low)
        row = np.arange(len(length_of)) - np.repeat(np.cumsum(high - low) - high, high - low)
        # Programs far behind the last with work were run in step 1.
        count = np.minimum(plan.counts[row], (plan.last[row] + 3) * self.abreast)
        self._check_plan(self._run(self._launches(lengths[length_of], plan.splits[row], count)), row, plan)

    def sample(self, plan: _Plan) -> None:
        """Step 4."""
        chunk, width = self.config.chunk_k, self.width
        generator = random.Random(f"{self.which.value} {self.config.name} {width} {self.next_n}")
        parts, rows = [], []
        for number in range(_SAMPLES):
            length = generator.randint(1, width)
            chunks = -(-length // chunk)
            row = generator.randrange(*(int(np.searchsorted(plan.chunks, chunks, side)) for side in ("left", "right")))
            batch = 2 + number // 4 % (MOST_SEQUENCES - 1) if number % 4 == 0 and self.several else 1
            parts.append(self._whole(length, int(plan.splits[row]), batch))
            rows.append(row)
        end, past_context = self.found.end, self.found.past_context
        stored = self._run(joined(parts))
        beyond = (stored.furthest > end) | (stored.furthest - stored.launches.context_length > past_context)
        if beyond.any():
            raise self._contradicted(describe(stored.launches, int(beyond.argmax())))
        self._check_plan(stored, np.array(rows), plan)
        self._check_batches(stored)
        self._check_strides(stored, generator)

    def _whole(self, length: int, splits: int, batch: int = 1) -> Launches:
        return whole_launch(self.which, self.config, length, self.width, self.next_n, splits, batch)

    def _check_batches(self, stored: Stored) -> None:
        """Hold launches of several sequences to what each of these does in a launch of its own."""
        launches = stored.launches
        numbers = np.flatnonzero(launches.batch > 1).tolist()
        sequences = [
            (number, length)
            for number in numbers
            for length in lengths_of(launches.context_length[[number]], int(launches.batch[number]))[0].tolist()
        ]
        if not sequences:
            return
        alone = self.runner.run(joined([self._whole(length, int(launches.splits[n])) for n, length in sequences]))
        of = np.array([number for number, _ in sequences])
        # Which program does what is the kernel's own affair: what all of a launch store counts.
        found, expected = (
            np.sort((launch << 32 | end)[(end > 0) & (launches.batch[launch] > 1)])
            for launch, end in ((stored.launch, stored.ends), (of[alone.launch], alone.ends))
        )
        if not np.array_equal(found, expected):
            raise self._contradicted("sequences of one launch, and each alone")

    def _check_strides(self, stored: Stored, generator: random.Random) -> None:
        """Hold rows that stand apart to what was stored of them from one place: only the place may differ."""
        apart, of = stored.launches.copy(), stored.launch
        # Multiples of 16, as code may be compiled for these only; of every remainder by 1024.
        strides = [1024 * generator.randint(-(-self.width // 1024), LONGEST // 512) + 16 * k for k in range(_STRIDES)]
        apart["stride"] = np.resize(strides, len(apart))
        moved = self._ends_apart(apart) - stored.ends
        rows = (apart.batch * self.next_n + (self.config.heads - 1 if isinstance(self.which, Portable) else 0))[of]
        wrong = (moved % apart.stride[of] != 0) | (moved < 0) | (moved >= rows * apart.stride[of])
        wrong |= (moved != 0) & (stored.ends == 0)
        if wrong.any():
            raise self._contradicted(describe(apart, int(of[wrong.argmax()])))

    def _ends_apart(self, launches: Launches) -> Numbers:
        """The ends of launches whose row strides are each in turn one of so many."""
        try:
            return self.runner.run(launches).ends
        except NotUnderstoodError:
            # A lane's number times the stride is followed where all programs have one stride.
            self.runner = self.part.runner(self.width)
            of, ends = programs_in(launches)[0], np.zeros(int(launches["count"].sum()), np.int64)
            for number in range(_STRIDES):
                some = np.arange(len(launches)) % _STRIDES == number
                ends[some[of]] = self.runner.run(launches[some]).ends
            return ends

    def _check_plan(self, stored: Stored, row: Numbers, plan: _Plan) -> None:
        """Hold launches from their first program to what step 1 says of those that a length does not bear on."""
        if self.width <= WHOLE:
            return  # nothing rests on that: all of every length are run
        alone = stored.launches.batch[stored.launch] == 1
        of, place, ends = stored.launch[alone], stored.place[alone], stored.ends[alone]
        expected = plan.starts[row[of]] + place
        differ = (ends != plan.ends[expected]) & ~plan.varies[expected]
        if differ.any():
            raise self._contradicted(describe(stored.launches, int(of[differ.argmax()])))

    def _contradicted(self, launch: str) -> NotUnderstoodError:
        return NotUnderstoodError(
            f"{self.which.function} stores elsewhere than what was run of it says: {launch}",
            why="the lengths and splits that decide were chosen for a kernel that shares out whole chunks",
            remedy="use the bound, or run `aiterfix validate`",
        )


@dataclass(frozen=True)
class _Plan:
    """What step 1 says of every number of chunks and split, in that order.

    Attributes:
        chunks, splits: a row for each.
        counts: its programs; ``starts``: where they begin in the arrays of all programs.
        last: place in the sequence's row of the last program with work.
        varies: for each program, whether a length within the chunk bears on it.
        fresh: numbers of those programs that are not equal to another of the same number of chunks.
        ends: for each program, its end at the longest length.
    """

    chunks: Numbers
    splits: Numbers
    counts: Numbers
    starts: Numbers
    last: Numbers
    varies: NDArray[np.bool_]
    fresh: Numbers
    ends: Numbers

    def runs(self) -> tuple[Numbers, Numbers, Numbers]:
        """Consecutive programs that a length bears on: row, first program, how many."""
        of = np.repeat(np.arange(len(self.counts)), self.counts)
        numbers = self.fresh
        parted = np.flatnonzero((np.diff(numbers, prepend=-2) != 1) | (np.diff(of[numbers], prepend=-1) != 0))
        first = numbers[parted]
        row = of[first]
        count = np.diff(parted, append=len(numbers))
        # Programs of as many iterations are run together: what leaves a loop early has to be told from the rest.
        order = np.argsort(self.ends[first + count - 1] - self.ends[first - 1], kind="stable")
        return row[order], first[order] - self.starts[row[order]], count[order]
