"""What a package stores under a name, whatever object holds it, and where objects are made of unnamed classes.

No object is told from another: whoever asks for ``anything.width`` is shown every ``width`` that is ever stored, so
that lent methods, mixins, objects given in place of others and classes changed under way make no difference.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aiterfix.engines.package import FUNCTIONS, SCOPED, FunctionNode, Package, Source, text_of
from aiterfix.engines.uses import ASKS, LOGS, Escape, Site, last

_MOST_FILES = 24
_STORED = re.compile(rb"\s*(?:[-+*/%&|^@]|//|\*\*|<<|>>)?=(?!=)|\s*:[^=\n]*=(?!=)").match
"""After ``.name``: an assignment, in place too, or with a type."""
_OF_SEVERAL = re.compile(rb"[\w\s.,*()\[\]]*?[,)\]][\w\s.,*()\[\]]*=(?!=)").match
_AROUND = re.compile(
    rb"\b(?:for|del|as|async for|update|type|new_class|dict)\b|setattr|__dict__|vars\(|\]\s*=(?!=)"
).search
_BARE = re.compile(rb"\s*(?:=(?!=)|:)").match
_COPIES = re.compile(
    rb"(?:\s*:\s*int)?\s*=\s*(?:(?:self|vllm_config|config)\.)?(?:vllm_config\.)?model_config\.max_model_len\s*[\n,)]"
).match
_WORKS_OUT = re.compile(rb"[^\n]*(?://|\($)", re.MULTILINE).match
_BY_NAME = re.compile(r"setattr|setitem|__dict__|vars\(|globals\(").search
_BRACKETS = re.compile(rb"[()\[\]{}]")
_REPLACES = re.compile(r"_*[A-Z]\w*|\w*(?:replace|update|copy|evolve)\w*").fullmatch
_HOOKS = {
    "setattr": re.compile(rb"setattr(?:__)?\s*\(\s*[^,()]+(?:\([^()]*\))?,\s*[A-Za-z_f]|def\s+__setattr__\b"),
    "__getattr": re.compile(rb"def\s+(?:__getattr__|__getattribute__)\b"),
    "__dict__": re.compile(rb"__dict__\s*(?:\.update|\.__setitem__|\[|\|=|=(?!=))"),
    "vars(": re.compile(rb"vars\([^)]*\)\s*(?:\.update|\[|\|=)"),
    "__class__": re.compile(rb"__class__\s*=(?!=)"),
    "__setstate__": re.compile(rb"\.__setstate__\s*\("),
}
_OF_CLASSES = ("__subclasses__", "__mro__", "mro", "__bases__", "__base__", "get_type_hints", "pydoc")


@dataclass(frozen=True)
class Store:
    """One place that gives an attribute of a name a value.

    Attributes:
        kind: ``set``; ``class``: in the body of a class; ``method`` and ``property``: a definition there; ``field``:
            of a class that may be a record, which whoever makes it fills.
        value: None where it is not stated by itself.
        owner: the class around it.
    """

    kind: str
    source: Source = field(repr=False)
    node: ast.AST
    value: ast.expr | None
    owner: ast.ClassDef | None

    @property
    def function(self) -> FunctionNode | None:
        """Whose body it stands in."""
        return self.source.function(self.node)

    @property
    def text(self) -> str:
        """For people: where."""
        node: ast.AST = self.node
        while not isinstance(node, ast.stmt) and node in self.source.up:
            node = self.source.up[node]
        said = text_of(node)[:60] if not isinstance(node, ast.ClassDef) else f"class {node.name}"
        return f"{self.source.relative}:{getattr(self.node, 'lineno', 0)}: {said}"


class Names:
    """Asks a package by names."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._stores: dict[str, list[Store] | None] = {}

    def stores(self, name: str) -> list[Store] | None:
        """Every store under a name; None where it stands in too many files."""
        if name not in self._stores:
            files: dict[Path, None] = {}
            for path, text, start in self._package.places(name):
                if path not in files and _may_store(text, start, start + len(name.encode())):
                    files[path] = None
                if len(files) > _MOST_FILES:
                    break
            self._stores[name] = self._of(name, list(files)) if len(files) <= _MOST_FILES else None
        return self._stores[name]

    def lengths(self, name: str, most: int) -> tuple[list[Store], int]:
        """Stores under the name of the operator's length, which is everywhere: those that work something out first,
        copies of a configuration's last; and how many files were left out as too many."""
        files: dict[Path, int] = {}
        for path, text, start in self._package.places(name):
            end = start + len(name)
            if files.get(path, 3) > 0 and _may_store(text, start, end):
                rank = 0 if _WORKS_OUT(text, end) else 2 if _COPIES(text, end) else 1
                files[path] = min(rank, files.get(path, 3))
        ordered = sorted(files, key=lambda path: (files[path], path))
        most = most if len(ordered) <= most else most // 2  # that there are more is a condition already
        return self._of(name, ordered[:most]), len(ordered[most:])

    def _of(self, name: str, paths: list[Path]) -> list[Store]:
        sources = map(self._package.source, paths)
        return [s for source in sources for node in source.mentions(name) for s in _store(source, node, name)]

    @cached_property
    def hooks(self) -> list[str]:
        """Where attributes are set or made by names that are worked out: any attribute may be."""
        found = []
        for needle, pattern in _HOOKS.items():
            for path, number, line in self._package.kept(needle, pattern):
                said = line.decode("utf-8", "replace").strip()[:60]
                found.append(f"attributes are set or made by name: {self._package.shown(path)}:{number}: {said}")
        return found

    def sets_modules(self, name: str) -> bool:
        """Whether anything may give a module's own name another value from afar."""
        stores = self.stores(name)
        return stores is None or any(s.kind == "set" for s in stores)

    @cached_property
    def made(self) -> tuple[list[Site], list[Escape]]:
        """Calls of ``type(x)``, ``x.__class__``, ``cls`` and ``x.__init__``, and what may become one."""
        sites: list[Site] = []
        lost: list[Escape] = []
        for word in (*_OF_CLASSES, "type", "__class__", "cls", "__init__"):
            paths = self._package.paths(word)
            if len(paths) > (0 if word in _OF_CLASSES else _MOST_FILES):
                source = self._package.source(paths[0])
                return [], [Escape(source, source.tree, f"may be made by way of {word}")]
        for word in ("type", "__class__", "cls", "__init__"):
            for source in map(self._package.source, self._package.paths(word)):
                for node in source.mentions(word):
                    made = _class_of(source, node, word)
                    if made is not None:
                        self._used(source, made, sites, lost)
        return sites, lost

    def _used(self, source: Source, node: ast.AST, sites: list[Site], lost: list[Escape]) -> None:
        above = source.up[node]
        if isinstance(above, ast.Call):
            if above.func is node:
                sites.append(Site(source, above))
            elif not (ASKS(last(above)) or LOGS(last(above)) or last(above) in ("super", "__new__", "issubclass")):
                lost.append(Escape(source, node, f"may be made by {last(above)}, which is given {text_of(node)}"))
        elif isinstance(above, ast.Attribute):
            if above.attr in ("__init__", "__new__", "__dict__") and not isinstance(source.up[above], ast.Call):
                lost.append(Escape(source, node, f"may be made by way of {text_of(above)}"))
        elif not isinstance(
            above, (ast.Compare, ast.FormattedValue, ast.arg, ast.Expr, ast.Subscript, ast.BinOp, ast.Raise)
        ):
            lost.append(Escape(source, node, f"may be made of {text_of(node)}"))


