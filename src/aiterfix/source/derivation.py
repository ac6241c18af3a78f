"""What decides the column of a store, or the keys that its scores are of, as a digest of the statements that do.

Where no proof shows that a column is not negative, the statements that compute it may still be those of a text that
was examined. `Derivations.of` prunes a kernel to them: every statement that binds a name which the column, or a lower
comparison of the mask on it, is made from; the loops, branches and jumps around them with their headers; the place of
the store among them; the parameters, numbers and functions of the module that they use. Run by itself, what is left
computes the same column under the same lower comparison. An upper bound, the stored value and the address of the row
are no part of it, so that mending them leaves the digest as it is.

`Derivations.keys` adds what the stored scores are made from: which keys and scales, loaded by which entries of the
block table. Which columns a row may not see, its queries and weights, and layouts, which move no number to another
place, are no part of it.

What the kernel calls its own names has no part in either.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from aiterfix.source.columns import NotExpressible, column_expression
from aiterfix.source.guards import bounds_below, column_of
from aiterfix.source.names import bound_names, closure, names_in
from aiterfix.source.roles import PagingRoles
from aiterfix.source.scope import ModuleScope, is_triton
from aiterfix.source.syntax import conjuncts, is_minus_infinity, is_plain_target, last_name, root_name
from aiterfix.source.tree import children, descend
from aiterfix.source.values import Rank, Value, integer
from aiterfix.source.vocabulary import HARMLESS, LOADS, STORE_PARAMETERS
from aiterfix.source.walk import KernelWalk, StoreCall
from aiterfix.storage.digest import sha256_hex

_JUMPS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_CHANGE_NO_NAME = HARMLESS | STORE_PARAMETERS.keys()
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
        binds: the names that it gives something.
        place: depth, and which part of the header above it stands in.
        above: indices of the headers around it.
    """

    node: ast.stmt
    parts: tuple[ast.AST, ...]
    binds: frozenset[str]
    place: str
    above: tuple[int, ...]


