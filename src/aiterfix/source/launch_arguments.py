"""Whether a launch hands a kernel the parameters that it has: no more, no fewer, none by another name."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiterfix.source.entries import axes_before, is_size
from aiterfix.source.names import bound_names, function_parameters, kept_parameters
from aiterfix.source.roles import KernelRoles, PagingRoles
from aiterfix.source.syntax import arguments, dictionary, last_name, named_arguments, root_name, string_keys
from aiterfix.source.tree import children, descend
from aiterfix.source.uses import Use, imports, launching, mentions, own_nodes, uses

OPTIONS = frozenset(
    {"num_warps", "num_stages", "num_ctas", "waves_per_eu", "matrix_instr_nonkdim", "kpack", "grid", "warmup"}
)
"""What Triton takes beside a kernel's own parameters."""


@dataclass(frozen=True)
class Arguments:
    """What one launch hands on.

    Attributes:
        kernel: the kernel's name.
        entry: the function that launches it.
        line: 1-based.
        positional: how many arguments have no name; None where that is not known.
        compiled: whether a kernel is launched that was compiled before: it takes all of its parameters by place.
        spelled: what the arguments by place are, in the text.
        by_name: the same of the others, by parameter.
        holding: by what entries call one of their parameters, those of the function that may hold what it was handed.
        kept: its parameters that hold what a caller handed an entry.
        whole: those of them that no statement in sight gives other axes or strides.
        same: those of these to whose elements none writes.
        axes: names that hold the length of an axis of a tensor, and of which, see `axes_before`.
        constants: what a kernel that was compiled before was compiled for, in the text, by parameter; without those of
            which that is not seen.
        sizes: what is known to be the size of a block, of these or of what it is handed by name.
    """

    kernel: str
    entry: str
    line: int
    positional: int | None
    compiled: bool = False
    spelled: tuple[str, ...] = ()
    by_name: tuple[tuple[str, str], ...] = ()
    holding: tuple[tuple[str, frozenset[str]], ...] = ()
    kept: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    axes: tuple[tuple[str, str], ...] = ()
    constants: tuple[tuple[str, str], ...] = ()
    sizes: tuple[str, ...] = ()

    def hands_rows(self, parameters: ast.arguments, roles: KernelRoles, width: str) -> bool:
        """Whether a kernel is given the output that the entry was handed, its strides, and the width of its rows, which
        the entry calls so."""
        if self.positional is None or roles.bound not in _places(parameters):
            return False
        output = self._given(parameters, roles.output)
        own = [p for p in _places(parameters) if p in roles.strides]  # as the axes are, whatever they are called
        axes = [(p, {axis} if len(own) > 1 else {0, -2}) for axis, p in enumerate(own)]
        strides = {p: _strides(output, *found) for p, found in axes}
        return self._hands(parameters, {roles.bound: self._held(width), roles.output: set(self.whole), **strides})

    def hands_operands(
        self, parameters: ast.arguments, roles: PagingRoles, names: Mapping[str, str], *, summed: bool
    ) -> bool:
        """Whether a kernel is given the queries, weights, lengths and block table that the entry was handed, which it
        calls by these names; their strides; and how long the axes are that they share. One that sums over heads must
        have all of them in its tile."""
        if self.positional is None:
            return False
        queries, weights, table = (self._given(parameters, n) for n in (roles.queries, roles.weights, roles.table))
        tensors = {p: self._held(name) & {*self.same} for p, name in names.items()}
        strides = {p: _strides(queries, axis) for axis, p in enumerate(roles.query_strides)}
        strides[roles.weight_stride] = _strides(weights, 0)
        lengths = {p: self._length(queries, i) for i, p in enumerate((roles.sequences, roles.next_n, roles.heads))}
        lengths |= {roles.key_elements: self._length(queries, 3), **{p: self._length(table, 1) for p in roles.widths}}
        lengths |= {roles.head_tile: self._length(queries, 2)} if summed else {}
        return self._hands(parameters, {**tensors, **strides, **lengths})

    def _length(self, tensor: str | None, axis: int) -> set[str]:
        """What is the length of an axis of a tensor."""
        text = f"{tensor}.shape[{axis}]"
        return {text, f"{tensor}.size({axis})", *(name for name, held in self.axes if held == text)}

    def _held(self, name: str) -> set[str]:
        return set(dict(self.holding).get(name, ()))

    def _hands(self, parameters: ast.arguments, wanted: Mapping[str, Collection[str]]) -> bool:
        """Whether parameters are given one of some texts each. Triton refuses a launch that leaves one out."""
        return all(self._given(parameters, name) in (None, *texts) for name, texts in wanted.items())

    def hands_size(self, parameters: ast.arguments, name: str) -> bool:
        """Whether a kernel that is told the size of a block is told that of the cache that the entry was handed. Of one
        that is launched as it stands, also what the entry was itself told by that name."""
        if name not in _places(parameters):
            return True
        given = self._given(parameters, name)
        return given in self.sizes or (not self.compiled and given == name and name in self.kept)

    def _given(self, parameters: ast.arguments, name: str) -> str | None:
        """What a parameter is given; None where that is nothing, empty where it is not seen."""
        places = _places(parameters)
        at = places.index(name) if name in places else -1
        if self.positional is None:
            return ""
        if self.compiled and name in _constants(parameters):
            return dict(self.constants).get(name, "")
        if 0 <= at < self.positional:
            return self.spelled[at]
        return dict(self.by_name).get(name)

    def mismatch(self, parameters: ast.arguments) -> str | None:
        """How they differ from a kernel's parameters; empty where they do not, None where that is not known."""
        positional = [*parameters.posonlyargs, *parameters.args]
        if self.positional is None or parameters.vararg or parameters.kwarg or parameters.kwonlyargs:
            return None
        names = [name for name, _ in self.by_name]
        given = f"{self.positional} by place" + (f", {', '.join(names)} by name" if names else "")
        takes = f"it takes {len(positional)}"
        if self.compiled and (self.positional != len(positional) or names):
            return f"{given}: {takes}, all by place"
        if self.positional > len(positional):
            return f"{given}: {takes}"
        left = {p.arg for p in positional[self.positional :]}
        others = sorted(set(names) - left - OPTIONS)
        required = {p.arg for p in positional[: len(positional) - len(parameters.defaults)]}
        missing = sorted((required & left) - set(names))
        if others or missing:
            return f"{given}: {takes}, and " + "; ".join(
                f"{what} {', '.join(which)}" for what, which in (("not", others), ("also", missing)) if which
            )
        places = {p.arg: i for i, p in enumerate(positional)}
        for i, (name, p) in enumerate(zip(self.spelled, positional, strict=False)):
            # What a kernel was compiled with is not looked at again.
            if places.get(name, i) != i and not (self.compiled and p.arg in _constants(parameters)):
                return f"{given}: {name} in the place of {p.arg}"
        return ""


