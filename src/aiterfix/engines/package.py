"""The sources of an engine: searched as text first, parsed where a name of interest stands; nothing runs."""

from __future__ import annotations

import ast
import bisect
import itertools
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aiterfix.installation import Skipped
from aiterfix.installation.kernelfiles import PackageText

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
_MOST_FILES = 64  # that hold a name: more, and the name says nothing


class TooCommonError(Exception):
    """A name stands in so many files that they are not all looked at."""


@dataclass(frozen=True)
class Binding:
    """One place that gives a name a meaning.

    Attributes:
        node: the statement, or the expression, that does.
        value: what is assigned, where that is an expression.
        item: which item of it, where a tuple is taken apart.
    """

    node: ast.AST
    value: ast.expr | None = None
    item: int | None = None


@dataclass(eq=False)
class Source:
    """One parsed module."""

    dotted: str
    relative: str
    is_package: bool
    tree: ast.Module = field(repr=False)
    up: dict[ast.AST, ast.AST] = field(default_factory=dict, repr=False)
    named: dict[str, list[ast.AST]] = field(default_factory=dict, repr=False)
    """Nodes by the identifier that they mention; strings by their last dotted part."""
    _bound: dict[ast.AST, dict[str, list[Binding]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        pending: list[ast.AST] = [self.tree]
        while pending:
            node = pending.pop()
            for name in _names(node):
                self.named.setdefault(name, []).append(node)
            for value in node.__dict__.values():  # as `ast.iter_child_nodes`, three times as fast
                for child in value if isinstance(value, list) else (value,):
                    if isinstance(child, ast.AST) and not isinstance(child, ast.expr_context):
                        self.up[child] = node
                        pending.append(child)

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, inside out."""
        here = self.up.get(node)
        while here is not None:
            yield here
            here = self.up.get(here)

    def function(self, node: ast.AST) -> FunctionNode | None:
        """The function that a node stands in the body of."""
        below = node
        for here in self.above(node):
            if isinstance(here, (ast.FunctionDef, ast.AsyncFunctionDef)) and below in here.body:
                return here
            below = here
        return None

    def within(self, node: ast.AST, kinds: type | tuple[type, ...]) -> ast.AST | None:
        """The nearest thing of some kinds around a node."""
        return next((n for n in self.above(node) if isinstance(n, kinds)), None)

    def bound(self, scope: ast.AST) -> dict[str, list[Binding]]:
        """Names that a scope binds, in the order of the source; parameters aside."""
        if scope not in self._bound:
            found: dict[str, list[Binding]] = {}
            body = scope.body if isinstance(scope, (ast.Module, ast.ClassDef, *SCOPES[:2])) else []
            pending: list[ast.AST] = list(reversed(body))
            while pending:
                node = pending.pop()
                for name, binding in self._bindings(node):
                    found.setdefault(name, []).append(binding)
                if not isinstance(node, (ast.ClassDef, *SCOPES[:3])):
                    pending += reversed(list(ast.iter_child_nodes(node)))
            self._bound[scope] = found
        return self._bound[scope]

    def _bindings(self, node: ast.AST) -> Iterator[tuple[str, Binding]]:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield from _targets(target, node, node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            yield from _targets(node.target, node, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            before = ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target)
            value = ast.copy_location(ast.BinOp(before, node.op, node.value), node.target)
            self.up[before], self.up[value] = value, node
            yield node.target.id, Binding(node, value)
        elif isinstance(node, ast.NamedExpr):
            inside = self.within(node, SCOPES)
            plain = inside is None or isinstance(inside, SCOPES[:2])
            yield node.target.id, Binding(node, node.value if plain else None)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, Binding(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], Binding(node)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                yield name, Binding(node)
        elif (isinstance(node, ast.ExceptHandler) and node.name) or (
            isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name
        ):
            yield node.name, Binding(node)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest, Binding(node)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            above = self.up[node]
            while isinstance(above, (ast.Tuple, ast.List, ast.Starred)):
                above = self.up[above]
            # Comprehensions have names of their own; assignments have been seen above.
            if not isinstance(above, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.NamedExpr, ast.comprehension)):
                yield node.id, Binding(above)

    @cached_property
    def stars(self) -> tuple[str, ...]:
        """Modules that ``from ... import *`` names."""
        found = (n for n in self.named.get("*", ()) if isinstance(n, ast.alias))
        return tuple(self.origin(up) for n in found if isinstance(up := self.up[n], ast.ImportFrom))

    def origin(self, node: ast.ImportFrom) -> str:
        """The module that an import names, in full."""
        if not node.level:
            return node.module or ""
        parts = self.dotted.split(".") if self.is_package else self.dotted.split(".")[:-1]
        parts = parts[: len(parts) - node.level + 1]
        return ".".join([*parts, *([node.module] if node.module else [])])

    def imported(self, name: str, node: ast.Import | ast.ImportFrom) -> str:
        """What a name that an import binds stands for, dotted."""
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) == name:
                if isinstance(node, ast.ImportFrom):
                    return f"{self.origin(node)}.{alias.name}"
                return alias.name if alias.asname else name
        return name


def _targets(target: ast.expr, node: ast.AST, value: ast.expr) -> Iterator[tuple[str, Binding]]:
    if isinstance(target, ast.Name):
        yield target.id, Binding(node, value)
    elif isinstance(target, (ast.Tuple, ast.List)):
        starred = any(isinstance(e, ast.Starred) for e in target.elts)
        for index, element in enumerate(target.elts):
            if isinstance(element, ast.Name) and not starred:
                yield element.id, Binding(node, value, index)
            else:
                for child in ast.walk(element):
                    if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
                        yield child.id, Binding(node)


def _names(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.alias):
        return (node.name.rpartition(".")[2],)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return (node.name,)
    if isinstance(node, ast.ImportFrom) and node.module:
        return (node.module.rpartition(".")[2],)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,) if len(node.value) > 200 else tuple(set(re.findall(r"\w+", node.value)))
    return ()


def text_of(node: ast.AST) -> str:
    """How the source says it, on one line."""
    try:
        return " ".join(ast.unparse(node).split())
    except (ValueError, AttributeError, RecursionError):
        return "an expression"


def parameters(node: FunctionNode) -> list[str]:
    """Names of parameters, in order, ``*`` and ``**`` aside."""
    spec = node.args
    return [a.arg for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]


class Package:
    """An engine's package."""

    def __init__(self, package: Path, image_root: Path | None = None) -> None:
        """Read every file; parse none."""
        self._root = package.parent
        self.text = PackageText(package, image_root)
        self.doubts = {s.path: s for s in self.text.naming(["_"]).unreadable if s.doubt}
        self._sources: dict[Path, Source | None] = {}
        self._paths: dict[str, list[Path]] = {}
        self._held: dict[str, list[Path]] = {}
        # One text to search in is many times faster than thousands.
        self._order = list(self.text.contents)
        self._all = b"\0".join(self.text.contents.values())
        lengths = [len(d) + 1 for d in self.text.contents.values()]
        self._starts = list(itertools.accumulate(lengths, initial=0))[:-1]
        self._modules = {self._dotted(path): path for path in self.text.contents}

    def _dotted(self, path: Path) -> str:
        parts = path.relative_to(self._root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def paths(self, word: str) -> list[Path]:
        """Files that hold a word."""
        if word not in self._paths:
            whole = re.compile(rb"(?<!\w)" + re.escape(word.encode()) + rb"(?!\w)")
            contents = self.text.contents
            self._paths[word] = sorted(p for p in self._holding(word) if whole.search(contents[p]))
        return self._paths[word]

    def _holding(self, text: str) -> list[Path]:
        """Files that hold a text."""
        if text not in self._held:
            needle, found, place = text.encode(), [], self._all.find(text.encode())
            while place >= 0:
                index = bisect.bisect_right(self._starts, place) - 1
                found.append(self._order[index])
                end = self._starts[index + 1] if index + 1 < len(self._starts) else len(self._all)
                place = self._all.find(needle, end)
            self._held[text] = found
        return self._held[text]

    def occurrences(self, word: str) -> Iterator[tuple[Path, int, str, bytes]]:
        """Every line that holds a word: file, number, text, and all that stands above it."""
        for path in self.paths(word):
            data, place = self.text.contents[path], -1
            while (place := data.find(word.encode(), place + 1)) >= 0:
                start, end = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place)
                place = end if end >= 0 else len(data)
                yield path, data.count(b"\n", 0, start) + 1, data[start:place].decode("utf-8", "replace"), data[:start]

    def lines(
        self, word: str, pattern: re.Pattern[bytes], among: Collection[Path] | None = None
    ) -> Iterator[tuple[Path, re.Match[bytes], int]]:
        """Matches of a pattern in the files that hold a text, with their lines."""
        for path in self._holding(word):
            if among is not None and path not in among:
                continue
            data = self.text.contents[path]
            for match in pattern.finditer(data):
                yield path, match, data.count(b"\n", 0, match.start()) + 1

    def shown(self, path: Path) -> str:
        """A file as people know it: relative to the folder that holds the package."""
        return path.relative_to(self._root).as_posix()

    def source(self, path: Path) -> Source | None:
        """A file parsed; None, and a doubt noted, where it cannot be."""
        if path not in self._sources:
            self._sources[path] = None
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    tree = ast.parse(self.text.contents[path])
                dotted = self._dotted(path)
                self._sources[path] = Source(dotted, self.shown(path), path.name == "__init__.py", tree)
            except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
                self.doubts[path] = Skipped(path, f"cannot be parsed: {error}", True)
        return self._sources[path]

    def module(self, dotted: str) -> Source | None:
        """A module of the package by its dotted name."""
        path = self._modules.get(dotted)
        return None if path is None else self.source(path)

    def sources(self, word: str) -> Iterator[Source]:
        """Files that hold a word, parsed.

        Raises:
            TooCommonError: there are too many.
        """
        paths = self.paths(word)
        if len(paths) > _MOST_FILES:
            raise TooCommonError(word)
        for path in paths:
            source = self.source(path)
            if source is not None:
                yield source

    def chain(self, dotted: str, depth: int = 0) -> Iterator[tuple[Source, ast.AST]]:
        """What a dotted name stands for: imports on the way through the package, then the definition or module."""
        module = self.module(dotted)
        if module is not None:
            yield module, module.tree
            return
        home, _, name = dotted.rpartition(".")
        source = self.module(home) if home else None
        bindings = source.bound(source.tree).get(name, []) if source is not None else []
        if source is None or len(bindings) != 1 or depth > 4:
            return
        node = bindings[0].node
        yield source, node
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from self.chain(source.imported(name, node), depth + 1)

    def find(self, dotted: str) -> tuple[Source, ast.AST] | None:
        """The definition, or module, that a dotted name leads to through the package's own re-exports."""
        found = list(self.chain(dotted))
        return found[-1] if found and not isinstance(found[-1][1], (ast.Import, ast.ImportFrom)) else None
