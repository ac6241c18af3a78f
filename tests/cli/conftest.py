"""The command line, in this process and as one of its own, on a sample installation."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aiterfix.cli.main import main
from aiterfix.demo import write_sample
from tests import schemas


@dataclass(frozen=True)
class Ran:
    """What a process did."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    def json(self, command: str) -> Any:
        """The one object on stdout, held to the command's schema."""
        assert all(line.startswith("aiterfix: runs the top level of ") for line in self.err.splitlines()), self.err
        data = schemas.read(self.out, command)
        assert data["command"] == command
        return data


Runner = Callable[..., Ran]


def environment(cache: Path, more: dict[str, str] | None) -> dict[str, str]:
    """This process's, without what decides about aiterfix and aiter, and with a cache of the test's own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AITERFIX", "AITER_"))}
    return {**clean, "COLUMNS": "80", "AITERFIX_CACHE": str(cache), **(more or {})}


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes], remembered: None
) -> Runner:
    """Runs a command in this process: of what it is about, only arguments, streams and environment are another's."""

    def run(*words: str | Path, env: dict[str, str] | None = None) -> Ran:
        capsysbinary.readouterr()
        with monkeypatch.context() as patch:
            wanted = environment(tmp_path / "cache", env)
            for name in os.environ.keys() - wanted.keys():
                patch.delenv(name)
            for name, value in wanted.items():
                patch.setenv(name, value)
            status = main([str(w) for w in words])
        out, err = capsysbinary.readouterr()
        return Ran(status, out, err.decode())

    return run


@pytest.fixture
def process(tmp_path: Path) -> Runner:
    """Runs a command in a process of its own, where the process is what the test is about."""

    def run(*words: str | Path, env: dict[str, str] | None = None) -> Ran:
        command = [sys.executable, "-m", "aiterfix", *map(str, words)]
        own = environment(tmp_path / "cache", env)
        done = subprocess.run(command, capture_output=True, env=own, timeout=120, check=False)
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    return run


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A site-packages that holds the sample `aiter` as an installed distribution."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    write_sample(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
