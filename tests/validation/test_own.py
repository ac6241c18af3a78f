"""This project's kernel on the emulator: right as it is, and found out where a bound is taken from it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import pytest

from aiterfix.family.own_kernel import own_kernel_file
from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950.cache import CodeObjectCache, CompiledKernel
from aiterfix.gfx950.compile import CompileError, Compiler
from aiterfix.gfx950.request import CompileRequest
from aiterfix.validation.comparison import attributed
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.own import OwnKernel
from aiterfix.validation.pipeline import validate
from aiterfix.validation.report import ScenarioResult
from aiterfix.validation.scenarios import SCENARIOS_OF_FAULT, Scenario, scenarios
from aiterfix.validation.selection import Selection
from aiterfix.validation.series import Progress
from tests.emulator import needs_emulator

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("triton") is None,
    reason="torch or Triton is not installed",
)
WIDTH = "*/full/n2-len1000-gap0-*"


@needs_emulator
def test_it_is_right(compiler: Compiler) -> None:
    done: list[Progress] = []
    report = validate(
        OwnKernel(own_kernel_file()), Emulator(compiler=compiler), Selection(pattern=WIDTH), progress=done.append
    )
    assert report.passed and report.device == "emulator" and report.hardware is None
    assert {r.config for r in report.scenarios} >= {"h64-b64", "h64-b1-unaligned", "h64-b256"}
    assert len({c.sha256 for c in report.code_objects}) >= 4
    assert done[-1].last == report.scenarios[-1] and not any(r.outside for r in report.scenarios)


MINE = scenarios("quick", OwnKernel.kernels)
EVERYWHERE = {"edges", "full", "splits", "empty", "wide"}


def run_all(file: Path, compiler: Compiler, chosen: Iterable[Scenario]) -> list[ScenarioResult]:
    with Emulator(compiler=compiler).prepare(OwnKernel(file)) as prepared:
        return [prepared.run(scenario) for scenario in chosen]


def test_it_runs_every_kind_of_scenario_of_the_function_that_it_stands_in_for() -> None:
    """And of every fault of that function's kernels that a launch can show."""
    titles = {s.title for s in MINE}
    # Of whether there is code at all, any launch is one.
    assert titles == {s.title for s in scenarios("quick", Kernel)} - {"compiled"}
    shown = {f: {s.title for s in shown if isinstance(s.kernel, Kernel)} for f, shown in SCENARIOS_OF_FAULT.items()}
    assert {fault for fault, kinds in shown.items() if not kinds} == {"ragged-causal-bound"}
    assert all(kinds <= titles | {"compiled"} for kinds in shown.values())
    for kernel in OwnKernel.kernels:
        assert {s.title for s in MINE if s.kernel is kernel} >= {*EVERYWHERE, "far-rows", "far-blocks", "empty-first"}


@needs_emulator
def test_it_is_right_where_other_kernels_have_a_fault(compiler: Compiler) -> None:
    results = run_all(own_kernel_file(), compiler, (s for s in MINE if s.title not in EVERYWHERE))
    assert len(results) >= 15
    for result in results:
        assert result.passed and result.visible_logits and not result.outside, result.name
        assert not any("unseen" in finding.name for finding in result.findings), result.name


@needs_emulator
@pytest.mark.parametrize(
    ("title", "wide", "narrow"),
    [
        ("far-rows", "(program % groups // ROW_GROUPS).to(tl.int64)", "program % groups // ROW_GROUPS"),
        ("far-blocks", "block = ahead.to(tl.int64)", "block = ahead"),
    ],
)
def test_an_offset_in_32_bits_is_found_out(
    title: str, wide: str, narrow: str, tmp_path: Path, compiler: Compiler
) -> None:
    file, text = tmp_path / "paged_mqa_logits.py", own_kernel_file().read_text()
    assert text.count(wide) == 1
    file.write_text(text.replace(wide, narrow))
    chosen = [s for s in MINE if s.title == title and s.config == KernelConfig()]
    assert {s.kernel for s in chosen} == set(OwnKernel.kernels)
    for scenario, result in zip(chosen, run_all(file, compiler, chosen), strict=True):
        assert not result.passed and result.wrong_logits and result.outside
        assert attributed(result, scenario).known_faults == ()


@needs_emulator
def test_a_missing_bound_is_found_out(tmp_path: Path, compiler: Compiler) -> None:
    """The last tile of 64 of a row of 1000 reaches column 1024."""
    text = own_kernel_file().read_text()
    for bound, other in (
        ("(column < max_model_len)", "(column >= 0)"),
        ("(column[:, None] < scored[dot][None, :])", "(column >= 0)[:, None]"),
    ):
        assert bound in text
        text = text.replace(bound, other)
    file = tmp_path / "paged_mqa_logits.py"
    file.write_text(text)
    chosen = Selection((Portable.OWN,), pattern="own/h64-b64/full/n2-len1000-gap0-*")
    report = validate(OwnKernel(file), Emulator(compiler=compiler), chosen)
    assert not report.passed and report.overshoot_columns == 24
    (result,) = report.scenarios
    assert result.wrong_logits and any(access.kind == "store" for access in result.outside)
    assert "paged_mqa_logits.py:" in result.outside[0].source


@needs_emulator
def test_a_configuration_that_does_not_compile_is_named_and_the_others_run(code_objects: CodeObjectCache) -> None:
    class Choosy(Compiler):
        refused = 0

        def compile(self, request: CompileRequest) -> CompiledKernel:
            if dict(request.constants)["BLOCK_SIZE"] == 128:
                self.refused += 1
                raise CompileError("the compiler refuses blocks of 128", why="it says so")
            return super().compile(request)

    configs = tuple(KernelConfig(kv_block_size=size) for size in (64, 128))
    chosen = Selection((Portable.OWN_PRESHUFFLE,), configs, pattern="*/splits/*-split1")
    choosy = Choosy(cache=code_objects)
    with choosy:
        report = validate(OwnKernel(own_kernel_file()), Emulator(compiler=choosy), chosen)
    (missing,) = report.not_run
    assert (missing.kernel, missing.config, missing.understood) == ("own_preshuffle", "h64-b128", True)
    assert choosy.refused == 1 and not report.passed and not report.failures
    assert {r.config for r in report.scenarios} == {"h64-b64"}