def _strides(tensor: str | None, *axes: int) -> set[str]:
    return {f"{tensor}.stride{text}" for axis in axes for text in (f"({axis})", f"()[{axis}]")}


def _constants(parameters: ast.arguments) -> set[str]:
    """The parameters that a kernel is compiled for."""
    named = (*parameters.posonlyargs, *parameters.args)
    return {p.arg for p in named if p.annotation is not None and last_name(p.annotation) == "constexpr"}


def _places(parameters: ast.arguments) -> list[str]:
    return [p.arg for p in (*parameters.posonlyargs, *parameters.args)]


def parameters_of(text: bytes, name: str) -> ast.arguments | None:
    """The parameters of a function of a text, without parsing the text; None where that is not plain."""
    found = list(re.finditer(rb"^def[ \t]+" + name.encode() + rb"[ \t]*\(", text, re.MULTILINE))
    if len(found) != 1:
        return None
    start, depth, at = found[0].start(), 0, found[0].end() - 1
    while at < len(text):
        byte = text[at : at + 1]
        if byte == b"#":
            at = text.find(b"\n", at)
        depth += (byte in b"([{") - (byte in b")]}") if byte else 0
        if not depth or at < 0:
            break
        at += 1
    try:
        function = ast.parse(text[start : at + 1] + b": pass").body[0]
    except (SyntaxError, ValueError, IndexError):
        return None
    return function.args if isinstance(function, ast.FunctionDef) else None


