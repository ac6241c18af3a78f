"""Small git repositories, made for one test each."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


class Repository:
    """A repository with a work tree. Every commit has a date of its own, an hour after the one before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = 1_700_000_000
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Ann Author")
        self.git("config", "user.email", "ann@example.org")
        self.git("config", "commit.gpgsign", "false")

    def git(self, *arguments: str, status: int = 0, data: bytes | None = None) -> str:
        """What a git command prints."""
        stamp = f"{self.clock} +0000"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GIT_")},
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_AUTHOR_DATE": stamp,
            "GIT_COMMITTER_DATE": stamp,
        }
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=environment, input=data, capture_output=True, check=False
        )
        assert done.returncode == status, (arguments, done.stderr.decode())
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, str | bytes | None], *tags: str, branch: str | None = None) -> str:
        """Commit files (None deletes one) and tag the commit."""
        self.clock += 3600
        if branch is not None:
            self.git("checkout", "-q", branch)
        for name, text in files.items():
            place = self.path / name
            if text is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        for tag in tags:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def isolated_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration, identity, token or cache of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("GIT_") and name != "GIT_PYTHON_REFRESH":
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("GITHUB_TOKEN", "AITERFIX_GITHUB_API", "EMAIL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository(tmp_path / "clone")
