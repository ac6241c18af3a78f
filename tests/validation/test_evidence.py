from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.history.known import FILE
from aiterfix.storage.believed import notices
from aiterfix.validation.evidence import (
    Evidence,
    drop,
    evidence_of,
    keep,
    lines_of,
    names_digest,
    read_evidence,
    shown,
)
from aiterfix.validation.stores import NAME, evidence_folders, shipped_folder, user_folder

TEXT, ORIGINAL = "ab" * 32, "cd" * 32
RUN = Evidence(
    text_sha256=TEXT,
    original_sha256=ORIGINAL,
    mends=("column-bound", "row-offset-32"),
    triton="3.6.0+rocm7.git1",
    device="emulator",
    suite="quick",
    scenarios=36,
    names_sha256=names_digest(["a", "b"]),
    failed=0,
    faults=(("column-bound", "passed"), ("hidden-columns", "failed")),
    version="0.2.0",
    date="2026-08-22",
)


def test_what_is_kept_is_found(tmp_path: Path) -> None:
    keep(RUN, tmp_path)
    failed = replace(RUN, triton="3.5.1", failed=24)
    keep(failed, tmp_path)
    assert set(evidence_of(TEXT, [tmp_path])) == {RUN, failed}
    passed = replace(RUN, faults=tuple((fault, "passed") for fault, _ in RUN.faults))
    assert (passed.outcome, RUN.outcome, failed.outcome) == ("passed", "failed", "failed")
    assert evidence_of("00" * 32, [tmp_path]) == ()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert (RUN.of_fault("column-bound"), RUN.of_fault("small-chunk")) == ("passed", None)


def test_a_text_is_asked_about_as_it_stands_and_as_it_was_before_mends(tmp_path: Path) -> None:
    keep(RUN, tmp_path)
    before = replace(RUN, text_sha256=ORIGINAL, mends=(), faults=(("column-bound", "failed"),))
    keep(before, tmp_path)
    assert evidence_of(ORIGINAL, [tmp_path]) == (before,)
    assert evidence_of(TEXT, [tmp_path]) == (RUN,)
    assert set(read_evidence(ORIGINAL, [tmp_path])) == {before, RUN}


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


def test_records_that_a_tree_has_along_count_beside_the_stores(tmp_path: Path) -> None:
    full = replace(RUN, suite="full")
    keep(RUN, tmp_path)
    noted = lines_of([RUN, full, RUN])
    assert noted.count("\n") == 2
    assert evidence_of(TEXT, [tmp_path], noted=noted) == (RUN, full) == evidence_of(TEXT, [], noted=noted)
    assert read_evidence(ORIGINAL, [], noted=noted) == (RUN, full)
    assert read_evidence(TEXT, [], noted=noted[:-9]) == (RUN,)


BEFORE = replace(RUN, text_sha256=ORIGINAL, mends=(), faults=(("column-bound", "failed"), ("row-offset-32", "no code")))
AFTER = replace(RUN, faults=(("column-bound", "passed"), ("row-offset-32", "passed")))


@pytest.mark.parametrize(
    ("after", "before", "said"),
    [
        ([AFTER], [BEFORE], "shown"),
        ([AFTER], [], "not shown"),
        ([], [BEFORE], "not shown"),
        ([AFTER], [replace(BEFORE, faults=(("column-bound", "passed"),))], "not shown"),
        ([AFTER], [replace(BEFORE, triton="3.7.1")], "not shown"),
        ([replace(AFTER, mends=("row-offset-32",))], [BEFORE], "not shown"),
        ([replace(AFTER, faults=(("column-bound", "refused"),))], [BEFORE], "not shown"),
        ([replace(AFTER, faults=())], [BEFORE], "not shown"),
        ([replace(AFTER, faults=(("column-bound", "failed"),))], [BEFORE], "failed"),
        ([replace(AFTER, failed=1)], [BEFORE], "failed"),
        ([replace(AFTER, failed=1)], [], "failed"),
        ([AFTER, replace(AFTER, suite="full", failed=1)], [BEFORE], "failed"),
        ([replace(AFTER, failed=24)], [replace(BEFORE, failed=24)], "not shown"),
        ([replace(AFTER, failed=24)], [replace(BEFORE, failed=24, suite="full")], "failed"),
    ],
)
def test_a_mend_is_shown_by_a_failure_before_and_none_after(
    after: list[Evidence], before: list[Evidence], said: str
) -> None:
    assert shown("column-bound", after, before) == said
    assert shown("row-offset-32", [AFTER], [BEFORE]) == "shown"


def shipped_records() -> list[Evidence]:
    lines = (shipped_folder() / NAME).read_text().splitlines()
    records = [read_evidence(json.loads(line)["text_sha256"], [], noted=line) for line in lines]
    assert lines and all(len(found) == 1 for found in records)
    return [found[0] for found in records]


