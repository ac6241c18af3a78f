"""``aiterfix padding --measure``: what it prints, keeps, and refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aiterfix.overshoot import certify
from aiterfix.overshoot.launches import every_split
from tests.cli.conftest import Runner
from tests.cli.sample import GLUON
from tests.emulator import needs_emulator
from tests.overshoot.kernels import FAULTY, ending, stage1_kernels

pytest.importorskip("triton")
pytestmark = needs_emulator


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


def words(where: Path, width: int, *more: str, heads: int = 32) -> list[str]:
    return [
        *("padding", "--path", str(where), "--max-model-len", str(width), "--block-size", "64", "--heads", str(heads)),
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


PLAIN = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"


@pytest.fixture
def plain(sample: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose plain-Triton kernels compile: stage1, and a ragged form that rounds up to a chunk too."""
    (sample / PLAIN).write_bytes(stage1_kernels())
    module = PLAIN.removesuffix(".py").replace("/", ".")
    kernels = "_deepgemm_fp8_paged_mqa_logits_stage1, _deepgemm_fp8_paged_mqa_logits_stage1_ragged_k"
    (sample / "aiter/ops/triton/attention/pa_mqa_logits.py").write_text(f"from {module} import {kernels}\n")
    # Each is compiled anew.
    monkeypatch.setattr(certify, "every_split", lambda *asked: every_split(*asked)[:2])
    return sample


def test_plain_kernels_are_measured(run: Runner, plain: Path, tmp_path: Path) -> None:
    env = {"AITERFIX_CACHE": str(tmp_path / "cache")}
    ran = run(*words(plain, 60, "--measure", "--json", "--kernel", "stage1", heads=64), env=env)
    assert ran.status == 0
    said = ran.json("padding")
    assert (said["columns"], said["evidence"], said["exact"]) == (196, "measured", True)
    assert "for one batch size of each split" in said["reason"]
    # Chunks are of 256 columns there, and of 64 here whatever is asked for.
    assert {m["kernel"]: m["columns"] for m in said["measured"]} == {"stage1": 196, "stage1_ragged_k": 4}
    assert len(list((tmp_path / "cache" / "overshoot").rglob("stage1*_64_*.json"))) == 2
    # Without being asked for they are where there are no Gluon ones. A width for which Triton compiles the same.
    (plain / GLUON).unlink()
    said = run(*words(plain, 28, "--measure", "--json", heads=64), env=env).json("padding")
    assert (said["columns"], said["evidence"]) == (228, "measured")


def test_a_plain_kernel_that_is_not_measured_is_refused(run: Runner, plain: Path, tmp_path: Path) -> None:
    """By its name, one that sums over heads; no measurement is made of it."""
    (plain / PLAIN).write_bytes(stage1_kernels().replace(b"_stage1_ragged_k(", b"("))
    ran = run(*words(plain, 60, "--measure", "--kernel", "stage1", heads=64), env={"AITERFIX_CACHE": str(tmp_path)})
    assert ran.status == 3
    assert ran.out == b""
    assert "_deepgemm_fp8_paged_mqa_logits is not measured" in ran.err and "leave --measure out" in ran.err


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
