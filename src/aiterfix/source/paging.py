"""How a kernel gets from a token's position to its key: the block table's column, and the place in the block.

Token t of a sequence is in block ``table[t // size]`` at place ``t % size``. A kernel that takes t itself for the
column, and the first token of the block that stands there, is right with blocks of one token only.

A cache in tiles (preshuffled) has its tokens in another order within a block; the column is made alike.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import cached_property

from aiterfix.source.derivation import derivations_of
from aiterfix.source.loads import LoadCall
from aiterfix.source.names import function_parameters
from aiterfix.source.operands import other_operands
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.tokens import Tokens
from aiterfix.source.values import ZERO, Atom, Rank, Value


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
        if not (self.is_straight or self.goes_a_known_way):
            return Paging(takes_size, (), _OTHER_WAY)
        if problem := other_operands(self.kernel, self.roles, self.view):
            return Paging(takes_size, (), problem)
        counted = self.roles.tiled and not self.is_straight
        tables, caches = (self._known, self._known) if counted else (self._table, self._cache)
        judged = [tables(t, "table") for t in self.table]
        judged += [caches(load, what) for what, loads in (("keys", keys), ("scales", scales)) for load in loads]
        if self.roles.tiled:  # no such kernel is known to go by position, and none is taught
            judged = [p if p.right else replace(p, right=None) for p in judged]
        return Paging(takes_size, tuple(sorted(judged, key=lambda p: (p.load.node.lineno, p.load.node.col_offset))))

    @cached_property
    def goes_a_known_way(self) -> bool:
        """Whether the statements that decide which keys its scores are made from are those of a text that was examined:
        what keys that are loaded a turn ahead, and counted blocks, come to is not followed."""
        d = self.kernel.definition
        if d is None:
            return False
        derivations = derivations_of(self.walk, d.roles.known_columns, walrus=d.walrus)
        return derivations.knows_keys([s.store for s in self.kernel.syntax], self.roles)

    def _known(self, load: LoadCall, what: str) -> PagedLoad:
        """A load of a kernel that goes a known way: but for the sequence, of which that says nothing."""
        if what == "table" and not self.own_row(load):
            return PagedLoad(load, what, None, _OTHER_ROW)
        return PagedLoad(load, what, True, "it is that of a kernel that goes by blocks")

    def _calls_twice(self) -> bool:
        """Whether a function of the module is called from two places: then but one call's values are known."""
        names = [n.func.id for n in self.walk.values if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
        followed = [n for n in names if not isinstance(self.walk.scope.meaning(n), (str, int, type(None)))]
        return len(followed) != len(set(followed))

    def _table(self, load: LoadCall, what: str) -> PagedLoad:
        column = self.columns[load.result]
        if not self.own_row(load):
            return PagedLoad(load, what, None, _OTHER_ROW)
        if not self.is_position(self.position(load), load):
            return PagedLoad(load, what, None, "how its column is made from the token's position is not understood")
        if self.divided(column) is None:
            return PagedLoad(load, what, False, "the column is the token's position")
        return PagedLoad(load, what, True, "the column is the token's position divided by the block's size")

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

    def _operation(self, op: str, left: Value, right: Value) -> Value:
        rank = Rank.TENSOR if op == "arange" else Rank.of((left.rank, right.rank))
        return self.walk.universe.operation(op, "", (left, right), rank)

    def _goes_by(self, table: LoadCall, load: LoadCall, *, keys: bool) -> bool:
        """Whether an address takes the entry once, as it was loaded for every token that counts, times the distance
        from one block to the next; and whether every such token is loaded from there."""
        going = self._going(load, keys=keys)
        masks = [self.walk.values.get(at.arguments["mask"]) for at in (table, load) if "mask" in at.arguments]
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


_OTHER_PLACE = "which token of the block it reads is not understood"
_CHANGED = "how it goes by the entry of the block table is not understood"
_OTHER_WAY = "which keys its scores are made from is decided by other statements than in any kernel that is known"
_OTHER_ROW = "that it reads the block table for the sequence whose row it stores is not understood"
