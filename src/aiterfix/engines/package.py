"""The sources of an engine: searched as text first, parsed where a name of interest stands; nothing runs."""

from __future__ import annotations

import ast
import itertools
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from aiterfix.engines import bounds
from aiterfix.installation.kernelfiles import PackageText
from aiterfix.installation.target import Skipped
from aiterfix.source.tree import children
from aiterfix.storage.text import as_parsed, finder, opaque_encoding

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
SCOPES = (*FUNCTIONS, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
SCOPED = SCOPES[:3]
LOOPS = (ast.For, ast.AsyncFor, ast.While)
_START = re.compile(
    rb"\n(?:(?P<decorator>@)|(?:async[ \t]+)?(?:def|class)[ \t]+(?P<name>\w+)"
    rb"|(?!(?:else|elif|except|finally|case)\b)[^\s#)\]}\"'])"
)
TESTS = re.compile("(?:^|/)(?:tests?/|test_|conftest)").search
_SETTINGS = (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg")
_PARTS = ("mqa_", "aiter", "ndexer", "page_", "etattr")
"""What many names that are asked for have in common: which files hold it is found out once."""
_WORDS = re.compile(r"\w+").findall
_IMPORTS = re.compile(rb"^[ \t]*(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_TOLD = (
    rb"(?:\b(\w+)\s*=\s*(?:\w+\.)*)?\b(?:import_module\(|modules(?:\[|\.get\())\s*[\"'][\w.]*\b%b[\"']\s*[)\]](?!\s*\.)"
)
_SET = rb"\bmodules\s*(?:,|\.(?:update|setdefault|__setitem__)\()[^\n]*\b%b[\"']"
_OWN = re.compile(
    rb"\b(?:globals|vars)\(\)\s*(?:[,)\[]|\.(?:get|update|items|values|pop|setdefault)\()|\bmodules\[\s*__name__\s*\]"
)
_GIVEN = rb"(?:^|[=(,:\[{]|\breturn|\byield)\s*(?:\w+\.)*(?:%b)"
_OPERATORS = re.compile(rb"(?:[=,]|\breturn|(?<!hasattr)\()\s*torch\.ops(?:\.\w+)?\s*(?:[,)]|$)")
_INNER = rb"(?:[^()]|\((?:[^()]|\([^()]*\))*\))*"
_BY_NAME = re.compile(rb"getattr\((?:[^(),\"']|\([^()]*\))+,\s*[A-Za-z_]" + _INNER + rb"\)(?:\((%b)\))?" % _INNER)
_ARGUMENTS = re.compile(rb"\((%b)\)" % _INNER).match
_CALLER = re.compile(rb"methodcaller\(\s*[A-Za-z_][^,()]*,(%b)\)" % _INNER)
_PARTS_OF_NAME = rb"\s*(?:f?[\"'](\w+)(?:[\"']\s*\+|\{|%[sd])|(?:\w+\s*\+\s*[\"']|f[\"']\{[^{}]*\})(\w+)[\"'])"
_PUT_TOGETHER = {  # beginning with plain text, they are searched for much faster
    "getattr(": re.compile(rb"getattr\([^\n]*?,%b" % _PARTS_OF_NAME),
    "methodcaller(": re.compile(rb"methodcaller\(%b" % _PARTS_OF_NAME),
}
_LAMBDA = re.compile(rb"=[\s(\\]*lambda\b").search
_KEPT_AS = re.compile(rb"(\w+)\s*=\s*$")
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
    nodes: list[ast.stmt] | None = None
    indexed: bool = False


class _Defined(ast.NodeTransformer):
    """Writes a lambda that is given a name as the function that it is."""

    def visit_Assign(self, node: ast.Assign | ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        if not isinstance(target, ast.Name) or not isinstance(node.value, ast.Lambda):
            return node
        returned = ast.copy_location(ast.Return(node.value.body), node.value.body)
        return ast.copy_location(ast.FunctionDef(target.id, node.value.args, [returned], []), node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        return self.visit_Assign(node)


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
        cut |= as_parsed(data) is not data  # names in it may be written in other characters
        # Of what names the family every part is parsed: if one cannot be, nobody knows what it calls.
        family = self._chunks if b"pa_mqa_logits" in data else []
        if cut or not self._parse(family) or not self._need([c for c in self._chunks if not c.name]):
            self.up, self._named, self._bound, self.broken = {}, {}, {self.tree: {}}, ""
            self._chunks = [_Chunk(1, data)]
            self._need(self._chunks)

    def _parse(self, chunks: Iterable[_Chunk]) -> bool:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for chunk in chunks:
                    if chunk.nodes is None:
                        chunk.nodes = []
                        tree = ast.parse(b"\n" * (chunk.line - 1) + chunk.data)
                        chunk.nodes = (_Defined().visit(tree) if _LAMBDA(chunk.data) else tree).body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.broken = f"cannot be parsed: {error}"
        return not self.broken

    def _need(self, chunks: list[_Chunk]) -> bool:
        self._parse(chunks)
        for chunk in chunks:
            chunk.indexed = True
            for node in chunk.nodes or ():
                self.up[node] = self.tree
                self._index(node)
                for name, binding in self._within(node):
                    self._bound[self.tree].setdefault(name, []).append(binding)
        return not self.broken

    def _index(self, root: ast.AST) -> None:
        up, named, pending = self.up, self._named, [root]
        while pending:
            node = pending.pop()
            names = _NAMES.get(node.__class__)
            if names is not None and up[node].__class__ is not ast.Expr:
                for name in names(node):
                    named.setdefault(name, []).append(node)
            for child in children(node):
                up[child] = node
                pending.append(child)

    def seen(self, name: str) -> list[ast.AST]:
        """`mentions` in what is parsed so far: for names that are local to it."""
        return self._named.get(name, [])

    def mentions(self, name: str) -> list[ast.AST]:
        """Nodes that mention an identifier; strings by the words in them."""
        word = _whole(name)
        self._need([c for c in self._chunks if not c.indexed and word(c.data)])
        return self._named.get(name, [])

    def rebinds(self, name: str) -> bool:
        """Whether a function gives a name of the module another meaning."""
        word = _whole(name)
        self._need([c for c in self._chunks if not c.indexed and b"global" in c.data and word(c.data)])
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
            self._need([c for c in self._chunks if not c.indexed and c.name == name])
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
                pending += reversed(children(node))

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
    starts = [(0, "")]
    for match in _START.finditer(b"\n" + data):
        name = "@" if match["decorator"] else (match["name"] or b"").decode()
        if starts[-1][1] == "@" or not match.start():
            starts[-1] = (starts[-1][0], name)
        elif name or starts[-1][1]:
            starts.append((match.start(), name))
    found, line = [], 1
    for (start, name), (end, _) in itertools.pairwise([*starts, (len(data), "")]):
        found.append(_Chunk(line, data[start:end], name))
        line += data.count(b"\n", start, end)
    return found


_NAMES: dict[type, Callable[[Any], Collection[str]]] = {
    ast.Name: lambda node: (node.id,),
    ast.Attribute: lambda node: (node.attr,),
    ast.Constant: lambda node: set(_WORDS(node.value)) if node.value.__class__ is str else (),
    ast.keyword: lambda node: (node.arg,) if node.arg else (),
    ast.alias: lambda node: {node.name.rpartition(".")[2], node.asname or node.name.rpartition(".")[2]},
    ast.Global: lambda node: [f"global {name}" for name in node.names],
    ast.Nonlocal: lambda node: [f"nonlocal {name}" for name in node.names],
    **dict.fromkeys((*FUNCTIONS, ast.ClassDef), lambda node: (node.name,)),
}
"""Of what mentions identifiers, which; of strings the words in them."""


def _whole(word: str) -> Callable[[bytes], object]:
    """Searches for a word; it begins with plain text, which is much faster."""
    text = re.escape(word.encode())
    return re.compile(rb"%b(?<!\w%b)(?!\w)" % (text, text)).search


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def said(path: str, number: int, line: bytes) -> str:
    """A line for people."""
    return f"{path}:{number}: {line.decode('utf-8', 'replace').strip()[: bounds.TEXT]}"


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


def takes(node: FunctionNode | ast.Lambda, name: str) -> bool:
    """Whether a parameter has a name, one of ``*`` and ``**`` too."""
    stars = (a.arg for a in (node.args.vararg, node.args.kwarg) if a is not None)
    return name in parameters(node) or name in stars


class Package:
    """An engine's package. Its files go by their paths below the folder that holds it, with forward slashes."""

    def __init__(self, package: Path, image_root: Path | None = None) -> None:
        """Read every file; parse none."""
        text = PackageText(package, image_root, _SETTINGS)
        self.name, self._folder, start = package.name, package.parent, len(str(package)) - len(package.name)
        named = [(path[start:], data) for path, data in text.contents.items()]
        self._data = {path: data for path, data in named if not path.endswith(_SETTINGS)}
        self._settings = [one for one in named if one[0].endswith(_SETTINGS)]
        self._doubts = [s for s in text.unreadable if s.doubt]
        for path, data in self._data.items():
            if opaque_encoding(data):
                self._doubt(path, "states an encoding in which names may be written in other bytes")
        self._sources: dict[str, Source] = {}
        self._paths: dict[str, list[str]] = {}
        self._handed: dict[str, list[str]] = {}
        self._set: dict[str, bool] = {}
        # Nothing parses a text with a NUL, but it may name something, and then the whole is in doubt.
        self._holding = {"": [(path, as_parsed(data).replace(b"\0", b" ")) for path, data in self._data.items()]}
        self._modules = {_dotted(path): path for path in self._data}
        self._hold = finder()

    def _doubt(self, path: str, reason: str) -> None:
        self._doubts.append(Skipped(self._folder / path, reason, True))

    def files(self, text: str) -> list[tuple[str, bytes]]:
        """Files that hold a text: of those that hold a part of it, where such a part was asked for."""
        if text not in self._holding:
            for part in _PARTS:
                if part in text and part != text:
                    self.files(part)
            near = min((files for known, files in self._holding.items() if known in text), key=len)
            self._holding[text] = self._hold(near, text.encode())
        return self._holding[text]

    def matches(
        self,
        text: str,
        pattern: re.Pattern[bytes] | None = None,
        more: int = 0,
        files: Iterable[tuple[str, bytes]] | None = None,
    ) -> Iterator[tuple[str, int, bytes]]:
        """Lines that hold a text, or matches of a pattern on them and on some bytes more: file, line number, line."""
        needle = text.encode()
        for path, data in self.files(text) if files is None else files:
            place = -1
            while (place := data.find(needle, place + 1)) >= 0:
                start, end = data.rfind(b"\n", 0, place) + 1, data.find(b"\n", place)
                place = end = len(data) if end < 0 else end
                if pattern is None or pattern.search(data[start : end + more]):
                    yield path, data.count(b"\n", 0, start) + 1, data[start:end]

    def paths(self, word: str) -> list[str]:
        """Files that hold a word; of a word that says nothing, one more than are looked at."""
        if word not in self._paths:
            whole = _whole(word)
            found = (path for path, data in self.files(word) if whole(data))
            self._paths[word] = sorted(itertools.islice(found, bounds.FILES + 1))
        return self._paths[word]

    def handed(self, source: Source) -> list[str]:
        """Files in which a module itself is kept, returned, given or replaced, or its names are asked for as a dict:
        then nobody knows what it is asked for, or given."""
        if source.dotted not in self._handed:
            found = self._handed[source.dotted] = []
            if _OWN.search(self._data[source.relative]):
                found.append(source.relative)
            pending, seen = [tuple(part.encode() for part in ("." + source.dotted).split(".")[-2:])], set[object]()
            for home, module in pending:
                # Who imports it names what it is in, or stands there; who has it from another module names that.
                line = re.compile(rb"import.*\b%b\b|modules.*\b%b\b|^\s*%b\b[\w\s,]*$" % (module, module, module))
                files = {p: d for p, d in self.files(module.decode()) if home in d or home in p.encode()}
                importers = dict.fromkeys(path for path, *_ in self.matches(module.decode(), line, files=files.items()))
                for path, data in files.items():
                    names = {module} if (home, module) != pending[0] else set()
                    if path in importers:
                        imported = b"\n".join(m[1] for m in _IMPORTS.finditer(data))
                        names = {m[1] or module for m in re.finditer(rb"\b%b\b(?:\s+as\s+(\w+))?" % module, imported)}
                        stem = _dotted(path).rpartition(".")[2].encode()
                        pending += [key for name in names if (key := (stem, name)) not in seen]
                        seen |= {(stem, name) for name in names}
                    if path in importers and (b"import_module" in data or b"modules" in data):
                        names |= {m[1] or b"modules" for m in re.finditer(_TOLD % module, data)}
                        names |= {b"modules"} if re.search(_SET % module, data) else set()
                    alone = b"|".join(rb"(?:%b\s*(?:[,)\]}#\n]|$)|%b\.__dict__)" % (name, name) for name in names)
                    if b"modules" in names or (names and re.search(_GIVEN % alone, _IMPORTS.sub(b"", data))):
                        found.append(path)
        return self._handed[source.dotted]

    @cached_property
    def runs_text(self) -> bool:
        """Whether it runs text as a program."""
        return any(True for text in ("exec(", "eval(") for _ in self.matches(text, _RUNS))

    @cached_property
    def operators(self) -> list[str]:
        """Where torch's operators, or a namespace of them, are taken as a whole."""
        return [f"{path}:{line}" for path, line, _ in self.matches("torch.ops", _OPERATORS)]

    @cached_property
    def put_together(self) -> list[tuple[str, str, str]]:
        """Names that are asked for by a stated part and one that is worked out, tests aside: where, how they begin and
        how they end."""
        places = self._places(_PUT_TOGETHER)
        return [(where, (one[1] or b"").decode(), (one[2] or b"").decode()) for where, one in places]

    @cached_property
    def named_calls(self) -> list[tuple[str, int, set[str]]]:
        """Calls of what an object gives under a name that is worked out, tests aside: where, with how many
        arguments, and the names of some. Of those with ``*`` nothing is known."""
        found: list[tuple[str, int, set[str]]] = []
        for where, call in self._places({"getattr(": _BY_NAME, "methodcaller(": _CALLER}):
            if b"torch.ops" in call[0]:
                continue  # see `operators`
            given = [call[1]] if call[1] is not None else []
            kept = _KEPT_AS.search(call.string, max(0, call.start() - 80), call.start())
            if not given and kept is not None:
                # A pattern for each name would take half of the time of all.
                data, name = call.string, kept[1] + b"("
                place = data.find(name, call.end())
                while place >= 0:
                    called = _ARGUMENTS(data, place + len(name) - 1)
                    whole = not (data[place - 1 : place].isalnum() or data[place - 1 : place] == b"_")
                    given += [called[1]] if called is not None and whole else []
                    place = data.find(name, place + 1)
            for inner in given:
                plain = re.sub(rb"\(%b\)" % _INNER, b"", inner).strip().rstrip(b",")
                if not re.search(rb"(?:^|,)\s*\*", plain):
                    names = {name.decode() for name in re.findall(rb"(?:^|,)\s*(\w+)\s*=(?!=)", plain)}
                    found.append((where, plain.count(b",") + 1 if plain else 0, names))
        return found

    @cached_property
    def _asked(self) -> dict[str, list[tuple[str, bytes, list[int]]]]:
        """Where an object is asked for a name, tests aside: by the text of it, the file, and the places in it."""
        found = {}
        for text in _PUT_TOGETHER:
            starts = re.compile(re.escape(text.encode())).finditer
            files = (one for one in self.files(text) if not TESTS(one[0]))
            found[text] = [(path, data, [m.start() for m in starts(data)]) for path, data in files]
        return found

    def _places(self, patterns: Mapping[str, re.Pattern[bytes]]) -> Iterator[tuple[str, re.Match[bytes]]]:
        """Matches of patterns that begin with such a text, as `re.finditer` gives them."""
        for text, pattern in patterns.items():
            for path, data, places in self._asked[text]:
                end = 0
                for place in places:
                    one = pattern.match(data, place) if place >= end else None
                    if one is not None:
                        end = one.end()
                        line = data.count(b"\n", 0, place) + 1
                        yield f"{path}:{line}", one

    def source(self, path: str) -> Source:
        """A file, parsed where it is asked."""
        if path not in self._sources:
            self._sources[path] = Source(_dotted(path), path, self._data[path])
        return self._sources[path]

    @property
    def doubts(self) -> tuple[Skipped, ...]:
        """What could not be read."""
        broken = [
            Skipped(self._folder / p, source.broken, True) for p, source in self._sources.items() if source.broken
        ]
        return (*self._doubts, *broken)

    def settings(self, word: str) -> Iterator[str]:
        """Files of settings that hold a word."""
        return (path for path, data in self._settings if word.encode() in data and _whole(word)(data))

    def sources(self, word: str) -> Iterator[Source]:
        """Files that hold a word, parsed.

        Raises:
            TooCommonError: there are too many.
        """
        paths = self.paths(word)
        if len(paths) > bounds.FILES:
            raise TooCommonError(word)
        yield from map(self.source, paths)

    def sets(self, name: str) -> bool:
        """Whether anything is kept in a module, or a package, under the name of a class, or a module."""
        if name not in self._set:
            word = name.encode()
            kept = re.compile(
                rb"\.%b\s*(?:=(?!=)|,[^()\n]*=(?!=))|(?:setattr|patch\.object)\([^,]+,\s*[\"']%b[\"']" % (word, word)
            )
            self._set[name] = any(True for _ in self.matches(name, kept))
        return self._set[name]

    def find(self, dotted: str, depth: int = 0) -> tuple[Source, ast.AST] | None:
        """The definition, binding or module that a dotted name leads to through the package's own re-exports; None
        where that is not one."""
        home, _, name = dotted.rpartition(".")
        if dotted in self._modules:
            module = self.source(self._modules[dotted])
            # The folder's own module may give the name to something else.
            around = self.source(self._modules[home]) if home in self._modules else None
            others = [b.node for b in around.bound(around.tree, name)] if around is not None else []
            stated = [n for n in others if isinstance(n, (ast.Import, ast.ImportFrom))]
            if (around is not None and any(around.imported(name, n) != dotted for n in stated)) or others != stated:
                return None
            return (module, module.tree) if not self.sets(name) else None
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
