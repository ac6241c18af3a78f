"""Where a module uses the names of kernels, and which of these uses are launches: asked by every reader of wrappers."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

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


def other_names(tree: ast.Module, kernels: Collection[str]) -> Mapping[str, str]:
    """The kernels that a module imports by other names, by these."""
    imported = (a for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names)
    return {a.asname: a.name for a in imported if a.asname and a.name in kernels}


def mentions(
    statement: ast.stmt, spelled: Mapping[str, str], *, anyhow: bool = False
) -> Iterator[tuple[ast.expr, str]]:
    """Every use of a name, by itself or as an attribute's, and what it stands for.

    Args:
        statement: where to look.
        spelled: what each name stands for.
        anyhow: whether a name that is looked up as text, or bound anew, is a use of it.
    """
    for n in ast.walk(statement):
        if isinstance(n, (ast.Name, ast.Attribute)) and (anyhow or isinstance(n.ctx, ast.Load)):
            name = n.id if isinstance(n, ast.Name) else n.attr
        elif anyhow and isinstance(n, ast.Constant) and isinstance(n.value, str):
            name = n.value
        else:
            continue
        if name in spelled:
            yield n, spelled[name]


def own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """What a function of a module executes itself, not in functions inside it; nothing of other statements."""
    stack: list[ast.AST] = [*statement.body] if isinstance(statement, ast.FunctionDef) else []
    while stack:
        n = stack.pop()
        if not isinstance(n, _SCOPES):
            yield n
            stack += ast.iter_child_nodes(n)


def launching(statement: ast.stmt) -> Iterator[tuple[ast.expr, ast.Call]]:
    """What a function of a module launches, and the launch: ``kernel[grid](...)``."""
    for n in own_nodes(statement):
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Subscript):
            yield n.func.value, n