def _class_of(source: Source, node: ast.AST, word: str) -> ast.AST | None:
    """What stands for a class that is not named, or is an object's own ``__init__``."""
    above = source.up.get(node)
    if word == "type":
        return above if isinstance(above, ast.Call) and above.func is node and len(above.args) == 1 else None
    if word == "__class__":
        return node if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) else None
    if word == "cls":
        return node if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else None
    if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Call) and last(node.value) == "super"):
        return None if isinstance(node.value, (ast.Name, ast.Attribute)) and last(node.value)[:1].isupper() else node
    return None


def _may_store(text: bytes, start: int, end: int) -> bool:
    """Whether a word stands where it may be stored; more than that does no harm."""
    before = text[start - 1 : start]
    line = text[text.rfind(b"\n", 0, start) + 1 : start]
    if before in (b'"', b"'"):
        return _AROUND(text[start - len(line) : text.find(b"\n", end)]) is not None
    if before == b".":
        if _STORED(text, end) is not None or _AROUND(line) is not None:
            return True
        return _OF_SEVERAL(text, end) is not None and _opened(text, start) is None
    if _BARE(text, end) is not None or (_OF_SEVERAL(text, end) is not None and _opened(text, start) is None):
        # Of what is given by keyword, only to what may make or change an object.
        called = _opened(text, start) if text[end : end + 4].strip()[:2] != b":=" else None
        return (
            called is None
            or called in (b")", b"]", b"import")
            or _REPLACES(called.decode("utf-8", "replace")) is not None
        )
    if text[end : end + 1] in b",)\n" and _opened(text, start) == b"import":
        return True
    return line.split()[-1:] in ([b"def"], [b"class"], [b"as"], [b"import"], [b"for"])


