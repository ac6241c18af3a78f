"""Lengths times block sizes: how many columns a row needs behind its width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiterfix.report.html.page import Markup, document, element, table


class Need(NamedTuple):
    """What one length and block size need.

    Attributes:
        length: ``max_model_len``, columns.
        block: tokens in a KV block.
        columns: that each row needs behind its width.
        exact: whether fewer would not do.
        understood: whether the kernels are.
    """

    length: int
    block: int
    columns: int
    exact: bool
    understood: bool = True


_SHADES = ((128, "heat3"), (64, "heat2"), (1, "heat1"))


def need_map(needs: Sequence[Need], evidence: str = "") -> Markup:
    """A row a length, a column a block size."""
    lengths, blocks = dict.fromkeys(n.length for n in needs), dict.fromkeys(n.block for n in needs)
    known = {(n.length, n.block): n for n in needs}
    rows = [[str(length), *(_cell(known.get((length, block))) for block in blocks)] for length in lengths]
    said = (
        "Columns of float32 that each row needs behind max_model_len; <= is a bound, which no context length exceeds."
    )
    return table(
        ["max_model_len", *(f"block {b}" for b in blocks)], rows, caption=f"{said} {evidence}", class_="numbers"
    )


def _cell(need: Need | None) -> Markup | str:
    if need is None:
        return ""
    shade = next((name for least, name in _SHADES if need.columns >= least), "")
    text = str(need.columns) if need.exact or not need.columns else f"<= {need.columns}"
    return element("td", text if need.understood else f"{text}, not understood", class_=shade)


def padding_page(source: str, needs: Sequence[Need], evidence: Sequence[str]) -> str:
    """The page of ``aiterfix padding --table --format html``.

    Args:
        source: where the kernels stand.
        needs: of every length and block size.
        evidence: the kinds that the numbers rest on.
    """
    said = f"Rests on: {', '.join(evidence)}."
    return document(
        "aiterfix padding",
        element("h1", "Padding columns by length and block size"),
        element("p", f"Kernels: {source}", class_="faint"),
        need_map(needs, said),
    )
