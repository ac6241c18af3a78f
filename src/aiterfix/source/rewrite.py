"""Add the missing bound to every store that lacks it; change nothing else by one byte."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from aiterfix.errors import NotUnderstoodError
from aiterfix.source.columns import scalar_start
from aiterfix.source.encoding import as_utf8, in_own_encoding
from aiterfix.source.layout import WIDTH, lay_out
from aiterfix.source.locate import Edit, Lines, Span, gap
from aiterfix.source.proof import ProofError
from aiterfix.source.rebuilt import EditedPlace, prove_changes
from aiterfix.source.sites import SiteSyntax, SourceAnalysis, StoreSite
from aiterfix.source.tree import descend

_NAME = re.compile(rb"[^\s=#\\]+")


class EncodingNotUnderstoodError(NotUnderstoodError):
    """The file's encoding lets no part of it be replaced alone."""

    code = "encoding-not-understood"

    def __init__(self, filename: str) -> None:
        super().__init__(
            f"{filename}: its encoding lets no part of it be changed alone, so nothing is changed",
            why="An edit in place must leave every other byte as it is.",
            remedy="Keep the padding columns in the caller, or save the file as UTF-8.",
        )


Site = TypeVar("Site")


@dataclass(frozen=True)
class Plan(Generic[Site]):
    """What is to be changed in a text.

    Attributes:
        edits: of the file's bytes, in ascending order, not overlapping.
        edited: the sites that they mend.
        left: the sites that cannot be mended, and why.
    """

    edits: tuple[Edit, ...]
    edited: tuple[Site, ...]
    left: tuple[tuple[Site, str], ...]


def plan_of(text: bytes, edits: Iterable[Edit], edited: Iterable[Site], left: Iterable[tuple[Site, str]]) -> Plan[Site]:
    """A plan from edits of the UTF-8 form of a text; an empty one where its encoding lets no part of it be changed."""
    own = in_own_encoding(text, sorted(edits, key=lambda e: (e.span.start, e.span.end)))
    if own is None:
        message = "the file's encoding lets no part of it be changed alone"
        return Plan((), (), (*left, *((s, message) for s in edited)))
    return Plan(tuple(own), tuple(edited), tuple(left))


def bound_edits(text: bytes, analysis: SourceAnalysis, filename: str) -> tuple[list[Edit], list[StoreSite]]:
    """What bounds every store that has no upper bound and can be edited, in ascending order; and these stores.

    Args:
        text: the file's bytes.
        analysis: of exactly this text.
        filename: for messages.

    Raises:
        EncodingNotUnderstoodError: the file's encoding lets no part of it be replaced alone.
    """
    lines = Lines(as_utf8(text))
    edits: list[Edit] = []
    edited: list[StoreSite] = []
    for kernel in analysis.kernels:
        for site, syntax in zip(kernel.sites, kernel.syntax, strict=True):
            if not site.guard.bounded and not site.obstacle and syntax.column is not None:
                edits += _SiteEditor(lines, site, syntax).edits()
                edited.append(site)
    return own_edits(text, edits, filename), edited


def prove_bounds(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[StoreSite], filename: str) -> None:
    """Check the analysis of a new text against that of the old one.

    Raises:
        ProofError: it does not parse, a site is unbounded, sites appeared or vanished, or the syntax
            tree differs from the original's in anything but the added terms.
    """
    wanted = {(s.kernel, s.ordinal) for s in edited}
    bounded = {(s.kernel, s.ordinal) for s in after.sites if s.guard.bounded}
    if not after.understood or not wanted <= bounded:
        raise ProofError(filename, "a store that was edited is still not bounded")
    if [(s.kernel, s.ordinal, s.column) for s in before.sites] != [
        (s.kernel, s.ordinal, s.column) for s in after.sites
    ]:
        raise ProofError(filename, "the store sites are not those of the original")
    pairs = (p for k in before.kernels for p in zip(k.sites, k.syntax, strict=True))
    places = [
        EditedPlace(site.kernel, site.line, (_change(site, syntax),))
        for site, syntax in pairs
        if (site.kernel, site.ordinal) in wanted
    ]
    prove_changes(before, after, places, filename)


def _change(site: StoreSite, syntax: SiteSyntax) -> tuple[ast.AST, ast.AST]:
    """What of a store's syntax is replaced, and by what."""
    bound, node, mask = _bound(site, syntax), syntax.node, syntax.mask
    if mask is None:
        return node, ast.Call(node.func, node.args, [*node.keywords, ast.keyword("mask", bound)])
    return mask, bound if syntax.unmasked else ast.BinOp(mask, ast.BitAnd(), bound)


