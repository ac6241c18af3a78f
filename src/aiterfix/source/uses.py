"""Where a module uses the names of kernels, and which of these uses are launches: asked by every reader of wrappers."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

from aiterfix.source.tree import children, descend

_SCOPES = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef),
    *(ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
)


@dataclass(frozen=True)
class Use:
    """A use of a kernel's name.

    Attributes:
        kernel: its name.
        node: the use; it may be text that is looked up, or a name that is bound anew.
        statement: that of the module which it is in.
        call: the launch, where a function of the module itself, not one inside it, launches the kernel by this use.
    """

    kernel: str
    node: ast.expr
    statement: ast.stmt
    call: ast.Call | None

    @property
    def function(self) -> ast.FunctionDef | None:
        """The function of the module that it is in; None elsewhere."""
        return self.statement if isinstance(self.statement, ast.FunctionDef) else None


def uses(tree: ast.Module, kernels: Collection[str]) -> Iterator[Use]:
    """Every use of some kernels' names but definitions and imports."""
    spelled = {**{k: k for k in kernels}, **other_names(tree, kernels)}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in kernels:
            continue  # the kernel itself
        launches = {id(launched): call for launched, call in launching(statement)}
        for node, kernel in mentions(statement, spelled, anyhow=True):
            yield Use(kernel, node, statement, launches.get(id(node)))


def imports(tree: ast.Module) -> Iterator[tuple[int, ast.alias]]:
    """What a module imports from others, anywhere in it, with the line of the import."""
    for statement in tree.body:
        yield from _parts(statement).imports


def other_names(tree: ast.Module, kernels: Collection[str]) -> Mapping[str, str]:
    """The kernels that a module imports by other names, by these."""
    return {a.asname: a.name for _, a in imports(tree) if a.asname and a.name in kernels}


def mentions(
    statement: ast.stmt, spelled: Mapping[str, str], *, anyhow: bool = False
) -> Iterator[tuple[ast.expr, str]]:
    """Every use of a name, by itself or as an attribute's, and what it stands for.

    Args:
        statement: where to look.
        spelled: what each name stands for.
        anyhow: whether a name that is looked up as text, or bound anew, is a use of it.
    """
    for node, name, read in _parts(statement).names:
        if (anyhow or read) and name in spelled:
            yield node, spelled[name]


def own_nodes(statement: ast.stmt) -> Sequence[ast.AST]:
    """What a function of a module executes itself, not in functions inside it; nothing of other statements."""
    return _parts(statement).own


def launching(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.Call]]:
    """What a function of a module launches, and the launch: ``kernel[grid](...)``."""
    for n in own_nodes(statement):
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Subscript):
            yield n.func.value, n


class _Parts(NamedTuple):
    """A statement of a module, taken apart.

    Attributes:
        names: every name and text in it, with whether it is a name that is read.
        imports: see `imports`.
        own: see `own_nodes`.
    """

    names: list[tuple[ast.expr, str, bool]]
    imports: list[tuple[int, ast.alias]]
    own: list[ast.AST]


_TAKEN_APART: WeakKeyDictionary[ast.stmt, _Parts] = WeakKeyDictionary()
"""For as long as a statement is there: in one judgement each is asked for some dozen times."""


def _parts(statement: ast.stmt) -> _Parts:
    if statement not in _TAKEN_APART:
        made = _TAKEN_APART[statement] = _Parts([], [], [])
        for n in descend(statement):
            if isinstance(n, ast.Name):
                made.names.append((n, n.id, isinstance(n.ctx, ast.Load)))
            elif isinstance(n, ast.Attribute):
                made.names.append((n, n.attr, isinstance(n.ctx, ast.Load)))
            elif isinstance(n, ast.Constant) and isinstance(n.value, str):
                made.names.append((n, n.value, False))
            elif isinstance(n, ast.ImportFrom):
                made.imports.extend((n.lineno, alias) for alias in n.names)
        pending: list[ast.AST] = [*statement.body] if isinstance(statement, ast.FunctionDef) else []
        while pending:
            n = pending.pop()
            if not isinstance(n, _SCOPES):
                made.own.append(n)
                pending += children(n)
    return _TAKEN_APART[statement]
