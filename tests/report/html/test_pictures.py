"""Pictures of small launches: each shows its fault, and nothing of it after the mend."""

from __future__ import annotations

import pytest

from aiterfix.faults.registry import load_faults
from aiterfix.report.html.page import document
from aiterfix.report.html.pictures import (
    FOREIGN,
    HIDDEN,
    KEY,
    MISSING,
    OUTSIDE,
    RIGHT,
    WRONG,
    figure,
    key,
    picture_of,
)
from tests.report.html.reading import read, text

DRAWN = [f.id for f in load_faults().judged if picture_of(f.id) is not None]


def test_every_fault_that_lets_a_kernel_run_has_one() -> None:
    without = {f.id for f in load_faults().judged} - {*DRAWN}
    assert without == {"instruction-shape", "launch-arguments", "small-chunk", "triton-3-5-1"}
    assert picture_of("no-such-fault") is None


@pytest.mark.parametrize("fault", DRAWN)
def test_before_something_is_wrong_and_after_nothing(fault: str) -> None:
    picture = picture_of(fault)
    assert picture is not None
    before = [c for row in picture.before for c in row]
    assert {*before} <= {RIGHT, HIDDEN, FOREIGN, MISSING, WRONG, OUTSIDE}
    assert {*before} & {FOREIGN, MISSING, WRONG}
    assert RIGHT in before, "a picture of which nothing is right shows nothing"
    if picture.after is None:
        return
    assert {c for row in picture.after for c in row} <= {RIGHT, HIDDEN, OUTSIDE}
    assert [len(row) for row in picture.after] == [len(row) for row in picture.before]
    # What is right before is right after; what is hidden stays so.
    for was, is_now in zip(picture.before, picture.after, strict=True):
        assert all(b == a for b, a in zip(was, is_now, strict=True) if b in (RIGHT, HIDDEN))


def test_a_store_past_its_row_lands_at_the_head_of_the_next() -> None:
    picture = picture_of("column-bound")
    assert picture is not None and picture.beyond == 1
    width, over = 10, 2  # blocks of 4: 12 columns are written
    assert picture.before[0] == (RIGHT,) * width
    for row in picture.before[1:-1]:
        assert row == (FOREIGN,) * over + (RIGHT,) * (width - over)
    assert picture.before[-1] == (FOREIGN,) * over + (OUTSIDE,) * (width - over)


def test_rows_of_one_sequence_see_one_column_more_each() -> None:
    picture = picture_of("ragged-causal-bound")
    assert picture is not None and picture.after is not None
    assert [row.count(RIGHT) for row in picture.after] == [6, 7, 8]
    sees = [row.count(RIGHT) + row.count(WRONG) for row in picture.before]
    assert sees == [8, 7, 6], "the other way about"


@pytest.mark.parametrize("fault", DRAWN)
def test_a_figure_says_that_it_is_drawn_and_reads_without_colour(fault: str) -> None:
    picture = picture_of(fault)
    assert picture is not None
    tree = read(document("t", key(), figure(picture)))
    assert ", not measured. " in text(tree.find(".//figcaption"))  # type: ignore[arg-type]
    pictures = tree.findall(".//figure//svg")
    assert len(pictures) == (2 if picture.after is not None else 1)
    signs = [t.text for t in pictures[0].iter("text") if t.text in ("x", "?", "!")]
    bad = [c for row in picture.before for c in row if c in (FOREIGN, MISSING, WRONG)]
    assert len(signs) == len(bad)
    assert [t.text for t in pictures[0].iter("text")].count("beyond") == picture.beyond
    assert all(p.get("role") == "img" and "row 0: " in text(p) for p in pictures)
    assert [text(li) for li in tree.findall(".//li")] == [
        f"{sign}{said}" for sign, said in zip(("", "", "x", "?", "!"), KEY.values(), strict=True)
    ]


def test_a_mend_that_refuses_shows_no_launch() -> None:
    picture = picture_of("block-paging")
    assert picture is not None and picture.after is not None
    tree = read(document("t", figure(picture, refused=True)))
    assert len(tree.findall(".//figure//svg")) == 1 and "no launch: the function raises" in text(tree)
