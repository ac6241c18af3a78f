"""The kernel in Triton's interpreter against the reference, in child processes (the switch is read at import)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHECK = Path(__file__).with_name("paged_mqa_logits_check.py")
KERNEL = CHECK.parents[2] / "kernels" / "paged_mqa_logits.py"
PARTS = 3

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "triton")), reason="torch and triton are needed"
)


Interpret = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def interpret(torch_python: str) -> Interpret:
    """Runs the checking program on the CPU."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [torch_python, str(CHECK), "--device", "cpu", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


@pytest.mark.parametrize("part", range(PARTS))
def test_every_scenario_is_right(interpret: Interpret, part: int) -> None:
    finished = interpret("--only", str(part), str(PARTS))
    assert finished.stdout, finished.stderr[-2000:]
    report = json.loads(finished.stdout)
    assert report["failures"] == []
    assert finished.returncode == 0
    assert report["scenarios"] >= 15
    assert 0 < report["relative_error"] < 1e-6


SILENT_FAULTS = {
    # One bound less, or another: the check must see it, or it proves nothing.
    "bound": (
        "& (column < max_model_len)[:, None]\n                & (column[:, None] < scored",
        "& (column[:, None] < scored",
        "written at column",
    ),
    "seen": ("& (column[:, None] < scored[dot][None, :])", "", "hidden columns not -inf"),
    "off_by_one": (
        "length = context - next_n + dot_row + 1",
        "length = context - next_n + dot_row + 2",
        "hidden columns not -inf",
    ),
    "relu": ("scores = tl.maximum(scores, 0.0)", "scores = tl.abs(scores)", "relative error"),
    "scale": ("logits = logits * scale[:, None]", "logits = logits", "relative error"),
    "copied_tile": (
        "keys.load([block.to(tl.int32), begin, 0])",
        "keys.load([block.to(tl.int32), 0, 0])",
        "relative error",
    ),
    # Tiles that nobody takes keep the sentinel.
    "last_share": (
        "stop = tl.where(after == splits, tiles, ",
        "stop = tl.where(after < 0, tiles, ",
        "relative error inf",
    ),
    "share": ("- LEAD * after) * share_scale", "- LEAD * (after + 9)) * share_scale", "relative error inf"),
}
FATAL_FAULTS = {
    "rows": (
        "sequence = (program % groups // ROW_GROUPS).to(tl.int64)",
        "sequence = program % groups // ROW_GROUPS",
    ),
    "blocks": (
        "block = tl.load(table_row + index, mask=(column < end) & (index < table_width), other=0).to(tl.int64)",
        "block = tl.load(table_row + index, mask=(column < end) & (index < table_width), other=0)",
    ),
}


def with_fault(before: str, after: str, file: Path) -> Path:
    """The kernel with one part of its source replaced."""
    source = KERNEL.read_text(encoding="utf-8")
    assert source.count(before) == 1
    file.write_text(source.replace(before, after), encoding="utf-8")
    return file


def test_faults_are_seen(interpret: Interpret, tmp_path: Path) -> None:
    files = [with_fault(*fault[:2], tmp_path / f"{name}.py") for name, fault in SILENT_FAULTS.items()]
    finished = interpret("--faults", "--kernel", *map(str, files))
    assert finished.stdout, finished.stderr[-2000:]
    reports = [json.loads(line) for line in finished.stdout.splitlines()]
    assert len(reports) == len(files)
    for report, (_, _, said) in zip(reports, SILENT_FAULTS.values(), strict=True):
        assert said in str(report["failures"]), report
    assert finished.returncode == 1


@pytest.mark.parametrize("name", FATAL_FAULTS)
def test_a_32_bit_offset_is_seen(interpret: Interpret, name: str, tmp_path: Path) -> None:
    """It wraps, and the interpreter follows it out of the tensor: the process dies of it, or the logits are wrong."""
    finished = interpret("--faults", "--kernel", str(with_fault(*FATAL_FAULTS[name], tmp_path / "kernel.py")))
    assert finished.returncode < 0 or '"failed": 0' not in finished.stdout
    assert finished.returncode != 0
