"""What a module's names are bound to. Knows Python and Triton, no kernels.

A name may be bound in many ways, and by no definition at all: `ModuleBindings.of` lists every one of them, in source
order, those that only run when a function is called included. Whoever asks decides what to make of several.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from aiterfix.source.names import bound_names
from aiterfix.source.syntax import pairs, root_name
from aiterfix.source.tree import children, descend
from aiterfix.storage.text import as_parsed


class How(Enum):
    """In which way a name is bound."""

    DEFINITION = "definition"
    IMPORT = "import"
    VALUE = "value"
    """A plain assignment: the value's expression is known."""
    OPAQUE = "opaque"
    """In a way that is not followed."""


@dataclass(frozen=True)
class Binding:
    """One statement that may bind a name of the module.

    Attributes:
        how: in which way.
        line: 1-based.
        what: the way in words, fit for "its name is bound by ...".
        node: the definition, or the value's expression.
        module: imported from, dots of a relative import in front; None where nothing is imported.
        attribute: the name there; None where the module itself is bound.
    """

    how: How
    line: int
    what: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.expr | None = None
    module: str | None = None
    attribute: str | None = None

    @property
    def is_none(self) -> bool:
        """Whether it is ``name = None``, as after a failed import: to call or launch that raises."""
        return self.how is How.VALUE and isinstance(self.node, ast.Constant) and self.node.value is None


@dataclass(frozen=True)
class Star:
    """``from module import *`` and its line."""

    module: str
    line: int


@dataclass(frozen=True)
class Unclear:
    """A statement that may bind any name: text that is executed, a name that is computed."""

    line: int
    what: str


_UNBOUND = {"gluon": "triton.experimental.gluon", "jit": "triton.jit"}
_Statement = ast.stmt | ast.ExceptHandler | ast.match_case
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)
_NAMESPACES = frozenset({"globals", "vars", "locals"})
_PARTS = frozenset(
    [
        *["__class__", "__code__", "__defaults__", "__globals__", "__kwdefaults__"],
        *["_src", "fn", "get_capture_scope", "parse", "raw_src", "src", "value"],
    ]
)
"""Attributes that what a function or a ``constexpr`` of Triton means is made of."""
_READS = frozenset({"get", "keys", "values", "items", "copy", "__contains__", "__getitem__"})
# Only a text that has one of these words can bind a name other than by a statement; most have none.
_DYNAMIC = re.compile(
    rb"\b(?:exec|eval|execfile|globals|vars|locals|setattr|delattr|__setattr__|__dict__|__delattr__|_unsafe_update_src|__globals__|f_globals|builtins|__builtins__)\b"
)


