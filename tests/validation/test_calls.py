"""Wrappers called with tensors on the CPU: own texts, with the real names of entries and parameters."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.family.kernels import ENTRY
from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel
from aiterfix.faults.base import Presence
from aiterfix.report.types.validate import FaultPairReport
from aiterfix.storage.digest import sha256_hex
from aiterfix.validation.calls import Calls, WrapperFile, calls_of
from aiterfix.validation.choice import kernel_file, wrapper_files
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.evidence import CALLED, evidence_of, shown
from aiterfix.validation.interface import RefusedLaunchError
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.pipeline import evidence_from, validate
from aiterfix.validation.report import Report
from aiterfix.validation.scenarios import CALLS_OF_FAULT, Scenario, scenarios
from aiterfix.validation.selection import Selection, choose_scenarios
from aiterfix.validation.source import AiterSource
from tests.kernels import SHIPPED

from .test_pipeline import FakeCompiler

PYTHON = sys.executable
HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="needs torch")
NAME = "aiter/ops/triton/attention/pa_mqa_logits.py"
TAKES = (
    "batch_size, next_n, heads_num, Q_buffer, stride_q_batch, KV_buffer, stride_k_seq, scale_buffer, "
    "stride_scale_seq, context_len_ptr, kv_indices, weights, stride_w_batch, OutLogits_buffer, stride_out_batch, "
    "max_model_len, max_block_len, SplitKV"
)
GLUON = f"""
from triton.experimental import gluon
import triton.experimental.gluon.language as gl


@gluon.jit
def _gluon_{ENTRY}_preshuffle({TAKES}, ChunkQ: gl.constexpr, ChunkK: gl.constexpr, KVBlockSize: gl.constexpr):
    column = gl.arange(0, 64)
    gl.amd.cdna3.buffer_store(column, ptr=OutLogits_buffer, offsets=gl.program_id(0) * stride_out_batch + column)
"""
PLAIN = f"""
import triton
import triton.language as tl


@triton.jit
def _{ENTRY}({TAKES}, ChunkQ: tl.constexpr, ChunkK: tl.constexpr):
    tl.store(OutLogits_buffer + tl.program_id(0) * stride_out_batch + tl.arange(0, 64), 1.0)


@triton.jit
def _{ENTRY}_ragged_k({TAKES}, ChunkQ: tl.constexpr, ChunkK: tl.constexpr):
    tl.store(OutLogits_buffer + tl.program_id(0) * stride_out_batch + tl.arange(0, 64), 1.0)
"""
HANDED = (
    "1, 2, 64, q_fp8, q_fp8.stride(0), kv_cache, kv_cache.stride(0), kv_cache, 1, context_lens, kv_indices, weights, "
    "weights.stride(0), out_logits, out_logits.stride(0), max_model_len, kv_indices.size(1), 5"
)
WRAPPER = f"""
import torch
import triton

from aiter import dtypes
from aiter.jit.utils.chip_info import get_gfx
from aiter.ops.triton.gluon.pa_mqa_logits import _gluon_{ENTRY}_preshuffle
from aiter.ops.triton._triton_kernels.attention.pa_mqa_logits import _{ENTRY}, _{ENTRY}_ragged_k
from triton.backends.compiler import GPUTarget
from triton.experimental.gluon._runtime import GluonASTSource

with_gluon = triton.__version__ >= "3.5"


def _compile(ChunkK, Preshuffle):
    source = GluonASTSource(fn=_gluon_{ENTRY}_preshuffle, signature={{}}, constexprs={{"ChunkK": ChunkK}})
    return triton.compile(source, target=GPUTarget("hip", get_gfx(), 64), options={{"num_warps": 4}})


def {ENTRY}(
    q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len, Preshuffle=False, KVBlockSize=1,
    ChunkK=256
):
    batch_size, next_n, heads, hidden_dim = q_fp8.size()
    kv_cache = kv_cache.view(-1, kv_cache.size(1) * kv_cache.size(3))[..., :hidden_dim].view(dtypes.fp8)
    if with_gluon:
        kernel = _compile(ChunkK=ChunkK, Preshuffle=Preshuffle)
        kernel[(1,)]({HANDED}, heads, ChunkK, KVBlockSize)
    else:
        assert KVBlockSize == 1
        kernel = _{ENTRY}[(1,)]({HANDED}, ChunkQ=heads, ChunkK=ChunkK)
    return triton.runtime.cache.get_cache_manager(kernel.hash).key


