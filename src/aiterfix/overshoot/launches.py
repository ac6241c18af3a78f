"""Programs to run: one workgroup each, of launches that differ in context length, width and split; and what a launch
sets up for them: arguments, and memory that they point to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.portable import AnyKernel
from aiterfix.family.signature import OUTPUT, OUTPUT_BY_HEAD, Kernel, KernelConfig
from aiterfix.family.splits import COMPUTE_UNITS, head_tiles, split_of
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.overshoot.lanes import refused
from aiterfix.overshoot.stores import OUTPUT as OUTPUT_ADDRESS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.int64] | int

    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.overshoot.slicing import Slice

Launches: TypeAlias = Any
"""Launches, or some of the programs of each: a record array with the columns of :func:`launches_of`."""
_SCALARS = ("batch_size", "next_n", "heads_num", "max_model_len", "SplitKV")
_STRIDES = ("stride_out_batch", "stride_out_heads")
_LENGTHS = ("context_len_ptr", "prefix_sum_context_lens")
DECIDING = {*_SCALARS, *_STRIDES, *_LENGTHS, OUTPUT, OUTPUT_BY_HEAD, "safe_chunks_per_cta_ptr"}
"""Arguments that where a kernel stores may depend on. The number of heads is the one that it is compiled for."""


def launches_of(
    *,
    context_length: Column,
    max_model_len: Column,
    next_n: Column,
    splits: Column,
    count: Column,
    first: Column = 0,
    batch: Column = 1,
    stride: Column = 0,
) -> Launches:
    """As many launches as the longest column has; one number stands for all.

    Args:
        context_length: tokens of a sequence; of several, see :func:`lengths_of`.
        max_model_len: columns of the output.
        next_n: rows of a sequence.
        splits: programs that share a row; for the schedule kernel, chunks that one program takes.
        first, count: which programs of the grid.
        batch: sequences.
        stride: elements between rows. Where it is 0 every row starts where the output does, and a store's offset is its
            column.
    """
    columns = dict(locals())
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(column, np.int64)) for column in columns.values()))
    return np.rec.fromarrays(arrays, dtype=[(name, np.int64) for name in columns])


def joined(parts: Sequence[Launches]) -> Launches:
    """All of several."""
    return np.concatenate(parts).view(np.recarray)


def lengths_of(context_length: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
    """Tokens of the sequences of launches, ``(n, batch)``: alike where the longest, which is given, is an even number;
    else all but one shorter, by what looks like chance."""
    longest = context_length[:, np.newaxis]
    number = np.arange(batch)
    alike = (longest % 2 == 0) | (number == longest // 2 % batch)
    shorter = 1 + (longest * (40503 + 2 * number) >> 7) % longest.clip(1)
    return np.where(alike, longest, shorter)


def programs_in(launches: Launches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each program, its launch, and its place among those of the launch."""
    count = launches["count"]
    launch = np.repeat(np.arange(len(launches)), count)
    return launch, np.arange(len(launch)) - (np.cumsum(count) - count)[launch]


def describe(launches: Launches, number: int) -> str:
    """One of them, for messages."""
    return ", ".join(f"{name} {launches[name][number]}" for name in launches.dtype.names or ())


def whole_launch(
    kernel: AnyKernel,
    config: KernelConfig,
    context_length: int,
    max_model_len: int,
    next_n: int,
    splits: int,
    batch: int = 1,
) -> Launches:
    """Every program of a launch.

    The schedule kernel's grid is as large as the GPU; workgroups past the last chunk find no sequence and end. One of
    them is run for each row, so that this is seen and not assumed.
    """
    programs = programs_of(kernel, config.chunk_k, np.array([context_length]), np.array([splits]), int(batch == 1))
    return launches_of(
        context_length=context_length, max_model_len=max_model_len, next_n=next_n, splits=splits,
        count=batch * next_n * head_tiles(kernel, config) * programs, batch=batch,
    )  # fmt: skip


