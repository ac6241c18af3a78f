"""Which statements a kernel is compiled with, for some values of its constexpr parameters."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence

from aiterfix.source.names import bound_names
from aiterfix.source.vocabulary import last_name

Constant = int | str | bool
_OPERATIONS: dict[type[ast.AST], Callable[[int, int], int | bool]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def compiled_statements(
    function: ast.FunctionDef, constants: Mapping[str, Constant], *, walrus: bool = True
) -> frozenset[ast.stmt]:
    """The statements that are there when a kernel is specialised; those in doubt among them.

    Args:
        function: the kernel.
        constants: its constexpr parameters that have a known value. Others, and what is made from them, leave both
            branches of a condition in.
        walrus: False where the text has no ``:=``.
    """
    reader = _Reader(dict(constants), walrus)
    reader.block(function.body)
    return frozenset(reader.reached)


def is_constexpr(annotation: ast.expr) -> bool:
    """Whether a parameter's annotation is Triton's or Gluon's for one that the compiler is given."""
    return last_name(annotation) == "constexpr"


class _Reader:
    def __init__(self, known: dict[str, Constant], walrus: bool) -> None:
        self.known = known
        self.walrus = walrus
        self.reached: set[ast.stmt] = set()

    def block(self, body: Sequence[ast.stmt]) -> None:
        for s in body:
            self.reached.add(s)
            if isinstance(s, ast.If):
                self._branches(s)
            elif isinstance(s, (ast.Assign, ast.AnnAssign)):
                targets = s.targets if isinstance(s, ast.Assign) else [s.target]
                value = _value(s.value, self.known) if s.value is not None else None
                self._forget(s)
                if len(targets) == 1 and isinstance(targets[0], ast.Name) and value is not None:
                    self.known[targets[0].id] = value
            else:
                self._forget(s)  # what a loop binds is not what was held before, in its body neither
                self.block([n for n in ast.iter_child_nodes(s) if isinstance(n, ast.stmt)])
                for part in ast.iter_child_nodes(s):
                    if not isinstance(part, (ast.stmt, ast.expr)):  # handlers, cases
                        self.reached |= {n for n in ast.walk(part) if isinstance(n, ast.stmt)}
                self._forget(s)
                if isinstance(s, (ast.Return, ast.Raise)):
                    return

    def _branches(self, s: ast.If) -> None:
        if self.walrus:
            self._forget(s.test)
        test = _value(s.test, self.known)
        if test is not None:
            self.block(s.body if test else s.orelse)
            return
        before = dict(self.known)
        self.block(s.body)
        left, self.known = self.known, before
        self.block(s.orelse)
        right = self.known
        self.known = {n: v for n, v in left.items() if n in right and right[n] == v and type(right[n]) is type(v)}

    def _forget(self, node: ast.AST) -> None:
        for name in bound_names(node, walrus=self.walrus):
            self.known.pop(name, None)


def _value(e: ast.expr, known: Mapping[str, Constant]) -> Constant | None:
    """What an expression comes to; None where that is not known."""
    if isinstance(e, ast.Constant):
        return e.value if isinstance(e.value, (int, str)) else None
    if isinstance(e, ast.Name):
        return known.get(e.id)
    if isinstance(e, ast.UnaryOp):
        value = _value(e.operand, known)
        if isinstance(e.op, ast.Not):
            return None if value is None else not value
        return -value if isinstance(e.op, ast.USub) and isinstance(value, int) else None
    if isinstance(e, ast.BoolOp):
        return _either(e, known)
    if isinstance(e, ast.IfExp):
        test = _value(e.test, known)
        return None if test is None else _value(e.body if test else e.orelse, known)
    if isinstance(e, ast.BinOp):
        return _operation(type(e.op), _value(e.left, known), _value(e.right, known))
    if isinstance(e, ast.Compare) and len(e.ops) == 1:
        return _operation(type(e.ops[0]), _value(e.left, known), _value(e.comparators[0], known))
    return None


def _either(e: ast.BoolOp, known: Mapping[str, Constant]) -> bool | None:
    values = [_value(v, known) for v in e.values]
    deciding = isinstance(e.op, ast.Or)
    if any(v is not None and bool(v) is deciding for v in values):
        return deciding
    return None if None in values else not deciding


def _operation(op: type[ast.AST], left: Constant | None, right: Constant | None) -> Constant | None:
    if left is None or right is None:
        return None
    if op in (ast.Eq, ast.NotEq):
        return (left == right) is (op is ast.Eq)
    if op not in _OPERATIONS or not isinstance(left, int) or not isinstance(right, int):
        return None
    return None if op in (ast.FloorDiv, ast.Mod) and right == 0 else _OPERATIONS[op](left, right)
