"""Splits as the wrapper computes them, and which of a kernel's arguments decide where it stores."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")
pytest.importorskip("triton")

from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.family.splits import head_tiles
from aiterfix.overshoot.launches import (
    Arguments,
    every_split,
    joined,
    lengths_of,
    whole_launch,
)
from tests.emulator import needs_emulator
from tests.overshoot.kernels import FAULTY, SOUND, integer_part


@pytest.mark.parametrize("units", [256, 128, 64, 32])
@pytest.mark.parametrize("next_n", [1, 2, 3, 4])
@pytest.mark.parametrize("waves", [1, 2, 4])
def test_every_split_of_every_batch_and_partition(units: int, next_n: int, waves: int) -> None:
    for batch in range(1, 600):
        computed = (max(1, units // (batch * next_n)) + 4) // 5 * 5 * waves
        assert computed in every_split(Kernel.PRESHUFFLE, 7, next_n, waves)


def test_schedules_share_out_in_every_way() -> None:
    assert every_split(Kernel.PRESHUFFLE_VARCTX, 3, 1, 2) == (1, 2, 3, 4)
    many = every_split(Kernel.PRESHUFFLE_VARCTX, 512, 1, 2)
    assert {-(-512 // count) for count in many} == {-(-512 // count) for count in range(1, 514)}


def test_whole_launches() -> None:
    config = KernelConfig(heads=32)
    fixed = whole_launch(Kernel.PRESHUFFLE, config, 1000, 1000, 2, 10, batch=3)
    assert (list(fixed.first), list(fixed.count), list(fixed.batch)) == ([0], [60], [3])
    # Four chunks, three a program: two programs, and one that finds no work.
    assert list(whole_launch(Kernel.PRESHUFFLE_VARCTX, config, 1000, 1000, 2, 3).count) == [6]
    table = joined([fixed, whole_launch(Kernel.BASE, config, 5, 900, 1, 5)])
    assert (table.max_model_len.tolist(), table.splits.tolist()) == ([1000, 900], [10, 5])


def test_sequences_of_a_launch() -> None:
    import numpy as np

    lengths = lengths_of(np.arange(1, 2001), 5)
    assert (lengths.max(axis=1) == np.arange(1, 2001)).all() and lengths.min() == 1
    # Half the launches have sequences of unlike lengths, the longest of them in every place.
    unlike = lengths[lengths.min(axis=1) < lengths.max(axis=1)]
    assert 900 < len(unlike) <= 1000
    assert set(unlike.argmax(axis=1).tolist()) == {0, 1, 2, 3, 4}


@needs_emulator
@pytest.mark.parametrize("kernel", list(Kernel))
@pytest.mark.parametrize("text", [SOUND, FAULTY], ids=["bounded", "unbounded"])
def test_what_decides(kernel: Kernel, text: bytes) -> None:
    part = integer_part(text, kernel, KernelConfig(heads=32, kv_block_size=64 if kernel.preshuffled else 1))
    names = Arguments(part.part, part.kernel, 32, 9).names
    split = "safe_chunks_per_cta_ptr" if kernel is Kernel.PRESHUFFLE_VARCTX else "SplitKV"
    assert {"batch_size", "next_n", "context_len_ptr", "OutLogits_buffer", "stride_out_batch", split} <= names
    # The width decides where it bounds the stores, and nowhere else.
    assert ("max_model_len" in names) == (text is SOUND)
    assert not names & {"Q_buffer", "KV_buffer", "kv_indices", "weights", "scale_buffer"}


def test_splits_of_a_plain_kernel() -> None:
    """They are compiled in; two programs a row share 128 heads, and the ragged form has one value."""
    assert head_tiles(Portable.STAGE1, KernelConfig(heads=128)) == 2
    assert head_tiles(Portable.STAGE1_RAGGED, KernelConfig(heads=64)) == 2
    assert head_tiles(Kernel.BASE, KernelConfig(heads=128)) == 1
    assert every_split(Portable.STAGE1, 7, 2, 2) == every_split(Kernel.BASE, 7, 2, 2)
    assert every_split(Portable.STAGE1_RAGGED, 7, 2, 2) == (5,)
    launch = whole_launch(Portable.STAGE1, KernelConfig(heads=128), 1000, 1000, 2, 10, batch=3)
    assert list(launch.count) == [3 * 2 * 2 * 10]
