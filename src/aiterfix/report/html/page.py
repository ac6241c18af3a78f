"""Elements whose text is escaped where they are made, and the page around them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from aiterfix._version import __version__
from aiterfix.storage.text import printable


class Markup(str):
    """Text that is HTML already. Made by `element` alone, so that nothing else goes in unescaped."""

    __slots__ = ()


_VOID = frozenset({"br", "meta", "rect", "line", "path"})


def element(tag: str, *children: Markup | str | Iterable[Markup | str] | None, **attributes: str | float) -> Markup:
    """An element. Text in it, and in its attributes, is escaped; what is None is left out.

    Args:
        children: elements and text, or several of them.
        attributes: ``class_`` for ``class``; an underscore inside stands for a hyphen.
    """
    named = "".join(f' {k.rstrip("_").replace("_", "-")}="{escaped(str(v))}"' for k, v in attributes.items())
    if tag in _VOID and not children:
        return Markup(f"<{tag}{named}/>")
    inside = "".join(_flat(children))
    return Markup(f"<{tag}{named}>{inside}</{tag}>")


def _flat(children: Iterable[object]) -> Iterable[str]:
    for child in children:
        if isinstance(child, Markup):
            yield child
        elif isinstance(child, str):
            yield escaped(child)
        elif isinstance(child, Iterable):
            yield from _flat(child)


def escaped(text: str) -> str:
    """Text as HTML shows it: what would command a browser, or hide, is visible instead."""
    return html.escape(printable(text), quote=True)


def table(
    head: Sequence[str], rows: Iterable[Sequence[Markup | str]], *, caption: str = "", class_: str = ""
) -> Markup:
    """A table; the first cell of a row is its head. A cell that is a ``td`` or ``th`` already stays one."""
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else None,
            element("thead", element("tr", (element("th", h, scope="col") for h in head))),
            element("tbody", (element("tr", _cells(row)) for row in rows)),
            class_=class_,
        ),
        class_="wide",
    )


def _cells(row: Sequence[Markup | str]) -> Iterable[Markup]:
    for i, cell in enumerate(row):
        if isinstance(cell, Markup) and cell.startswith(("<td", "<th")):
            yield cell
        else:
            yield element("td", cell) if i else element("th", cell, scope="row")


def document(title: str, *body: Markup | Iterable[Markup] | None) -> str:
    """A whole page, in ASCII: it reads the same whatever encoding is guessed for it.

    Args:
        title: for the window.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    page = element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=policy),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", title),
            element("style", Markup(_STYLE.read_text("utf-8"))),
        ),
        element("body", element("main", *body), element("footer", f"aiterfix {__version__}")),
        lang="en",
    )
    return ("<!DOCTYPE html>\n" + page + "\n").encode("ascii", "xmlcharrefreplace").decode()


_STYLE = Path(__file__).with_name("style.css")
