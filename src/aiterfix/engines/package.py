"""The sources of an engine: searched as text first, parsed where a name of interest stands; nothing runs."""

from __future__ import annotations

import ast
import bisect
import itertools
import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aiterfix.installation import Skipped
from aiterfix.installation.kernelfiles import PackageText

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPED = SCOPES[:3]
LOOPS = (ast.For, ast.AsyncFor, ast.While)
_MOST_FILES = 64  # that hold a name: more, and the name says nothing
_START = re.compile(
    rb"^(?:(?P<decorator>@)|(?:async[ \t]+)?(?:def|class)[ \t]+(?P<name>\w+)"
    rb"|(?!(?:else|elif|except|finally|case)\b)[^\s#)\]}\"'])",
    re.MULTILINE,
)
_OTHER_NAMES = re.compile(
    rb"[ \t.,(](\w+) as (?P<as>\w+)"
    rb"|\n[ \t]*(?P<name>\w+) = (?:[^\n]*import_module\((?P<told>[^\n]*)|(?P<meant>[\w.]+)(?=[ \t\r]*\n))"
)
"""``a as b``, ``b = a`` and ``b = import_module("a")``."""
_WORDS = re.compile(r"\w+")
_WORD = re.compile(rb"\w")


class TooCommonError(Exception):
    """A name stands in so many files that they are not all looked at."""


@dataclass(frozen=True)
class Binding:
    """One place that gives a name a meaning: the statement, and what is assigned, or which item of it."""

    node: ast.AST
    value: ast.expr | None = None
    item: int | None = None


@dataclass
class _Chunk:
    """A piece of a file at its own level: a definition, or the statements between two."""

    line: int
    data: bytes
    name: str = ""
    parsed: bool = False


