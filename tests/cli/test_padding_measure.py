"""``aiterfix padding --measure``: what it prints, keeps, and refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Runner
from tests.emulator import needs_emulator
from tests.overshoot.kernels import FAULTY, ending

pytest.importorskip("triton")
pytestmark = needs_emulator
GLUON = "aiter/ops/triton/gluon/pa_mqa_logits.py"


def judged() -> bytes:
    """Gluon kernels that can be compiled and do not bound their stores, as source shows: the helper that stores has no
    parameters of a kernel's names, and so is none."""
    head, helper, rest = FAULTY.partition(b"def _score(")
    body, end, kernels = rest.partition(b"\n\n\n")
    for name, other in (
        (b"OutLogits_buffer", b"out"),
        (b"stride_out_batch", b"out_stride"),
        (b"max_model_len", b"width"),
    ):
        body = body.replace(name, other)
    return head + helper + body + end + kernels


@pytest.fixture
def kernels(sample: Path) -> Path:
    """An installation of such kernels."""
    (sample / GLUON).write_bytes(judged())
    return sample


def words(where: Path, width: int, *more: str) -> list[str]:
    return [
        *("padding", "--path", str(where), "--max-model-len", str(width), "--block-size", "64", "--heads", "32"),
        *more,
    ]


def test_measured_and_kept(run: Runner, kernels: Path, tmp_path: Path) -> None:
    env = {"AITERFIX_CACHE": str(tmp_path / "cache")}
    ran = run(*words(kernels, 100, "--measure", "--json"), env=env)
    assert ran.status == 0
    said = ran.json("padding")
    assert said["presence"] == "present"
    assert (said["columns"], said["evidence"], said["exact"]) == (28, "measured", True)
    assert {m["kernel"]: m["columns"] for m in said["measured"]}.keys() == {"preshuffle", "preshuffle_varctx"}
    assert max(m["columns"] for m in said["measured"]) == 28
    assert len(list((tmp_path / "cache" / "overshoot").rglob("*.json"))) == 2
    # Exact, and not what the bound says of a source of no release.
    text = run(*words(kernels, 100, "--measure", "--require"), env=env)
    assert text.status == 1
    assert "28 columns (exact; measured)" in text.text
    assert "worst context" in text.text
    assert len(text.err.splitlines()) == 1 and "runs the top level of" in text.err
    assert "at most" in run(*words(kernels, 100), env={"AITERFIX_CACHE": str(tmp_path / "empty")}).text


def test_no_measurement_settles_what_source_leaves_in_doubt(run: Runner, sample: Path, tmp_path: Path) -> None:
    """Here another function looks like a kernel, so it cannot be said which of them runs."""
    (sample / GLUON).write_bytes(FAULTY)
    ran = run(*words(sample, 100, "--measure", "--json"), env={"AITERFIX_CACHE": str(tmp_path / "cache")})
    assert ran.status == 3
    said = ran.json("padding")
    assert (said["columns"], said["evidence"], said["exact"]) == (255, "bound", False)
    assert said["presence"] == "unknown" and "undeclared kernel" in said["reason"]
    assert {m["columns"] for m in said["measured"]} == {28}


@pytest.mark.parametrize("kernel", ["stage1", "all"])
def test_plain_kernels_are_refused_by_name(run: Runner, kernels: Path, tmp_path: Path, kernel: str) -> None:
    ran = run(*words(kernels, 100, "--measure", "--kernel", kernel), env={"AITERFIX_CACHE": str(tmp_path / "cache")})
    assert ran.status == 3
    assert ran.out == b""
    assert f"--kernel {kernel}" in ran.err and "leave --measure out" in ran.err


def test_what_follows_from_data_is_refused(run: Runner, sample: Path, tmp_path: Path) -> None:
    (sample / GLUON).write_bytes(ending("context_length + gl.load(kv_indices + batch)"))
    env = {"AITERFIX_CACHE": str(tmp_path / "cache")}
    ran = run(*words(sample, 100, "--measure", "--json"), env=env)
    assert ran.status == 3
    assert "kv_indices" in ran.json("padding")["error"]["what"]
    assert not (tmp_path / "cache" / "overshoot").exists()


def test_without_triton(process: Runner, kernels: Path, tmp_path: Path) -> None:
    (tmp_path / "hidden" / "triton").mkdir(parents=True)
    (tmp_path / "hidden" / "triton" / "__init__.py").write_text("raise ImportError('hidden')\n")
    source = str(Path(__file__).parents[2] / "src")
    env = {"AITERFIX_CACHE": str(tmp_path / "cache"), "PYTHONPATH": f"{tmp_path / 'hidden'}:{source}"}
    ran = process(*words(kernels, 100, "--measure"), env=env)
    assert ran.status == 4
    assert "riton" in ran.err and "Traceback" not in ran.err
    assert ran.out == b""


def test_measure_compiles_here_only(run: Runner, kernels: Path) -> None:
    ran = run("padding", "--python", sys.executable, *words(kernels, 100)[3:], "--measure")
    assert ran.status in (2, 4)
    assert "Traceback" not in ran.err


def test_an_unwritable_cache_is_an_error(run: Runner, kernels: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run(*words(kernels, 40, "--measure"), env={"AITERFIX_CACHE": str(tmp_path / "file")})
    assert ran.status == 4
    assert "cannot be kept" in ran.err