def own_edits(text: bytes, edits: Iterable[Edit], filename: str) -> list[Edit]:
    """Edits of the UTF-8 form of a text as edits of its own bytes, in ascending order.

    Raises:
        EncodingNotUnderstoodError: the file's encoding lets no part of it be replaced alone.
    """
    own = in_own_encoding(text, sorted(edits, key=lambda e: e.span.start))
    if own is None:
        raise EncodingNotUnderstoodError(filename)
    return own


def _bound(site: StoreSite, syntax: SiteSyntax) -> ast.Compare:
    """The comparison that keeps a store's column in its row. Of a plain store, whose mask is a branch for each element,
    a chunk's start goes to the side of the bound: then no register holds a column beside its lane's own number."""
    assert syntax.column is not None
    width: ast.expr = ast.Name(site.bound, ast.Load())
    start = scalar_start(syntax.column, syntax.walk) if syntax.store.kind == "store" else None
    if start is None:
        return ast.Compare(syntax.column, [ast.Lt()], [width])
    return ast.Compare(start.right, [ast.Lt()], [ast.BinOp(width, ast.Sub(), start.left)])


class _SiteEditor:
    """Writes the bound of one site."""

    def __init__(self, lines: Lines, site: StoreSite, syntax: SiteSyntax) -> None:
        assert syntax.column is not None
        self.lines = lines
        self.text = lines.text
        self.node = syntax.node
        self.mask = syntax.mask
        self.unmasked = syntax.unmasked
        self.bound = _bound(site, syntax)
        self.span = lines.span(syntax.node)
        self.newline = lines.newline().decode()
        self.multiline = site.line != site.end_line
        statement = lines.indentation(self.span.start).decode()
        self.indent = self._argument_indent(statement)
        extra = self.indent[len(statement) :] if self.indent.startswith(statement) else ""
        self.unit = extra if extra.strip() == "" and extra else ("\t" if "\t" in statement else "    ")
        if not self.multiline:
            self.indent = statement + self.unit
        longest = max(len(ln) for ln in self.text[self.span.start : self.span.end].splitlines())
        self.width = max(WIDTH, longest if self.multiline else 0)

    def edits(self) -> list[Edit]:
        """What to change for this site."""
        if self.mask is None:
            return [self._added()]
        if self.unmasked:
            return [Edit(self._mask_region()[0], self._in_place("").encode())]
        return self._joined()

    def _argument_indent(self, statement: str) -> str:
        """Indentation of the last argument that starts its line."""
        arguments: list[ast.expr | ast.keyword] = [*self.node.args, *self.node.keywords]
        for a in reversed(arguments):
            start = self.lines.span(a).start
            blanks = self.text[self.lines.line_start(start) : start]
            if a.lineno != self.node.lineno and not blanks.strip():
                return blanks.decode()
        return statement

    def _lay_out(self, expression: ast.expr, prefix: str, indent: str, suffix: int) -> str:
        room = self.width - len(indent) - len(prefix) - suffix
        out = lay_out(expression, indent=indent, unit=self.unit, room=room, width=self.width)
        return self.newline.join([prefix + out[0], *out[1:]])

    def _in_place(self, prefix: str) -> str:
        """The bound where an argument stands; on one line if the call is on one line."""
        if not self.multiline:
            return prefix + ast.unparse(self.bound)
        return self._lay_out(self.bound, prefix, self.indent, 1)

    def _added(self) -> Edit:
        """A mask argument behind the last argument."""
        arguments: list[ast.expr | ast.keyword] = [*self.node.args, *self.node.keywords]
        last = max(self.lines.span(a).end for a in arguments)
        tokens = gap(self.text, Span(last, self.span.end))
        closing = [t for t in tokens if t.text == b")"]
        call_end = closing[-1].offset
        comma = next((t for t in tokens if t.text == b","), None)
        # Brackets around the last argument belong to it: stand behind them.
        end_of_last = max([last, *(t.offset + 1 for t in closing[:-1])])
        own_line = not self.text[self.lines.line_start(call_end) : call_end].strip()
        if not self.multiline or not own_line:
            at = comma.offset + 1 if comma else end_of_last
            flat = "mask=" + ast.unparse(self.bound)
            line = self.lines.line_end(at) - self.lines.line_start(at) + len(flat) + 2
            if line <= self.width:
                text = f" {flat}" if comma else f", {flat}"
            else:
                body = self._lay_out(self.bound, "mask=", self.indent, 1)
                text = f"{'' if comma else ','}{self.newline}{self.indent}{body}"
            return Edit(Span(at, at), text.encode())
        body = self._lay_out(self.bound, "mask=", self.indent, 1)
        if comma is None:
            return Edit(Span(end_of_last, end_of_last), f",{self.newline}{self.indent}{body}".encode())
        # Behind the comma and whatever comment follows it on its line.
        at = self.lines.line_end(comma.offset)
        return Edit(Span(at, at), f"{self.newline}{self.indent}{body},".encode())

    def _mask_region(self) -> tuple[Span, bool]:
        """The mask with the brackets around it, and whether there are any."""
        assert self.mask is not None
        inner = self.lines.span(self.mask)
        before = self._previous_end(inner.start)
        opening = 0
        start = inner.start
        for token in reversed(gap(self.text, Span(before, inner.start))):
            if token.kind == "comment":
                continue
            if token.text != b"(":
                break
            opening += 1
            start = token.offset
        end = inner.end
        remaining = opening
        for token in gap(self.text, Span(inner.end, self._next_start(inner.end))):
            if remaining and token.text == b")":
                remaining -= 1
                end = token.offset + 1
        if remaining:
            # A positional mask that is the first thing after the call's own bracket cannot occur (the
            # pointer comes first), so every bracket counted has its partner.
            raise ValueError("unbalanced brackets around a mask")
        return Span(start, end), opening > 0

    def _previous_end(self, start: int) -> int:
        """Where the code before the mask ends: its keyword's name, or the argument before it."""
        for k in self.node.keywords:
            if k.value is self.mask and k.arg is not None:
                # As it is spelled: Python normalises identifiers, so ``k.arg`` may be shorter.
                name = _NAME.match(self.text, self.lines.span(k).start)
                assert name is not None
                return name.end()
        parts: list[ast.expr | ast.keyword] = [self.node.func, *self.node.args, *self.node.keywords]
        ends = [self.lines.span(a).end for a in parts]
        return max(e for e in ends if e <= start)

    def _next_start(self, end: int) -> int:
        parts: list[ast.expr | ast.keyword] = [*self.node.args, *self.node.keywords]
        starts = [self.lines.span(a).start for a in parts]
        following = [s for s in starts if s >= end]
        if not following:
            return self.span.end
        # Brackets before the next argument are its own; the comma before them ends the mask's.
        region = Span(end, min(following))
        comma = next(t for t in gap(self.text, region) if t.text == b",")
        return comma.offset

    def _joined(self) -> list[Edit]:
        """And the bound with the mask that is there."""
        assert self.mask is not None
        region, bracketed = self._mask_region()
        old = self.text[region.start : region.end]
        simple = isinstance(self.mask, (ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant)) or (
            isinstance(self.mask, ast.BinOp) and isinstance(self.mask.op, ast.BitAnd)
        )
        wrap = not (bracketed or simple)
        flat = f"({ast.unparse(self.bound)})"
        start = region.start - self.lines.line_start(region.start)
        if b"\n" not in old and b"\r" not in old:
            opening = "(" if wrap else ""
            closing = ")" if wrap else ""
            if not self.multiline or start + len(old) + 2 * wrap + len(flat) + 4 <= self.width:
                return self._around(region, opening, f"{closing} & {flat}")
            return self._around(region, opening, f"{closing}{self._conjunct(flat)}")
        if not wrap:
            return self._around(region, "", self._conjunct(flat))
        inner = self.newline + self.indent + self.unit
        edits = [Edit(Span(region.start, region.start), f"({inner}".encode())]
        edits += self._deepened(region)
        edits.append(Edit(Span(region.end, region.end), f"{self.newline}{self.indent}){self._conjunct(flat)}".encode()))
        return edits

    def _conjunct(self, flat: str) -> str:
        """A continuation line ``& (bound)``."""
        if len(self.indent) + 2 + len(flat) + 1 <= self.width:
            return f"{self.newline}{self.indent}& {flat}"
        inner = self.indent + self.unit
        body = self._lay_out(self.bound, "", inner, 0)
        return f"{self.newline}{self.indent}& ({self.newline}{inner}{body}{self.newline}{self.indent})"

    def _around(self, region: Span, opening: str, closing: str) -> list[Edit]:
        edits = [Edit(Span(region.start, region.start), opening.encode())] if opening else []
        return [*edits, Edit(Span(region.end, region.end), closing.encode())]

    def _deepened(self, region: Span) -> list[Edit]:
        """One more level for the mask's continuation lines; not where a string spans lines."""
        assert self.mask is not None
        for n in descend(self.mask):
            if isinstance(n, (ast.Constant, ast.JoinedStr)) and n.end_lineno != n.lineno:
                return []
        edits = []
        for start in self.lines.starts:
            if region.start < start < region.end and self.text[start : self.lines.line_end(start)].strip():
                edits.append(Edit(Span(start, start), self.unit.encode()))
        return edits
