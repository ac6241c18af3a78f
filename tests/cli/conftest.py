"""The command line as a process, on a sample installation of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import aiterfix
from aiterfix.demo import write_sample

SCHEMAS = Path(aiterfix.__file__).parent / "schemas"


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
        assert self.err == ""
        data = json.loads(self.out)
        schema = json.loads((SCHEMAS / f"{command}.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate(data, schema)
        assert data["command"] == command
        return data


Runner = Callable[..., Ran]


@pytest.fixture
def run() -> Runner:
    def run(*words: str | Path, env: dict[str, str] | None = None) -> Ran:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("AITERFIX", "AITER_"))}
        environment |= {"COLUMNS": "80", **(env or {})}
        command = [sys.executable, "-m", "aiterfix", *map(str, words)]
        done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
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