def handed_on(
    tree: ast.Module,
    kernels: Collection[str],
    entries: Collection[str],
    asked: Collection[str],
    caches: Collection[str],
    size: str,
) -> tuple[Arguments, ...]:
    """What every use of some kernels hands on: launches, by themselves or of what a private function of the module
    compiled; what is handed on is not known of other uses, as what they are for is not followed.

    Args:
        tree: a module.
        kernels: names to look for.
        entries: names of the public functions that launch them.
        asked: what entries call those of their parameters that are asked about.
        caches: what they call the cache.
        size: the parameter that tells a kernel the size of a block.
    """
    found: list[Arguments] = []
    everywhere = list(uses(tree, kernels))
    functions = [s for s in tree.body if isinstance(s, ast.FunctionDef)]
    by_name = {f.name: f for f in functions}
    compiled = {f.name: names for f in functions if (names := _compiled(f, everywhere))}
    reader = _Reader(tree, entries, asked, caches, size)
    for u in everywhere:
        if u.function is not None and u.call is not None:
            found += [] if _left_out(u.function, u.call) else [reader.arguments(u.kernel, u.function, u.call)]
        elif not (u.function is not None and u.function.name in compiled) and not _exported(u.node, u.statement):
            found.append(Arguments(u.kernel, u.function.name if u.function is not None else "", u.node.lineno, None))
    for s in tree.body:
        for node, function in mentions(s, {name: name for name in compiled}, anyhow=True):
            made, launches = _launches(s, node)
            for kernel in sorted(compiled[function]):
                if isinstance(s, ast.FunctionDef) and made is not None:
                    told = _told(by_name[function])
                    found += (reader.arguments(kernel, s, call, (made, by_name[function], told)) for call in launches)
                else:
                    entry = s.name if isinstance(s, ast.FunctionDef) else ""
                    found.append(Arguments(kernel, entry, node.lineno, None))
    used = {u.node.id for u in everywhere if isinstance(u.node, ast.Name)}
    # A module that gives a kernel another name and does not use it gives it to others.
    found += (
        Arguments(a.name, "", line, None)
        for line, a in imports(tree)
        if a.name in kernels and a.asname and a.asname not in used | {a.name}
    )
    return tuple(sorted(found, key=lambda a: (a.line, a.kernel)))


def _exported(node: ast.expr, statement: ast.stmt) -> bool:
    """Whether it is text in ``__all__``."""
    named = isinstance(statement, ast.Assign) and [ast.unparse(t) for t in statement.targets] == ["__all__"]
    return named and isinstance(node, ast.Constant)


# ---- what is compiled first -----------------------------------------------------------------------

_KEEPERS = frozenset({"cache", "lru_cache"})
"""Decorators that keep what a function returns."""
_COMPILERS = frozenset({"triton.compile", "ASTSource", "GluonASTSource"})


def _compiled(function: ast.FunctionDef, everywhere: Collection[Use]) -> frozenset[str]:
    """The kernels that a private function compiles, chooses one of and returns; none where it may do anything else with
    one."""
    mine = {id(u.node): u for u in everywhere if u.statement is function}
    keepers = (d.func if isinstance(d, ast.Call) else d for d in function.decorator_list)
    if not mine or not function.name.startswith("_") or not all(last_name(d) in _KEEPERS for d in keepers):
        return frozenset()
    parents = {id(inner): n for n in descend(function) for inner in children(n)}
    held: set[str] = set()
    names = [n for n in descend(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    waiting: list[ast.AST] = [u.node for u in mine.values()]
    done: set[int] = set()
    while waiting:
        node = waiting.pop()
        done.add(id(node))
        text, at, above = isinstance(node, ast.Constant), node, parents[id(node)]
        while (isinstance(above, ast.IfExp) and at is not above.test) or (
            not text and (_compiles(above, at) or (isinstance(above, ast.keyword) and above.arg in ("fn", "src")))
        ):
            at, above = above, parents[id(above)]
        if isinstance(above, ast.Assign) and not text:
            if len(above.targets) != 1 or not isinstance(above.targets[0], ast.Name):
                return frozenset()
            held.add(above.targets[0].id)
            waiting += (n for n in names if n.id in held and id(n) not in done)
        elif not (
            isinstance(above, ast.Dict) if text else isinstance(above, ast.Return) or _is_name_of(above, parents)
        ):
            return frozenset()
    return frozenset(u.kernel for u in mine.values())


def _compiles(call: ast.AST, e: ast.AST) -> bool:
    """Whether a call compiles an expression, or prepares that."""
    return isinstance(call, ast.Call) and ast.unparse(call.func) in _COMPILERS and e in (*call.args[:1], *call.keywords)


def _is_name_of(e: ast.AST, parents: Mapping[int, ast.AST]) -> bool:
    """Whether that asks a kernel for its name: ``.fn`` of ``kernel.fn.__name__``."""
    above = parents[id(e)]
    return (
        isinstance(e, ast.Attribute)
        and e.attr == "fn"
        and isinstance(above, ast.Attribute)
        and above.attr == "__name__"
    )


def _launches(statement: ast.stmt, function: ast.expr) -> tuple[ast.Call | None, list[ast.Call]]:
    """A call of a function that compiles, whose result a statement of the module keeps by a name, and all launches of
    that; None where something else may be done with it."""
    made = [
        (n.targets[0].id, n.value)
        for n in own_nodes(statement)
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Call) and n.value.func is function
        if len(n.targets) == 1 and isinstance(n.targets[0], ast.Name)
    ]
    if not made or not isinstance(statement, ast.FunctionDef):
        return None, []
    ((name, call),) = made
    found = {id(e): c for e, c in launching(statement) if isinstance(e, ast.Name) and e.id == name}
    asked = {id(n.value) for n in own_nodes(statement) if isinstance(n, ast.Attribute) and n.attr == "hash"}
    kept = (n for n in descend(statement) if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load))
    if not all(id(n) in found or id(n) in asked for n in kept):
        return None, []
    return call, [c for c in found.values() if not _left_out(statement, c)]


