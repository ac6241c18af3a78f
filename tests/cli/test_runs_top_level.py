"""Commands that run a kernel file's top level say so, before they do, and in their help; no other command does it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Runner
from tests.cli.sample import GLUON, WRAPPER
from tests.emulator import needs_emulator

PLAIN = "aiter/ops/triton/_triton_kernels/attention/pa_mqa_logits.py"
COMMANDS = {
    "validate": ("validate", "--device", "emulator", "--scenario", "preshuffle/h64-b64/full/n2-len1000-*"),
    "cost": ("cost", "--heads", "64", "--kv-block-size", "64"),
    "padding": ("padding", "--measure", "--max-model-len", "100", "--block-size", "64"),
}
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")


@pytest.fixture
def telling(sample: Path, tmp_path: Path) -> Path:
    """An installation whose kernel file leaves a mark where its top level is run."""
    with (sample / GLUON).open("a") as file:
        file.write(f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n")
    return sample


@needs_emulator
@needs_triton
@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_said_before(run: Runner, telling: Path, tmp_path: Path, command: str) -> None:
    ran = run(*COMMANDS[command], "--path", telling)
    first = ran.err.splitlines()[0]
    files = ", ".join(str(telling / file) for file in ((PLAIN, GLUON, WRAPPER) if command == "validate" else (GLUON,)))
    assert first == f"aiterfix: runs the top level of {files} in a process of its own, with your rights"
    assert (tmp_path / "ran").exists()
    assert "runs the top level of the kernel file" in " ".join(run(command, "--help").text.split())


@pytest.mark.parametrize(
    "words", ["check -v", "diff", "apply", "revert", "padding --max-model-len 100 --block-size 64"]
)
def test_nothing_else_runs_it(run: Runner, telling: Path, tmp_path: Path, words: str) -> None:
    ran = run(*words.split(), "--path", telling)
    assert "top level" not in ran.err
    assert not (tmp_path / "ran").exists()


@needs_emulator
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("command", COMMANDS)
def test_root_says_whose_rights_it_takes(run: Runner, telling: Path, command: str) -> None:
    os.chown(telling / GLUON, 12345, 12345)
    ran = run(*COMMANDS[command], "--path", telling)
    assert "with the rights of user 12345, to whom it belongs" in ran.err.splitlines()[0]
    assert ran.status in (0, 1, 3, 4)
