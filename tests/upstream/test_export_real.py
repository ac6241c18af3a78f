"""``upstream export`` on the real clone: the regression test that goes along fails before and passes after."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from aiterfix.faults.registry import load_faults
from aiterfix.upstream.export import export
from aiterfix.upstream.gitrepo import Clone
from tests.upstream.conftest import Clone as RealClone
from tests.upstream_tools.test_export import run_tree

pytest.importorskip("numpy")
KERNELS = "aiter/ops/triton"


@pytest.fixture
def copy(clone: RealClone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of our own that borrows the clone's objects: the clone gets no branch."""
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    path, aiter_repo = tmp_path / "copy", Path(clone.path)
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    objects = Path(git(aiter_repo, "rev-parse", "--git-path", "objects"))
    (path / "objects/info/alternates").write_text(f"{(aiter_repo / objects).resolve()}\n")
    git(path, "config", "user.name", "Ann Author")
    git(path, "config", "user.email", "ann@example.org")
    git(path, "update-ref", "refs/tags/main", git(aiter_repo, "rev-parse", "main^{commit}"))
    return path


def git(where: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=where, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("fault", "fails", "passes"),
    [
        ("cache-offset-32", "13 failed, 3 passed, 14 skipped", "16 passed, 14 skipped"),
        ("ragged-causal-bound", "8 failed", "8 passed"),
        ("empty-sequence-schedule", "12 failed", "12 passed"),
        ("column-bound", "5 failed, 2 passed", "7 passed"),
    ],
)
def test_on_main(copy: Path, tmp_path: Path, fault: str, fails: str, passes: str) -> None:
    made = export(Clone(copy), "main", load_faults(), fault=fault, branch="fix")
    assert git(copy, "diff", "--name-only", "main", "fix").splitlines() == sorted(
        [*(f.path for f in made.files), str(made.test_path)]
    )
    for revision, status, words in (("main", 1, fails), ("fix", 0, passes)):
        tree = tmp_path / revision
        tree.mkdir()
        for source, path in ((revision, KERNELS), ("fix", str(made.test_path))):
            archive = subprocess.run(["git", "archive", source, path], cwd=copy, capture_output=True, check=True)
            subprocess.run(["tar", "x", "-C", str(tree)], input=archive.stdout, check=True)
        done = run_tree(tree, str(made.test_path))
        assert (done[0], words in done[1]) == (status, True), done[1]
