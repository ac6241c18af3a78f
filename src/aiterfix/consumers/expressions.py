"""Evaluate expressions to sets of symbolic values: what each may be at run time."""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802

from __future__ import annotations

import ast

from aiterfix.consumers.arithmetic import binary
from aiterfix.consumers.core import Core
from aiterfix.consumers.state import Alternatives, Frame, captured, one, product, unite
from aiterfix.consumers.trees import text_of, walked
from aiterfix.consumers.values import (
    EntryPoint,
    Flag,
    Imported,
    Nothing,
    Row,
    Sum,
    Table,
    Tensor,
    Text,
    Value,
    add,
    as_sum,
    compare,
    fresh,
    number,
)

_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


class Expressions(Core):
    """Names, literals, operators, conditions."""

    def _Constant(self, node: ast.Constant, frame: Frame) -> Alternatives:
        value = node.value
        if value is None:
            return (Nothing(),)
        if isinstance(value, bool):
            return (Flag(value),)
        if isinstance(value, int):
            return (number(value),)
        return (Text(value),) if isinstance(value, str) else (fresh(text_of(node)),)

    def _Name(self, node: ast.Name, frame: Frame) -> Alternatives:
        return unite(*(self._constant(value) for value in self.load(node.id, frame)))

    def _constant(self, value: Value) -> Alternatives:
        """What an imported constant of the package is; other imports are looked into when they are called."""
        if isinstance(value, Imported) and value.name.strip("_").isupper() and self.own(value.module):
            source = self.program.module(value.module)
            if source is not None:
                return self.global_name(value.name, source)
        return (value,)

    def _Tuple(self, node: ast.Tuple | ast.List, frame: Frame) -> Alternatives:
        parts: list[Alternatives] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                values = self.evaluate(element.value, frame)
                if len(values) != 1 or not isinstance(values[0], Row):
                    return (fresh(text_of(node)),)
                parts += [(part,) for part in values[0].items]
            else:
                parts.append(self.evaluate(element, frame))
        return unite(Row(chosen) for chosen in product(parts))

    _List = _Tuple

    def _Dict(self, node: ast.Dict, frame: Frame) -> Alternatives:
        items: list[tuple[str, Value]] = []
        known = True
        for key, value in zip(node.keys, node.values, strict=True):
            values = self.evaluate(value, frame)
            keys = () if key is None else self.evaluate(key, frame)
            if key is None and len(values) == 1 and isinstance(values[0], Table):
                items += values[0].items
            elif len(keys) == 1 and isinstance(keys[0], Text):
                items.append((keys[0].value, one(values)))
            else:
                known = False
        return (Table(tuple(dict(items).items())),) if known else (fresh(text_of(node)),)

    def _BinOp(self, node: ast.BinOp, frame: Frame) -> Alternatives:
        pairs = product([self.evaluate(node.left, frame), self.evaluate(node.right, frame)])
        return unite(binary(node, left, right) for left, right in pairs)

    def _UnaryOp(self, node: ast.UnaryOp, frame: Frame) -> Alternatives:
        values = self.evaluate(node.operand, frame)
        if isinstance(node.op, ast.USub):
            return unite(add(number(0), as_sum(value), -1) for value in values)
        if isinstance(node.op, ast.Not):
            return _denied(values, node)
        return values if isinstance(node.op, ast.UAdd) else (fresh(text_of(node)),)

    def condition(self, node: ast.expr, frame: Frame) -> Alternatives:
        """What an expression is as a condition, of which only its truth counts."""
        if isinstance(node, ast.BoolOp):
            return self._BoolOp(node, frame, condition=True)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return _denied(self.condition(node.operand, frame), node)
        values = self.evaluate(node, frame)
        if isinstance(node, ast.Name) and len(values) == 1 and values[0] in frame.state.truths:
            return (Flag(frame.state.truths[values[0]]),)
        return values

    def _BoolOp(self, node: ast.BoolOp, frame: Frame, condition: bool = False) -> Alternatives:
        united: list[Value] = []
        for index, part in enumerate(node.values):
            values = self.condition(part, frame) if condition else self.evaluate(part, frame)
            if len(values) == 1 and isinstance(values[0], Flag) and values[0].value is not None:
                if values[0].value is isinstance(node.op, ast.Or):
                    return unite(united, values)
                if index < len(node.values) - 1:
                    continue
            if index < len(node.values) - 1:
                # `x or y` is x where x is true, and what is None never is.
                drop = (Nothing,) if isinstance(node.op, ast.Or) else (Row, Table, Tensor, EntryPoint)
                values = tuple(v for v in values if not isinstance(v, drop))
            united += values
        return unite(united)

    def _IfExp(self, node: ast.IfExp, frame: Frame) -> Alternatives:
        tests = self.condition(node.test, frame)
        known = {test.value for test in tests if isinstance(test, Flag)} if tests else set()
        if len(tests) == 1 and known == {True}:
            return self.evaluate(node.body, frame)
        if len(tests) == 1 and known == {False}:
            return self.evaluate(node.orelse, frame)
        return unite(self.evaluate(node.body, frame), self.evaluate(node.orelse, frame))

    def _ListComp(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, frame: Frame
    ) -> Alternatives:
        before = frame.state
        frame.state = before.copy()
        for part in node.generators:
            self.evaluate(part.iter, frame)
            self.store(part.target, (fresh("an item"),), frame, part.target.lineno)
            for test in part.ifs:
                self.evaluate(test, frame)
        for made in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.evaluate(made, frame)
        frame.state = before
        for inner in walked(node):
            if isinstance(inner, ast.NamedExpr):
                before.names[inner.target.id] = (fresh(inner.target.id),)
        return (fresh(text_of(node)),)

    _SetComp = _GeneratorExp = _DictComp = _ListComp

    def _Lambda(self, node: ast.Lambda, frame: Frame) -> Alternatives:
        """Followed where it stands, with what names may have become by the time that it is called."""
        before = frame.state
        frame.state = captured(frame)
        a = node.args
        for part in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg):
            if part is not None:
                frame.state.names[part.arg] = (fresh(part.arg),)
        self.evaluate(node.body, frame)
        frame.state = before
        return (fresh(text_of(node)),)

    def _NamedExpr(self, node: ast.NamedExpr, frame: Frame) -> Alternatives:
        values = self.evaluate(node.value, frame)
        frame.state.names[node.target.id] = values
        return values

    def _Compare(self, node: ast.Compare, frame: Frame) -> Alternatives:
        operands = [self.evaluate(part, frame) for part in (node.left, *node.comparators)]
        operator = _COMPARE.get(type(node.ops[0]))
        if len(operands) != 2 or operator is None:
            return (fresh(text_of(node)),)
        return unite(
            compare(operator, left, right) if isinstance(left, Sum) and isinstance(right, Sum) else fresh(text_of(node))
            for left, right in product(operands)
        )


def _denied(values: Alternatives, node: ast.expr) -> Alternatives:
    return unite(
        Flag(not v.value) if isinstance(v, Flag) and v.value is not None else fresh(text_of(node)) for v in values
    )
