"""Text for a terminal: colour, and tables no wider than it. Elsewhere text is plain, and a row is one line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TextIO

from aiterfix.report.page import Coloured
from aiterfix.storage.text import printable

_GAP = "  "
_NARROWEST = 12


class Kept(io.StringIO):
    """In the place of stdout where a report goes to a file: never coloured, and its lines are of any width."""


def colour(text: str, code: str) -> Coloured:
    """Text in a terminal colour, where it is wanted: ``NO_COLOR`` and ``FORCE_COLOR`` count unless they are empty, the
    first before the second; without them stdout is asked whether it is a terminal, and a ``dumb`` one has none."""
    if isinstance(sys.stdout, Kept) or os.environ.get("NO_COLOR"):
        wanted = False
    else:
        wanted = redraws(sys.stdout) or bool(os.environ.get("FORCE_COLOR"))
    return Coloured(text, code if wanted else "")


def redraws(stream: TextIO) -> bool:
    """Whether a line on a stream can be written over, as progress is: a terminal, and none that is ``dumb``."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def hanging(head: str, text: str) -> list[str]:
    """Text behind a head, on a terminal broken at blanks to its width and set in below the head; a path or command that
    is longer than that stays whole, to be copied."""
    import textwrap

    width, start, text = terminal_width(), printable(head), printable(text)
    room = None if width is None else max(width - len(start), 2 * _NARROWEST)
    if room is None or len(text) <= room:
        return [f"{start}{text}"]
    first, *more = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{start}{first}", *(" " * len(start) + line for line in more)]


def table(
    rows: Iterable[Sequence[str]], *, right: Collection[int] = (), width: int | None = None, indent: int = 0
) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell.

    Args:
        rows: the first is the longest. The last cell of a shorter one takes what is left of its line.
        right: numbers of the columns that are aligned to the right.
        width: of a line, at most; by default that of the terminal, and none where stdout is no terminal. Cells of the
            widest columns are broken into several lines for it, as far as columns stay legible.
        indent: blanks before each line.
    """
    cells = [[printable(c) for c in r] for r in rows]  # before they are measured
    full = len(cells[0])
    # What decides the width of each column: not the cell that takes the rest of its line.
    sized = [r if len(r) == full else r[:-1] for r in cells]
    widths = [max(len(r[i]) for r in sized if i < len(r)) for i in range(full)]
    limit = terminal_width() if width is None else width
    _narrow(widths, None if limit is None else limit - indent)
    lines = []
    for row, own in zip(cells, sized, strict=True):
        broken = [_broken(cell, w) for cell, w in zip(own, widths, strict=False)]
        for n in range(max(map(len, broken), default=1)):
            parts = [c[n] if n < len(c) else "" for c in broken]
            shown = [
                p.rjust(w) if i in right else p.ljust(w) for i, (p, w) in enumerate(zip(parts, widths, strict=False))
            ]
            rest = row[len(own) :] if n == 0 else []
            lines.append((" " * indent + _GAP.join([*shown, *rest])).rstrip())
    return lines


def terminal_width() -> int | None:
    """Columns; None where stdout is no terminal, or one that does not say (it then answers 0)."""
    return (os.get_terminal_size(sys.stdout.fileno()).columns or None) if sys.stdout.isatty() else None


def _narrow(widths: list[int], limit: int | None) -> None:
    """Take from the widest columns until a line fits."""
    while limit is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > limit and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _broken(cell: str, width: int) -> list[str]:
    """A cell as lines, broken at blanks where there are any."""
    if len(cell) <= width:
        return [cell]
    import textwrap

    return textwrap.wrap(cell, width, break_on_hyphens=False) or [""]
