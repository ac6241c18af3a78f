"""What a wrapper launches: every kernel that it starts, and every function that it hands the logits to."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from aiterfix.family.wrapper import ENTRIES, HELPERS, OUTPUTS
from aiterfix.judge.package import NO_KERNELS, Definition, Package
from aiterfix.source.bindings import How, ModuleBindings
from aiterfix.source.bodies import (
    Body,
    Function,
    argument,
    carries,
    parameters_given,
    parameters_of,
    root,
    walk,
)
from aiterfix.source.decorators import is_jit, named_jit
from aiterfix.source.syntax import root_name

_PLAIN = frozenset(
    "any all bool callable dict enumerate float hasattr hash id int isinstance issubclass len list print range repr "  # noqa: SIM905
    "reversed set slice str sum tuple type zip".split()
)
"""Built-in functions that call no function that they are given."""
_FILLING = frozenset(
    {"append", "extend", "insert", "add", "update", "setdefault", "get", "pop", "items", "values", "keys"}
)
"""Methods of Python's containers."""
_KEEPING = frozenset(
    {
        *("functools.cache", "functools.lru_cache", "functools.wraps", "torch.no_grad", "torch.inference_mode"),
        *("torch.compiler.disable", "torch._dynamo.disable", "builtins.staticmethod"),
    }
)
"""Decorators that leave a function's body what runs."""


