"""What the statements of a function use, and what they give to which names, in source order.

No branch is chosen and no loop is followed: whoever asks takes a name to hold whatever any of its statements gives it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from aiterfix.source.branches import Tests
from aiterfix.source.names import bound_names, names_in
from aiterfix.source.syntax import pairs
from aiterfix.source.tree import children, descend


@dataclass(frozen=True)
class Use:
    """An expression of a statement, and the names in it."""

    statement: ast.stmt
    expression: ast.expr
    names: frozenset[str]


@dataclass(frozen=True)
class Assignment:
    """Names that a statement binds, and what to.

    Attributes:
        names: the names.
        value: what they are bound to, or are taken from; None where that is no expression.
        uses: the names in it.
        kind: "name" where each holds the value, "sum" where the value says what was there before too, "range" where it
            runs through a call's result, "other" where nothing is known.
        tests: what decides whether it is executed.
    """

    names: tuple[str, ...]
    value: ast.expr | None
    uses: frozenset[str]
    kind: str
    tests: Tests = ()


class Assignments:
    """The assignments of a function.

    Args:
        body: its statements.
        walrus: False where the text has no ``:=``.
    """

    def __init__(self, body: Sequence[ast.stmt], *, walrus: bool = True) -> None:
        self.uses: list[Use] = []
        self.all: list[Assignment] = []
        self.nested: list[ast.stmt] = []
        """Functions and classes inside it."""
        self._walrus = walrus
        self._block(body, ())

    def of(self, name: str) -> list[Assignment]:
        """Those of a name."""
        return [a for a in self.all if name in a.names]

    def _block(self, body: Sequence[ast.stmt], tests: Tests) -> None:
        for s in body:
            if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.nested.append(s)
                rebound = {n for d in descend(s) if isinstance(d, (ast.Global, ast.Nonlocal)) for n in d.names}
                self._add((s.name, *rebound), None, "other", tests)
                continue
            for child in children(s):
                if isinstance(child, ast.expr):
                    self._use(s, child, tests)
                elif not isinstance(child, ast.stmt):
                    self._part(s, child, tests)
            self._bound(s, tests)
            for block in ("body", "orelse", "finalbody"):
                more: Tests = ((s.test, block == "body"),) if isinstance(s, ast.If) else ()
                self._block(getattr(s, block, ()), (*tests, *more))

    def _use(self, s: ast.stmt, e: ast.expr, tests: Tests) -> None:
        self.uses.append(Use(s, e, frozenset(names_in(e))))
        for n in descend(e) if self._walrus else ():
            if isinstance(n, ast.NamedExpr):
                self._add((n.target.id,), n.value, "name", tests)

    def _part(self, s: ast.stmt, part: ast.AST, tests: Tests) -> None:
        """A part of a statement that is neither expression nor statement (of a ``with``, ``except`` or ``match``):
        nothing is known of what it binds."""
        inner = [c for c in descend(part) if isinstance(c, ast.stmt)]
        within = {id(n) for c in inner for n in descend(c)}
        for e in descend(part):
            if isinstance(e, ast.expr) and id(e) not in within:
                self.uses.append(Use(s, e, frozenset(names_in(e))))
        self._add(tuple(bound_names(part)), None, "other", tests)
        self._block([c for c in children(part) if isinstance(c, ast.stmt)], tests)

    def _bound(self, s: ast.stmt, tests: Tests) -> None:
        if isinstance(s, (ast.Assign, ast.AnnAssign)):
            for target in s.targets if isinstance(s, ast.Assign) else [s.target] if s.value is not None else []:
                assert s.value is not None
                for t, value in pairs(target, s.value):
                    named = isinstance(t, ast.Name) and value is not None
                    self._add(tuple(bound_names(t)), value or s.value, "name" if named else "other", tests)
        elif isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name):
            left = ast.copy_location(ast.Name(s.target.id, ast.Load()), s.target)
            self._add((s.target.id,), ast.copy_location(ast.BinOp(left, s.op, s.value), s), "sum", tests)
        elif isinstance(s, (ast.For, ast.AsyncFor)):
            counted = isinstance(s.target, ast.Name) and isinstance(s.iter, ast.Call)
            self._add(tuple(bound_names(s.target)), s.iter, "range" if counted else "other", tests)
        elif isinstance(s, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Delete)):
            self._add(tuple(bound_names(s)), None, "other", tests)

    def _add(self, names: tuple[str, ...], value: ast.expr | None, kind: str, tests: Tests) -> None:
        if names:
            uses = frozenset(names_in(value) if value is not None else ())
            self.all.append(Assignment(names, value, uses, kind, tests))
