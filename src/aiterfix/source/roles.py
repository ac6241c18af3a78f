"""What the analysis must be told of a kernel: which of its parameters mean what. It knows no kernel's name itself."""

from __future__ import annotations

from collections.abc import Callable

from aiterfix.storage.record import record


@record(frozen=True)
class KernelRoles:
    """One kernel and the roles of its parameters.

    Attributes:
        name: the kernel's function name; its identity, wherever the file has moved to.
        output: the parameter that points to the output.
        strides: every parameter that is a stride of the output, in elements (rows, heads).
        bound: the parameter that bounds a column, in elements; a column must be smaller.
        group: the code path that takes this kernel ("gluon", "stage1"); every place that tells paths apart goes by it.
        known_columns: the digests of derivations whose columns are known not to be negative (see
            `aiterfix.source.derivation`), read when first asked for.
        caches: the parameters that point to a cache of blocks, which the kernel gathers from by number.
    """

    name: str
    output: str
    strides: tuple[str, ...]
    bound: str
    group: str = ""
    known_columns: Callable[[], frozenset[str]] = frozenset
    caches: tuple[str, ...] = ()


@record(frozen=True)
class PagingRoles:
    """How a kernel finds the keys, queries and weights of a row: parameter names. A kernel need not have all of them.

    Attributes:
        next_n: rows of a sequence.
        sequences: how many sequences there are.
        row_stride: the stride of the output's rows.
        lengths: pointers to the context lengths, or to their running sums.
        table: pointer to the block table, or to the slots of all tokens.
        queries: pointer to the queries.
        query_strides: their strides by sequence, position in it, and head.
        weights: pointer to the weights of heads.
        weight_stride: the stride of their rows.
        heads: how many heads there are.
        head_tile: heads of a tile.
        keys: pointer to the keys.
        scales: pointer to their scales.
        block_size: tokens of a block.
        key_elements: elements of a key.
        key_token: the stride from one key of a block to the next, where it is a parameter of its own.
        scale_token: the same of scales.
        key_blocks: what the stride from one block of keys to the next is called.
        scale_blocks: the same of scales.
        widths: what the width of the block table is called.
        tiled: whether the cache is in tiles of 16 tokens. Such a kernel stores chunks that every row of a sequence sees
            without a mask, and may walk through the sequences in a loop.
    """

    next_n: str
    sequences: str
    row_stride: str
    lengths: tuple[str, ...]
    table: str
    queries: str
    query_strides: tuple[str, str, str]
    weights: str
    weight_stride: str
    heads: str
    head_tile: str
    keys: str
    scales: str
    block_size: str
    key_elements: str
    key_token: str = ""
    scale_token: str = ""
    key_blocks: tuple[str, ...] = ()
    scale_blocks: tuple[str, ...] = ()
    widths: tuple[str, ...] = ()
    tiled: bool = False
