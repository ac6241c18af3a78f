"""Splits as the wrapper computes them."""

from __future__ import annotations

import pytest

pytest.importorskip("numpy")

from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.overshoot.programs import Launches, every_split, scalar_arguments, whole_launch


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
    fixed = whole_launch(Kernel.PRESHUFFLE, 256, 1000, 1000, 2, 10, batch=3)
    assert (fixed.first, fixed.count, fixed.batch) == (0, 60, 3)
    # Four chunks, three a program: two programs, and one that finds no work.
    assert whole_launch(Kernel.PRESHUFFLE_VARCTX, 256, 1000, 1000, 2, 3).count == 6
    table = Launches.of([fixed, whole_launch(Kernel.BASE, 256, 5, 900, 1, 5)])
    values = scalar_arguments(KernelConfig(heads=32), table)
    assert values["stride_out_batch"] == 0
    assert list(values["max_model_len"]) == [1000, 900]  # type: ignore[arg-type]
    assert list(values["SplitKV"]) == [10, 5]  # type: ignore[arg-type]
