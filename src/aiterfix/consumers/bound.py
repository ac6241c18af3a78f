"""The safe default for how many padding columns unpatched kernels need, where nothing was measured."""

from __future__ import annotations

from aiterfix.consumers.pairing import Need


def bound_of_unpatched(max_model_len: int, kv_block_size: int, chunk_k: int, preshuffle: bool | None) -> Need:
    """Columns that are enough while ``context_length <= max_model_len``, in every release.

    The kernels round a row's range up, to whole blocks where a stage (half a chunk) holds whole blocks, otherwise to
    whole chunks. At a width that both divide nothing is added; at any other, a chunk less one column is enough. The
    base kernel (a block size of 1) rounds nothing by its source; that was not measured, so it gets the bound too.

    Args:
        max_model_len: width of a row, columns.
        kv_block_size: tokens.
        chunk_k: columns.
        preshuffle: makes no difference to the bound.
    """
    del preshuffle
    blocks = kv_block_size > 1 and (chunk_k // 2) % kv_block_size == 0
    granule, what = (kv_block_size, "blocks") if blocks else (chunk_k, "chunks")
    if max_model_len % granule == 0:
        return Need(0, f"{max_model_len} is a multiple of {granule}, so rounding up to whole {what} adds nothing")
    return Need(chunk_k - 1, f"unpatched kernels round {max_model_len} up to whole {what} of {granule} or more")
