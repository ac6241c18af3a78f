"""The sources of a package as modules, functions and classes, parsed when they are first asked for; nothing runs."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aiterfix.consumers.trees import identifiers, walked
from aiterfix.installation import KernelSearch, Skipped
from aiterfix.installation.kernelfiles import PackageText
from aiterfix.installation.view import is_file

MUTATORS = frozenset(
    ["append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "sort", "reverse"]
)
"""Methods that change a list or dict in place."""
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


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

    @cached_property
    def words(self) -> frozenset[str]:
        """Identifiers and strings."""
        return identifiers(self.node)

    @cached_property
    def rebound(self) -> frozenset[str]:
        """Local names that are given a value in more than one place."""
        counts: dict[str, int] = dict.fromkeys(parameters(self.node), 1)
        for node in walked(self.node):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                counts[node.id] = counts.get(node.id, 0) + 1
        return frozenset(name for name, count in counts.items() if count > 1)

    @cached_property
    def shared(self) -> frozenset[str]:
        """Local names that inner functions give a value."""
        inner = [s for s in statements(self.node.body) if isinstance(s, ast.Nonlocal)]
        return frozenset(name for statement in inner for name in statement.names)


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

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Names that ``from ... import`` gives, anywhere in the module: the module and the name there."""
        found: dict[str, tuple[str, str]] = {}
        for node in statements(self.tree.body):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found.setdefault(alias.asname or alias.name, (absolute_module(self, node), alias.name))
        return found

    @cached_property
    def words(self) -> dict[str, frozenset[str]]:
        """Identifiers and strings of every function."""
        return {identity: function.words for identity, function in self.functions.items()}

    @cached_property
    def aliases(self) -> list[tuple[str, str]]:
        """Names that imports give to others: the other name, the new one."""
        found: list[tuple[str, str]] = []
        for node in statements(self.tree.body):
            if isinstance(node, (ast.ImportFrom, ast.Import)):
                found += [(alias.name, alias.asname) for alias in node.names if alias.asname]
        return found

    @cached_property
    def attribute_writers(self) -> dict[tuple[str, str], list[tuple[Function, ast.expr]]]:
        """Assignments ``self.name = value`` by class and name."""
        found: dict[tuple[str, str], list[tuple[Function, ast.expr]]] = {}
        for function in self.functions.values():
            owner = parameters(function.node)[:1]
            if function.class_name is None or not owner:
                continue
            for node in statements(function.node.body):
                value, targets = _assigned(node)
                for target in targets:
                    if (
                        isinstance(target, ast.Attribute)
                        and isinstance(target.value, ast.Name)
                        and target.value.id == owner[0]
                    ):
                        found.setdefault((function.class_name, target.attr), []).append((function, value))
        return found

    @cached_property
    def global_writers(self) -> dict[str, frozenset[str]]:
        """Functions that declare a name ``global``, by name."""
        found: dict[str, set[str]] = {}
        for identity, function in self.functions.items():
            for node in statements(function.node.body):
                if isinstance(node, ast.Global):
                    for name in node.names:
                        found.setdefault(name, set()).add(identity)
        return {name: frozenset(writers) for name, writers in found.items()}

    @cached_property
    def cache_writers(self) -> dict[str, frozenset[str]]:
        """Functions that store into a dict, by the dict's name."""
        found: dict[str, set[str]] = {}
        for identity, function in self.functions.items():
            for node in walked(function.node):
                holder: ast.expr | None = None
                if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                    holder = node.value
                elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    holder = node.func.value if node.func.attr in MUTATORS else None
                if isinstance(holder, ast.Name):
                    found.setdefault(holder.id, set()).add(identity)
        return {name: frozenset(writers) for name, writers in found.items()}

    def mentions(self, names: Iterable[str]) -> bool:
        """Whether the text has one of these names at all."""
        return any(name.encode() in self.text for name in names)

    def methods(self, class_name: str) -> Iterator[Function]:
        """The methods of a class."""
        return (f for f in self.functions.values() if f.class_name == class_name and f.qualified.count(".") == 1)


_ANYTHING = frozenset(["obj", "object", "instance", "layer", "module", "model", "op", "impl", "it", "other", "x"])


