"""Walk one kernel's body in program order and say, at every store, what its arguments are.

Each name is bound to a symbolic `Value`. Where control flow joins, or a loop may change a name, the
name gets a fresh symbol: two uses compare equal only where they must hold the same value in every
execution. What the walk cannot follow it does not guess: a use of the output that is not understood
becomes a `Problem`, and a problem makes the file's verdict "unknown".
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from aiterfix.fixes import KernelSpec
from aiterfix.source.expressions import STORE_PARAMETERS, Environment, Evaluator, KernelWalk, last_name
from aiterfix.source.names import bound_names, flow_of
from aiterfix.source.values import Rank

_RANGES = frozenset({"range", "static_range"})
_TERMINATORS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


def walk_kernel(function: ast.FunctionDef, spec: KernelSpec, *, walrus: bool = True) -> KernelWalk:
    """Evaluate every store to ``spec.output`` in ``function``.

    Args:
        function: the kernel's definition.
        spec: its output, bound and strides.
        walrus: False where the text has no ``:=`` (see `bound_names`).

    The function must have the output parameter. Problems are collected, never raised, except
    ``RecursionError`` for expressions nested deeper than the interpreter allows.
    """
    return _Walker(function, spec, walrus).run()


class _Walker(Evaluator):
    def __init__(self, function: ast.FunctionDef, spec: KernelSpec, walrus: bool) -> None:
        self._flow = flow_of(function, spec.output, STORE_PARAMETERS, walrus=walrus)
        super().__init__(function, spec, self._flow.tainted)
        self._walrus = walrus

    def run(self) -> KernelWalk:
        roles = {self.spec.bound, *self.spec.strides}
        for statement in self.function.body:
            for name in bound_names(statement, walrus=self._walrus):
                if name in roles:
                    self.problem("reassigned", f"{name!r} is assigned inside the kernel", statement)
        self._block(self.function.body)
        self.walk.stores.sort(key=lambda s: (s.node.lineno, s.node.col_offset))
        return self.walk

    # ---- statements -------------------------------------------------------------------------

    def _block(self, body: list[ast.stmt]) -> None:
        for statement in body:
            self._statement(statement)

    def _passes_by(self, names: Iterable[str], expression: ast.expr) -> bool:
        """Whether an assignment concerns no store: most of a kernel computes what is stored, not where."""
        return not self._walrus and self._flow.idle(expression) and self._flow.relevant.isdisjoint(names)

    def _check(self, expression: ast.expr, what: str, s: ast.stmt) -> None:
        """Evaluate for effect only."""
        if self._walrus or not self._flow.idle(expression):
            self.escape(self.evaluate(expression), what, s)

    def _statement(self, s: ast.stmt) -> None:
        if isinstance(s, ast.Assign):
            names = set(bound_names(s, walrus=self._walrus))
            if self._passes_by(names, s.value):
                self.forget(names)
                return
            value = self.evaluate_bound(s.value)
            for target in s.targets:
                self.assign(target, value)
        elif isinstance(s, ast.AnnAssign):
            if s.value is not None:
                self.assign(s.target, self.evaluate_bound(s.value))
        elif isinstance(s, ast.AugAssign):
            if isinstance(s.target, ast.Name) and self._passes_by((s.target.id,), s.value):
                self.forget({s.target.id})
            else:
                self._augmented(s)
        elif isinstance(s, ast.Expr):
            if not isinstance(s.value, ast.Constant):
                self._check(s.value, "is computed and dropped", s)
        elif isinstance(s, ast.Return):
            if s.value is not None:
                self._check(s.value, "is returned", s)
        elif isinstance(s, ast.If):
            self._check(s.test, "decides a branch", s)
            self._branches([s.body, s.orelse])
        elif isinstance(s, (ast.For, ast.While)):
            self._loop(s)
        elif isinstance(s, ast.Assert):
            self._check(s.test, "is asserted", s)
        elif isinstance(s, (ast.Pass, ast.Break, ast.Continue)):
            pass
        else:
            self._unfollowed(s)

    def _unfollowed(self, s: ast.stmt) -> None:
        """Statements that kernels of this kind do not have: forget what they bind, object if they touch the output."""
        for n in ast.walk(s):
            if isinstance(n, ast.Name) and n.id in self.tainted:
                kind = type(s).__name__
                self.problem("statement", f"{self.spec.output!r} is used inside a {kind} statement", s)
                break
        self.forget(set(bound_names(s)))

    def _augmented(self, s: ast.AugAssign) -> None:
        if isinstance(s.target, ast.Name):
            left = self.name(s.target.id)
            self.env[s.target.id] = self.binary(type(s.op), left, self.evaluate(s.value), s)
        else:
            self.escape(self.evaluate(s.value), "is kept in an attribute or element", s)

    def _branches(self, bodies: list[list[ast.stmt]]) -> None:
        before = self.env
        ends: list[Environment] = []
        for body in bodies:
            self.env = dict(before)
            self._block(body)
            if not (body and isinstance(body[-1], _TERMINATORS)):
                ends.append(self.env)
        if not ends:
            self.env = dict(before)
            return
        merged = dict(ends[0])
        for end in ends[1:]:
            for name in {*merged, *end}:
                a, b = merged.get(name), end.get(name)
                if a is None or b is None or a != b:
                    rank = a.rank if a is not None and b is not None and a.rank is b.rank else Rank.UNKNOWN
                    merged[name] = self.fresh(name, rank)
        self.env = merged

    def _loop(self, s: ast.For | ast.While) -> None:
        changed = set(bound_names(s, walrus=self._walrus))
        if isinstance(s, ast.For):
            self._check(s.iter, "is iterated over", s)
            self.forget(changed)
            if isinstance(s.target, ast.Name):
                called = s.iter.func if isinstance(s.iter, ast.Call) else None
                rank = Rank.SCALAR if called is not None and last_name(called) in _RANGES else Rank.UNKNOWN
                self.env[s.target.id] = self.fresh(s.target.id, rank)
        else:
            self.forget(changed)
            self.escape(self.evaluate(s.test), "decides a loop", s)
        self._block(s.body)
        self.forget(changed)
        self._block(s.orelse)
        if s.orelse:
            self.forget(changed)
