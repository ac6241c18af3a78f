"""Programs to run: one workgroup each, of launches that differ in context length, width and split; and what a launch
sets up for them: arguments, and memory that they point to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.portable import RAGGED_SPLITS, Portable
from aiterfix.family.signature import OUTPUT, OUTPUT_BY_HEAD, Kernel, KernelConfig
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.overshoot.stores import OUTPUT as OUTPUT_ADDRESS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.int64] | int

    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.overshoot.slicing import Slice

AnyKernel = Kernel | Portable
Launches: TypeAlias = Any
"""Launches, or some of the programs of each: a record array with the columns of :func:`launches_of`."""
_SCALARS = ("batch_size", "next_n", "heads_num", "max_model_len", "SplitKV")
_STRIDES = ("stride_out_batch", "stride_out_heads")
DECIDING = {
    *_SCALARS, *_STRIDES, OUTPUT, OUTPUT_BY_HEAD, "context_len_ptr", "prefix_sum_context_lens",
    "safe_chunks_per_cta_ptr",
}  # fmt: skip
"""Arguments that where a kernel stores may depend on. The number of heads is the one that it is compiled for."""


def launches_of(
    *,
    context_length: Column,
    max_model_len: Column,
    next_n: Column,
    heads: Column,
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
        heads: programs that share the heads of a row.
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
    behind = 1 if batch == 1 else 0
    programs = programs_of(kernel, config.chunk_k, np.array([context_length]), np.array([splits]), behind)
    heads = heads_apart(kernel, config)
    count = batch * next_n * heads * programs
    return launches_of(
        context_length=context_length, max_model_len=max_model_len, next_n=next_n, heads=heads, splits=splits,
        count=count, batch=batch,
    )  # fmt: skip


def programs_of(
    kernel: AnyKernel, chunk_k: int, lengths: NDArray[np.int64], splits: NDArray[np.int64], behind: int = 1
) -> NDArray[np.int64]:
    """How many programs a row has in each launch of one sequence, with so many ``behind`` the schedule's last."""
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        return splits
    chunks = -(-lengths // chunk_k)
    return -(-chunks // splits) + behind


COMPUTE_UNITS = 256
"""Of the MI350 series, which gfx950 is. Its partitions have 128, 64 and 32: each of their splits is one of 256 too."""


def split_of(kernel: AnyKernel, rows: int, waves_per_eu: int) -> int:
    """``SplitKV`` that the wrapper computes for a launch of so many rows, on a whole GPU.

    Args:
        kernel: not the schedule kernel.
        rows: of all sequences; of stage1, times the programs that share the heads of a row.
        waves_per_eu: occupancy hint of the wrapper's caller.
    """
    if isinstance(kernel, Portable) and kernel.ragged:
        return RAGGED_SPLITS
    return (max(1, COMPUTE_UNITS // rows) + 4) // 5 * 5 * waves_per_eu


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
    if chunks <= _ALL_SCHEDULES:
        return tuple(range(1, chunks + 2))
    least: dict[int, int] = {}
    most: dict[int, int] = {}
    for count in range(1, chunks + 2):
        most[-(-chunks // count)] = count
        least.setdefault(-(-chunks // count), count)
    return tuple(sorted({*least.values(), *most.values()}))


_ALL_SCHEDULES = 64


def heads_apart(kernel: AnyKernel, config: KernelConfig) -> int:
    """Programs that share the heads of a row."""
    tile = kernel.head_tile if isinstance(kernel, Portable) else 0
    return config.heads // tile if tile else 1


_NULL_POINTERS = 0x3000_0000_0000
_WORDS = 16
MOST_SEQUENCES = _WORDS - 2
"""Of a launch: their sums take one word more, and one is left to show what is read past them."""
_JUNK = np.array([0, 3, 0x7ABC_DEF0, -5, 1000], np.int32)
"""What stands behind the lengths of a launch, each in turn: whoever reads it will come to different ends."""


class LengthMemory:
    """What launches point to, so laid out that equal lengths are at equal addresses.

    Each launch's stand alone: a kernel that read its neighbour would read nonsense, not another launch's.

    Args:
        longest: largest number that stands in it.
    """

    def __init__(self, longest: int) -> None:
        self.memory = DeviceMemory()
        self._longest = longest
        self._at: dict[tuple[str, int], int] = {}

    def pointers(self, name: str, table: Launches) -> NDArray[np.int64]:
        """Addresses for a parameter, one a launch."""
        if name in (OUTPUT, OUTPUT_BY_HEAD):
            return np.full(len(table), OUTPUT_ADDRESS)
        if name == "safe_chunks_per_cta_ptr":
            return np.asarray(self._place(name, 1) + 4 * _WORDS * table["splits"])
        if name not in ("context_len_ptr", "prefix_sum_context_lens"):
            return np.full(len(table), _NULL_POINTERS)
        batches, place = np.unique(table["batch"], return_inverse=True)
        starts = np.array([self._place(name, batch) for batch in batches.tolist()])
        addresses: NDArray[np.int64] = starts[place.reshape(-1)] + 4 * _WORDS * table["context_length"]
        return addresses

    def _place(self, name: str, batch: int) -> int:
        if (name, batch) not in self._at:
            rows = np.resize(_JUNK, (self._longest + 1, _WORDS))
            lengths = lengths_of(np.arange(len(rows)), batch)
            if name == "prefix_sum_context_lens":
                lengths = np.cumsum(np.pad(lengths, ((0, 0), (1, 0))), axis=1)
            rows[:, : lengths.shape[1]] = lengths
            self._at[name, batch] = self.memory.allocate(name, rows).address
        return self._at[name, batch]


def arguments_of(
    part: Slice, kernel: CompiledKernel, config: KernelConfig, table: Launches, memory: LengthMemory
) -> dict[int, NDArray[np.uint32]]:
    """Those dwords of the kernarg segment that decide where a kernel stores, ``(launches,)`` each."""
    given = (table["batch"], table["next_n"], config.heads, table["max_model_len"], table["splits"])
    scalars = dict(zip(_SCALARS, given, strict=True)) | dict.fromkeys(_STRIDES, table["stride"])
    words: dict[int, NDArray[np.uint32]] = {}
    for position, (name, kind) in enumerate(kernel.arguments):
        if position >= len(part.code.kernarg):
            raise NotUnderstoodError(f"the code object of {kernel.function} takes fewer arguments than its source says")
        argument = part.code.kernarg[position]
        pointer = kind.startswith("*")
        if argument.size not in (4, 8) or argument.offset % 4 or argument.is_pointer != pointer:
            raise NotUnderstoodError(f"the code object of {kernel.function} declares {name} otherwise than its source")
        places = range(argument.offset // 4, (argument.offset + argument.size) // 4)
        if not part.arguments.isdisjoint(places):
            values = memory.pointers(name, table) if pointer else scalars.get(name, 0)
            for half, place in enumerate(places):
                shifted = np.asarray(values) >> 32 * half & 0xFFFF_FFFF
                words[place] = np.broadcast_to(shifted, len(table)).astype(np.uint32)
    return words


def check_arguments(part: Slice, kernel: CompiledKernel) -> tuple[str, ...]:
    """Names of the arguments that decide where a kernel stores.

    Raises:
        NotUnderstoodError: others do than those that launches are varied in.
    """
    # Behind the declared arguments are those that the compiler appends: scratch, the grid.
    declared = [name for name, _ in kernel.arguments]
    names = tuple(
        declared[position] if position < len(declared) else f"{place.kind} (appended by the compiler)"
        for position, place in enumerate(part.code.kernarg)
        if any(place.offset < 4 * (word + 1) and 4 * word < place.offset + place.size for word in part.arguments)
    )
    others = sorted(set(names) - DECIDING)
    if others:
        raise NotUnderstoodError(
            f"where {kernel.function} stores depends on {', '.join(others)}",
            why="launches are varied in their lengths and splits only",
            remedy="run `aiterfix validate`, which executes the whole kernel",
        )
    return names
