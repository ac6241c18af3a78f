"""What can be told of a machine by reading: GPUs that a driver lists, folders that cannot be written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aiterfix.installation.machine import gpus, obstacle_to_writing


def node(topology: Path, name: str, target: int) -> None:
    (topology / name).mkdir(parents=True)
    (topology / name / "properties").write_text(f"cpu_cores_count 0\ngfx_target_version {target}\nvendor_id 4098\n")


def test_gpus_are_told_by_their_instruction_set(tmp_path: Path) -> None:
    assert gpus(tmp_path / "nodes") is None, "no driver"
    node(tmp_path / "nodes", "0", 0)  # a processor
    assert gpus(tmp_path / "nodes") == ()
    for name, target in (("1", 90500), ("2", 90402), ("10", 90010)):
        node(tmp_path / "nodes", name, target)
    (tmp_path / "nodes/3").mkdir()  # one that tells nothing
    assert gpus(tmp_path / "nodes") == ("gfx950", "gfx942", "gfx90a")


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert obstacle_to_writing([tmp_path]) == ""
    assert obstacle_to_writing([]) == ""
    shut = tmp_path / "shut"
    shut.mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, *more, **rest: path != shut and real(path, *more, **rest))
    assert obstacle_to_writing([tmp_path, shut]) == f"{shut} is not writable for this user"
    monkeypatch.setattr(os, "access", lambda *more, **rest: False)
    assert "is not writable" in obstacle_to_writing([shut])
    assert obstacle_to_writing([tmp_path / "nowhere"]) == f"{tmp_path}/nowhere: No such file or directory"