class Source:
    """One module, of which only the definitions that matter are parsed.

    Attributes:
        up: from a node to what it stands in.
        tree: stands for the module's own level.
        broken: why it cannot be parsed; empty where it can.
    """

    def __init__(self, dotted: str, relative: str, data: bytes) -> None:
        self.dotted, self.relative, self.is_package = dotted, relative, relative.endswith("/__init__.py")
        self.tree = ast.Module([], [])
        self.up: dict[ast.AST, ast.AST] = {}
        self._named: dict[str, list[ast.AST]] = {}
        self._bound: dict[ast.AST, dict[str, list[Binding]]] = {self.tree: {}}
        self.broken = ""
        self._chunks = _chunks(data)
        # Lines of a long string may look like definitions.
        cut = any(c.data.count(quotes) % 2 for c in self._chunks for quotes in (b'"""', b"'''"))
        # What names the family is parsed whole: if a part of it cannot be, nobody knows what it calls.
        cut |= b"pa_mqa_logits" in data or b"paged_mqa_logits" in data
        if cut or not self._need([c for c in self._chunks if not c.name]):
            self.up, self._named, self._bound, self.broken = {}, {}, {self.tree: {}}, ""
            self._chunks = [_Chunk(1, data)]
            self._need(self._chunks)

    def _parse(self, chunks: Iterable[_Chunk]) -> None:
        for chunk in chunks:
            chunk.parsed = True
            text = b"\n" * (chunk.line - 1) + chunk.data
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for node in ast.parse(text).body:
                    self.up[node] = self.tree
                    self._index(node)
                    for name, binding in self._within(node):
                        self._bound[self.tree].setdefault(name, []).append(binding)

    def _need(self, chunks: list[_Chunk]) -> bool:
        try:
            self._parse(chunks)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.broken = f"cannot be parsed: {error}"
        return not self.broken

    def _index(self, root: ast.AST) -> None:
        up, named, context = self.up, self._named, ast.expr_context
        pending = [root]
        while pending:
            node = pending.pop()
            for name in _names(node):
                named.setdefault(name, []).append(node)
            for value in node.__dict__.values():  # as `ast.iter_child_nodes`, three times as fast
                for child in value if isinstance(value, list) else (value,):
                    if isinstance(child, ast.AST) and not isinstance(child, context):
                        up[child] = node
                        pending.append(child)

    def seen(self, name: str) -> list[ast.AST]:
        """`mentions` in what is parsed so far: for names that are local to it."""
        return self._named.get(name, [])

    def mentions(self, name: str) -> list[ast.AST]:
        """Nodes that mention an identifier; strings by the words in them."""
        word = re.compile(rb"(?<!\w)" + re.escape(name.encode()) + rb"(?!\w)")
        self._need([c for c in self._chunks if not c.parsed and word.search(c.data)])
        return self._named.get(name, [])

    def rebinds(self, name: str) -> bool:
        """Whether a function gives a name of the module another meaning."""
        word = name.encode()
        self._need([c for c in self._chunks if not c.parsed and b"global" in c.data and word in c.data])
        return bool(self._named.get(f"global {name}"))

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
            if isinstance(here, FUNCTIONS) and below in here.body:
                return here
            below = here
        return None

    def within(self, node: ast.AST, kinds: type | tuple[type, ...]) -> ast.AST | None:
        """The nearest thing of some kinds around a node."""
        return next((n for n in self.above(node) if isinstance(n, kinds)), None)

    def class_around(self, function: ast.AST) -> ast.ClassDef | None:
        """The class that a function is a method of."""
        above = self.up.get(function)
        return above if isinstance(above, ast.ClassDef) else None

    def bound(self, scope: ast.AST, name: str) -> list[Binding]:
        """What gives a name a meaning in a scope, in the order of the source; parameters aside."""
        if scope is self.tree:
            self._need([c for c in self._chunks if not c.parsed and c.name == name])
            return sorted(self._bound[scope].get(name, []), key=lambda b: getattr(b.node, "lineno", 0))
        if scope not in self._bound:
            found = self._bound[scope] = {}
            for node in getattr(scope, "body", []) if not isinstance(scope, ast.Lambda) else []:
                for bound, binding in self._within(node):
                    found.setdefault(bound, []).append(binding)
        return self._bound[scope].get(name, [])

    def _within(self, root: ast.AST) -> Iterator[tuple[str, Binding]]:
        pending = [root]
        while pending:
            node = pending.pop()
            yield from self._bindings(node)
            if not isinstance(node, (ast.ClassDef, *SCOPED)):
                pending += reversed(list(ast.iter_child_nodes(node)))

    def _bindings(self, node: ast.AST) -> Iterator[tuple[str, Binding]]:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            if (binding := self._stored(node)) is not None:
                yield node.id, binding
        elif isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield node.name, Binding(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], Binding(node)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                yield name, Binding(node)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name, Binding(node)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest, Binding(node)

    def _stored(self, node: ast.Name) -> Binding | None:
        above, below, item = self.up[node], node, None
        deep = 0
        while isinstance(above, (ast.Tuple, ast.List, ast.Starred)):
            plain = isinstance(above, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in above.elts)
            item = above.elts.index(below) if plain and isinstance(above, (ast.Tuple, ast.List)) else None
            deep += 1 if plain else 2
            above, below = self.up[above], above  # type: ignore[assignment]
        if isinstance(above, ast.comprehension):
            return None  # has names of its own
        if isinstance(above, ast.Assign):
            return Binding(above, above.value, item) if deep < 2 else Binding(above)
        if isinstance(above, ast.AnnAssign):
            return Binding(above, above.value) if above.value is not None else None
        if isinstance(above, ast.AugAssign):
            before = ast.copy_location(ast.Name(node.id, ast.Load()), node)
            value = ast.copy_location(ast.BinOp(before, above.op, above.value), node)
            self.up[before], self.up[value] = value, above
            return Binding(above, value)
        if isinstance(above, ast.NamedExpr):
            inside = self.within(above, SCOPES)
            return Binding(above, above.value if inside is None or isinstance(inside, FUNCTIONS) else None)
        return Binding(above)

    @cached_property
    def stars(self) -> bool:
        """Whether it has ``from ... import *``."""
        return any(isinstance(n, ast.alias) for n in self.seen("*"))

    def imported(self, name: str, node: ast.Import | ast.ImportFrom) -> str:
        """What a name that an import binds stands for, dotted."""
        origin = ""
        if isinstance(node, ast.ImportFrom):
            parts = self.dotted.split(".")[: None if self.is_package else -1]
            home = parts[: len(parts) - node.level + 1] if node.level else []
            origin = ".".join([*home, *([node.module] if node.module else []), ""])
        for alias in node.names:
            if (alias.asname or alias.name.partition(".")[0]) == name:
                return origin + alias.name if origin or alias.asname else name
        return name


