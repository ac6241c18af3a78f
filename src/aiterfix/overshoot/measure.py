"""The overshoot of a compiled kernel at one width, established for every context length and split.

docs/padding.md has the argument. In short, of all (length, split, program) these are run:

1. every program of every split that the wrapper can produce, for the shortest and the longest length of every number
   of chunks. It says which programs a length bears on within its chunk: those that differ between the two, and those
   around the last with work.
2. every program with work of every split for the last lengths before the width, one of every remainder by the chunk;
   and those
   that step 1 names for every shorter length, where splits leave them the least to do.
3. a sample of everything else: whole launches of other lengths, and of several sequences.

What 2 and 3 run must not contradict 1, or the kernel is refused.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.launch import program_of
from aiterfix.gfx950.signature import Kernel, KernelConfig
from aiterfix.overshoot.execute import Stored, stored_ends
from aiterfix.overshoot.programs import LaunchShape, every_split, whole_launch
from aiterfix.overshoot.slicing import Slice, slice_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 131072
"""Largest ``max_model_len`` that this has been checked for."""
_TAILS = 3
"""Splits whose last programs are run for every length, of those that leave them the least to do."""
_SAMPLES = 400


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
        if code.descriptor.dispatch_pointer or code.descriptor.queue_pointer:
            raise NotUnderstoodError(
                f"{kernel.function} asks for its dispatch packet or queue",
                why="where it stores could depend on them",
                remedy="run `aiterfix validate`, which executes the whole kernel",
            )
        self.part: Slice = slice_of(program_of(code))

    def ends(self, shapes: Iterable[LaunchShape]) -> list[list[int]]:
        """For each launch, for each of its programs, one past the last column stored to; 0 where nothing was."""
        return [stored.ends.tolist() for stored in self._run(tuple(shapes))]

    def _run(self, shapes: Sequence[LaunchShape]) -> list[Stored]:
        return stored_ends(self.part, self.kernel, self.config, shapes)

    def overshoot(self, max_model_len: int, next_n: int = 1) -> Overshoot:
        """Establish the overshoot at one width.

        Raises:
            NotUnderstoodError: where the kernel stores does not follow from what was run.
        """
        found = _Furthest()
        tails = self._every_split(max_model_len, next_n, found)
        self._every_length(max_model_len, next_n, tails, found)
        self._sample(max_model_len, next_n, tails, found)
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
        )

    def _whole(self, length: int, width: int, next_n: int, splits: int, batch: int = 1) -> LaunchShape:
        return whole_launch(self.which, self.config.chunk_k, length, width, next_n, splits, batch)

    def _every_split(self, width: int, next_n: int, found: _Furthest) -> dict[int, list[_Tail]]:
        """Step 1. By number of chunks, the programs that a length within the last chunk bears on."""
        chunk = self.config.chunk_k
        plan = [
            (chunks, splits)
            for chunks in range(1, -(-width // chunk) + 1)
            for splits in every_split(self.which, chunks, next_n, self.config.waves_per_eu)
        ]
        shapes = [
            self._whole(length, width, next_n, splits)
            for chunks, splits in plan
            for length in (chunk * (chunks - 1) + 1, min(chunk * chunks, width))
        ]
        results = self._run(shapes)
        tails: dict[int, list[_Tail]] = {}
        for (chunks, splits), at, low, high in zip(
            plan, range(0, len(shapes), 2), results[::2], results[1::2], strict=True
        ):
            found.take(shapes[at], low.ends)
            found.take(shapes[at + 1], high.ends)
            working = np.flatnonzero(high.ends)
            last = int(working[-1]) // next_n if len(working) else 0
            near = np.arange(len(high.ends)) // next_n
            varies = (low.like != high.like) | (near >= last - 1) & (near <= last + 1)
            chosen = np.flatnonzero(varies)
            # Rows of a sequence, and splits, that come to the same state at both lengths need no run of their own.
            same = tails.setdefault(chunks, [])
            known = {state for tail in same for state in tail.states}
            fresh = {(int(low.like[p]), int(high.like[p])): int(p) for p in chosen}
            programs = tuple(sorted(p for state, p in fresh.items() if state not in known))
            same.append(_Tail(splits, last, chosen, programs, frozenset(fresh), high.ends))
        return tails

    def _every_length(self, width: int, next_n: int, tails: dict[int, list[_Tail]], found: _Furthest) -> None:
        """Step 2."""
        chunk = self.config.chunk_k
        near = max(1, width - max(chunk, self.config.kv_block_size) + 1)
        whole = [(length, tail) for length in range(near, width + 1) for tail in tails[-(-length // chunk)]]
        # Programs far behind the last with work were run in step 1.
        shapes = [
            LaunchShape(length, width, next_n, tail.splits, 0, min(len(tail.ends), (tail.last + 3) * next_n))
            for length, tail in whole
        ]
        for shape, stored, (_, tail) in zip(shapes, self._run(shapes), whole, strict=True):
            found.take(shape, stored.ends)
            self._agrees(shape, stored, tail)
        shapes = []
        for length in range(1, near):
            fresh = [tail for tail in tails[-(-length // chunk)] if tail.programs]
            # The most splits leave the last program the least to do; so does the least that a program takes.
            chosen = fresh[:_TAILS] if self.which is Kernel.PRESHUFFLE_VARCTX else fresh[-_TAILS:]
            shapes += [
                LaunchShape(length, width, next_n, tail.splits, first, count)
                for tail in chosen
                for first, count in _runs(tail.programs)
            ]
        for shape, stored in zip(shapes, self._run(shapes), strict=True):
            found.take(shape, stored.ends)

    def _sample(self, width: int, next_n: int, tails: dict[int, list[_Tail]], found: _Furthest) -> None:
        """Step 3."""
        chunk = self.config.chunk_k
        generator = random.Random(f"{self.which.value} {self.config.name} {width} {next_n}")
        expected = []
        shapes = []
        for number in range(_SAMPLES):
            length = generator.randint(1, width)
            tail = generator.choice(tails[-(-length // chunk)])
            batch = generator.choice((2, 3, 5)) if number % 4 == 0 else 1
            shapes.append(self._whole(length, width, next_n, tail.splits, batch))
            expected.append(tail)
        end, reach = found.end, found.reach
        for shape, stored, tail in zip(shapes, self._run(shapes), expected, strict=True):
            found.take(shape, stored.ends)
            if shape.batch == 1:
                self._agrees(shape, stored, tail)
            if found.end > end or found.reach > reach:
                raise self._contradicted(shape)

    def _agrees(self, shape: LaunchShape, stored: Stored, tail: _Tail) -> None:
        """Hold a whole launch to what step 1 says of programs that a length within the chunk does not bear on."""
        differ = stored.ends != tail.ends[: shape.count]
        differ[tail.chosen[tail.chosen < shape.count]] = False
        if differ.any():
            raise self._contradicted(shape)

    def _contradicted(self, shape: LaunchShape) -> NotUnderstoodError:
        return NotUnderstoodError(
            f"{self.which.function} stores elsewhere than what was run of it says: {shape}",
            why="the lengths and splits that decide were chosen for a kernel that shares out whole chunks",
            remedy="use the bound, or run `aiterfix validate`",
        )


@dataclass(frozen=True)
class _Tail:
    """What step 1 says of one number of chunks and split.

    Attributes:
        splits: the split.
        last: place in the row of the last program with work.
        chosen: the programs that a length within the chunk bears on.
        programs: those of them that no other split's are equal to.
        states: for the chosen, what they are like at the shortest and at the longest length.
        ends: for each program, its end at the longest length.
    """

    splits: int
    last: int
    chosen: NDArray[np.int64]
    programs: tuple[int, ...]
    states: frozenset[tuple[int, int]]
    ends: NDArray[np.int64]


def _runs(programs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Consecutive numbers, as first and count."""
    for _, group in itertools.groupby(enumerate(programs), lambda pair: pair[1] - pair[0]):
        members = [program for _, program in group]
        yield members[0], len(members)


class _Furthest:
    """The launch that stores furthest; the longest context among equals."""

    def __init__(self) -> None:
        self.end = self.context_length = self.splits = self.reach = self.programs = 0

    def take(self, shape: LaunchShape, ends: NDArray[np.int64]) -> None:
        end = int(ends.max(initial=0))
        self.programs += shape.count
        self.reach = max(self.reach, end - shape.context_length)
        if (end, shape.context_length) > (self.end, self.context_length):
            self.end, self.context_length, self.splits = end, shape.context_length, shape.splits
