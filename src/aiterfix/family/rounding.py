"""To how many columns a released kernel rounds the end of a row up, so that its last stores may leave the row."""

from __future__ import annotations

from aiterfix.family.kernels import ENTRY
from aiterfix.family.paging import PAGING

_BASE = f"_gluon_{ENTRY}"
LARGEST = 256
"""Columns: the largest rounding of any release, where chunk and block are smaller."""


_FIXED_CHUNKS = {f"_{ENTRY}_stage1_ragged_k": 64}
"""``ChunkK`` of kernels whose wrapper takes none, in every release."""


def chunk_of(kernel: str, chunk: int) -> int:
    """Columns of a chunk of a kernel, where its caller asks for so many."""
    return _FIXED_CHUNKS.get(kernel, chunk)


def rounded_to(kernel: str, chunk: int, block: int) -> int | None:
    """Columns of the unit, 1 where the last store ends with the row; None where no release has such a launch.

    Args:
        chunk: ``ChunkK``, columns, at least 1.
        block: tokens of a block, at least 1.
    """
    if kernel == _BASE:
        return 1  # it counts its chunks back from the context's end
    chunk = chunk_of(kernel, chunk)
    if chunk % block and block % chunk:
        return None
    staged = PAGING[kernel].tiled and (chunk // 2) % block == 0
    return block if staged else chunk


def most_columns(chunk: int, block: int) -> int:
    """Columns behind a row that no rounding of any release passes, whatever the source."""
    return max(chunk, block, LARGEST) - 1
