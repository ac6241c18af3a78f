"""The mends of block-paging and ragged-causal-bound on gfx950 code: own kernels that have each fault, before and after."""

from __future__ import annotations

import importlib.util

import pytest

from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.faults.mend import mend
from aiterfix.gfx950.compile import Compiler
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.report import ScenarioResult
from aiterfix.validation.scenarios import SCENARIOS_OF_FAULT, Scenario
from aiterfix.validation.source import AiterSource
from tests.emulator import needs_emulator
from tests.paged import CAUSAL, FAULTS, GLUON, PAGING, PLAIN, RAGGED

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs a Triton that compiles for AMD, 3.6 or later"
)


def run(compiler: Compiler, scenario: Scenario, text: bytes) -> ScenarioResult:
    with Emulator(compiler=compiler).prepare(AiterSource((KernelFile(text, "file.py"),))) as prepared:
        return prepared.run(scenario)


def shown(fault: str, kernel: Kernel | Portable) -> Scenario:
    return next(s for s in SCENARIOS_OF_FAULT[fault] if s.kernel is kernel)


@needs_emulator
def test_the_base_kernel_is_taught_blocks(compiler: Compiler) -> None:
    scenario = shown(PAGING, Kernel.BASE)
    before = run(compiler, scenario, GLUON)
    assert not before.passed and before.wrong_logits > 2000
    assert {access.allocation for access in before.outside} == {"kv_indices", "KV_buffer"}
    after = run(compiler, scenario, mend(GLUON, FAULTS, wanted=(PAGING,)).new)
    assert after.passed and not after.outside
    # With blocks of one token it was right, and is.
    one = Scenario(Kernel.BASE, KernelConfig(kv_block_size=1, aligned_cache=False), "t", (300, 77), 2, 320, 385, 3)
    everything = mend(GLUON, FAULTS).new
    assert all(run(compiler, one, text).passed for text in (GLUON, everything))
    assert run(compiler, scenario, everything).passed


@needs_emulator
def test_rows_of_ragged_kernels_see_their_own_columns(compiler: Compiler) -> None:
    scenario = shown(CAUSAL, Portable.REDUCING_RAGGED)
    assert scenario.kernel.function == RAGGED
    before = run(compiler, scenario, PLAIN)
    found = {finding.name: finding.count for finding in before.findings}
    assert (before.wrong_logits, found["unseen-columns-finite"]) == (4, 10)
    after = run(compiler, scenario, mend(PLAIN, FAULTS, wanted=(CAUSAL,)).new)
    assert after.passed and "unseen-columns-finite" not in {finding.name for finding in after.findings}
    assert run(compiler, scenario, mend(PLAIN, FAULTS).new).passed