def {ENTRY}_ragged_k(
    q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len, ChunkK=64
):
    _{ENTRY}_ragged_k[(1,)]({HANDED}, ChunkQ=64, ChunkK=ChunkK)
"""
FILES = (
    KernelFile(GLUON.encode(), "aiter/ops/triton/gluon/pa_mqa_logits.py"),
    KernelFile(PLAIN.encode(), "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"),
)
KERNELS = (Kernel.PRESHUFFLE, Portable.REDUCING, Portable.REDUCING_RAGGED)


def mended(text: str, *faults: str) -> str:
    (wrapper,) = wrapper_files(((NAME, text.encode()),), SHIPPED, frozenset(faults))
    assert wrapper.mends == tuple(sorted(faults))
    return wrapper.text.decode()


@pytest.fixture(autouse=True)
def ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of this Python, one that has torch imported already."""
    if HAS_TORCH:
        monkeypatch.setattr(sys, "executable", request.getfixturevalue("torch_python"))


@cache
def made(text: str, files: tuple[bytes, ...]) -> Calls:
    """One child a text."""
    named = tuple(KernelFile(file, "k.py") for file in files)
    return Calls(named, (WrapperFile(text.encode(), NAME),), sys.executable)


def outcome(call: Scenario, text: str, files: tuple[KernelFile, ...] = FILES) -> str:
    """What a call comes to."""
    try:
        result = made(text, tuple(file.text for file in files)).run(call)
    except RefusedLaunchError as refused:
        return f"refused: {refused.why}"
    assert result.passed is not bool(result.fault)
    return result.fault or "passed"


def calls(fault: str) -> dict[object, Scenario]:
    found: dict[object, Scenario] = {call.kernel: call for call in CALLS_OF_FAULT[fault] if call.kernel in KERNELS}
    assert found
    return found


def test_the_calls_are_those_of_functions_that_are_there() -> None:
    (whole,) = wrapper_files(((NAME, WRAPPER.encode()),), SHIPPED, frozenset())
    assert {c.kernel for c in calls_of((*Kernel, *Portable), [whole])} == {*KERNELS}
    forwarding = WrapperFile(f"from {NAME} import {ENTRY}, _{ENTRY}\n".encode(), NAME)
    assert calls_of((*Kernel, *Portable), [forwarding]) == ()


@needs_torch
def test_a_row_stride_that_is_not_the_row_s_fails_and_is_refused_once_mended() -> None:
    after = mended(WRAPPER, "output-rank")
    for kernel, call in calls("output-rank").items():
        said = outcome(call, WRAPPER)
        assert said.endswith("hands on a row stride of 512 for an output whose rows are 256 apart"), kernel
        assert "one of shape (64, 2, 256) with strides (512, 256, 1)" in outcome(call, after)
    right = WRAPPER.replace("out_logits.stride(0)", "out_logits.stride(-2)")
    assert {outcome(call, right) for call in calls("output-rank").values()} == {"passed"}


@needs_torch
def test_arguments_are_counted_against_the_kernel_s_parameters() -> None:
    assert {outcome(call, WRAPPER) for call in calls("launch-arguments").values()} == {"passed"}
    one_less = WRAPPER.replace("heads, ChunkK, KVBlockSize)", "heads, ChunkK)")
    said = {kernel: outcome(call, one_less) for kernel, call in calls("launch-arguments").items()}
    assert said.pop(Kernel.PRESHUFFLE) == f"{ENTRY}() hands on 20 by place: it takes 21, all by place"
    assert set(said.values()) == {"passed"}
    by_name = WRAPPER.replace("ChunkQ=64, ChunkK=ChunkK", "ChunkQ=64, waves_per_eu=2")
    assert "also ChunkK" in outcome(calls("launch-arguments")[Portable.REDUCING_RAGGED], by_name)


