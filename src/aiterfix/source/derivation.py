"""What decides the column of a store, as a digest of the statements that do.

Where no proof shows that a column is not negative, the statements that compute it may still be those of a text that
was examined. `Derivations.of` prunes a kernel to them: every statement that binds a name which the column, or a lower
comparison of the mask on it, is made from; the loops, branches and jumps around them with their headers; the place of
the store among them; the parameters, numbers and functions of the module that they use. Run by itself, what is left
computes the same column under the same lower comparison. An upper bound, the stored value and the address of the row
are no part of it, so that mending them leaves the digest as it is.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from aiterfix.source.columns import NotExpressible, column_expression
from aiterfix.source.guards import bounds_below
from aiterfix.source.names import bound_names, names_in
from aiterfix.source.scope import Helper, ModuleScope, is_triton
from aiterfix.source.syntax import conjuncts, is_plain_target, root_name
from aiterfix.source.values import Value, integer
from aiterfix.source.walk import KernelWalk, StoreCall
from aiterfix.storage.digest import sha256_hex

_JUMPS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_CHANGEABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)


class _Unfollowed(Exception):  # noqa: N818 - a reason, not an error: it never leaves this module
    """The text has something that this module does not prune by."""


@dataclass(frozen=True)
class Derivation:
    """How a column comes about.

    Attributes:
        digest: hexadecimal, of what decides it.
        lower: the terms of the mask that bound it from below.
    """

    digest: str
    lower: tuple[ast.expr, ...]


@dataclass(frozen=True)
class _Line:
    """A statement, or the header of one with others inside.

    Attributes:
        node: the statement.
        parts: what of it is kept; nothing of a jump but its kind.
        place: depth, and which part of the header above it stands in.
        above: indices of the headers around it.
    """

    node: ast.stmt
    parts: tuple[ast.AST, ...]
    place: str
    above: tuple[int, ...]


class Derivations:
    """The derivations of one kernel's stores.

    Args:
        walk: of the kernel.
        known_columns: digests of columns that are known not to be negative.
        walrus: False where the text has no ``:=``; with one, no derivation is told.
    """

    def __init__(
        self, walk: KernelWalk, known_columns: Callable[[], frozenset[str]] = frozenset, *, walrus: bool
    ) -> None:
        self.walk = walk
        self._known_columns = known_columns
        self._walrus = walrus
        self._lines: list[_Line] = []
        self._binders: dict[str, list[int]] = {}
        self._jumps: list[int] = []
        self._places: dict[ast.Call, int] = {}
        self._shapes: dict[ast.AST, str] = {}
        self._names_of: dict[int, frozenset[str]] = {}
        self._locals: set[str] = set()

    @cached_property
    def _parameters(self) -> Mapping[str, str]:
        return _parameters(self.walk.function.args)

    @cached_property
    def _plain(self) -> bool:
        if self._walrus or not self._collect(self.walk.function.body, "", ()):
            return False
        self._locals = {*self._parameters, *self._binders}
        for call, line in self._places.items():
            if not self._is_triton(call):
                for name in names_in(call):  # whatever it is handed, it may change
                    self._binders.setdefault(name, []).append(line)
        return True

    def known(self, store: StoreCall, column: Value) -> bool:
        """Whether the column of a store comes about in a way that is known never to make it negative."""
        digests = self._known_columns()
        return bool(digests) and (found := self.of(store, column)) is not None and found.digest in digests

    def of(self, store: StoreCall, column: Value) -> Derivation | None:
        """How the column of a store comes about; None where that cannot be told by the statements alone."""
        if not self._plain or store.helper or store.node not in self._places:
            return None
        try:
            expression = column_expression(store, self.walk)
            if self._value(expression, store) != column:
                return None
            lower = tuple(t for t in conjuncts(store.arguments.get("mask")) if self._bounds_below(t, column))
            terms = [*sorted(map(self._shape_of, lower)), self._shape_of(expression)]
            used = {n for e in (expression, *lower) for n in self._names(e)}
            shape = [self.walk.function.name, *terms, *self._pruned(self._places[store.node], used)]
        except (NotExpressible, _Unfollowed):
            return None
        return Derivation(sha256_hex("\n".join(shape).encode())[:20], lower)

    def _bounds_below(self, term: ast.expr, column: Value) -> bool:
        value = self.walk.values.get(term)
        return value is not None and bounds_below(value, column)

    def _value(self, e: ast.expr, store: StoreCall) -> Value | None:
        """The value of an expression that was made of a store's terms and of names that hold something there."""
        known = self.walk.values.get(e)
        if known is not None:
            return known
        if isinstance(e, ast.Name):
            return store.environment.get(e.id)
        if isinstance(e, ast.Constant) and isinstance(e.value, int):
            return integer(e.value)
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            value = self._value(e.operand, store)
            return None if value is None else -value
        if isinstance(e, ast.BinOp):
            left, right = self._value(e.left, store), self._value(e.right, store)
            if left is not None and right is not None:
                if isinstance(e.op, ast.Mult):
                    return self.walk.universe.product(left, right)
                return left + right if isinstance(e.op, ast.Add) else left - right
        return None

    def _collect(self, body: list[ast.stmt], place: str, above: tuple[int, ...]) -> bool:
        """Lay a body out as lines; False where more than assignments to names may change what a name holds."""
        for s in body:
            at = len(self._lines)
            parts: tuple[ast.AST, ...] = (s,)
            binds: set[str] = set()
            if isinstance(s, (ast.For, ast.While, ast.If)):
                parts = (s.target, s.iter) if isinstance(s, ast.For) else (s.test,)
                if isinstance(s, ast.For):
                    if not is_plain_target(s.target):
                        return False
                    binds = names_in(s.target)
            elif isinstance(s, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
                for target in s.targets if isinstance(s, ast.Assign) else [s.target]:
                    if not is_plain_target(target):
                        return False
                    binds |= names_in(target)
            elif isinstance(s, ast.Expr):
                if isinstance(s.value, ast.Call):
                    self._places[s.value] = at
            elif isinstance(s, (*_JUMPS, ast.Assert)):
                self._jumps.append(at)
                parts = (s.test,) if isinstance(s, ast.Assert) else ()
            elif not isinstance(s, ast.Pass):
                return False
            self._lines.append(_Line(s, parts, place, above))
            for name in binds:
                self._binders.setdefault(name, []).append(at)
            for block in ("body", "orelse"):
                inner = getattr(s, block, [])
                if inner and not self._collect(inner, f"{place} {block}", (*above, at)):
                    return False
        return True

    def _is_triton(self, call: ast.Call) -> bool:
        return root_name(call.func) not in self._locals and self.walk.scope.triton(call.func) != ""

    def _pruned(self, store: int, names: set[str]) -> Iterator[str]:
        """The kernel without what has no part in some names or in reaching a store, and what its names mean."""
        kept = {store}
        pending = list(names)
        for line in (store, *self._jumps):
            kept |= {line, *self._lines[line].above}
        for line in kept - {store}:
            pending += self._names_in(line)
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            for binder in self._binders.get(name, ()):
                for line in {binder, *self._lines[binder].above} - kept:
                    kept.add(line)
                    pending += self._names_in(line)
        for i in sorted(kept):
            kept_line = self._lines[i]
            shape = "the store" if i == store else "; ".join(map(self._shape_of, kept_line.parts))
            yield f"{kept_line.place} {type(kept_line.node).__name__} {shape}"
        yield from (p for name, p in self._parameters.items() if name in seen)
        meant: dict[str, str] = {}
        for name in seen - self._locals:
            _explain(name, self.walk.scope, meant)
        yield from (f"{name} is {meant[name]}" for name in sorted(meant))

    def _names_in(self, line: int) -> frozenset[str]:
        found = self._names_of.get(line)
        if found is None:
            found = self._names_of[line] = frozenset(n for p in self._lines[line].parts for n in self._names(p))
        return found

    def _shape_of(self, part: ast.AST) -> str:
        found = self._shapes.get(part)
        if found is None:
            if self._has_changeable(part):
                raise _Unfollowed
            found = self._shapes[part] = _shape(part, self._children)
        return found

    def _has_changeable(self, node: ast.AST) -> bool:
        """Whether something is made that may change through another name; as an argument of Triton's it may not."""
        if isinstance(node, _CHANGEABLE):
            return True
        if isinstance(node, (ast.Name, ast.Constant)) or (isinstance(node, ast.Call) and self._is_triton(node)):
            return False
        return any(map(self._has_changeable, self._children(node)))

    def _children(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a tree is made of, but for the layout of a range of lanes: they are counted alike in each."""
        lanes = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "arange"
        lanes = lanes and isinstance(node, ast.Call) and self._is_triton(node)
        for child in ast.iter_child_nodes(node):
            if not (lanes and isinstance(child, ast.keyword) and child.arg == "layout"):
                yield child

    def _names(self, node: ast.AST) -> Iterator[str]:
        """Every name that a tree uses."""
        stack = [node]
        while stack:
            n = stack.pop()
            if isinstance(n, ast.Name):
                yield n.id
            else:
                stack += self._children(n)


def _parameters(a: ast.arguments) -> Mapping[str, str]:
    """Every parameter, with its annotation and default."""
    positional = [*a.posonlyargs, *a.args]
    pairs: list[tuple[ast.arg, ast.expr | None]] = [(p, None) for p in positional[: len(positional) - len(a.defaults)]]
    pairs += zip(positional[len(pairs) :], a.defaults, strict=True)
    pairs += zip(a.kwonlyargs, a.kw_defaults, strict=True)
    pairs += [(p, None) for p in (a.vararg, a.kwarg) if p is not None]
    return {p.arg: f"{p.arg}: {_shape(p.annotation)} = {_shape(default)}" for p, default in pairs}


def _explain(name: str, scope: ModuleScope, meant: dict[str, str]) -> None:
    """Say what a name of the module means, and what the function that it names is made of.

    Raises:
        _Unfollowed: what it means is not in this text.
    """
    meaning = scope.meaning(name)
    if isinstance(meaning, Helper):
        text = _shape(meaning.node)
    elif isinstance(meaning, int) or is_triton(meaning) or str(meaning).startswith("builtins."):
        text = str(meaning)
    else:
        raise _Unfollowed
    if name in meant:
        if meant[name] != text:
            raise _Unfollowed  # two modules mean two things by it
        return
    meant[name] = text
    if isinstance(meaning, Helper):
        body = ast.Module(meaning.node.body, [])
        own = {*_parameters(meaning.node.args), *bound_names(body)}
        for used in names_in(meaning.node) - own:
            _explain(used, meaning.module, meant)


_NO_PART = frozenset({"ctx", "kind", "type_comment", "type_params"})


def _shape(node: object, children: Callable[[ast.AST], Iterator[ast.AST]] = ast.iter_child_nodes) -> str:
    """A tree without positions, the same in every version of Python."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Call):
        return f"Call({','.join(_shape(c, children) for c in children(node))})"
    if isinstance(node, ast.AST):
        # What is absent differs from version to version: only what is there is named.
        fields = [(f, getattr(node, f, None)) for f in node._fields if f not in _NO_PART]
        shapes = (f"{f}={_shape(v, children)}" for f, v in fields if v is not None and v != [])
        return f"{type(node).__name__}({','.join(shapes)})"
    if isinstance(node, list):
        return f"[{','.join(_shape(v, children) for v in node)}]"
    return repr(node)
