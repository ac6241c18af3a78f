"""Programs to run: one workgroup each, of launches that differ in context length, width and split; and what a launch
sets up for them: arguments, and memory that they point to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.portable import RAGGED_SPLITS, Portable
from aiterfix.family.signature import OUTPUT, OUTPUT_BY_HEAD, Kernel, KernelConfig
from aiterfix.gfx950.memory import DeviceMemory
from aiterfix.overshoot.stores import OUTPUT as OUTPUT_ADDRESS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiterfix.gfx950.cache import CompiledKernel
    from aiterfix.gfx950.code_object import CodeObject
    from aiterfix.overshoot.slicing import Slice

AnyKernel = Kernel | Portable


DECIDING = frozenset(
    {
        *("batch_size", "next_n", "heads_num", "context_len_ptr", "OutLogits_buffer", "stride_out_batch"),
        *("max_model_len", "SplitKV", "safe_chunks_per_cta_ptr", "prefix_sum_context_lens"),
        *("Out_buffer", "stride_out_heads"),
    }
)
"""Arguments that where a kernel stores may depend on. The number of heads is the one that it is compiled for."""


@dataclass(frozen=True)
class Launches:
    """Launches, or some of the programs of each, an array for each attribute.

    Attributes:
        context_length: tokens of a sequence.
        max_model_len: columns of the output.
        next_n: rows of a sequence; ``heads``: programs that share the heads of a row.
        splits: programs that share a row; for the schedule kernel, chunks that one program takes.
        first, count: which programs of the grid.
        batch: sequences, all of that length.
    """

    context_length: NDArray[np.int64]
    max_model_len: NDArray[np.int64]
    next_n: NDArray[np.int64]
    heads: NDArray[np.int64]
    splits: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    batch: NDArray[np.int64]

    @classmethod
    def of(cls, **columns: NDArray[np.int64] | int) -> Launches:
        """As many as the longest attribute has; one number stands for all."""
        arrays = np.broadcast_arrays(*(columns[field.name] for field in fields(cls)))
        return cls(*(np.ascontiguousarray(np.atleast_1d(column), np.int64) for column in arrays))

    def __len__(self) -> int:
        return len(self.count)

    def part(self, first: int, last: int) -> Launches:
        """Some of them."""
        return Launches(*(getattr(self, field.name)[first:last] for field in fields(self)))

    def describe(self, number: int) -> str:
        """One of them, for messages."""
        return ", ".join(f"{field.name} {getattr(self, field.name)[number]}" for field in fields(self))

    @staticmethod
    def joined(parts: Sequence[Launches]) -> Launches:
        """All of several."""
        return Launches(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Launches)))


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
    return Launches.of(
        context_length=context_length,
        max_model_len=max_model_len,
        next_n=next_n,
        heads=heads,
        splits=splits,
        first=0,
        count=batch * next_n * heads * programs,
        batch=batch,
    )


def programs_of(
    kernel: AnyKernel, chunk_k: int, lengths: NDArray[np.int64], splits: NDArray[np.int64], behind: int = 1
) -> NDArray[np.int64]:
    """How many programs a row has in each launch of one sequence, with so many ``behind`` the schedule's last."""
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        return splits
    chunks = -(-lengths // chunk_k)
    return -(-chunks // splits) + behind


def scalar_arguments(config: KernelConfig, launches: Launches) -> dict[str, int | NDArray[np.int64]]:
    """Integer arguments by parameter name. The strides of rows and heads are 0: every row starts where the output does,
    and a store's offset is its column."""
    row_bytes = config.kv_block_size * (config.hidden + 4)
    return {
        "batch_size": launches.batch,
        "next_n": launches.next_n,
        "heads_num": config.heads,
        "stride_q_batch": launches.next_n * config.heads * config.hidden,
        "stride_q_next_n": config.heads * config.hidden,
        "stride_q_heads": config.hidden,
        "stride_k_seq": row_bytes,
        "stride_k_block": row_bytes,
        "stride_k_token": config.hidden,
        "stride_scale_seq": row_bytes // 4,
        "stride_scale_block": row_bytes // 4,
        "stride_scale_token": 1,
        "stride_w_batch": config.heads,
        "stride_out_heads": 0,
        "stride_out_batch": 0,
        "max_model_len": launches.max_model_len,
        "max_block_len": -(-launches.max_model_len // config.kv_block_size),
        "max_blk_len": -(-launches.max_model_len // config.kv_block_size),
        "num_block": 1 << 16,
        "SplitKV": launches.splits,
    }


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
_JUNK = 0x7ABC_DEF0


class LengthMemory:
    """What launches point to, so laid out that equal lengths are at equal addresses.

    Each stands alone: a kernel that read its neighbour would read nonsense, not another launch's.

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
            return self._place(name, 1) + 4 * _WORDS * table.splits
        if name not in ("context_len_ptr", "prefix_sum_context_lens"):
            return np.full(len(table), _NULL_POINTERS)
        starts = np.zeros(len(table), np.int64)
        for batch in np.unique(table.batch).tolist():
            starts[table.batch == batch] = self._place(name, batch)
        return starts + 4 * _WORDS * table.context_length

    def _place(self, name: str, batch: int) -> int:
        if (name, batch) not in self._at:
            numbers = np.arange(self._longest + 1, dtype=np.int32)[:, np.newaxis]
            rows = np.full((len(numbers), _WORDS), _JUNK, np.int32)
            if name == "prefix_sum_context_lens":
                rows[:, : batch + 1] = numbers * np.arange(batch + 1)
            else:
                rows[:, :batch] = numbers
            self._at[name, batch] = self.memory.allocate(name, rows).address
        return self._at[name, batch]


def arguments_of(
    code: CodeObject, kernel: CompiledKernel, config: KernelConfig, table: Launches, memory: LengthMemory
) -> NDArray[np.uint32]:
    """``(launches, dwords)``: every launch's arguments."""
    count = len(table)
    bits = np.zeros((count, -(-max(code.descriptor.kernarg_bytes, 16) // 16) * 16), np.uint8)
    scalars = scalar_arguments(config, table)
    for position, (name, kind) in enumerate(kernel.arguments):
        if position >= len(code.kernarg):
            raise NotUnderstoodError(f"the code object of {kernel.function} takes fewer arguments than its source says")
        argument = code.kernarg[position]
        pointer = kind.startswith("*")
        values: Any = memory.pointers(name, table) if pointer else np.broadcast_to(scalars[name], count)
        if argument.size not in (4, 8) or argument.is_pointer != pointer:
            raise NotUnderstoodError(f"the code object of {kernel.function} declares {name} otherwise than its source")
        raw = np.ascontiguousarray(values, np.int64).view(np.uint8).reshape(count, 8)
        bits[:, argument.offset : argument.offset + argument.size] = raw[:, : argument.size]
    return bits.view(np.uint32)


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
