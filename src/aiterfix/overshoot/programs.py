"""Programs to run: one workgroup each, of launches that differ in context length, width and split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiterfix.gfx950.signature import Kernel, KernelConfig


@dataclass(frozen=True)
class LaunchShape:
    """One launch of one sequence.

    Attributes:
        context_length: tokens of the sequence.
        max_model_len: columns of the output.
        next_n: rows of the sequence.
        splits: programs that share a row (fixed kernels); for the schedule kernel, chunks that one program takes.
    """

    context_length: int
    max_model_len: int
    next_n: int
    splits: int


def programs_of(kernel: Kernel, chunk_k: int, shape: LaunchShape) -> int:
    """Workgroups of a launch.

    The schedule kernel's grid is as large as the GPU; workgroups past the last chunk find no sequence and end. One of
    them is run for each row, so that this is seen and not assumed.
    """
    if kernel is not Kernel.PRESHUFFLE_VARCTX:
        return shape.next_n * shape.splits
    chunks = -(-shape.context_length // chunk_k)
    return shape.next_n * (-(-chunks // shape.splits) + 1)


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


def decisive(
    kernel: Kernel, config: KernelConfig, max_model_len: int, next_n: int
) -> tuple[tuple[LaunchShape, ...], int]:
    """Launches that decide the overshoot of one width, and how far below it their context lengths begin.

    The argument is in docs/padding.md: which columns the last program of a row stores follows from where it starts and
    how long it is, so that what is tried is every length of the last chunk with few splits, and every split with few
    lengths.
    """
    window = max(config.chunk_k, config.kv_block_size)
    first = max(1, max_model_len - window + 1)
    chunks = -(-max_model_len // config.chunk_k)
    few = few_splits(kernel, chunks)
    found = dict.fromkeys(
        LaunchShape(length, max_model_len, next_n, splits)
        for length in range(max_model_len, first - 1, -1)
        for splits in few
    )
    whole = max_model_len // config.chunk_k * config.chunk_k
    for length in {max_model_len, whole, whole + 1, max_model_len - 1}:
        if first <= length <= max_model_len:
            found.update(
                dict.fromkeys(
                    LaunchShape(length, max_model_len, next_n, splits) for splits in every_split(kernel, chunks)
                )
            )
    return tuple(found), first


def few_splits(kernel: Kernel, chunks: int) -> tuple[int, ...]:
    """Splits that leave the last program one chunk, two, three, a few, and all."""
    if kernel is Kernel.PRESHUFFLE_VARCTX:
        wanted: Iterable[int] = (1, 2, 3, 7, chunks)
    else:
        wanted = (1, *(-(-chunks // count) for count in (7, 3, 2, 1)), chunks + 1)
    return tuple(sorted({min(max(1, value), chunks + 1) for value in wanted}))


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
