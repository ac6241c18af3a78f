"""The sources of an engine: searched as text first, parsed where a name of interest stands; nothing runs."""

from __future__ import annotations

import ast
import bisect
import itertools
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from aiterfix.installation.kernelfiles import PackageText
from aiterfix.installation.target import Skipped

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
_FAMILY = "mqa_logits"
_WORDS = re.compile(r"\w+")
_WORD = re.compile(rb"\w")
_IMPORTS = re.compile(rb"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_TOLD = rb"(?:\b(\w+)\s*=\s*(?:\w+\.)*)?\b(?:import_module\(|modules\[)\s*[\"'][\w.]*\b%b[\"']\s*[)\]](?!\s*\.)"
_GIVEN = rb"(?:^|[=(,:\[{]|\breturn|\byield)\s*(?:\w+\.)*(?:%b)"
_RUNS = re.compile(rb"(?<![\w.])(?:exec|eval)\(")


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
        cut |= b"pa_mqa_logits" in data
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
        up, named, pending = self.up, self._named, [root]
        while pending:
            node = pending.pop()
            for name in _names(node) if not isinstance(up[node], ast.Expr) else ():
                named.setdefault(name, []).append(node)
            if node.__class__ is not ast.Name and node.__class__ is not ast.Constant:
                for value in node.__dict__.values():  # as `ast.iter_child_nodes`, three times as fast
                    for child in value if value.__class__ is list else (value,):
                        if isinstance(child, ast.AST) and not isinstance(child, ast.expr_context):
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
        return set(_WORDS.findall(value))
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


class _Text:
    """Files as one text: to search in it is many times faster than in thousands."""

    def __init__(self, files: Mapping[Path, bytes]) -> None:
        self.order, self.all = list(files), b"\0".join(files.values())
        self.starts = list(itertools.accumulate((len(data) + 1 for data in files.values()), initial=0))[:-1]


class Package:
    """An engine's package."""

    def __init__(self, package: Path, image_root: Path | None = None) -> None:
        """Read every file; parse none."""
        self._root, self.name = package.parent, package.name
        self.text = PackageText(package, image_root)
        self._doubts = [s for s in self.text.naming(["_"]).unreadable if s.doubt]
        self._sources: dict[Path, Source] = {}
        self._paths: dict[str, list[Path]] = {}
        self._handed: dict[str, list[str]] = {}
        self._texts: dict[str, _Text] = {}
        self._modules = {self._dotted(path): path for path in self.text.contents}

    def _dotted(self, path: Path) -> str:
        parts = path.relative_to(self._root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _text(self, needle: str) -> _Text:
        """The files that may hold a needle: all, or the few that hold a part of it which is asked for often."""
        part = _FAMILY if _FAMILY in needle else ""
        if part not in self._texts:
            word = part.encode()
            self._texts[part] = _Text({path: data for path, data in self.text.contents.items() if word in data})
        return self._texts[part]

    def matches(
        self, text: str, pattern: re.Pattern[bytes] | None = None, more: int = 0
    ) -> Iterator[tuple[Path, int, bytes, int]]:
        """Lines that hold a text, or matches of a pattern on them and on some bytes more: file, line number, line,
        place in the file."""
        found, needle, place = self._text(text), text.encode(), -1
        while (place := found.all.find(needle, place + 1)) >= 0:
            index = bisect.bisect_right(found.starts, place) - 1
            first = found.starts[index]
            start, end = max(found.all.rfind(b"\n", 0, place) + 1, first), found.all.find(b"\n", place)
            end = len(found.all) if end < 0 else end
            line = found.all[start:end].partition(b"\0")[0]
            place = end
            if pattern is None or pattern.search(
                line if not more else found.all[start : end + more].partition(b"\0")[0]
            ):
                yield found.order[index], found.all.count(b"\n", first, start) + 1, line, start - first

    def paths(self, word: str) -> list[Path]:
        """Files that hold a word; of a word that says nothing, one more than are looked at."""
        if word not in self._paths:
            text, needle, place = self._text(word), word.encode(), -1
            found: set[Path] = set()
            while len(found) <= _MOST_FILES and (place := text.all.find(needle, place + 1)) >= 0:
                if not _WORD.search(text.all[place - 1 : place] + text.all[(end := place + len(needle)) : end + 1]):
                    index = bisect.bisect_right(text.starts, place) - 1
                    found.add(text.order[index])
                    place = text.starts[index] + len(self.text.contents[text.order[index]])
            self._paths[word] = sorted(found)
        return self._paths[word]

    def handed(self, source: Source) -> list[str]:
        """Files in which a module itself is kept, returned or given, or its names are asked for as a dict: then nobody
        knows what it is asked for, or given."""
        if source.dotted not in self._handed:
            module = source.dotted.rpartition(".")[2].encode()
            known = re.compile(rb"import.*\b%b\b|modules.*\b%b\b|^\s*%b\b[\w\s,]*$" % (module, module, module))
            found = self._handed.setdefault(source.dotted, [])
            for path in dict.fromkeys(path for path, *_ in self.matches(module.decode(), known)):
                data = self.text.contents[path]
                imported = b"\n".join(m[1] for m in _IMPORTS.finditer(data))
                names = {m[1] or module for m in re.finditer(rb"\b%b\b(?:\s+as\s+(\w+))?" % module, imported)}
                if b"import_module" in data or b"modules[" in data:
                    names |= {m[1] or b"modules" for m in re.finditer(_TOLD % module, data)}
                alone = b"|".join(rb"(?:%b\s*(?:[,)\]}#\n]|$)|%b\.__dict__)" % (name, name) for name in names)
                if b"modules" in names or (names and re.search(_GIVEN % alone, _IMPORTS.sub(b"", data))):
                    found.append(self.shown(path))
            own = self.text.contents[self._modules[source.dotted]]
            found += [source.relative] if re.search(rb"\b(?:globals|vars)\(\)\s*(?:\[|\.(?:get|update)\()", own) else []
        return self._handed[source.dotted]

    @cached_property
    def runs_text(self) -> bool:
        """Whether it runs text as a program."""
        return any(True for text in ("exec(", "eval(") for _ in self.matches(text, _RUNS))

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