class ModuleBindings:
    """The bindings of one module.

    Args:
        tree: the parsed module.
        text: its bytes, UTF-8: searched for the words without which expressions need no look.
    """

    def __init__(self, tree: ast.Module, text: bytes) -> None:
        self.stars: list[Star] = []
        self.unclear: list[Unclear] = []
        self.nested: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        """Definitions inside a function or class, by name."""
        self.functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = []
        """Every definition, wherever it stands, in source order."""
        self._of: dict[str, list[Binding]] = {}
        self._walrus = b":=" in text
        for statement, inside in _statements(tree.body):
            self._statement(statement, inside)
        if _DYNAMIC.search(as_parsed(text)):
            self._expressions(tree)

    def of(self, name: str) -> tuple[Binding, ...]:
        """Every statement that may bind a name of the module; empty where none does."""
        return tuple(sorted(self._of.get(name, ()), key=lambda b: b.line))

    @property
    def names(self) -> Iterable[str]:
        """Every name that is bound."""
        return self._of.keys()

    def dotted(self, expression: ast.expr) -> frozenset[str]:
        """What a name or attribute may be, as dotted names from an import on; empty where that cannot be told.

        A name from a relative import begins with its dots.

        ``None`` among the alternatives is left out (``gluon = None`` after a failed import): using it would raise.
        """
        if isinstance(expression, ast.Attribute):
            return frozenset(f"{base}.{expression.attr}" for base in self.dotted(expression.value))
        return self._named(expression.id, ()) if isinstance(expression, ast.Name) else frozenset()

    def _named(self, name: str, asked: tuple[str, ...]) -> frozenset[str]:
        if self.unclear or name in asked:
            return frozenset()
        bindings = self.of(name)
        if not bindings:
            if self.stars:
                inside = [s.module for s in self.stars if s.module.split(".")[0] == "triton"]
                return frozenset([f"{inside[0]}.{name}"] if len(inside) == len(self.stars) == 1 else [])
            # A name that is bound nowhere raises at import: nothing else than Triton's can come of it.
            return frozenset([f"builtins.{name}" if hasattr(builtins, name) else _UNBOUND.get(name, name)])
        found: set[str] = set()
        for b in bindings:
            if b.how is How.IMPORT and b.module is not None:
                found.add(b.module if b.attribute is None else joined(b.module, b.attribute))
            elif b.is_none:
                continue
            elif b.how is How.VALUE and isinstance(b.node, (ast.Name, ast.Attribute)):
                root = root_name(b.node)
                bases = self._named(root, (*asked, name)) if root else frozenset()
                if not bases:
                    return frozenset()
                found.update(base + ast.unparse(b.node)[len(root) :] for base in bases)
            else:
                return frozenset()
        return frozenset(found)

    def _bind(self, name: str, binding: Binding) -> None:
        self._of.setdefault(name, []).append(binding)

    def _opaque(self, names: Iterable[str], line: int, what: str) -> None:
        for name in names:
            self._bind(name, Binding(How.OPAQUE, line, what))

    def _statement(self, s: _Statement, inside: bool) -> None:
        if isinstance(s, ast.Global):
            self._opaque(s.names, s.lineno, "a function, through `global`")
        if isinstance(s, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete, ast.For, ast.AsyncFor)):
            for target in s.targets if isinstance(s, (ast.Assign, ast.Delete)) else [s.target]:
                self._target(target)
        elif isinstance(s, (ast.With, ast.AsyncWith)):
            for item in s.items:
                if item.optional_vars is not None:
                    self._target(item.optional_vars)
        if isinstance(s, _Function):
            self.functions.append(s)
            if inside:
                self.nested.setdefault(s.name, []).append(s)
        if not inside:
            self._at_module_level(s)

    def _at_module_level(self, s: _Statement) -> None:
        line = getattr(s, "lineno", 1)
        if isinstance(s, _Function):
            self._bind(s.name, Binding(How.DEFINITION, line, "a definition", s))
            heads: list[ast.AST] = [*s.decorator_list, *s.args.defaults, *(d for d in s.args.kw_defaults if d)]
        elif isinstance(s, ast.ClassDef):
            self._opaque([s.name], line, "a class")
            heads = [*s.decorator_list, *s.bases, *s.keywords]
        elif isinstance(s, ast.Import):
            for a in s.names:
                module = a.name if a.asname else a.name.split(".")[0]
                self._bind(a.asname or module, Binding(How.IMPORT, line, "an import", module=module))
            heads = []
        elif isinstance(s, ast.ImportFrom):
            module = "." * s.level + (s.module or "")
            for a in s.names:
                if a.name == "*":
                    self.stars.append(Star(module, line))
                else:
                    binding = Binding(How.IMPORT, line, "an import", module=module, attribute=a.name)
                    self._bind(a.asname or a.name, binding)
            heads = []
        elif isinstance(s, (ast.Assign, ast.AnnAssign)):
            if s.value is not None:
                for target in s.targets if isinstance(s, ast.Assign) else [s.target]:
                    self._assign(target, s.value)
            heads = [s]
        else:
            heads = list(_heads(s))
            if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call):
                # Called for what it does: to a kernel that it is handed, for one.
                handed = [*s.value.args, *(k.value for k in s.value.keywords)]
                self._opaque((a.id for a in handed if isinstance(a, ast.Name)), line, "a call that it is handed to")
            what = _WAYS.get(type(s), "a statement that is not followed")
            for head in heads:
                # Of an expression that is evaluated only `:=` binds (below); a comprehension's names are its own.
                context = getattr(head, "ctx", None)
                if not isinstance(head, ast.expr) or isinstance(context, (ast.Store, ast.Del)):
                    self._opaque(bound_names(head, walrus=False), getattr(head, "lineno", line), what)
            if isinstance(s, ast.ExceptHandler) and s.name:
                self._opaque([s.name], line, what)
        if self._walrus:
            for head in heads:
                for n in descend(head):
                    if isinstance(n, ast.NamedExpr):
                        binding = Binding(How.VALUE, n.lineno, "an assignment expression", n.value)
                        self._bind(n.target.id, binding)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        for t, given in pairs(target, value):
            if isinstance(t, ast.Name) and given is not None:
                self._bind(t.id, Binding(How.VALUE, t.lineno, "an assignment", given))
            else:
                self._opaque(bound_names(t, walrus=False), t.lineno, "unpacking")

    def _target(self, target: ast.expr) -> None:
        """What is set that is no name: an attribute (of a module, of the kernel), an item of a namespace."""
        if isinstance(target, ast.Attribute):
            self._attribute_set(target.value, target.attr, target.lineno)
        elif isinstance(target, ast.Subscript):
            if _namespace(target.value):
                self._item_set(target.slice, target.lineno)
            elif isinstance(target.value, ast.Attribute) and target.value.attr == "modules":
                key = target.slice
                if not (isinstance(key, ast.Constant) and isinstance(key.value, str)):
                    self.unclear.append(Unclear(target.lineno, "a module is replaced"))
        elif isinstance(target, (ast.Tuple, ast.List)):
            for t in target.elts:
                self._target(t)
        elif isinstance(target, ast.Starred):
            self._target(target.value)

    def _attribute_set(self, owner: ast.expr, attribute: str, line: int) -> None:
        if isinstance(owner, ast.Name) and owner.id == "self":
            return  # an object's own
        self._opaque([attribute], line, "setting an attribute")
        self._part_set(attribute, line)
        # What hangs below a name is changed with it: `kernel.fn = other`, `triton.language.store = other`.
        while isinstance(owner, ast.Attribute):
            self._opaque([owner.attr], line, f"setting its attribute `{attribute}`")
            owner = owner.value
        if isinstance(owner, ast.Name):
            self._opaque([owner.id], line, f"setting its attribute `{attribute}`")

    def _part_set(self, attribute: str, line: int) -> None:
        # Whose it is cannot be told: a list, a loop, an argument may lead to a function by another name.
        if attribute in _PARTS:
            self.unclear.append(Unclear(line, f"an object's `{attribute}` is replaced"))

    def _item_set(self, key: ast.expr, line: int) -> None:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            self._opaque([key.value], line, "an item of a namespace")
            self._part_set(key.value, line)
        else:
            self.unclear.append(Unclear(line, "a computed name is set in a namespace"))

    def _expressions(self, tree: ast.Module) -> None:
        """Calls that bind names: `exec`, `setattr`, `globals().update` and their like."""
        explained: set[ast.AST] = set()
        for n in descend(tree):
            if isinstance(n, ast.Subscript) and _namespace(n.value):
                explained.add(n.value)
            elif isinstance(n, ast.Compare):
                explained.update(c for c in n.comparators if _namespace(c))
            elif isinstance(n, ast.Call):
                self._call(n, explained)
            elif isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and n not in explained:
                if n.id in ("exec", "eval", "execfile", "setattr", "delattr", "__builtins__", *_NAMESPACES):
                    self.unclear.append(Unclear(n.lineno, f"`{n.id}` is used in a way that is not followed"))
            elif isinstance(n, ast.Attribute) and n.attr in _DICTIONARIES and n not in explained:
                self.unclear.append(Unclear(n.lineno, "a namespace is handed on"))

    def _call(self, call: ast.Call, explained: set[ast.AST]) -> None:
        f = call.func
        if _namespace(call):
            explained.add(f)
            inside_function = isinstance(f, ast.Name) and f.id == "locals"
            if call not in explained and not inside_function:
                self.unclear.append(Unclear(call.lineno, "a namespace is handed on"))
        elif isinstance(f, ast.Name) and f.id in ("exec", "eval", "execfile"):
            explained.add(f)
            self.unclear.append(Unclear(call.lineno, f"`{f.id}` runs text"))
        elif isinstance(f, ast.Attribute) and f.attr in ("exec", "eval") and "builtins" in ast.unparse(f.value):
            self.unclear.append(Unclear(call.lineno, f"`{f.attr}` runs text"))
        elif isinstance(f, ast.Attribute) and _namespace(f.value):
            explained.add(f.value)
            self._namespace_method(f.attr, call)
        elif (isinstance(f, ast.Name) and f.id in ("setattr", "delattr")) or (
            isinstance(f, ast.Attribute) and f.attr in ("__setattr__", "__delattr__")
        ):
            explained.add(f)
            if isinstance(f, ast.Attribute) and len(call.args) == (2 if f.attr == "__setattr__" else 1):
                owner, key = f.value, call.args[0]
            elif len(call.args) >= 2:
                owner, key = call.args[0], call.args[1]
            else:
                owner = key = f
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                self._attribute_set(owner, key.value, call.lineno)
            elif not (isinstance(owner, ast.Name) and owner.id == "self"):
                self.unclear.append(Unclear(call.lineno, "a computed attribute is set"))
        elif isinstance(f, ast.Name) and f.id == "getattr" and call.args and "builtins" in ast.unparse(call.args[0]):
            self.unclear.append(Unclear(call.lineno, "a function of Python's is looked up by name"))
        elif isinstance(f, ast.Attribute) and f.attr == "_unsafe_update_src":
            self.unclear.append(Unclear(call.lineno, "a kernel's source is replaced"))

    def _namespace_method(self, method: str, call: ast.Call) -> None:
        if method in _READS:
            return
        if method in ("__setitem__", "setdefault", "pop", "__delitem__") and call.args:
            self._item_set(call.args[0], call.lineno)
            return
        keys: list[ast.expr | None] = [ast.Constant(k.arg) if k.arg else None for k in call.keywords]
        for a in call.args:
            keys += a.keys if isinstance(a, ast.Dict) else [None]
        if method != "update":
            keys = [None]
        for key in keys:
            if key is None:
                self.unclear.append(Unclear(call.lineno, "computed names are set in a namespace"))
            else:
                self._item_set(key, call.lineno)


