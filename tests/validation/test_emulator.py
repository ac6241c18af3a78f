"""From source text to a judgement with nothing replaced: the compiler, the code object, the emulator, the reference."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.signature import Kernel, KernelConfig, make_request
from aiterfix.gfx950 import DeviceMemory, RunResult
from aiterfix.gfx950.cache import CompiledKernel
from aiterfix.gfx950.compile import Compiler
from aiterfix.validation.comparison import SENTINEL
from aiterfix.validation.emulator import Emulator, EmulatorLauncher, allocate_output, execution_of
from aiterfix.validation.pipeline import validate
from aiterfix.validation.report import ScenarioResult
from aiterfix.validation.scenarios import GAP, Scenario, far_rows, scenarios
from aiterfix.validation.selection import Selection
from tests.emulator import needs_emulator
from tests.validation.launching import run_scenario, source

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs a Triton that compiles Gluon for AMD, 3.6 or later"
)

SOUND = (Path(__file__).parents[1] / "data" / "sample_kernels.py").read_bytes()
FAULTY = SOUND.replace(b"BOUND_STORES = tl.constexpr(True)", b"BOUND_STORES = tl.constexpr(False)")
CONFIGS = {kernel: KernelConfig(kv_block_size=64 if kernel.preshuffled else 1) for kernel in Kernel}


def compiled(compiler: Compiler, source: bytes, kernel: Kernel, config: KernelConfig) -> CompiledKernel:
    return compiler.compile(make_request(source, "sample_kernels.py", kernel, config))


def run(compiler: Compiler, source: bytes, scenario: Scenario) -> ScenarioResult:
    assert isinstance(scenario.kernel, Kernel)
    return run_scenario(scenario, compiled(compiler, source, scenario.kernel, scenario.config), EmulatorLauncher())


def quick(kernel: Kernel) -> tuple[Scenario, ...]:
    """The smaller half of the quick set: the sample kernels are plain, and slower than the real ones."""
    every = scenarios("quick", [kernel], [CONFIGS[kernel]])
    return tuple(s for s in every if s.title in ("full", "empty", "wide") or (s.title, s.next_n) == ("edges", 1))


@needs_emulator
@pytest.mark.parametrize("kernel", list(Kernel))
def test_a_sound_kernel_passes_every_quick_scenario_with_nothing_found(compiler: Compiler, kernel: Kernel) -> None:
    for scenario in quick(kernel):
        result = run(compiler, SOUND, scenario)
        assert result.passed, (result.name, result.wrong_at, result.outside)
        # Triton 3.7.1 adds 64 bits of which it never wrote the upper half, and then never reads the result's.
        noticed = [f for f in result.findings if f.name != "register-never-written"]
        assert not noticed, (result.name, noticed)
        assert result.error_of_bound < 1
        assert result.wave_instructions > 0


@needs_emulator
@pytest.mark.parametrize("kernel", [Kernel.PRESHUFFLE, Kernel.PRESHUFFLE_VARCTX])
def test_an_unbounded_kernel_overshoots_by_what_is_missing_to_the_block(compiler: Compiler, kernel: Kernel) -> None:
    seen = set()
    for scenario in quick(kernel):
        result = run(compiler, FAULTY, scenario)
        ends = {-(-length // 64) * 64 - scenario.max_model_len for length in scenario.context_lengths}
        assert result.overshoot_columns == max(0, *ends), result.name
        assert result.passed == (result.overshoot_columns == 0)
        seen.add(result.passed)
        if scenario.gap:
            assert result.wrong_logits == 0
        else:
            assert result.elements_past_last_row == 24 and result.wrong_logits > 0
    assert seen == {True, False}


@needs_emulator
@pytest.mark.parametrize("block", [16, 128, 512])
@pytest.mark.parametrize("stride", ["i32", "i64"])
def test_other_blocks_and_row_strides(compiler: Compiler, block: int, stride: str) -> None:
    config = KernelConfig(heads=32, kv_block_size=block, out_stride=stride)  # type: ignore[arg-type]
    scenario = Scenario(Kernel.PRESHUFFLE, config, "other", (700, 1, 513), 2, 700, GAP, 2)
    assert run(compiler, SOUND, scenario).passed
    assert run(compiler, FAULTY, scenario).overshoot_columns == -(-700 // block) * block - 700


@needs_emulator
@pytest.mark.parametrize(
    ("before", "after", "noticed"),
    [
        # A reference that were wrong in the same way, or a poison that did not bite, would let one of these pass.
        (b"slot = token % BLOCK", b"slot = (token + 1) % BLOCK", "wrong"),
        (b"element = depth // 16 * 256 + depth % 16", b"element = depth // 16 * 256 + (depth + 1) % 16", "wrong"),
        (b"owner.to(gl.int64) * stride_scale_seq + column % BLOCK", b"owner.to(gl.int64) * stride_scale_seq", "wrong"),
        (b"dots * scale[None, :], 0.0)", b"dots * scale[None, :], -1.0)", "wrong"),
        (b"column <= last_visible, logits", b"column < last_visible, logits", "wrong"),
        (b"row * stride_w_batch + weight_at", b"weight_at", "wrong"),
        (b"column <= last_visible, logits", b"column <= context_length, logits", "unseen-columns-finite"),
        (b"inside = column < end", b"inside = (column < end) & (column <= last_visible)", "unseen-columns-unwritten"),
        (b"known = token < context_length", b"known = token < max_model_len", "load-outside-allocation"),
        (b"present = column < context_length", b"present = column < max_model_len", "load-outside-allocation"),
    ],
)
def test_every_planted_fault_is_noticed(compiler: Compiler, before: bytes, after: bytes, noticed: str) -> None:
    assert before in SOUND
    scenario = Scenario(Kernel.PRESHUFFLE, KernelConfig(), "planted", (300, 1, 129, 64), 2, 390, GAP, 1)
    result = run(compiler, SOUND.replace(before, after), scenario)
    if noticed == "wrong":
        assert result.wrong_logits > 0 and not result.passed
    else:
        assert noticed in {finding.name for finding in result.findings}
        assert result.passed


ROW_IN_32_BITS = SOUND.replace(
    b"ptr=OutLogits_buffer + row.to(gl.int64) * stride_out_batch, offsets=column",
    b"ptr=OutLogits_buffer, offsets=row * stride_out_batch + column",
)


@needs_emulator
@pytest.mark.parametrize("kernel", list(Kernel))
def test_rows_past_2_gib_are_written_or_missed(compiler: Compiler, kernel: Kernel) -> None:
    assert ROW_IN_32_BITS != SOUND
    (scenario,) = (s for s in scenarios("quick", [kernel], [CONFIGS[kernel]]) if s.title == "far-rows")
    assert 4 * scenario.rows * scenario.row_stride > 1 << 31
    assert run(compiler, SOUND, scenario).passed
    short = run(compiler, ROW_IN_32_BITS, scenario)
    # Rows 128 to 135, of two sequences: what each of four rows may see of 900 and of 300 tokens.
    assert short.wrong_logits == 4 * 900 + 4 * 300 - 2 * (3 + 2 + 1) and not short.passed
    assert {at.split(",")[0] for at in short.wrong_at} == {"row 128"}
    assert short.elements_in_gaps == 0


@needs_emulator
def test_the_same_scenario_gives_the_same_result(compiler: Compiler) -> None:
    scenario = Scenario(Kernel.PRESHUFFLE, KernelConfig(), "again", (300,) * 5, 2, 300, 0, 1)
    one, two = (run(compiler, FAULTY, scenario) for _ in range(2))
    assert one.wrong_logits > 0
    assert replace(one, seconds=0.0) == replace(two, seconds=0.0)


@needs_emulator
def test_the_whole_from_text_to_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path))
    chosen = Selection((Kernel.PRESHUFFLE,), pattern="*/h64-b64/full/*-len300-*")
    report = validate(source(SOUND, "sample_kernels.py"), Emulator(), chosen)
    assert report.passed and len(report.scenarios) == 3
    assert report.device == "emulator" and report.triton


def test_another_architecture_or_a_cut_file_is_not_understood(compiler: Compiler) -> None:
    config = CONFIGS[Kernel.BASE]
    request = make_request(
        SOUND.replace(b"constexpr(get_cdna_version())", b"constexpr(3)"), "k.py", Kernel.BASE, config
    )
    signature = tuple((name, kind.replace("fp8e4nv", "fp8e4b8")) for name, kind in request.signature)
    options = tuple((name, "gfx942" if name == "arch" else value) for name, value in request.options)
    other = compiler.compile(replace(request, arch="gfx942", signature=signature, options=options))
    scenario = quick(Kernel.BASE)[0]
    with pytest.raises(NotUnderstoodError, match="gfx942"):
        run_scenario(scenario, other, EmulatorLauncher())
    whole = compiled(compiler, SOUND, Kernel.BASE, config)
    for size in (16, 64, 1000, len(whole.code) - 100):
        with pytest.raises(NotUnderstoodError):
            run_scenario(scenario, replace(whole, code=whole.code[:size]), EmulatorLauncher())


def test_a_code_object_of_other_arguments_is_not_launched(compiler: Compiler) -> None:
    whole = compiled(compiler, SOUND, Kernel.PRESHUFFLE, KernelConfig())
    wrong = replace(whole, arguments=tuple(a for a in whole.arguments if a[0] != "num_block"))
    scenario = quick(Kernel.PRESHUFFLE)[0]
    with pytest.raises(NotUnderstoodError, match="takes other arguments"):
        run_scenario(scenario, wrong, EmulatorLauncher())


def test_a_store_far_behind_a_sparse_row_s_window_is_counted() -> None:
    scenario = far_rows(Kernel.PRESHUFFLE, KernelConfig())
    output = allocate_output(DeviceMemory(), scenario)
    rows = output.array(np.uint32, (scenario.rows, scenario.row_stride))
    rows[135, 900_000] = rows[0, scenario.window] = 1
    ran = execution_of(RunResult((), (), 0, 0.0, {}, {}), output, scenario)
    assert ran.written_behind == 2
    assert ran.output.shape == (136, scenario.window) and (ran.output == SENTINEL).all()
