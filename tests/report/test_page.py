"""What a page makes of names that would forge a line or command a terminal."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiterfix.cli import output
from aiterfix.report.page import Coloured, Page
from aiterfix.report.terminal import table
from aiterfix.storage.text import printable

EVERYTHING = st.text(st.characters(), max_size=40)  # surrogates too, as of names that are no UTF-8
FORGING = {
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\x1b": "\\x1b",
    "\x7f": "\\x7f",
    "\x9b": "\\x9b",
    "\u2028": "\\u2028",
}


def test_every_character_that_is_not_printed_becomes_an_escape() -> None:
    for number in range(sys.maxunicode + 1):
        shown = printable(chr(number))
        if unicodedata.category(chr(number))[0] == "C" or (
            unicodedata.category(chr(number))[0] == "Z" and number != 32
        ):
            assert shown.startswith("\\") and shown.isascii() and len(shown) > 1
        else:
            assert shown == chr(number)


@pytest.mark.parametrize("character", [*FORGING, *map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))])
def test_what_forges_is_named(character: str) -> None:
    assert printable(f"a{character}b") == f"a{FORGING.get(character, chr(92) + f'u{ord(character):04x}')}b"


@given(EVERYTHING)
def test_twice_is_once(text: str) -> None:
    assert printable(printable(text)) == printable(text)
    printable(text).encode("utf-8")  # strict: what is no character is an escape too


@given(st.lists(st.one_of(EVERYTHING, st.tuples(EVERYTHING, st.builds(Coloured, EVERYTHING, st.just(""))))))
def test_a_row_is_a_line(rows: list[str | tuple[str | Coloured, ...]]) -> None:
    text = str(Page(rows))
    assert text.count("\n") == len(rows)
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == len(rows)


def test_only_our_own_colours_reach_a_terminal() -> None:
    page = Page([("verdict: ", Coloured("\x1b[32mclean", "31"), "\x1b[0m")])
    assert str(page) == "verdict: \x1b[31m\\x1b[32mclean\x1b[0m\\x1b[0m\n"


@given(st.lists(st.tuples(EVERYTHING, EVERYTHING), min_size=1))
def test_a_row_of_a_table_is_a_line(rows: list[tuple[str, str]]) -> None:
    assert len(table(rows)) == len(rows)
    assert all(row.isprintable() for row in table(rows))


def test_text_cannot_be_written_by_mistake() -> None:
    with pytest.raises(TypeError, match="rows"):
        Page("forgotten\n")
    with pytest.raises(TypeError, match="pages"):
        output.write("forgotten\n")  # type: ignore[arg-type]