class Launches:
    """Collects what the wrappers of a package launch.

    Args:
        package: the package; doubts are noted there.
        declared: names of the kernels that are judged.
    """

    def __init__(self, package: Package, declared: frozenset[str]) -> None:
        self.running: set[Definition] = set()
        self.files: set[Path] = set()
        self.package = package
        self._declared = declared
        self._seen: set[tuple[Path, str, int]] = set()
        self._kernel_files: set[Path] = set()
        self._functions: dict[tuple[Path, int], Body] = {}

    def wrapper(self, path: Path) -> None:
        """Follow a wrapper module: its entries, and every function that stands in it."""
        if path in self.files:
            return
        self.files.add(path)
        bindings = self._bindings(path, "the wrapper")
        if bindings is None:
            return
        for name in ENTRIES:
            if bindings.of(name):
                for d in self.package.name(path, name, 1):
                    self.accept([d], path, d.line, handed=bool(_outputs(d.node)))
            elif bindings.of("__getattr__"):
                line = bindings.of("__getattr__")[0].line
                self.package.doubt(path, line, name, "unresolved", "its name is made by the module's `__getattr__`")
        self._stars(path, bindings, self.wrapper)
        for function in bindings.functions:
            self._follow(path, bindings, function, _outputs(function))

    def kernel_file(self, path: Path) -> None:
        """A module that holds kernels of the family in some release: none of its kernels may be a stranger.

        A function that a kernel of the file calls is judged with that kernel.
        """
        if path in self._kernel_files:
            return
        self._kernel_files.add(path)
        bindings = self._bindings(path, "the kernels' file")
        if bindings is None:
            return
        for b in bindings.of("__getattr__"):
            self.package.doubt(path, b.line, "", "unresolved", "its kernels may be made by the module's `__getattr__`")
        self._stars(path, bindings, self.kernel_file)
        strangers = [
            f
            for f in bindings.functions
            if f.name not in self._declared | HELPERS
            and any(is_jit(d, bindings) or named_jit(d) for d in f.decorator_list)
            and any(_stores(n) for n in walk(f.body))
        ]
        if strangers:
            calls = [c for f in bindings.functions for c in self.body(path, f).calls]
            called = {c.func.id for c in calls if isinstance(c.func, ast.Name)}
            for f in strangers:
                if f.name not in called:
                    message = "a kernel that stores, in a module of the family, and none that is known"
                    self.package.doubt(path, f.lineno, f.name, "undeclared-kernel", message)

    def _bindings(self, path: Path, what: str) -> ModuleBindings | None:
        """What the names of a file are bound to, with a doubt where that may be anything."""
        bindings = self.package.bindings(path)
        if bindings is None:
            self.package.doubt(path, 1, "", "unreadable", f"{what} cannot be read or does not parse")
            return None
        for u in bindings.unclear:
            self.package.doubt(path, u.line, "", "executed", f"{u.what}, so any name may be bound anew")
        return bindings

    def accept(self, found: Iterable[Definition], path: Path, line: int, *, handed: bool) -> None:
        """Take what a launch leads to.

        Args:
            found: where its kernel's name ends.
            path: the file with the launch.
            handed: whether it is handed the logits.
        """
        for d in found:
            if d.name in self._declared:
                self.running.add(d)
            elif d.jit and (handed or d.name not in HELPERS):
                message = f"the wrapper launches it (line {line} of {path.name}), and it is no kernel that is known"
                self.package.doubt(d.path, d.line, d.name, "undeclared-kernel", message)
            elif not d.jit:
                self.wrapper(d.path)
                bindings = self.package.bindings(d.path)
                if bindings is not None:
                    self.decorated(d, bindings)
                    if handed and not _outputs(d.node):
                        self._follow(d.path, bindings, d.node, frozenset(parameters_of(d.node)))

    def decorated(self, d: Definition, bindings: ModuleBindings) -> None:
        """Note a decorator that may put something else in a function's place."""
        for decorator in d.node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            names = bindings.dotted(target)
            if not names or not names <= _KEEPING:
                message = f"decorated by `{ast.unparse(target)}`, which may put something else in its place"
                self.package.doubt(d.path, decorator.lineno, d.name, "decorated", message)

    def _stars(self, path: Path, bindings: ModuleBindings, follow: Callable[[Path], None]) -> None:
        """Modules that entries or kernels may come from through ``import *``: they are followed as this one is."""
        for star in bindings.stars:
            place = self.package.locate(self.package.absolute(path, star.module))
            if isinstance(place, Path):
                follow(place)
            elif star.module.split(".")[0] not in NO_KERNELS:
                message = f"entries or kernels may come from `from {star.module} import *`, which is not followed"
                self.package.doubt(path, star.line, "", "star", message)

    def body(self, path: Path, function: Function) -> Body:
        """What a function of a file calls and sets; gathered once."""
        key = path, function.lineno
        if key not in self._functions:
            self._functions[key] = Body(function)
        return self._functions[key]

    def _follow(self, path: Path, bindings: ModuleBindings, function: Function, outputs: frozenset[str]) -> None:
        """Every launch of a function, and every call that hands its output on.

        Args:
            outputs: its parameters that hold the logits.
        """
        key = path, function.name, hash((function.lineno, outputs))
        if key in self._seen:
            return
        self._seen.add(key)
        body = self.body(path, function)
        carriers = body.carriers(outputs)
        holders = body.holders(carriers)
        scope = _Scope(self, path, bindings, body)
        for statement in body.shared:
            if not carriers.isdisjoint(statement.names):
                message = "the logits are kept in a name of the module, which is not followed"
                self.package.doubt(path, statement.lineno, function.name, "unresolved", message)
        for call in body.calls:
            arguments = [*call.args, *(k.value for k in call.keywords)]
            handed = bool(carriers) and any(carries(a, carriers) for a in arguments)
            if isinstance(call.func, ast.Subscript):
                if not _generic(call.func.value):
                    self.accept(scope.kernels(call.func.value), path, call.lineno, handed=handed)
            elif isinstance(call.func, ast.Attribute) and carries(call.func.value, carriers - holders):
                pass  # a method of the tensor
            elif handed or (isinstance(call.func, ast.Attribute) and root_name(call.func) in holders & carriers):
                self._hand_on(path, bindings, scope, call, carriers)

    def _hand_on(
        self, path: Path, bindings: ModuleBindings, scope: _Scope, call: ast.Call, carriers: frozenset[str]
    ) -> None:
        f = call.func
        local = isinstance(f, ast.Name) and scope.is_local(f.id)
        names = (
            frozenset() if local else bindings.dotted(root(f)) if isinstance(f, ast.Attribute) else bindings.dotted(f)
        )
        whole = bindings.dotted(f) if not local else frozenset()
        if whole and all(_harmless(n) for n in whole) and not any(_callable(a, bindings) for a in call.args):
            return
        if isinstance(f, ast.Attribute) and f.attr in _FILLING and scope.is_local(root_name(f)):
            return  # what it is put into carries it from here on
        if isinstance(f, ast.Attribute) and (
            scope.is_local(root_name(f)) or not names or self._method(path, bindings, f)
        ):
            # A method of something at hand: `compiled.run(...)`.
            self.accept(scope.kernels(f.value), path, call.lineno, handed=True)
            return
        for d in scope.kernels(f):
            if d.path == path and not d.jit and d.name not in self._declared:
                self._follow(path, bindings, d.node, parameters_given(call, d.node, carriers))
                self.decorated(d, bindings)
            else:
                self.accept([d], path, call.lineno, handed=True)

    def _method(self, path: Path, bindings: ModuleBindings, f: ast.Attribute) -> bool:
        """Whether ``a.b`` is what an object of the package has, where ``a`` is no module."""
        whole = [self.package.absolute(path, n).rpartition(".")[0] for n in bindings.dotted(f.value)]
        modules = [m for m in whole if isinstance(self.package.locate(m), Path)]
        beyond = [
            n for n in bindings.dotted(f.value) if isinstance(self.package.locate(self.package.absolute(path, n)), Path)
        ]
        return bool(modules) and not beyond


