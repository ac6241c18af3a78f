"""Small questions about pieces of Python source."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from aiterfix.consumers.program import Function, Source
from aiterfix.consumers.trees import identifiers, walked


def terminal(node: ast.expr) -> str:
    """The last identifier of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def decorator(node: ast.expr) -> str:
    """The last identifier of a decorator."""
    return terminal(node.func if isinstance(node, ast.Call) else node)


def is_none(node: ast.expr) -> bool:
    """Whether this is ``None``."""
    return isinstance(node, ast.Constant) and node.value is None


def defaults_of(function: Function) -> dict[str, ast.expr]:
    """Expressions of a function's parameter defaults."""
    a = function.node.args
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    found = dict(zip(positional[len(positional) - len(a.defaults) :], a.defaults, strict=True))
    found.update((p.arg, d) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None)
    return found


def yields(function: Function) -> bool:
    """Whether a call makes a generator or a coroutine."""
    if isinstance(function.node, ast.AsyncFunctionDef):
        return True
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in walked(function.node))


def pattern_names(pattern: ast.pattern) -> list[str]:
    """Names that a pattern binds."""
    return [
        name
        for node in walked(pattern)
        for name in (getattr(node, "name", None), getattr(node, "rest", None))
        if isinstance(name, str)
    ]


def defined(node: ast.ClassDef) -> set[str]:
    """Names that a class's body gives a meaning."""
    found: set[str] = set()
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(statement.name)
        elif isinstance(statement, ast.AnnAssign):
            found.add(terminal(statement.target))
        elif isinstance(statement, ast.Assign):
            found.update(map(terminal, statement.targets))
    return found


def repeated_tests(function: Function) -> list[str]:
    """Names that conditions of a function test more than once, and that it does not assign."""
    counts: dict[str, int] = {}
    assigned: set[str] = set()
    for node in walked(function.node):
        if isinstance(node, (ast.If, ast.IfExp)):
            for name in _tested(node.test):
                counts[name] = counts.get(name, 0) + 1
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned.add(node.id)
    return sorted((n for n, c in counts.items() if c > 1 and n not in assigned), key=lambda n: (-counts[n], n))


def _tested(test: ast.expr) -> list[str]:
    if isinstance(test, ast.Name):
        return [test.id]
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _tested(test.operand)
    if isinstance(test, ast.BoolOp):
        return [name for part in test.values for name in _tested(part)]
    return []


def aliases_of(source: Source, names: Iterable[str]) -> set[str]:
    """Names that a module gives to what is looked for: imports under another name, assignments at its own level."""
    wanted = set(names)
    found = {new for old, new in source.aliases if old in wanted}
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and not identifiers(node.value).isdisjoint(wanted | found):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return found


def handed_on(name: str, function: Function) -> bool:
    """Whether a function uses an inner one in other ways than by calling it."""
    called = {id(node.func) for node in walked(function.node) if isinstance(node, ast.Call)}
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load) and id(node) not in called
        for node in walked(function.node)
    )
