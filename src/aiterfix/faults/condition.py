"""Conditions on launch facts: text that a person reads and a program evaluates, as ``rows * row_stride >= 512``."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_ARITHMETIC: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARISON: dict[type[ast.cmpop], Callable[[int, int], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class ConditionError(ValueError):
    """A text that is no condition. Its message says what is wrong."""


class _Open(Exception):  # noqa: N818 - a control flow of this module: a fact that is not known
    pass


@dataclass(frozen=True)
class Condition:
    """A condition over whole numbers.

    Attributes:
        text: an expression of names, whole numbers, ``+ - * // %``, comparisons, ``and``, ``or``, ``not`` and
            ``x if test else y``, in Python's grammar.

    Raises:
        ConditionError: the text is none.
    """

    text: str
    names: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        try:
            tree = self.tree()
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ConditionError(f"{self.text!r} is no expression: {error}") from error
        names = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Constant):
                if type(node.value) is not int:
                    raise ConditionError(f"{node.value!r} in {self.text!r} is no whole number")
            elif not isinstance(node, _ALLOWED):
                raise ConditionError(f"{type(node).__name__} has no place in {self.text!r}")
        object.__setattr__(self, "names", frozenset(names))

    def tree(self) -> ast.expr:
        """Its syntax. Not kept: every process with the import hook has some forty conditions, and asks few of them."""
        return ast.parse(self.text, mode="eval").body

    def evaluate(self, facts: Mapping[str, int]) -> tuple[bool | None, tuple[str, ...]]:
        """Whether it holds; None where facts that decide are missing, and which these are.

        A fact that cannot change the answer is not asked for: ``False and x`` is false whatever ``x`` is.
        """
        missing: dict[str, None] = {}
        try:
            return bool(_value(self.tree(), facts, missing)), ()
        except _Open:
            return None, tuple(missing)


@dataclass(frozen=True)
class Phrase:
    """A phrase with numbers of a launch in it.

    Attributes:
        text: for people, with expressions as in `Condition` in braces: ``rows from {2147483648 // row_stride} on``.

    Raises:
        ConditionError: what stands in braces is no expression.
    """

    text: str
    _parts: tuple[str | Condition, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        pieces = re.split(r"[{]([^{}]*)[}]", self.text)
        if any(c in piece for piece in pieces[::2] for c in "{}"):
            raise ConditionError(f"a brace without its partner in {self.text!r}")
        parts = (Condition(p) if i % 2 else p for i, p in enumerate(pieces))
        object.__setattr__(self, "_parts", tuple(parts))

    def fill(self, facts: Mapping[str, int]) -> str | None:
        """The phrase with the numbers put in; None where a fact is missing that they hang on."""
        try:
            return "".join(p if isinstance(p, str) else str(_value(p.tree(), facts, {})) for p in self._parts)
        except _Open:
            return None


_ALLOWED = (
    *(ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp, ast.Load, ast.USub, ast.Not, ast.And, ast.Or),
    *_ARITHMETIC,
    *_COMPARISON,
)


def _value(node: ast.expr, facts: Mapping[str, int], missing: dict[str, None]) -> int:
    if isinstance(node, ast.Constant):
        return int(node.value)  # type: ignore[arg-type] # checked when it was parsed
    if isinstance(node, ast.Name):
        if node.id not in facts:
            missing[node.id] = None
            raise _Open
        return facts[node.id]
    if isinstance(node, ast.BinOp):
        left, right = _all([node.left, node.right], facts, missing)
        if isinstance(node.op, (ast.FloorDiv, ast.Mod)) and right == 0:
            missing["a divisor other than 0"] = None
            raise _Open
        return _ARITHMETIC[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, facts, missing)
        return -value if isinstance(node.op, ast.USub) else int(not value)
    if isinstance(node, ast.Compare):
        values = _all([node.left, *node.comparators], facts, missing)
        pairs = zip(node.ops, values, values[1:], strict=False)
        return int(all(_COMPARISON[type(op)](a, b) for op, a, b in pairs))
    if isinstance(node, ast.BoolOp):
        return _boolean(node, facts, missing)
    assert isinstance(node, ast.IfExp)
    return _value(node.body if _value(node.test, facts, missing) else node.orelse, facts, missing)


def _all(nodes: list[ast.expr], facts: Mapping[str, int], missing: dict[str, None]) -> list[int]:
    """Values of all; every fact that is missing is named, not the first alone."""
    values = []
    for node in nodes:
        try:
            values.append(_value(node, facts, missing))
        except _Open:
            continue
    if len(values) < len(nodes):
        raise _Open
    return values


def _boolean(node: ast.BoolOp, facts: Mapping[str, int], missing: dict[str, None]) -> int:
    deciding = isinstance(node.op, ast.Or)
    wanted: dict[str, None] = {}
    opened = False
    for part in node.values:
        try:
            if bool(_value(part, facts, wanted)) is deciding:
                return int(deciding)
        except _Open:
            opened = True
    if opened:
        missing.update(wanted)
        raise _Open
    return int(not deciding)