def _told(function: ast.FunctionDef) -> dict[str, str]:
    """The parameters of a function that compiles which it compiles a kernel for, by those of the kernel; without what
    is not seen."""
    constants = [
        k.value for n in own_nodes(function) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "constexprs"
    ]
    found = [dictionary(function, e, handed=True) for e in constants]
    if len(found) != 1 or found[0] is None:
        return {}
    kept, pairs = kept_parameters(function), zip(string_keys(found[0]) or (), found[0].values, strict=False)
    return {key: value.id for key, value in pairs if isinstance(value, ast.Name) and value.id in kept}


_GLUON = "triton_version >= Version('3.5.0')"
"""Older compilers launch what was compiled before, through other definitions."""


def _left_out(function: ast.FunctionDef, call: ast.Call) -> bool:
    """Whether a launch is one of a compiler that is too old for the kernels of the text."""
    if "triton_version" in (*function_parameters(function), *(n for s in function.body for n in bound_names(s))):
        return False
    others = (n.orelse for n in own_nodes(function) if isinstance(n, ast.If) and ast.unparse(n.test) == _GLUON)
    return any(n is call for orelse in others for s in orelse for n in descend(s))


_FILLING = frozenset({"copy_", "fill_", "masked_fill_", "zero_"})
"""Of a tensor's methods that change it in place, those that change its elements alone."""
_LOOKING = frozenset({"id", "isinstance", "len", "print", "repr", "str", "type"})
_ASKING = (ast.Assert, ast.Compare, ast.Expr, ast.FormattedValue, ast.If, ast.Subscript, ast.UnaryOp)
"""Parts of a program that do no more with a tensor than ask for what it is, or for a view or its elements."""


def _is_filled(e: ast.expr, above: Mapping[int, ast.AST]) -> bool:
    """Whether an expression writes to the elements of a tensor, or to those of a view that it makes of it."""
    user = above[id(e)]
    if isinstance(user, ast.keyword):
        return user.arg == "out"
    if isinstance(user, ast.Attribute):
        return user.attr in _FILLING or _is_filled(user, above)
    if isinstance(user, ast.Subscript):
        return user.value is e and (not isinstance(user.ctx, ast.Load) or _is_filled(user, above))
    return isinstance(user, ast.Call) and user.func is e and _is_filled(user, above)


