"""What a function calls, what its local names are set to, and which of them carry what it was given."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from aiterfix.source.names import function_parameters
from aiterfix.source.syntax import root_name
from aiterfix.source.tree import children

Function = ast.FunctionDef | ast.AsyncFunctionDef
_FACTS = frozenset(
    {"stride", "size", "shape", "dtype", "device", "numel", "dim", "ndim", "is_contiguous", "element_size", "nbytes"}
)
"""What is asked of a tensor without handing it on."""


class Body:
    """The calls of a function and what its local names are set to, nested functions included."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.calls: list[ast.Call] = []
        self.returns: list[ast.expr] = []
        self.parameters = set(parameters_of(function))
        self.values: dict[str, list[ast.expr | ast.stmt | None]] = {}
        self.held: dict[str, list[ast.expr]] = {}
        """What is put into objects, by the name that leads to each."""
        self.shared: list[ast.Global] = []
        for n in walk(function.body):
            if isinstance(n, ast.Call):
                self.calls.append(n)
            elif isinstance(n, ast.Return):
                self.returns += [n.value] if n.value is not None else []
            elif isinstance(n, ast.Assign):
                for t in n.targets:
                    self._set(t, n.value)
            elif isinstance(n, (ast.AnnAssign, ast.NamedExpr)):
                if n.value is not None:
                    self._set(n.target, n.value)
            elif isinstance(n, ast.AugAssign):
                self._set(n.target, None)
            elif isinstance(n, (ast.For, ast.AsyncFor, ast.comprehension)):
                self._set(n.target, n.iter)
            elif isinstance(n, ast.Global):
                self.shared.append(n)
            elif isinstance(n, ast.withitem) and n.optional_vars is not None:
                self._set(n.optional_vars, n.context_expr)
            elif isinstance(n, (ast.Import, ast.ImportFrom)):
                for a in n.names:
                    self.values.setdefault(a.asname or a.name.split(".")[0], []).append(n)
            elif isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.values.setdefault(n.name, []).append(n)
            if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                for parameter, default in defaults(n.args):
                    self.values.setdefault(parameter, []).append(default)
        for call in self.calls:
            if isinstance(call.func, ast.Attribute) and (owner := root_name(call.func)):
                self.held.setdefault(owner, []).extend([*call.args, *(k.value for k in call.keywords)])

    def _set(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            self.values.setdefault(target.id, []).append(value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            pairs = isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts)
            for i, t in enumerate(target.elts):
                inner = t.value if isinstance(t, ast.Starred) else t
                self._set(inner, value.elts[i] if pairs and isinstance(value, (ast.Tuple, ast.List)) else value)
        elif isinstance(target, (ast.Attribute, ast.Subscript)) and value is not None:
            holder: ast.expr = target
            while isinstance(holder, (ast.Attribute, ast.Subscript)):
                holder = holder.value
            if isinstance(holder, ast.Name):
                self.held.setdefault(holder.id, []).append(value)

    def holders(self, carriers: Iterable[str]) -> frozenset[str]:
        """Names of objects that something which carries the output was put into."""
        return frozenset(n for n, values in self.held.items() if any(carries(v, carriers) for v in values))

    def carriers(self, outputs: frozenset[str]) -> frozenset[str]:
        """Local names through which a function's output may be reached."""
        found = set(outputs)
        if not found:
            return frozenset()
        while True:
            more = {
                name
                for name, values in self.values.items()
                if name not in found and any(isinstance(v, ast.expr) and carries(v, found) for v in values)
            }
            more |= {name for name in self.holders(found) - found if name in self.values or name in self.parameters}
            if not more:
                return frozenset(found)
            found |= more


def parameters_of(function: Function) -> list[str]:
    """`function_parameters`, of coroutines too."""
    return function_parameters(function)  # type: ignore[arg-type]


def walk(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Every node but names, constants and operators, which no caller asks for."""
    stack = list(body)[::-1]
    while stack:
        n = stack.pop()
        yield n
        stack += [c for c in children(n) if not isinstance(c, (ast.Name, ast.Constant))]


def carries(e: ast.AST, names: Iterable[str]) -> bool:
    """Whether an expression may hand on what one of these names holds: not where only its shape is asked for."""
    stack = [e]
    while stack:
        n = stack.pop()
        if isinstance(n, ast.Name):
            if n.id in names:
                return True
        elif not (isinstance(n, ast.Attribute) and n.attr in _FACTS) and not isinstance(n, ast.Compare):
            stack += (n.body, n.orelse) if isinstance(n, ast.IfExp) else children(n)
    return False


def root(e: ast.expr) -> ast.expr:
    """What a chain of attributes begins with."""
    while isinstance(e, ast.Attribute):
        e = e.value
    return e


def defaults(a: ast.arguments) -> Iterator[tuple[str, ast.expr]]:
    """Parameters that have a default, with it."""
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    yield from zip(positional[::-1], a.defaults[::-1], strict=False)
    yield from ((p.arg, d) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None)


def argument(call: ast.Call, function: Function, parameter: str) -> ast.expr | None:
    """What a call gives for a parameter; None where that is not in sight."""
    for k in call.keywords:
        if k.arg == parameter:
            return k.value
    a = function.args
    names = [p.arg for p in (*a.posonlyargs, *a.args)]
    if parameter in names and not any(isinstance(x, ast.Starred) for x in call.args):
        i = names.index(parameter)
        if i < len(call.args):
            return call.args[i]
        defaults = dict(zip(names[::-1], a.defaults[::-1], strict=False))
        if not any(k.arg is None for k in call.keywords):
            return defaults.get(parameter)
    return None


def parameters_given(call: ast.Call, function: Function, carriers: frozenset[str]) -> frozenset[str]:
    """Parameters of a function that a call hands the logits to."""
    a = function.args
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    everything = frozenset(parameters_of(function))
    found: set[str] = set()
    for i, given in enumerate(call.args):
        if carries(given, carriers):
            if isinstance(given, ast.Starred):
                return everything
            found.add(positional[i] if i < len(positional) else a.vararg.arg if a.vararg else "")
    for k in call.keywords:
        if carries(k.value, carriers):
            if k.arg is None:
                return everything
            found.add(k.arg if k.arg in everything else a.kwarg.arg if a.kwarg else "")
    return frozenset(found - {""})
