"""What a package stores under a name, whatever object holds it, and where objects are made of unnamed classes.

No object is told from another: whoever asks for ``anything.width`` is shown every ``width`` that is ever stored, so
that lent methods, mixins, objects given in place of others and classes changed under way make no difference.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import field
from functools import cached_property

from aiterfix.engines import bounds
from aiterfix.engines.package import FUNCTIONS, SCOPED, FunctionNode, Package, Source, said, text_of
from aiterfix.engines.uses import ASKS, LOGS, last
from aiterfix.storage.record import record

OPERATOR = "max_model_len"
_GROWS = re.compile(rb"\.max_model_len\s*(?:[-+*/%]=|=(?!=)(?!\s*[\w.]*max_model_len\s*(?:#|$)))")
_STORES = ("setattr", "__setattr__", "setitem", "register_buffer", "register_parameter")
_TAKES_NAMES = ("update", "type", "new_class", "dict", "make_dataclass", "setattr")
_READS = ("getattr", "hasattr", "get")
_MADE_ANEW = re.compile("__(?:(?:kw)?defaults|code)__").fullmatch
"""Attributes of a function that decide what it does."""
_REPLACES = re.compile(r"_*[A-Z]\w*|\w*(?:replace|update|copy|evolve|patch|multiple)\w*").fullmatch
_HOOKS = {
    # Whatever its object is, only a name that is stated as it stands is found by a search.
    "setattr": rb"setattr(?:__)?\s*\((?!\s*(?:[^,()]*(?:\((?:[^()]|\([^()]*\))*\)[^,()]*)*,\s*)?[\"']\w+[\"']\s*,)"
    rb"|(?:[=,(\[:]|\breturn)\s*(?:\w+\.)*(?:__)?setattr(?:__)?\s*(?:[,)\]};#]|$)|\bimport\b.*\bsetattr\b",
    "__getattr": rb"def\s+(?:__getattr__|__getattribute__)\b",
    "__dict__": rb"__dict__(?!\w|\s*\.(?:copy|get|items|keys|values)\()",
    "vars(": rb"(?<!\*)vars\([^)]*\)(?!\s*\.(?:copy|get|items|keys|values)\()",
    "defaults__": rb"__(?:kw)?defaults__\s*=(?!=)",
    "__code__": rb"__code__\s*=(?!=)",
    "__self__": rb"__self__(?!\w|\.__)",
    "__class__": rb"__class__(?!\.__\w+(?!\w|\s*[^\s\w=!<>]{0,2}=(?!=))|\s*(?:is|==|!=)\s)",
    "__init_subclass__": rb"def\s+__init_subclass__\b",
    "__set": rb"\.__set(?:state)?__\s*\(",
    "replace(": rb"replace\((?:[^()]|\([^()]*\))*\*\*",
    "cls(": rb"\bcls\((?!\))",
    "type(": rb"(?<![\w.])(?<!is )(?<!not )(?<!= )type\([^,()]*\)(?:\((?!\))|,|\s*$)"
    rb"|=\s*type\((?:[^,()]|\([^()]*\))*\)\s*$"
    rb"|(?<![\w.])type\((?:[^,()]|\([^()]*\))*\)\.\w+\s*[^\s\w=!<>]{0,2}=(?!=)",
    "(type,": rb"\bmap\(type,",
    ".__init__(": rb"\b[a-z_]\w*\.__init__\(",
    **dict.fromkeys(("__subclasses__", "__mro__", ".mro(", "__bases__", "__base__", "get_type_hints", "pydoc"), rb""),
}
"""Ways to store attributes, or to make objects, that name neither."""

_REACHES = {
    "getattr(": rb"(?<!\w)getattr\((?!\s*[^,()]*(?:\((?:[^()]|\([^()]*\))*\)[^,()]*)*,\s*[\"']\w+[\"']\s*[,)])",
    "getattr": rb"(?:[=,(\[:]|\breturn)\s*(?:\w+\.)*getattr\s*(?:[,)\]};#]|$)|\bimport\b.*\bgetattr\b",
    "attrgetter(": rb"attrgetter\((?!\s*[\"'][\w.]+[\"']\s*[,)])",
    **dict.fromkeys(("getmembers", "__getattribute__", "__getstate__"), rb""),
    "__dict__": rb"",
    "vars(": rb"(?<!\w)vars\(",
}
"""Ways to get what an object holds that do not name it."""


@record(frozen=True)
class Store:
    """One place that gives an attribute of a name a value.

    Attributes:
        kind: ``set``; ``given``: to a function elsewhere, which may set it; ``class``: in the body of a class;
            ``method`` and ``property``: a definition there; ``field``: of a class that may be a record, which whoever
            makes it fills.
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
    def late(self) -> bool:
        """Whether objects meet it after they are made."""
        return self.kind in ("set", "given") and getattr(self.function, "name", "") != "__init__"

    @property
    def text(self) -> str:
        """For people: where."""
        node: ast.AST = self.node
        while not isinstance(node, ast.stmt) and node in self.source.up:
            node = self.source.up[node]
        said = text_of(node)[: bounds.TEXT] if not isinstance(node, ast.ClassDef) else f"class {node.name}"
        return f"{self.source.relative}:{getattr(self.node, 'lineno', 0)}: {said}"


