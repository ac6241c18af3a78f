"""What expressions of constants come to, where Python and the device agree on it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable

Constant = int | str | bool
_OPERATIONS: dict[type[ast.AST], Callable[[int, int], int | bool]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_NATURAL: dict[type[ast.AST], Callable[[int, int], int]] = {
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.Pow: operator.pow,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
"""Operations on which they differ below 0."""


def constant(e: ast.expr, held: Callable[[str], Constant | None] = lambda _: None) -> Constant | None:
    """What an expression comes to; None where that is not known.

    Args:
        e: the expression.
        held: what a name holds.
    """
    if isinstance(e, ast.Constant):
        return e.value if isinstance(e.value, (int, str)) else None
    if isinstance(e, ast.Name):
        return held(e.id)
    if isinstance(e, ast.UnaryOp):
        value = constant(e.operand, held)
        if isinstance(e.op, ast.Not):
            return None if value is None else not value
        return -value if isinstance(e.op, ast.USub) and isinstance(value, int) else None
    if isinstance(e, ast.BoolOp):
        values, deciding = [constant(v, held) for v in e.values], isinstance(e.op, ast.Or)
        if any(v is not None and bool(v) is deciding for v in values):
            return deciding
        return None if None in values else not deciding
    if isinstance(e, ast.IfExp):
        test = constant(e.test, held)
        return None if test is None else constant(e.body if test else e.orelse, held)
    if isinstance(e, ast.BinOp) or (isinstance(e, ast.Compare) and len(e.ops) == 1):
        op, right = (e.op, e.right) if isinstance(e, ast.BinOp) else (e.ops[0], e.comparators[0])
        a, b = constant(e.left, held), constant(right, held)
        if a is not None and b is not None and isinstance(op, (ast.Eq, ast.NotEq)):
            return (a == b) is isinstance(op, ast.Eq)
        return fold(type(op), a, b) if isinstance(a, int) and isinstance(b, int) else None
    return None


def fold(op: type[ast.AST], left: int, right: int) -> int | None:
    """An operation on two numbers; None where it is not known, or too large."""
    if op in _OPERATIONS:
        return _OPERATIONS[op](left, right)
    if left < 0 or right < 0 or op not in _NATURAL:
        return None
    divides, grows = op in (ast.FloorDiv, ast.Mod), op in (ast.LShift, ast.Pow)
    return None if (divides and right == 0) or (grows and right > 64) else _NATURAL[op](left, right)