def _chunks(data: bytes) -> list[_Chunk]:
    found: list[_Chunk] = []
    starts = list(_START.finditer(data))
    places = [0, *(m.start() for m in starts if m.start()), len(data)]
    names = {m.start(): m for m in starts}
    line = 1
    for start, end in itertools.pairwise(places):
        match = names.get(start)
        name = (match["name"] or b"").decode() if match is not None else ""
        if found and (found[-1].name == "@" or (not name and not found[-1].name)):
            last = found[-1]
            found[-1] = _Chunk(last.line, last.data + data[start:end], name if last.name == "@" else "")
            if match is not None and match["decorator"]:
                found[-1].name = "@"
        else:
            found.append(_Chunk(line, data[start:end], "@" if match is not None and match["decorator"] else name))
        line += data.count(b"\n", start, end)
    return found


def _names(node: ast.AST) -> Collection[str]:
    if isinstance(node, ast.Name):
        return (node.id,)
    if isinstance(node, ast.Attribute):
        return (node.attr,)
    if isinstance(node, ast.Constant):
        value = node.value
        if not isinstance(value, str):
            return ()
        return (value,) if len(value) > 200 else set(_WORDS.findall(value))
    if isinstance(node, ast.keyword):
        return (node.arg,) if node.arg else ()
    if isinstance(node, ast.alias):
        last = node.name.rpartition(".")[2]
        return (last, node.asname) if node.asname else (last,)
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        word = "global" if isinstance(node, ast.Global) else "nonlocal"
        return [f"{word} {name}" for name in node.names]
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return (node.name,)
    return ()


def _meant(match: re.Match[bytes]) -> bytes:
    return match[1] or (match["meant"] or b"").rpartition(b".")[2]


def text_of(node: ast.AST) -> str:
    """How the source says it, on one line."""
    try:
        return " ".join(ast.unparse(node).split())
    except (ValueError, AttributeError, RecursionError):
        return "an expression"


def parameters(node: FunctionNode | ast.Lambda) -> list[str]:
    """Names of parameters, in order, ``*`` and ``**`` aside."""
    spec = node.args
    return [a.arg for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]