class _Reader:
    """Reads what functions of a module hand on, and by which parameters they have what an entry was handed."""

    def __init__(
        self, tree: ast.Module, entries: Collection[str], asked: Collection[str], caches: Collection[str], size: str
    ) -> None:
        self._entries = entries
        self._asked = asked
        self._caches = caches
        self._size = size
        self._functions = [s for s in tree.body if isinstance(s, ast.FunctionDef)]
        self._bound = [n for s in tree.body for n in bound_names(s)]
        names = {f.name: f.name for f in self._functions}
        used = ((s, node, name) for s in tree.body for node, name in mentions(s, names, anyhow=True))
        self._called = [(s, node, name) for s, node, name in used if not _exported(node, s)]
        self._found: dict[tuple[str, str], frozenset[str]] = {}
        self._changed: dict[tuple[ast.FunctionDef, bool], frozenset[str]] = {}

    def kept(self, function: ast.FunctionDef, name: str = "") -> frozenset[str]:
        """The parameters that hold what an entry was handed, or was handed by one name alone: of an entry, that is the
        parameter of that name; where there is none, it may be any. Of other functions it is what all that call them
        hand on."""
        key = function.name, name
        if key not in self._found:
            self._found[key] = frozenset()  # where it calls itself nothing is known
            self._found[key] = self._kept(function, name)
        return self._found[key]

    def _kept(self, function: ast.FunctionDef, asked: str) -> frozenset[str]:
        parameters, kept = function_parameters(function), frozenset(kept_parameters(function))
        if function.decorator_list or self._bound.count(function.name) > 1:
            return frozenset()
        found = kept & {asked} if asked in parameters else kept
        callers = [(s, node) for s, node, name in self._called if name == function.name]
        if function.name not in self._entries:
            found = kept if callers else frozenset()
        for s, node in callers:
            call = next((n for n in own_nodes(s) if isinstance(n, ast.Call) and n.func is node), None)
            if call is None or not isinstance(s, ast.FunctionDef) or any(isinstance(a, ast.Starred) for a in call.args):
                return frozenset()
            handed, given = self.kept(s, asked), arguments(call, parameters)
            found &= {p for p, e in given.items() if isinstance(e, ast.Name) and e.id in handed}
        return found

    def _changes(self, function: ast.FunctionDef, *, filling: bool = False) -> frozenset[str]:
        """The parameters of which a function may give other axes or strides to a tensor that it was handed, by whatever
        name; with `filling` also other elements, by its own name."""
        key = function, filling
        if key not in self._changed:
            # Where it calls itself, all of them.
            parameters = self._changed[key] = frozenset(function_parameters(function))
            nodes = list(descend(function))
            above = {id(inner): n for n in nodes for inner in children(n)}
            # What another function of the module gets back is the same tensor by another name.
            asking = (*_ASKING, ast.Return) if function.name in self._entries else _ASKING
            uses = (n for n in nodes if isinstance(n, ast.Name) and n.id in parameters)
            self._changed[key] = frozenset(n.id for n in uses if not self._only_asks(n, above, asking, filling))
        return self._changed[key]

    def _only_asks(
        self, e: ast.Name, above: Mapping[int, ast.AST], asking: tuple[type[ast.AST], ...], filling: bool
    ) -> bool:
        """Whether a use of a tensor's name leaves it as it is, and gives it no other name."""
        if filling and _is_filled(e, above):
            return False
        user = above[id(e)]
        if isinstance(user, ast.keyword):
            user = above[id(user)]
        if isinstance(user, ast.Attribute):
            changes = user.attr.endswith("_") and user.attr not in _FILLING
            return isinstance(user.ctx, ast.Load) and not changes
        if not isinstance(user, ast.Call):
            return isinstance(user, asking)
        called = root_name(user.func)
        function = next((f for f in self._functions if f.name == called), None)
        if isinstance(user.func, ast.Name) and function is not None:
            given = arguments(user, function_parameters(function))
            handed = {p for p, v in given.items() if v is e}
            return bool(handed) and handed.isdisjoint(self._changes(function, filling=filling))
        launches = isinstance(user.func, ast.Subscript)
        return launches or called in _LOOKING or (called == "torch" and not last_name(user.func).endswith("_"))

    def arguments(
        self,
        kernel: str,
        function: ast.FunctionDef,
        call: ast.Call,
        compiled: tuple[ast.Call, ast.FunctionDef, Mapping[str, str]] | None = None,
    ) -> Arguments:
        """What a launch hands on.

        Args:
            compiled: of a kernel that was compiled before: by which call of which function, and the parameters of that
                function which it is compiled for, see `_told`.
        """
        named, whole = named_arguments(function, call)
        known = whole and not any(isinstance(a, ast.Starred) for a in call.args)
        handed = [value for name, value in named if name == self._size]
        at, constants = call, dict[str, ast.expr]()
        if compiled is not None:
            at, compiling, told = compiled
            given = arguments(at, function_parameters(compiling))
            constants = {name: given[p] for name, p in told.items() if p in given}
            handed = [e for name, e in constants.items() if name == self._size]
        return Arguments(
            kernel,
            function.name,
            call.lineno,
            len(call.args) if known else None,
            compiled is not None,
            tuple(map(ast.unparse, call.args)),
            tuple((name, ast.unparse(value)) for name, value in named),
            tuple((name, self.kept(function, name)) for name in self._asked),
            tuple(kept := self.kept(function)),
            tuple(kept - self._changes(function)),
            tuple(kept - self._changes(function, filling=True)),
            tuple(axes_before(function, call).items()),
            tuple((name, ast.unparse(e)) for name, e in constants.items()),
            tuple(ast.unparse(e) for e in handed if is_size(e, function, at, self._caches)),
        )
