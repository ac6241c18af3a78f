"""What the real kernels do, release by release: figures only, none of their text.

Reads a clone of ROCm/aiter (a bare one with ``refs/pull/*`` is best) named by ``AITERFIX_AITER_REPO``. The interpreters
in ``AITERFIX_TRITON_PYTHONS`` (separated by ``:``) repeat it with their Triton releases; this one is always used.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiterfix.family.portable import Portable
from aiterfix.family.signature import (
    Kernel,
    KernelConfig,
    WrapperFacts,
    find_kernels,
    make_request,
    read_wrapper,
)
from aiterfix.gfx950.compile import CompileError, Compiler
from aiterfix.validation.emulator import Emulator, EmulatorLauncher
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.pipeline import validate
from aiterfix.validation.report import ScenarioResult
from aiterfix.validation.scenarios import GAP, Scenario
from aiterfix.validation.selection import Selection
from aiterfix.validation.source import AiterSource
from tests.emulator import needs_emulator
from tests.validation.launching import run_scenario, source

REPO = os.environ.get("AITERFIX_AITER_REPO", "")
pytestmark = [
    pytest.mark.skipif(not REPO, reason="AITERFIX_AITER_REPO names no clone of ROCm/aiter"),
    pytest.mark.slow,
]

PR = "refs/pull/4580/head"
FILE = "aiter/ops/triton/gluon/pa_mqa_logits.py"
WRAPPERS = ("aiter/ops/triton/attention/pa_mqa_logits.py", "aiter/ops/triton/pa_mqa_logits.py")
PYTHONS = [None, *filter(None, os.environ.get("AITERFIX_TRITON_PYTHONS", "").split(":"))]


def show(ref: str, path: str) -> bytes | None:
    done = subprocess.run(["git", "-C", REPO, "show", f"{ref}:{path}"], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else None


def kernel_file(ref: str) -> bytes:
    text = show(ref, FILE)
    if text is None:
        pytest.skip(f"the clone has no {ref}:{FILE}")
    return text


def wrapper_of(ref: str) -> WrapperFacts:
    for path in WRAPPERS:
        text = show(ref, path)
        facts = read_wrapper(text, path) if text is not None else None
        if facts is not None:
            return facts
    raise AssertionError(f"{ref} has no wrapper that is understood")


@pytest.fixture(scope="module", params=PYTHONS, ids=lambda python: "this" if python is None else Path(python).parts[-3])
def compiler(request: pytest.FixtureRequest) -> Iterator[Compiler]:
    with Compiler(python=request.param) as made:
        yield made


def run(compiler: Compiler, ref: str, scenario: Scenario, wrapper: WrapperFacts | None = None) -> ScenarioResult:
    assert isinstance(scenario.kernel, Kernel)
    request = make_request(kernel_file(ref), FILE, scenario.kernel, scenario.config, wrapper)
    return run_scenario(scenario, compiler.compile(request), EmulatorLauncher())


def launch(
    kernel: Kernel, block: int, width: int, splits: int, lengths: tuple[int, ...], *, stride: str, gap: int = 0
) -> Scenario:
    config = KernelConfig(kv_block_size=block, aligned_cache=block > 1, out_stride=stride)  # type: ignore[arg-type]
    return Scenario(kernel, config, "measured", lengths, 2, width, gap, splits)


MEASURED = [  # ref, block, max_model_len, splits, lengths, elements past the last row, wrong logits (None: not compared)
    ("v0.1.12.post2", 64, 2048, 4, (2048,), 0, 0),
    ("v0.1.20.post1", 64, 2048, 4, (2048,), 0, 0),
    ("v0.1.12.post2", 64, 2300, 4, (2300,), 4, 4),
    ("v0.1.20.post1", 64, 2300, 4, (2300,), 4, 4),
    (PR, 64, 2300, 4, (2300,), 0, 0),
    ("v0.1.12.post2", 64, 1000, 3, (1000, 1000), 24, 72),
    ("v0.1.20.post1", 64, 1000, 3, (1000, 1000), 24, 72),
    (PR, 64, 1000, 3, (1000, 1000), 0, 0),
    ("v0.1.12.post2", 256, 300, 2, (300, 300), 212, None),
    ("v0.1.12.post2", 256, 1000, 3, (1000, 1000), 24, 72),
    ("v0.1.20.post1", 256, 1000, 3, (1000, 1000), 0, 0),
    (PR, 256, 1000, 3, (1000, 1000), 0, 0),
]


@needs_emulator
@pytest.mark.parametrize("stride", ["i32", "as the wrapper"])
@pytest.mark.parametrize(("ref", "block", "width", "splits", "lengths", "past", "wrong"), MEASURED)
def test_preshuffle_overshoots_as_measured(
    compiler: Compiler,
    ref: str,
    block: int,
    width: int,
    splits: int,
    lengths: tuple[int, ...],
    past: int,
    wrong: int | None,
    stride: str,
) -> None:
    narrow = stride == "i32"
    scenario = launch(Kernel.PRESHUFFLE, block, width, splits, lengths, stride="i32" if narrow else "auto")
    result = run(compiler, ref, scenario, None if narrow else wrapper_of(ref))
    assert result.elements_past_last_row == past
    assert wrong is None or result.wrong_logits == wrong
    assert result.passed == (past == 0)
    assert result.largest_error < 5e-4


@needs_emulator
@pytest.mark.parametrize("ref", ["v0.1.12.post2", "v0.1.16", "v0.1.20.post1", PR])
def test_the_schedule_kernel_overshoots_as_the_fixed_one(compiler: Compiler, ref: str) -> None:
    scenario = launch(Kernel.PRESHUFFLE_VARCTX, 64, 1000, 40, (1000, 1000), stride="auto", gap=GAP)
    result = run(compiler, ref, scenario, wrapper_of(ref))
    assert result.overshoot_columns == (0 if ref == PR else 24)
    assert result.wrong_logits == 0


@needs_emulator
@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ref", ["v0.1.12.post2", "v0.1.16", "v0.1.20.post1", PR])
def test_the_base_kernel_never_overshoots(compiler: Compiler, ref: str, aligned: bool, splits: int) -> None:
    config = KernelConfig(kv_block_size=1, aligned_cache=aligned)
    scenario = Scenario(Kernel.BASE, config, "measured", (1000, 999, 129, 1), 2, 1000, GAP, splits)
    result = run(compiler, ref, scenario, wrapper_of(ref))
    assert result.passed and result.overshoot_columns == 0


@needs_emulator
@pytest.mark.parametrize(("block", "length", "cells"), [(64, 129, 0), (64, 257, 0), (128, 129, 3), (256, 257, 3)])
@pytest.mark.parametrize("ref", ["v0.1.20.post1", PR])
def test_columns_that_a_row_may_not_see_hold_logits_where_a_tail_straddles_a_stage(
    compiler: Compiler, ref: str, block: int, length: int, cells: int
) -> None:
    scenario = Scenario(Kernel.PRESHUFFLE, KernelConfig(kv_block_size=block), "measured", (length,), 4, 512, GAP, 1)
    result = run(compiler, ref, scenario, wrapper_of(ref))
    found = {finding.name: finding.count for finding in result.findings}
    assert found.get("unseen-columns-finite", 0) == cells
    assert result.passed


@pytest.mark.parametrize("ref", ["v0.1.12.post2", "v0.1.13", "v0.1.16", "v0.1.17", "v0.1.18", "v0.1.20.post1", PR])
def test_configuration_from_source_is_the_wrapper_s(ref: str) -> None:
    text, facts = kernel_file(ref), wrapper_of(ref)
    assert len(find_kernels(text, FILE)) == 3
    for kernel in find_kernels(text, FILE):
        config = KernelConfig(kv_block_size=1 if kernel is Kernel.BASE else 64)
        assert make_request(text, FILE, kernel, config) == make_request(text, FILE, kernel, config, facts)


@pytest.mark.parametrize(
    ("ref", "compiles"),
    [("v0.1.10", False), ("v0.1.12.post2", True), ("v0.1.16", True), ("v0.1.20.post1", True)],
)
def test_compile_matrix(compiler: Compiler, ref: str, compiles: bool) -> None:
    text = kernel_file(ref)
    for kernel in Kernel:
        config = KernelConfig(kv_block_size=1 if kernel is Kernel.BASE else 64, aligned_cache=kernel.preshuffled)
        request = make_request(text, FILE, kernel, config)
        if compiles:
            assert compiler.compile(request).code.startswith(b"\x7fELF")
        else:
            with pytest.raises(CompileError) as caught:
                compiler.compile(request)
            assert ("SIGABRT" in caught.value.why) == compiler.triton.startswith("3.5.")


@needs_emulator
def test_the_bounded_branch_passes_the_quick_set(compiler: Compiler) -> None:
    report = validate(source(kernel_file(PR), FILE, wrapper_of(PR)), Emulator(compiler=compiler), record=False)
    assert report.passed, [s.name for s in report.failures]
    assert report.overshoot_columns == 0


PLAIN = (
    "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py",
    "aiter/ops/triton/_triton_kernels/pa_mqa_logits.py",
)
NO_BLOCKS = KernelConfig(kv_block_size=1, aligned_cache=False)


def plain_file(ref: str) -> bytes:
    return next(text for path in PLAIN if (text := show(ref, path)) is not None)


def aiter(ref: str) -> AiterSource:
    files = (KernelFile(kernel_file(ref), FILE), KernelFile(plain_file(ref), PLAIN[0]))
    return AiterSource(files, wrapper_of(ref))


@needs_emulator
@pytest.mark.parametrize(
    ("width", "batch", "past", "wrong"), [(1000, 2, 24, 96), (300, 3, 212, 1272), (1024, 2, 0, 0), (2048, 1, 0, 0)]
)
@pytest.mark.parametrize("ref", ["v0.1.7.post3", "v0.1.12.post2", "v0.1.20.post1"])
def test_stage1_overshoots_as_on_a_gpu(
    compiler: Compiler, ref: str, width: int, batch: int, past: int, wrong: int
) -> None:
    scenario = Scenario(Portable.STAGE1, NO_BLOCKS, "measured", (width,) * batch, 2, width, 0, 3)
    with Emulator(compiler=compiler).prepare(source(plain_file(ref), PLAIN[0])) as prepared:
        result = prepared.run(scenario)
    assert (result.elements_past_last_row, result.wrong_logits) == (past, wrong)


EVERY_KERNEL = {*(kernel.value for kernel in Kernel), *(kernel.value for kernel in Portable if not kernel.own)}
FAULTY = {
    # release: {fault: kernels (with the block size, where that decides) whose scenarios fail}
    "v0.1.12.post2": {
        "row-offset-32": EVERY_KERNEL - {"stage1"},
        "cache-offset-32": EVERY_KERNEL - {"stage1"},
        "block-paging": {"base", "stage1"},
    },
    "v0.1.18": {
        "row-offset-32": {"stage1_ragged_k"},
        "cache-offset-32": EVERY_KERNEL - {"stage1"},
        "block-paging": {"base", "stage1"},
    },
    "v0.1.20.post1": {
        "row-offset-32": {"stage1_ragged_k"},
        "cache-offset-32": EVERY_KERNEL - {"stage1"},
        "block-paging": {"base"},
    },
}
for _ref in FAULTY:
    FAULTY[_ref] |= {
        "ragged-causal-bound": {"stage1_ragged_k", "reducing_ragged_k"},
        "hidden-columns": {"preshuffle", "preshuffle_varctx"},
        "empty-sequence-schedule": {"preshuffle_varctx"},
    }


@needs_emulator
@pytest.mark.parametrize("ref", FAULTY)
def test_each_fault_s_scenarios_fail_where_a_release_has_it(compiler: Compiler, ref: str) -> None:
    """The table of known faults, by running the machine code."""
    for fault, kernels in FAULTY[ref].items():
        report = validate(aiter(ref), Emulator(compiler=compiler), Selection(fault=fault), record=False)
        assert {s.kernel for s in report.scenarios if fault in s.known_faults} == kernels, fault
        assert not [s.name for s in report.failures if not s.known_faults]
        assert not report.missing


@needs_emulator
def test_the_block_sizes_that_a_release_mended_are_right(compiler: Compiler) -> None:
    report = validate(aiter("v0.1.20.post1"), Emulator(compiler=compiler), Selection(fault="cache-offset-32"))
    assert {s.config for s in report.scenarios if s.kernel == "preshuffle" and not s.passed} == {"h64-b256"}
    assert {s.wrong_logits for s in report.failures} == {300}


@needs_emulator
def test_what_does_not_compile_leaves_the_plain_kernels(compiler: Compiler) -> None:
    report = validate(aiter("v0.1.10.post1"), Emulator(compiler=compiler), Selection(), record=False)
    assert {s.kernel for s in report.scenarios} == {kernel.value for kernel in Portable if not kernel.own}
    assert {missing.kernel for missing in report.not_run if not missing.refused} == {kernel.value for kernel in Kernel}
    if not compiler.triton.startswith("3.5."):
        assert all(
            "instruction-shape" in m.known_faults for m in report.not_run if m.config == "h64-b64" and not m.refused
        )


@needs_emulator
@pytest.mark.parametrize(
    ("ref", "wrong"),
    [
        ("v0.1.12.post2", 4788),
        ("v0.1.13.post1", 4788),
        ("v0.1.15.post3", 4788),
        ("v0.1.18", 0),
        ("v0.1.20.post1", 0),
    ],
)
def test_rows_past_2_gib_quickly(compiler: Compiler, ref: str, wrong: int) -> None:
    """All the logits of rows 128 to 135 are missing before aiter #4244, and nothing else is wrong."""
    subject = source(kernel_file(ref), FILE, wrapper_of(ref))
    report = validate(subject, Emulator(compiler=compiler), Selection(fault="row-offset-32"))
    assert not report.not_run and {s.kernel for s in report.scenarios} == {kernel.value for kernel in Kernel}
    assert {c.out_stride for c in report.code_objects} == {"i32" if wrong else "i64"}
    for result in report.scenarios:
        assert (result.wrong_logits, result.passed, result.elements_in_gaps) == (wrong, not wrong, 0), result.name
        assert all(at.startswith("row 128, ") and "got untouched" in at for at in result.wrong_at)