class Names:
    """Asks a package by names."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._stores: dict[str, list[Store] | None] = {}

    def stores(self, name: str) -> list[Store] | None:
        """Every store under a name; None where there are too many."""
        if name not in self._stores:
            paths = self._package.paths(name)
            few = len(paths) <= bounds.STORING_FILES
            found = self._of(name, paths) if few else []
            most = bounds.LENGTHS if name == OPERATOR else bounds.STORES
            self._stores[name] = found if few and len(found) <= most else None
        return self._stores[name]

    def of_class(self, name: str, source: Source, owner: ast.ClassDef) -> list[Store]:
        """What the body and the methods of a class store under a name."""
        inside = [n for n in source.mentions(name) if owner in source.above(n)]
        return [s for node in inside for s in self._store(source, node, name)]

    @cached_property
    def lengths(self) -> list[str]:
        """Lines that give the operator's length another value, and not as a copy of it; the first few."""
        found = itertools.islice(self._package.matches(f".{OPERATOR}", _GROWS), bounds.LENGTH_CONDITIONS)
        return [said(*one) for one in found]

    def _of(self, name: str, paths: list[str]) -> list[Store]:
        sources = map(self._package.source, paths)
        return [s for source in sources for node in source.mentions(name) for s in self._store(source, node, name)]

    @cached_property
    def hook(self) -> str:
        """The first place where attributes are stored or objects made by ways that name neither: any attribute may be
        another. Empty where there is none."""
        for needle, pattern in _HOOKS.items():
            for one in self._package.matches(needle, re.compile(pattern, re.MULTILINE), 200):
                return f"attributes are set or made by name: {said(*one)}"
        return ""

    @cached_property
    def reached(self) -> str:
        """The first place where what objects hold is got under no name that is stated: it may be changed there. Empty
        where there is none."""
        for needle, pattern in _REACHES.items():
            for one in self._package.matches(needle, re.compile(pattern, re.MULTILINE), 200):
                return f"what objects hold may be changed: {said(*one)}"
        return ""

    def sets_modules(self, name: str) -> bool:
        """Whether anything may give a module's own name another value from afar."""
        stores = self.stores(name)
        return stores is None or any(s.kind == "set" for s in stores)

    def _defines(self, name: str) -> bool:
        """Whether a function of the package has a name: then what it is given goes by its parameter."""
        return any(True for _ in self._package.matches(f"def {name}("))

    def _named(self, source: Source, node: ast.Constant, name: str, owner: ast.ClassDef | None) -> Iterator[Store]:
        """Stores by a string that is the name, or is run."""
        above, call, text = source.up.get(node), source.within(node, ast.Call), str(node.value)
        asked = last(call) if isinstance(call, ast.Call) else ""
        if text != name and not text.endswith(f".{name}"):
            if "=" in text and self._package.runs_text:
                yield Store("set", source, node, None, owner)
        elif isinstance(above, ast.Call) and asked in _STORES and node in above.args[:2]:
            yield Store("set", source, node, above.args[-1] if above.args[-1] is not node else None, owner)
        elif isinstance(above, ast.Dict) and node in above.keys and (asked in _TAKES_NAMES or _REPLACES(asked)):
            yield Store("set", source, node, above.values[above.keys.index(node)], owner)
        elif not (self.hook or _asks(above, asked)):
            yield Store("set", source, node, None, owner)  # whoever is given a name may store under it

    def _store(self, source: Source, node: ast.AST, name: str) -> Iterator[Store]:
        above = source.up.get(node)
        owner = source.within(node, ast.ClassDef)
        owner = owner if isinstance(owner, ast.ClassDef) else None
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            plain = isinstance(above, (ast.Assign, ast.AnnAssign)) and node in getattr(above, "targets", [node])
            if not isinstance(above, ast.AnnAssign) or above.value is not None:
                yield Store("set", source, node, above.value if plain else None, owner)  # type: ignore[union-attr]
        elif isinstance(node, (ast.Name, ast.Attribute)) and _MADE_ANEW(getattr(above, "attr", "")):
            yield Store("set", source, node, None, owner)
        elif isinstance(node, ast.keyword) and isinstance(above, ast.Call):
            callee = last(above)
            if not callee or _REPLACES(callee):
                yield Store("set", source, node, node.value, owner)
            elif not (self.hook or self._defines(callee)):
                yield Store("given", source, node, node.value, owner)
        elif isinstance(node, ast.Constant):
            yield from self._named(source, node, name, owner)
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


def _asks(above: ast.AST | None, asked: str) -> bool:
    """Whether a name in a string is only looked at, or listed."""
    if isinstance(above, ast.Subscript):
        return isinstance(above.ctx, ast.Load)
    return (
        isinstance(above, (ast.Compare, ast.Expr, ast.JoinedStr)) or bool(ASKS(asked) or LOGS(asked)) or asked in _READS
    )