def _assigned(node: ast.stmt) -> tuple[ast.expr, list[ast.expr]]:
    """What a statement gives a value: the value, or something that is not None, and the single targets."""
    if isinstance(node, ast.Assign):
        pending, value = list(node.targets), node.value
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        pending, value = [node.target], node.value
    elif isinstance(node, (ast.AugAssign, ast.For, ast.AsyncFor)):
        pending, value = [node.target], node.target
    else:
        return ast.Constant(None), []
    targets: list[ast.expr] = []
    while pending:
        target = pending.pop()
        if isinstance(target, (ast.Tuple, ast.List)):
            pending += target.elts
            value = target
        else:
            targets.append(target)
    return value, targets


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
        self._places: dict[str, Path | None] = {}
        self._heirs: dict[str, list[tuple[Source, ast.ClassDef]]] = {}
        self._elsewhere: dict[str, set[str]] = {}
        self._searches: dict[tuple[str, ...], KernelSearch] = {}

    @cached_property
    def _text(self) -> PackageText:
        return PackageText(self.package, self._image_root)

    def files_naming(self, names: Sequence[str]) -> KernelSearch:
        """Files whose bytes have one of the names."""
        key = tuple(sorted(names))
        if key not in self._searches:
            self._searches[key] = self._text.naming(key)
        return self._searches[key]

    def source(self, path: Path) -> Source | Skipped:
        """A file parsed, or why it could not be."""
        if path not in self._sources:
            self._sources[path] = self._parse(path)
        return self._sources[path]

    def module(self, dotted: str) -> Source | None:
        """A module of the package by name; None where there is none that can be read."""
        path = self.place_of(dotted)
        found = None if path is None else self.source(path)
        return found if isinstance(found, Source) else None

    def place_of(self, dotted: str) -> Path | None:
        """The file of a module of the package, by name."""
        if dotted not in self._places:
            parts = dotted.split(".")
            self._places[dotted] = None
            if parts[0] == self.package.name:
                place = self.root.joinpath(*parts)
                for path in (place / "__init__.py", place.with_name(place.name + ".py")):
                    if is_file(path):
                        self._places[dotted] = path
                        break
        return self._places[dotted]

    def function(self, identity: str) -> Function | None:
        """A function by identity."""
        source = self.module(identity.partition(":")[0])
        return None if source is None else source.functions.get(identity)

    def find(self, module: str, name: str) -> Function | tuple[Source, str] | None:
        """The function or class that a name of a module of this package stands for, through re-exports."""
        source = self.module(module)
        for _ in range(4):
            if source is None:
                return None
            function = source.functions.get(f"{source.dotted}:{name}")
            if function is not None:
                return function
            if name in source.classes:
                return source, name
            origin = source.imports.get(name)
            if origin is None:
                return None
            source, name = self.module(origin[0]), origin[1]
        return None

    def class_of(self, source: Source, node: ast.expr) -> tuple[Source, str] | None:
        """The class that a name, as written in a module, stands for."""
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        found = self.find(source.dotted, name)
        return found if isinstance(found, tuple) else None

    def heirs(self, class_name: str) -> list[tuple[Source, ast.ClassDef]]:
        """Classes anywhere in the package that derive from one of this name, by name, at whatever distance."""
        if class_name not in self._heirs:
            found = self._heirs[class_name] = []
            for path in self.files_naming([class_name]).files:
                source = self.source(path)
                if isinstance(source, Source):
                    names = {class_name, *(new for old, new in source.aliases if old == class_name)}
                    for node in source.classes.values():
                        if any(getattr(base, "attr", getattr(base, "id", "")) in names for base in node.bases):
                            found.append((source, node))
            for _, node in tuple(found):
                if node.name != class_name:
                    found += self.heirs(node.name)
        return self._heirs[class_name]

    def stored_elsewhere(self, class_name: str, name: str) -> bool:
        """Whether an attribute is set, other than on ``self``, on what is called like an object of a class."""
        if name not in self._elsewhere:
            word = re.escape(name).encode()
            operator = rb"(?:[-+*/|&^%@]|//|<<|>>|\*\*)?=(?!=)"
            stores = re.compile(
                rb"(\w+)(?:\[[^]\n]*\]|\(\))?[ \t]*\.[ \t]*"
                + word
                + rb"[ \t]*(?::[^=\n]+)?"
                + operator
                + rb"|setattr\(\s*(?:\w+\.)*(\w+),\s*[\"']"
                + word
                + rb"[\"']"
            )
            found: set[str] = set()
            for path in self.files_naming([name]).files:
                text = self._text.contents[path]
                if b"setattr" in text:
                    found.update((a or b).decode() for a, b in stores.findall(text))
                    continue
                # The pattern begins with any word: tried at every line that has the name, not at every word.
                at = text.find(word)
                while at >= 0:
                    start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
                    line = text[start:] if end < 0 else text[start:end]
                    found.update((a or b).decode() for a, b in stores.findall(line))
                    at = text.find(word, start + len(line))
            self._elsewhere[name] = found - {"self", "cls"}
        like = class_name.lower()
        squashed = (holder.lower().replace("_", "") for holder in self._elsewhere[name])
        return any(holder in _ANYTHING or (holder and (holder in like or like in holder)) for holder in squashed)

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


def statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Every statement below, without looking into expressions (which are nine tenths of a tree)."""
    pending = list(reversed(body))
    while pending:
        node = pending.pop()
        yield node
        for inner in ("finalbody", "orelse", "body"):
            pending += reversed(getattr(node, inner, None) or [])
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            pending += reversed(part.body)


def attribute_writers(source: Source, class_name: str, name: str) -> list[tuple[Function, ast.expr]]:
    """Assignments ``self.name = value`` in a class's methods."""
    return source.attribute_writers.get((class_name, name), [])
