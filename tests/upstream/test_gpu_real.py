"""The real plain-Triton kernels through the GPU path: on a GPU where there is one, else under Triton's interpreter."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aiterfix.family.portable import Portable, find_portable
from aiterfix.validation.gpu.plain import PlainKernels
from aiterfix.validation.kernel_file import KernelFile
from aiterfix.validation.report import Report
from tests.kernels import SHIPPED, bound
from tests.validation.gpu.running import validate_gpu

REPO = os.environ.get("AITERFIX_AITER_REPO", "")
FILE = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
OVERSHOOT = {"len2048": (0, 0), "len1000": (24, 96), "len300": (212, 1272), "len1024": (0, 0)}
"""Columns past every row, and wrong logits where rows have no gap, of stage1 as of v0.1.20.post1."""

pytestmark = pytest.mark.skipif(not REPO, reason="AITERFIX_AITER_REPO is unset: it names a clone of ROCm/aiter")
pytest.importorskip("torch")
pytest.importorskip("triton")


@pytest.fixture(scope="module")
def text() -> bytes:
    return subprocess.run(["git", "-C", REPO, "show", f"v0.1.20.post1:{FILE}"], capture_output=True, check=True).stdout


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a text's kernel on what is there: (report, whether on a GPU)."""
    asked = "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)"
    gpu = subprocess.run([sys.executable, "-c", asked], capture_output=True).returncode == 0
    helpers = Path(__file__).parents[1] / "validation" / "gpu"
    monkeypatch.syspath_prepend(str(helpers))
    inherited = os.environ.get("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(helpers), inherited)))
    if not gpu:
        monkeypatch.setenv("TRITON_INTERPRET", "1")

    def run(text: bytes, kernel: Portable, scenario: str) -> Report:
        subject: Any = PlainKernels(KernelFile(text, "pa_mqa_logits.py"))
        if not gpu:
            subject = importlib.import_module("gpu_subjects").Interpreted(subject)
        return validate_gpu(subject, [kernel], scenario=scenario, device="cuda" if gpu else "cpu")

    return run


def patched(text: bytes) -> bytes:
    return bound(text, SHIPPED.judged, filename="pa_mqa_logits.py").new


def test_stage1_overshoots_as_measured_and_not_once_patched(text: bytes, on: Any) -> None:
    assert find_portable(text, FILE) == tuple(kernel for kernel in Portable if not kernel.own)
    report = on(text, Portable.STAGE1, "stage1/h64-b64/full/n2-*auto")
    assert len(report.scenarios) == 8
    for result in report.scenarios:
        columns, wrong = OVERSHOOT[result.name.split("-")[2]]
        assert result.overshoot_columns == columns
        assert result.wrong_logits == (wrong if "gap0" in result.name else 0)
    sound = on(patched(text), Portable.STAGE1, "stage1/h64-b64/full/n2-*auto")
    assert sound.passed and len(sound.scenarios) == 8


@pytest.mark.parametrize("kernel", [Portable.STAGE1_RAGGED, Portable.REDUCING, Portable.REDUCING_RAGGED])
def test_siblings(text: bytes, on: Any, kernel: Portable) -> None:
    chosen = f"{kernel.value}/h64-b1-*/full/*-len300-gap385-splitauto"
    (before,) = on(text, kernel, chosen).scenarios
    assert before.overshoot_columns == (20 if kernel is Portable.STAGE1_RAGGED else 0)
    assert on(patched(text), kernel, chosen).passed
