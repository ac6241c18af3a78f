"""Exact byte positions. ``ast`` counts UTF-8 bytes within a line, so source stays bytes throughout."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")
_GAP_TOKEN = re.compile(
    rb"(?P<comment>#[^\r\n]*)|(?P<punctuation>[(),=\[\]:])|(?P<space>[ \t\f\r\n]+|\\\r?\n)|(?P<other>.)"
)
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Span:
    """Half-open range of byte offsets into a file."""

    start: int
    end: int


@dataclass(frozen=True)
class Edit:
    """Replace a range of a text."""

    span: Span
    text: bytes


def splice(text: bytes, edits: Sequence[Edit]) -> bytes:
    """Apply ascending, non-overlapping edits."""
    parts = []
    position = 0
    for e in edits:
        assert position <= e.span.start <= e.span.end
        parts += [text[position : e.span.start], e.text]
        position = e.span.end
    parts.append(text[position:])
    return b"".join(parts)


class Lines:
    """Maps ``ast`` positions to byte offsets of one file."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.starts = [0, *(m.end() for m in _LINE_END.finditer(text))]
        # A byte-order mark is no column to the parser.
        self._bom = len(_BOM) if text.startswith(_BOM) else 0

    def offset(self, line: int, column: int) -> int:
        """Byte offset of a 1-based line and a 0-based column in UTF-8 bytes."""
        return self.starts[line - 1] + column + (self._bom if line == 1 else 0)

    def span(self, node: ast.expr | ast.keyword) -> Span:
        """Where a node stands, enclosing parentheses not included."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        return Span(self.offset(node.lineno, node.col_offset), self.offset(node.end_lineno, node.end_col_offset))

    def line_start(self, offset: int) -> int:
        """Offset of the first byte of the line that holds ``offset``."""
        before = max(self.text.rfind(b"\n", 0, offset), self.text.rfind(b"\r", 0, offset))
        return before + 1

    def line_end(self, offset: int) -> int:
        """Offset just behind the last byte of that line, its line ending excluded."""
        m = _LINE_END.search(self.text, offset)
        return m.start() if m else len(self.text)

    def indentation(self, offset: int) -> bytes:
        """Leading blanks of the line that holds ``offset``."""
        start = self.line_start(offset)
        m = re.compile(rb"[ \t\f]*").match(self.text, start)
        assert m is not None
        return m.group()

    def newline(self) -> bytes:
        """The file's line ending: that of its first line, "\\n" for a file of one line."""
        m = _LINE_END.search(self.text)
        return m.group() if m else b"\n"


@dataclass(frozen=True)
class GapToken:
    """A punctuation mark or comment between two expressions."""

    kind: str
    text: bytes
    offset: int


def gap(text: bytes, span: Span) -> list[GapToken]:
    """Punctuation and comments of a range that holds no expression (blanks dropped).

    Raises:
        ValueError: the range holds something else, so positions were misunderstood.
    """
    tokens = []
    position = span.start
    while position < span.end:
        m = _GAP_TOKEN.match(text, position, span.end)
        if m is None or m.lastgroup == "other":
            raise ValueError(f"unexpected {text[position : position + 10]!r} between arguments")
        if m.lastgroup != "space":
            tokens.append(GapToken(str(m.lastgroup), m.group(), position))
        position = m.end()
    return tokens
