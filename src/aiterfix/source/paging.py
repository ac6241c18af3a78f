"""How a kernel gets from a token's position to its key: the block table's column, and the place in the block.

Token t of a sequence is in block ``table[t // size]`` at place ``t % size``. A kernel that takes t itself for the
column, and the first token of the block that stands there, is right with blocks of one token only.

A cache in tiles (preshuffled) has its tokens in another order within a block; the column is made alike.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from aiterfix.source.assignments import Assignment
from aiterfix.source.loads import LoadCall, product
from aiterfix.source.names import function_parameters
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.tokens import Tokens, scalar_part
from aiterfix.source.values import ZERO, Atom, Rank, Value, integer


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
    stores, of which nothing is known, and for one that uses neither block table nor keys."""
    follower = follower_of(kernel, roles)
    used = follower is not None and any(map(follower.view.mentioned, (roles.table, roles.keys)))
    return follower.paging if follower is not None and used else None


def follower_of(kernel: KernelAnalysis, roles: PagingRoles) -> Follower | None:
    """What follows a kernel's addresses, one for all that ask; None for one without stores."""
    if not kernel.syntax:
        return None
    walk = kernel.syntax[0].walk
    return walk.once(("paging", roles), lambda: Follower(kernel, roles))


class Follower(Tokens):
    """Follows the addresses of one kernel."""

    @cached_property
    def paging(self) -> Paging:
        """See `paging`."""
        takes_size = self.roles.block_size in function_parameters(self.walk.function)
        keys, scales = self.loads_from(self.roles.keys), self.loads_from(self.roles.scales)
        parts = ((self.roles.table, self.table), (self.roles.keys, keys), (self.roles.scales, scales))
        lost = [name for name, found in parts if not found and self.view.mentioned(name)]
        if lost:
            return Paging(takes_size, (), f"where it loads from {' and '.join(lost)} is not understood")
        if not self.table or not (keys or scales):
            missing = self.roles.keys if self.table else self.roles.table
            return Paging(takes_size, (), f"it loads nothing from {missing}, and may do so by another name")
        entries = {load.result for load in self.table}
        others = {load.node for load in self.view.loads} - {load.node for load in (*self.table, *keys, *scales)}
        if any(load.node in others and not entries.isdisjoint(load.address.mentions) for load in self.view.loads):
            return Paging(takes_size, (), "by entries of the block table it loads from elsewhere too")
        if any(load.helper for load in (*self.table, *keys, *scales)) and self._calls_twice():
            return Paging(takes_size, (), "a function that loads for it is called more than once")
        if self.runs_ahead and not self.roles.tiled and not self.last_is_followed:
            return Paging(takes_size, (), "which keys are those of the columns that it stores last is not understood")
        paired = zip(keys, scales, strict=True) if self.roles.tiled and len(keys) == len(scales) else ()
        if any(_chosen(self._going(k, keys=True)) != _chosen(self._going(s, keys=False)) for k, s in paired):
            return Paging(takes_size, (), "that keys and their scales go by the same entries is not understood")
        table, cache = (self._block, self._tile) if self.roles.tiled else (self._table, self._cache)
        judged = [*(table(t) for t in self.table), *(cache(k, "keys") for k in keys)]
        judged += [cache(s, "scales") for s in scales]
        return Paging(takes_size, tuple(sorted(judged, key=lambda p: (p.load.node.lineno, p.load.node.col_offset))))

    # ---- caches in tiles ---------------------------------------------------------------------

    def _block(self, load: LoadCall) -> PagedLoad:
        """A load from the table of a cache in tiles."""
        if not self.own_row(load):
            return PagedLoad(load, "table", None, _OTHER_ROW)
        mask = load.arguments.get("mask")
        if mask is not None and not self._keeps_tokens(self.walk.values.get(mask), load):
            return PagedLoad(load, "table", None, "that its mask leaves out no token's block is not understood")
        counts = not load.helper and self._counts_blocks(load, self.columns[load.result], frozenset())
        reason = "the column counts blocks" if counts else "how its column is made from blocks is not understood"
        return PagedLoad(load, "table", True if counts else None, reason)

    def _counts_blocks(self, load: LoadCall, column: Value, names: frozenset[str]) -> bool:
        """Whether a number is the block of a column that is stored, or one that is counted on from there."""
        lanes = [m for m in column.terms if Value({m: 1}).rank is not Rank.SCALAR]
        if len(lanes) == len(column.terms):
            return self.is_position(self.divided(column), load)
        stored = {Value({m: 1}) for c in self.stored for m in c.terms}
        if len(lanes) > 1 or not all(self.divided(Value({m: column.terms[m]})) in stored for m in lanes):
            return False
        base = Value({m: n for m, n in column.terms.items() if m not in lanes})
        counted = base.terms.get((), 0) in ((0,) if lanes else (0, 1))
        return self.is_position(self._undivided(base), load) or (
            counted and all(len(m) == n == 1 and self._is_block(load, m[0], names) for m, n in base.terms.items() if m)
        )

    def _keeps_tokens(self, condition: Value | None, load: LoadCall) -> bool:
        """Whether a mask of a load from the table holds for the blocks of all tokens whose scores are stored: from the
        first of these on, and up to the one that the sequence ends in."""
        clauses, whole = self.view.made_of(self.view.plain(condition)) if condition is not None else ([], False)
        column = self.columns[load.result]
        loaded = {length.result for name in self.roles.lengths for length in self.loads_from(name)}

        def is_length(a: Assignment, value: Value, _: frozenset[str]) -> bool:
            return a.kind == "name" and value.atom in loaded

        def keeps(excess: Value) -> bool:
            if any(excess + own + integer(1) in self.lengths for own in self.columns_for(load)):
                return True
            least = (column - excess).constant
            if least is not None and least <= 0:
                return True  # No token stands in front of the first.
            start, end = self.divided(column - excess), (column + excess + integer(1)).atom
            if end is not None and end.op == "cdiv" and self.by_size(end):
                length = end.operands[0]
                name = length.atom.payload if length.atom is not None and length.atom.op == "symbol" else ""
                return length in self.lengths or self._holds_only(name, frozenset(), is_length)
            return start is not None and start in self.stored_from

        return whole and all(keeps(self.view.plain(c.excess)) for c in clauses)

    def _undivided(self, block: Value) -> Value | None:
        """The position that a block which is counted from a position's on begins at; None where it is counted from
        none, or several."""
        divided = [(m, s) for m, n in block.terms.items() if (s := self.divided(Value({m: n}))) is not None]
        if len(divided) != 1 or self.size is None:
            return None
        more = block - Value({divided[0][0]: 1})
        return divided[0][1] + product(more, Value({(self.size,): 1}))

    def _is_block(self, load: LoadCall, atom: Atom, names: frozenset[str]) -> bool:
        def counts(a: Assignment, value: Value, inner: frozenset[str]) -> bool:
            if a.kind == "sum" or value.constant is not None:
                return value.constant == int(a.kind == "sum")
            end = value.atom if a.kind == "range" else None
            ends = end is not None and end.op == "cdiv" and self.by_size(end)
            return ends or self._counts_blocks(load, value, inner)

        if atom.op == "floordiv":
            return self.is_position(self.divided(Value({(atom,): 1})), load)
        return atom.op == "symbol" and self._holds_only(atom.payload, names, counts)

    def _is_entry(self, value: Value, names: frozenset[str]) -> bool:
        """Whether a number is an entry of the block table as it was loaded, one or none where a mask decides, or a name
        that holds nothing else."""
        atom = value.atom
        if atom is None:
            return False
        if atom.op == "select":
            condition, loaded, other = atom.operands
            if not self._is_entry(loaded, names):
                return False
            # Elsewhere the first block is read.
            own = [load for load in self.table if loaded.atom is load.result]
            kept = other.constant is not None and all(self._keeps_tokens(condition, load) for load in own)
            return kept or self._is_entry(other, names)
        if any(atom is load.result for load in self.table):
            return True
        return atom.op == "symbol" and self._holds_only(
            atom.payload, names, lambda a, v, inner: a.kind == "name" and self._is_entry(v, inner)
        )

    def _holds_only(
        self, name: str, names: frozenset[str], right: Callable[[Assignment, Value, frozenset[str]], bool]
    ) -> bool:
        """Whether all that a kernel's own name is given is right. Names that are being looked into are taken to be."""
        if name in names:
            return True
        assigned = self.view.assignments.of(name)
        given = [(a, self.walk.values.get(node)) for a in assigned for node in self._given(a)]
        return {a for a, _ in given} == set(assigned) != set() and all(
            v is not None and right(a, self.view.plain(v), names | {name}) for a, v in given
        )

    def _given(self, a: Assignment) -> list[ast.expr]:
        """What a name is given, what is added to it, or what it runs between; nothing where that is not known."""
        e = a.value
        if isinstance(e, ast.BinOp) and a.kind == "sum":
            return [e.right] if isinstance(e.op, ast.Add) else []
        if isinstance(e, ast.Call) and a.kind == "range":
            counted = self.walk.scope.dotted(e.func) == "builtins.range" and not e.keywords
            return e.args if counted and len(e.args) < 3 else []
        return [e] if e is not None and a.kind == "name" else []

    def _calls_twice(self) -> bool:
        """Whether a function of the module is called from two places: then but one call's values are known."""
        names = [n.func.id for n in self.walk.values if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        followed = [n for n in names if not isinstance(self.walk.scope.meaning(n), (str, int, type(None)))]
        return len(followed) != len(set(followed))

    def _table(self, load: LoadCall) -> PagedLoad:
        column = self.columns[load.result]
        if not self.own_row(load):
            return PagedLoad(load, "table", None, _OTHER_ROW)
        if not self.is_position(self.position(load), load):
            return PagedLoad(load, "table", None, "how its column is made from the token's position is not understood")
        if self.divided(column) is None:
            return PagedLoad(load, "table", False, "the column is the token's position")
        return PagedLoad(load, "table", True, "the column is the token's position divided by the block's size")

    def _cache(self, load: LoadCall, what: str) -> PagedLoad:
        tables = self.tables_of(load)
        if len(tables) != 1:
            return PagedLoad(load, what, None, "which entry of the block table it goes by is not understood")
        table, keys = tables[0], what == "keys"
        if not self._goes_by(table, load, keys=keys):
            return PagedLoad(load, what, None, _CHANGED)
        rest = self._in_block(load, keys=keys)
        elements = self.view.parameter(self.roles.key_elements)
        if keys and elements is not None:
            rest = rest - self._operation("arange", ZERO, Value({(elements,): 1}))
        if not rest.terms and not (keys and elements is None):
            return PagedLoad(load, what, False, "the first token of the block is read")
        if self._is_place(rest, table, keys=keys):
            return PagedLoad(load, what, True, "the token's place in its block is read")
        return PagedLoad(load, what, None, _OTHER_PLACE)

    def _is_place(self, rest: Value, table: LoadCall, *, keys: bool) -> bool:
        """Whether a part of an address is the place in the block of the token that an entry was loaded for, times the
        distance from one token to the next."""
        factors = next(iter(rest.terms)) if set(rest.terms.values()) == {1} and len(rest.terms) == 1 else ()
        places = [a for a in factors if a.op == "mod" and self.by_size(a)]
        names = (self.roles.key_elements, self.roles.key_token) if keys else (self.roles.scale_token,)
        known = self.roles.scale_token in function_parameters(self.walk.function)
        units = [(a,) for n in names if (a := self.view.parameter(n)) is not None] + ([] if keys or known else [()])
        distance = tuple(a for a in factors if a not in places)
        return len(places) == 1 and distance in units and self._is_place_of(places[0].operands[0], table)

    def _is_place_of(self, place: Value, table: LoadCall) -> bool:
        """Whether a number is the position, or the position where that is a token's."""
        position, atom = self.position(table), place.atom
        if atom is not None and atom.op == "max":
            return position in atom.operands and ZERO in atom.operands
        if atom is not None and atom.op == "select" and atom.operands[2].constant is not None:
            return atom.operands[1] == position and self.holds_of_tokens(atom.operands[0], table)
        return place == position

    def _in_block(self, load: LoadCall, *, keys: bool) -> Value:
        """An address without pointer and block."""
        pointer = self.view.parameter(self.roles.keys if keys else self.roles.scales)
        blocks = set(self._going(load, keys=keys))
        return Value({m: c for m, c in load.address.terms.items() if m != (pointer,) and blocks.isdisjoint(m)})

    def tables_of(self, load: LoadCall) -> list[LoadCall]:
        """The loads from the table that an address goes by."""
        return [t for t in self.table if t.result in load.address.mentions]

    def _tile(self, load: LoadCall, what: str) -> PagedLoad:
        """A load from a cache in tiles: by which entry is not followed, only that it is one, as it was loaded."""
        going = self._going(load, keys=what == "keys")
        if not (len(going) == 1 and self._is_entry(Value({(going[0],): 1}), frozenset())):
            return PagedLoad(load, what, None, _CHANGED)
        if not self._is_in_tiles(load, keys=what == "keys"):
            return PagedLoad(load, what, None, _OTHER_PLACE)
        return PagedLoad(load, what, True, "it goes by an entry of the block table")

    def _is_in_tiles(self, load: LoadCall, *, keys: bool) -> bool:
        """Whether a load reads, of the block, the tokens of its lanes: their scales one after the other; of their keys,
        in tiles of 16 tokens, 16 elements of each token at a time."""
        rest, columns = self._in_block(load, keys=keys), self.columns_for(load, either=True)
        elements = self.view.parameter(self.roles.key_elements)
        if self.size is None or (keys and elements is None):
            return False
        size, sixteen = Value({(self.size,): 1}), integer(16)
        lanes = [column - scalar_part(column) for column in self.stored]
        if not keys:
            return rest == self._operation("arange", ZERO, size) or any(
                rest == self._operation("mod", place, size) for place in (*lanes, *columns)
            )
        width = Value({(elements,): 1}) if elements is not None else ZERO
        element = self._operation("arange", ZERO, width)
        key = self._operation("mod", element, sixteen)
        key = key + product(self._operation("floordiv", element, sixteen), integer(256))
        starts = [ZERO, *(product(width, self._operation("mod", scalar_part(c), size)) for c in columns)]
        for lane in lanes:
            token = key + product(self._operation("mod", lane, sixteen), sixteen)
            tile = self._operation("floordiv", self._operation("mod", lane, size), sixteen)
            # Without the tile: for blocks of one.
            if any(rest - start in (token, token + product(tile, integer(2048))) for start in starts):
                return True
        return False

    def _operation(self, op: str, left: Value, right: Value) -> Value:
        rank = Rank.TENSOR if op == "arange" else Rank.of((left.rank, right.rank))
        return self.walk.universe.operation(op, "", (left, right), rank)

    def _goes_by(self, table: LoadCall, load: LoadCall, *, keys: bool) -> bool:
        """Whether an address takes the entry once, as it was loaded for every token that counts, times the distance
        from one block to the next."""
        going = self._going(load, keys=keys)
        masks = [self.walk.values.get(table.arguments[name]) for name in ("mask",) if name in table.arguments]
        conditions = [self.view.plain(mask) for mask in masks if mask is not None]
        if len(going) == 1 and going[0].op == "select" and going[0].operands[2].constant is not None:
            conditions.append(going[0].operands[0])
            going = [a for a in [going[0].operands[1].atom] if a is not None]
        return (
            len(conditions) >= len(masks)
            and going == [table.result]
            and all(self.holds_of_tokens(c, table) for c in conditions)
        )

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


def _chosen(atoms: list[Atom]) -> list[Atom]:
    """The same without masks: what stands where they hold."""
    return [a.operands[1].atom or a if a.op == "select" and a.operands[2].constant is not None else a for a in atoms]


_OTHER_PLACE = "which token of the block it reads is not understood"
_CHANGED = "how it goes by the entry of the block table is not understood"
_OTHER_ROW = "that it reads the block table for the sequence whose row it stores is not understood"
