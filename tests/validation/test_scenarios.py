from __future__ import annotations

from dataclasses import replace

import pytest

from aiterfix.errors import UsageError
from aiterfix.family.signature import Kernel, KernelConfig, check_config
from aiterfix.validation.scenarios import (
    Scenario,
    default_configs,
    edge_lengths,
    every_length,
    scenarios,
    select,
)

FULL = scenarios("full")
QUICK = scenarios("quick")


def test_names_are_unique_and_replayable() -> None:
    assert len({s.name for s in FULL}) == len(FULL)
    assert select(QUICK[3].name, QUICK) == (QUICK[3],)
    assert QUICK[0].seed != QUICK[1].seed


def test_the_quick_set_is_part_of_the_full_one() -> None:
    assert set(QUICK) <= set(FULL)


def test_select_takes_a_pattern_and_refuses_what_is_not_there() -> None:
    chosen = select("base/*/edges/*", QUICK)
    assert chosen and all(s.kernel is Kernel.BASE and s.title == "edges" for s in chosen)
    with pytest.raises(UsageError, match="no scenario is called"):
        select("nonesuch", QUICK)


def test_every_scenario_is_a_launch_the_wrapper_could_make() -> None:
    for scenario in FULL:
        assert isinstance(scenario.kernel, Kernel)
        check_config(scenario.kernel, scenario.config)
        assert all(0 <= length <= scenario.max_model_len for length in scenario.context_lengths), scenario.name
        assert scenario.workgroups >= 1
        if scenario.kernel is Kernel.PRESHUFFLE_VARCTX:
            chunks = [-(-length // 256) for length in scenario.context_lengths]
            share = scenario.safe_chunks()
            needed = sum(-(-c // share) for c in chunks) * scenario.next_n
            assert needed <= scenario.workgroups, scenario.name
            assert len(scenario.context_lengths) < scenario.workgroups // scenario.next_n, scenario.name


def test_the_issue_s_list_is_covered() -> None:
    for kernel in Kernel:
        mine = [s for s in FULL if s.kernel is kernel]
        assert {s.next_n for s in mine} == {1, 2, 4}
        assert {s.config.heads for s in mine} == {32, 64}
        assert any(s.gap == 0 for s in mine) and any(s.gap > 255 for s in mine)
        assert any(0 in s.context_lengths for s in mine)
        assert any(s.wide for s in mine)
        for config in default_configs(kernel, "full"):
            here = [s for s in mine if s.config == config]
            assert any(s.max_model_len % max(config.kv_block_size, 2) for s in here)
            assert any(s.max_model_len % config.kv_block_size == 0 for s in here)
            lengths = {(s.max_model_len - n) for s in here for n in s.context_lengths}
            assert {0, 1} <= lengths
    fixed = [s.splits for s in FULL if s.kernel is Kernel.PRESHUFFLE and s.title == "splits"]
    assert min(fixed) == 1 and max(fixed) > -(-1111 // 256)
    assert {s.config.kv_block_size for s in FULL} == {1, 16, 32, 64, 128, 256, 512}
    assert {s.config.aligned_cache for s in FULL if s.kernel is Kernel.BASE} == {True, False}


def test_edges_surround_blocks_chunks_and_both_ends() -> None:
    lengths = set(edge_lengths(KernelConfig(), 2, 1000, dense=True))
    for edge in (63, 64, 65, 127, 128, 129, 255, 256, 257, 1, 2, 3, 999, 1000, 768, 961):
        assert edge in lengths
    assert max(lengths) == 1000 and min(lengths) == 1
    assert edge_lengths(KernelConfig(), 2, 1000, dense=True)[0] == 1000


def test_a_schedule_gives_fewest_chunks_that_fit() -> None:
    base = Scenario(Kernel.PRESHUFFLE_VARCTX, KernelConfig(), "t", (1000, 300, 1), 2, 1000, 0, 14)
    assert base.safe_chunks() == 1
    assert replace(base, splits=12).safe_chunks() == 2
    assert replace(base, splits=6).safe_chunks() == 4
    with pytest.raises(UsageError, match="too few"):
        replace(base, splits=4).safe_chunks()


def test_every_length_is_every_length() -> None:
    assert every_length(Kernel.PRESHUFFLE, KernelConfig()).context_lengths == tuple(range(1, 2049))
