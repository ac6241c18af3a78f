"""The modules of an installed package as import would find them, and where a name of one of them ends.

Nothing is imported. What does not end at a definition in a source file of the package is an `UnresolvedName` with its
place: another distribution, compiled code, a definition inside a function, a rebinding, text that is executed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.installation.kernelfiles import PackageText
from aiterfix.installation.view import View
from aiterfix.judge.modules import Modules, NoSource
from aiterfix.source.bindings import Binding, How, ModuleBindings, joined
from aiterfix.source.decorators import is_jit, named_jit
from aiterfix.source.walk import Problem

_ROOT = "aiter"
NO_KERNELS = frozenset({"triton", "torch", *sys.stdlib_module_names})
"""Packages whose ``import *`` brings no kernel of the family."""


@dataclass(frozen=True)
class UnresolvedName:
    """Why it cannot be told which function runs.

    Attributes:
        problem: the reason, with line and the name in question.
    """

    path: Path
    problem: Problem


@dataclass(frozen=True)
class Definition:
    """A function that a name ends at.

    Attributes:
        name: as it is defined.
        line: 1-based, of its ``def``.
    """

    path: Path
    name: str
    line: int
    node: ast.FunctionDef | ast.AsyncFunctionDef = field(repr=False, compare=False)
    jit: bool = field(repr=False, compare=False)


class Package:
    """The modules of an installed package, by name, as import would find them.

    Args:
        sources: what the names of files that were parsed before are bound to.
        contents: everything that was read of it; by default files are read as they are asked for.
    """

    def __init__(
        self, folder: Path, sources: Mapping[Path, ModuleBindings | None], contents: PackageText | None = None
    ) -> None:
        self.doubts: list[UnresolvedName] = []
        self._folder = folder
        self._bindings = dict(sources)
        self._view = contents.view if contents is not None else View()
        self._read = contents.read if contents is not None else self._view.read
        self.modules = Modules(folder, self._view)
        self.read: set[Path] = set()

    def doubt(self, path: Path, line: int, name: str, code: str, message: str) -> None:
        """Note a name that leads nowhere."""
        self.doubts.append(UnresolvedName(path, Problem(code, message, line, name)))

    def present(self, modules: Iterable[str]) -> list[Path]:
        """Files of those modules that are there, also under a name that the package redirects."""
        found: dict[Path, None] = {}
        for module in modules:
            place = self.locate(module)
            if isinstance(place, Path):
                found[place] = None
            elif place:
                self.doubt(place.path, 1, "", "compiled", f"{module} is {place.reason}")
        return list(found)

    def same_file(self, path: Path, others: Mapping[Path, object]) -> bool:
        """Whether a file is one of others under another name (a link)."""
        real = self._view.real(path)
        return any(self._view.real(o) == real for o in others)

    def bindings(self, path: Path) -> ModuleBindings | None:
        """What a file's names are bound to; None where it cannot be read or parsed."""
        self.read.add(path)
        if path not in self._bindings:
            try:
                text = self._read(path)
                self._bindings[path] = ModuleBindings(ast.parse(text), text)
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                self._bindings[path] = None
        return self._bindings[path]

    def locate(self, module: str) -> Path | NoSource | None:
        """The source file of a module, or what is there instead; None where there is nothing."""
        return self.modules.place(module) or self._redirected(module)

    def absolute(self, path: Path, name: str) -> str:
        """A dotted name as a file means it, its leading dots resolved."""
        level = len(name) - len(name.lstrip("."))
        if not level:
            return name
        parts = [_ROOT, *path.relative_to(self._folder).with_suffix("").parts]
        return ".".join([*parts[:-level], *([name[level:]] if name[level:] else [])])

    def name(
        self, path: Path, name: str, line: int, asked: frozenset[tuple[Path, str]] = frozenset()
    ) -> Iterator[Definition]:
        """Definitions that a name of a file may end at; what leads nowhere becomes a doubt.

        Args:
            line: where the name is asked for, for doubts; a line of ``path``.
            asked: names on the way here.
        """
        bindings = self.bindings(path)
        if bindings is None:
            return self.doubt(path, line, name, "unreadable", "its file cannot be read or does not parse")
        if (path, name) in asked:
            return self.doubt(path, line, name, "circular", "its imports lead back to themselves")
        asked |= {(path, name)}
        for u in bindings.unclear:
            self.doubt(path, u.line, name, "executed", f"{u.what}, so any name may be bound anew")
        found = bindings.of(name)
        for b in found:
            yield from self._binding(path, name, b, asked)
        starred = list(self._starred(path, name, asked, after=max((b.line for b in found), default=0)))
        yield from starred
        if not found and not starred:
            self._nowhere(path, name, line, bindings)

    def imported(
        self, path: Path, name: str, b: Binding, asked: frozenset[tuple[Path, str]] = frozenset()
    ) -> Iterator[Definition]:
        """Definitions that an import of a file leads to."""
        assert b.module is not None
        if b.attribute is None:
            return self.doubt(path, b.line, name, "unresolved", "its name is bound to a module")
        yield from self.dotted(path, joined(b.module, b.attribute), b.line, name, asked)

    def dotted(
        self, path: Path, dotted: str, line: int, name: str, asked: frozenset[tuple[Path, str]] = frozenset()
    ) -> Iterator[Definition]:
        """Definitions that a dotted name, as a file means it, leads to."""
        module, _, attribute = self.absolute(path, dotted).rpartition(".")
        place = self.locate(module)
        if not isinstance(place, Path):
            reason = place.reason if place else "not there"
            return self.doubt(path, line, name, "unresolved", f"it comes from {module}, which is {reason}")
        bindings = self.bindings(place)
        if bindings is not None and not bindings.of(attribute) and not bindings.stars and not bindings.unclear:
            inside = bindings.nested.get(attribute, [])
            reason = (
                f"defines it on line {inside[0].lineno} only inside a function or class"
                if inside
                else "does not define it"
            )
            return self.doubt(path, line, name, "unresolved", f"it comes from {module}, which {reason}")
        yield from self.name(place, attribute, 1, asked)

    def _binding(self, path: Path, name: str, b: Binding, asked: frozenset[tuple[Path, str]]) -> Iterator[Definition]:
        bindings = self.bindings(path)
        assert bindings is not None
        if b.how is How.DEFINITION:
            assert isinstance(b.node, (ast.FunctionDef, ast.AsyncFunctionDef))
            jit = any(is_jit(d, bindings) or named_jit(d) for d in b.node.decorator_list)
            yield Definition(path, b.node.name, b.node.lineno, b.node, jit)
        elif b.how is How.IMPORT:
            yield from self.imported(path, name, b, asked)
        elif isinstance(b.node, ast.Name):
            yield from self.name(path, b.node.id, b.line, asked)
        elif isinstance(b.node, ast.Attribute) and (names := bindings.dotted(b.node)):
            for dotted in sorted(names):
                yield from self.dotted(path, dotted, b.line, name, asked)
        elif not b.is_none:
            self.doubt(path, b.line, name, "rebound", f"its name is bound by {b.what} that is not followed")

    def _starred(self, path: Path, name: str, asked: frozenset[tuple[Path, str]], after: int) -> Iterator[Definition]:
        """Definitions that come through ``import *`` below a line."""
        bindings = self.bindings(path)
        for star in bindings.stars if bindings else ():
            module = self.absolute(path, star.module)
            if star.line < after or module.split(".")[0] in NO_KERNELS:
                continue
            place = self.locate(module)
            there = self.bindings(place) if isinstance(place, Path) else None
            if not isinstance(place, Path) or there is None:
                message = f"its name may come from `from {star.module} import *`, which is not in the package's source"
                self.doubt(path, star.line, name, "star", message)
            elif _exports(there, name) and (there.of(name) or there.stars):
                yield from self.name(place, name, 1, asked)
            elif there.unclear:
                self.doubt(path, star.line, name, "star", f"its name may come from `from {star.module} import *`")

    def _nowhere(self, path: Path, name: str, line: int, bindings: ModuleBindings) -> None:
        inside = bindings.nested.get(name, [])
        if inside:
            message = f"it is defined only inside a function or class, on line {inside[0].lineno}"
        elif bindings.of("__getattr__"):
            message = "its name is made by the module's `__getattr__`"
        else:
            message = "its name is bound nowhere in this file"
        self.doubt(path, line, name, "unresolved", message)

    def _redirected(self, module: str) -> Path | NoSource | None:
        """A module that its package maps to another name, in a table of strings beside its other code."""
        parent, _, leaf = module.rpartition(".")
        if not parent or not self.modules.has_folder(parent):
            return None
        start = self.locate(parent)
        if not isinstance(start, Path) or start.name != "__init__.py":
            return None
        bindings = self.bindings(start)
        for name in bindings.names if bindings else ():
            for b in bindings.of(name) if bindings else ():
                if isinstance(b.node, ast.Dict):
                    for key, value in zip(b.node.keys, b.node.values, strict=True):
                        if isinstance(key, ast.Constant) and key.value == leaf and isinstance(value, ast.Constant):
                            target = str(value.value)
                            full = target if target.startswith(f"{_ROOT}.") else f"{parent}.{target}"
                            return self.locate(full) if full != module else None
        return None


def _exports(module: ModuleBindings, name: str) -> bool:
    """Whether ``import *`` may take a name: what ``__all__`` lists, else what has no underscore in front."""
    listed = module.of("__all__")
    if not listed:
        return not name.startswith("_")
    words: set[object] = set()
    for b in listed:
        if b.how is not How.VALUE or not isinstance(b.node, (ast.List, ast.Tuple)):
            return True
        words |= {e.value if isinstance(e, ast.Constant) else name for e in b.node.elts}
    return name in words
