"""What recorded runs say of mends that are made together, and of one that failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.history import known
from aiterfix.judge.shown import mend_shown, not_offered, shown_as_it_is
from aiterfix.validation.evidence import Evidence, Outcome, keep, lines_of, names_digest
from aiterfix.validation.stores import NAME, may_forbid, user_folder

ORIGINAL = "aa" * 32
ASKED = ("column-bound", "output-rank", "row-offset-32")


def run(text: str, mends: tuple[str, ...], bound: Outcome, row: Outcome, **more: object) -> Evidence:
    ran = ("3.7.1", "emulator", "quick", 40, names_digest(["a"]), 0)
    faults: tuple[tuple[str, Outcome], ...] = (("column-bound", bound), ("row-offset-32", row))
    return replace(Evidence(text, ORIGINAL, mends, *ran, faults, "0.2.0", "2026-08-22"), **more)  # type: ignore[arg-type]


BEFORE = run(ORIGINAL, (), "failed", "failed")
ALONE = run("bb" * 32, ("column-bound",), "passed", "failed")
BOTH = run("cc" * 32, ("column-bound", "row-offset-32"), "passed", "passed")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITERFIX_CACHE", str(tmp_path))


def kept(*runs: Evidence) -> None:
    for one in runs:
        keep(one)


def test_a_mend_is_shown_by_runs_of_what_would_be_made_with_it() -> None:
    assert mend_shown("column-bound", ORIGINAL, ASKED) == "not shown"
    kept(BEFORE, ALONE)
    assert mend_shown("column-bound", ORIGINAL, ["column-bound"]) == "shown"
    assert mend_shown("row-offset-32", ORIGINAL, ["row-offset-32"]) == "not shown"
    kept(BOTH)
    assert mend_shown("row-offset-32", ORIGINAL, ASKED) == mend_shown("column-bound", ORIGINAL, ASKED) == "shown"
    assert mend_shown("row-offset-32", ORIGINAL, ["row-offset-32"]) == "not shown"  # alone it would be another text
    assert mend_shown("output-rank", ORIGINAL, ASKED) == "not shown"  # no run of a kernel shows a wrapper's refusal
    assert mend_shown("column-bound", "dd" * 32, ASKED, lines_of([BEFORE, BOTH])) == "not shown"


def test_runs_of_a_mend_that_is_written_in_another_way_today_show_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept(BEFORE, BOTH)
    made = {"column-bound", "row-offset-32"}
    for today, says in ((BOTH.text_sha256, "shown"), ("ee" * 32, "not shown")):
        facts = {"mends": {ORIGINAL: {"sha256": today, "steps": [[fault, []] for fault in sorted(made)]}}}
        monkeypatch.setattr(known, "texts", lambda digest, facts=facts: facts)
        assert mend_shown("row-offset-32", ORIGINAL, ASKED) == says
    kept(replace(BOTH, failed=1))
    assert not_offered(ORIGINAL, ASKED) == {}, "what failed is not what would be made"


@pytest.mark.parametrize(
    ("record", "may"),
    [
        (BEFORE, False),
        (replace(BEFORE, failed=3), False),
        (BOTH, False),
        (ALONE, False),  # what it did not mend failed, as before
        (replace(BOTH, failed=1), True),
        (replace(BOTH, faults=(("column-bound", "failed"),)), True),
    ],
)
def test_records_are_read_with_care_only_where_one_may_forbid_a_mend(record: Evidence, may: bool) -> None:
    kept(record)
    assert may_forbid(ORIGINAL) is may
    assert may_forbid("dd" * 32) is False
    assert may or not_offered(ORIGINAL, ASKED) == {}


@pytest.mark.parametrize("line", [b"", b"{}", b"[" * 100000, b'{"failed": 0, "faults": [1], "mends": ["a"]}', b"\xff"])
def test_a_line_that_is_not_understood_may_forbid(line: bytes) -> None:
    kept(BOTH)
    place = user_folder() / NAME
    place.write_bytes(line + b" " + ORIGINAL.encode())
    assert may_forbid(ORIGINAL)
    place.unlink()
    place.mkdir()
    assert may_forbid(ORIGINAL), "something else stands in its place"


def test_what_failed_is_not_offered_and_the_rest_is_asked_about_anew() -> None:
    kept(BEFORE, ALONE, BOTH)
    assert not_offered(ORIGINAL, ASKED) == {} == not_offered("", ASKED)
    kept(replace(BOTH, faults=(("column-bound", "passed"), ("row-offset-32", "failed"))))
    reason = "a recorded run of the mended text failed (quick set, emulator, Triton 3.7.1, 2026-08-22)"
    assert not_offered(ORIGINAL, ASKED) == {"row-offset-32": reason}
    assert not_offered(ORIGINAL, ["column-bound"]) == {}
    kept(replace(ALONE, failed=2, suite="full"))
    assert not_offered(ORIGINAL, ASKED) == {
        "row-offset-32": reason,
        "column-bound": reason.replace("quick", "full"),
    }


def test_a_text_that_is_there_says_what_was_taken_out_of_it() -> None:
    assert shown_as_it_is("column-bound", BOTH.text_sha256) == "not shown"
    noted = lines_of([BEFORE, BOTH])
    assert shown_as_it_is("column-bound", BOTH.text_sha256, noted) == "shown"
    assert shown_as_it_is("block-paging", BOTH.text_sha256, noted) is None
    assert shown_as_it_is("column-bound", BOTH.text_sha256, lines_of([BOTH])) == "not shown"
    assert shown_as_it_is("row-offset-32", BOTH.text_sha256, lines_of([BEFORE, replace(BOTH, failed=1)])) == "failed"