@needs_torch
def test_blocks_that_a_kernel_is_not_told_of_are_asserted_off_let_through_or_refused() -> None:
    found = calls("block-paging")
    assert outcome(found[Portable.REDUCING], WRAPPER).startswith("refused: AssertionError")
    ragged = found[Portable.REDUCING_RAGGED]
    assert outcome(ragged, WRAPPER).endswith("launches a kernel for tokens on blocks of 64")
    (after,) = wrapper_files(((NAME, WRAPPER.encode()),), SHIPPED, frozenset({"block-paging"}))
    assert "(aiterfix: block-paging)" in outcome(ragged, after.text.decode())
    told = PLAIN.replace("ChunkK: tl.constexpr)", "ChunkK: tl.constexpr, KVBlockSize: tl.constexpr = 1)")
    assert outcome(ragged, WRAPPER, (FILES[0], KernelFile(told.encode(), "k.py"))) == "passed"


@needs_torch
def test_small_chunks_are_compiled_or_refused() -> None:
    (call,) = calls("small-chunk").values()
    assert outcome(call, WRAPPER) == f"{ENTRY}() has the kernel compiled for a ChunkK of 64"
    assert "(aiterfix: small-chunk)" in outcome(call, mended(WRAPPER, "small-chunk"))
    presence = {call.kernel.function: {"small-chunk": Presence.ABSENT}}
    takes = KernelFile(GLUON.encode(), "k.py", presence=presence)
    assert Calls([takes], made(WRAPPER, tuple(f.text for f in FILES)).wrappers).run(call).passed


@needs_torch
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("    batch_size, next_n,", "    raise ValueError('never')\n    batch_size, next_n,"), "ValueError: never"),
        (("batch_size, next_n, heads, hidden_dim = ", "a, b, heads, c, d = "), "ValueError: not enough values"),
        (("import torch", "raise SystemExit(3)"), "SystemExit: 3"),
        (("import torch", "import os\nos._exit(9)"), "exit status 9"),
        (("return triton.compile", "return triton.no_compile"), "not subscriptable"),
        (("fn=_gluon_", "fn=0 and _gluon_"), "where _gluon_"),
    ],
)
def test_a_wrapper_that_is_not_understood_refuses_nothing(change: tuple[str, str], why: str) -> None:
    """A `ValueError` for what every kernel takes is none of a refusal."""
    broken = WRAPPER.replace(*change)
    assert broken != WRAPPER
    with pytest.raises(NotUnderstoodError) as raised:
        outcome(calls("output-rank")[Kernel.PRESHUFFLE], broken)
    assert why in f"{raised.value.what} {raised.value.why}"


def python_without_torch(folder: Path) -> str:
    shadow = folder / "torch.py"
    shadow.write_text("raise ImportError('no torch here')\n")
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {PYTHON} "$@"\n')
    program.chmod(0o755)
    return str(program)


def test_without_torch_nothing_passes_and_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = python_without_torch(tmp_path)
    monkeypatch.setattr(sys, "executable", python)
    subject = AiterSource(FILES, None, (WrapperFile(WRAPPER.encode(), NAME),))
    compiler = FakeCompiler()
    compiler.python, compiler.owner = python, None  # type: ignore[attr-defined]
    with pytest.raises(EnvironmentProblem, match="needs torch") as raised:
        validate(subject, Emulator(compiler=compiler), Selection(fault="output-rank"), record=False)  # type: ignore[arg-type]
    assert "no torch here" in (raised.value.why or "")


@needs_torch
def test_a_python_without_torch_is_helped_out_by_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", PYTHON)
    call = calls("launch-arguments")[Kernel.PRESHUFFLE]
    wrapper = WrapperFile(WRAPPER.encode(), NAME)
    assert Calls(FILES, (wrapper,), python_without_torch(tmp_path)).run(call).passed


@needs_torch
def test_children_that_were_begun_are_heard_once_and_ended_where_nobody_asks(tmp_path: Path) -> None:
    call = calls("launch-arguments")[Kernel.PRESHUFFLE]
    made = Calls(FILES, (WrapperFile(WRAPPER.encode(), NAME),), python_without_torch(tmp_path))
    made.begin()
    assert made.run(call).passed and made.run(call).passed
    made.close()
    hung = tmp_path / "hung"
    hung.write_text("#!/bin/sh\nexec sleep 600\n")
    hung.chmod(0o755)
    made = Calls(FILES, (WrapperFile(WRAPPER.encode(), NAME),), str(hung))
    made.begin()
    made.close()  # a child left running would be a ResourceWarning, and an error here
    nowhere = Calls(FILES, (WrapperFile(WRAPPER.encode(), NAME),), str(tmp_path / "nowhere"))
    nowhere.begin()
    with pytest.raises(NotUnderstoodError) as raised:
        nowhere.run(call)
    assert str(tmp_path / "nowhere") in str(raised.value.why)


