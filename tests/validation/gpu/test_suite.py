from __future__ import annotations

import pytest

from aiterfix.errors import UsageError
from aiterfix.family.portable import Portable, check_portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.validation.gpu.suite import gpu_scenarios
from aiterfix.validation.scenarios import inputs_of, scenarios
from aiterfix.validation.selection import Selection, choose_scenarios
from tests.validation.gpu.running import choose


@pytest.mark.parametrize("kernel", [*Portable, *Kernel])
def test_rows_stand_apart_and_back_to_back_and_splits_are_the_wrapper_s_too(kernel: Portable | Kernel) -> None:
    found = gpu_scenarios("quick", [kernel])
    names = [s.name for s in found]
    assert len(names) == len(set(names))
    production = {(s.max_model_len, s.gap) for s in found if s.splits == 0}
    assert {(1000, 0), (300, 0), (1024, 0), (2048, 0)} < production and all(
        (w, 385) in production for w, _ in production
    )
    assert all("splitauto" in s.name for s in found if s.splits == 0)
    assert set(names) <= {s.name for s in gpu_scenarios("full", [kernel])}


def test_the_ragged_kernels_have_one_row_a_sequence() -> None:
    found = gpu_scenarios("full", [Portable.STAGE1_RAGGED])
    assert {(s.next_n, s.title == "ragged") for s in found} == {(1, False), (4, True)}
    assert {s.next_n for s in gpu_scenarios("full", [Portable.STAGE1])} == {1, 2, 4}


@pytest.mark.parametrize(
    ("kernel", "config", "message"),
    [
        (Portable.STAGE1, KernelConfig(heads=32), "32 heads"),
        (Portable.OWN, KernelConfig(heads=48), "48 heads"),
        (Portable.REDUCING, KernelConfig(heads=48), "48 heads"),
        (Portable.STAGE1_RAGGED, KernelConfig(), "block size 1"),
        (Portable.OWN_PRESHUFFLE, KernelConfig(kv_block_size=24), "multiple of 16"),
    ],
)
def test_a_configuration_that_the_wrapper_refuses_is_refused(
    kernel: Portable, config: KernelConfig, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_portable(kernel, config)
    assert not gpu_scenarios("quick", [kernel], [config])


def test_a_pattern_picks_from_either_suite() -> None:
    (one,) = choose((Portable.OWN,), None, "quick", "own/h64-b64/long/n2-len131072-*")
    assert one.context_lengths == (131072, 131009, 1)
    with pytest.raises(UsageError, match="no scenario"):
        choose((Portable.OWN,), None, "quick", "nonesuch")
    with pytest.raises(UsageError, match="suits none"):
        choose((Portable.REDUCING_RAGGED,), [KernelConfig()], "quick", None)


def test_a_scenario_gives_the_same_inputs_each_time() -> None:
    (scenario,) = choose((Portable.OWN,), None, "quick", "own/h64-b64/empty/n2-*")
    one, two = inputs_of(scenario), inputs_of(scenario)
    assert (one.q == two.q).all() and (one.block_table == two.block_table).all()


def test_outputs_and_caches_past_2_gib_are_the_plain_kernels() -> None:
    for kernel in (Portable.STAGE1, Portable.STAGE1_RAGGED, Portable.REDUCING, Portable.REDUCING_RAGGED):
        found = gpu_scenarios("quick", [kernel])
        assert {s.title for s in found if s.sparse} == {"far-rows"}
        assert {s.title for s in found if s.first_block} == {"far-blocks"}
    assert not any(s.first_block for s in gpu_scenarios("full", list(Kernel)))
    assert any(s.sparse for s in scenarios("quick", [Kernel.BASE]))
    assert not any(s.sparse for s in gpu_scenarios("full", list(Kernel)))
    with pytest.raises(UsageError, match="no scenario that runs here shows row-offset-32") as caught:
        choose_scenarios((Kernel.BASE,), None, Selection(fault="row-offset-32"), gpu_scenarios)
    assert "emulator" in caught.value.remedy
