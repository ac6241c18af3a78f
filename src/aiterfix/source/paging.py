"""How a kernel gets from a token's position to its key: the block table's column, and the place in the block.

Token t of a sequence is in block ``table[t // size]`` at place ``t % size``. A kernel that takes t itself for the
column, and the first token of the block that stands there, is right with blocks of one token only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from aiterfix.source.columns import NotExpressible
from aiterfix.source.layout import lay_out
from aiterfix.source.loads import KernelView, LoadCall
from aiterfix.source.locate import Edit, Lines, Span, gap
from aiterfix.source.roles import PagingRoles
from aiterfix.source.rows import summands
from aiterfix.source.scope import is_triton
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.values import ZERO, Atom, Value, atoms_below


@dataclass(frozen=True)
class PagedLoad:
    """A load from the block table or the cache.

    Attributes:
        load: the call.
        what: "table", "keys" or "scales".
        right: whether it goes by blocks; None where that is not known.
        reason: why not, or what it does instead.
    """

    load: LoadCall
    what: str
    right: bool | None
    reason: str


@dataclass(frozen=True)
class Paging:
    """What a kernel does with its block table.

    Attributes:
        takes_size: whether it has a parameter for the size of a block.
        loads: those from table and cache, in source order.
        problem: why they are not understood; empty where they are.
    """

    takes_size: bool
    loads: tuple[PagedLoad, ...]
    problem: str = ""


def paging(kernel: KernelAnalysis, roles: PagingRoles) -> Paging | None:
    """Follow a kernel's way to its keys; None for one without stores, of which nothing is known, for one whose cache is
    in tiles, which counts otherwise, and for one that uses no block table."""
    if not kernel.syntax or roles.tiled:
        return None
    view = KernelView(kernel.syntax[0].walk)
    return _Follower(view, roles).paging() if view.mentioned(roles.table) else None


class _Follower:
    """Follows the addresses of one kernel."""

    def __init__(self, view: KernelView, roles: PagingRoles) -> None:
        self.view = view
        self.walk = view.walk
        self.roles = roles
        self.size = view.parameter(roles.block_size)
        self.table = self._from(roles.table)
        self.columns = {load.result: self._column(load) for load in self.table}

    def paging(self) -> Paging:
        parameters = {a.arg for a in (*self.walk.function.args.args, *self.walk.function.args.kwonlyargs)}
        takes_size = self.roles.block_size in parameters
        keys, scales = self._from(self.roles.keys), self._from(self.roles.scales)
        parts = ((self.roles.table, self.table), (self.roles.keys, keys), (self.roles.scales, scales))
        lost = [name for name, found in parts if not found and self.view.mentioned(name)]
        if lost:
            return Paging(takes_size, (), f"where it loads from {' and '.join(lost)} is not understood")
        if any(load.helper for load in (*self.table, *keys, *scales)) and self._calls_twice():
            return Paging(takes_size, (), "a function that loads for it is called more than once")
        judged = [*(self._table(t) for t in self.table), *(self._cache(k, "keys") for k in keys)]
        judged += [self._cache(s, "scales") for s in scales]
        return Paging(takes_size, tuple(sorted(judged, key=lambda p: (p.load.node.lineno, p.load.node.col_offset))))

    def _calls_twice(self) -> bool:
        """Whether a function of the module is called from two places: then but one call's values are known."""
        names = [n.func.id for n in self.walk.values if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        followed = [n for n in names if not isinstance(self.walk.scope.meaning(n), (str, int, type(None)))]
        return len(followed) != len(set(followed))

    def _from(self, name: str) -> list[LoadCall]:
        pointer = self.view.parameter(name)
        return [load for load in self.view.loads if pointer is not None and load.address.terms.get((pointer,)) == 1]

    def _column(self, load: LoadCall) -> Value:
        """Where in a row of the table a load reads: all but the pointer and what goes by the sequence."""
        pointer = self.view.parameter(self.roles.table)
        assert pointer is not None
        terms = {}
        for monomial, coefficient in load.address.terms.items():
            scalar = all(a.rank.value == "scalar" for a in monomial)
            if monomial == (pointer,) or (scalar and self._width in monomial):
                continue
            terms[monomial] = coefficient
        return Value(terms)

    @property
    def _width(self) -> Atom | None:
        for name in _WIDTHS:
            if (atom := self.view.parameter(name)) is not None:
                return atom
        return None

    def position(self, load: LoadCall) -> Value | None:
        """The token's position that a column is made of by dividing; None where it is not divided."""
        column = self.columns[load.result]
        atom = column.atom
        if atom is not None and atom.op == "floordiv" and self.size is not None:
            position, size = atom.operands
            return position if size == Value({(self.size,): 1}) else None
        return None

    def _table(self, load: LoadCall) -> PagedLoad:
        column = self.columns[load.result]
        if self.position(load) is not None:
            return PagedLoad(load, "table", True, "the column is the token's position divided by the block's size")
        if self.size is None or self.size not in set(atoms_below(column)):
            return PagedLoad(load, "table", False, "the column is the token's position")
        return PagedLoad(load, "table", None, "how its column is made from the token's position is not understood")

    def _cache(self, load: LoadCall, what: str) -> PagedLoad:
        tables = self.tables_of(load)
        if len(tables) != 1:
            return PagedLoad(load, what, None, "which entry of the block table it goes by is not understood")
        position = self.position(tables[0]) or self.columns[tables[0].result]
        places = list(self._places(load))
        if not places:
            return PagedLoad(load, what, False, "the first token of the block is read")
        if all(_same_place(p, position) for p in places):
            return PagedLoad(load, what, True, "the token's place in its block is read")
        return PagedLoad(load, what, None, "which token of the block it reads is not understood")

    def tables_of(self, load: LoadCall) -> list[LoadCall]:
        """The loads from the table that an address goes by."""
        below = atoms_below(load.address)
        return [t for t in self.table if t.result in below and t.result in load.address.mentions]

    def _places(self, load: LoadCall) -> Iterator[Value]:
        """What is taken modulo the block's size in an address."""
        for atom in atoms_below(load.address):
            if atom.op == "mod" and self.size is not None and atom.operands[1] == Value({(self.size,): 1}):
                yield atom.operands[0]


_WIDTHS = ("max_block_len", "max_blk_len")


def _same_place(place: Value, position: Value) -> bool:
    """Whether a number is the position, or the position where that is not negative."""
    atom = place.atom
    if atom is not None and atom.op == "max":
        return position in atom.operands and ZERO in atom.operands
    return place == position


# ---- the mend ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PagingEdit:
    """What teaches one load the size of a block.

    Attributes:
        load: the call.
        edits: of the text.
        changes: the same on the syntax tree: a node, and what stands there afterwards.
    """

    load: LoadCall
    edits: tuple[Edit, ...]
    changes: tuple[tuple[ast.AST, ast.AST], ...]


def paging_edits(kernel: KernelAnalysis, roles: PagingRoles, lines: Lines) -> tuple[PagingEdit, ...]:
    """What teaches every load of a kernel that takes the size of a block to go by it.

    Raises:
        NotExpressible: one of them cannot be taught; then none is.
    """
    found = paging(kernel, roles)
    if found is None or not found.takes_size:
        return ()
    teacher = _Teacher(kernel, roles, lines)
    return tuple(teacher.edit(p) for p in found.loads if p.right is False)


class _Teacher:
    """Writes the edits of one kernel."""

    def __init__(self, kernel: KernelAnalysis, roles: PagingRoles, lines: Lines) -> None:
        self.walk = kernel.syntax[0].walk
        self.view = KernelView(self.walk)
        self.roles = roles
        self.lines = lines
        self.follower = _Follower(self.view, roles)
        self.size = ast.Name(roles.block_size, ast.Load())

    def edit(self, paged: PagedLoad) -> PagingEdit:
        """The edit of one load."""
        if paged.load.helper:
            raise NotExpressible("the load stands in a function that the kernel calls")
        if paged.what == "table":
            return self._table(paged.load)
        return self._cache(paged.load, keys=paged.what == "keys")

    def _sum(self, load: LoadCall) -> ast.expr:
        """The argument that holds the column, or the place."""
        for name in ("offsets", "pointer"):
            if name in load.arguments:
                return load.arguments[name]
        raise NotExpressible("a load has no address that a term could be added to")

    def _table(self, load: LoadCall) -> PagingEdit:
        whole = self._sum(load)
        first, column = self._column(load)
        start, end = self._start(first), self.lines.span(whole).end
        edits = (
            Edit(Span(start, start), b"("),
            Edit(Span(end, end), f") // {self.roles.block_size}".encode()),
        )
        divided = ast.BinOp(column, ast.FloorDiv(), self.size)
        return PagingEdit(load, edits, ((whole, ast.BinOp(first.left, ast.Add(), divided)),))

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

    def _start(self, first: ast.BinOp) -> int:
        """Where the right operand of a sum begins, its brackets included."""
        left, right = self.lines.span(first.left), self.lines.span(first.right)
        start = right.start
        for token in gap(self.lines.text.replace(b"+", b","), Span(left.end, right.start)):
            if token.text == b"(":
                start = min(start, token.offset)
        return start

    def _cache(self, load: LoadCall, *, keys: bool) -> PagingEdit:
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
        return PagingEdit(load, (self._added(load, whole, place),), ((whole, ast.BinOp(whole, ast.Add(), place)),))

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
        for node in ast.walk(self.walk.function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                dotted = self.walk.scope.dotted(node.func)
                if is_triton(dotted) and str(dotted).rpartition(".")[2] == "maximum":
                    return ast.Call(node.func, [position, ast.Constant(0)], [])
        raise NotExpressible("the kernel uses no `maximum`, which keeps places in front of the sequence out")

    def _added(self, load: LoadCall, whole: ast.expr, place: ast.expr) -> Edit:
        end = self.lines.span(whole).end
        if load.node.lineno == load.node.end_lineno:
            return Edit(Span(end, end), f" + {ast.unparse(place)}".encode())
        indent = self.lines.indentation(end).decode()
        newline = self.lines.newline().decode()
        room = _LINE - len(indent) - 2
        body = lay_out(place, indent=indent, unit="    ", room=room, width=_LINE)
        return Edit(Span(end, end), f"{newline}{indent}+ {newline.join(body)}".encode())


_LINE = 88
