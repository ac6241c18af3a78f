"""Text for people, as rows: each ends as one line, whatever names it was made of.

A version, a path or an error text may hold line ends, escapes and direction marks that would forge a line or command
a terminal. Commands print pages and nothing else (`aiterfix.cli.output`), so there is one place that makes a row
printable, and none that could forget to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from aiterfix.storage.text import printable


class Coloured(NamedTuple):
    """Part of a row that stands out on a terminal; made by `aiterfix.report.terminal.colour`.

    Attributes:
        code: of the colour, as terminals number them; empty for none.
    """

    text: str
    code: str

    def __str__(self) -> str:
        return self.text


Row = str | tuple[str | Coloured, ...]
"""One line: text, or pieces of it."""


class Page:
    """Rows for people.

    Args:
        rows: without line ends; one that is in a row is shown as an escape.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        if isinstance(rows, str):
            raise TypeError("a page is made of rows, not of text")
        self.rows = tuple(rows)

    @classmethod
    def of_lines(cls, text: str) -> Page:
        """Text that was laid out in lines by this program, such as a help text."""
        return cls(text.splitlines())

    def __add__(self, other: Page) -> Page:
        """One page above another."""
        return Page((*self.rows, *other.rows))

    def __str__(self) -> str:
        """As it is written, the last line end included."""
        return "".join(f"{line(row)}\n" for row in self.rows)


def line(row: Row) -> str:
    """A row as it is written, without a line end."""
    pieces = (row,) if isinstance(row, str) else row
    return "".join(_painted(p) if isinstance(p, Coloured) else printable(p) for p in pieces)


def _painted(piece: Coloured) -> str:
    text = printable(piece.text)
    return f"\x1b[{piece.code}m{text}\x1b[0m" if piece.code else text
