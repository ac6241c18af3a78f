"""Which tokens a kernel's loads are about: positions in a sequence, by the columns that its stores are for."""

from __future__ import annotations

import ast
from functools import cached_property

from aiterfix.source.guards import column_of
from aiterfix.source.loads import LoadCall, product, view_of, without
from aiterfix.source.logic import Prover
from aiterfix.source.positions import lengths_of, one_row
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.values import ZERO, Atom, Rank, Value, integer


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
        stored_from: where their masks say that columns begin.
    """

    def __init__(self, kernel: KernelAnalysis, roles: PagingRoles) -> None:
        view = self.view = view_of(kernel.syntax[0].walk)
        row = one_row(kernel, roles, view)
        self.sequence = row.sequence if row is not None else None
        self.walk = view.walk
        self.roles = roles
        self.size = view.parameter(roles.block_size)
        self.table = self.loads_from(roles.table)
        self._stores = [s.node.lineno for s in kernel.syntax]
        columns = (column_of(s.store.address, self.walk.output, self.walk.strides)[0] for s in kernel.syntax)
        self.stored = [view.plain(column) for column in columns]
        self.stored_from = self._stored_from(kernel)
        self.columns = {load.result: self._column(load) for load in self.table}

    def _stored_from(self, kernel: KernelAnalysis) -> frozenset[Value]:
        masks = [(c, s.store.mask) for c, s in zip(self.stored, kernel.syntax, strict=True)]
        clauses = ((c, self.view.made_of(self.view.plain(mask))[0]) for c, mask in masks if mask is not None)
        starts = (column - self.view.plain(c.excess) for column, found in clauses for c in found)
        return frozenset(start for start in starts if start.rank is Rank.SCALAR)

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

    def columns_for(self, load: LoadCall, *, either: bool = False) -> list[Value]:
        """The columns that are stored, as they are in the turn of their loop that a load is for: of one before a loop,
        the first; of one inside, its own, or the next where keys are loaded a turn ahead.

        Args:
            load: from the table; where ``either``, from the cache, in its own turn or the next.
            either: see there.
        """
        ahead = self.runs_ahead
        found = []
        for column in self.stored:
            counter = self._counter(column)
            if counter is None:
                found.append(column)
                continue
            start, step = map(self.view.plain, self.walk.universe.starts[counter])
            inside = self._in_loop_of(counter, load)
            if inside and (ahead or either):
                found.append(column + product(without(column, counter)[0], step))
            if not inside or not ahead or either:
                found.append(column)
            if not inside:
                found.append(_in_turn(column, counter, start))
        return found

    @property
    def runs_ahead(self) -> bool:
        """Whether a block table is read before the loop that stores the columns which it is read for."""
        counters = {c for column in self.stored if (c := self._counter(column)) is not None}
        return any(not self._in_loop_of(c, load) for load in self.table for c in counters)

    @property
    def last_is_followed(self) -> bool:
        """Whether a column that is stored in no loop is that of a loop's first turn, or of the one behind its last."""
        first, last = set[Value](), set[Value]()
        lines = [0]
        for column in self.stored:
            if (counter := self._counter(column)) is not None:
                axioms = [self.view.plain(a) for a in self.walk.universe.axioms.get(counter, ())]
                ends = [a + Value({(counter,): 1}) + integer(1) for a in axioms if a.terms.get((counter,)) == -1]
                first.add(_in_turn(column, counter, self.view.plain(self.walk.universe.starts[counter][0])))
                last |= {_in_turn(column, counter, end) for end in ends}
                lines += [getattr(n, "lineno", 0) for n in self._loops.get(counter.payload, ())]
        alone = ((c, s) for c, s in zip(self.stored, self._stores, strict=True) if self._counter(c) is None)
        return all(column in (last if line > max(lines) else first) for column, line in alone)

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
                found.setdefault(n.target.id, set()).update(ast.walk(n))
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
