"""Control flow: paths that part and meet again."""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802, N815

from __future__ import annotations

import ast
from collections.abc import Sequence

from aiterfix.consumers.core import Core
from aiterfix.consumers.program import parameters
from aiterfix.consumers.state import Frame, State, join, refine
from aiterfix.consumers.syntax import pattern_names, terminal
from aiterfix.consumers.values import Atom, Flag, Nothing, Sum, fresh, single


class Control(Core):
    """Branches, loops, exceptions."""

    def block(self, body: Sequence[ast.stmt], frame: Frame) -> None:
        """Follow statements until a path ends."""
        for statement in body:
            if frame.state.dead:
                return
            self._statement(statement, frame)

    def _statement(self, node: ast.stmt, frame: Frame) -> None:
        visit = getattr(self, f"_do_{type(node).__name__}", None)
        if visit is not None:
            visit(node, frame)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.evaluate(child, frame)

    def _do_Return(self, node: ast.Return, frame: Frame) -> None:
        frame.returned += self.evaluate(node.value, frame) if node.value is not None else (Nothing(),)
        frame.state.dead = True

    def _do_Raise(self, node: ast.Raise, frame: Frame) -> None:
        frame.state.dead = True

    def _do_Continue(self, node: ast.stmt, frame: Frame) -> None:
        """The rest of a loop's body is followed as if it could still run: more paths than there are, none missed."""

    _do_Break = _do_Continue

    def _do_If(self, node: ast.If, frame: Frame) -> None:
        tests = self.evaluate(node.test, frame)
        before = frame.state
        decided = tests[0].value if len(tests) == 1 and isinstance(tests[0], Flag) else None
        if terminal(node.test) == "TYPE_CHECKING":
            decided = False  # for type checkers alone
        states: list[State] = []
        for truth, body in ((True, node.body), (False, node.orelse)):
            if decided is (not truth):
                continue
            frame.state = before.copy()
            refine(frame.state, node.test, truth, tests)
            self.block(body, frame)
            states.append(frame.state)
        frame.state = before
        join(before, states)

    def _do_Assert(self, node: ast.Assert, frame: Frame) -> None:
        tests = self.evaluate(node.test, frame)
        refine(frame.state, node.test, True, tests)
        self._assume_class(node.test, frame)

    def _assume_class(self, test: ast.expr, frame: Frame) -> None:
        """After ``assert isinstance(name, Class)``."""
        if not (isinstance(test, ast.Call) and terminal(test.func) == "isinstance" and len(test.args) == 2):
            return
        what, kind = test.args
        values = frame.state.names.get(what.id, ()) if isinstance(what, ast.Name) else ()
        found = self.program.class_of(frame.source, kind)
        own = (
            frame.function is not None
            and isinstance(what, ast.Name)
            and [what.id] == parameters(frame.function.node)[:1]
        )
        if (
            found is not None
            and not own
            and len(values) == 1
            and isinstance(values[0], Sum)
            and values[0].atom is not None
        ):
            # The object stays itself: another one of its class is not the same.
            parts = (found[0].dotted, found[1], values[0])
            frame.state.names[what.id] = (single(Atom("instance", values[0].atom.text, parts)),)  # type: ignore[attr-defined]

    def _loop(
        self, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt], frame: Frame, target: ast.expr | None
    ) -> None:
        before = frame.state
        for _ in range(2):
            start = before.copy()
            frame.state = start
            if target is not None:
                self.store(target, (fresh("an item of a loop"),), frame, target.lineno)
            self.block(body, frame)
            after = frame.state
            after.dead = False
            join(before, [before.copy(), after])
        frame.state = before
        self.block(orelse, frame)

    def _do_For(self, node: ast.For | ast.AsyncFor, frame: Frame) -> None:
        self.evaluate(node.iter, frame)
        self._loop(node.body, node.orelse, frame, node.target)

    _do_AsyncFor = _do_For

    def _do_While(self, node: ast.While, frame: Frame) -> None:
        self.evaluate(node.test, frame)
        self._loop(node.body, node.orelse, frame, None)

    def _do_With(self, node: ast.With | ast.AsyncWith, frame: Frame) -> None:
        for part in node.items:
            values = self.evaluate(part.context_expr, frame)
            if part.optional_vars is not None:
                del values
                self.store(part.optional_vars, (fresh("what a with statement gives"),), frame, node.lineno)
        self.block(node.body, frame)

    _do_AsyncWith = _do_With

    def _do_Try(self, node: ast.Try, frame: Frame) -> None:
        start = frame.state.copy()
        self.block(node.body, frame)
        broken = frame.state.copy()
        broken.dead = False
        # A handler may start anywhere in the body: with what was there before, or after all of it.
        join(start, [start.copy(), broken])
        self.block(node.orelse, frame)
        states = [frame.state]
        for handler in node.handlers:
            frame.state = start.copy()
            if handler.name:
                frame.state.names[handler.name] = (fresh(handler.name),)
            self.block(handler.body, frame)
            states.append(frame.state)
        merged = start.copy()
        join(merged, states)
        frame.state = merged
        dead, merged.dead = merged.dead, False
        self.block(node.finalbody, frame)
        merged.dead = merged.dead or dead

    _do_TryStar = _do_Try

    def _do_Match(self, node: ast.Match, frame: Frame) -> None:
        self.evaluate(node.subject, frame)
        before = frame.state
        states = [before.copy()]
        for case in node.cases:
            frame.state = before.copy()
            for name in pattern_names(case.pattern):
                frame.state.names[name] = (fresh(name),)
            self.block(case.body, frame)
            states.append(frame.state)
        frame.state = before
        join(before, states)
