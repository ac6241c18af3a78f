"""Who reaches a kernel in a module of wrappers, and what each such function refuses before it gets there."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator
from itertools import groupby

from aiterfix.source.kernel_launch import KernelLaunch
from aiterfix.source.names import bound_names, function_parameters
from aiterfix.source.tree import descend
from aiterfix.source.uses import mentions, uses
from aiterfix.storage.record import record


@record(frozen=True)
class EntryTest:
    """A test on what a function was handed, under which it must raise.

    Attributes:
        about: the code of the finding that such a refusal answers.
        what: what the function is handed in that case, for people.
        test: gives the test's source for a function; None where the function has not the parameters for it.
        needless: whether a function, or a whole module where no function is known, never gets into the case.
    """

    about: str
    what: str
    test: Callable[[ast.FunctionDef], str | None]
    needless: Callable[[ast.FunctionDef | ast.Module], bool] = lambda _: False


def reaching(tree: ast.Module, kernels: Collection[str], asked: EntryTest) -> tuple[KernelLaunch, ...]:
    """Every function that gets to a kernel, by itself or through a private function of the module, in source order.

    Args:
        tree: a module.
        kernels: names to look for.
        asked: what the functions should refuse.
    """
    functions = {s.name: s for s in tree.body if isinstance(s, ast.FunctionDef) and s.name not in kernels}
    found: list[KernelLaunch] = []
    everywhere = list(uses(tree, kernels))
    reached = {id(u.node) for u in everywhere}
    for statement, here in groupby(everywhere, key=lambda u: u.statement):
        known = list(here)
        by_name = {u.kernel for u in known if not isinstance(u.node, ast.Constant)}
        # Text that stands beside a use of the name says nothing more.
        for use in (u for u in known if u.kernel not in by_name or not isinstance(u.node, ast.Constant)):
            name, line = use.kernel, use.node.lineno
            if not isinstance(statement, ast.FunctionDef):
                spared = asked.needless(tree)
                found.append(KernelLaunch(name, "", line, told=spared, refused=False, about=asked.about))
                continue
            for entry in _public(statement, tree, functions):
                spared = asked.needless(tree if entry is None else entry)
                refused = entry is not None and not spared and _refuses(entry, statement, reached, asked)
                called = entry.name if entry is not None else ""
                able = entry is not None and asked.test(entry) is not None
                found.append(
                    KernelLaunch(name, called, line, spared, refused, False, entry, asked.about, refusable=able)
                )
    return tuple(sorted(dict.fromkeys(found), key=lambda f: f.line))


def _public(
    function: ast.FunctionDef, tree: ast.Module, functions: dict[str, ast.FunctionDef]
) -> Iterator[ast.FunctionDef | None]:
    """The function itself; of a private one those that call it, None where it is used at module level."""
    if not function.name.startswith("_"):
        yield function
        return
    users = 0
    for s in tree.body:
        if s is not function and any(mentions(s, {function.name: ""})):
            users += 1
            yield functions.get(s.name) if isinstance(s, ast.FunctionDef) and not s.name.startswith("_") else None
    if not users:
        yield None  # somebody else calls it


def _refuses(entry: ast.FunctionDef, through: ast.FunctionDef, reached: Collection[int], asked: EntryTest) -> bool:
    """Whether one of a function's own statements raises under the test, before any that gets to a kernel: one of the
    nodes reached."""
    wanted = asked.test(entry)
    if wanted is None:
        return False
    tree = ast.parse(wanted, mode="eval").body
    text = ast.unparse(tree)
    used = {n.id for n in descend(tree) if isinstance(n, ast.Name)} & set(function_parameters(entry))
    through_it = {through.name: ""} if through is not entry else {}
    for s in entry.body:
        reaches = any(id(n) in reached for n in descend(s)) or any(mentions(s, through_it))
        if reaches or not used.isdisjoint(bound_names(s, walrus=True)):
            return False
        raises = isinstance(s, ast.If) and not s.orelse and len(s.body) == 1 and isinstance(s.body[0], ast.Raise)
        if raises and isinstance(s, ast.If) and ast.unparse(s.test) == text:
            return True
    return False