class Package:
    """An engine's package."""

    def __init__(self, package: Path, image_root: Path | None = None) -> None:
        """Read every file; parse none."""
        self._root, self.name = package.parent, package.name
        self.text = PackageText(package, image_root)
        self._doubts = [s for s in self.text.naming(["_"]).unreadable if s.doubt]
        self._sources: dict[Path, Source] = {}
        self._paths: dict[str, list[Path]] = {}
        self._meanings: dict[Path, dict[bytes, set[bytes]]] = {}
        self._kept: dict[re.Pattern[bytes], list[tuple[Path, int, bytes]]] = {}
        # One text to search in is many times faster than thousands.
        self._order = list(self.text.contents)
        self._all = b"\0".join(self.text.contents.values())
        lengths = [len(d) + 1 for d in self.text.contents.values()]
        self._starts = list(itertools.accumulate(lengths, initial=0))[:-1]
        self._modules = {self._dotted(path): path for path in self.text.contents}

    def _dotted(self, path: Path) -> str:
        parts = path.relative_to(self._root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def matches(self, text: str, pattern: re.Pattern[bytes] | None = None) -> Iterator[tuple[Path, int, bytes, int]]:
        """Lines that hold a text, or matches of a pattern on them: file, line number, line, place in the file."""
        needle, place, everything = text.encode(), -1, self._all
        while (place := everything.find(needle, place + 1)) >= 0:
            start, end = everything.rfind(b"\n", 0, place) + 1, everything.find(b"\n", place)
            end = len(everything) if end < 0 else end
            index = bisect.bisect_right(self._starts, place) - 1
            line = everything[max(start, self._starts[index]) : end].partition(b"\0")[0]
            place = end
            if pattern is None or pattern.search(line):
                first = self._starts[index]
                yield self._order[index], everything.count(b"\n", first, start) + 1, line, start - first

    def kept(self, text: str, pattern: re.Pattern[bytes]) -> list[tuple[Path, int, bytes]]:
        """`matches` of a pattern that is asked for again and again."""
        if pattern not in self._kept:
            self._kept[pattern] = [(path, number, line) for path, number, line, _ in self.matches(text, pattern)]
        return self._kept[pattern]

    def _words(self, word: str, *, once: bool = False) -> Iterator[tuple[int, int]]:
        """Where a word stands: index of the file, and place in all of them; perhaps once a file."""
        needle, place, everything = word.encode(), -1, self._all
        while (place := everything.find(needle, place + 1)) >= 0:
            around = everything[place - 1 : place] + everything[place + len(needle) : place + len(needle) + 1]
            if not _WORD.search(around):
                index = bisect.bisect_right(self._starts, place) - 1
                yield index, place
                if once:
                    place = self._starts[index + 1] - 1 if index + 1 < len(self._starts) else len(everything)

    def places(self, word: str) -> Iterator[tuple[Path, bytes, int]]:
        """Where a word stands: the file, its text, and the place in it."""
        for index, place in self._words(word):
            path = self._order[index]
            yield path, self.text.contents[path], place - self._starts[index]

    def paths(self, word: str) -> list[Path]:
        """Files that hold a word; of a word that says nothing, one more than are looked at."""
        if word not in self._paths:
            found = itertools.islice(self._words(word, once=True), _MOST_FILES + 1)
            self._paths[word] = sorted(self._order[index] for index, _ in found)
        return self._paths[word]

    def stands_for(self, path: Path, word: bytes) -> set[bytes]:
        """What a file's imports and plain assignments may make a name stand for."""
        if path not in self._meanings:
            found = self._meanings[path] = {}
            for match in _OTHER_NAMES.finditer(self.text.contents[path]):
                told = re.findall(rb"\w+", match["told"] or b"") or [_meant(match)]
                found.setdefault(match["as"] or match["name"], set()).update(told)
        return self._meanings[path].get(word, set())

    def shown(self, path: Path) -> str:
        """A file as people know it: relative to the folder that holds the package."""
        return path.relative_to(self._root).as_posix()

    def source(self, path: Path) -> Source:
        """A file, parsed where it is asked."""
        if path not in self._sources:
            self._sources[path] = Source(self._dotted(path), self.shown(path), self.text.contents[path])
        return self._sources[path]

    @property
    def doubts(self) -> tuple[Skipped, ...]:
        """What could not be read."""
        broken = [Skipped(path, source.broken, True) for path, source in self._sources.items() if source.broken]
        return (*self._doubts, *broken)

    def sources(self, word: str) -> Iterator[Source]:
        """Files that hold a word, parsed.

        Raises:
            TooCommonError: there are too many.
        """
        paths = self.paths(word)
        if len(paths) > _MOST_FILES:
            raise TooCommonError(word)
        yield from map(self.source, paths)

    def find(self, dotted: str, depth: int = 0) -> tuple[Source, ast.AST] | None:
        """The definition, binding or module that a dotted name leads to through the package's own re-exports; None
        where that is not one."""
        if dotted in self._modules:
            module = self.source(self._modules[dotted])
            return module, module.tree
        home, _, name = dotted.rpartition(".")
        if home not in self._modules or depth > 4:
            return None
        source = self.source(self._modules[home])
        bindings = source.bound(source.tree, name)
        if len(bindings) != 1:
            return None
        node = bindings[0].node
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return self.find(source.imported(name, node), depth + 1)
        return source, node
