"""Elements: text is escaped where they are made, whatever it holds."""

from __future__ import annotations

import re

import pytest

from aiterfix.report.html.page import document, element, table
from tests.report.html.reading import OUTSIDE, read, tables, text

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror=y>\"'&\x1b[31m\u202e"


@pytest.mark.parametrize("made", [element("p", HOSTILE), element("p", [HOSTILE]), element("p", title=HOSTILE)])
def test_text_and_attributes_are_escaped(made: str) -> None:
    assert "<script" not in made and "<img" not in made and made.count("<") == 2
    assert "\x1b" not in made and "\u202e" not in made and "\\x1b[31m\\u202e" in made


def test_a_page_holds_what_it_was_given_and_nothing_from_elsewhere() -> None:
    tree = read(document(HOSTILE.replace("src=", "").replace("onerror=", ""), element("p", "caf\xe9 \u2264 3")))
    assert text(tree.find("body/main")) == "caf\xe9 \u2264 3"  # type: ignore[arg-type]
    assert (tree.find("head/title").text or "").startswith("</title></style><script>")  # type: ignore[union-attr]
    assert text(tree.find("body/footer")).startswith("aiterfix ")  # type: ignore[arg-type]


def test_the_reader_would_notice() -> None:
    for bad in ("<img src='x'>", "<a href=y>", "url(x)", "<script>", "https://x", "<p onclick=x>"):
        assert OUTSIDE.search(bad)


def test_a_table_has_heads() -> None:
    made = table(("a", "b"), [("1", element("td", "2", class_="present"))], caption="c & d")
    page = read(document("t", made))
    assert tables(page) == [[["a", "b"], ["1", "2"]]]
    assert [c.get("scope") for c in page.iter("th")] == ["col", "col", "row"]
    assert [c.text for c in page.iter("caption")] == ["c & d"]


def test_the_style_knows_dark_paper_and_narrow() -> None:
    style = read(document("t")).find("head/style").text or ""  # type: ignore[union-attr]
    assert "@media (prefers-color-scheme: dark)" in style and "@media print" in style and "overflow-x: auto" in style
    assert style.count("{") == style.count("}") > 30
    # Every colour that is used is defined, for light, dark and paper alike.
    used = set(re.findall(r"var\((--\w+)\)", style))
    for part in re.findall(r":root \{([^}]*)\}", style):
        assert used == set(re.findall(r"(--\w+):", part)), part
