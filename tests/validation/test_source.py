"""Kernel files as subjects: what is compiled for plain kernels, and what runs before the schedule kernel."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.launcher import read_parameters
from aiterfix.family.portable import SCHEDULE, Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.gfx950.compile import Compiler
from aiterfix.validation.emulator import Emulator
from aiterfix.validation.execution import cache_row_bytes
from aiterfix.validation.interface import RefusedLaunchError
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.pipeline import validate
from aiterfix.validation.report import Report, ScenarioResult
from aiterfix.validation.scenarios import (
    GAP,
    SCENARIOS_OF_FAULT,
    Scenario,
    empty_first,
    far_blocks,
    far_rows,
    inputs_of,
    ragged_rows,
)
from aiterfix.validation.selection import Selection
from aiterfix.validation.source import AiterSource, plain_request, takes_blocks
from tests.emulator import needs_emulator
from tests.kernels import SHIPPED, bound

DATA = Path(__file__).parents[1] / "data"
GLUON = (DATA / "sample_kernels.py").read_bytes()
STAGE1 = (DATA / "sample_plain.py").read_bytes()
BOUNDED = bound(STAGE1, SHIPPED.judged).new
TOKENS = KernelConfig(kv_block_size=1, aligned_cache=False)
RAGGED = replace(TOKENS, chunk_k=64)

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs a Triton that compiles for AMD, 3.6 or later"
)


def run(compiler: Compiler, scenario: Scenario, *texts: bytes) -> ScenarioResult:
    files = tuple(KernelFile(text, f"file{at}.py") for at, text in enumerate(texts))
    with Emulator(compiler=compiler).prepare(AiterSource(files)) as prepared:
        return prepared.run(scenario)


def full(width: int, batch: int) -> Scenario:
    return Scenario(Portable.STAGE1, KernelConfig(), "full", (width,) * batch, 2, width, 0, 3)


@needs_emulator
@needs_triton
@pytest.mark.parametrize(("width", "batch", "past"), [(1000, 2, 24), (300, 3, 212), (1024, 1, 0)])
def test_an_output_a_head_overshoots_as_on_a_gpu(compiler: Compiler, width: int, batch: int, past: int) -> None:
    """The last row of each head overshoots into the first of the next; how many logits stay wrong, the order decides."""
    result = run(compiler, full(width, batch), STAGE1)
    assert (result.elements_past_last_row, result.overshoot_columns) == (past, past)
    assert result.wrong_logits >= past and result.passed == (past == 0)
    assert run(compiler, full(width, batch), BOUNDED).passed


ROW_IN_32_BITS = BOUNDED.replace(b"    stride_out_heads: tl.int64,\n", b"    stride_out_heads,\n")
CACHE_IN_32_BITS = BOUNDED.replace(b"    stride_k_block: tl.int64,\n", b"    stride_k_block,\n")
# Heads from 57 on begin past 2^31 elements, and every logit is a sum over heads.
PLANTED = [
    (far_rows(Portable.STAGE1, TOKENS), ROW_IN_32_BITS, 300 + 7 * 5 + 900),
    (far_blocks(Portable.STAGE1, TOKENS), CACHE_IN_32_BITS, 300),
    (far_blocks(Portable.STAGE1, KernelConfig()), CACHE_IN_32_BITS, 300),
]


@needs_emulator
@needs_triton
@pytest.mark.parametrize(("scenario", "text", "wrong"), PLANTED, ids=lambda value: getattr(value, "name", None))
def test_addresses_past_2_gib_are_reached_or_missed(
    compiler: Compiler, scenario: Scenario, text: bytes, wrong: int
) -> None:
    assert text != BOUNDED
    assert run(compiler, scenario, BOUNDED).passed
    assert run(compiler, scenario, text).wrong_logits == wrong


RAGGED_KERNEL = b"""\
import triton
import triton.language as tl


@triton.jit
def _sum(a, b):
    return a + b


