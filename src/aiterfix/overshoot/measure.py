"""The overshoot of a compiled kernel at one width, established for every context length and split.

Two steps; docs/padding.md has the argument. First every split that the wrapper can produce, with the longest context
and with the longest one that ends on a chunk: which says which program is the last with work, for both numbers of
chunks that the last ``ChunkK`` lengths have. Then every one of these lengths, with splits that leave that program few
or many chunks. Shorter contexts end below the width; that is checked, not assumed, for every length run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiterfix.errors import NotUnderstoodError
from aiterfix.gfx950 import CodeObject
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.launch import program_of
from aiterfix.gfx950.signature import Kernel, KernelConfig
from aiterfix.overshoot.execute import stored_ends
from aiterfix.overshoot.programs import LaunchShape, every_split, few_splits, whole_launch
from aiterfix.overshoot.slicing import Slice, slice_of

LONGEST = 131072
"""Largest ``max_model_len`` that this has been checked for."""


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
        lengths: how many context lengths were run.
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
        self.part: Slice = slice_of(program_of(CodeObject.from_bytes(kernel.code, kernel=kernel.function)))

    def ends(self, shapes: Iterable[LaunchShape]) -> list[list[int]]:
        """For each launch, for each of its programs, one past the last column stored to; 0 where nothing was."""
        return [array.tolist() for array in stored_ends(self.part, self.kernel, self.config, tuple(shapes))]

    def overshoot(self, max_model_len: int, next_n: int = 1) -> Overshoot:
        """Establish the overshoot at one width.

        Raises:
            NotUnderstoodError: a context reaches as far past its end as the lengths that were not run could need.
        """
        chunk = self.config.chunk_k
        window = max(chunk, self.config.kv_block_size)
        first = max(1, max_model_len - window + 1)
        longest = {-(-length // chunk): length for length in range(first, max_model_len + 1)}
        found = _Furthest()
        step = [
            whole_launch(self.which, chunk, length, max_model_len, next_n, splits)
            for chunks, length in longest.items()
            for splits in (*every_split(self.which, chunks), *few_splits(self.which, chunks))
        ]
        last: dict[tuple[int, int], int] = {}
        for shape, ends in zip(step, self.ends(step), strict=True):
            found.take(shape, ends)
            stored = [program for program, end in enumerate(ends) if end]
            # A row's programs stand next_n apart: one before the last with work, to one behind it.
            last[-(-shape.context_length // chunk), shape.splits] = max(stored, default=0)
        sweep = []
        for length in range(max_model_len, first - 1, -1):
            chunks = -(-length // chunk)
            for splits in few_splits(self.which, chunks):
                whole = whole_launch(self.which, chunk, length, max_model_len, next_n, splits)
                start = max(0, (last[chunks, splits] // next_n - 1) * next_n)
                count = min(whole.count - start, 3 * next_n)
                sweep.append(LaunchShape(length, max_model_len, next_n, splits, start, count))
        for shape, ends in zip(sweep, self.ends(sweep), strict=True):
            found.take(shape, ends)
        if found.reach >= window and first > 1:
            raise NotUnderstoodError(
                f"a context stores {found.reach} columns past its own end, more than a chunk",
                why="the lengths that decide were chosen for a kernel that rounds up to a chunk or block at most",
                remedy="use the bound, or run `aiterfix validate`",
            )
        return Overshoot(
            self.which,
            self.config,
            max_model_len,
            next_n,
            max(0, found.end - max_model_len),
            found.context_length,
            found.splits,
            found.reach,
            max_model_len - first + 1,
            found.programs,
        )


class _Furthest:
    """The launch that stores furthest; the longest context among equals."""

    def __init__(self) -> None:
        self.end = self.context_length = self.splits = self.reach = self.programs = 0

    def take(self, shape: LaunchShape, ends: list[int]) -> None:
        end = max(ends, default=0)
        self.programs += shape.count
        self.reach = max(self.reach, end - shape.context_length)
        if (end, shape.context_length) > (self.end, self.context_length):
            self.end, self.context_length, self.splits = end, shape.context_length, shape.splits
