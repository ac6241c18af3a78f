"""Rows and columns of the output of a small launch, as a kernel with a fault leaves them and as a mended one does.

Each picture is worked out from the fault's arithmetic on a launch of a few rows, so small that it fits a page. It shows
what goes wrong where; it is drawn, and measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from aiterfix.report.html.page import Markup, element

RIGHT, HIDDEN, FOREIGN, MISSING, WRONG, OUTSIDE = "right", "hidden", "foreign", "missing", "wrong", "outside"
KEY = {
    RIGHT: "the row's own logit, right",
    HIDDEN: "not visible to the row, as it should be",
    FOREIGN: "written by another row, or past the output",
    MISSING: "never written, or -inf where it should not be",
    WRONG: "computed from other keys, or visible where it should be hidden",
}
_SIGNS = {FOREIGN: "x", MISSING: "?", WRONG: "!"}
"""Beside the colour, for print and for eyes that tell no red from green."""

Grid = tuple[tuple[str, ...], ...]


class Picture(NamedTuple):
    """A launch, before and after.

    Attributes:
        before: state of each column of each row.
        after: the same with the mend; None where the mend refuses the launch.
        beyond: how many rows at the end are no part of the output.
    """

    launch: str
    before: Grid
    after: Grid | None
    said: str
    beyond: int = 0


def _grid(rows: int, columns: int, state: Callable[[int, int], str]) -> Grid:
    return tuple(tuple(state(r, c) for c in range(columns)) for r in range(rows))


def _all(rows: int, columns: int) -> Grid:
    return _grid(rows, columns, lambda r, c: RIGHT)


def _column_bound() -> Picture:
    rows, width, block = 3, 10, 4
    written = -(-width // block) * block  # columns that a row's stores cover
    reached = {r * width + c for r in range(rows) for c in range(width, written)}
    last = rows * width
    before = [*_grid(rows, width, lambda r, c: FOREIGN if r * width + c in reached else RIGHT)]
    before.append(tuple(FOREIGN if last + c in reached else OUTSIDE for c in range(width)))
    after = [*_all(rows, width), (OUTSIDE,) * width]
    return Picture(
        f"{rows} rows of {width} columns, blocks of {block}",
        tuple(before),
        tuple(after),
        f"Each row writes {written} columns. The last {written - width} land on the first columns of the next row, and "
        "those of the last row past the output: the line below it is memory of somebody else.",
        beyond=1,
    )


def _row_offset() -> Picture:
    rows, fits = 4, 2
    return Picture(
        f"{rows} rows, of which the place of row {fits} reaches 2^31 bytes",
        _grid(rows, 8, lambda r, c: RIGHT if r < fits else MISSING),
        _all(rows, 8),
        f"From row {fits} on the place does not fit in 32 bits: the row is never written, or, by the plain-Triton "
        "kernels, elsewhere.",
    )


def _cache_offset() -> Picture:
    rows, block, fits = 2, 4, 2
    return Picture(
        f"{rows} rows over blocks of {block}, of which block {fits} starts at 2^31 bytes of the cache",
        _grid(rows, 12, lambda r, c: RIGHT if c // block < fits else WRONG),
        _all(rows, 12),
        "Keys of blocks that lie past 2^31 bytes read as zeros, or from elsewhere: their columns score other tokens.",
    )


def _block_paging() -> Picture:
    block = 4
    # The table's entry `token` is taken for a block, of which its first token is read: right for token 0 alone.
    return Picture(
        f"2 rows over blocks of {block}, a cache that is not preshuffled",
        _grid(2, 12, lambda r, c: RIGHT if c == 0 else WRONG),
        _all(2, 12),
        "A token's position is looked up where its block's should be: only the very first token is found.",
    )


def _ragged_causal() -> Picture:
    next_n, length = 3, 8

    def seen(row: int) -> int:
        return length - (next_n - 1 - row)

    def before(row: int, column: int) -> str:
        sees = seen(next_n - 1 - row)  # the other way about
        if column < min(sees, seen(row)):
            return RIGHT
        return WRONG if column < sees else MISSING if column < seen(row) else HIDDEN

    return Picture(
        f"one sequence of {length} tokens with {next_n} rows (next_n)",
        _grid(next_n, length, before),
        _grid(next_n, length, lambda r, c: RIGHT if c < seen(r) else HIDDEN),
        "A later row should see one column more than the row before it. It sees one less.",
    )


def _empty_sequence() -> Picture:
    lengths = (6, 0, 4)
    return Picture(
        f"sequences of {', '.join(map(str, lengths))} tokens, one row each, with a schedule",
        _grid(3, 6, lambda r, c: HIDDEN if c >= lengths[r] else RIGHT if all(lengths[: r + 1]) else MISSING),
        _grid(3, 6, lambda r, c: RIGHT if c < lengths[r] else HIDDEN),
        "The schedule stops at the sequence without tokens: rows behind it are not computed.",
    )


def _output_rank() -> Picture:
    heads, rows, columns = 2, 3, 4
    # Row r is written at r x stride(0), which is `rows` rows further on in an output of (heads, rows, columns).
    written = {r * rows for r in range(rows)}
    before = _grid(
        heads * rows,
        columns,
        lambda r, c: RIGHT if r == 0 else FOREIGN if r in written else MISSING if r < rows else HIDDEN,
    )
    return Picture(
        f"an output of ({heads} heads, {rows} rows, {columns} columns), of which the first head's rows are written",
        (*before, (FOREIGN,) * columns),
        None,
        "The stride of the first axis is taken for the row's: row 1 lands on the rows of the next head, row "
        f"{rows - 1} past the output.",
        beyond=1,
    )


def _hidden_columns() -> Picture:
    next_n, length, stage = 3, 9, 8

    def seen(row: int) -> int:
        return length - (next_n - 1 - row)

    return Picture(
        f"one sequence of {length} tokens with {next_n} rows, stages of {stage} columns",
        _grid(next_n, length, lambda r, c: RIGHT if c < seen(r) else WRONG if c < stage else HIDDEN),
        _grid(next_n, length, lambda r, c: RIGHT if c < seen(r) else HIDDEN),
        "A column behind the end of a row holds a finite number where it should hold -inf.",
    )


_PICTURES: Mapping[str, Callable[[], Picture]] = {
    "block-paging": _block_paging,
    "cache-offset-32": _cache_offset,
    "column-bound": _column_bound,
    "empty-sequence-schedule": _empty_sequence,
    "hidden-columns": _hidden_columns,
    "output-rank": _output_rank,
    "ragged-causal-bound": _ragged_causal,
    "row-offset-32": _row_offset,
}


def picture_of(fault: str) -> Picture | None:
    """The picture of a fault; None for one that lets no kernel run, or is the compiler's."""
    make = _PICTURES.get(fault)
    return make() if make is not None else None


