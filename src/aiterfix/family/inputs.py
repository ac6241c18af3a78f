"""One call of a paged-MQA-logits kernel as data: inputs as the wrapper lays them out, and what surrounds them.

Everything that a kernel must not use is made to hurt: cache tokens past a sequence's end and whole unused blocks are
NaN (block 0 too, which is where masked-off lanes point), and table entries past a sequence's last block point past
the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiterfix.family.fp8 import NAN

SCALE_BYTES = 4
_TILE = 16
_MAX_PRIVATE_TOKENS = 1 << 16
_SHARED_BLOCK_TOKENS = 1 << 14


@dataclass(frozen=True)
class LaunchInputs:
    """Inputs of one launch.

    Attributes:
        q: e4m3fn bits, (batch, next_n, heads, hidden).
        keys: e4m3fn bits, (blocks, kv_block_size, hidden), not shuffled.
        scales: float32, (blocks, kv_block_size).
        block_table: int32, (batch, ceil(max_model_len / kv_block_size)).
        context_lengths: int32, (batch,).
        weights: float32, (batch * next_n, heads).
        max_model_len: columns of the output.
        row_stride: elements from one row of the output to the next.
        first_block: id in the cache of the first of these blocks; the cache has others below it that nobody uses.
    """

    q: npt.NDArray[np.uint8]
    keys: npt.NDArray[np.uint8]
    scales: npt.NDArray[np.float32]
    block_table: npt.NDArray[np.int32]
    context_lengths: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    max_model_len: int
    row_stride: int
    first_block: int = 0

    @property
    def batch(self) -> int:
        """Sequences."""
        return int(self.q.shape[0])

    @property
    def next_n(self) -> int:
        """Rows of a sequence: the token and its drafts."""
        return int(self.q.shape[1])

    @property
    def rows(self) -> int:
        """Rows of the output."""
        return self.batch * self.next_n

    @property
    def kv_block_size(self) -> int:
        """Tokens of a cache block."""
        return int(self.keys.shape[1])

    @property
    def cache_blocks(self) -> int:
        """Blocks of the whole cache."""
        return self.first_block + len(self.keys)

    def physical_table(self) -> npt.NDArray[np.int32]:
        """The block table as a kernel is given it: ids in the whole cache."""
        table: npt.NDArray[np.int32] = self.block_table + np.int32(self.first_block)
        return table

    def prefix_sums(self) -> npt.NDArray[np.int32]:
        """Where each sequence begins among the tokens of all, and where the last ends, (batch + 1,)."""
        return np.cumsum([0, *self.context_lengths], dtype=np.int32)

    def ragged_tokens(self) -> npt.NDArray[np.int32]:
        """Cache slots of the tokens of all sequences one after another, where blocks are of one token."""
        table = self.physical_table()
        slots = [table[row, :length] for row, length in enumerate(self.context_lengths)]
        return np.concatenate(slots).astype(np.int32)

    def row_contexts(self) -> npt.NDArray[np.int64]:
        """Context length of each row, (rows,)."""
        return np.repeat(self.context_lengths.astype(np.int64), self.next_n)

    def visible_counts(self) -> npt.NDArray[np.int64]:
        """Columns that each row may see, from column 0 on, (rows,): ``context_length - next_n + position + 1``."""
        position = np.tile(np.arange(self.next_n), self.batch)
        counts = self.row_contexts() - self.next_n + position + 1
        seen: npt.NDArray[np.int64] = np.minimum(np.maximum(counts, 0), self.row_contexts())
        return seen


def pack_cache(
    keys: npt.NDArray[np.uint8], scales: npt.NDArray[np.float32], *, preshuffle: bool, row_bytes: int
) -> npt.NDArray[np.uint8]:
    """The cache as the kernels read it, uint8 of shape (blocks, row_bytes).

    A block is its keys, then its scales as float32, then padding (NaN bits). Preshuffled keys stand in tiles of 16
    tokens: within a tile, 16 elements of one token, then the same 16 elements of the next token, then the next 16
    elements of all.

    Args:
        keys: (blocks, kv_block_size, hidden) e4m3fn bits.
        scales: (blocks, kv_block_size).
        preshuffle: whether keys are tiled; needs a block size that is a multiple of 16.
        row_bytes: bytes from one block to the next, at least ``kv_block_size * (hidden + 4)``.
    """
    blocks, size, hidden = keys.shape
    if row_bytes < size * (hidden + SCALE_BYTES) or row_bytes % SCALE_BYTES:
        raise ValueError(f"{row_bytes} bytes cannot hold a block of {size} tokens of {hidden} elements and scales")
    if preshuffle:
        tiled = keys.reshape(blocks, size // _TILE, _TILE, hidden // _TILE, _TILE).transpose(0, 1, 3, 2, 4)
        flat = np.ascontiguousarray(tiled).reshape(blocks, -1)
    else:
        flat = keys.reshape(blocks, -1)
    packed = np.full((blocks, row_bytes), 0xFF, np.uint8)
    packed[:, : size * hidden] = flat
    packed[:, size * hidden : size * (hidden + SCALE_BYTES)] = np.ascontiguousarray(scales, np.float32).view(np.uint8)
    return packed


def make_inputs(
    *,
    context_lengths: tuple[int, ...],
    next_n: int,
    heads: int,
    hidden: int,
    kv_block_size: int,
    max_model_len: int,
    row_stride: int,
    seed: int,
    wide: bool = False,
    first_block: int = 0,
) -> LaunchInputs:
    """Inputs for these lengths, the same for the same seed.

    Args:
        context_lengths: tokens of each sequence, each at most ``max_model_len``.
        next_n: rows of a sequence.
        heads: index heads.
        hidden: elements of a key.
        kv_block_size: tokens of a block.
        max_model_len: columns.
        row_stride: elements from row to row.
        wide: every finite e4m3fn value and scales over twenty binades, instead of values about 1.
        first_block: id of the first block. Where it is not 0, each sequence's blocks follow one another, and between
            sequences lies a block that nobody uses, so that an address can be put between any two of them.
    """
    if max(context_lengths) > max_model_len or min(context_lengths) < 0:
        raise ValueError("context lengths lie between 0 and max_model_len")
    generator = np.random.default_rng(seed)
    batch = len(context_lengths)
    make_table = _ordered_table if first_block else _block_table
    table, blocks = make_table(context_lengths, kv_block_size, max_model_len, generator)
    keys = _random_bits((blocks, kv_block_size, hidden), generator, wide)
    scales = _random_scales((blocks, kv_block_size), generator, wide)
    _poison(keys, scales, table, context_lengths, kv_block_size, blocks)
    return LaunchInputs(
        q=_random_bits((batch, next_n, heads, hidden), generator, wide),
        keys=keys,
        scales=scales,
        block_table=table,
        context_lengths=np.asarray(context_lengths, np.int32),
        weights=generator.standard_normal((batch * next_n, heads)).astype(np.float32),
        max_model_len=max_model_len,
        row_stride=row_stride,
        first_block=first_block,
    )


def _random_bits(shape: tuple[int, ...], generator: np.random.Generator, wide: bool) -> npt.NDArray[np.uint8]:
    if wide:
        bits = generator.integers(0, 256, shape, dtype=np.uint8)
        return np.where(bits & 0x7F == NAN, np.uint8(NAN - 1), bits).astype(np.uint8)
    # Exponents -3 to +1 and both signs: values from 1/8 to 3.75, so that no logit hides another's fault.
    exponent = generator.integers(4, 9, shape, dtype=np.uint8)
    rest = generator.integers(0, 16, shape, dtype=np.uint8)
    return ((rest & 8) << 4 | exponent << 3 | rest & 7).astype(np.uint8)


def _random_scales(shape: tuple[int, ...], generator: np.random.Generator, wide: bool) -> npt.NDArray[np.float32]:
    scales = generator.uniform(0.5, 1.5, shape)
    if wide:
        scales = np.ldexp(scales, generator.integers(-16, 5, shape))
    return scales.astype(np.float32)


def _block_table(
    context_lengths: tuple[int, ...], size: int, max_model_len: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.int32], int]:
    """A table with permuted blocks and a poison index after each sequence's last, and the number of blocks.

    Block 0 and the last block belong to nobody. A sequence's last block is its own (what follows its end is NaN);
    whole blocks are its own too, unless that would take too much memory: then each sequence draws from a pool.
    """
    width = -(-max_model_len // size)
    whole = [length // size for length in context_lengths]
    partial = [1 if length % size else 0 for length in context_lengths]
    own = sum(whole) * size <= _MAX_PRIVATE_TOKENS
    pool = sum(whole) if own else max(max(whole), _SHARED_BLOCK_TOKENS // size)
    ids = generator.permutation(pool + sum(partial)).astype(np.int32) + 1
    blocks = len(ids) + 2
    table = np.full((len(context_lengths), width), blocks + 3, np.int32)
    shared, private = ids[:pool], iter(ids[pool:])
    taken = 0
    for row, (count, tail) in enumerate(zip(whole, partial, strict=True)):
        if own:
            table[row, :count] = shared[taken : taken + count]
            taken += count
        else:
            table[row, :count] = generator.permutation(shared)[:count]
        if tail:
            table[row, count] = next(private)
    return table, blocks


def _ordered_table(
    context_lengths: tuple[int, ...], size: int, max_model_len: int, generator: np.random.Generator
) -> tuple[npt.NDArray[np.int32], int]:
    """The same with every sequence's blocks in order; block 0, the last, and one between sequences belong to nobody."""
    counts = [-(-length // size) for length in context_lengths]
    blocks = sum(counts) + len(counts) + 1
    table = np.full((len(counts), -(-max_model_len // size)), blocks + 3, np.int32)
    free = 1
    for row, count in enumerate(counts):
        table[row, :count] = np.arange(free, free + count)
        free += count + 1
    return table, blocks


def _poison(
    keys: npt.NDArray[np.uint8],
    scales: npt.NDArray[np.float32],
    table: npt.NDArray[np.int32],
    context_lengths: tuple[int, ...],
    size: int,
    blocks: int,
) -> None:
    unused = np.setdiff1d(np.arange(blocks), table)
    keys[unused], scales[unused] = NAN, np.nan
    for row, length in enumerate(context_lengths):
        if length % size:
            block = table[row, length // size]
            keys[block, length % size :], scales[block, length % size :] = NAN, np.nan