@triton.jit
def _deepgemm_fp8_paged_mqa_logits_ragged_k(
    batch_size, next_n, heads_num, Q_buffer, stride_q_batch, stride_q_next_n, stride_q_heads, KV_buffer, stride_k_seq,
    scale_buffer, stride_scale_seq, prefix_sum_context_lens, kv_indices, weights, stride_w_batch, OutLogits_buffer,
    stride_out_batch: tl.int64, max_model_len, ChunkQ: tl.constexpr, ChunkK: tl.constexpr, HiddenDim: tl.constexpr,
    SplitKV: tl.constexpr = 1,
):
    program = tl.program_id(0)
    row = program // SplitKV
    sequence = row // next_n
    place = row % next_n
    head = tl.arange(0, ChunkQ)
    feature = tl.arange(0, HiddenDim)
    first = tl.load(prefix_sum_context_lens + sequence)
    length = tl.load(prefix_sum_context_lens + sequence + 1) - first
    query = tl.load(
        Q_buffer + sequence * stride_q_batch + place * stride_q_next_n + head[:, None] * stride_q_heads
        + feature[None, :]
    )
    weight = tl.load(weights + row * stride_w_batch + head)
    for start in range((program % SplitKV) * ChunkK, length, SplitKV * ChunkK):
        column = start + tl.arange(0, ChunkK)
        there = column < length
        slot = tl.load(kv_indices + first + column, mask=there, other=0).to(tl.int64)
        key = tl.load(
            KV_buffer + slot[:, None] * stride_k_seq + feature[None, :], mask=there[:, None], other=0.0
        )
        scale = tl.load(scale_buffer + slot * stride_scale_seq, mask=there, other=0.0)
        score = tl.maximum(tl.dot(query, tl.trans(key)), 0.0) * scale[None, :] * weight[:, None]
        logits = tl.reduce(score, axis=0, combine_fn=_sum)
        logits = tl.where(LAST_SEEN, logits, float("-inf"))
        tl.store(OutLogits_buffer + row * stride_out_batch + column, logits, mask=column < max_model_len)
"""
BY_POSITION = RAGGED_KERNEL.replace(b"LAST_SEEN", b"column <= length - next_n + place")
THE_OTHER_WAY = RAGGED_KERNEL.replace(b"LAST_SEEN", b"column <= length - place")


@needs_emulator
@needs_triton
def test_ragged_rows_see_one_column_more_each(compiler: Compiler) -> None:
    scenario = ragged_rows(Portable.REDUCING_RAGGED, RAGGED)
    assert run(compiler, scenario, BY_POSITION).passed
    wrong = run(compiler, scenario, THE_OTHER_WAY)
    found = {finding.name: finding.count for finding in wrong.findings}
    assert (wrong.wrong_logits, found["unseen-columns-finite"]) == (4, 10)
    assert run(compiler, far_blocks(Portable.REDUCING_RAGGED, RAGGED), BY_POSITION).passed
    narrow = BY_POSITION.replace(b".to(tl.int64)", b"")
    far = run(compiler, far_blocks(Portable.REDUCING_RAGGED, RAGGED), narrow)
    assert far.wrong_logits == 300 and {access.allocation for access in far.outside} == {"KV_buffer"}


SCHEDULE_KERNEL = b"""\
import triton
import triton.language as tl


@triton.jit
def _deepgemm_fp8_paged_mqa_logits_varctx_schedule(
    batch_size, context_len_ptr, safe_chunks_per_cta_ptr, parallel_unit_num, ChunkK: tl.constexpr,
    AlignedBatchSize: tl.constexpr, TryCount: tl.constexpr,
):
    sequence = tl.arange(0, AlignedBatchSize)
    length = tl.load(context_len_ptr + sequence, mask=sequence < batch_size, other=0)
    chunks = tl.cdiv(length, ChunkK)
    share = tl.program_id(0) + 1
    fits = tl.sum(tl.cdiv(chunks, share)) <= parallel_unit_num
    fewer = (share > 1) & (tl.sum(tl.cdiv(chunks, tl.maximum(share - 1, 1))) <= parallel_unit_num)
    if fits & (fewer == 0):
        tl.store(safe_chunks_per_cta_ptr, share)
