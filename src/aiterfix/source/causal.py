"""Which columns a row may see, by the mask of its scores: the bound that the row's position in its sequence asks for.

A sequence of length L has ``next_n`` rows; the row at position p sees the columns up to ``L - next_n + p``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from aiterfix.source.columns import scalar_start
from aiterfix.source.guards import column_of
from aiterfix.source.loads import KernelView, view_of
from aiterfix.source.locate import Edit, Lines, Span
from aiterfix.source.logic import Comparison
from aiterfix.source.names import function_parameters
from aiterfix.source.positions import NotFollowedError, Row, length_name, lengths_of, row_of
from aiterfix.source.roles import PagingRoles
from aiterfix.source.sites import KernelAnalysis, SiteSyntax, StoreSite
from aiterfix.source.sums import SumEditor
from aiterfix.source.syntax import is_minus_infinity, last_name
from aiterfix.source.tree import descend
from aiterfix.source.values import Atom, Value, integer
from aiterfix.source.walk import KernelWalk

_REDUCTIONS = frozenset({"reduce", "sum"})
NO_CHOICE = "what it stores is no choice between scores and -inf"
"""Reason of a bound that was not found because the scores that are stored have none."""


@dataclass(frozen=True)
class CausalBound:
    """What keeps the columns that a row may not see out of one store.

    Attributes:
        site: the store.
        line: of the comparison; of the store where none was found.
        expression: the comparison, on one line; empty where none was found.
        right: whether it is the bound by position; None where that is not known.
        reason: why not.
        comparisons: the nodes that spell it.
    """

    site: StoreSite
    line: int
    expression: str
    right: bool | None
    reason: str = ""
    comparisons: tuple[ast.Compare, ...] = ()


def causal_bounds(kernel: KernelAnalysis, roles: PagingRoles) -> tuple[CausalBound, ...]:
    """One a store, in source order; of a tiled kernel those with a choice, and all where none has one. None at all in a
    kernel that does not look at the lengths of sequences: it is none of this family but by name."""
    if not kernel.syntax:
        return ()
    view = view_of(kernel.syntax[0].walk)
    if not any(view.mentioned(n) for n in roles.lengths):
        return ()
    pairs = zip(kernel.sites, kernel.syntax, strict=True)
    found = tuple(_Judge(syntax, roles, view).bound(site) for site, syntax in pairs)
    masked = tuple(bound for bound in found if bound.reason != NO_CHOICE)
    return masked if roles.tiled and masked else found


def causal_bound(site: StoreSite, syntax: SiteSyntax, roles: PagingRoles, view: KernelView) -> CausalBound:
    """What keeps the columns that a row may not see out of one store."""
    return _Judge(syntax, roles, view).bound(site)


class _Judge:
    def __init__(self, syntax: SiteSyntax, roles: PagingRoles, view: KernelView) -> None:
        self.syntax = syntax
        self.view = view
        self.walk = syntax.walk
        self.roles = roles

    def bound(self, site: StoreSite) -> CausalBound:
        try:
            return self._bound(site)
        except NotFollowedError as error:
            return CausalBound(site, site.line, "", None, str(error))

    def _bound(self, site: StoreSite) -> CausalBound:
        condition = self._condition()
        row = row_of(self.syntax.store, self.roles, self.view)
        column = self.view.plain(column_of(self.syntax.store.address, self.walk.output, self.walk.strides)[0])
        lengths = self._lengths(row)
        if not lengths:
            raise NotFollowedError("the length of its sequence is loaded in no way that is understood")
        about = frozenset[Atom]().union(*(v.mentions for v in lengths))
        clauses, whole = self.view.made_of(condition)
        limits = {c: self.view.plain(c.excess) + column for c in clauses}
        found = {c: limit for c, limit in limits.items() if not limit.mentions.isdisjoint(about)}

        def is_length(value: Value) -> bool:
            return value in lengths

        if not found:
            raise NotFollowedError("what masks its scores compares no column with the context's length")
        nodes = tuple(self._spelled(list(found)))
        line = nodes[0].lineno if nodes else site.line
        text = ast.unparse(nodes[0]) if nodes else ""
        result = CausalBound(site, line, text, True, "", nodes)
        right = {c for c, limit in found.items() if is_length(limit - row.position + row.count)}
        if right and whole and all(c in right or self._hides_none(c, column, is_length) for c in clauses):
            return result
        if all(is_length(limit + row.position) for limit in found.values()):
            return replace(result, right=False)
        return replace(result, right=None, reason=f"`{text}` is no bound that is understood")

    def _lengths(self, row: Row) -> set[Value]:
        """What is the length of a row's sequence. Which sequence a loop has come to is not followed: in kernels that
        may walk, it is what the name of the length holds."""
        if not self.roles.tiled:
            return lengths_of(row.sequence, self.roles, self.view)
        held = self.syntax.store.environment.get(length_name(self.walk, self.roles))
        return {self.view.plain(held)} if held is not None else set()

    def _hides_none(self, clause: Comparison, column: Value, is_length: Callable[[Value], bool]) -> bool:
        """Whether a comparison holds for every column that a row may see: those from 0, below the length or width."""
        limit = self.view.plain(clause.excess) + column + integer(1)
        least = (self.view.plain(clause.excess) - column).constant
        bound = self.walk.bound
        bounded = bound is not None and limit == Value({(bound,): 1})
        return is_length(limit) or bounded or (least is not None and least >= 0)

    def _condition(self) -> Value:
        """The mask that the stored scores were given, -inf where it does not hold."""
        argument = self.syntax.store.stored
        value = self.walk.values.get(argument) if argument is not None else None
        for _ in range(8):
            atom = value.atom if value is not None else None
            if atom is None:
                break
            if atom.op == "select":
                condition, choices = self.view.plain(atom.operands[0]), list(self._choices(atom))
                if any(is_minus_infinity(other) for _, other in choices):
                    return condition
                if any(is_minus_infinity(chosen) for chosen, _ in choices):
                    return self._opposite(condition)
                raise NotFollowedError("scores that its row may not see are set to something else than -inf")
            value = self._inside(atom)
        raise NotFollowedError(NO_CHOICE)

    def _inside(self, atom: Atom) -> Value | None:
        if atom.op == "subscript":
            return atom.operands[0]
        for call in self.view.calls_giving(atom):
            if self.walk.scope.triton(call.func) in _REDUCTIONS and call.args:
                return self.walk.values.get(call.args[0])
        return None

    def _opposite(self, condition: Value) -> Value:
        atom = condition.atom
        if atom is not None and atom.op in ("not", "invert"):
            return atom.operands[0]
        return self.walk.universe.operation("not", "", (condition,), condition.rank)

    def _choices(self, atom: Atom) -> Iterator[tuple[ast.expr, ast.expr]]:
        for node, value in self.walk.values.items():
            if not isinstance(node, ast.Call) or last_name(node.func) != "where" or len(node.args) != 3:
                continue
            if value.atom is not None and self._same(value.atom, atom):
                yield node.args[1], node.args[2]

    def _same(self, one: Atom, other: Atom) -> bool:
        return one is other or (
            one.op == other.op == "select"
            and self.view.plain(Value({(one,): 1})) == self.view.plain(Value({(other,): 1}))
        )

    def _spelled(self, wanted: list[Comparison]) -> Iterator[ast.Compare]:
        excesses = {c.excess for c in wanted}
        for node, found in self.view.comparisons:
            if any(c.excess in excesses for c in found):
                yield node


# ---- the mend ------------------------------------------------------------------------------------


def position_terms(
    bound: CausalBound, kernel: KernelAnalysis, roles: PagingRoles
) -> tuple[tuple[ast.Compare, ast.BinOp], ...]:
    """Where a comparison takes the row's position away: ``length - position``. None where it is not written out."""
    syntax = kernel.syntax[bound.site.ordinal]
    view = view_of(syntax.walk)
    try:
        position = row_of(syntax.store, roles, view).position
    except NotFollowedError:
        return ()
    found = []
    for compare in bound.comparisons:
        for node in descend(compare):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
                value = syntax.walk.values.get(node.right)
                if value is not None and view.plain(value) == position:
                    found.append((compare, node))
    return tuple(found)


