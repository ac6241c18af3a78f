"""The sources of a package as modules, functions and classes, parsed when they are first asked for; nothing runs."""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Union

from aiterfix.installation import KernelSearch, Skipped, find_kernel_files

FunctionNode = Union[ast.FunctionDef, ast.AsyncFunctionDef]


@dataclass(frozen=True)
class Function:
    """A function or method. ``identity`` is ``module:qualified.name``."""

    identity: str
    node: FunctionNode = field(repr=False)
    source: Source = field(repr=False)
    class_name: str | None

    @property
    def name(self) -> str:
        """Its own name."""
        return self.node.name

    @property
    def qualified(self) -> str:
        """Its name with those of what it stands in."""
        return self.identity.partition(":")[2]

    @property
    def static(self) -> bool:
        """Whether a call through an instance passes no ``self``."""
        return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in self.node.decorator_list)


@dataclass(eq=False)
class Source:
    """One parsed module."""

    dotted: str
    relative: str
    """Path from the folder that holds the package, with forward slashes."""
    is_package: bool
    tree: ast.Module = field(repr=False)
    text: bytes = field(repr=False)
    functions: dict[str, Function] = field(default_factory=dict, repr=False)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict, repr=False)

    def methods(self, class_name: str) -> Iterator[Function]:
        """The methods of a class."""
        return (f for f in self.functions.values() if f.class_name == class_name and f.qualified.count(".") == 1)


def parameters(node: FunctionNode) -> list[str]:
    """Names of the parameters, positional ones first."""
    a = node.args
    return [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]


class Program:
    """A package folder as a set of modules."""

    def __init__(self, package: Path, image_root: Path | None = None) -> None:
        """Prepare; nothing is read yet.

        Args:
            package: the package folder, named as it is imported.
            image_root: root of the image that it lies in.
        """
        self.package = package
        self.root = package.parent
        self._image_root = image_root
        self._sources: dict[Path, Source | Skipped] = {}
        self._searches: dict[tuple[str, ...], KernelSearch] = {}

    def files_naming(self, names: Sequence[str]) -> KernelSearch:
        """Files whose bytes have one of the names."""
        key = tuple(sorted(names))
        if key not in self._searches:
            self._searches[key] = find_kernel_files(self.package, key, image_root=self._image_root)
        return self._searches[key]

    def source(self, path: Path) -> Source | Skipped:
        """A file parsed, or why it could not be."""
        if path not in self._sources:
            self._sources[path] = self._parse(path)
        return self._sources[path]

    def module(self, dotted: str) -> Source | None:
        """A module of the package by name; None where there is none that can be read."""
        parts = dotted.split(".")
        if parts[0] != self.package.name:
            return None
        place = self.root.joinpath(*parts)
        for path in (place / "__init__.py", place.with_name(place.name + ".py")):
            if os.path.isfile(path):  # noqa: PTH113 - any trouble means no
                found = self.source(path)
                return found if isinstance(found, Source) else None
        return None

    def function(self, identity: str) -> Function | None:
        """A function by identity."""
        source = self.module(identity.partition(":")[0])
        return None if source is None else source.functions.get(identity)

    def class_of(self, source: Source, node: ast.expr) -> tuple[Source, str] | None:
        """The class that a name, as written in a module, stands for."""
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        here: Source | None = source
        for _ in range(4):
            if here is None or name in here.classes:
                break
            origin = imported_from(here, name)
            here, name = (None, name) if origin is None else (self.module(origin[0]), origin[1])
        return (here, name) if here is not None and name in here.classes else None

    def subclasses(self, source: Source, name: str) -> list[str]:
        """Classes of a module that inherit the constructor of a class of this name."""
        found = []
        for other, node in source.classes.items():
            bases = {b.attr if isinstance(b, ast.Attribute) else getattr(b, "id", "") for b in node.bases}
            own = any(isinstance(s, ast.FunctionDef) and s.name == "__init__" for s in node.body)
            if name in bases and not own:
                found.append(other)
        return found

    def _parse(self, path: Path) -> Source | Skipped:
        try:
            text = path.read_bytes()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # invalid escapes and the like are the consumer's own affair
                tree = ast.parse(text)
        except OSError as error:
            return Skipped(path, f"cannot be read: {error.strerror or error}", True)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return Skipped(path, f"is not valid Python for this interpreter: {type(error).__name__}", True)
        relative = path.relative_to(self.root)
        parts = list(relative.with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        if is_package:
            parts.pop()
        source = Source(".".join(parts), relative.as_posix(), is_package, tree, text)
        try:
            _index(source, tree.body, "", None)
        except RecursionError:
            return Skipped(path, "is nested too deeply to follow", True)
        return source


def _index(source: Source, body: Sequence[ast.stmt], prefix: str, class_name: str | None) -> None:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            name = f"{source.dotted}:{prefix}{node.name}"
            while name in source.functions:  # an alternative definition, in the other branch of an `if`
                name += "'"
            source.functions[name] = Function(name, node, source, class_name)
            _index(source, node.body, f"{prefix}{node.name}.<locals>.", class_name)
        elif isinstance(node, ast.ClassDef):
            source.classes.setdefault(node.name, node)
            _index(source, node.body, f"{prefix}{node.name}.", node.name)
        else:
            for inner in ("body", "orelse", "finalbody"):
                _index(source, getattr(node, inner, None) or [], prefix, class_name)
            for handler in getattr(node, "handlers", []):
                _index(source, handler.body, prefix, class_name)
            for case in getattr(node, "cases", []):
                _index(source, case.body, prefix, class_name)


def absolute_module(source: Source, node: ast.ImportFrom) -> str:
    """The module that a ``from ... import`` names."""
    if not node.level:
        return node.module or ""
    parts = source.dotted.split(".")
    drop = node.level - 1 if source.is_package else node.level
    base = parts[: len(parts) - drop] if drop else parts
    return ".".join([*base, *([node.module] if node.module else [])])


def imported_from(source: Source, name: str) -> tuple[str, str] | None:
    """Where a module has a name from: module and the name there."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return absolute_module(source, node), alias.name
    return None