def _opened(text: bytes, start: int) -> bytes | None:
    """What is called by the bracket that a place stands in; None where it is none of a call, or far away."""
    begin, depth = max(0, start - 3000), 0
    for bracket in reversed([m.start() for m in _BRACKETS.finditer(text, begin, start)]):
        depth += 1 if text[bracket] in b")]}" else -1
        if depth < 0:
            match = re.search(rb"(\w+|[)\]])[ \t]*$", text[max(0, bracket - 80) : bracket])
            return match[1] if match is not None and text[bracket] in b"(" else None
    return None


def _named(source: Source, node: ast.Constant, name: str, owner: ast.ClassDef | None) -> Iterator[Store]:
    """Stores by a string that is the name, or is run."""
    above, call = source.up.get(node), source.within(node, ast.Call)
    if node.value != name:
        if "=" in str(node.value) and any(source.mentions(word) for word in ("exec", "eval")):
            yield Store("set", source, node, None, owner)
    elif isinstance(above, ast.Call) and last(above) in ("setattr", "__setattr__") and above.args[1:2] == [node]:
        yield Store("set", source, node, above.args[-1], owner)
    elif isinstance(above, ast.Dict) and node in above.keys and isinstance(call, ast.Call):
        if last(call) in ("update", "type", "new_class", "dict", "make_dataclass", "setattr"):
            yield Store("set", source, node, above.values[above.keys.index(node)], owner)
    elif isinstance(source.within(node, ast.stmt), ast.stmt) and not (
        isinstance(above, ast.Subscript) and isinstance(above.ctx, ast.Load)
    ):
        statement = source.within(node, ast.stmt)
        if not isinstance(statement, (*FUNCTIONS, ast.ClassDef)) and _BY_NAME(text_of(statement or node)):
            yield Store("set", source, node, None, owner)


def _store(source: Source, node: ast.AST, name: str) -> Iterator[Store]:
    above = source.up.get(node)
    owner = source.within(node, ast.ClassDef)
    owner = owner if isinstance(owner, ast.ClassDef) else None
    if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
        plain = isinstance(above, (ast.Assign, ast.AnnAssign)) and node in getattr(above, "targets", [node])
        if not isinstance(above, ast.AnnAssign) or above.value is not None:
            yield Store("set", source, node, above.value if plain else None, owner)  # type: ignore[union-attr]
    elif isinstance(node, ast.keyword) and isinstance(above, ast.Call) and (not last(above) or _REPLACES(last(above))):
        yield Store("set", source, node, node.value, owner)
    elif isinstance(node, ast.Constant):
        yield from _named(source, node, name, owner)
    elif owner is not None and isinstance(node, FUNCTIONS) and above is owner:
        kind = "property" if any("property" in last(d) for d in node.decorator_list) else "method"
        yield Store(
            kind if not any(last(d) == "setter" for d in node.decorator_list) else "set", source, node, None, owner
        )
    elif owner is not None and isinstance(node, (ast.Name, ast.alias, ast.ClassDef)):
        if source.within(node, (*SCOPED, ast.ClassDef)) is not owner:
            return
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            return
        if isinstance(above, ast.AnnAssign):
            yield Store("field", source, node, above.value, owner)
        elif not isinstance(node, ast.ClassDef) or above is owner:
            plain = isinstance(above, ast.Assign) and node in above.targets
            yield Store("class", source, node, above.value if plain else None, owner)  # type: ignore[union-attr]
