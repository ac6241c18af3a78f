"""Over a real clone of ROCm/aiter, where ``AITERFIX_AITER_REPO`` names one."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from aiterfix.installation.aot import find_prebuilt
from aiterfix.installation.given_path import find_path
from aiterfix.installation.kernelfiles import PackageText
from aiterfix.installation.target import Kind

REPOSITORY = os.environ.get("AITERFIX_AITER_REPO")
pytestmark = pytest.mark.skipif(not REPOSITORY, reason="AITERFIX_AITER_REPO names no clone of ROCm/aiter")

NEEDLES = ("_gluon_deepgemm_fp8_paged_mqa_logits", "_deepgemm_fp8_paged_mqa_logits_stage1")
TRITON = "ops/triton/_triton_kernels/"
GLUON = "ops/triton/gluon/pa_mqa_logits.py"


def extract(tag: str, folder: Path) -> Path:
    assert REPOSITORY is not None
    archive = folder / "tree.tar"
    command = ["git", "-C", REPOSITORY, "archive", "-o", str(archive), tag, "aiter", "setup.py", "pyproject.toml"]
    subprocess.run(command, check=True, capture_output=True)
    with tarfile.open(archive) as tree:
        tree.extractall(folder / "clone", filter="data")
    return folder / "clone"


@pytest.mark.parametrize(
    ("tag", "wrapper", "kernels"),
    [
        ("v0.1.6", "ops/triton/pa_mqa_logits.py", [TRITON + "pa_mqa_logits.py"]),
        (
            "v0.1.12.post2",
            "ops/triton/attention/pa_mqa_logits.py",
            [TRITON + "attention/pa_mqa_logits.py", GLUON],
        ),
        (
            "v0.1.20.post1",
            "ops/triton/attention/pa_mqa_logits.py",
            [TRITON + "attention/pa_mqa_logits.py", GLUON],
        ),
    ],
)
def test_checkout_of_a_release(tmp_path: Path, tag: str, wrapper: str, kernels: list[str]) -> None:
    clone = extract(tag, tmp_path)
    found = find_path(clone)
    (installation,) = found.installations
    assert (installation.package, installation.kind) == (clone / "aiter", Kind.CHECKOUT)
    assert found.doubts == ()
    search = PackageText(installation.package).naming(NEEDLES)
    assert [path.relative_to(clone / "aiter").as_posix() for path in search.files] == sorted([wrapper, *kernels])
    assert search.unreadable == ()
    aot = find_prebuilt(installation.package, "aiter/ops/triton/configs/paged_mqa_logits/aot", "X", {})
    assert not aot.present


def test_commit_of_a_worktree(tmp_path: Path) -> None:
    assert REPOSITORY is not None
    clone = tmp_path / "aiter"
    # A clone of its own: adding a worktree would write into the repository.
    subprocess.run(
        ["git", "clone", "-q", "--no-checkout", "--shared", REPOSITORY, str(clone)], check=True, capture_output=True
    )
    subprocess.run(
        ["git", "-C", str(clone), "checkout", "-q", "v0.1.12.post2", "--", "aiter", "setup.py"],
        check=True,
        capture_output=True,
    )
    commit = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    (installation,) = find_path(clone).installations
    assert installation.commit == commit
