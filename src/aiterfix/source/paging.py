"""How a kernel gets from a token's position to its key: the block table's column, and the place in the block.

Token t of a sequence is in block ``table[t // size]`` at place ``t % size``. A kernel that takes t itself for the
column, and the first token of the block that stands there, is right with blocks of one token only.

A cache in tiles (preshuffled) has its tokens in another order within a block; the column is made alike.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiterfix.source.causal import row_of
from aiterfix.source.columns import NotExpressible
from aiterfix.source.layout import WIDTH, lay_out
from aiterfix.source.loads import KernelView, LoadCall, without
from aiterfix.source.locate import Edit, Lines, Span
from aiterfix.source.names import bound_names
from aiterfix.source.rebuilt import EditedPlace
from aiterfix.source.roles import PagingRoles
from aiterfix.source.rows import summands
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.sums import SumEditor
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
    """Follow a kernel's way to its keys, or to its blocks alone where the cache is in tiles; None for a kernel without
    stores, of which nothing is known, and for one that uses no block table."""
    if not kernel.syntax:
        return None
    view = KernelView(kernel.syntax[0].walk)
    if not view.mentioned(roles.table):
        return None
    rows = {row_of(syntax, roles, view) for syntax in kernel.syntax}
    follower = _Follower(view, roles, next(iter(rows)) if len(rows) == 1 else None)
    return follower.paging()


class _Follower:
    """Follows the addresses of one kernel.

    Args:
        view: what a walk through it found.
        roles: what its parameters mean.
        row: the sequence that its stores are about, and the position in it; None where that is not known.
    """

    def __init__(self, view: KernelView, roles: PagingRoles, row: tuple[Value, Value] | None = None) -> None:
        self.view = view
        self.sequence = row[0] if row is not None else None
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
        table, cache = (self._block, self._tile) if self.roles.tiled else (self._table, self._cache)
        judged = [*(table(t) for t in self.table), *(cache(k, "keys") for k in keys)]
        judged += [cache(s, "scales") for s in scales]
        return Paging(takes_size, tuple(sorted(judged, key=lambda p: (p.load.node.lineno, p.load.node.col_offset))))

    def _block(self, load: LoadCall) -> PagedLoad:
        """A load from the table of a cache in tiles."""
        if not self._own_row(load):
            return PagedLoad(load, "table", None, _OTHER_ROW)
        counts = not load.helper and self._counts_blocks(self.columns[load.result], frozenset())
        reason = "the column counts blocks" if counts else "how its column is made from blocks is not understood"
        return PagedLoad(load, "table", True if counts else None, reason)

    def _counts_blocks(self, column: Value, names: frozenset[str]) -> bool:
        """Whether every part of a number is a position divided by the block's size, a constant, or a name that holds
        nothing else."""
        return self.size is not None and all(
            not monomial or (len(monomial) == 1 and coefficient == 1 and self._is_block(monomial[0], names))
            for monomial, coefficient in column.terms.items()
        )

    def _is_block(self, atom: Atom, names: frozenset[str]) -> bool:
        if atom.op in ("floordiv", "cdiv"):
            return self._by_size(atom)
        return atom.op == "symbol" and self._holds_only(atom.payload, names, self._counts_blocks)

    def _is_entry(self, value: Value, names: frozenset[str]) -> bool:
        """Whether a number is an entry of the block table as it was loaded, one or none where a mask decides, or a name
        that holds nothing else."""
        atom = value.atom
        if atom is None:
            return False
        if atom.op == "select":
            chosen = [v for v in atom.operands[1:] if v.constant is None]
            return bool(chosen) and all(self._is_entry(v, names) for v in chosen)
        if any(atom is load.result for load in self.table):
            return True
        return atom.op == "symbol" and self._holds_only(atom.payload, names, self._is_entry)

    def _holds_only(self, name: str, names: frozenset[str], right: Callable[[Value, frozenset[str]], bool]) -> bool:
        """Whether all that a kernel's own name is given is right. Names that are being looked into are taken to be."""
        if name in names:
            return True
        given = [self._given(s) for b in self.walk.function.body for s in ast.walk(b) if _binds(s, name)]
        values = [self.walk.values.get(node) for nodes in given for node in nodes]
        known = [self.view.plain(v) for v in values if v is not None]
        return bool(given) and all(given) and len(known) == len(values) and all(right(v, names | {name}) for v in known)

    def _given(self, s: ast.AST) -> list[ast.expr]:
        """What a statement gives the one name that it binds, adds to it, or lets it run through; nothing where that is
        not known."""
        if isinstance(s, ast.Assign) and all(isinstance(t, ast.Name) for t in s.targets):
            return [s.value]
        if isinstance(s, ast.AugAssign) and isinstance(s.op, (ast.Add, ast.Sub)):
            return [s.value]
        if isinstance(s, ast.For) and isinstance(s.target, ast.Name) and isinstance(s.iter, ast.Call):
            counted = self.walk.scope.dotted(s.iter.func) == "builtins.range" and not s.iter.keywords
            return s.iter.args if counted and len(s.iter.args) < 3 else []
        return []

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
        return next((a for n in self.roles.widths if (a := self.view.parameter(n)) is not None), None)

    def _own_row(self, load: LoadCall) -> bool:
        """Whether a load reads the block table's row of the sequence that the kernel's stores are about, or in a table
        of all tokens from the sequence's first on."""
        pointer = self.view.parameter(self.roles.table)
        assert pointer is not None
        if self.sequence is None:
            return False
        if self._width is None:
            start = load.address - Value({(pointer,): 1})
            firsts = [s for s in self._starts(self.sequence) if (s,) in start.terms]
            return len(firsts) == 1 and start.terms[firsts[0],] == 1
        row, _ = without(load.address - self.columns[load.result] - Value({(pointer,): 1}), self._width)
        return row == self.sequence

    def _starts(self, sequence: Value) -> list[Atom]:
        """What is loaded of the running sums of lengths for a sequence: where its tokens begin."""
        pointers = [self.view.parameter(name) for name in self.roles.lengths[1:]]
        places = [Value({(p,): 1}) + sequence for p in pointers if p is not None]
        return [load.result for load in self.view.loads if load.address in places]

    def position(self, load: LoadCall) -> Value | None:
        """The token's position that a column is made of by dividing; None where it is not divided."""
        column = self.columns[load.result]
        atom = column.atom
        return atom.operands[0] if atom is not None and atom.op == "floordiv" and self._by_size(atom) else None

    def _table(self, load: LoadCall) -> PagedLoad:
        column = self.columns[load.result]
        if not self._own_row(load):
            return PagedLoad(load, "table", None, _OTHER_ROW)
        if self.position(load) is not None:
            return PagedLoad(load, "table", True, "the column is the token's position divided by the block's size")
        if self.size is None or self.size not in set(atoms_below(column)):
            return PagedLoad(load, "table", False, "the column is the token's position")
        return PagedLoad(load, "table", None, "how its column is made from the token's position is not understood")

    def _cache(self, load: LoadCall, what: str) -> PagedLoad:
        tables = self.tables_of(load)
        if len(tables) != 1:
            return PagedLoad(load, what, None, "which entry of the block table it goes by is not understood")
        if not self._goes_by(tables[0], load, keys=what == "keys"):
            return PagedLoad(load, what, None, _CHANGED)
        position = self.position(tables[0]) or self.columns[tables[0].result]
        places = list(self._places(load))
        if not places:
            return PagedLoad(load, what, False, "the first token of the block is read")
        if all(_same_place(p, position) for p in places) and self._steps_by_token(load, keys=what == "keys"):
            return PagedLoad(load, what, True, "the token's place in its block is read")
        return PagedLoad(load, what, None, "which token of the block it reads is not understood")

    def tables_of(self, load: LoadCall) -> list[LoadCall]:
        """The loads from the table that an address goes by."""
        below = atoms_below(load.address)
        return [t for t in self.table if t.result in below and t.result in load.address.mentions]

    def _tile(self, load: LoadCall, what: str) -> PagedLoad:
        """A load from a cache in tiles: by which entry is not followed, only that it is one, as it was loaded."""
        going = self._going(load, keys=what == "keys")
        whole = len(going) == 1 and self._is_entry(Value({(going[0],): 1}), frozenset())
        reason = "it goes by an entry of the block table" if whole else _CHANGED
        return PagedLoad(load, what, True if whole else None, reason)

    def _goes_by(self, table: LoadCall, load: LoadCall, *, keys: bool) -> bool:
        """Whether an address takes the entry once, as it was loaded, times the distance from one block to the next."""
        going = self._going(load, keys=keys)
        return len(going) == 1 and Value({(table.result,): 1}) in _choices(going[0])

    def _going(self, load: LoadCall, *, keys: bool) -> list[Atom]:
        """What an address takes times the distance from one block to the next: a stride, or a block's tokens in a cache
        without gaps. Empty where that is something else than one factor, once."""
        names = self.roles.key_blocks if keys else self.roles.scale_blocks
        strides = [a for n in names if (a := self.view.parameter(n)) is not None]
        dense = {self.size, self.view.parameter(self.roles.key_elements)} if keys else {self.size}
        entries = {t.result for t in self.table}
        found: list[Atom] = []
        for monomial, coefficient in load.address.terms.items():
            rest = [a for a in monomial if a not in strides and a not in dense]
            distance = [a for a in monomial if a in strides or a in dense]
            if not any(a in strides for a in monomial) and all(entries.isdisjoint(a.mentions) for a in monomial):
                continue
            one = len(distance) == 1 and distance[0] in strides
            if coefficient != 1 or len(rest) != 1 or not (one or set(distance) == dense):
                return []
            found += rest
        return found

    def _places(self, load: LoadCall) -> Iterator[Value]:
        """What is taken modulo the block's size in an address."""
        for atom in atoms_below(load.address):
            if self._is_place(atom):
                yield atom.operands[0]

    def _steps_by_token(self, load: LoadCall, *, keys: bool) -> bool:
        """Whether an address takes the place in the block once, times the distance from one token to the next."""
        roles = self.roles
        units = {
            self.view.parameter(n) for n in ((roles.key_elements, roles.key_token) if keys else (roles.scale_token,))
        }
        placed = [(m, c) for m, c in load.address.terms.items() if any(self._is_place(a) for a in m)]
        if len(placed) != 1 or placed[0][1] != 1:
            return False
        rest = [a for a in placed[0][0] if not self._is_place(a)]
        return (len(rest) == 1 and rest[0] in units) or (not rest and not keys)

    def _is_place(self, atom: Atom) -> bool:
        return atom.op == "mod" and self._by_size(atom)

    def _by_size(self, atom: Atom) -> bool:
        """Whether a number is divided by the size of a block."""
        return self.size is not None and atom.operands[1] == Value({(self.size,): 1})


