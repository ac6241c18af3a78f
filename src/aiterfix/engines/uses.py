"""Every use of a function, wherever the engine mentions it: calls, and what is not understood as one."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from aiterfix.engines.package import SCOPES, FunctionNode, Package, Source, TooCommonError, parameters, text_of

_MOST_SITES = 64
_ASKS = frozenset(
    [
        "callable",
        "hasattr",
        "isinstance",
        "issubclass",
        "id",
        "type",
        "repr",
        "str",
        "print",
        "signature",
        "find_spec",
        "len",
    ]
)
_LOGS = frozenset(
    ["debug", "info", "warning", "error", "exception", "critical", "warn", "info_once", "warning_once", "error_once"]
)
_DUNDERS = frozenset(["__name__", "__module__", "__doc__", "__qualname__", "__signature__", "__file__"])
_REGISTERS = frozenset(("direct_register_custom_op",))
_PARTIAL = frozenset(("partial", "functools.partial"))
_CLEAR_DECORATORS = frozenset(
    [
        "staticmethod",
        "classmethod",
        "property",
        "abstractmethod",
        "override",
        "inference_mode",
        "no_grad",
        "disable",
        "cache",
        "lru_cache",
        "eager_break_during_capture",
        "record_function",
        "torch_compile_guard",
    ]
)
_CLASS_DECORATORS = frozenset(
    ["dataclass", "dataclasses.dataclass", "CustomOp.register", "PluggableLayer.register", "final"]
)
"""Of vLLM's own two it is known that they make no object by themselves."""
SCOPED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Target:
    """A function or class of the engine whose uses are wanted; of a name from elsewhere, the name alone."""

    name: str
    source: Source | None = field(default=None, repr=False)
    node: ast.AST | None = field(default=None, repr=False)
    attribute: bool = False

    @property
    def method_of(self) -> ast.ClassDef | None:
        """The class that it is a method of."""
        above = self.source.up.get(self.node) if self.source is not None and self.node is not None else None
        return above if isinstance(above, ast.ClassDef) else None


@dataclass(frozen=True)
class Site:
    """A call, with what ``functools.partial`` has bound before."""

    source: Source = field(repr=False)
    call: ast.Call
    before: tuple[ast.expr, ...] = ()
    keywords: tuple[ast.keyword, ...] = ()
    through_class: bool = False


@dataclass(frozen=True)
class Escape:
    """A mention that is not understood as a call."""

    source: Source = field(repr=False)
    node: ast.AST = field(repr=False)
    reason: str