class _Scope:
    """Where the names of one function of a wrapper lead."""

    def __init__(self, launches: Launches, path: Path, bindings: ModuleBindings, body: Body) -> None:
        self._launches = launches
        self._package = launches.package
        self._path = path
        self._bindings = bindings
        self._body = body

    def is_local(self, name: str) -> bool:
        """Whether a name is one of the function's own."""
        return name in self._body.values or name in self._body.parameters

    def kernels(self, e: ast.expr, asked: frozenset[int] = frozenset()) -> list[Definition]:
        """The functions that an expression may stand for; what is not followed becomes a doubt."""
        key = id(e)  # the trees outlive this
        return [] if key in asked else list(self._kernels(e, asked | {key}))

    def _kernels(self, e: ast.expr, asked: frozenset[int]) -> Iterator[Definition]:
        parts: list[ast.expr] = []
        if isinstance(e, ast.Name):
            yield from self._name(e, asked)
        elif isinstance(e, ast.Attribute):
            yield from self._attribute(e, asked)
        elif isinstance(e, ast.Call):
            yield from self._call(e, asked)
        elif isinstance(e, ast.IfExp):
            parts = [e.body, e.orelse]
        elif isinstance(e, ast.BoolOp):
            parts = e.values
        elif isinstance(e, (ast.NamedExpr, ast.Subscript)):
            parts = [e.value]
        elif isinstance(e, ast.Dict):
            parts = e.values
        elif isinstance(e, (ast.Tuple, ast.List, ast.Set)):
            parts = e.elts
        elif not isinstance(e, ast.Constant):
            self._unknown(e)
        for part in parts:
            yield from self.kernels(part, asked)

    def _unknown(self, e: ast.expr) -> None:
        self._package.doubt(
            self._path, e.lineno, "", "unresolved", f"the wrapper launches `{_short(e)}`, which is not followed"
        )

    def _name(self, e: ast.Name, asked: frozenset[int]) -> Iterator[Definition]:
        if e.id in self._body.values:
            for value in self._body.values[e.id]:
                if isinstance(value, (ast.Import, ast.ImportFrom)):
                    yield from self._local_import(value, e)
                elif isinstance(value, ast.expr):
                    yield from self.kernels(value, asked)
                else:
                    self._unknown(e)
        if e.id in self._body.parameters:
            yield from self._parameter(e, asked)
        if self.is_local(e.id):
            return
        for b in self._bindings.of(e.id):
            # A table of kernels at module level.
            if b.how is How.VALUE and isinstance(b.node, (ast.Dict, ast.Tuple, ast.List, ast.IfExp, ast.Call)):
                module = _Scope(self._launches, self._path, self._bindings, Body(_NOTHING))
                yield from module.kernels(b.node, asked)
                break
        else:
            yield from self._package.name(self._path, e.id, e.lineno)

    def _local_import(self, statement: ast.Import | ast.ImportFrom, e: ast.Name) -> Iterator[Definition]:
        for a in statement.names:
            if (a.asname or a.name) == e.id and isinstance(statement, ast.ImportFrom):
                module = "." * statement.level + (statement.module or "")
                dotted = module + a.name if module.endswith(".") else f"{module}.{a.name}"
                yield from self._package.dotted(self._path, dotted, statement.lineno, a.name)
                return
        self._unknown(e)

    def _parameter(self, e: ast.Name, asked: frozenset[int]) -> Iterator[Definition]:
        """A kernel that the function is given: by its callers in this file."""
        function = self._body.function
        callers = 0
        for other in self._bindings.functions:
            body = self._launches.body(self._path, other)
            for call in body.calls:
                if isinstance(call.func, ast.Name) and call.func.id == function.name:
                    given = argument(call, function, e.id)
                    if given is None:
                        self._unknown(e)
                        return
                    callers += 1
                    scope = _Scope(self._launches, self._path, self._bindings, body)
                    yield from scope.kernels(given, asked)
        if not callers:
            self._unknown(e)

    def _attribute(self, e: ast.Attribute, asked: frozenset[int]) -> Iterator[Definition]:
        names = frozenset() if self.is_local(root_name(e)) else self._bindings.dotted(e)
        if e.attr == "fn":
            yield from self.kernels(e.value, asked)
        elif names:
            for name in sorted(names):
                yield from self._package.dotted(self._path, name, e.lineno, e.attr)
        else:
            values = self._body.values.get(root_name(e), [])
            imports = [v for v in values if isinstance(v, (ast.Import, ast.ImportFrom))]
            if isinstance(e.value, ast.Name) and values and len(imports) == len(values):
                for statement in imports:
                    yield from self._through_module(statement, e)
            else:
                self._unknown(e)

    def _through_module(self, statement: ast.Import | ast.ImportFrom, e: ast.Attribute) -> Iterator[Definition]:
        assert isinstance(e.value, ast.Name)
        for a in statement.names:
            if (a.asname or a.name) == e.value.id:
                module = a.name
                if isinstance(statement, ast.ImportFrom):
                    start = "." * statement.level + (statement.module or "")
                    module = start + a.name if start.endswith(".") else f"{start}.{a.name}"
                yield from self._package.dotted(self._path, f"{module}.{e.attr}", e.lineno, e.attr)
                return
        self._unknown(e)

    def _call(self, e: ast.Call, asked: frozenset[int]) -> Iterator[Definition]:
        """What a call gives: a compiled kernel, or what a function of the package returns."""
        f = e.func
        names = frozenset() if self.is_local(root_name(f)) else self._bindings.dotted(f)
        if isinstance(f, ast.Subscript):
            yield from self.kernels(f.value, asked)  # a launch gives back the compiled kernel
        elif names and all(n.split(".")[0] == "triton" or n == "functools.partial" for n in names):
            given = [k.value for k in e.keywords if k.arg in ("fn", "src")] or e.args[:1]
            if given:
                compiled = names != {"functools.partial"}
                for d in self.kernels(given[0], asked):
                    yield replace(d, jit=True) if compiled else d
            else:
                self._unknown(e)
        elif isinstance(f, ast.Attribute) and f.attr == "get" and not names:
            yield from self.kernels(f.value, asked)
            for default in e.args[1:]:
                yield from self.kernels(default, asked)
        elif isinstance(f, ast.Name) and (not self.is_local(f.id)) and not (names and _foreign(names)):
            for d in self._package.name(self._path, f.id, e.lineno):
                yield from self._returned(d, e, asked)
        else:
            self._unknown(e)

    def _returned(self, d: Definition, e: ast.Call, asked: frozenset[int]) -> Iterator[Definition]:
        bindings = self._package.bindings(d.path)
        if d.jit or bindings is None:
            self._unknown(e)
            return
        self._launches.decorated(d, bindings)
        body = self._launches.body(d.path, d.node)
        scope = _Scope(self._launches, d.path, bindings, body)
        if not body.returns:
            self._unknown(e)
        for value in body.returns:
            yield from scope.kernels(value, asked)


