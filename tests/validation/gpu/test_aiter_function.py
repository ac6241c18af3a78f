"""Through a public function laid out like ``aiter``'s, computed in torch: the path that a ROCm GPU takes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from aiterfix.errors import EnvironmentProblem
from aiterfix.family.portable import Portable
from aiterfix.family.signature import Kernel, KernelConfig
from aiterfix.validation.gpu.subjects import AiterFunction
from tests.validation.gpu.running import validate_gpu

pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("ready")

WRAPPER = """
import torch

ROUND = {round}
CALLS = []


def _logits(q, cache, weights, lengths, table, size, preshuffle, row):
    batch, next_n, heads, hidden = q.shape
    sequence = row // next_n
    length = int(lengths[sequence])
    flat = cache.view(len(cache), -1)[:, : size * hidden + size * 4]
    blocks = table[sequence, : -(-length // size)].long()
    keys = flat[blocks, : size * hidden].contiguous().view(q.dtype).float()
    if preshuffle:
        keys = keys.view(-1, size // 16, hidden // 16, 16, 16).transpose(2, 3)
    keys = keys.reshape(-1, hidden)[:length]
    scales = flat[blocks, size * hidden :].contiguous().view(torch.float32).reshape(-1)[:length]
    scores = torch.relu(q[sequence, row % next_n].float() @ keys.T) * weights[row][:, None] * scales
    scores[:, max(0, length - next_n + row % next_n + 1) :] = float("-inf")
    return scores


def _store(out, row, values, max_model_len):
    end = -(-values.shape[-1] // ROUND) * ROUND
    flat = out.as_strided((end,), (1,), out.storage_offset() + row * out.stride(0))
    flat[values.shape[-1] :] = float("-inf")
    flat[: values.shape[-1]] = values


def deepgemm_fp8_paged_mqa_logits(
    q_fp8, kv_cache, weights, out_logits, context_lens, kv_indices, max_model_len,
    Preshuffle=False, KVBlockSize=1, ChunkK=256, TotalCuCount=None, WavePerEU=2{varctx},
):
    assert kv_cache.shape[1:3] == (KVBlockSize, 1) and TotalCuCount != 0
    for row in reversed(range(q_fp8.shape[0] * q_fp8.shape[1])):
        values = _logits(q_fp8, kv_cache, weights, context_lens, kv_indices, KVBlockSize, Preshuffle, row).sum(0)
        _store(out_logits, row, values, max_model_len)


def deepgemm_fp8_paged_mqa_logits_schedule(
    batch_size, next_n, context_lens, max_model_len, ChunkK=256, TotalCuCount=None, WavePerEU=2
):
    assert TotalCuCount is None or batch_size < TotalCuCount * WavePerEU // next_n
    return torch.ones(1, dtype=torch.int32)


def deepgemm_fp8_paged_mqa_logits_stage1(
    q_fp8, kv_cache_fp8, weights, out_qk, context_lens, kv_indices, max_model_len, ChunkQ=64, ChunkK=256
):
    for row in range(q_fp8.shape[0] * q_fp8.shape[1]):
        scores = _logits(q_fp8, kv_cache_fp8, weights, context_lens, kv_indices, kv_cache_fp8.shape[1], False, row)
        out_qk[:, row, : scores.shape[1]] = scores
"""


def installed(tmp_path: Path, columns: int = 1, varctx: str = ", VarCtxSchedule=None") -> Path:
    home = tmp_path / "aiter" / "ops" / "triton" / "attention"
    home.mkdir(parents=True)
    for folder in (home, *list(home.parents)[:3]):
        (folder / "__init__.py").touch()
    text = WRAPPER.replace("{round}", str(columns)).replace("{varctx}", varctx)
    (home / "pa_mqa_logits.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("kernel", "config", "lengths"),
    [
        (Kernel.PRESHUFFLE, KernelConfig(), "[13]*"),  # 131072 among them
        (Kernel.BASE, KernelConfig(kv_block_size=1, aligned_cache=True), "[13][0-2]*"),
        (Kernel.PRESHUFFLE_VARCTX, KernelConfig(kv_block_size=16), "[13][0-2]*"),
        (Portable.STAGE1, KernelConfig(), "[13][0-2]*"),
    ],
)
def test_a_right_installation_passes(
    tmp_path: Path, kernel: Kernel | Portable, config: KernelConfig, lengths: str
) -> None:
    site = installed(tmp_path)
    report = validate_gpu(AiterFunction(site), [kernel], configs=[config], scenario=f"*/n2-len{lengths}", device="cpu")
    assert report.passed and len(report.scenarios) > 5
    assert report.subject == "aiter's own function, aiter.ops.triton.attention.pa_mqa_logits"
    assert report.sources[0].path == str(site / "aiter/ops/triton/attention/pa_mqa_logits.py")


def test_an_overshooting_installation_fails(tmp_path: Path) -> None:
    report = validate_gpu(
        AiterFunction(installed(tmp_path, columns=64)),
        [Kernel.PRESHUFFLE],
        configs=[KernelConfig()],
        scenario="*/full/*auto",
        device="cpu",
    )
    found = {s.name.split("-", 2)[2].removesuffix("-splitauto"): s.overshoot_columns for s in report.scenarios}
    assert found["len1000-gap385"] == found["len1000-gap0"] == 24
    assert found["len300-gap385"] == found["len300-gap0"] == 20 and found["len1024-gap385"] == 0


def test_a_release_without_the_schedule_is_not_run_rather_than_passed(tmp_path: Path) -> None:
    report = validate_gpu(
        AiterFunction(installed(tmp_path, varctx="")),
        [Kernel.PRESHUFFLE, Kernel.PRESHUFFLE_VARCTX],
        configs=[KernelConfig()],
        scenario="*/empty/n2-len520-*",
        device="cpu",
    )
    assert [s.kernel for s in report.scenarios] == ["preshuffle"] and not report.passed and not report.failures
    assert [(n.kernel, n.understood) for n in report.not_run] == [("preshuffle_varctx", False)]
    assert "no parameter VarCtxSchedule" in report.not_run[0].what


def test_no_aiter_is_an_environment_problem(tmp_path: Path, subjects: ModuleType) -> None:
    with pytest.raises(EnvironmentProblem, match="could not be imported"):
        validate_gpu(AiterFunction(tmp_path), [Kernel.BASE], scenario="*/empty/*", device="cpu")