class Uses:
    """Finds the uses of one function."""

    def __init__(self, package: Package, target: Target) -> None:
        """Search the package."""
        self.sites: list[Site] = []
        self.escapes: list[Escape] = []
        self._package = package
        self._seen: set[object] = set()
        self._pending: list[Target] = [target]
        if target.source is not None and target.node in target.source.tree.body:
            self._asked_by_name(target.source)
        while self._pending:
            one = self._pending.pop()
            if one in self._seen:
                continue
            self._seen.add(one)
            try:
                for source in package.sources(one.name):
                    for node in source.named.get(one.name, ()):
                        if self._meant(one, source, node):
                            self._mention(one, source, node)
            except TooCommonError:
                where = one.source or NOWHERE
                self._lost(where, one.node or where.tree, f"{one.name} is a name that too many files hold")

    def _asked_by_name(self, source: Source) -> None:
        """A module that is asked for names worked out may be asked for this one."""
        module = source.dotted.rpartition(".")[2]
        worked_out = rb"\s*,\s*(?:[^\"'\s]|[\"'][^\"']*[\"']\s*[+%.])"
        pattern = re.compile(rb"getattr\(\s*[\w.]*\b" + re.escape(module.encode()) + worked_out)
        for path, match, line in self._package.lines("getattr", pattern):
            place = f"{self._package.shown(path)}:{line}: {match[0].decode()}"
            self._lost(source, source.tree, f"may be what its module is asked for by name: {place}")

    def _lost(self, source: Source, node: ast.AST, reason: str) -> None:
        self.escapes.append(Escape(source, node, reason))

    def _meant(self, target: Target, source: Source, node: ast.AST) -> bool:
        """Whether a mention may be of the target, and not of something else by that name."""
        if target.attribute and not isinstance(node, ast.Constant):
            return isinstance(node, ast.Attribute)
        if target.source is None or node is target.node or isinstance(node, (ast.alias, ast.Constant)):
            return True
        if isinstance(node, ast.Attribute):
            base = node.value
            if target.method_of is not None:
                return True
            if isinstance(base, ast.Name) and base.id in ("self", "cls"):
                return False  # `self.name = function` is followed as a name of its own
            origin = self._module_of(source, base)
            if origin is None:
                return True
            return self._leads_to(f"{origin}.{target.name}", target)
        if not isinstance(node, ast.Name):
            return False
        if target.method_of is not None:
            return source is target.source and isinstance(source.up.get(node), (ast.ClassDef, ast.Assign, ast.Call))
        scope = source.within(node, SCOPED)
        while scope is not None:
            if isinstance(scope, SCOPED[:2]):
                imports = [b.node for b in source.bound(scope).get(target.name, ())]
                if target.node in imports:
                    return True
                if any(isinstance(n, (ast.Global, ast.Nonlocal)) for n in imports):
                    return True
                for one in imports:
                    if isinstance(one, (ast.Import, ast.ImportFrom)):
                        return self._leads_to(source.imported(target.name, one), target)
                if imports or target.name in parameters(scope):
                    return False
            scope = source.within(scope, SCOPED)
        bindings = [b.node for b in source.bound(source.tree).get(target.name, ())]
        if source is target.source:
            return True
        for one in bindings:
            if isinstance(one, (ast.Import, ast.ImportFrom)):
                if self._leads_to(source.imported(target.name, one), target):
                    return True
            elif target.node is not one:
                continue
        return bool(source.stars) and not bindings

    def _module_of(self, source: Source, base: ast.expr) -> str | None:
        """The dotted name of a module that a name stands for, where an import says so."""
        root: ast.expr = base
        rest = ""
        while isinstance(root, ast.Attribute):
            rest = f".{root.attr}{rest}"
            root = root.value
        if not isinstance(root, ast.Name):
            return None
        scopes = [source.tree, *(s for s in source.above(base) if isinstance(s, SCOPED[:2]))]
        found = [b.node for s in scopes for b in source.bound(s).get(root.id, ())]
        if len(found) != 1 or not isinstance(found[0], (ast.Import, ast.ImportFrom)):
            return None
        return source.imported(root.id, found[0]) + rest

    def _leads_to(self, dotted: str, target: Target) -> bool:
        """Whether a dotted name may be the target; what leads out of the package is not."""
        assert target.source is not None
        top = target.source.dotted.partition(".")[0]
        if dotted.partition(".")[0] != top:
            return False
        found = [node for _, node in self._package.chain(dotted)]
        if not found or target.node is None or target.node in found:
            return True
        return not isinstance(found[-1], (*SCOPES[:2], ast.ClassDef))

    def _mention(self, target: Target, source: Source, node: ast.AST) -> None:
        if isinstance(node, ast.alias):
            if node.asname and node.asname != target.name and node.name.rpartition(".")[2] == target.name:
                self._alias(source, node, node.asname)
        elif isinstance(node, ast.Constant):
            self._string(target, source, node)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            if isinstance(node.ctx, ast.Load):
                self._climb(source, node)
        elif node is target.node and isinstance(node, ast.ClassDef):
            for one in node.decorator_list:
                if _called(one) not in _CLASS_DECORATORS:
                    self._lost(source, one, f"is decorated by {text_of(one)}")
        elif target.source is None and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self._lost(source, node, f"the engine has a definition of its own by the name of {target.name}")

    def _alias(self, source: Source, node: ast.AST, name: str) -> None:
        """What has the function is called otherwise from here on."""
        function = source.within(node, SCOPED)
        if function is None:
            around = source.within(node, ast.ClassDef)
            self._pending.append(Target(name) if around is not None else Target(name, source, _statement(source, node)))
        elif any(isinstance(b.node, (ast.Global, ast.Nonlocal)) for b in source.bound(function).get(name, ())):
            self._pending.append(Target(name))
        else:
            self._local(source, function, name)

    def _local(self, source: Source, function: ast.AST, name: str) -> None:
        if (function, name) in self._seen:
            return
        self._seen.add((function, name))
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
                self._climb(source, node)

    def _climb(
        self,
        source: Source,
        node: ast.AST,
        before: tuple[ast.expr, ...] = (),
        keywords: tuple[ast.keyword, ...] = (),
    ) -> None:
        """What happens to an expression that is the function."""
        above = source.up[node]
        if isinstance(above, ast.Call) and above.func is node:
            through = isinstance(node, ast.Attribute) and _is_class(node.value)
            if len(self.sites) < _MOST_SITES:
                self.sites.append(Site(source, above, before, keywords, through))
            else:
                self._lost(source, above, "there are too many calls")
        elif isinstance(above, (ast.Call, ast.keyword)):
            call = above if isinstance(above, ast.Call) else source.up[above]
            assert isinstance(call, (ast.Call, ast.ClassDef))
            if isinstance(call, ast.Call):
                self._given(source, node, above, call, before, keywords)
        elif isinstance(above, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and above.value is node:
            targets = above.targets if isinstance(above, ast.Assign) else [above.target]
            for target in targets:
                if before or keywords:
                    self._named_partial(source, above, target, before, keywords)
                elif isinstance(target, ast.Name):
                    self._alias(source, above, target.id)
                elif isinstance(target, ast.Attribute) and target.attr != "__class__":
                    self._pending.append(Target(target.attr, attribute=True))
                elif not isinstance(target, ast.Attribute):
                    self._lost(source, node, f"is kept in {text_of(target)}")
        elif isinstance(above, (ast.IfExp, ast.BoolOp)) and not (isinstance(above, ast.IfExp) and above.test is node):
            self._climb(source, above, before, keywords)
        elif isinstance(above, ast.Return):
            function = source.within(above, SCOPED)
            assert isinstance(function, SCOPED[:2])
            found = Uses(self._package, Target(function.name, source, function)) if self._once(function) else None
            for site in found.sites if found is not None else ():
                self._climb(site.source, site.call, before, keywords)
            self.escapes += found.escapes if found is not None else ()
        elif isinstance(above, ast.Attribute):
            if above.attr == "default" and isinstance(node, ast.Attribute):
                self._climb(source, above, before, keywords)  # of a registered operator
            elif above.attr not in _DUNDERS and not _is_class(node):
                self._lost(source, node, f"is asked for its {above.attr}")
        elif not self._harmless(source, node, above):
            self._lost(source, node, f"is used in {text_of(above)[:60]}")

    def _once(self, key: object) -> bool:
        fresh = ("returned", key) not in self._seen
        self._seen.add(("returned", key))
        return fresh

    def _harmless(self, source: Source, node: ast.AST, above: ast.AST) -> bool:
        if isinstance(above, (ast.Expr, ast.Compare, ast.UnaryOp, ast.Assert)):
            return True
        if isinstance(above, (ast.If, ast.While, ast.IfExp)):
            return above.test is node
        if isinstance(above, (ast.arg, ast.ClassDef)):  # annotations, bases
            return not isinstance(above, ast.ClassDef) or node in above.bases
        if isinstance(above, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return above.returns is node
        if isinstance(above, ast.AnnAssign):
            return above.annotation is node
        if isinstance(above, (ast.Subscript, ast.BinOp, ast.Tuple, ast.List)):  # list[Indexer], Indexer | None
            return (
                self._harmless(source, above, source.up[above]) if not isinstance(source.up[above], ast.Expr) else True
            )
        if isinstance(above, ast.Call):
            return _called(above).rpartition(".")[2] in _ASKS
        return isinstance(above, ast.ExceptHandler)

    def _named_partial(
        self,
        source: Source,
        node: ast.AST,
        target: ast.expr,
        before: tuple[ast.expr, ...],
        keywords: tuple[ast.keyword, ...],
    ) -> None:
        """A name for a function of which some arguments are bound: what calls it there, and nothing else."""
        if not isinstance(target, ast.Name):
            self._lost(source, node, f"is kept in {text_of(target)}")
            return
        function = source.within(node, SCOPED)
        scope = function or source.tree
        if len(source.bound(scope).get(target.id, ())) != 1:
            self._lost(source, node, f"{target.id} has several meanings")
            return
        if function is None:
            found = Uses(self._package, Target(target.id, source, node))
            uses = [(s.source, s.call.func) for s in found.sites if not (s.before or s.keywords)]
            self.escapes += found.escapes
        else:
            names = (n for n in ast.walk(scope) if isinstance(n, ast.Name) and n.id == target.id)
            uses = [(source, n) for n in names if isinstance(n.ctx, ast.Load)]
        for where, use in uses:
            self._climb(where, use, before, keywords)

    def _given(
        self,
        source: Source,
        node: ast.AST,
        argument: ast.AST,
        call: ast.Call,
        before: tuple[ast.expr, ...],
        keywords: tuple[ast.keyword, ...],
    ) -> None:
        """The function is an argument."""
        called = _called(call)
        last = called.rpartition(".")[2]
        if last in _ASKS or (last in _LOGS and "log" in called):
            return
        if called in _PARTIAL and call.args and call.args[0] is node:
            starred = any(isinstance(a, ast.Starred) for a in call.args)
            if not starred and all(k.arg for k in call.keywords):
                self._climb(source, call, (*before, *call.args[1:]), (*keywords, *call.keywords))
                return
        if last in _REGISTERS:
            names = [k.value for k in call.keywords if k.arg == "op_name"] or call.args[:1]
            name = names[0].value if names and isinstance(names[0], ast.Constant) else None
            kept = argument.arg if isinstance(argument, ast.keyword) else None
            if isinstance(name, str) and kept in (None, "op_func"):
                self._pending.append(Target(name, attribute=True))
                return
            if kept == "fake_impl":
                return
        found = None
        if isinstance(call.func, ast.Name) and not (before or keywords):
            scoped = source.bound(source.tree).get(call.func.id, [])
            if len(scoped) == 1 and isinstance(scoped[0].node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found = scoped[0].node
        if found is not None and not found.args.vararg and not found.decorator_list:
            name = argument.arg if isinstance(argument, ast.keyword) else None
            if name is None and node in call.args and not any(isinstance(a, ast.Starred) for a in call.args):
                index = call.args.index(node)
                name = parameters(found)[index] if index < len(parameters(found)) else None
            if name in parameters(found):
                self._local(source, found, str(name))
                return
        self._lost(source, node, f"is given to {called}")

    def _string(self, target: Target, source: Source, node: ast.Constant) -> None:
        above = source.up[node]
        whole = str(node.value)
        if isinstance(above, ast.Expr):
            return
        if isinstance(above, ast.Call) and _called(above) == "getattr" and above.args[1:2] == [node]:
            if whole == target.name:
                self._climb(source, above)
            return
        around = (n for n in source.above(node) if isinstance(n, ast.Call))
        if any(_called(n) in ("exec", "eval", "compile") for n in around):
            self._lost(source, node, "stands in text that is run")
            return
        for here in source.above(node):
            if isinstance(here, (ast.Raise, ast.Assert, ast.Compare)):
                return
            if isinstance(here, ast.Call):
                last = _called(here).rpartition(".")[2]
                if last in _LOGS or last in _ASKS or last.endswith(("Error", "Exception")) or last in _REGISTERS:
                    return
                break
            if isinstance(here, ast.stmt):
                break
        if isinstance(above, (ast.List, ast.Tuple, ast.Set)) and (
            "::" in whole
            or (
                isinstance(source.up[above], (ast.Assign, ast.AugAssign)) and "__all__" in text_of(source.up[above])[:9]
            )
        ):
            return
        if (
            target.source is not None
            and whole != target.name
            and not whole.endswith((f".{target.name}", f":{target.name}"))
        ):
            return  # prose
        if isinstance(above, ast.Assign) and len(above.targets) == 1 and isinstance(above.targets[0], ast.Name):
            function = source.within(node, SCOPED)
            name = above.targets[0].id
            uses = [n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name] if function else []
            loads = [n for n in uses if isinstance(n.ctx, ast.Load)]
            if function is not None and whole == target.name:
                for load in loads:
                    call = source.up[load]
                    if isinstance(call, ast.Call) and _called(call) == "getattr" and call.args[1:2] == [load]:
                        self._climb(source, call)
                    elif not (isinstance(call, ast.Call) and _called(call).rpartition(".")[2] in _LOGS):
                        self._lost(source, load, f"is named by {name}")
                return
        self._lost(source, node, "is named by a string")


def clear_decorators(node: FunctionNode) -> bool:
    """Whether decorators leave a function's arguments as they are."""
    return all(_called(d).rpartition(".")[2] in _CLEAR_DECORATORS for d in node.decorator_list)


def _called(node: ast.expr) -> str:
    """What is called, dotted."""
    inner = node.func if isinstance(node, ast.Call) else node
    return text_of(inner) if isinstance(inner, (ast.Name, ast.Attribute)) else ""


def called(call: ast.Call) -> str:
    """The dotted name that a call names."""
    return _called(call)


def _is_class(node: ast.AST) -> bool:
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last[:1].isupper() or last.lstrip("_")[:1].isupper() or last == "cls"


def _statement(source: Source, node: ast.AST) -> ast.AST:
    here = node
    while not isinstance(here, ast.stmt):
        here = source.up[here]
    return here


NOWHERE = Source("", "", False, ast.Module([], []))
