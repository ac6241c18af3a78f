"""Source bytes as Python decodes them: UTF-8, or what the file's coding cookie says."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Sequence

from aiterfix.source.locate import Edit, Span, splice


def declared_encoding(text: bytes) -> str:
    """The codec that Python reads a file with.

    Raises:
        SyntaxError: the cookie names no codec, or contradicts a byte-order mark.
    """
    # Most files have no cookie: a cheap look at the only lines that count.
    head = b"\n".join(text[:400].replace(b"\r", b"\n").split(b"\n", 2)[:2])
    if b"coding" not in head:
        return "utf-8"
    encoding, _ = tokenize.detect_encoding(
        io.BytesIO(text[:4096].replace(b"\r\n", b"\n").replace(b"\r", b"\n")).readline
    )
    return "utf-8" if encoding == "utf-8-sig" else encoding


def as_utf8(text: bytes) -> bytes:
    """The same text in UTF-8: what the parser's positions count in. The same object where it is UTF-8 already.

    Raises:
        UnicodeDecodeError: it is not in the encoding that it declares.
        SyntaxError: as `declared_encoding`.
    """
    encoding = declared_encoding(text)
    if encoding == "utf-8":
        text.decode("utf-8")
        return text
    return text.decode(encoding).encode("utf-8")


def in_own_encoding(text: bytes, edits: Sequence[Edit]) -> list[Edit] | None:
    """Edits of the UTF-8 form of a text as edits of its own bytes; None where those cannot be edited in place."""
    encoding = declared_encoding(text)
    if encoding == "utf-8":
        return list(edits)
    utf8 = as_utf8(text)
    try:
        found = [
            Edit(
                Span(*(len(utf8[:at].decode().encode(encoding)) for at in (e.span.start, e.span.end))),
                e.text.decode().encode(encoding),
            )
            for e in edits
        ]
        done = splice(text, found).decode(encoding).encode("utf-8") == splice(utf8, edits)
    except (UnicodeError, AssertionError):
        return None
    return found if done else None