def test_what_is_shipped_shows_every_mend_that_it_is_about() -> None:
    shipped = shipped_records()
    assert not any(e.failed for e in shipped)
    for original in {e.original_sha256 for e in shipped}:
        (before,), after = evidence_of(original, [shipped_folder()]), [e for e in shipped if e.mends]
        mended = [e for e in after if e.original_sha256 == original]
        assert mended and before.mends == ()
        # A kernel that gives no code shows nothing of what was mended in it.
        silent = {"not shown"} if before.of_fault("instruction-shape") == "no code" else set()
        assert {shown(fault, mended, [before]) for e in mended for fault in e.mends} <= {"shown"} | silent


def test_runs_by_another_compiler_are_dropped_where_they_were_made_anew(tmp_path: Path) -> None:
    new, old, other = replace(RUN, triton="3.9.0"), RUN, replace(RUN, text_sha256="ef" * 32)
    for one in (new, old, other):
        keep(one, tmp_path)
    assert drop(tmp_path, {RUN.text_sha256, other.text_sha256}) == 0
    assert drop(tmp_path, {RUN.text_sha256, other.text_sha256}, [new]) == 1
    assert {e.triton for e in read_evidence(RUN.text_sha256, [tmp_path])} == {"3.9.0"}
    assert drop(tmp_path, {RUN.text_sha256}) == 1


NOT_RUN = frozenset(
    {
        "92e7945d8788",
        "9c34a737a373",
    }
)
"""First digits of released texts of which a record is still to be made; nothing is added here."""


def test_what_is_shipped_is_of_every_released_text_and_of_what_apply_writes_for_it() -> None:
    """By the recorded history, which a clone is held to elsewhere."""
    facts = json.loads(FILE.read_text())
    made = {(e.original_sha256, e.mends): e.text_sha256 for e in shipped_records()}
    written = {(d, tuple(sorted(f for f, _ in m["steps"]))): m["sha256"] for d, m in facts["mends"].items()}
    written |= {(digest, ()): digest for digest in (*facts["texts"], *facts["mends"])}
    assert {asked: made[asked] for asked in written if asked in made} == {a: w for a, w in written.items() if a in made}
    assert {digest[:12] for digest, mends in written.keys() - made.keys()} == NOT_RUN
    assert {(d, m) for d, m in made if d in facts["mends"]} <= written.keys()


def test_the_names_of_scenarios_tell_sets_apart_but_not_orders() -> None:
    assert names_digest(["a", "b"]) == names_digest(["b", "a"])
    assert len({names_digest(n) for n in (["a"], ["a", "b"], ["ab"])}) == 3


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "damage",
    [
        lambda said: said | {"format": 1},
        lambda said: [said],
        lambda said: {k: v for k, v in said.items() if k != "triton"},
        lambda said: said | {"triton": ""},
        lambda said: said | {"scenarios": "36"},
        lambda said: said | {"failed": False},
        lambda said: said | {"mends": [1]},
        lambda said: said | {"mends": ["row-offset-32", "column-bound"]},
        lambda said: said | {"suite": "scenario"},
        lambda said: said | {"names_sha256": "../x"},
        lambda said: said | {"scenarios": -1},
        lambda said: said | {"scenarios": 0},
        lambda said: said | {"fp_fusion": "off"},
        lambda said: said | {"failed": 37},
        lambda said: said | {"faults": [["column-bound", "perhaps"]]},
        lambda said: said | {"original_sha256": "ab" * 32},
        lambda said: said | {"mends": []},
        lambda said: said | {"unheard": 1},
    ],
)
def test_a_record_that_does_not_check_out_is_not_believed(damage: Change, tmp_path: Path) -> None:
    path = keep(RUN, tmp_path)
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))
    other = replace(RUN, triton="3.7.1")
    path.write_bytes(path.read_bytes() + b"\n" + keep(other, tmp_path / "other").read_bytes())
    assert read_evidence(TEXT, [tmp_path]) == (other,)


@pytest.mark.parametrize(
    "data",
    [
        b'{"format": 2, "tri',
        b"\xff\xfe",
        b"[" * 50_000 + b"]" * 10,
        b'{"format": 2, "scenarios": ' + b"9" * 5000 + b"}",
        b" " * 70_000,
    ],
)
def test_damaged_and_hostile_lines_are_not_believed(data: bytes, tmp_path: Path) -> None:
    path = keep(RUN, tmp_path)
    path.write_bytes(data + TEXT.encode())
    assert evidence_of(TEXT, [tmp_path]) == read_evidence(TEXT, [tmp_path]) == ()
    keep(RUN, tmp_path)
    assert read_evidence(TEXT, [tmp_path]) == (RUN,)


def test_the_user_s_place_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path / "own"))
    assert user_folder() == tmp_path / "own" / "evidence"
    assert evidence_folders()[-1] == user_folder()
    keep(RUN)
    assert evidence_of(TEXT) == (RUN,)


def test_reading_evidence_needs_nothing_but_the_standard_library() -> None:
    program = (
        "import sys, aiterfix.validation.evidence as e; e.evidence_of('0' * 64)\n"
        "print(sorted(set(sys.modules) & {'numpy', 'torch', 'triton', 'tinygrad', 'elftools', 'aiterfix.gfx950'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_store_that_cannot_be_read_is_no_record(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    assert read_evidence(TEXT, [tmp_path, tmp_path / "absent"]) == ()
    assert "is a folder, not a regular file" in notices()[0]