def bound_change(
    lines: Lines, compare: ast.Compare, node: ast.BinOp, roles: PagingRoles, walk: KernelWalk
) -> tuple[list[Edit], tuple[ast.AST, ast.AST]]:
    """``length - position`` becomes ``length - next_n + position``; and the same on the syntax tree.

    Where lengths are running sums, a chunk's start that stands before the columns in it goes to the other side. Beside
    the store's own bound the kernel would else spill 23 scalar registers in the place of 15 (Triton 3.7.1), and so it
    spills 9 and executes less. In a kernel that loads its length, it is the other way about.
    """
    at = SumEditor(lines).bracketed(node, node.right).start
    edits = [Edit(Span(at, at), f"{roles.next_n} + ".encode())]
    mended = ast.BinOp(ast.BinOp(node.left, ast.Sub(), ast.Name(roles.next_n, ast.Load())), ast.Add(), node.right)
    start = scalar_start(compare.left, walk)
    sums = set(roles.lengths[1:]).intersection(function_parameters(walk.function))
    if not sums or start is None or compare.comparators != [node]:
        return edits, (node, mended)
    name, columns = (lines.span(e) for e in (start.left, start.right))
    if lines.text[name.end : columns.start].strip() != b"+":
        return edits, (node, mended)
    end = lines.span(node).end
    edits = [Edit(Span(name.start, columns.start), b""), *edits]
    edits.append(Edit(Span(end, end), f" - {ast.unparse(start.left)}".encode()))
    moved = ast.Compare(start.right, compare.ops, [ast.BinOp(mended, ast.Sub(), start.left)])
    return edits, (compare, moved)
