"""Write down the column of a store as source text, from the terms that stand in its arguments."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Literal

from aiterfix.source.guards import column_of
from aiterfix.source.tree import descend
from aiterfix.source.values import ADAPTS, Atom, Rank, Value
from aiterfix.source.vocabulary import POINTER_PARAMETER
from aiterfix.source.walk import Environment, KernelWalk, StoreCall


class NotExpressible(Exception):  # noqa: N818 - a reason, not an error: it never leaves this package
    """The column cannot be written at the store. Its message says why."""


@dataclass(frozen=True)
class _Term:
    """A summand: a node of the store's own arguments, or one made of local names."""

    sign: int
    node: ast.expr


def column_expression(store: StoreCall, walk: KernelWalk) -> ast.expr:
    """An expression that, at the store, has the value of its column.

    Terms keep the order and the form in which the store has them, offsets first: masks in these
    kernels are written that way. The caller must prove the result; this only proposes.

    Raises:
        NotExpressible: a term can be neither copied nor named.
    """
    if store.helper:
        raise NotExpressible(f"the store stands in {store.helper}(), which may be called with other bounds")
    nodes = [store.arguments.get("offsets"), store.arguments[POINTER_PARAMETER[store.kind]]]
    return column_within([n for n in nodes if n is not None], store, walk)


def column_within(nodes: list[ast.expr], store: StoreCall, walk: KernelWalk) -> ast.expr:
    """The part of a store's column that stands in some of its arguments.

    Raises:
        NotExpressible: a term can be neither copied nor named, or there is none.
    """
    terms = [t for node in nodes for t in _Writer(store, walk).terms(node, 1)]
    if not terms:
        raise NotExpressible("the store has no column term")
    # A subtraction cannot come first without a unary minus: put a positive term there if there is one.
    terms.sort(key=lambda t: t.sign < 0)
    first = terms[0]
    expression: ast.expr = first.node if first.sign > 0 else ast.UnaryOp(ast.USub(), first.node)
    for t in terms[1:]:
        expression = ast.BinOp(expression, ast.Add() if t.sign > 0 else ast.Sub(), t.node)
    return expression


def named_expression(value: Value, store: StoreCall, walk: KernelWalk) -> ast.expr:
    """A value, written with local names that hold its parts at a store.

    Raises:
        NotExpressible: a part has no name there.
    """
    terms = _Writer(store, walk).named(value, 1)
    expression = terms[0].node
    for t in terms[1:]:
        expression = ast.BinOp(expression, ast.Add() if t.sign > 0 else ast.Sub(), t.node)
    return expression if terms[0].sign > 0 else ast.UnaryOp(ast.USub(), expression)


def scalar_start(column: ast.expr, walk: KernelWalk) -> ast.BinOp | None:
    """A column as ``start + columns``, where the start is a name that holds one number for all lanes."""
    if isinstance(column, ast.BinOp) and isinstance(column.op, ast.Add) and isinstance(column.left, ast.Name):
        value = walk.values.get(column.left)
        return column if value is not None and value.rank is Rank.SCALAR else None
    return None


def noneness(mask: Value | None, walk: KernelWalk) -> Literal["never", "maybe", "always"]:
    """Whether a mask is None when the kernel runs: on every way, on none that is seen, or who knows."""
    if mask is None:
        return "always"
    atom = mask.atom
    if atom is None:
        return "never"
    if atom.op == "select":
        left, right = (noneness(v, walk) for v in atom.operands[1:])
        return left if left == right else "maybe"
    if atom.op in ("land", "lor"):
        return "never" if all(noneness(v, walk) == "never" for v in atom.operands) else "maybe"
    if atom.op == "constant":
        return "always" if atom.payload == "None" else "never"
    known = atom.op not in ("symbol", "attribute") or atom in walk.never_none
    return "never" if known else "maybe"


class _Writer:
    def __init__(self, store: StoreCall, walk: KernelWalk) -> None:
        self.walk = walk
        self.environment: Environment = store.environment

    def terms(self, node: ast.expr, sign: int) -> list[_Term]:
        """The column's terms within ``node``."""
        value = self.walk.values[node]
        if value.constant == 0:
            return []
        column, _ = column_of(value, self.walk.output, self.walk.strides)
        if column == value:
            return self._copied(node, sign)
        if not column.terms:
            return []
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            right = -sign if isinstance(node.op, ast.Sub) else sign
            return self.terms(node.left, sign) + self.terms(node.right, right)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            return self.terms(node.operand, -sign if isinstance(node.op, ast.USub) else sign)
        return self.named(column, sign)

    def _copied(self, node: ast.expr, sign: int) -> list[_Term]:
        for n in descend(node):
            if isinstance(n, ast.NamedExpr):
                raise NotExpressible("the column contains an assignment expression")
            if isinstance(n, ast.Call):
                atom = self.walk.values[n].atom if n in self.walk.values else None
                if atom is not None and atom.op == "symbol":
                    called = ast.unparse(n.func)
                    raise NotExpressible(f"the column calls {called}(), which need not give the same value twice")
        return [_Term(sign, node)]

    def named(self, column: Value, sign: int) -> list[_Term]:
        """Terms hidden in a local name, written with names that hold the same values at the store."""
        whole = self._name_of(column)
        if whole is not None:
            return [_Term(sign, whole)]
        terms = []
        for monomial, coefficient in column.terms.items():
            if any(a.op == "marker" for a in monomial):
                raise NotExpressible("part of the column is a 64-bit product that has no name at the store")
            factors: list[ast.expr] = [self._factor(a) for a in monomial]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, ast.Constant(abs(coefficient)))
            product = factors[0]
            for f in factors[1:]:
                product = ast.BinOp(product, ast.Mult(), f)
            terms.append(_Term(sign if coefficient > 0 else -sign, product))
        return terms

    def _factor(self, atom: Atom) -> ast.expr:
        name = self._name_of(Value({(atom,): 1}, atom.width))
        if name is None:
            raise NotExpressible("part of the column is in the pointer's value and has no name at the store")
        return name

    def _name_of(self, value: Value) -> ast.expr | None:
        if self.walk.relaid and value.rank is not Rank.SCALAR:
            return None  # it may hold the same numbers in another layout
        for name, held in self.environment.items():
            if held == value and held.width in (value.width, ADAPTS):
                return ast.Name(name, ast.Load())
        return None
