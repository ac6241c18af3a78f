"""A machine for the examples: a fresh virtual environment, no network, wheels of this checkout, and stand-ins."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests import environments

ROOT = Path(__file__).parents[2]


class Machine:
    """Runs a step's shell as its engine would."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.wheel = wheel
        self.bin = folder / "bin"
        self.bin.mkdir(parents=True)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "AITER", "VIRTUAL_ENV"))}
        self.environment = kept | {
            # This Python first: packages of its own are no other's.
            "PATH": os.pathsep.join([str(self.bin), str(Path(sys.executable).resolve().parent), os.environ["PATH"]]),
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_COMPILE": "1",  # of 400 modules few are run
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "AITERFIX_CACHE": str(folder / "cache"),
        }

    def stand_in(self, name: str, text: str) -> None:
        """A program that does this, in the place of one that cannot run here."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def with_packages(self) -> None:
        """Let Python see what is installed beside these tests: numpy, Triton."""
        self.environment["PYTHONPATH"] = sysconfig.get_paths()["purelib"]

    def run(
        self, words: list[str], more: Mapping[str, str], folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it; what it says is kept together."""
        return subprocess.run(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self.environment, **more},
            cwd=folder or self.folder,
            timeout=250,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path, built: Path, pip_template: Path) -> Machine:
    if sys.version_info < (3, 11):
        pytest.skip("before Python 3.11 aiterfix needs tomli, of which there is no wheel here")
    machine = Machine(tmp_path / "machine", built)
    machine.stand_in("python3", environments.stand_in(pip_template))
    return machine