_DICTIONARIES = ("__dict__", "__globals__", "f_globals")
"""Attributes that are a dictionary of names."""


def joined(module: str, attribute: str) -> str:
    """A dotted name, also below a relative import's bare dots."""
    return f"{module}{attribute}" if module.endswith(".") else f"{module}.{attribute}"


_WAYS: dict[type, str] = {
    ast.For: "a loop",
    ast.AsyncFor: "a loop",
    ast.With: "a `with` statement",
    ast.AsyncWith: "a `with` statement",
    ast.ExceptHandler: "an `except` clause",
    ast.match_case: "a pattern",
    ast.Delete: "`del`",
    ast.AugAssign: "an augmented assignment",
}


_SIMPLE = (ast.Assign, ast.Expr, ast.AugAssign, ast.Return, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Assert)


def _statements(body: Sequence[ast.stmt]) -> Iterator[tuple[_Statement, bool]]:
    """Every statement in source order, and whether it stands inside a function or class."""
    stack: list[tuple[_Statement, bool]] = [(s, False) for s in reversed(body)]
    while stack:
        s, inside = stack.pop()
        yield s, inside
        if isinstance(s, _SIMPLE):
            continue
        deeper = inside or isinstance(s, (*_Function, ast.ClassDef))
        for block in ("finalbody", "orelse", "handlers", "cases", "body"):
            stack += [(c, deeper) for c in reversed(getattr(s, block, ()))]


def _heads(s: _Statement) -> Iterator[ast.AST]:
    """What of a statement is no statement itself."""
    for n in children(s):
        if not isinstance(n, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield n


def _namespace(node: ast.expr) -> bool:
    """Whether an expression is a module's or object's dictionary of names."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _NAMESPACES
    return isinstance(node, ast.Attribute) and node.attr in _DICTIONARIES
