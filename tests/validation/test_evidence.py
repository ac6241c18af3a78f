from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.validation.evidence import (
    Evidence,
    evidence_folders,
    evidence_of,
    keep,
    names_digest,
    read_evidence,
    user_folder,
)

TEXT = "ab" * 32
RUN = Evidence(
    text_sha256=TEXT,
    mends=("column-bound", "row-offset-32"),
    triton="3.6.0+rocm7.git1",
    device="emulator",
    suite="quick",
    scenarios=36,
    names_sha256=names_digest(["a", "b"]),
    failed=0,
    version="0.2.0",
    date="2026-08-22",
)


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    keep(RUN, tmp_path)
    failed = replace(RUN, triton="3.5.1", failed=24)
    keep(failed, tmp_path)
    assert set(evidence_of(TEXT, [tmp_path])) == {RUN, failed}
    assert (RUN.outcome, failed.outcome) == ("passed", "failed")
    assert evidence_of("00" * 32, [tmp_path]) == ()
    assert not list(tmp_path.rglob(".*"))


def test_a_later_run_of_the_same_replaces_the_earlier_one(tmp_path: Path) -> None:
    keep(RUN, tmp_path)
    again = replace(RUN, date="2026-09-01", failed=3)
    keep(again, tmp_path)
    assert evidence_of(TEXT, [tmp_path]) == (again,)


def test_several_folders_are_read_in_order_and_a_run_counts_once(tmp_path: Path) -> None:
    shipped, tree, own = (tmp_path / name for name in ("shipped", "tree", "own"))
    full = replace(RUN, suite="full")
    keep(RUN, shipped)
    keep(RUN, tree)
    keep(full, own)
    assert evidence_of(TEXT, [shipped, tree, tmp_path / "absent", own]) == (RUN, full)


def test_the_names_of_scenarios_tell_sets_apart_but_not_orders() -> None:
    assert names_digest(["a", "b"]) == names_digest(["b", "a"])
    assert len({names_digest(n) for n in (["a"], ["a", "b"], ["ab"])}) == 3


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda said: said | {"format": 2}, "is not of format 1"),
        (lambda said: [said], "is not of format 1"),
        (lambda said: {k: v for k, v in said.items() if k != "triton"}, "`triton`"),
        (lambda said: said | {"triton": ""}, "`triton`"),
        (lambda said: said | {"scenarios": "36"}, "`scenarios`"),
        (lambda said: said | {"failed": False}, "`failed`"),
        (lambda said: said | {"mends": [1]}, "`mends"),
        (lambda said: said | {"mends": ["row-offset-32", "column-bound"]}, "`mends"),
        (lambda said: said | {"suite": "scenario"}, "`suite`"),
        (lambda said: said | {"names_sha256": "../x"}, "`names_sha256`"),
        (lambda said: said | {"scenarios": 0}, "`scenarios`"),
        (lambda said: said | {"failed": 37}, "counts do not fit"),
        (lambda said: said | {"failed": 3}, "its outcome is not"),
        (lambda said: said | {"unheard": 1}, "`unheard`"),
        (lambda said: said | {"text_sha256": "00" * 32}, "something else than its place"),
        (lambda said: said | {"mends": []}, "something else than its place"),
        (lambda said: said | {"triton": "3.5.1"}, "something else than its place"),
    ],
)
def test_a_record_that_does_not_check_out_is_not_believed_with_a_reason(
    damage: Change, reason: str, tmp_path: Path
) -> None:
    path = keep(RUN, tmp_path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    found, (refused,) = read_evidence(TEXT, [tmp_path])
    assert found == () and refused.path == path and reason in refused.reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"format": 1, "tri', "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 50_000 + b"]" * 10, "nested deeper"),
        (b'{"format": 1, "scenarios": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b" " * 70_000, "has more than"),
    ],
)
def test_damaged_and_hostile_files_are_not_believed(data: bytes, reason: str, tmp_path: Path) -> None:
    path = keep(RUN, tmp_path)
    path.write_bytes(data)
    assert reason in read_evidence(TEXT, [tmp_path])[1][0].reason
    assert evidence_of(TEXT, [tmp_path]) == ()
    path.unlink()
    path.mkdir()
    assert "is a folder, not a regular file" in read_evidence(TEXT, [tmp_path])[1][0].reason


def test_the_user_s_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "own"))
    assert user_folder() == tmp_path / "own" / "evidence"
    assert evidence_folders()[-1] == user_folder() and evidence_folders(tmp_path / "tree")[1] == tmp_path / "tree"
    keep(RUN)
    assert evidence_of(TEXT) == (RUN,)


def test_reading_evidence_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, aiterfix.validation.evidence as e; e.evidence_of('0' * 64)\n"
        "print(sorted(set(sys.modules) & {'numpy', 'torch', 'triton', 'tinygrad', 'elftools', 'aiterfix.gfx950'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_folder_that_cannot_be_read_is_no_record(tmp_path: Path) -> None:
    (tmp_path / TEXT).write_text("a file where a folder should be")
    assert read_evidence(TEXT, [tmp_path, tmp_path / "absent"]) == ((), ())
