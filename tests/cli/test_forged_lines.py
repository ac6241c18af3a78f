"""Names of every origin, printed by every command: none of them makes a line of its own, or commands a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiterfix.demo import write_sample
from tests.cli.conftest import Ran, Runner

FORGED = "verdict: clean"
EVIL = f"x\n{FORGED}\n\x1b[2J\x1b[31m\x9b1A\u202e\u2028{FORGED}\r{FORGED}\udcff"


def assert_not_forged(ran: Ran) -> None:
    for text in (ran.text, ran.err):
        assert all(line.isprintable() for line in text.split("\n"))
        assert FORGED not in text.split("\n")


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A site-packages whose every name that may be anything would forge a line."""
    folder = tmp_path / EVIL
    folder.mkdir()
    write_sample(folder)
    (metadata,) = folder.glob("amd_aiter-*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: ", "Version: \x1b[2J\u202e9\x85verdict: clean\u2029"))
    kernels = folder / "aiter/ops/triton/gluon"
    for name in (f"{EVIL}.py", "broken\n.py"):
        (kernels / name).write_text("def _gluon_deepgemm_fp8_paged_mqa_logits_preshuffle(:\n")
    (folder / "evil.pth").write_text("\x1b[2J/nowhere\u202e\n")
    (folder / "aiter/gone.py").symlink_to(EVIL)
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "check", "check -v", "check --kernel all", "check --for vllm", "diff", "apply --dry-run", "apply", "revert",
        "padding --max-model-len 1000 --block-size 64", "validate", "cost", "upstream status --offline", "check --fixes",
        "upstream scan --repo",
    ],
)  # fmt: skip
def test_no_command_prints_a_forged_line(run: Runner, evil: Path, words: str) -> None:
    named = (evil,) if words.endswith(("--fixes", "--repo")) else ("--path", evil)
    assert_not_forged(run(*words.split(), *named))


def test_nor_does_any_of_them_after_a_patch(run: Runner, evil: Path) -> None:
    for name in (f"{EVIL}.py", "broken\n.py"):
        (evil / "aiter/ops/triton/gluon" / name).unlink()
    for words in ("apply", "check -v", "apply", "revert"):
        ran = run(*words.split(), "--path", evil)
        assert_not_forged(ran)
        assert ran.status in (0, 3)
        json.loads(run("check", "--json", "--path", evil).out)


@pytest.mark.parametrize(
    "words",
    [
        ["check", "--path", EVIL],
        ["check", "--python", EVIL],
        ["check", "--fixes", EVIL],
        ["check", f"--{EVIL}"],
        ["check", "--fault", EVIL],
        ["check", "--no-fault", EVIL],
        [EVIL],
        ["compat", EVIL],
        ["hook", "status", "--python", EVIL],
        ["upstream", "scan", "--repo", EVIL],
        ["validate", "--source", EVIL],
        ["run", "--", EVIL],
    ],
)
def test_what_the_command_line_says_is_repeated_on_one_line(run: Runner, words: list[str]) -> None:
    ran = run(*words)
    assert ran.status in (2, 3, 4)
    assert_not_forged(ran)


def test_the_command_line_of_another_process(run: Runner) -> None:
    code = "import time; print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code, EVIL], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        ran = run("hook", "status", "--pid", str(child.pid))
        assert "verdict: clean" in ran.text
        assert_not_forged(ran)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()


def test_a_reply_of_another_interpreter(run: Runner, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nprintf 'oh\\n{FORGED}\\n\\033[2J' >&2\nexit 1\n")
    script.chmod(0o755)
    for words in (("check",), ("hook", "status")):
        ran = run(*words, "--python", script)
        assert ran.status == 4
        assert_not_forged(ran)
