"""Take summands out of a sum, and find what stands around them, in the text of a file."""

from __future__ import annotations

import ast

from aiterfix.source.columns import NotExpressible
from aiterfix.source.locate import Edit, Lines, Span


class SumEditor:
    """Positions in the sums of one file."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.text = lines.text

    def drop(self, node: ast.expr, terms: set[ast.expr], edits: list[Edit]) -> bool:
        """Take terms out of a sum; whether nothing of it is left.

        Raises:
            NotExpressible: that cannot be done by cutting them out.
        """
        if node in terms:
            return True
        if not (isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub))):
            return False
        left, right = self.drop(node.left, terms, edits), self.drop(node.right, terms, edits)
        if left and right:
            return True
        if left or right:
            if isinstance(node.op, ast.Sub):
                raise NotExpressible("a term to be moved is subtracted, or something from it")
            span = self.lines.span(node)
            before, after = self.bracketed(node, node.left), self.bracketed(node, node.right)
            gone = Span(span.start, after.start) if left else Span(before.end, span.end)
            inner = before if left else after
            if b"#" in self.text[gone.start : inner.start] + self.text[inner.end : gone.end]:
                raise NotExpressible("a comment stands at a term to be moved")
            edits[:] = [e for e in edits if not (gone.start <= e.span.start and e.span.end <= gone.end)]
            edits.append(Edit(gone, b""))
        return False

    def bracketed(self, parent: ast.expr, operand: ast.expr) -> Span:
        """An operand of a binary operation, with the brackets around it."""
        assert isinstance(parent, ast.BinOp)
        outer, inner = self.lines.span(parent), self.lines.span(operand)
        # What an operation spans begins and ends with its operands' brackets.
        if operand is parent.left:
            depth = without_comments(self.text[outer.start : inner.start]).count(b"(")
            end = inner.end
            for _ in range(depth):
                end = self._after(end, b")")
            return Span(outer.start, end)
        depth = without_comments(self.text[inner.end : outer.end]).count(b")")
        start = self.lines.span(parent.left).end
        skipped = without_comments(self.text[start : inner.start], keep_length=True)
        opening = [i for i, c in enumerate(skipped) if c == ord("(")]
        return Span(start + opening[-depth] if depth else inner.start, outer.end)

    def converted(self, parent: ast.expr, operand: ast.expr, end: bytes) -> list[Edit]:
        """A method called on an operand of a binary operation, in brackets where it needs them."""
        span = self.bracketed(parent, operand)
        if span != self.lines.span(operand) or is_simple(operand):
            return [Edit(Span(span.end, span.end), end)]
        return [Edit(Span(span.start, span.start), b"("), Edit(Span(span.end, span.end), b")" + end)]

    def source(self, span: Span) -> str:
        """The text there."""
        return self.text[span.start : span.end].decode()

    def _after(self, at: int, mark: bytes) -> int:
        rest = without_comments(self.text[at : at + 4000], keep_length=True)
        return at + rest.index(mark) + 1


def without_comments(text: bytes, *, keep_length: bool = False) -> bytes:
    """Text between operands without its comments."""
    parts = []
    for line in text.splitlines(keepends=True):
        code, mark, comment = line.partition(b"#")
        parts.append(code + (b" " * len(mark + comment) if keep_length else b""))
    return b"".join(parts)


def is_simple(node: ast.expr) -> bool:
    """Whether a method can be called on an expression as it stands."""
    return isinstance(node, (ast.Name, ast.Call, ast.Attribute, ast.Subscript))
