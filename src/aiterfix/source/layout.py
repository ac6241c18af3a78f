"""Break one expression over lines the way the code around it is broken (black's way)."""

from __future__ import annotations

import ast

WIDTH = 88
"""Line length of black, which the kernels are formatted with."""
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def lay_out(expression: ast.expr, *, indent: str, unit: str, room: int, width: int) -> list[str]:
    """Lines of an expression that stands inside brackets.

    Args:
        expression: sums, comparisons, calls and names; anything else stays on one line.
        indent: blanks before continuation lines.
        unit: one more level of indentation.
        room: characters left on the first line.
        width: longest line wanted.

    Returns:
        The first line without indentation, the others with it, none with a line ending.
    """
    flat = ast.unparse(expression)
    if len(flat) <= room:
        return [flat]
    if isinstance(expression, ast.Compare) and len(expression.ops) == 1 and type(expression.ops[0]) in _COMPARE:
        lines = _split(expression.left, indent, unit, width)
        operator = _COMPARE[type(expression.ops[0])]
        return [*lines, f"{indent}{operator} {ast.unparse(expression.comparators[0])}"]
    if isinstance(expression, (ast.BinOp, ast.Call)):
        return _split(expression, indent, unit, width)
    return [flat]


def _split(expression: ast.expr, indent: str, unit: str, width: int) -> list[str]:
    if isinstance(expression, ast.BinOp) and isinstance(expression.op, (ast.Add, ast.Sub)):
        terms: list[tuple[str, ast.expr]] = []
        node: ast.expr = expression
        while isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            # A sum on the right of an operator needs its brackets: leave it in one piece.
            terms.append(("+ " if isinstance(node.op, ast.Add) else "- ", node.right))
            node = node.left
        terms.append(("", node))
        lines: list[str] = []
        for sign, term in reversed(terms):
            room = width - len(indent) - len(sign)
            text = ast.unparse(term)
            if isinstance(term, (ast.Compare, ast.BoolOp, ast.IfExp)) or (
                isinstance(term, ast.BinOp) and not isinstance(term.op, (ast.Mult, ast.FloorDiv, ast.Mod, ast.Div))
            ):
                text = f"({text})"
            broken = _call(term, indent, unit, width) if len(text) > room and isinstance(term, ast.Call) else [text]
            prefix = indent + sign if lines else sign
            lines += [prefix + broken[0], *broken[1:]]
        return lines
    if isinstance(expression, ast.Call):
        return _call(expression, indent, unit, width)
    return [ast.unparse(expression)]


def _call(call: ast.Call, indent: str, unit: str, width: int) -> list[str]:
    arguments = [ast.unparse(a) for a in call.args] + [ast.unparse(k) for k in call.keywords]
    if not arguments:
        return [ast.unparse(call)]
    inner = indent + unit
    joined = inner + ", ".join(arguments)
    body = [joined] if len(joined) <= width else [f"{inner}{a}," for a in arguments]
    return [ast.unparse(call.func) + "(", *body, f"{indent})"]
