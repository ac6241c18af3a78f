"""Every use of a function, class or module of the engine: calls, and what is not understood as one."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import field

from aiterfix.engines import bounds
from aiterfix.engines.package import (
    FUNCTIONS,
    SCOPED,
    FunctionNode,
    Package,
    Source,
    TooCommonError,
    parameters,
    text_of,
)
from aiterfix.storage.record import record

ASKS = re.compile(
    "callable|hasattr|isinstance|issubclass|id|type|repr|str|print|signature|find_spec|len|import_module"
).fullmatch
LOGS = re.compile("(?:debug|info|warning|error|warn)(?:_once)?|exception|critical").fullmatch
_DUNDERS = re.compile("__(?:name|module|doc|qualname|signature|file|class)__").fullmatch
_CLEAR = re.compile(
    "staticmethod|(?:abstract)?classmethod|(?:cached_)?property|abstractmethod|override|inference_mode|no_grad|disable"
    "|(?:lru_)?cache|eager_break_during_capture|record_function|torch_compile_guard"
).fullmatch
OWN_DECORATORS = re.compile("eager_break_during_capture|torch_compile_guard|record_function|disable").fullmatch
"""Of those, the engines' own."""
_CLEAR_ON_CLASSES = re.compile(r"(?:dataclasses\.)?dataclass|(?:CustomOp|PluggableLayer)\.register|final").fullmatch
"""Of vLLM's own two it is known that they make no object by themselves."""
_LOOKING = ("inspect", "importlib", "importlib.util", "builtins")
_RUN = re.compile("exec|eval|compile").fullmatch


@record(frozen=True)
class Target:
    """What is looked for: a definition or binding of the package; of a name from elsewhere, the name alone.

    Attributes:
        attribute: whether only attributes of that name are meant.
        module: whether it is a module, whose attributes are looked for by themselves.
    """

    name: str
    source: Source | None = field(default=None, repr=False)
    node: ast.AST | None = field(default=None, repr=False)
    attribute: bool = False
    module: bool = False


@record(frozen=True)
class Bound:
    """What ``functools.partial`` has bound."""

    before: tuple[ast.expr, ...] = ()
    keywords: tuple[ast.keyword, ...] = ()


@record(frozen=True)
class Site:
    """A call, with what was bound before."""

    source: Source = field(repr=False)
    call: ast.Call
    bound: Bound = Bound()


@record(frozen=True)
class Escape:
    """A mention that is not understood as a call."""

    source: Source = field(repr=False)
    node: ast.AST = field(repr=False)
    reason: str


Meant = Callable[[Target, Source, ast.AST], bool]


