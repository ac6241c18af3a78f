"""Programs to run: one workgroup each, of launches that differ in context length, width and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from aiterfix.family.signature import Kernel, KernelConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LaunchShape:
    """One launch of one sequence, or some of its programs.

    Attributes:
        context_length: tokens of the sequence.
        max_model_len: columns of the output.
        next_n: rows of the sequence.
        splits: programs that share a row (fixed kernels); for the schedule kernel, chunks that one program takes.
        first, count: which programs of the grid.
        batch: sequences, all of that length.
    """

    context_length: int
    max_model_len: int
    next_n: int
    splits: int
    first: int
    count: int
    batch: int = 1


DECIDING = frozenset(
    {
        *("batch_size", "next_n", "heads_num", "context_len_ptr", "OutLogits_buffer", "stride_out_batch"),
        *("max_model_len", "SplitKV", "safe_chunks_per_cta_ptr"),
    }
)
"""Arguments that where a kernel stores may depend on. The number of heads is the one that it is compiled for."""


@dataclass(frozen=True)
class Launches:
    """Many launches, an array for each attribute of `LaunchShape`."""

    context_length: NDArray[np.int64]
    max_model_len: NDArray[np.int64]
    next_n: NDArray[np.int64]
    splits: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    batch: NDArray[np.int64]

    @classmethod
    def of(cls, shapes: Sequence[LaunchShape]) -> Launches:
        """The same launches by attribute."""
        table = np.array(
            [(s.context_length, s.max_model_len, s.next_n, s.splits, s.first, s.count, s.batch) for s in shapes],
            np.int64,
        ).reshape(-1, 7)
        return cls(*np.ascontiguousarray(table.T))

    @classmethod
    def made(
        cls,
        context_length: NDArray[np.int64],
        max_model_len: int,
        next_n: int,
        splits: NDArray[np.int64],
        first: NDArray[np.int64] | int,
        count: NDArray[np.int64],
    ) -> Launches:
        """Launches of one sequence and width."""
        size = len(context_length)
        columns = [context_length, np.full(size, max_model_len), np.full(size, next_n), splits, first, count, 1]
        return cls(*(np.ascontiguousarray(np.broadcast_to(column, (size,)), np.int64) for column in columns))

    def __len__(self) -> int:
        return len(self.count)

    def part(self, first: int, last: int) -> Launches:
        """Some of them."""
        return Launches(*(getattr(self, field.name)[first:last] for field in fields(self)))

    def one(self, number: int) -> LaunchShape:
        """One of them."""
        values = {field.name: int(getattr(self, field.name)[number]) for field in fields(self)}
        return LaunchShape(**values)


def whole_launch(
    kernel: Kernel, chunk_k: int, context_length: int, max_model_len: int, next_n: int, splits: int, batch: int = 1
) -> LaunchShape:
    """Every program of a launch.

    The schedule kernel's grid is as large as the GPU; workgroups past the last chunk find no sequence and end. One of
    them is run for each row, so that this is seen and not assumed.
    """
    programs = programs_of(kernel, chunk_k, np.array([context_length]), np.array([splits]), 1 if batch == 1 else 0)
    return LaunchShape(context_length, max_model_len, next_n, splits, 0, batch * next_n * int(programs[0]), batch)


def programs_of(
    kernel: Kernel, chunk_k: int, lengths: NDArray[np.int64], splits: NDArray[np.int64], behind: int = 1
) -> NDArray[np.int64]:
    """How many programs a row has in each launch of one sequence, with so many ``behind`` the schedule's last."""
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        return splits
    chunks = -(-lengths // chunk_k)
    return -(-chunks // splits) + behind


def scalar_arguments(config: KernelConfig, launches: Launches) -> dict[str, int | NDArray[np.int64]]:
    """Integer arguments by parameter name. The row stride is 0: every row starts where the output does, and a store's
    offset is its column."""
    row_bytes = config.kv_block_size * (config.hidden + 4)
    return {
        "batch_size": launches.batch,
        "next_n": launches.next_n,
        "heads_num": config.heads,
        "stride_q_batch": launches.next_n * config.heads * config.hidden,
        "stride_q_next_n": config.heads * config.hidden,
        "stride_q_heads": config.hidden,
        "stride_k_seq": row_bytes,
        "stride_scale_seq": row_bytes // 4,
        "stride_w_batch": config.heads,
        "stride_out_batch": 0,
        "max_model_len": launches.max_model_len,
        "max_block_len": -(-launches.max_model_len // config.kv_block_size),
        "num_block": 1 << 16,
        "SplitKV": launches.splits,
    }


COMPUTE_UNITS = (256,)
"""Of the MI350 series, which gfx950 is. Its partitions have 128, 64 and 32: each of their splits is one of 256 too."""


@cache
def every_split(kernel: Kernel, chunks: int, next_n: int, waves_per_eu: int) -> tuple[int, ...]:
    """Every value that the wrapper can produce for a sequence of so many chunks.

    ``SplitKV`` is ``(max(1, units // rows) + 4) // 5 * 5 * waves_per_eu``, with ``rows`` a multiple of ``next_n``: a
    dozen values. They follow from the GPU and the batch, not from the length.

    The schedule kernel takes any number of chunks a program, as one value serves all sequences. Up to 64 chunks all
    are taken; above that the least and the most of those that give a sequence equally many programs.
    """
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        return tuple(
            sorted(
                {
                    (max(1, units // rows) + 4) // 5 * 5 * waves_per_eu
                    for units in COMPUTE_UNITS
                    for rows in range(next_n, units + next_n + 1, next_n)
                }
            )
        )
    if chunks <= _ALL_SCHEDULES:
        return tuple(range(1, chunks + 2))
    least: dict[int, int] = {}
    most: dict[int, int] = {}
    for count in range(1, chunks + 2):
        most[-(-chunks // count)] = count
        least.setdefault(-(-chunks // count), count)
    return tuple(sorted({*least.values(), *most.values()}))


_ALL_SCHEDULES = 64
