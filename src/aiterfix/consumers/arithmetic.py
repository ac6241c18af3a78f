"""Operators and well-known functions of integers."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from aiterfix.consumers.trees import text_of
from aiterfix.consumers.values import Atom, Row, Sum, Value, add, divide, fresh, multiply, number, pure

PURE = frozenset(
    ["max", "min", "abs", "len", "round_up", "round_down", "cdiv", "ceil_div", "next_power_of_2", "align", "align_up"]
)


def apply_pure(name: str, values: Sequence[Value]) -> Value:
    """A well-known function of its arguments alone."""
    numbers = [v.constant if isinstance(v, Sum) else None for v in values]
    if name in ("max", "min") and numbers and None not in numbers:
        return number((max if name == "max" else min)(n for n in numbers if n is not None))
    if name in ("cdiv", "ceil_div") and len(values) == 2 and numbers[0] is not None and numbers[1]:
        return number(-(-numbers[0] // numbers[1]))
    if name in ("max", "min") and len(set(values)) == 1:
        return values[0]
    if name == "len" and len(values) == 1 and isinstance(values[0], Row):
        return number(len(values[0].items))
    return pure(name, *values)


def binary(node: ast.BinOp, left: Value, right: Value) -> Value:
    """The result of an operator."""
    if isinstance(left, Row) and isinstance(right, Row) and isinstance(node.op, ast.Add):
        return Row(left.items + right.items)
    if not isinstance(left, Sum) or not isinstance(right, Sum):
        return fresh(text_of(node))
    if isinstance(node.op, ast.Add):
        return add(left, right)
    if isinstance(node.op, ast.Sub):
        return add(left, right, -1)
    if isinstance(node.op, ast.Mult):
        return multiply(left, right)
    if isinstance(node.op, ast.FloorDiv):
        return divide(left, right)
    a, b = left.constant, right.constant
    if a is not None and b is not None and isinstance(node.op, (ast.Mod, ast.LShift)):
        if isinstance(node.op, ast.Mod) and b:
            return number(a % b)
        if isinstance(node.op, ast.LShift) and 0 <= b < 64:
            return number(a << b)
    return pure(type(node.op).__name__, left, right)


def whole(value: Sum) -> Sum:
    """``int(value)``: what is multiplied or added may have been a fraction."""
    if value.constant is not None or value.atom is not None or all(map(_is_whole, _factors(value))):
        return value
    return pure("int", value)


def _factors(value: Sum) -> set[Atom]:
    return {atom for product, _ in value.terms for atom in product}


def _is_whole(atom: Atom) -> bool:
    """A size of a tensor, a length, or a quotient of such."""
    if atom.kind == "item":
        base = atom.parts[0]
        return isinstance(base, Sum) and base.atom is not None and base.atom.parts[1:] == ("shape",)
    if atom.kind == "pure" and atom.parts[0] == "//":
        return all(isinstance(part, Sum) and all(map(_is_whole, _factors(part))) for part in atom.parts[1:])
    return atom.kind == "pure" and atom.parts[0] in ("len", "int")
