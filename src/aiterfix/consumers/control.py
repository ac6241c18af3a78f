"""Control flow: paths that part and meet again."""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802, N815

from __future__ import annotations

import ast
from collections.abc import Sequence

from aiterfix.consumers.core import Core
from aiterfix.consumers.program import parameters
from aiterfix.consumers.state import Alternatives, Frame, State, join, refine
from aiterfix.consumers.syntax import pattern_names, terminal
from aiterfix.consumers.trees import text_of
from aiterfix.consumers.values import Atom, Flag, Nothing, Sum, describe, fresh, single

_MOST_TURNS = 6  # of a loop, after which what still changes is not known


class Control(Core):
    """Branches, loops, exceptions."""

    def block(self, body: Sequence[ast.stmt], frame: Frame) -> None:
        """Follow statements until a path ends."""
        for statement in body:
            if frame.state.dead:
                return
            self._statement(statement, frame)
            for watch in frame.watching:
                join(watch, [watch.copy(), frame.state.alive()])

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

    def _do_Break(self, node: ast.Break, frame: Frame) -> None:
        frame.turns[-1][0].append(frame.state.copy())
        frame.state.dead = True

    def _do_Continue(self, node: ast.Continue, frame: Frame) -> None:
        frame.turns[-1][1].append(frame.state.copy())
        frame.state.dead = True

    def _do_If(self, node: ast.If, frame: Frame) -> None:
        tests = self.condition(node.test, frame)
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
        left: list[State] = []
        for turn in range(_MOST_TURNS + 1):
            frame.state = before.copy()
            if target is not None:
                self.store(target, (fresh("an item of a loop"),), frame, target.lineno)
            breaks: list[State] = []
            continues: list[State] = []
            frame.turns.append((breaks, continues))
            try:
                self.block(body, frame)
            finally:
                frame.turns.pop()
            left += breaks
            known = dict(before.names)
            join(before, [before.copy(), frame.state, *continues])
            new = [n for n, v in before.names.items() if v != known.get(n) and _texts(v) != _texts(known.get(n, ()))]
            if not new:
                break
            if turn >= _MOST_TURNS - 1:
                for name in new:
                    before.names[name] = (fresh(f"{name}, as a loop left it"),)
        frame.state = before
        self.block(orelse, frame)
        join(before, [before.copy(), *left])

    def _do_For(self, node: ast.For | ast.AsyncFor, frame: Frame) -> None:
        self.evaluate(node.iter, frame)
        self._loop(node.body, node.orelse, frame, node.target)

    _do_AsyncFor = _do_For

    def _do_While(self, node: ast.While, frame: Frame) -> None:
        self.evaluate(node.test, frame)
        self._loop(node.body, node.orelse, frame, None)

    def _do_With(self, node: ast.With | ast.AsyncWith, frame: Frame) -> None:
        for part in node.items:
            self.evaluate(part.context_expr, frame)
            if part.optional_vars is not None:
                self.store(part.optional_vars, (fresh("what a with statement gives"),), frame, node.lineno)
        watch = self._watched_block(node.body, frame)
        if any("suppress" in text_of(part.context_expr) for part in node.items):
            join(frame.state, [frame.state.copy(), watch])

    _do_AsyncWith = _do_With

    def _watched_block(self, body: Sequence[ast.stmt], frame: Frame) -> State:
        """Follow statements; what names may mean where an exception leaves them."""
        watch = frame.state.alive()
        frame.watching.append(watch)
        try:
            self.block(body, frame)
        finally:
            frame.watching.pop()
        return watch

    def _do_Try(self, node: ast.Try, frame: Frame) -> None:
        thrown = frame.state.alive()  # by the body, a handler, or what follows the body
        frame.watching.append(thrown)
        try:
            start = self._watched_block(node.body, frame)
            self.block(node.orelse, frame)
            states = [frame.state]
            for handler in node.handlers:
                frame.state = start.copy()
                if handler.name:
                    frame.state.names[handler.name] = (fresh(handler.name),)
                self.block(handler.body, frame)
                states.append(frame.state)
        finally:
            frame.watching.pop()
        merged = start.copy()
        join(merged, states)
        if node.finalbody:
            frame.state = thrown
            self.block(node.finalbody, frame)  # and the exception, or a `return`, goes on
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


def _texts(values: Alternatives) -> set[str]:
    """What tells the values of a name in one turn of a loop from those in the next."""
    return {describe(value) for value in values}
