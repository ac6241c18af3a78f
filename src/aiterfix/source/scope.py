"""What the names of a module mean: Triton's functions, this module's own, numbers, or nothing that is known."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator

from aiterfix.source.constants import constant
from aiterfix.source.names import STORE_MARK, names_in
from aiterfix.source.tree import descend
from aiterfix.source.values import ADAPTS, NARROW, UNKNOWN_WIDTH, WIDE

JIT = frozenset({"triton.jit", "triton.runtime.jit.jit", "triton.experimental.gluon.jit", "triton.constexpr_function"})
_BUILTINS = frozenset(vars(builtins))
_NESTING = (ast.If, ast.Try, ast.With, ast.For, ast.While)


class ModuleScope:
    """The module level of one file.

    A name counts only where every binding of it says the same; a star import makes everything before it, and
    Python's own names, uncertain.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._bindings: dict[str, list[ast.AST | str]] = {}
        self._star = False
        self.replaced: list[ast.AST] = []
        """Statements at module level that put something else in the place of an attribute of a module."""
        self._writers: frozenset[str] | None = None
        self._harmless: dict[str, bool] = {}
        self._meanings: dict[str, str | ast.FunctionDef | int | None] = {}
        self._collect(tree.body)

    def _collect(self, body: list[ast.stmt]) -> None:
        for s in body:
            if isinstance(s, ast.Import):
                for a in s.names:
                    self._bind(a.asname or a.name.partition(".")[0], a.name if a.asname else a.name.partition(".")[0])
            elif isinstance(s, ast.ImportFrom):
                base = "." * s.level + (s.module or "")
                for a in s.names:
                    if a.name == "*":
                        self._star = True
                        self._bindings = {n: [*b, s] for n, b in self._bindings.items()}
                    else:
                        self._bind(a.asname or a.name, f"{base}.{a.name}")
            elif isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self._bind(s.name, s)
            elif isinstance(s, _NESTING):
                for target in _targets(s):
                    self._assign(target, s)
                for part in ("body", "orelse", "finalbody"):
                    self._collect(getattr(s, part, []))
                for handler in getattr(s, "handlers", []):
                    self._bind(handler.name or "", handler)
                    self._collect(handler.body)
            else:
                for n in descend(s):
                    if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load):
                        self._bind(n.id, s)
                    elif isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load):
                        self.replaced.append(n)

    def _assign(self, target: ast.AST, s: ast.AST) -> None:
        for n in descend(target):
            if isinstance(n, ast.Name):
                self._bind(n.id, s)
            elif isinstance(n, ast.Attribute):
                self.replaced.append(n)

    def _bind(self, name: str, what: ast.AST | str) -> None:
        self._bindings.setdefault(name, []).append(what)

    def meaning(self, name: str) -> str | ast.FunctionDef | int | None:
        """A dotted name from imports or ``builtins.``, a function, a whole number; None for anything else."""
        if name not in self._meanings:
            self._meanings[name] = None  # a definition in terms of itself means nothing
            self._meanings[name] = self._meaning(name)
        return self._meanings[name]

    def _meaning(self, name: str) -> str | ast.FunctionDef | int | None:
        bound = self._bindings.get(name)
        if not bound:
            return f"builtins.{name}" if name in _BUILTINS and not self._star else None
        first = bound[0]
        if isinstance(first, str):
            # Two imports of one function from two homes, as behind a version check.
            same = all(isinstance(b, str) and _home(b) == _home(first) for b in bound)
            return first if same else None
        if len(bound) > 1:
            return None
        if isinstance(first, ast.FunctionDef):
            plain = all(self.dotted(d.func if isinstance(d, ast.Call) else d) in JIT for d in first.decorator_list)
            return first if plain else None
        if isinstance(first, (ast.Assign, ast.AnnAssign)) and first.value is not None:
            single = isinstance(first, ast.AnnAssign) or (
                len(first.targets) == 1 and isinstance(first.targets[0], ast.Name)
            )
            return self._constant(first.value) if single else None
        return None

    def _constant(self, e: ast.expr) -> str | ast.FunctionDef | int | None:
        """What a module-level assignment says: a number, or another name for something."""
        if isinstance(e, ast.Call) and self.dotted(e.func) in ("triton.language.constexpr", _GLUON + ".constexpr"):
            return self._constant(e.args[0]) if len(e.args) == 1 and not e.keywords else None
        if isinstance(e, (ast.Name, ast.Attribute)):
            return self.meaning(e.id) if isinstance(e, ast.Name) else self.dotted(e)
        value = constant(e)
        return value if type(value) is int else None

    def forget(self, names: Iterable[str]) -> None:
        """Take names, and no others, for bound to something that is not known."""
        self._meanings = dict.fromkeys(names)

    def writers(self, known: frozenset[str], kernel: ast.FunctionDef) -> frozenset[str]:
        """The module's names for functions that write to memory: imported under another name, or defined here."""
        if self._writers is None:
            found: frozenset[str] = frozenset()
            # Until no more turn up: a function that calls one of these is one itself.
            while (
                not (more := {n for n in self._bindings.keys() - found if self._may_write(n, known | found)}) <= found
            ):
                found |= more
            self._writers = found
        return self._writers - {kernel.name}

    def _may_write(self, name: str, known: frozenset[str]) -> bool:
        for b in self._bindings[name]:
            if isinstance(b, str):
                if b.rpartition(".")[2] in known:
                    return True
            elif isinstance(b, (ast.FunctionDef, ast.Assign)) and (
                (isinstance(b, ast.FunctionDef) and _is_long(b)) or STORE_MARK in names_in(b, known)
            ):
                return True
        return False

    def harmless(self, name: str, known: frozenset[str]) -> bool:
        """Whether each thing that a name may mean is Triton's, or does nothing."""
        if name not in self._harmless:
            self._harmless[name] = self._is_harmless(self._bindings.get(name, []), name in known)
        return self._harmless[name]

    def _is_harmless(self, bound: list[ast.AST | str], writes: bool) -> bool:
        return (
            not writes
            and bool(bound)
            and not self._star
            and all(is_triton(b) if isinstance(b, str) else _does_nothing(b) for b in bound)
        )

    def dotted(self, e: ast.expr) -> str | None:
        """The dotted name that an expression of names and attributes stands for, where its root is imported."""
        parts = []
        while isinstance(e, ast.Attribute):
            parts.append(e.attr)
            e = e.value
        if not isinstance(e, ast.Name):
            return None
        root = self.meaning(e.id)
        return ".".join([root, *reversed(parts)]) if isinstance(root, str) else None

    def triton(self, e: ast.expr) -> str:
        """The last name of what an expression stands for, where that is Triton's; "" for anything else."""
        dotted = self.dotted(e) or ""
        return dotted.rpartition(".")[2] if is_triton(dotted) else ""

    def annotated_width(self, annotation: ast.expr | None) -> int:
        """The width of a parameter: Triton passes an integer that fits in 32 bits as one of these."""
        if annotation is None:
            return NARROW
        kind = (self.dotted(annotation) or "").rpartition(".")[2]
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            kind = annotation.value.rpartition(".")[2]
        widths = {"constexpr": ADAPTS, "int64": WIDE, "i64": WIDE, "int32": NARROW, "i32": NARROW}
        return widths.get(kind, UNKNOWN_WIDTH)

    def bound(self, name: str) -> tuple[ast.AST | str, ...]:
        """Everything at module level that binds a name: statements, and dotted names of imports."""
        return tuple(self._bindings.get(name, ()))

    def spelling(self, *meanings: str) -> Iterator[str]:
        """The names that this module has for some dotted names, in that order of preference."""
        for wanted in meanings:
            for name in self._bindings:
                if self.meaning(name) == wanted:
                    yield name


def _is_long(node: ast.FunctionDef) -> bool:
    """Whether a function is a kernel of its own by its length: too costly to search, and called by no kernel."""
    return (node.end_lineno or 0) - node.lineno > 60


def _does_nothing(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)) for s in node.body
    )


_GLUON = "triton.experimental.gluon.language"


def is_triton(dotted: str | None) -> bool:
    """Whether a dotted name is reached through Triton's package."""
    return dotted is not None and (dotted == "triton" or dotted.startswith("triton."))


def _home(dotted: str) -> tuple[bool, str]:
    """Triton's functions keep their last name wherever they stand; everything else is told apart in full."""
    return (True, dotted.rpartition(".")[2]) if is_triton(dotted) else (False, dotted)


def _targets(s: ast.stmt) -> list[ast.AST]:
    if isinstance(s, ast.For):
        return [s.target]
    return [i.optional_vars for i in s.items if i.optional_vars] if isinstance(s, ast.With) else []
