"""The kernel compiled for gfx950 and executed in the emulator, against the reference."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from tests.emulator import RUNS_HERE, WHY_NOT

pytest.importorskip("torch")
pytest.importorskip("triton")
if not RUNS_HERE:
    pytest.skip(WHY_NOT, allow_module_level=True)
import torch

from aiterfix.gfx950.cache import CodeObjectCache
from aiterfix.gfx950.compile import Compiler
from aiterfix.gfx950.findings import Access, FindingKind
from tests.own_kernel.emulated import Emulated, resources
from tests.own_kernel.paged_mqa_logits_check import Scenario, check, load_kernel, scenarios

BASE = Scenario(contexts=(70, 0, 129, 1), max_model_len=133, gap=27)
QUICK = (
    BASE,
    replace(BASE, next_n=2, preshuffle=True, gap=0),
    # The hidden columns that aiter's kernels left finite.
    replace(BASE, next_n=4, block_size=128, preshuffle=True, contexts=(129, 127)),
    replace(BASE, next_n=4, block_size=256, preshuffle=True, contexts=(257, 2), max_model_len=300),
    replace(BASE, block_size=1, contexts=(70, 3)),
    replace(BASE, next_n=3, heads=24, head_size=64, block_size=16, per_row=True, contexts=(70, 131, 5), strided=True),
    replace(BASE, next_n=5, heads=128, block_size=512, contexts=(70,)),
)
FAR_STRIDE = 2**29 + 64
"""Floats of a row whose successor lies past 2^31 bytes."""


@pytest.fixture(scope="module")
def kernel() -> ModuleType:
    return load_kernel()


@pytest.fixture(scope="module")
def compiler(code_objects: CodeObjectCache) -> Iterator[Compiler]:
    with Compiler(cache=code_objects) as opened:
        yield opened


def run_clean(emulated: Emulated, scenario: Scenario) -> None:
    result = check(scenario, "cpu", 0, emulated.launch(scenario))
    assert result["wrong"] == []
    assert emulated.result is not None
    # Nothing read or written outside a tensor, no missing wait, no LDS out of range. A register that nobody wrote is
    # read where its value does not matter: as the upper half of a 64-bit addend, for 32 bits of the sum.
    assert emulated.result.violations == ()
    assert [f for f in emulated.result.findings if f.kind is not FindingKind.REGISTER_NEVER_WRITTEN] == []


@pytest.mark.parametrize("scenario", QUICK, ids=range(len(QUICK)))
def test_right_and_inside(kernel: ModuleType, compiler: Compiler, scenario: Scenario) -> None:
    run_clean(Emulated(kernel, compiler), scenario)


def test_right_and_inside_with_addresses_of_64_bits(kernel: ModuleType, compiler: Compiler) -> None:
    run_clean(Emulated(kernel, compiler, narrow=False), replace(BASE, next_n=2))


@pytest.mark.parametrize("next_n", [1, 2, 4])
def test_nothing_is_spilled_and_as_many_programs_fit_as_the_tuning_says(
    kernel: ModuleType, compiler: Compiler, next_n: int
) -> None:
    taken = resources(kernel, compiler, replace(BASE, next_n=next_n, preshuffle=True))
    tuning = kernel.tuning_for("hip", next_n, BASE.heads)
    assert taken.waves == tuning.warps
    assert taken.scratch == 0
    # From 3.8 on Triton takes keys into LDS without registers in between, and more registers and LDS for it.
    later = tuple(int(part) for part in compiler.triton.split(".")[:2]) >= (3, 8)
    assert taken.programs >= tuning.programs - later


@pytest.mark.slow
@pytest.mark.skipif(
    "AITERFIX_ALL_SCENARIOS" not in os.environ,
    reason="AITERFIX_ALL_SCENARIOS is unset: 53 kernels, compiled twice each",
)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("narrow", [True, False])
def test_every_scenario(kernel: ModuleType, compiler: Compiler, narrow: bool) -> None:
    near = [s for s in scenarios() if s.gap < 2**20 and not s.far_blocks and not s.tuning]
    assert len(near) > 40
    for scenario in near:
        run_clean(Emulated(kernel, compiler, narrow), scenario)


def test_rows_and_blocks_past_2_gib_are_reached(kernel: ModuleType, compiler: Compiler) -> None:
    """Told of a row stride and a block id that no tensor here has, it goes exactly there."""
    scenario = replace(BASE, contexts=(70, 65), max_model_len=70)
    emulated = Emulated(kernel, compiler, narrow=False)
    block = 2**31 // (64 * 132) + 5

    def changed(arguments: dict[str, torch.Tensor | int]) -> None:
        arguments["stride_logits_row"] = FAR_STRIDE
        table = arguments["table_ptr"]
        assert isinstance(table, torch.Tensor)
        table[1, 1] = block

    emulated.change = changed
    check(scenario, "cpu", 0, emulated.launch(scenario))
    assert emulated.result is not None
    stores = [v for v in emulated.result.violations if v.access is Access.STORE]
    loads = [v for v in emulated.result.violations if v.access is Access.LOAD]
    # The second row's columns, told as elements of the output (its first row stands behind a redzone).
    assert {v.argument for v in stores} == {"logits_ptr"}
    assert min(v.first_element for v in stores) == 512 + FAR_STRIDE
    assert max(v.last_element for v in stores) == 512 + FAR_STRIDE + 64
    # The keys of the block, and the one scale behind them.
    assert min(v.first_element for v in loads) == block * 64 * 132
    assert max(v.last_element for v in loads) < (block + 1) * 64 * 132


@pytest.mark.parametrize(
    ("before", "after", "table_width"),
    [
        (
            "& (column < max_model_len)[:, None]\n                & (column[:, None] < scored",
            "& (column[:, None] < scored",
            0,
        ),
        ("& (index < table_width), other=0).to(tl.int64)", ", other=0).to(tl.int64)", 100),
    ],
    ids=["store", "table"],
)
def test_a_missing_bound_is_seen(compiler: Compiler, before: str, after: str, table_width: int) -> None:
    scenario = replace(BASE, contexts=(133, 200), block_size=1, gap=0, table_width=table_width)
    emulated = Emulated(load_kernel(), compiler, replacement=(before, after))
    result = check(scenario, "cpu", 0, emulated.launch(scenario))
    assert emulated.result is not None
    assert result["wrong"] or emulated.result.violations
