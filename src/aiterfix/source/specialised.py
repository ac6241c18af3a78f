"""Which statements a kernel is compiled with, for some values of its constexpr parameters."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from aiterfix.source.constants import Constant, constant
from aiterfix.source.names import bound_names
from aiterfix.source.syntax import last_name
from aiterfix.source.tree import children, descend


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
                value = constant(s.value, self.known.get) if s.value is not None else None
                self._forget(s)
                if len(targets) == 1 and isinstance(targets[0], ast.Name) and value is not None:
                    self.known[targets[0].id] = value
            else:
                self._forget(s)  # what a loop binds is not what was held before, in its body neither
                self.block([n for n in children(s) if isinstance(n, ast.stmt)])
                for part in children(s):
                    if not isinstance(part, (ast.stmt, ast.expr)):  # handlers, cases
                        self.reached |= {n for n in descend(part) if isinstance(n, ast.stmt)}
                self._forget(s)
                if isinstance(s, (ast.Return, ast.Raise)):
                    return

    def _branches(self, s: ast.If) -> None:
        if self.walrus:
            self._forget(s.test)
        test = constant(s.test, self.known.get)
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