_CELL, _EDGE, _TOP = 26, 56, 22


def figure(picture: Picture, *, refused: bool = False) -> Markup:
    """Both grids side by side, and what they show.

    Args:
        refused: whether its mend here is a refusal, whatever the picture has.
    """
    after = None if refused else picture.after
    second = (
        element("p", "no launch: the function raises a ValueError first", class_="faint")
        if after is None
        else svg(after, picture.beyond)
    )
    return element(
        "figure",
        element(
            "div",
            element("div", element("p", "before"), svg(picture.before, picture.beyond)),
            element("div", element("p", "after the mend"), second),
            class_="pair",
        ),
        element("figcaption", f"Drawn for {picture.launch}, not measured. {picture.said}"),
    )


def svg(grid: Grid, beyond: int = 0) -> Markup:
    """A grid of rows and columns, of which the last ``beyond`` rows are no part of the output."""
    columns = max(map(len, grid))
    width, height = _EDGE + columns * _CELL + 2, _TOP + len(grid) * _CELL + 2
    said = "; ".join(f"row {i}: {', '.join(row)}" for i, row in enumerate(grid))
    return element(
        "svg",
        element("title", said),
        [element("text", str(c), x=_EDGE + c * _CELL + _CELL / 2, y=14, class_="over label") for c in range(columns)],
        list(_cells(grid, len(grid) - beyond)),
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
    )


def _cells(grid: Grid, rows: int) -> Iterator[Markup]:
    for r, row in enumerate(grid):
        y = _TOP + r * _CELL
        yield element("text", f"row {r}" if r < rows else "beyond", x=0, y=y + 17, class_="label")
        for c, state in enumerate(row):
            x = _EDGE + c * _CELL
            yield element("rect", x=x, y=y + 1, width=_CELL - 2, height=_CELL - 2, class_=state)
            if state in _SIGNS:
                on = "on" if state == FOREIGN else "over"
                yield element("text", _SIGNS[state], x=x + _CELL / 2 - 1, y=y + 17, class_=on)


def key() -> Markup:
    """What the states of a cell mean."""
    return element("ul", (element("li", _sample(state), text) for state, text in KEY.items()), class_="key")


def _sample(state: str) -> Markup:
    on = "on" if state == FOREIGN else "over"
    return element(
        "svg",
        element("rect", x=1, y=1, width=16, height=16, class_=state),
        element("text", _SIGNS[state], x=9, y=13, class_=on) if state in _SIGNS else None,
        viewBox="0 0 18 18",
        width=18,
        height=18,
        aria_hidden="true",
    )
