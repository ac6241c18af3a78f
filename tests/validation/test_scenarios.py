from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aiterfix.errors import UsageError
from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig, check_config
from aiterfix.faults.base import Reach
from aiterfix.faults.registry import load_faults
from aiterfix.validation.execution import cache_row_bytes
from aiterfix.validation.report import NO_CODE
from aiterfix.validation.scenarios import (
    CALLS_OF_FAULT,
    SCENARIOS_OF_FAULT,
    Scenario,
    default_configs,
    edge_lengths,
    every_length,
    faults_shown,
    inputs_of,
    scenarios,
    select,
    shows,
)

FULL = scenarios("full")
QUICK = scenarios("quick")
PLAIN = scenarios("quick", [kernel for kernel in Portable if not kernel.own])


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
            chunks = [-(-length // scenario.config.chunk_k) for length in scenario.context_lengths]
            assert scenario.workgroups % scenario.config.waves_per_eu == 0, scenario.name
            share = scenario.safe_chunks()
            needed = sum(-(-c // share) for c in chunks) * scenario.next_n
            assert needed <= scenario.workgroups, scenario.name
            assert len(scenario.context_lengths) < scenario.workgroups // scenario.next_n, scenario.name


def test_the_issue_s_list_is_covered() -> None:
    for kernel in Kernel:
        mine = [s for s in FULL if s.kernel is kernel]
        assert {s.next_n for s in mine} == {1, 2, 4}
        assert {s.config.heads for s in mine} == {32, 64, 128}
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
    assert {s.title for s in QUICK} >= {"far-blocks", "far-rows", "flat", "empty-first", "hidden", "small-chunk"}
    assert {s.title for s in PLAIN} >= {"far-blocks", "far-rows", "paged", "ragged"}
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


KNOWN = load_faults()


def test_every_known_fault_that_a_launch_can_show_has_scenarios_in_the_quick_set() -> None:
    every = {fault.id for fault in KNOWN.judged} | {fault.id for fault in KNOWN.not_judged}
    assert every == {*SCENARIOS_OF_FAULT, *CALLS_OF_FAULT}
    assert {*CALLS_OF_FAULT} - {*SCENARIOS_OF_FAULT} == {"output-rank", "launch-arguments"}
    for fault, shown in SCENARIOS_OF_FAULT.items():
        assert shown and set(shown) <= {*QUICK, *PLAIN}
        # By no code at all, one is shown.
        assert fault == NO_CODE or all(fault in faults_shown(scenario) for scenario in shown)


def test_calls_are_no_launches_and_show_their_fault_alone() -> None:
    calls = [s for shown in CALLS_OF_FAULT.values() for s in shown]
    assert all(s.call for s in calls) and len({s.name for s in calls}) == len(calls)
    assert not any(s.call for s in (*FULL, *PLAIN))
    for fault, shown in CALLS_OF_FAULT.items():
        assert shown and all(faults_shown(s) == (fault,) and shows(s, fault) for s in shown)
    ranks = {s.kernel for s in CALLS_OF_FAULT["output-rank"]}
    # Stage1 takes an output with heads in it.
    assert ranks == {*Kernel, Portable.REDUCING, Portable.REDUCING_RAGGED}
    assert {s.kernel for s in CALLS_OF_FAULT["launch-arguments"]} == {k for k in (*Kernel, *Portable) if k.function}


def test_the_triggers_of_judged_faults_are_met_by_their_scenarios() -> None:
    for fault in KNOWN.judged:
        for scenario in SCENARIOS_OF_FAULT.get(fault.id, ()):  # what a wrapper alone is asked about has none
            if scenario.kernel not in (Kernel.BASE, Portable.REDUCING, Portable.REDUCING_RAGGED):  # bounded already
                assert fault.trigger.reach(facts_of(scenario))[0] is Reach.REACHED, scenario.name


def facts_of(scenario: Scenario) -> dict[str, int]:
    return {
        "rows": scenario.rows,
        "row_stride": scenario.row_stride,
        "width": scenario.max_model_len,
        "heads": scenario.config.heads,
        "chunk_k": scenario.config.chunk_k,
        "kv_block_size": scenario.config.kv_block_size,
        "kv_blocks": inputs_of(scenario).cache_blocks,
        "block_stride": cache_row_bytes(scenario),
        "next_n": scenario.next_n,
        "preshuffle": scenario.kernel.preshuffled,
        "plain": isinstance(scenario.kernel, Portable),
        "schedule": scenario.kernel is Kernel.PRESHUFFLE_VARCTX,
        "output_rank": 3 if isinstance(scenario.kernel, Portable) else 2,  # those that reduce are not asked about
        "triton": 30501,
        "triton_published": 1,
    }


def test_a_far_cache_puts_one_sequence_below_2_gib_and_one_above() -> None:
    for scenario in SCENARIOS_OF_FAULT["cache-offset-32"]:
        inputs = inputs_of(scenario)
        size = scenario.config.kv_block_size
        below, above = (row[: -(-300 // size)] for row in inputs.physical_table().astype(np.int64))
        assert (below.max() + 1) * scenario.block_stride <= 1 << 31 < above.min() * scenario.block_stride + 1
        # What a sequence does not have is past the cache.
        assert size == 256 or inputs.physical_table().max() >= inputs.cache_blocks


def test_a_sequence_of_length_0_stands_before_others_only_in_its_own_scenario() -> None:
    for scenario in (*FULL, *PLAIN):
        last = max(at for at, length in enumerate(scenario.context_lengths) if length)
        assert (0 in scenario.context_lengths[:last]) == (scenario.title == "empty-first"), scenario.name


def test_plain_kernels_are_split_as_their_wrappers_split_them() -> None:
    stage1 = Scenario(Portable.STAGE1, KernelConfig(heads=128), "t", (300, 77), 2, 320, 0, 3)
    assert (stage1.head_tiles, stage1.split_constant(80), stage1.split_constant(4000)) == (2, 20, 1000)
    assert stage1.workgroups == 4 * 2 * stage1.split_constant(12) == 80
    ragged = Scenario(Portable.STAGE1_RAGGED, KernelConfig(kv_block_size=1), "t", (300,), 1, 320, 0, 3)
    assert (ragged.head_tiles, ragged.split_constant(4000), ragged.workgroups) == (2, 5, 10)


def test_every_length_is_every_length() -> None:
    assert every_length(Kernel.PRESHUFFLE, KernelConfig()).context_lengths == tuple(range(1, 2049))