def programs_of(
    kernel: AnyKernel, chunk_k: int, lengths: NDArray[np.int64], splits: NDArray[np.int64], behind: int = 1
) -> NDArray[np.int64]:
    """How many programs a row has in each launch of one sequence, with so many ``behind`` the schedule's last."""
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        return splits
    chunks = -(-lengths // chunk_k)
    return -(-chunks // splits) + behind


@cache
def every_split(kernel: AnyKernel, chunks: int, rows: int, waves_per_eu: int) -> tuple[int, ...]:
    """Every value that the wrapper can produce for a sequence of so many chunks and ``rows``.

    ``SplitKV`` follows from the GPU and the batch, not from the length: a dozen values.

    The schedule kernel takes any number of chunks a program, as one value serves all sequences. Up to 64 chunks all
    are taken; above that the least and the most of those that give a sequence equally many programs.
    """
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        every = range(rows, COMPUTE_UNITS + rows + 1, rows)
        return tuple(sorted({split_of(kernel, number, waves_per_eu) for number in every}))
    programs = [-(-chunks // count) for count in range(1, chunks + 2)]
    differ = [before != after for before, after in zip([0, *programs], [*programs, 0], strict=True)]
    return tuple(n for n in range(1, chunks + 2) if chunks <= _ALL_SCHEDULES or differ[n - 1] or differ[n])


_ALL_SCHEDULES = 64


_WORDS = 16
MOST_SEQUENCES = _WORDS - 2
"""Of a launch: their sums take one word more, and one is left to show what is read past them."""
_JUNK = np.array([0, 3, 0x7ABC_DEF0, -5, 1000], np.int32)
"""What stands behind the lengths of a launch, each in turn: whoever reads it will come to different ends."""


class Arguments:
    """Those dwords of the kernarg segment that decide where a kernel stores, and the memory that they point to.

    Memory is so laid out that equal lengths are at equal addresses. Each launch's stand alone: a kernel that read its
    neighbour would read nonsense, not another launch's.

    Args:
        part: the kernel's slice.
        kernel: for the names and types of its arguments.
        heads: that it is compiled for.
        longest: largest number that stands in memory.

    Attributes:
        names: of the arguments that decide.

    Raises:
        NotUnderstoodError: others do than those that launches are varied in.
    """

    def __init__(self, part: Slice, kernel: CompiledKernel, heads: int, longest: int) -> None:
        self.memory = DeviceMemory()
        self._heads = heads
        self._longest = longest
        self._at: dict[tuple[str, int], int] = {}
        self._dwords: dict[int, tuple[str, int]] = {}
        deciding = set(part.arguments.values())
        if len(kernel.arguments) > len(part.code.kernarg):
            raise NotUnderstoodError(f"the code object of {kernel.function} takes fewer arguments than its source says")
        for position, place in enumerate(part.code.kernarg):
            # Behind the declared arguments are those that the compiler appends: scratch, the grid.
            name = f"{place.kind} (appended by the compiler)"
            if position < len(kernel.arguments):
                name, kind = kernel.arguments[position]
                if place.size not in (4, 8) or place.offset % 4 or place.is_pointer != kind.startswith("*"):
                    raise NotUnderstoodError(
                        f"the code object of {kernel.function} declares {name} otherwise than its source"
                    )
            dwords = range(place.offset // 4, -(-(place.offset + place.size) // 4))
            self._dwords |= {dword: (name, 32 * k) for k, dword in enumerate(dwords) if dword in deciding}
        self.names = {name for name, _ in self._dwords.values()}
        others = sorted(self.names - DECIDING)
        if others:
            raise refused(
                f"where {kernel.function} stores depends on {', '.join(others)}",
                why="launches are varied in their lengths and splits only",
            )

    def dwords(self, table: Launches) -> dict[int, NDArray[np.uint32]]:
        """Each of the dwords, ``(launches,)``."""
        columns = {name: np.broadcast_to(self._column(name, table), len(table)) for name in self.names}
        return {
            dword: (columns[name] >> shift & 0xFFFF_FFFF).astype(np.uint32)
            for dword, (name, shift) in self._dwords.items()
        }

    def _column(self, name: str, table: Launches) -> Column:
        if name == "safe_chunks_per_cta_ptr":
            return np.asarray(self._place(name, 1) + 4 * _WORDS * table["splits"])
        if name in _LENGTHS:
            batches, place = np.unique(table["batch"], return_inverse=True)
            starts = np.array([self._place(name, batch) for batch in batches.tolist()])
            return np.asarray(starts[place.reshape(-1)] + 4 * _WORDS * table["context_length"])
        given = (table["batch"], table["next_n"], self._heads, table["max_model_len"], table["splits"])
        scalars: dict[str, Column] = dict(zip(_SCALARS, given, strict=True)) | dict.fromkeys(_STRIDES, table["stride"])
        return scalars.get(name, OUTPUT_ADDRESS)

    def _place(self, name: str, batch: int) -> int:
        if (name, batch) not in self._at:
            rows = np.resize(_JUNK, (self._longest + 1, _WORDS))
            lengths = lengths_of(np.arange(len(rows)), batch)
            if name == "prefix_sum_context_lens":
                lengths = np.cumsum(np.pad(lengths, ((0, 0), (1, 0))), axis=1)
            rows[:, : lengths.shape[1]] = lengths
            self._at[name, batch] = self.memory.allocate(name, rows).address
        return self._at[name, batch]