class Derivations:
    """The derivations of one kernel's stores.

    Args:
        walk: of the kernel.
        known: digests of derivations in texts that were examined.
        walrus: False where the text has no ``:=``; with one, no derivation is told.
    """

    def __init__(self, walk: KernelWalk, known: Callable[[], frozenset[str]] = frozenset, *, walrus: bool) -> None:
        self.walk = walk
        self._known = known
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
            if not self._is_triton(call) or last_name(call.func) not in _CHANGE_NO_NAME:
                for name in names_in(call):  # whatever it is handed, it may change: shared memory, say
                    self._binders.setdefault(name, []).append(line)
        return True

    def known(self, store: StoreCall, column: Value) -> bool:
        """Whether the column of a store comes about in a way that is known never to make it negative."""
        digests = self._known()
        return bool(digests) and (found := self.of(store, column)) is not None and found.digest in digests

    def knows_keys(self, stores: Sequence[StoreCall], roles: PagingRoles) -> bool:
        """Whether a kernel's scores come about in a way that is known to go by the keys of the tokens they are for."""
        digests = self._known()
        return bool(digests) and self.keys(stores, roles) in digests

    def of(self, store: StoreCall, column: Value) -> Derivation | None:
        """How the column of a store comes about; None where that cannot be told by the statements alone."""
        try:
            terms, lower = self._terms(store, column)
            names = {n for e in terms for n in self._names(e)}
            shapes = map(self._shape_of, terms)
            digest = self._digest(
                [*shapes, *self._pruned({self._places[store.node]: "the store"}, names, self._names_in)]
            )
        except (NotExpressible, _Unfollowed):
            return None
        return Derivation(digest, lower)

    def keys(self, stores: Sequence[StoreCall], roles: PagingRoles) -> str | None:
        """Digest of what decides the tokens whose keys and scales the scores in each column are made from; None where
        that cannot be told by the statements alone.

        Args:
            stores: all of the kernel's.
            roles: of its parameters.
        """
        shapes: dict[int, str] = {}
        names: set[str] = set()
        try:
            for store in stores:
                column, _ = column_of(store.address, self.walk.output, self.walk.strides)
                terms, _ = self._terms(store, column)
                if store.stored is None:
                    return None
                terms = (*terms, store.stored)
                shapes[self._places[store.node]] = "the store of " + "; ".join(map(self._shape_of, terms))
                names |= {n for e in terms for n in self._names(e)}
            return self._digest(["keys", *self._pruned(shapes, names, self._made_of_keys(roles))])
        except (NotExpressible, _Unfollowed):
            return None

    def _terms(self, store: StoreCall, column: Value) -> tuple[tuple[ast.expr, ...], tuple[ast.expr, ...]]:
        """The terms of a store's mask that bound its column from below, and the column; and the former by themselves.

        Raises:
            _Unfollowed: what decides them cannot be told by the statements alone.
            NotExpressible: its column cannot be written at the store.
        """
        if not self._plain or store.helper or store.node not in self._places:
            raise _Unfollowed
        expression = column_expression(store, self.walk)
        if self._value(expression, store) != column:
            raise _Unfollowed
        lower = tuple(t for t in conjuncts(store.arguments.get("mask")) if self._bounds_below(t, column))
        return (*sorted(lower, key=self._shape_of), expression), lower

    def _digest(self, shape: Iterable[str]) -> str:
        """Of a kernel's name and some statements, with its own names numbered as they come."""
        numbers: dict[str, str] = {}

        def numbered(name: re.Match[str]) -> str:
            own = name[1] in self._binders and name[1] not in self._parameters
            return f"<{numbers.setdefault(name[1], str(len(numbers)))}>" if own else name[1]

        text = "\n".join([self.walk.function.name, *shape])
        return sha256_hex(re.sub(f"{_NAME}(\\w+){_NAME}", numbered, text).encode())[:20]

    def _made_of_keys(self, roles: PagingRoles) -> Callable[[int], Iterable[str]]:
        """Of each line the names that must be followed. Where scores are made from keys, the row's queries and weights
        need not be."""
        lines = [(line.binds, frozenset(self._names_in(i))) for i, line in enumerate(self._lines)]
        cache = {roles.table, roles.keys, roles.scales}
        handed = closure(cache, lines, forward=True) - cache
        first = {
            name
            for line, (binds, used) in zip(self._lines, lines, strict=True)
            if isinstance(line.node, ast.Assign) and self._loads_lanes(line.node.value)
            if used.isdisjoint({*handed, *cache, *roles.lengths})
            for name in binds
        }
        row = closure(first, lines, forward=True) - handed

        def followed(line: int) -> Iterable[str]:
            if self._lines[line].binds.isdisjoint(handed):
                return self._names_in(line)
            loads = (
                n for p in self._lines[line].parts for n in descend(p) if isinstance(n, ast.Call) and self._loads(n)
            )
            return (self._names_in(line) - row) | {n for load in loads for n in self._names(load)}

        return followed

    def _loads(self, call: ast.Call) -> bool:
        return last_name(call.func) in LOADS and self.walk.scope.triton(call.func) in LOADS

    def _loads_lanes(self, node: ast.expr) -> bool:
        """Whether something is a load of more than one number."""
        value = self.walk.values.get(node)
        return isinstance(node, ast.Call) and self._loads(node) and value is not None and value.rank is not Rank.SCALAR

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
            self._lines.append(_Line(s, parts, frozenset(binds), place, above))
            for name in binds:
                self._binders.setdefault(name, []).append(at)
            for block in ("body", "orelse"):
                inner = getattr(s, block, [])
                if inner and not self._collect(inner, f"{place} {block}", (*above, at)):
                    return False
        return True

    def _is_triton(self, call: ast.Call) -> bool:
        return root_name(call.func) not in self._locals and self.walk.scope.triton(call.func) != ""

    def _pruned(
        self, stores: Mapping[int, str], names: Iterable[str], followed: Callable[[int], Iterable[str]]
    ) -> Iterator[str]:
        """The kernel without what has no part in some names or in reaching some stores, and what its names mean.

        Args:
            stores: their lines, and what each is told as.
            names: what must be known at the stores.
            followed: of a line, the names that must be known for it.
        """
        kept = set(stores)
        pending = list(names)
        for line in (*stores, *self._jumps):
            kept |= {line, *self._lines[line].above}
        for line in kept - stores.keys():
            pending += followed(line)
        seen: set[str] = set()
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            for binder in self._binders.get(name, ()):
                for line in {binder, *self._lines[binder].above} - kept:
                    kept.add(line)
                    pending += followed(line)
        for i in sorted(kept):
            line_kept = self._lines[i]
            shape = stores[i] if i in stores else "; ".join(map(self._shape_of, line_kept.parts))
            yield f"{line_kept.place} {type(line_kept.node).__name__} {shape}"
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
            found = self._shapes[part] = _shape(part, self._bare, self._children)
        return found

    def _has_changeable(self, node: ast.AST) -> bool:
        """Whether something is made that may change through another name; as an argument of Triton's it may not, nor
        may numbers that are written out as an argument."""
        if isinstance(node, _CHANGEABLE):
            return True
        if isinstance(node, (ast.Name, ast.Constant)) or (isinstance(node, ast.Call) and self._is_triton(node)):
            return False
        children = list(self._children(node))
        if isinstance(node, ast.Call):
            children = [c for c in children if not (isinstance(c, ast.List) and not names_in(c))]
        return any(map(self._has_changeable, children))

    def _bare(self, node: ast.AST) -> ast.AST:
        """What a choice between a score and -inf, or another layout, is of."""
        while isinstance(node, ast.Call) and node.args and self._is_triton(node):
            name, arguments = last_name(node.func), len(node.args) + len(node.keywords)
            if name == "where" and len(node.args) == arguments == 3 and is_minus_infinity(node.args[2]):
                node = node.args[1]
            elif name == "convert_layout" and len(node.args) == arguments == 2:
                node = node.args[0]
            else:
                break
        return node

    def _children(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a tree is made of, but for the layouts of what Triton's functions and tensors' methods give."""
        called = isinstance(node, ast.Call) and (self._is_triton(node) or root_name(node.func) in ("", *self._locals))
        for child in children(node):
            if not (called and isinstance(child, ast.keyword) and child.arg == "layout"):
                yield child

    def _names(self, node: ast.AST) -> Iterator[str]:
        """Every name that a tree uses."""
        stack = [node]
        while stack:
            n = self._bare(stack.pop())
            if isinstance(n, ast.Name):
                yield n.id
            else:
                stack += self._children(n)


def derivations_of(walk: KernelWalk, known: Callable[[], frozenset[str]] = frozenset, *, walrus: bool) -> Derivations:
    """The derivations of a kernel, the same for all that ask; the arguments are those of `Derivations`."""
    return walk.once("derivations", lambda: Derivations(walk, known, walrus=walrus))


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
    if isinstance(meaning, ast.FunctionDef):
        text = _shape(meaning)
    elif isinstance(meaning, int) or is_triton(meaning) or str(meaning).startswith("builtins."):
        text = str(meaning)
    else:
        raise _Unfollowed
    if name in meant:
        return
    meant[name] = text
    if isinstance(meaning, ast.FunctionDef):
        body = ast.Module(meaning.body, [])
        own = {*_parameters(meaning.args), *bound_names(body)}
        for used in names_in(meaning) - own:
            _explain(used, scope, meant)


_NO_PART = frozenset({"ctx", "kind", "type_comment", "type_params"})
_NAME = "\0"
"""Stands around names, which may be a kernel's own."""


def _itself(node: ast.AST) -> ast.AST:
    return node


def _shape(
    node: object,
    bare: Callable[[ast.AST], ast.AST] = _itself,
    inner: Callable[[ast.AST], Iterable[ast.AST]] = children,
) -> str:
    """A tree without positions, the same in every version of Python."""
    node = bare(node) if isinstance(node, ast.AST) else node
    if isinstance(node, ast.Name):
        return f"{_NAME}{node.id}{_NAME}"
    if isinstance(node, ast.Call):
        return f"Call({','.join(_shape(c, bare, inner) for c in inner(node))})"
    if isinstance(node, ast.AST):
        # What is absent differs from version to version: only what is there is named.
        fields = [(f, getattr(node, f, None)) for f in node._fields if f not in _NO_PART]
        shapes = (f"{f}={_shape(v, bare, inner)}" for f, v in fields if v is not None and v != [])
        return f"{type(node).__name__}({','.join(shapes)})"
    if isinstance(node, list):
        return f"[{','.join(_shape(v, bare, inner) for v in node)}]"
    return repr(node)
