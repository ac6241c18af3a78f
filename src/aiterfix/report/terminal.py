"""Text for a terminal: colour, and tables no wider than it. Elsewhere text is plain, and a row is one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence

from aiterfix.report.page import Coloured
from aiterfix.storage.text import printable

_GAP = "  "
_NARROWEST = 12


def colour(text: str, code: str) -> Coloured:
    """Text in a terminal colour, where stdout is a terminal that wants colours."""
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return Coloured(text, code if wanted else "")


def table(rows: Iterable[Sequence[str]], *, right: Collection[int] = (), width: int | None = None) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell.

    Args:
        rows: the first is the longest. The last cell of a shorter one takes what is left of its line.
        right: numbers of the columns that are aligned to the right.
        width: of a line, at most; by default that of the terminal, and none where stdout is no terminal. Cells of the
            widest columns are broken into several lines for it, as far as columns stay legible.
    """
    cells = [[printable(c) for c in r] for r in rows]  # before they are measured
    full = len(cells[0])
    # What decides the width of each column: not the cell that takes the rest of its line.
    sized = [r if len(r) == full else r[:-1] for r in cells]
    widths = [max(len(r[i]) for r in sized if i < len(r)) for i in range(full)]
    _narrow(widths, _terminal_width() if width is None else width)
    lines = []
    for row, own in zip(cells, sized, strict=True):
        broken = [_broken(cell, w) for cell, w in zip(own, widths, strict=False)]
        for n in range(max(map(len, broken), default=1)):
            parts = [c[n] if n < len(c) else "" for c in broken]
            shown = [
                p.rjust(w) if i in right else p.ljust(w) for i, (p, w) in enumerate(zip(parts, widths, strict=False))
            ]
            rest = row[len(own) :] if n == 0 else []
            lines.append(_GAP.join([*shown, *rest]).rstrip())
    return lines


def _terminal_width() -> int | None:
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None


def _narrow(widths: list[int], limit: int | None) -> None:
    """Take from the widest columns until a line fits."""
    while limit is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > limit and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1


def _broken(cell: str, width: int) -> list[str]:
    """A cell as lines, broken at blanks where there are any."""
    if len(cell) <= width:
        return [cell]
    import textwrap

    return textwrap.wrap(cell, width) or [""]