class Uses:
    """Finds the uses of one target.

    Args:
        package: where.
        target: of what.
        meant: whether a name or attribute may be of a target, and not of something else by that name.
        doubted: whether there is a condition already that says so, where modules are asked for names worked out.
    """

    def __init__(self, package: Package, target: Target, meant: Meant, *, doubted: bool = False) -> None:
        self.sites: list[Site] = []
        self.heirs: list[tuple[Source, ast.ClassDef]] = []
        self.escapes: list[Escape] = []
        self._package, self._meant, self._first = package, meant, target
        self._seen: set[object] = set()
        self._pending = [target]
        source = target.source
        if source is not None and target.node and source.up.get(target.node) is source.tree and not doubted:
            for file in package.handed(source)[:1]:
                self._lost(source, source.tree, f"is of a module that is handed on: {file}")
        while self._pending:
            one = self._pending.pop()
            if one in self._seen:
                continue
            self._seen.add(one)
            try:
                for found in package.sources(one.name):
                    for node in found.mentions(one.name):
                        self._mention(one, found, node)
            except TooCommonError:
                where = one.source or NOWHERE
                self._lost(where, one.node or where.tree, f"{one.name} is a name that too many files hold")

    def _lost(self, source: Source, node: ast.AST, reason: str) -> None:
        self.escapes.append(Escape(source, node, reason))

    def _mention(self, target: Target, source: Source, node: ast.AST) -> None:
        own = node is target.node
        if isinstance(node, ast.alias):
            inside = source.within(node, (*SCOPED, ast.ClassDef))
            if isinstance(inside, ast.ClassDef) and node.name == target.name and not node.asname:
                self._pending.append(Target(target.name, attribute=True, module=self._first.module))
            if node.name.rpartition(".")[2] == target.name and node.asname and node.asname != target.name:
                self._alias(source, node, node.asname)
        elif isinstance(node, ast.Constant):
            self._string(target, source, node, str(node.value))
        elif isinstance(node, (ast.Name, ast.Attribute)):
            if isinstance(node.ctx, ast.Load) and self._meant(target, source, node):
                self._climb(source, node, Bound())
        elif own and isinstance(node, ast.ClassDef):
            for one in node.decorator_list:
                if not _CLEAR_ON_CLASSES(called(one)):
                    self._lost(source, one, f"is decorated by {text_of(one)}")
        elif target.source is None and not target.attribute and isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            self._lost(source, node, f"the engine has a definition of its own by the name of {target.name}")

    def _alias(self, source: Source, node: ast.AST, name: str) -> None:
        """What is meant has another name from here on."""
        module = self._first.module
        function = source.within(node, SCOPED)
        if function is None:
            inside = source.within(node, ast.ClassDef) is not None
            if inside and isinstance(self._first.node, ast.ClassDef):
                self._lost(source, node, f"is kept as {name}")
                return
            here = node
            while not isinstance(here, ast.stmt):
                here = source.up[here]
            self._pending.append(Target(name, module=module) if inside else Target(name, source, here, module=module))
        elif any(isinstance(b.node, (ast.Global, ast.Nonlocal)) for b in source.bound(function, name)):
            self._pending.append(Target(name, module=module))
        else:
            self._local(source, function, name, Bound())

    def _local(self, source: Source, function: ast.AST, name: str, bound: Bound, text: str = "") -> None:
        """Every use of a name in a function; ``text`` where it is a string that names the target."""
        if (function, name, bound, text) in self._seen:
            return
        self._seen.add((function, name, bound, text))
        for node in source.seen(name):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and function in source.above(node):
                if text:
                    self._named(source, node, text)
                else:
                    self._climb(source, node, bound)

    def _climb(self, source: Source, node: ast.AST, bound: Bound) -> None:
        """What happens to an expression that is what is looked for."""
        above = source.up[node]
        if isinstance(above, ast.Call) and above.func is node:
            if len(self.sites) < bounds.SITES and not self._first.module:
                self.sites.append(Site(source, above, bound))
            else:
                self._lost(source, above, "there are too many calls" if not self._first.module else "is called")
        elif isinstance(above, (ast.Call, ast.keyword)):
            call = above if isinstance(above, ast.Call) else source.up[above]
            if isinstance(call, ast.Call):
                self._given(source, node, above, call, bound)
        elif isinstance(above, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and above.value is node:
            for target in above.targets if isinstance(above, ast.Assign) else [above.target]:
                self._kept(source, above, target, bound)
        elif isinstance(above, (ast.IfExp, ast.BoolOp)) and not (isinstance(above, ast.IfExp) and above.test is node):
            self._climb(source, above, bound)
        elif isinstance(above, ast.Return):
            function = source.within(above, SCOPED)
            if isinstance(function, FUNCTIONS) and ("returned", function) not in self._seen:
                self._seen.add(("returned", function))
                if re.fullmatch("__.*__", function.name):
                    self._lost(source, node, f"is what {function.name} gives")
                    return
                if any("property" in last(d) for d in function.decorator_list):
                    self._pending.append(Target(function.name, attribute=True))
                    return
                if not clear_decorators(function):
                    self._lost(source, node, f"is what {function.name} gives, which is decorated")
                for site in self._sites(Target(function.name, source, function)):
                    self._climb(site.source, site.call, bound)
        elif isinstance(above, ast.Attribute):
            if above.attr == "__init__" or (above.attr == "default" and isinstance(node, ast.Attribute)):
                self._climb(source, above, bound)  # a class's own, called with an object; of a registered operator
            elif above.attr in ("__dict__", "__getattribute__", "_make", "__new__", "__subclasses__") or not (
                self._first.module or _DUNDERS(above.attr) or (_is_class(node) and isinstance(above.ctx, ast.Load))
            ):
                how = "is asked for" if isinstance(above.ctx, ast.Load) else "is given"
                self._lost(source, node, f"{how} its {above.attr}")
        elif not self._harmless(source, node, above):
            self._lost(source, node, f"is used in {text_of(above)[: bounds.TEXT]}")

    def _sites(self, target: Target) -> list[Site]:
        """Calls of what leads to the target; what is lost there is lost."""
        found = Uses(self._package, target, self._meant)
        self.escapes += found.escapes
        return found.sites

    def _kept(self, source: Source, node: ast.AST, target: ast.expr, bound: Bound) -> None:
        partial = bound != Bound()
        if isinstance(target, ast.Attribute) and not partial and not isinstance(self._first.node, ast.ClassDef):
            if target.attr != "__class__":
                self._pending.append(Target(target.attr, attribute=True, module=self._first.module))
        elif isinstance(target, ast.Name) and not partial:
            self._alias(source, node, target.id)
        elif isinstance(target, ast.Name) and isinstance(function := source.within(node, SCOPED), FUNCTIONS):
            self._local(source, function, target.id, bound)
        elif isinstance(target, ast.Name) and len(source.bound(source.tree, target.id)) == 1:
            for site in self._sites(Target(target.id, source, node)):
                if site.bound == Bound():
                    self._climb(site.source, site.call.func, bound)
                else:
                    self._lost(site.source, site.call, "is bound twice")
        else:
            self._lost(source, node, f"is kept in {text_of(target)}")

    def _harmless(self, source: Source, node: ast.AST, above: ast.AST) -> bool:
        if isinstance(above, (ast.If, ast.While, ast.IfExp)):
            return above.test is node
        if isinstance(above, (*FUNCTIONS, ast.AnnAssign)):  # annotations
            return (above.annotation if isinstance(above, ast.AnnAssign) else above.returns) is node
        if isinstance(above, ast.ClassDef):
            self.heirs += [(source, above)] if node in above.bases else []
            return node in above.bases
        if isinstance(above, (ast.Subscript, ast.BinOp, ast.Tuple, ast.List)):  # list[Indexer], Indexer | None
            around = source.up[above]
            return isinstance(around, ast.Expr) or self._harmless(source, above, around)
        if isinstance(above, ast.Call):
            return self._asks(source, above)
        return isinstance(above, (ast.Expr, ast.Compare, ast.UnaryOp, ast.Assert, ast.arg, ast.ExceptHandler))

    def _asks(self, source: Source, call: ast.Call) -> bool:
        """Whether a call is one of Python's own that only looks at what it is given, and makes no class of it."""
        name, bound = last(call), []
        if isinstance(call.func, ast.Attribute):
            known = text_of(call.func.value) in _LOOKING
        else:
            bound = [b.node for b in source.bound(source.tree, name)]
            known = all(
                isinstance(n, ast.ImportFrom) and (n.module or "").partition(".")[0] in _LOOKING and not n.level
                for n in bound
            )
        return bool(ASKS(name)) and known and (name != "type" or len(call.args) == 1)

    def _given(self, source: Source, node: ast.AST, argument: ast.AST, call: ast.Call, bound: Bound) -> None:
        """It is an argument."""
        name, kept = last(call), argument.arg if isinstance(argument, ast.keyword) else None
        if name == "getattr" and self._first.module and call.args[:1] == [node] and len(call.args) > 1:
            if not _constant(source, call.args[1]):
                self._lost(source, call, f"is asked for a name worked out: {text_of(call.args[1])}")
        elif (
            self._asks(source, call)
            or (LOGS(name) and "log" in called(call))
            or (name == "direct_register_custom_op" and kept == "fake_impl")
        ):
            return
        elif called(call) in ("partial", "functools.partial") and call.args[:1] == [node] and plain(call):
            self._climb(source, call, Bound((*bound.before, *call.args[1:]), (*bound.keywords, *call.keywords)))
        elif name == "direct_register_custom_op" and kept in (None, "op_func"):
            names = [k.value for k in call.keywords if k.arg == "op_name"] or call.args[:1]
            if names and isinstance(names[0], ast.Constant) and isinstance(names[0].value, str):
                self._pending.append(Target(names[0].value, attribute=True))
                for place in self._package.operators:
                    self._lost(source, node, f"may be asked for by name: {place}")
            else:
                self._lost(source, node, "is registered under a name that is not stated")
        else:
            entered = _entered(source, call, argument if kept else node) if bound == Bound() else None
            if entered is not None:
                self._local(source, *entered, bound)
            else:
                self._lost(source, node, f"is given to {called(call)}")

    def _string(self, target: Target, source: Source, node: ast.Constant, whole: str) -> None:
        if isinstance(source.up[node], ast.Expr):
            return
        if any(isinstance(n, ast.Call) and _RUN(called(n)) for n in source.above(node)):
            self._lost(source, node, "stands in text that is run")
            return
        if re.search(r"\bimport\b", whole) and self._package.runs_text:
            self._lost(source, node, "stands in text that may be run")
            return
        last_part = whole.removesuffix(".py")
        inside = last_part == target.name or last_part.endswith(tuple(f"{c}{target.name}" for c in ".:/"))
        # What a path names within a class may be replaced by whoever follows it.
        inside |= isinstance(target.node, ast.ClassDef) and bool(
            re.fullmatch(rf"(?:\w+[.:])*{re.escape(target.name)}\.[\w.]+", whole)
        )
        if not inside and (target.source is not None or " " in whole or "/" in whole):
            return  # prose
        self._named(source, node, whole)

    def _named(self, source: Source, node: ast.AST, text: str) -> None:
        """A string that names it is used."""
        above = source.up[node]
        if isinstance(above, ast.Call) and last(above) == "getattr" and above.args[1:2] == [node]:
            if "." not in text and not self._first.module:
                self._climb(source, above, Bound())
        elif (
            isinstance(above, ast.Call) and last(above) in ("import_module", "__import__") and above.args[:1] == [node]
        ):
            if self._first.module:
                self._climb(source, above, Bound())
        elif isinstance(above, ast.Assign) and len(above.targets) == 1 and isinstance(above.targets[0], ast.Name):
            function = source.within(node, FUNCTIONS)
            if function is None:
                name = above.targets[0].id
                if name != "__all__":
                    self._lost(source, node, f"is named by {name}")
            else:
                self._local(source, function, above.targets[0].id, Bound(), text)
        elif not self._said(source, node):
            self._lost(source, node, "is named by a string")

    def _said(self, source: Source, node: ast.AST) -> bool:
        """Whether a string is for people, or names another thing."""
        text = str(node.value) if isinstance(node, ast.Constant) else ""
        for here in source.above(node):
            if isinstance(here, (ast.Raise, ast.Assert, ast.Compare)):
                return True
            if isinstance(here, ast.Call):
                name = last(here)
                known = name in ("direct_register_custom_op", "register") or name.endswith(("Error", "Exception"))
                return known or bool(LOGS(name) or ASKS(name))
            if isinstance(here, (ast.Assign, ast.AugAssign)):
                return "__all__" in text_of(here)[:9] or "::" in text
            if isinstance(here, ast.stmt):
                return "::" in text
        return False


def clear_decorators(node: FunctionNode) -> bool:
    """Whether decorators leave a function's arguments as they are."""
    return all(_CLEAR(last(d)) for d in node.decorator_list)


def called(node: ast.expr) -> str:
    """What is called, dotted."""
    inner = node.func if isinstance(node, ast.Call) else node
    return text_of(inner) if isinstance(inner, (ast.Name, ast.Attribute)) else ""


def last(node: ast.expr) -> str:
    """The last part of what is called."""
    inner = node.func if isinstance(node, ast.Call) else node
    return inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""


def plain(call: ast.Call) -> bool:
    """Whether every argument is stated: no ``*`` and ``**``."""
    return not any(isinstance(a, ast.Starred) for a in call.args) and all(k.arg for k in call.keywords)


def _entered(source: Source, call: ast.Call, argument: ast.AST) -> tuple[FunctionNode, str] | None:
    """The function of the module that takes an argument, and by which name."""
    scoped = source.bound(source.tree, call.func.id) if isinstance(call.func, ast.Name) else []
    found = scoped[0].node if len(scoped) == 1 else None
    if not isinstance(found, FUNCTIONS) or found.args.vararg or found.decorator_list or not plain(call):
        return None
    names = parameters(found)
    index = call.args.index(argument) if argument in call.args else len(names)
    name = argument.arg if isinstance(argument, ast.keyword) else names[index] if index < len(names) else None
    return (found, name) if name in names else None


def _constant(source: Source, node: ast.expr) -> bool:
    """Whether a string is stated, by itself or by every assignment of a local name, and as it stands: a search for the
    name finds it."""
    values: list[ast.expr | None] = [node]
    if isinstance(node, ast.Name):
        scope = source.within(node, SCOPED) or source.tree
        bindings = source.bound(scope, node.id)
        if not bindings or (isinstance(scope, FUNCTIONS) and node.id in parameters(scope)):
            return False
        values = [b.value if b.item is None else None for b in bindings]
    return all(
        isinstance(v, ast.Constant) and (v.end_col_offset or 0) - v.col_offset == len(str(v.value)) + 2 for v in values
    )


def _is_class(node: ast.AST) -> bool:
    name = last(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""
    return name.lstrip("_")[:1].isupper() or name == "cls"


NOWHERE = Source("", "", b"")