def _choices(atom: Atom) -> tuple[Value, ...]:
    """What a factor can be: itself, or one of two where a mask decides."""
    return atom.operands[1:] if atom.op == "select" else (Value({(atom,): 1}),)


_CHANGED = "how it goes by the entry of the block table is not understood"
_OTHER_ROW = "that it reads the block table for the sequence whose row it stores is not understood"


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a statement itself, not one inside it, binds a name."""
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return name in (*bound_names(node.target), *bound_names(node.iter))
    if isinstance(node, (ast.If, ast.While)):
        return name in bound_names(node.test)
    return isinstance(node, ast.stmt) and name in bound_names(node)


def _same_place(place: Value, position: Value) -> bool:
    """Whether a number is the position, or the position where that is not negative."""
    atom = place.atom
    if atom is not None and atom.op == "max":
        return position in atom.operands and ZERO in atom.operands
    return place == position


# ---- the mend ------------------------------------------------------------------------------------


def paging_edits(
    kernel: KernelAnalysis, roles: PagingRoles, lines: Lines
) -> tuple[tuple[tuple[Edit, ...], EditedPlace], ...]:
    """What teaches every load of a kernel that takes the size of a block to go by it.

    Raises:
        NotExpressible: one of them cannot be taught; then none is.
    """
    found = paging(kernel, roles)
    if found is None or not found.takes_size:
        return ()
    lost = next((p for p in found.loads if p.right is None), None)
    if lost is not None:
        raise NotExpressible(f"line {lost.load.node.lineno}: {lost.reason}")
    teacher = _Teacher(kernel, roles, lines)
    return tuple(teacher.edit(p) for p in found.loads if p.right is False)


_Change = tuple[tuple[Edit, ...], ast.AST, ast.AST]
"""Edits of the text; and on the syntax tree a node, and what stands there afterwards."""


class _Teacher:
    """Writes the edits of one kernel."""

    def __init__(self, kernel: KernelAnalysis, roles: PagingRoles, lines: Lines) -> None:
        self.walk = kernel.syntax[0].walk
        self.view = KernelView(self.walk)
        self.roles = roles
        self.lines = lines
        self.kernel = kernel.name
        self.sums = SumEditor(lines)
        self.follower = _Follower(self.view, roles)
        self.size = ast.Name(roles.block_size, ast.Load())

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
