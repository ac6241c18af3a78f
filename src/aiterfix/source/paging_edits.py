"""The mend of a kernel that takes a token's position for its block's: what teaches it to go by blocks."""

from __future__ import annotations

import ast

from aiterfix.source.columns import NotExpressible
from aiterfix.source.layout import WIDTH, lay_out
from aiterfix.source.loads import LoadCall
from aiterfix.source.locate import Edit, Lines, Span
from aiterfix.source.paging import Follower, PagedLoad, follower_of, paging
from aiterfix.source.rebuilt import EditedPlace
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.sums import SumEditor
from aiterfix.source.syntax import summands
from aiterfix.source.values import ZERO


def paging_edits(
    kernel: KernelAnalysis, roles: PagingRoles, lines: Lines
) -> tuple[tuple[tuple[Edit, ...], EditedPlace], ...]:
    """What teaches every load of a kernel that takes the size of a block to go by it.

    Raises:
        NotExpressible: one of them cannot be taught; then none is.
    """
    follower, found = follower_of(kernel, roles), paging(kernel, roles)
    if follower is None or found is None or not found.takes_size:
        return ()
    lost = next((p for p in found.loads if p.right is None), None)
    if lost is not None:
        raise NotExpressible(f"line {lost.load.node.lineno}: {lost.reason}")
    teacher = _Teacher(kernel.name, follower, lines)
    return tuple(teacher.edit(p) for p in found.loads if p.right is False)


_Change = tuple[tuple[Edit, ...], ast.AST, ast.AST]
"""Edits of the text; and on the syntax tree a node, and what stands there afterwards."""


class _Teacher:
    """Writes the edits of one kernel."""

    def __init__(self, kernel: str, follower: Follower, lines: Lines) -> None:
        self.kernel = kernel
        self.follower, self.view, self.walk, self.roles = follower, follower.view, follower.walk, follower.roles
        self.lines = lines
        self.sums = SumEditor(lines)
        self.size = ast.Name(self.roles.block_size, ast.Load())

    def edit(self, paged: PagedLoad) -> tuple[tuple[Edit, ...], EditedPlace]:
        """The edit of one load."""
        if paged.load.helper:
            raise NotExpressible("the load stands in a function that the kernel calls")
        cache = paged.what != "table"
        edits, old, new = self._cache(paged.load, keys=paged.what == "keys") if cache else self._table(paged.load)
        return edits, EditedPlace(self.kernel, paged.load.node.lineno, ((old, new),))

    def _sum(self, load: LoadCall) -> ast.expr:
        """The argument that holds the column, or the place."""
        for name in ("offsets", "pointer"):
            if name in load.arguments:
                return load.arguments[name]
        raise NotExpressible("a load has no address that a term could be added to")

    def _table(self, load: LoadCall) -> _Change:
        whole = self._sum(load)
        first, column = self._column(load)
        start, end = self.sums.bracketed(first, first.right).start, self.lines.span(whole).end
        edits = (
            Edit(Span(start, start), b"("),
            Edit(Span(end, end), f") // {self.roles.block_size}".encode()),
        )
        divided = ast.BinOp(column, ast.FloorDiv(), self.size)
        return edits, whole, ast.BinOp(first.left, ast.Add(), divided)

    def _column(self, load: LoadCall) -> tuple[ast.BinOp, ast.expr]:
        """The sum that the first term of the column ends, and the column by itself."""
        spine: list[ast.BinOp] = []
        node = self._sum(load)
        while isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            spine.append(node)
            node = node.left
        spine.reverse()
        wanted = self.follower.columns[load.result]
        for i, first in enumerate(spine):
            column: ast.expr = first.right
            for later in spine[i + 1 :]:
                column = ast.BinOp(column, later.op, later.right)
            parts = [self.view.plain(self.walk.values[s.right]) for s in spine[i:]]
            signs = [-1 if isinstance(s.op, ast.Sub) else 1 for s in spine[i:]]
            total = sum((p if sign > 0 else -p for p, sign in zip(parts, signs, strict=True)), ZERO)
            if total == wanted and isinstance(first.op, ast.Add):
                return first, column
        raise NotExpressible("the column of the block table is not the end of a sum")

    def _cache(self, load: LoadCall, *, keys: bool) -> _Change:
        tables = self.follower.tables_of(load)
        if len(tables) != 1:
            raise NotExpressible("which entry of the block table the cache is read by is not understood")
        whole = self._sum(load)
        index = self._index(whole, tables[0])
        _, position = self._column(tables[0])
        held = self.view.plain(self.walk.values[index]).atom
        if held is None or held is not tables[0].result:
            position = self._not_negative(position)  # where the entry was masked there may be no such position
        place: ast.expr = ast.BinOp(position, ast.Mod(), self.size)
        if isinstance(index, ast.Subscript):
            place = ast.Subscript(place, index.slice, ast.Load())
        if keys:
            if self.view.parameter(self.roles.key_elements) is None:
                raise NotExpressible(f"the kernel does not use {self.roles.key_elements}, the elements of a key")
            place = ast.BinOp(place, ast.Mult(), ast.Name(self.roles.key_elements, ast.Load()))
        return (self._added(load, whole, place),), whole, ast.BinOp(whole, ast.Add(), place)

    def _index(self, whole: ast.expr, table: LoadCall) -> ast.expr:
        """The factor of an address that holds the entry of the block table."""
        for term, sign in summands(whole):
            if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult) and sign > 0:
                for factor in (term.left, term.right):
                    value = self.walk.values.get(factor)
                    if value is not None and table.result in value.mentions:
                        return factor
        raise NotExpressible("the entry of the block table is not multiplied by a stride in the address itself")

    def _not_negative(self, position: ast.expr) -> ast.expr:
        maximum = self.view.spelled("maximum")
        if maximum is None:
            raise NotExpressible("the kernel uses no `maximum`, which keeps places in front of the sequence out")
        return ast.Call(maximum, [position, ast.Constant(0)], [])

    def _added(self, load: LoadCall, whole: ast.expr, place: ast.expr) -> Edit:
        end = self.lines.span(whole).end
        if load.node.lineno == load.node.end_lineno:
            return Edit(Span(end, end), f" + {ast.unparse(place)}".encode())
        indent = self.lines.indentation(end).decode()
        newline = self.lines.newline().decode()
        room = WIDTH - len(indent) - 2
        body = lay_out(place, indent=indent, unit="    ", room=room, width=WIDTH)
        return Edit(Span(end, end), f"{newline}{indent}+ {newline.join(body)}".encode())
