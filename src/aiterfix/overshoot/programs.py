"""Programs to run: one workgroup each, of launches that differ in context length, width and split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiterfix.gfx950.signature import Kernel, KernelConfig


@dataclass(frozen=True)
class LaunchShape:
    """One launch of one sequence, or some of its programs.

    Attributes:
        context_length: tokens of the sequence.
        max_model_len: columns of the output.
        next_n: rows of the sequence.
        splits: programs that share a row (fixed kernels); for the schedule kernel, chunks that one program takes.
        first, count: which programs of the grid.
    """

    context_length: int
    max_model_len: int
    next_n: int
    splits: int
    first: int
    count: int


def whole_launch(
    kernel: Kernel, chunk_k: int, context_length: int, max_model_len: int, next_n: int, splits: int
) -> LaunchShape:
    """Every program of a launch.

    The schedule kernel's grid is as large as the GPU; workgroups past the last chunk find no sequence and end. One of
    them is run for each row, so that this is seen and not assumed.
    """
    programs = splits
    if kernel is Kernel.PRESHUFFLE_VARCTX:
        chunks = -(-context_length // chunk_k)
        programs = -(-chunks // splits) + 1
    return LaunchShape(context_length, max_model_len, next_n, splits, 0, next_n * programs)


def scalar_arguments(config: KernelConfig, shape: LaunchShape) -> dict[str, int]:
    """Integer arguments by parameter name. The row stride is 0: every row starts where the output does, and a store's
    offset is its column."""
    row_bytes = config.kv_block_size * (config.hidden + 4)
    return {
        "batch_size": 1,
        "next_n": shape.next_n,
        "heads_num": config.heads,
        "stride_q_batch": shape.next_n * config.heads * config.hidden,
        "stride_q_next_n": config.heads * config.hidden,
        "stride_q_heads": config.hidden,
        "stride_k_seq": row_bytes,
        "stride_scale_seq": row_bytes // 4,
        "stride_w_batch": config.heads,
        "stride_out_batch": 0,
        "max_model_len": shape.max_model_len,
        "max_block_len": -(-shape.max_model_len // config.kv_block_size),
        "num_block": 1 << 16,
        "SplitKV": shape.splits,
    }


def few_splits(kernel: Kernel, chunks: int) -> tuple[int, ...]:
    """Splits that leave the last program one chunk, two, three, and a few."""
    few = (1, 2, 3, 7)
    wanted: Iterable[int] = few
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        wanted = (-(-chunks // count) for count in few)
    return tuple(sorted({min(max(1, value), chunks) for value in wanted}))


LARGEST_SPLIT = 520
"""``SplitKV`` that the wrapper computes for 256 compute units and its default two waves, at one row."""


def every_split(kernel: Kernel, chunks: int) -> tuple[int, ...]:
    """Every value that the wrapper can produce, in classes that behave alike.

    ``SplitKV`` is a multiple of 5. With as many programs as chunks or more, every program has one chunk or none.
    The schedule kernel takes any number of chunks a program; those that give equally many programs are one class.
    """
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        small = range(1, min(chunks, 5) + 1)
        fives = range(5, min(chunks + 5, LARGEST_SPLIT) + 1, 5)
        return tuple(sorted({*small, *fives}))
    by_programs: dict[int, int] = {}
    for count in range(1, chunks + 1):
        by_programs[-(-chunks // count)] = count
    return tuple(sorted(by_programs.values()))
