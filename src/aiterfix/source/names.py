"""Which names a piece of syntax has: parameters, names used, names bound."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from aiterfix.source.tree import children, descend


def function_parameters(function: ast.FunctionDef) -> list[str]:
    """Names of all parameters, `*args` and `**kwargs` included, in order."""
    a = function.args
    names = [p.arg for p in (*a.posonlyargs, *a.args)]
    names += [a.vararg.arg] if a.vararg else []
    names += [p.arg for p in a.kwonlyargs]
    names += [a.kwarg.arg] if a.kwarg else []
    return names


@lru_cache(maxsize=8)
def kept_parameters(function: ast.FunctionDef) -> tuple[str, ...]:
    """Those that hold what the function was handed throughout."""
    bound = {n for s in function.body for n in bound_names(s)}
    bound |= {n for s in descend(function) if isinstance(s, ast.Nonlocal) for n in s.names}
    return tuple(p for p in function_parameters(function) if p not in bound)


STORE_MARK = "store()"
"""Stands among the names of an expression that calls a store; no identifier looks like it."""


def names_in(node: ast.AST, stores: Collection[str] = ()) -> set[str]:
    """Every name that occurs in an expression, and `STORE_MARK` if it has a function named in ``stores``."""
    # The common node types by hand: `ast.walk` visits contexts and operators too, at five times the cost.
    found: set[str] = set()
    stack: list[ast.AST] = [node]
    while stack:
        n = stack.pop()
        kind = type(n)
        if kind is ast.Name:
            found.add(n.id)  # type: ignore[attr-defined]
            if n.id in stores:  # type: ignore[attr-defined]
                found.add(STORE_MARK)
        elif kind is ast.BinOp:
            stack += (n.left, n.right)  # type: ignore[attr-defined]
        elif kind is ast.Attribute:
            stack.append(n.value)  # type: ignore[attr-defined]
            if n.attr in stores:  # type: ignore[attr-defined]
                found.add(STORE_MARK)
        elif kind is ast.Call:
            stack.append(n.func)  # type: ignore[attr-defined]
            stack += n.args  # type: ignore[attr-defined]
            stack += [k.value for k in n.keywords]  # type: ignore[attr-defined]
        elif kind is not ast.Constant:
            stack += children(n)
    return found


def bound_names(node: ast.AST, *, walrus: bool = True) -> Iterator[str]:
    """Every name that executing ``node`` may bind, nested functions' own locals excluded.

    Args:
        node: a statement, target or expression.
        walrus: False where the text has no assignment expression anywhere, so that expressions that
            are evaluated need no search.
    """
    stack: list[ast.AST] = [node]
    while stack:
        n = stack.pop()
        if isinstance(n, ast.Name):
            if isinstance(n.ctx, (ast.Store, ast.Del)):
                yield n.id
            continue
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield n.name
            continue
        if isinstance(n, ast.comprehension):
            # Its targets are its own; an assignment expression inside is not.
            stack += (n.iter, *n.ifs)
            continue
        if not walrus and isinstance(n, ast.stmt):
            if isinstance(n, ast.Assign):
                stack += n.targets
                continue
            if isinstance(n, (ast.AugAssign, ast.AnnAssign)):
                stack.append(n.target)
                continue
            if isinstance(n, ast.For):
                stack += (n.target, *n.body, *n.orelse)
                continue
            if isinstance(n, (ast.If, ast.While)):
                stack += (*n.body, *n.orelse)
                continue
            if isinstance(n, ast.With):
                stack += (*(i.optional_vars for i in n.items if i.optional_vars), *n.body)
                continue
            if isinstance(n, (ast.Expr, ast.Return, ast.Assert)):
                continue
        if isinstance(n, (ast.Import, ast.ImportFrom)):
            for alias in n.names:
                yield (alias.asname or alias.name).split(".")[0]
        elif (isinstance(n, ast.ExceptHandler) and n.name) or (isinstance(n, (ast.MatchAs, ast.MatchStar)) and n.name):
            yield n.name
        elif isinstance(n, ast.MatchMapping) and n.rest:
            yield n.rest
        elif isinstance(n, (ast.Global, ast.Nonlocal)):
            yield from n.names
        stack.extend(children(n))


def read_and_bound(body: Iterable[ast.stmt]) -> tuple[set[str], set[str]]:
    """Names that some statements may read before they bind them, and names that they bind on every way."""
    read: set[str] = set()
    bound: set[str] = set()
    for s in body:
        if isinstance(s, (ast.If, ast.For, ast.While)):
            read |= names_in(s.iter if isinstance(s, ast.For) else s.test) - bound
            ways = [read_and_bound(block) for block in (s.body, s.orelse)]
            counted = names_in(s.target) if isinstance(s, ast.For) else set[str]()
            read |= set[str]().union(*(r for r, _ in ways)) - bound - counted
            bound |= ways[0][1] & ways[1][1] if isinstance(s, ast.If) else set()
        else:
            value = s.value if isinstance(s, (ast.Assign, ast.AnnAssign)) else s
            read |= (names_in(value) if value is not None else set()) - bound
            bound |= set(bound_names(s))
    return read, bound


@dataclass(frozen=True)
class Flow:
    """Which names matter in a kernel, whatever the order of statements.

    Attributes:
        tainted: names that may ever hold an address inside the output.
        relevant: names whose values may enter the arguments of a store.
        uses: the names in each expression that was looked at.
        stores: names of store functions.
    """

    tainted: frozenset[str]
    relevant: frozenset[str]
    uses: dict[ast.AST, set[str]]
    stores: Collection[str]

    def idle(self, expression: ast.AST) -> bool:
        """Whether evaluating an expression can neither touch the output nor store anything."""
        used = self.uses.get(expression)
        if used is None:
            used = self.uses[expression] = names_in(expression, self.stores)
        return STORE_MARK not in used and self.tainted.isdisjoint(used)


def flow_of(function: ast.FunctionDef, outputs: Collection[str], stores: Collection[str], *, walrus: bool) -> Flow:
    """Find out which names matter.

    Args:
        function: the kernel, or a function that it calls.
        outputs: its parameters that may hold an address inside the output.
        stores: names of functions that write to memory, or whose bodies may.
        walrus: False where the text has no ``:=`` (see `bound_names`).
    """
    bindings: list[tuple[set[str], set[str]]] = []
    uses: dict[ast.AST, set[str]] = {}
    seeds: set[str] = set()

    def seen(expression: ast.AST) -> set[str]:
        used = uses[expression] = names_in(expression, stores)
        return used

    for n in _binders(function, walrus):
        sources: ast.AST | None = None
        if isinstance(n, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
            sources = n.value
        elif isinstance(n, (ast.For, ast.comprehension)):
            sources = n.iter
        elif isinstance(n, ast.withitem):
            sources = n.context_expr
        elif isinstance(n, ast.Match):
            sources = n.subject
        elif isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            sources = n
        elif isinstance(n, (ast.Expr, ast.Return)) and n.value is not None:
            used = seen(n.value)
            if STORE_MARK in used or isinstance(n, ast.Return):
                seeds |= used
        if isinstance(n, (ast.For, ast.If, ast.While)) and _guards(n, stores):
            # What decides whether a store is reached, and how often.
            seeds |= seen(n.iter if isinstance(n, ast.For) else n.test)
        if sources is not None:
            targets = (
                {n.name}
                if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
                else set(bound_names(n, walrus=walrus))
            )
            used = uses.get(sources) or seen(sources)
            bindings.append((targets, used | targets if isinstance(n, ast.AugAssign) else used))
            if STORE_MARK in used:
                seeds |= used
    return Flow(closure(outputs, bindings, forward=True), closure(seeds, bindings, forward=False), uses, stores)


def _guards(s: ast.For | ast.If | ast.While, stores: Collection[str]) -> bool:
    """Whether a store, or the rest of the function, stands behind a condition or in a loop."""
    stack: list[ast.stmt] = [*s.body, *s.orelse]
    while stack:
        n = stack.pop()
        if isinstance(n, (ast.Return, ast.Raise, ast.Continue, ast.Break)):
            return True
        if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call):
            func = n.value.func
            if (func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")) in stores:
                return True
        if isinstance(n, (ast.If, ast.For, ast.While, ast.With)):
            stack += (*n.body, *getattr(n, "orelse", ()))
    return False


def closure(
    names: Collection[str], bindings: Iterable[tuple[Collection[str], Collection[str]]], *, forward: bool
) -> frozenset[str]:
    """All names reached from some: forward, what is made from them; backward, what they are made from."""
    found, before = set(names), -1
    steps = [(used, targets) if forward else (targets, used) for targets, used in bindings]
    while len(found) > before:
        before = len(found)
        for start, end in steps:
            if not found.isdisjoint(start):
                found.update(end)
    return frozenset(found)


def _binders(function: ast.FunctionDef, walrus: bool) -> Iterator[ast.AST]:
    """Every node that may bind a name to the value of an expression."""
    stack: list[ast.AST] = [*function.body]
    while stack:
        n = stack.pop()
        yield n
        if walrus or not isinstance(n, ast.stmt):
            stack += children(n)
        elif isinstance(n, (ast.For, ast.If, ast.While)):
            stack += (*n.body, *n.orelse)
        elif not isinstance(n, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return)):
            stack += children(n)