def test_an_interrupt_leaves_no_child_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hung = tmp_path / "hung"
    hung.write_text("#!/bin/sh\nexec sleep 600\n")
    hung.chmod(0o755)
    asked: list[subprocess.Popen[str]] = []

    def interrupted(child: subprocess.Popen[str], **_: object) -> tuple[str, str]:
        asked.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    wrapper = WrapperFile(WRAPPER.encode(), NAME)
    made = Calls(FILES, (wrapper, wrapper), str(hung))
    made.begin()
    with pytest.raises(KeyboardInterrupt):
        made.run(calls("launch-arguments")[Kernel.PRESHUFFLE])
    (child,) = asked
    assert child.returncode is not None
    made.close()


def test_small_chunks_are_asked_about_where_their_fault_is() -> None:
    (call,) = calls("small-chunk").values()
    for selection, there in (
        (Selection(), False),
        (Selection(fault="small-chunk"), True),
        (Selection(pattern=call.name), True),
    ):
        chosen = choose_scenarios(KERNELS, None, selection, scenarios, (call,))
        assert (call in chosen) is there


def run(*faults: str, **selection: Any) -> Report:
    """Own wrapper and kernels with these faults mended, through the whole of a validation."""
    wrappers = wrapper_files(((NAME, WRAPPER.encode()),), SHIPPED, frozenset(faults))
    read = (kernel_file((f.text, f.filename, "", None), SHIPPED, frozenset(), wrappers) for f in FILES)
    # These kernels read no cache; those that do have it.
    files = tuple(
        replace(file, presence={k: {**p, "block-paging": Presence.PRESENT} for k, p in file.presence.items()})
        for file in read
    )
    compiler = FakeCompiler()
    compiler.python, compiler.owner = sys.executable, None  # type: ignore[attr-defined]
    subject = AiterSource(files, None, wrappers)
    return validate(subject, Emulator(compiler=compiler), Selection(**selection), record=False)  # type: ignore[arg-type]


@needs_torch
def test_a_pair_is_failure_before_and_refusal_after() -> None:
    before, after = (run(*faults, fault="output-rank") for faults in ((), ("output-rank",)))
    assert len(before.failures) == 3 and all(s.known_faults == ("output-rank",) for s in before.failures)
    assert after.scenarios == () and {m.refused for m in after.not_run} == {True}
    assert FaultPairReport.of("output-rank", before, after) == FaultPairReport("output-rank", "fails", "refused", True)
    right = run(fault="launch-arguments")
    assert right.passed and FaultPairReport.of("launch-arguments", right, None).shown


@needs_torch
def test_a_failure_that_source_says_cannot_be_is_unexplained() -> None:
    wrapper = WrapperFile(WRAPPER.encode(), NAME)
    presence = {kernel.function: {"output-rank": Presence.ABSENT} for kernel in KERNELS}
    files = tuple(KernelFile(f.text, f.filename, presence=presence) for f in FILES)
    compiler = FakeCompiler()
    compiler.python, compiler.owner = sys.executable, None  # type: ignore[attr-defined]
    chosen = Selection(fault="output-rank")
    report = validate(AiterSource(files, None, (wrapper,)), Emulator(compiler=compiler), chosen, record=False)  # type: ignore[arg-type]
    assert report.failures and not any(s.known_faults for s in report.failures)


@needs_torch
def test_what_a_wrapper_does_is_evidence_of_its_own_text_and_shows_a_refusal() -> None:
    records = []
    for faults in ((), ("output-rank",)):
        report = run(*faults, pattern="*/entry-[!c]*")
        (found,) = evidence_from(report)
        records.append(found)
    before, after = records
    assert before.text_sha256 == sha256_hex(WRAPPER.encode()) == after.original_sha256 != after.text_sha256
    assert (before.device, before.fp_fusion, after.mends) == (CALLED, None, ("output-rank",))
    assert (before.of_fault("output-rank"), after.of_fault("output-rank")) == ("failed", "refused")
    assert before.of_fault("launch-arguments") == after.of_fault("launch-arguments") == "passed"
    assert shown("output-rank", [after], [before]) == "shown"
    assert evidence_of(before.text_sha256, []) == ()