"""


@needs_emulator
@needs_triton
def test_the_schedule_kernel_runs_before_the_kernel_that_reads_it(compiler: Compiler) -> None:
    scenario = Scenario(Kernel.PRESHUFFLE_VARCTX, KernelConfig(), "shared out", (1000, 300, 77), 2, 1000, GAP, 12)
    assert scenario.safe_chunks() == 2
    alone = run(compiler, scenario, GLUON)
    together = run(compiler, scenario, GLUON, SCHEDULE_KERNEL)
    assert alone.passed and together.passed
    assert together.wave_instructions > alone.wave_instructions
    # One that gives a program too little to do leaves the rest undone.
    wrong = SCHEDULE_KERNEL.replace(b"safe_chunks_per_cta_ptr, share)", b"safe_chunks_per_cta_ptr, 1)")
    assert run(compiler, scenario, GLUON, wrong).wrong_logits > 0


def plain(scenario: Scenario, text: bytes) -> dict[str, object]:
    file = KernelFile(text, "file.py")
    assert isinstance(scenario.kernel, Portable)
    request, _ = plain_request(file, scenario, inputs_of(scenario).cache_blocks)
    attributes = {request.signature[index][0]: dict(found) for index, found in request.attributes}
    return {"types": dict(request.signature), "constants": dict(request.constants), "attributes": attributes}


def test_a_plain_kernel_is_specialised_as_the_launcher_does_it() -> None:
    near = plain(Scenario(Portable.STAGE1, KernelConfig(), "t", (300,), 1, 320, 0, 3), STAGE1)
    assert near["constants"] == {
        "batch_size": 1,
        "next_n": 1,
        "ChunkQ": 64,
        "ChunkK": 256,
        "HiddenDim": 128,
        "KVBlockSize": 64,
        "SplitKV": 10,
    }
    types, attributes = near["types"], near["attributes"]
    assert isinstance(types, dict) and isinstance(attributes, dict)
    assert (types["stride_scale_token"], types["heads_num"], types["Out_buffer"]) == ("i64", "i32", "*fp32")
    assert attributes["KV_buffer"] == {"tt.divisibility": 16, "tt.pointer_range": 32}
    assert attributes["max_model_len"] == {"tt.divisibility": 16}
    far = plain(far_blocks(Portable.STAGE1, TOKENS), STAGE1)["attributes"]
    assert isinstance(far, dict) and far["KV_buffer"] == {"tt.divisibility": 16} and "max_model_len" in far
    wide = plain(far_rows(Portable.STAGE1, TOKENS), STAGE1)
    assert isinstance(wide["attributes"], dict) and wide["attributes"]["Out_buffer"] == {"tt.divisibility": 16}


def test_a_reducing_kernel_that_knows_no_blocks_is_never_launched_on_them() -> None:
    scenario = next(s for s in SCENARIOS_OF_FAULT["block-paging"] if s.kernel is Portable.REDUCING)
    with pytest.raises(RefusedLaunchError, match="blocks of 64 tokens"):
        takes_blocks(Portable.REDUCING, (), scenario)
    assert not takes_blocks(Portable.STAGE1, (), scenario)
    assert takes_blocks(Portable.STAGE1, read_parameters(STAGE1, "f", Portable.STAGE1.function), scenario)


def test_a_parameter_that_no_wrapper_is_known_to_pass_is_not_guessed(compiler: Compiler) -> None:
    novel = STAGE1.replace(b"    max_blk_len,\n", b"    max_blk_len,\n    novelty,\n", 1)
    with pytest.raises(NotUnderstoodError, match="novelty"):
        run(compiler, full(300, 1), novel)
    strange = STAGE1.replace(b"stride_q_batch: tl.int64", b"stride_q_batch: tl.float16", 1)
    with pytest.raises(NotUnderstoodError, match="float16"):
        run(compiler, full(300, 1), strange)


def test_a_kernel_that_several_files_define_is_taken_from_the_first() -> None:
    source = AiterSource((KernelFile(BOUNDED, "a.py"), KernelFile(STAGE1, "b.py"), KernelFile(GLUON, "c.py")))
    assert source.kernels == (Portable.STAGE1, *Kernel)
    assert source.file_of(Portable.STAGE1).filename == "a.py" and source.file_of(Kernel.BASE).filename == "c.py"
    with pytest.raises(NotUnderstoodError, match="reducing"):
        source.file_of(Portable.REDUCING)


def test_the_strides_of_a_cache_are_the_scenario_s() -> None:
    assert cache_row_bytes(full(300, 1)) == 64 * 132
    assert cache_row_bytes(far_blocks(Kernel.PRESHUFFLE, KernelConfig())) == 1_002_240
    assert cache_row_bytes(far_blocks(Kernel.BASE, TOKENS)) == 132


@needs_emulator
@needs_triton
def test_sequences_of_length_0_anywhere_leave_the_fixed_kernels_right(compiler: Compiler) -> None:
    for kernel, text in ((Kernel.PRESHUFFLE, GLUON), (Portable.STAGE1, BOUNDED)):
        assert run(compiler, empty_first(kernel, KernelConfig()), text).passed


@needs_emulator
@needs_triton
def test_a_report_names_every_text_and_what_is_mended_in_it(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path))
    files = (KernelFile(GLUON, "g.py"), KernelFile(BOUNDED, "p.py", "site/p.py", ("column-bound",), "ab" * 32))
    pattern = Selection(pattern="*/h64-b64/full/n2-len1000-*")
    report: Report = validate(AiterSource(files), Emulator(compiler=compiler), pattern)
    assert [(s.path, s.mends) for s in report.sources] == [("g.py", ()), ("site/p.py", ("column-bound",))]
    assert report.sources[1].original_sha256 == "ab" * 32 != report.sources[1].sha256
    assert {s.kernel for s in report.scenarios} == {"preshuffle", "preshuffle_varctx", "stage1"} and report.passed


assert SCHEDULE in SCHEDULE_KERNEL.decode()