_NOTHING = ast.FunctionDef("", ast.arguments([], [], None, [], [], None, []), [], [], lineno=0)


def _outputs(function: Function) -> frozenset[str]:
    """Parameters that hold the logits: by the entries' own names, else by what they are called."""
    parameters = parameters_of(function)
    found = [p for p in parameters if p in OUTPUTS] or [p for p in parameters if p.startswith("out") or "logits" in p]
    if not found:
        found = [a.arg for a in (function.args.vararg, function.args.kwarg) if a is not None]
    if not found and function.name in ENTRIES and not function.name.endswith("_schedule"):
        found = parameters
    return frozenset(found)


def _generic(e: ast.expr) -> bool:
    """Whether ``e[...]`` is a type with its arguments, not a kernel with its grid."""
    return isinstance(e, ast.Name) and e.id in ("list", "dict", "tuple", "set", "type", "frozenset")


def _harmless(name: str) -> bool:
    """Whether a function from elsewhere does not launch a kernel of the family: Python's, torch's own."""
    first = name.split(".")[0]
    if first == "builtins":
        return name.partition(".")[2] in _PLAIN
    if name.startswith(("torch.ops", "torch.utils", "torch.classes", "torch.library")):
        return False
    return first in ("torch", "triton", "math", "logging", "warnings")


def _callable(argument: ast.expr, bindings: ModuleBindings) -> bool:
    """Whether an argument may be a function that is then called: `checkpoint(launch, logits)`."""
    if isinstance(argument, ast.Lambda):
        return True
    if not isinstance(argument, (ast.Name, ast.Attribute)):
        return False
    found = bindings.of(root_name(argument))
    names = bindings.dotted(argument)
    return bool(found) and not (names and all(_harmless(n) for n in names))


def _foreign(names: frozenset[str]) -> bool:
    return all(not n.startswith((".", "aiter.")) and "." in n for n in names)


def _short(e: ast.AST) -> str:
    text = ast.unparse(e)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _stores(n: ast.AST) -> bool:
    """Whether a call may write to memory, by its name."""
    if not isinstance(n, ast.Call):
        return False
    name = getattr(n.func, "attr", getattr(n.func, "id", ""))
    return any(word in name for word in ("store", "atomic", "scatter", "copy"))
