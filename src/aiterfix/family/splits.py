"""How wrappers share out the rows of a launch among programs."""

from __future__ import annotations

from aiterfix.family.portable import AnyKernel, Portable
from aiterfix.family.signature import KernelConfig

COMPUTE_UNITS = 256
"""Of the MI350 series, which gfx950 is. Its partitions have 128, 64 and 32: each of their splits is one of 256 too."""
_RAGGED_SPLITS = 5
"""``SplitKV`` of the ragged wrappers, in every release."""


def head_tiles(kernel: AnyKernel, config: KernelConfig) -> int:
    """Programs that share the heads of a row."""
    tile = kernel.head_tile if isinstance(kernel, Portable) else 0
    return config.heads // tile if tile else 1


def split_of(kernel: AnyKernel, rows: int, waves_per_eu: int, compute_units: int = COMPUTE_UNITS) -> int:
    """``SplitKV`` that the wrapper computes.

    Args:
        kernel: not the schedule kernel.
        rows: of all sequences, times `head_tiles`.
        waves_per_eu: occupancy hint of the wrapper's caller.
        compute_units: that the wrapper is told of.
    """
    if isinstance(kernel, Portable) and kernel.ragged:
        return _RAGGED_SPLITS
    return (max(1, compute_units // rows) + 4) // 5 * 5 * waves_per_eu
