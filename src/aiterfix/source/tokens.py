"""Which tokens a kernel's loads are about: positions in a sequence, by the columns that its stores are for."""

from __future__ import annotations

import ast
from functools import cached_property

from aiterfix.source.guards import column_of
from aiterfix.source.loads import LoadCall, product, view_of, without
from aiterfix.source.logic import Prover
from aiterfix.source.names import bound_names, closure, names_in, read_and_bound
from aiterfix.source.positions import lengths_of, one_row
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.tree import descend
from aiterfix.source.values import ZERO, Atom, Rank, Value, integer
from aiterfix.source.vocabulary import LOADS

_KEEP_PLACES = LOADS | frozenset(
    "arange broadcast_to cast cdiv convert_layout dot dot_scaled exp expand_dims fma full maximum mfma mfma_scaled "  # noqa: SIM905
    "minimum permute program_id reduce sum to trans where wmma wmma_scaled zeros".split()
)
"""Functions of Triton that leave a token's data in its own column; others, as `flip` or `sort`, may move or mix it."""


class Tokens:
    """The block table of one kernel, which has stores, and the tokens that it is read for.

    Args:
        kernel: as analysed.
        roles: what its parameters mean.

    Attributes:
        size: of a block; None where the kernel does not use it.
        table: the loads from the block table.
        columns: where in a row of it each of them reads, by what it gives.
        stored: the columns that the kernel's stores are for.
    """

    def __init__(self, kernel: KernelAnalysis, roles: PagingRoles) -> None:
        self.kernel = kernel
        view = self.view = view_of(kernel.syntax[0].walk)
        row = one_row(kernel, roles, view)
        self.sequence = row.sequence if row is not None else None
        self.walk = view.walk
        self.roles = roles
        self.size = view.parameter(roles.block_size)
        self.table = self.loads_from(roles.table)
        columns = (column_of(s.store.address, self.walk.output, self.walk.strides)[0] for s in kernel.syntax)
        self.stored = [view.plain(column) for column in columns]
        self.columns = {load.result: self._column(load) for load in self.table}

    @cached_property
    def lengths(self) -> set[Value]:
        """Values that are the length of the sequence that the stores are about."""
        return lengths_of(self.sequence, self.roles, self.view) if self.sequence is not None else set()

    def loads_from(self, name: str) -> list[LoadCall]:
        """The loads from a parameter."""
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

    def own_row(self, load: LoadCall) -> bool:
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

    def position(self, load: LoadCall) -> Value:
        """The token's position that a column is, or is made of by dividing."""
        column = self.columns[load.result]
        return self.divided(column) or column

    def divided(self, column: Value) -> Value | None:
        """What was divided by the size of a block; None where nothing was."""
        atom = column.atom
        return atom.operands[0] if atom is not None and atom.op == "floordiv" and self.by_size(atom) else None

    def columns_for(self, load: LoadCall) -> list[Value]:
        """The columns that are stored, as they are in the turn of their loop that a load from the table is for: of one
        before a loop, the first; of one inside, its own, or the next where keys are loaded a turn ahead."""
        ahead = self.runs_ahead
        found = []
        for column in self._own[load.node] if self.is_straight else self.stored:
            counter = self._counter(column)
            if counter is None:
                found.append(column)
                continue
            start, step = map(self.view.plain, self.walk.universe.starts[counter])
            inside = self._in_loop_of(counter, load)
            if inside and ahead:
                found.append(column + product(without(column, counter)[0], step))
            else:
                found.append(column)
            if not inside:
                found.append(_in_turn(column, counter, start))
        return found

    @cached_property
    def runs_ahead(self) -> bool:
        """Whether a block table is read before the loop that stores the columns which it is read for."""
        counters = {c for column in self.stored if (c := self._counter(column)) is not None}
        return any(not self._in_loop_of(c, load) for load in self.table for c in counters)

    @cached_property
    def is_straight(self) -> bool:
        """Whether each turn of a loop scores the keys that it loads itself, and each load is for one store: then the
        column of that store is the token whose key it is."""
        return not (self.runs_ahead or self._carries_keys) and all(self._own.values()) and all(self._served)

    @cached_property
    def _reached(self) -> list[frozenset[Atom]]:
        """Of each store, the atoms that its scores are made from; none where that is not followed."""
        return [self._made_from(self.walk.values.get(s.store.stored)) for s in self.kernel.syntax if s.store.stored]

    def _made_from(self, value: Value | None) -> frozenset[Atom]:
        found = set[Atom]()
        pending = [value]
        while pending:
            value = pending.pop()
            if value is None:
                return frozenset()
            for atom in {a for m in value.terms for a in m} - found:
                found.add(atom)
                pending += atom.operands
                calls = list(self.view.calls_giving(atom))
                if not calls and atom.payload.endswith("()"):
                    return frozenset()  # by a call in a function that is called twice: the last one is known
                for call in calls:
                    given = (*call.args, *(k.value for k in call.keywords))
                    # What a function is given beside data need not be known. In one that is called, all may be data.
                    inside = call not in self._own_nodes
                    data = [e for e in given if inside or not self._loaded.isdisjoint(names_in(e))]
                    if data and not self._keeps_places(call):
                        return frozenset()
                    pending += [self.walk.values.get(e) for e in data]
        return frozenset(found)

    @cached_property
    def _own_nodes(self) -> frozenset[ast.AST]:
        return frozenset(self.walk.nodes)

    def _keeps_places(self, call: ast.Call) -> bool:
        """Whether a call leaves each token's data in its column. Functions that are followed are looked at inside."""
        scope = self.walk.scope
        followed = isinstance(call.func, ast.Name) and isinstance(scope.meaning(call.func.id), ast.FunctionDef)
        return followed or scope.triton(call.func) in _KEEP_PLACES

    @cached_property
    def _own(self) -> dict[ast.Call, list[Value]]:
        """The column of the one store that each load from table and cache is for; none of one that is for no store, or
        several."""
        names = (self.roles.table, self.roles.keys, self.roles.scales)
        found = {}
        for load in (load for name in names for load in self.loads_from(name)):
            own = [c for c, atoms in zip(self.stored, self._reached, strict=True) if load.result in atoms]
            found[load.node] = own if len(own) == 1 else []
        return found

    @property
    def _served(self) -> list[bool]:
        """Whether each store is of scores that are made from something loaded from the cache."""
        cache = {load.result for name in (self.roles.keys, self.roles.scales) for load in self.loads_from(name)}
        served = [not cache.isdisjoint(atoms) for atoms in self._reached]
        return served if len(served) == len(self.stored) else [False]

    @cached_property
    def _loaded(self) -> frozenset[str]:
        """Names that may hold what was loaded from table or cache, or something that was made of that."""
        given = [(a, a.value is not None and self._loads_in(a.value)) for a in self.view.assignments.all]
        cache = (self.roles.table, self.roles.keys, self.roles.scales)
        pointers = closure(cache, [(a.names, a.uses) for a, loads in given if not loads], forward=True)
        first = {n for a, loads in given if loads and not pointers.isdisjoint(a.uses) for n in a.names}
        return closure(first, [(a.names, a.uses) for a, _ in given], forward=True)

    @property
    def _carries_keys(self) -> bool:
        """Whether a turn of a loop may use what another has loaded from table or cache, or has made of that."""
        bodies = [n.body for n in self.walk.nodes if isinstance(n, (ast.For, ast.While))]
        bound = ({n for s in body for n in bound_names(s)} for body in bodies)
        return any(self._loaded & read_and_bound(body)[0] & names for body, names in zip(bodies, bound, strict=True))

    def _loads_in(self, node: ast.expr) -> bool:
        """Whether an expression loads something, or calls a function that may."""
        calls = (n for n in descend(node) if isinstance(n, ast.Call))
        return any(self.walk.scope.triton(c.func) in ("", *LOADS) for c in calls)

    def _counter(self, column: Value) -> Atom | None:
        """The counter of the loop that a column goes by."""
        counters = (a for a in column.mentions if a in self.walk.universe.starts)
        return next((c for c in counters if without(column, c)[0].terms), None)

    def _in_loop_of(self, counter: Atom, load: LoadCall) -> bool:
        return load.node in self._loops.get(counter.payload, ())

    @cached_property
    def _loops(self) -> dict[str, set[ast.AST]]:
        """What stands in the loops that count with a name."""
        found: dict[str, set[ast.AST]] = {}
        for n in self.walk.nodes:
            if isinstance(n, ast.For) and isinstance(n.target, ast.Name):
                found.setdefault(n.target.id, set()).update(descend(n))
        return found

    def is_position(self, position: Value | None, load: LoadCall) -> bool:
        """Whether a number is the position of the token whose score goes to a column; of the first lane's, if it is one
        for all lanes."""
        if position is None:
            return False
        position = position - self._first(position)
        columns = self.columns_for(load)
        return position in (map(scalar_part, columns) if position.rank is Rank.SCALAR else columns)

    def _first(self, position: Value) -> Value:
        """Where the sequence's tokens begin in a table of all tokens, if that is part of a position; else 0."""
        starts = self._starts(self.sequence) if self._width is None and self.sequence is not None else []
        firsts = [Value({(s,): 1}) for s in starts if position.terms.get((s,)) == 1]
        return firsts[0] if len(firsts) == 1 else ZERO

    def holds_of_tokens(self, condition: Value, table: LoadCall) -> bool:
        """Whether a mask holds for every token that a row may see, by its comparisons: their positions are from 0 on
        and below the length, and their blocks in a row of the table."""
        first, position = self._first(self.position(table)), self.position(table)
        ends = [*self.lengths, *(Value({(b,): 1}) for b in [self.walk.bound] if b is not None)]
        fine = [position - first, *(end - position + first - integer(1) for end in ends)]
        block = self.columns[table.result]
        fine += [Value({(self._width,): 1}) - block - integer(1)] if self._width is not None else []
        clauses, whole = self.view.made_of(condition)
        known = [(self.walk.universe.operation("compare", ">=", (f, ZERO), f.rank), True) for f in fine]
        prover = Prover(self.walk.universe, assuming=True)
        return whole and all(prover.follows(self.view.plain(c.excess), known) for c in clauses)

    def by_size(self, atom: Atom) -> bool:
        """Whether a number is divided by the size of a block."""
        return self.size is not None and atom.operands[1] == Value({(self.size,): 1})


def _in_turn(column: Value, counter: Atom, turn: Value) -> Value:
    """A column where a loop's counter is something."""
    factor, rest = without(column, counter)
    return rest + product(factor, turn)


def scalar_part(value: Value) -> Value:
    """The part of a sum that is one number for all lanes."""
    return Value({m: n for m, n in value.terms.items() if Value({m: n}).rank is Rank.SCALAR})
