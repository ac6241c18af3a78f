"""The overshoot of a compiled kernel at one width, established for every context length and split.

docs/padding.md has the argument. In short, of all (length, split, program) these are run:

1. every program of every split that the wrapper can produce, for the shortest and the longest length of every number
   of chunks. It says which programs a length bears on within its chunk: those that differ between the two, and those
   around the last with work.
2. for every length: those programs, of every split that they are not equal in.
3. for every length up to ``WHOLE``, and the last before the width, one of every remainder by the chunk: every program
   with work, and those next behind.
4. a sample of whole launches of other lengths, and of several sequences.

What 3 and 4 run must not contradict 1, or the kernel is refused.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.launch import program_of
from aiterfix.overshoot.execute import stored_ends
from aiterfix.overshoot.programs import Launches, LaunchShape, every_split, programs_of, whole_launch
from aiterfix.overshoot.slicing import Slice, slice_of
from aiterfix.overshoot.watch import Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 131072
"""Largest ``max_model_len`` that this has been checked for."""
WHOLE = 8192
"""Up to this length every program with work is run, of every length and split."""
_SAMPLES = 400
_FEW = 16
"""Programs for each number of chunks, besides those around the last, that are run for every length past ``WHOLE``."""
_LAUNCHES = 1 << 15
"""Launches whose arguments are laid out at once."""


@dataclass(frozen=True)
class Overshoot:
    """What was established for one kernel, configuration and width.

    Attributes:
        kernel: which kernel.
        config: what it was compiled for.
        max_model_len: columns of the output.
        next_n: rows of a sequence.
        columns: columns stored to at or past ``max_model_len``, by any program of any context length up to it.
        context_length: the longest context that gets furthest.
        splits: ``SplitKV`` of a launch that does; chunks a program for the schedule kernel.
        reach: most columns that any of the lengths run stored to past its own end.
        lengths: how many context lengths were run: all.
        programs: how many programs were run.
        lane_by_lane: how many of them had to be run lane by lane, which is slow.
    """

    kernel: Kernel
    config: KernelConfig
    max_model_len: int
    next_n: int
    columns: int
    context_length: int
    splits: int
    reach: int
    lengths: int
    programs: int
    lane_by_lane: int


class IntegerPart:
    """A compiled kernel, made ready to be asked where it stores.

    Args:
        kernel: the code object.
        which: the kernel it is.
        config: what it was compiled for.

    Raises:
        NotUnderstoodError: where it stores depends on more than integers.
    """

    def __init__(self, kernel: CompiledKernel, which: Kernel, config: KernelConfig) -> None:
        self.kernel = kernel
        self.which = which
        self.config = config
        code = CodeObject.from_bytes(kernel.code, kernel=kernel.function)
        asked = code.descriptor
        if asked.dispatch_pointer or asked.queue_pointer or asked.dispatch_id:
            raise NotUnderstoodError(
                f"{kernel.function} asks for its dispatch packet, queue or number",
                why="where it stores could depend on them, and its arguments are in other registers",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        self.part: Slice = slice_of(program_of(code))

    def ends(self, shapes: Iterable[LaunchShape]) -> list[list[int]]:
        """For each launch, for each of its programs, one past the last column stored to; 0 where nothing was."""
        found: list[list[int]] = []
        for launches, stored in self._in_parts(Launches.of(tuple(shapes))):
            found += [ends.tolist() for ends in np.split(stored.ends, np.cumsum(launches.count)[:-1])]
        return found

    def _run(self, launches: Launches) -> Stored:
        return stored_ends(self.part, self.kernel, self.config, launches)

    def _in_parts(self, launches: Launches) -> Iterator[tuple[Launches, Stored]]:
        for first in range(0, len(launches), _LAUNCHES):
            part = launches.part(first, first + _LAUNCHES)
            yield part, self._run(part)

    def overshoot(self, max_model_len: int, next_n: int = 1) -> Overshoot:
        """Establish the overshoot at one width.

        Raises:
            NotUnderstoodError: where the kernel stores does not follow from what was run.
        """
        found = _Furthest()
        plan = self._every_split(max_model_len, next_n, found)
        self._every_length(max_model_len, next_n, plan, found)
        self._whole(max_model_len, next_n, plan, found)
        self._sample(max_model_len, next_n, plan, found)
        return Overshoot(
            self.which,
            self.config,
            max_model_len,
            next_n,
            max(0, found.end - max_model_len),
            found.context_length,
            found.splits,
            found.reach,
            max_model_len,
            found.programs,
            found.lane_by_lane,
        )

    def _every_split(self, width: int, next_n: int, found: _Furthest) -> _Plan:
        """Step 1."""
        chunk = self.config.chunk_k
        plan = np.array(
            [
                (chunks, splits)
                for chunks in range(1, -(-width // chunk) + 1)
                for splits in every_split(self.which, chunks, next_n, self.config.waves_per_eu)
            ],
            np.int64,
        )
        chunks, splits = np.ascontiguousarray(plan.T)
        high = np.minimum(chunk * chunks, width)
        counts = next_n * programs_of(self.which, chunk, high, splits)
        launches = Launches.made(
            np.concatenate([chunk * (chunks - 1) + 1, high]), width, next_n, np.tile(splits, 2), 0, np.tile(counts, 2)
        )
        # One run of both, so that equal states are seen to be.
        stored = self._run(launches)
        found.take(launches, stored)
        half = int(counts.sum())
        starts = np.cumsum(counts) - counts
        of = np.repeat(np.arange(len(plan)), counts)
        place = (np.arange(half) - starts[of]) // next_n
        ends = stored.ends[half:]
        last = np.maximum(np.maximum.reduceat(np.where(ends > 0, place, -1), starts), 0)
        low_like, high_like = stored.like[:half], stored.like[half:]
        near = np.abs(place - last[of]) <= 1
        varies = (low_like != high_like) | near
        # Rows of a sequence, and splits, that come to the same states at both lengths need no run of their own.
        numbers = np.flatnonzero(varies)
        if len(numbers) - int(near.sum()) > _FEW * len(np.unique(chunks)):
            # A length bears on all programs, as it does where a kernel counts from the end of the context.
            numbers = np.flatnonzero(near)
        pairs = np.stack([chunks[of[numbers]], low_like[numbers], high_like[numbers]])
        fresh = numbers[np.unique(pairs, axis=1, return_index=True)[1]]
        return _Plan(chunks, splits, counts, starts, last, varies, np.sort(fresh), ends)

    def _every_length(self, width: int, next_n: int, plan: _Plan, found: _Furthest) -> None:
        """Step 2."""
        chunk = self.config.chunk_k
        # Up to WHOLE the next step runs them, with all others.
        row, first, count = plan.runs()
        step = max(1, _LAUNCHES // chunk)
        for at in range(0, len(row), step):
            part = row[at : at + step]
            lengths = (chunk * (plan.chunks[part] - 1))[:, np.newaxis] + np.arange(1, chunk + 1)
            inside = np.flatnonzero((lengths.reshape(-1) > WHOLE) & (lengths.reshape(-1) <= width))
            if not len(inside):
                continue
            launches = Launches.made(
                lengths.reshape(-1)[inside],
                width,
                next_n,
                np.repeat(plan.splits[part], chunk)[inside],
                np.repeat(first[at : at + step], chunk)[inside],
                np.repeat(count[at : at + step], chunk)[inside],
            )
            found.take(launches, self._run(launches))

    def _whole(self, width: int, next_n: int, plan: _Plan, found: _Furthest) -> None:
        """Step 3."""
        chunk = self.config.chunk_k
        near = max(1, width - max(chunk, self.config.kv_block_size) + 1)
        lengths = np.unique(np.concatenate([np.arange(1, min(WHOLE, width) + 1), np.arange(near, width + 1)]))
        low = np.searchsorted(plan.chunks, -(-lengths // chunk))
        high = np.searchsorted(plan.chunks, -(-lengths // chunk), "right")
        length_of = np.repeat(np.arange(len(lengths)), high - low)
        row = np.arange(len(length_of)) - np.repeat(np.cumsum(high - low) - high, high - low)
        # Programs far behind the last with work were run in step 1.
        count = np.minimum(plan.counts[row], (plan.last[row] + 3) * next_n)
        launches = Launches.made(lengths[length_of], width, next_n, plan.splits[row], 0, count)
        for at, (part, stored) in zip(range(0, len(row), _LAUNCHES), self._in_parts(launches), strict=True):
            found.take(part, stored)
            self._agree(part, stored, row[at : at + _LAUNCHES], plan)

    def _sample(self, width: int, next_n: int, plan: _Plan, found: _Furthest) -> None:
        """Step 4."""
        generator = random.Random(f"{self.which.value} {self.config.name} {width} {next_n}")
        shapes, rows = [], []
        for number in range(_SAMPLES):
            length = generator.randint(1, width)
            chunks = -(-length // self.config.chunk_k)
            row = generator.randrange(*(int(np.searchsorted(plan.chunks, chunks, side)) for side in ("left", "right")))
            batch = generator.choice((2, 3, 5)) if number % 4 == 0 else 1
            splits = int(plan.splits[row])
            shapes.append(whole_launch(self.which, self.config.chunk_k, length, width, next_n, splits, batch))
            rows.append(row)
        launches = Launches.of(shapes)
        stored = self._run(launches)
        end, reach = found.end, found.reach
        found.take(launches, stored)
        if found.end > end or found.reach > reach:
            furthest = np.maximum.reduceat(stored.ends, np.cumsum(launches.count) - launches.count)
            beyond = (furthest > end) | (furthest - launches.context_length > reach)
            raise self._contradicted(launches.one(int(beyond.argmax())))
        self._agree(launches, stored, np.array(rows), plan)

    def _agree(self, launches: Launches, stored: Stored, row: NDArray[np.int64], plan: _Plan) -> None:
        """Hold launches from their first program to what step 1 says of those that a length does not bear on."""
        of = np.repeat(np.arange(len(launches)), launches.count)
        place = np.arange(len(of)) - np.repeat(np.cumsum(launches.count) - launches.count, launches.count)
        alone = launches.batch[of] == 1
        of, place, ends = of[alone], place[alone], stored.ends[alone]
        expected = plan.starts[row[of]] + place
        differ = (ends != plan.ends[expected]) & ~plan.varies[expected]
        if differ.any():
            raise self._contradicted(launches.one(int(of[differ.argmax()])))

    def _contradicted(self, shape: LaunchShape) -> NotUnderstoodError:
        return NotUnderstoodError(
            f"{self.which.function} stores elsewhere than what was run of it says: {shape}",
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

    chunks: NDArray[np.int64]
    splits: NDArray[np.int64]
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    last: NDArray[np.int64]
    varies: NDArray[np.bool_]
    fresh: NDArray[np.int64]
    ends: NDArray[np.int64]

    def runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Consecutive programs that a length bears on: row, first program, how many."""
        of = np.repeat(np.arange(len(self.counts)), self.counts)
        numbers = self.fresh
        parted = np.flatnonzero((np.diff(numbers, prepend=-2) != 1) | (np.diff(of[numbers], prepend=-1) != 0))
        first = numbers[parted]
        row = of[first]
        return row, first - self.starts[row], np.diff(parted, append=len(numbers))


class _Furthest:
    """The launch that stores furthest; the longest context among equals."""

    def __init__(self) -> None:
        self.end = self.context_length = self.splits = self.reach = self.programs = self.lane_by_lane = 0

    def take(self, launches: Launches, stored: Stored) -> None:
        """Take account of what was stored."""
        ends = np.maximum.reduceat(stored.ends, np.cumsum(launches.count) - launches.count)
        self.programs += len(stored.ends)
        self.lane_by_lane += stored.lane_by_lane
        self.reach = max(self.reach, int((ends - launches.context_length).max()))
        # Lengths are at most 2^20 or so: one number orders by end, then by length.
        best = int((ends * (1 << 32) + launches.context_length).argmax())
        end, length = int(ends[best]), int(launches.context_length[best])
        if (end, length) > (self.end, self.context_length):
            self.end, self.context_length, self.splits = end, length, int(launches.splits[best])
