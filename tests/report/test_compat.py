"""What people read of releases: wide enough to understand, narrow enough for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aiterfix.faults.base import Presence
from aiterfix.faults.registry import load_faults
from aiterfix.history.bounds import GuardCounts
from aiterfix.history.compat import compat
from aiterfix.history.milestones import fixes
from aiterfix.history.record import FileRecord, KernelRecord, RefRecord
from aiterfix.history.store import load_history, make_history
from aiterfix.report.compat import compat_text, fault_marks, releases_text

FAULTS = load_faults()
P, A, R, U = Presence.PRESENT, Presence.ABSENT, Presence.REFUSED, Presence.UNKNOWN


def shipped() -> list[str]:
    history = load_history()
    return str(releases_text(history, FAULTS, fixes(history.refs, FAULTS.judged))).splitlines()


def of(version: str) -> list[str]:
    history = load_history()
    return str(compat_text(compat(version), FAULTS, fixes(history.refs, FAULTS.judged))).splitlines()


def ref(name: str, day: int, presence: Sequence[Presence]) -> RefRecord:
    faults = ("output-rank", "hidden-columns")
    units = tuple(
        KernelRecord(f"k{i}", "gluon", 1, GuardCounts(1), {f.id: p if f.id in faults else A for f in FAULTS.judged})
        for i, p in enumerate(presence)
    )
    file = FileRecord("aiter/k.py", f"{day:064}", True, units)
    return RefRecord(name, f"2026-01-{day:02}T00:00:00+00:00", f"{day:040}", (file,))


def test_the_table_has_a_row_a_release_and_a_column_a_fault() -> None:
    lines = shipped()
    header = lines[0].split()
    assert header == ["release", "date", *fault_marks(FAULTS)]
    assert len(header) == 2 + len(FAULTS.judged)
    rows = {line.split()[0]: line.split() for line in lines[1 : lines.index("")]}
    history = load_history()
    assert set(rows) == {r.ref for r in history.everything if "/" not in r.ref and r.files}
    for r in history.everything:
        if r.ref in rows:
            counted = [str(r.having(f.id)) if r.having(f.id) else "-" for f in fault_marks(FAULTS).values()]
            assert rows[r.ref] == [r.ref, r.date[:10], *counted]
    assert any("10 releases up to v0.1.5.post4 hold none of the kernels" in line for line in lines)
    assert any("118 more tags" in line for line in lines)


@pytest.mark.parametrize("lines", [shipped(), of("v0.1.15.post3"), of("0.1.20.post1"), of("main")])
def test_lines_fit_and_say_to_which_date_they_hold(lines: list[str]) -> None:
    # The last one is a sentence that every answer ends with.
    assert max(map(len, lines[:-1])) <= 100
    assert "every tag up to 2026-08-20" in lines[-1]


def test_the_table_of_releases_fits_80_columns() -> None:
    lines = shipped()
    assert max(map(len, lines[: lines.index("")])) <= 80


def test_faults_that_make_logits_wrong_come_first_and_have_marks_of_their_own() -> None:
    marks = fault_marks(FAULTS)
    assert len(marks) == len(FAULTS.judged)
    decide = [f.consequence.decides for f in marks.values()]
    assert decide == sorted(decide, reverse=True)
    # Two with the same first letters are told apart.
    twice = fault_marks(type(FAULTS)((FAULTS.judged[0], FAULTS.judged[0])))
    assert list(twice) == ["bp", "block-paging"]


def test_what_is_refused_or_not_understood_is_no_number() -> None:
    history = make_history([ref("v1", 1, [P, P, A]), ref("v2", 2, [R, A, A]), ref("v3", 3, [U, P, A])], FAULTS)
    known = fixes(history.refs, FAULTS.judged)
    lines = str(releases_text(history, FAULTS, known)).splitlines()
    column = lines[0].split().index("or")
    assert [line.split()[column] for line in lines[1:4]] == ["2", "r", "?"]
    assert "    since v2 (2026-01-02); last with it v1; not understood: v3: k0" in lines
    assert "    since v2 (2026-01-02); last with it v3; lost again in v3: k1" in lines


def test_one_release_says_when_what_it_has_is_gone() -> None:
    text = "\n".join(of("v0.1.15.post3"))
    assert "  output-rank              present  in 5 of 7 kernels\n" in text
    assert "  row-offset-32            present  in 6 of 7 kernels\n" in text
    assert "gone since v0.1.18 (2026-07-20); last with it v0.1.17" in text
    assert "facts about other kernels, from reports, which nobody judges here:" in text
    assert "ROCm/aiter#5121" in text
    newest = "\n".join(of("main"))
    assert "row-offset-32            present  in 1 of 7 kernels\n" in newest
    assert "gone since v0.1.18" not in newest, "the one kernel that still has it was not rid of it"
