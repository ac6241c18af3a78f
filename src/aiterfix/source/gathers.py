"""How a kernel computes the addresses that it gathers a cache's blocks from: which of them fit in how many bits.

A block number times the stride between blocks passes 2^31 long before a cache is too large for the device. It is right
in a pointer, where one of its factors has 64 bits; it is wrong in 32, and in the offsets of a buffer load, which are
32 bits on CDNA whatever their type.

Names are taken regardless of order: each holds whatever any statement of the kernel gives it. So no branch or loop has
to be followed, and what is said of a name holds wherever it stands. Three sizes of numbers are told apart: small ones,
made of literals, constexpr parameters, lanes (`arange`) and remainders by these; lanes and remainders times a
parameter that is multiplied with nothing larger (a token's place in its block, times the stride between tokens); and
all others, which may be anything that their type holds. Products of the last are what passes 2^31; sums of them are
taken not to, as everywhere in this package (`aiterfix.source.values`). What is not followed is not known to fit.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from aiterfix.source.expressions import broadcast_index
from aiterfix.source.names import bound_names, function_parameters, names_in
from aiterfix.source.scope import ModuleScope, is_triton
from aiterfix.source.values import ADAPTS, NARROW, UNKNOWN_WIDTH, WIDE
from aiterfix.source.vocabulary import HARMLESS, LOADS, SAME, TYPE_ATTRIBUTES, last_name

_CONSTEXPR = 1 << 12
"""The most that a constexpr parameter is taken to be: tokens of a block, columns of a chunk, elements of a key."""
_LIMIT = 1 << 31
_ADDRESS = ("ptr", "pointer", "offsets")
_MOST_TURNS = 50
_GROWING = 1
"""Turns after which a number that still grows may be anything."""
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.If, ast.For, ast.While, ast.Assert, ast.Return)
"""Statements whose expressions are followed."""


class Size(IntEnum):
    """How large a number may be; the larger one is a sum's."""

    SMALL = 0
    INSIDE = 1
    """A small number times a parameter: inside a block, as long as that parameter is no stride between blocks."""
    ANY = 2


class Fits(IntEnum):
    """Whether an address is computed in enough bits; the worse one is a sum's."""

    YES = 0
    UNKNOWN = 1
    NO = 2


@dataclass(frozen=True)
class Number:
    """What is known of a number, or of every element of a tensor.

    Attributes:
        width: its bits, see `aiterfix.source.values`.
        size: how large it may be.
        fits: whether no product in it has passed its bits.
        strides: parameters that a small number was multiplied with in fewer than 64 bits.
        most: the largest that a small number can be, either side of 0.
        parameter: the parameter that it is, where it is one as it was passed.
        device: whether it is a value of the device whatever the kernel is specialised for: it has methods.
    """

    width: int
    size: Size = Size.ANY
    fits: Fits = Fits.YES
    strides: frozenset[str] = frozenset()
    most: int = 0
    parameter: str = ""
    device: bool = False


@dataclass(frozen=True)
class Pointer:
    """An address in a cache.

    Attributes:
        cache: the parameter that it is made from.
        fits: whether everything that was added to it was right.
        strides: see `Number`.
    """

    cache: str
    fits: Fits = Fits.YES
    strides: frozenset[str] = frozenset()


Abstract = Number | Pointer

_NOT_FOLLOWED = Number(UNKNOWN_WIDTH, Size.ANY, Fits.UNKNOWN)
_FLAG = Number(NARROW, Size.SMALL, most=1)


@dataclass(frozen=True)
class Gather:
    """One load from a cache.

    Attributes:
        node: the call.
        kind: "load", "buffer_load", or what else takes an address: then it cannot be edited.
        cache: the parameter that its address is made from.
        pointer: its pointer argument.
        offsets: its offsets, of a buffer load.
        statement: where it stands.
        fits: whether its address has enough bits.
        in_offsets: whether more than a place inside a block stands in a buffer load's offsets.
    """

    node: ast.Call
    kind: str
    cache: str
    pointer: ast.expr
    offsets: ast.expr | None
    statement: ast.stmt
    fits: Fits = Fits.UNKNOWN
    in_offsets: bool = False

    @property
    def line(self) -> int:
        """1-based, of its first line."""
        return self.node.lineno

    @property
    def end_line(self) -> int:
        """1-based, of its last line."""
        return self.node.end_lineno or self.node.lineno


@dataclass(frozen=True)
class Unfollowed:
    """A use of a cache's address that is not understood: what is read through it is not known."""

    line: int
    message: str


@dataclass(frozen=True)
class Gathers:
    """What a kernel reads from its caches.

    Attributes:
        function: the kernel.
        scope: its module.
        loads: in source order.
        unfollowed: in source order.
        values: what is known of each expression that an address hangs on.
    """

    function: ast.FunctionDef
    scope: ModuleScope
    loads: tuple[Gather, ...]
    unfollowed: tuple[Unfollowed, ...]
    values: dict[ast.expr, Abstract] = field(repr=False, compare=False)


def find_gathers(
    function: ast.FunctionDef, caches: Sequence[str], scope: ModuleScope, *, walrus: bool = True
) -> Gathers:
    """Find every load from a kernel's caches, and in how many bits its address is computed.

    Args:
        function: the kernel's definition.
        caches: its parameters that point to a cache.
        scope: the module that it stands in.
        walrus: False where the text has no ``:=``.

    Raises:
        RecursionError: an expression is nested deeper than the interpreter allows.
    """
    return _Finder(function, caches, scope, walrus).run()


@dataclass(frozen=True)
class _Use:
    """An expression of a statement, and the names in it."""

    statement: ast.stmt
    expression: ast.expr
    names: frozenset[str]


@dataclass(frozen=True)
class _Binding:
    """Names that a statement binds, and what to.

    Attributes:
        names: the names.
        value: what they are bound to, or are taken from; None where that is no expression.
        uses: the names in it.
        kind: "name" where each holds the value, "range" where it runs through one, "other" where nothing is known.
    """

    names: tuple[str, ...]
    value: ast.expr | None
    uses: frozenset[str]
    kind: str


class _Finder:
    def __init__(self, function: ast.FunctionDef, caches: Sequence[str], scope: ModuleScope, walrus: bool) -> None:
        self.function = function
        self.scope = scope
        self.parameters = function_parameters(function)
        self.caches = [c for c in caches if c in self.parameters]
        self.missing = [c for c in caches if c not in self.parameters]
        self.uses: list[_Use] = []
        self.bindings: list[_Binding] = []
        self.nested: list[ast.stmt] = []
        self._collect(function.body, walrus)
        self.locals = {*self.parameters, *(n for b in self.bindings for n in b.names)}
        self.env: dict[str, Abstract | None] = {}
        self.block_strides: set[str] = set()
        self.values: dict[ast.expr, Abstract] = {}
        self.loads: dict[ast.Call, Gather] = {}
        self.unfollowed: dict[tuple[int, str], None] = {}
        self.recording = False
        self.turn = 0
        self.statement: ast.stmt = function
        """The one that is being looked at."""

    def run(self) -> Gathers:
        self._start()
        tainted = self._tainted()
        if self.missing:
            self._other_gathers(tainted)
        relevant = self._relevant(tainted)
        bindings = [b for b in self.bindings if not relevant.isdisjoint(b.names)]
        changed = set(relevant)
        for self.turn in range(_MOST_TURNS):
            before, changed = changed, set()
            for b in bindings:
                if not self.turn or not b.uses.isdisjoint(before) or not b.uses.isdisjoint(changed):
                    changed |= self._bind(b)
            if not changed:
                break
        else:
            self._doubt(self.function, "what its names hold does not settle")
        self.recording = True
        self._record(tainted)
        loads = sorted((self._judged(g) for g in self.loads.values()), key=lambda g: (g.line, g.node.col_offset))
        found = tuple(Unfollowed(line, message) for line, message in sorted(self.unfollowed))
        return Gathers(self.function, self.scope, tuple(loads), found, self.values)

    def _doubt(self, node: ast.AST, message: str) -> None:
        self.unfollowed[getattr(node, "lineno", self.function.lineno), message] = None

    # ---- names ------------------------------------------------------------------------------

    def _collect(self, body: Sequence[ast.stmt], walrus: bool) -> None:
        """Lay out what the statements use and bind, in source order."""
        for s in body:
            if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self.nested.append(s)
                rebound = {n for d in ast.walk(s) if isinstance(d, (ast.Global, ast.Nonlocal)) for n in d.names}
                self._add((s.name, *rebound), None, "other")
                continue
            inner: list[ast.stmt] = []
            for child in ast.iter_child_nodes(s):
                if isinstance(child, ast.stmt):
                    inner.append(child)
                elif isinstance(child, ast.expr):
                    self.uses.append(_Use(s, child, frozenset(names_in(child))))
                    if walrus:
                        self._collect_named(child)
                elif not isinstance(child, ast.operator):  # with, except, match
                    self._collect_other(s, child, walrus)
            self._collect_bound(s)
            self._collect(inner, walrus)

    def _collect_named(self, e: ast.expr) -> None:
        for n in ast.walk(e):
            if isinstance(n, ast.NamedExpr):
                self._add((n.target.id,), n.value, "name")

    def _collect_other(self, s: ast.stmt, part: ast.AST, walrus: bool) -> None:
        """A part of a statement that is neither expression nor statement: nothing is known of what it binds."""
        inner = [c for c in ast.walk(part) if isinstance(c, ast.stmt)]
        within = {id(n) for c in inner for n in ast.walk(c)}
        for e in ast.walk(part):
            if isinstance(e, ast.expr) and id(e) not in within:
                self.uses.append(_Use(s, e, frozenset(names_in(e))))
        self._add(tuple(bound_names(part)), None, "other")
        self._collect([c for c in ast.iter_child_nodes(part) if isinstance(c, ast.stmt)], walrus)

    def _collect_bound(self, s: ast.stmt) -> None:
        if isinstance(s, ast.Assign):
            for target in s.targets:
                self._assigned(target, s.value)
        elif isinstance(s, ast.AnnAssign):
            if s.value is not None:
                self._assigned(s.target, s.value)
        elif isinstance(s, ast.AugAssign):
            if isinstance(s.target, ast.Name):
                left = ast.copy_location(ast.Name(s.target.id, ast.Load()), s.target)
                self._add((s.target.id,), ast.copy_location(ast.BinOp(left, s.op, s.value), s), "name")
        elif isinstance(s, ast.For):
            counted = isinstance(s.target, ast.Name) and isinstance(s.iter, ast.Call)
            self._add(tuple(bound_names(s.target)), s.iter, "range" if counted else "other")
        elif isinstance(s, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Delete)):
            self._add(tuple(bound_names(s)), None, "other")

    def _assigned(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self._add((target.id,), value, "name")
            return
        displays = (ast.Tuple, ast.List)
        pairs = isinstance(target, displays) and isinstance(value, displays) and len(target.elts) == len(value.elts)
        if isinstance(target, displays) and isinstance(value, displays) and pairs:
            if any(isinstance(x, ast.Starred) for x in (*target.elts, *value.elts)):
                self._add(tuple(bound_names(target)), value, "other")
            else:
                for t, v in zip(target.elts, value.elts, strict=True):
                    self._assigned(t, v)
        else:
            self._add(tuple(bound_names(target)), value, "other")

    def _add(self, names: tuple[str, ...], value: ast.expr | None, kind: str) -> None:
        if names:
            self.bindings.append(_Binding(names, value, frozenset(names_in(value) if value is not None else ()), kind))

    def _start(self) -> None:
        a = self.function.args
        for p in (*a.posonlyargs, *a.args, *a.kwonlyargs):
            kind = self._annotated(p.annotation)
            if p.arg in self.caches:
                self.env[p.arg] = Pointer(p.arg)
            elif kind == ADAPTS:
                self.env[p.arg] = Number(ADAPTS, Size.SMALL, most=_CONSTEXPR)
            else:
                self.env[p.arg] = Number(kind, parameter=p.arg)
        for star in (a.vararg, a.kwarg):
            if star is not None:
                self.env[star.arg] = _NOT_FOLLOWED

    def _annotated(self, annotation: ast.expr | None) -> int:
        """The width of a parameter: Triton passes an integer that fits in 32 bits as one of these."""
        if annotation is None:
            return NARROW
        kind = last_name(annotation)
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            kind = annotation.value.rpartition(".")[2]
        widths = {"constexpr": ADAPTS, "int64": WIDE, "i64": WIDE, "int32": NARROW, "i32": NARROW}
        return widths.get(kind, UNKNOWN_WIDTH)

    def _tainted(self) -> frozenset[str]:
        """Names that may hold an address in a cache; what a load gives back is none."""
        found = set(self.caches)
        handed = [b for b in self.bindings if b.value is not None and not self._is_load(b.value)]
        while True:
            more = {n for b in handed if not found.isdisjoint(b.uses) for n in b.names} - found
            if not more:
                return frozenset(found)
            found |= more

    def _other_gathers(self, tainted: frozenset[str]) -> None:
        """Without a parameter of the cache's: loads from a place that was loaded may be of a cache by another name."""
        calls = ((u, n) for u in self.uses for n in _below(u.expression) if isinstance(n, ast.Call))
        loads = [(u, n) for u, n in calls if self._is_load(n)]
        found: set[str] = set()
        while True:
            more = {
                n
                for b in self.bindings
                if b.value is not None and (not found.isdisjoint(b.uses) or any(map(self._is_load, _below(b.value))))
                for n in b.names
            } - found
            if not more:
                break
            found |= more
        for u, load in loads:
            address = [*load.args[:2], *(k.value for k in load.keywords if k.arg in _ADDRESS)]
            used = {n for a in address for n in names_in(a)}
            inner = any(self._is_load(n) for a in address for n in _below(a))
            if used.isdisjoint(tainted) and (inner or not found.isdisjoint(used)):
                names = " and ".join(map(repr, self.missing))
                self._doubt(u.statement, f"it loads from a place that it has loaded, and has no parameter {names}")

    def _is_load(self, e: ast.expr) -> bool:
        return isinstance(e, ast.Call) and last_name(e.func) in LOADS and self._triton(e.func) in LOADS

    def _relevant(self, tainted: frozenset[str]) -> frozenset[str]:
        """Names that an address in a cache may hang on."""
        found = set(tainted)
        for u in self.uses:
            if not u.names.isdisjoint(tainted):
                found |= u.names
        while True:
            # What a load gives does not hang on where it loads from.
            more = {
                n
                for b in self.bindings
                if not found.isdisjoint(b.names) and not (b.value is not None and self._is_load(b.value))
                for n in b.uses
            } - found
            if not more:
                return frozenset(found)
            found |= more

    def _bind(self, b: _Binding) -> set[str]:
        """Let names hold what they are bound to beside what they held; which of them changed."""
        held: Abstract | None = _NOT_FOLLOWED
        if b.kind == "name":
            assert b.value is not None
            held = self._eval(b.value)
        elif b.kind == "range":
            assert isinstance(b.value, ast.Call)
            held = self._counter(b.value)
        changed = set()
        for name in b.names:
            before = self.env.get(name)
            value = self._joined(before, held)
            if self.turn > _GROWING and isinstance(before, Number) and isinstance(value, Number):
                value = value if value.most == before.most else replace(value, size=Size.ANY, most=_LIMIT)
            if value != before:
                self.env[name] = value
                changed.add(name)
        return changed

    def _joined(self, left: Abstract | None, right: Abstract | None) -> Abstract | None:
        """What holds of both."""
        if left is None or right is None or left == right:
            return right if left is None else left
        if isinstance(left, Pointer) and isinstance(right, Pointer):
            if left.cache != right.cache:
                return replace(left, fits=Fits.UNKNOWN)
            return Pointer(left.cache, max(left.fits, right.fits), left.strides | right.strides)
        if isinstance(left, Pointer) or isinstance(right, Pointer):
            pointer = left if isinstance(left, Pointer) else right
            assert isinstance(pointer, Pointer)
            return replace(pointer, fits=Fits.UNKNOWN)
        widths = {left.width, right.width} - {ADAPTS}
        width = ADAPTS if not widths else widths.pop() if len(widths) == 1 else UNKNOWN_WIDTH
        return Number(
            width,
            max(left.size, right.size),
            max(left.fits, right.fits),
            left.strides | right.strides,
            max(left.most, right.most),
            device=left.device and right.device,
        )

    # ---- recording --------------------------------------------------------------------------

    def _record(self, tainted: frozenset[str]) -> None:
        for n in self.nested:
            if not tainted.isdisjoint(names_in(n)):
                self._doubt(n, "a cache's address is used in a function or class inside the kernel")
        for u in self.uses:
            if not u.names.isdisjoint(tainted):
                self.statement = u.statement
                if isinstance(u.statement, _SIMPLE):
                    self._used(u.statement, u.expression)
                elif any(isinstance(self.env.get(n), Pointer) for n in u.names):
                    self._doubt(u.statement, f"a cache's address is used in a {type(u.statement).__name__} statement")

    def _used(self, s: ast.stmt, e: ast.expr) -> None:
        """Look at an expression of a statement that has an address of a cache in it, or a name for one."""
        if isinstance(getattr(e, "ctx", None), ast.Store) and isinstance(e, (ast.Name, ast.Tuple, ast.List)):
            if isinstance(s, ast.AugAssign) and isinstance(e, ast.Name):
                return
            named = isinstance(s, (ast.Assign, ast.AnnAssign)) and isinstance(e, ast.Name)
            if not named and isinstance(self.env.get(getattr(e, "id", "")), Pointer):
                self._doubt(s, "a cache's address is unpacked")
            return
        value = self._eval(e)
        plain = isinstance(s, (ast.Assign, ast.AnnAssign, ast.AugAssign)) and e is s.value
        targets = s.targets if isinstance(s, ast.Assign) else [getattr(s, "target", None)]
        if isinstance(value, Pointer) and not (plain and all(isinstance(t, ast.Name) for t in targets)):
            self._doubt(e, f"an address in {value.cache!r} goes where it is not followed")

    def _judged(self, g: Gather) -> Gather:
        """A gather's verdict, once all strides between blocks are known."""
        pointer = self.values.get(g.pointer)
        offsets = self.values.get(g.offsets) if g.offsets is not None else None
        if not isinstance(pointer, Pointer):
            return replace(g, fits=Fits.UNKNOWN)
        fits = max(pointer.fits, Fits.NO if self.block_strides & pointer.strides else Fits.YES)
        outside = False
        if g.offsets is not None:
            if not isinstance(offsets, Number):
                return replace(g, fits=Fits.UNKNOWN)
            outside = offsets.size is Size.ANY or bool(self.block_strides & offsets.strides)
            fits = max(fits, offsets.fits)
            if outside and offsets.fits is not Fits.UNKNOWN:
                fits = Fits.NO
        if g.kind not in LOADS:
            fits = max(fits, Fits.UNKNOWN)
        return replace(g, fits=fits, in_offsets=outside)

    # ---- expressions ------------------------------------------------------------------------

    def _eval(self, e: ast.expr) -> Abstract | None:
        """What is known of an expression; None while a name in it holds nothing yet."""
        value = self._evaluated(e)
        if value is not None:
            self.values[e] = value
        return value

    def _evaluated(self, e: ast.expr) -> Abstract | None:
        if isinstance(e, ast.Name):
            return self._name(e.id)
        if isinstance(e, ast.Constant):
            return self._constant(e.value)
        if isinstance(e, ast.BinOp):
            return self._binary(e)
        if isinstance(e, ast.Call):
            return self._call(e)
        if isinstance(e, ast.UnaryOp):
            value = self._eval(e.operand)
            self._no_pointer(value, e, "is negated")
            if isinstance(e.op, (ast.USub, ast.UAdd)) and isinstance(value, Number):
                return replace(value, parameter="")
            return None if value is None else _FLAG if isinstance(e.op, ast.Not) else _NOT_FOLLOWED
        if isinstance(e, (ast.Compare, ast.BoolOp)):
            parts = [e.left, *e.comparators] if isinstance(e, ast.Compare) else e.values
            for p in parts:
                self._no_pointer(self._eval(p), e, "is compared")
            return _FLAG
        if isinstance(e, ast.IfExp):
            self._no_pointer(self._eval(e.test), e, "decides")
            return self._joined(self._eval(e.body), self._eval(e.orelse))
        if isinstance(e, ast.Subscript):
            value = self._eval(e.value)
            if value is None:
                return None
            if broadcast_index(e.slice) is not None:
                return replace(value, parameter="") if isinstance(value, Number) else value
            self._no_pointer(value, e, "is subscripted")
            self._no_pointer(self._eval(e.slice), e, "is a subscript")
            return _NOT_FOLLOWED
        if isinstance(e, ast.Attribute):
            value = self._eval(e.value)
            if isinstance(value, Pointer) and e.attr not in TYPE_ATTRIBUTES:
                self._no_pointer(value, e, f"has its attribute {e.attr!r} taken")
            return _NOT_FOLLOWED
        if isinstance(e, ast.NamedExpr):
            value = self._eval(e.value)
            self._no_pointer(value, e, "is named inside an expression")
            return value
        if isinstance(e, (ast.Tuple, ast.List)):
            for x in e.elts:
                self._no_pointer(self._eval(x), e, "is put in a tuple or list")
            return _NOT_FOLLOWED
        for n in ast.walk(e):
            if isinstance(n, ast.Name) and isinstance(self.env.get(n.id), Pointer):
                self._doubt(e, f"a cache's address is used in a {type(e).__name__} expression")
        return _NOT_FOLLOWED

    def _no_pointer(self, value: Abstract | None, node: ast.AST, what: str) -> None:
        if self.recording and isinstance(value, Pointer):
            self._doubt(node, f"an address in {value.cache!r} {what}")

    def _name(self, name: str) -> Abstract | None:
        if name in self.locals:
            return self.env.get(name)
        meaning = self.scope.meaning(name)
        return self._constant(meaning) if isinstance(meaning, int) else _NOT_FOLLOWED

    def _constant(self, value: object) -> Number:
        if isinstance(value, int):
            small = abs(value) < _LIMIT
            return Number(ADAPTS if small else WIDE, Size.SMALL if small else Size.ANY, most=abs(value) if small else 0)
        return _NOT_FOLLOWED

    def _binary(self, e: ast.BinOp) -> Abstract | None:
        # Long sums are left-deep: walk them in a loop, so that their length is not a recursion depth.
        chain: list[ast.BinOp] = []
        node: ast.expr = e
        while isinstance(node, ast.BinOp):
            chain.append(node)
            node = node.left
        value = self._eval(node)
        for b in reversed(chain):
            value = self._combined(b.op, value, self._eval(b.right), b)
            if value is not None:
                self.values[b] = value
        return value

    def _combined(
        self, op: ast.operator, left: Abstract | None, right: Abstract | None, node: ast.expr
    ) -> Abstract | None:
        if left is None or right is None:
            return None
        if isinstance(left, Pointer) or isinstance(right, Pointer):
            return self._moved(op, left, right, node)
        width = max(left.width, right.width)
        fits = max(left.fits, right.fits)
        strides = left.strides | right.strides
        device = left.device or right.device
        if isinstance(op, (ast.Mult, ast.LShift)):
            return self._product(op, left, right, Number(width, fits=fits, strides=strides, device=device))
        if isinstance(op, (ast.Add, ast.Sub)):
            size = max(left.size, right.size)
            return _sized(Number(width, size, fits, strides, device=device), left.most + right.most)
        if isinstance(op, (ast.FloorDiv, ast.RShift)):
            return _sized(Number(width, left.size, fits, left.strides, device=device), left.most)
        if isinstance(op, ast.Mod) and right.size is Size.SMALL:  # whatever was divided
            return Number(width, Size.SMALL, most=right.most, device=device)
        if isinstance(op, ast.BitAnd) and isinstance(node, ast.BinOp):
            natural = [o.value for o in (node.left, node.right) if isinstance(o, ast.Constant) and _is_natural(o)]
            if natural:
                return replace(self._constant(natural[0]), width=width, device=device)
        if isinstance(op, (ast.Mod, ast.BitAnd, ast.BitOr, ast.BitXor)):
            return Number(width, Size.ANY, fits, strides, device=device)
        return _NOT_FOLLOWED

    def _product(self, op: ast.operator, left: Number, right: Number, product: Number) -> Number:
        """What is known of a product beside what its factors share."""
        if left.size is right.size is Size.SMALL:
            factor = right.most if isinstance(op, ast.Mult) else 1 << min(right.most, 32)
            if left.most * factor < _LIMIT:
                return replace(product, size=Size.SMALL, most=left.most * factor)
        # What lies in a block differs from lane to lane or was divided; a constexpr may be a stride itself.
        for small, stride in ((left, right), (right, left)):
            if small.size is Size.SMALL and small.device and stride.parameter and isinstance(op, ast.Mult):
                named = frozenset({stride.parameter}) if product.width < WIDE else frozenset()
                return replace(product, size=Size.INSIDE, strides=product.strides | named)
        self.block_strides |= {left.parameter, right.parameter} - {""}
        width = product.width
        narrow = Fits.YES if width == WIDE else Fits.UNKNOWN if width == UNKNOWN_WIDTH else Fits.NO
        return replace(product, fits=max(product.fits, narrow))

    def _moved(self, op: ast.operator, left: Abstract, right: Abstract, node: ast.AST) -> Abstract:
        """An address and what is added to it."""
        pointer, offset = (left, right) if isinstance(left, Pointer) else (right, left)
        assert isinstance(pointer, Pointer)
        reversed_ = isinstance(op, ast.Sub) and right is pointer
        if not isinstance(op, (ast.Add, ast.Sub)) or isinstance(offset, Pointer) or reversed_:
            if self.recording:
                self._doubt(node, f"an address in {pointer.cache!r} is calculated with")
            return replace(pointer, fits=Fits.UNKNOWN)
        return Pointer(pointer.cache, max(pointer.fits, offset.fits), pointer.strides | offset.strides)

    # ---- calls ------------------------------------------------------------------------------

    def _triton(self, func: ast.expr) -> str:
        """The last name of a function of Triton's; "" for any other."""
        root = func
        while isinstance(root, ast.Attribute):
            root = root.value
        if not isinstance(root, ast.Name) or root.id in self.locals:
            return ""
        dotted = self.scope.dotted(func)
        return dotted.rpartition(".")[2] if dotted is not None and is_triton(dotted) else ""

    def _call(self, e: ast.Call) -> Abstract | None:
        name = self._triton(e.func)
        if name in LOADS:
            return self._load(e, name)
        method = isinstance(e.func, ast.Attribute) and not name and not self._of_module(e.func)
        arguments: list[ast.expr] = [*([e.func.value] if method and isinstance(e.func, ast.Attribute) else []), *e.args]
        values = [self._eval(a.value if isinstance(a, ast.Starred) else a) for a in arguments]
        named = {k.arg or "**": self._eval(k.value) for k in e.keywords}
        if not name and not method:
            name = self._builtin(e.func)
        elif method:
            name = last_name(e.func)
        plain = not any(isinstance(a, ast.Starred) for a in e.args) and "**" not in named
        result = self._result(name, e, values, named) if name and plain else None
        if result is not _UNSAID and plain and name:
            return result
        for v in (*values, *named.values()):
            if isinstance(v, Pointer):
                if name == "make_tensor_descriptor" and self.recording:
                    self._descriptor(e, v)
                else:
                    self._no_pointer(v, e, f"is handed to {ast.unparse(e.func)}()")
        return _NOT_FOLLOWED

    def _of_module(self, func: ast.expr) -> bool:
        while isinstance(func, ast.Attribute):
            func = func.value
        return isinstance(func, ast.Name) and func.id not in self.locals

    def _builtin(self, func: ast.expr) -> str:
        if isinstance(func, ast.Name) and func.id not in self.locals:
            meaning = self.scope.meaning(func.id)
            if isinstance(meaning, str) and meaning in ("builtins.min", "builtins.max", "builtins.abs"):
                return func.id
        return ""

    def _descriptor(self, e: ast.Call, pointer: Pointer) -> None:
        base = next((x for x in (*e.args, *(k.value for k in e.keywords)) if self.values.get(x) is pointer), e.func)
        self.loads[e] = Gather(e, "make_tensor_descriptor", pointer.cache, base, None, self.statement)

    def _load(self, e: ast.Call, name: str) -> Number:
        parameters = ("ptr", "offsets") if name == "buffer_load" else ("pointer",)
        arguments = dict(zip(parameters, e.args, strict=False))
        arguments |= {k.arg: k.value for k in e.keywords if k.arg is not None and k.arg in parameters}
        others = [*e.args[len(parameters) :]] + [k.value for k in e.keywords if k.arg not in parameters]
        values = {p: self._eval(a) for p, a in arguments.items()}
        for x in others:
            self._no_pointer(
                self._eval(x.value if isinstance(x, ast.Starred) else x), e, "is another argument of a load"
            )
        spread = any(isinstance(a, ast.Starred) for a in e.args) or any(k.arg is None for k in e.keywords)
        pointer = values.get(parameters[0])
        offsets = values.get("offsets")
        self._no_pointer(offsets, e, "is the offsets of a load")
        if isinstance(pointer, Pointer) and self.recording:
            if spread or (name == "buffer_load" and "offsets" not in arguments):
                self._doubt(e, "a load from the cache takes arguments that are not in sight")
            where = arguments.get("offsets")
            self.loads[e] = Gather(e, name, pointer.cache, arguments[parameters[0]], where, self.statement)
        # Block tables hold 32-bit numbers; wider ones would only fit better.
        return Number(NARROW, device=True)

    def _result(
        self, name: str, e: ast.Call, values: list[Abstract | None], named: dict[str, Abstract | None]
    ) -> Abstract | None:
        """What a function of Triton's or Python's gives; `_UNSAID` where nothing is known of it."""
        everything = [*values, *named.values()]
        if name in ("program_id", "num_programs"):
            return Number(NARROW, device=True)
        if name in HARMLESS:
            return _UNSAID
        if None in everything and name not in ("where", "minimum", "maximum", "min", "max"):
            return None
        pointers = [v for v in everything if isinstance(v, Pointer)]
        first = values[0] if values else None
        if name in SAME and pointers == [first]:
            return first
        if pointers:
            return _UNSAID
        if name == "arange":
            ends = [v for v in (*values, *(named.get(k) for k in ("start", "end"))) if isinstance(v, Number)]
            size = max((v.size for v in ends), default=Size.ANY)
            return Number(NARROW, size, most=max((v.most for v in ends), default=0), device=True)
        if not isinstance(first, Number) and name != "where":
            return _UNSAID
        if name in ("to", "cast"):
            return self._converted(first, e)
        if name in SAME or name in ("reshape", "expand_dims", "ravel", "trans", "permute"):
            assert isinstance(first, Number)
            return replace(first, parameter="")
        if name == "cdiv":
            other = values[1] if len(values) > 1 else named.get("div")
            assert isinstance(first, Number)
            return self._combined(ast.FloorDiv(), first, other, e)
        if name == "zeros":
            return Number(NARROW, Size.SMALL, device=True)
        if name == "full" and len(values) > 1 and isinstance(values[1], Number):
            return replace(values[1], width=max(values[1].width, NARROW), device=True, parameter="")
        if name in ("where", "minimum", "maximum", "min", "max") and not named:
            return self._chosen(values[1:] if name == "where" else values)
        return _UNSAID

    def _chosen(self, choices: list[Abstract | None]) -> Abstract | None:
        """One of several numbers, lane by lane; converted to the widest."""
        held = [c for c in choices if c is not None]
        if not held or len(choices) < 2:
            return None if choices else _UNSAID
        value: Abstract | None = held[0]
        for c in held[1:]:
            value = self._joined(value, c)
        assert isinstance(value, Number)
        # Unlike names, whose type the way taken decides, these convert.
        width = max(c.width for c in held if isinstance(c, Number))
        return replace(value, width=width, device=any(c.device for c in held if isinstance(c, Number)))

    def _converted(self, value: Abstract | None, e: ast.Call) -> Abstract | None:
        assert isinstance(value, Number)
        dtype = e.args[-1] if e.args else next((k.value for k in e.keywords if k.arg == "dtype"), None)
        extra = len(e.args) > (1 if isinstance(e.func, ast.Attribute) and not self._triton(e.func) else 2)
        name = "" if dtype is None or extra else self._triton(dtype)
        if len(e.keywords) > 1 or not name:
            return _UNSAID
        if name == "int64":
            return replace(value, width=WIDE, parameter="", device=True)
        if name in ("int32", "uint32"):
            wide = value.size is not Size.SMALL and value.width > NARROW
            return replace(value, width=NARROW, fits=Fits.NO if wide else value.fits, parameter="", device=True)
        return _UNSAID

    def _counter(self, e: ast.Call) -> Abstract | None:
        """The variable of a loop over a range."""
        values = [self._eval(a) for a in e.args]
        if any(v is None for v in values):
            return None
        numbers = [v for v in values if isinstance(v, Number)]
        sizes, fits, most = (max((getattr(v, w) for v in numbers), default=None) for w in ("size", "fits", "most"))
        known = last_name(e.func) in ("range", "static_range") and (self._triton(e.func) or self._is_range(e.func))
        if len(numbers) < len(values) or not known or sizes is None or fits is None or most is None:
            return _NOT_FOLLOWED
        width = max(NARROW, *(v.width for v in numbers))
        return Number(width, sizes, fits, most=most, device=last_name(e.func) == "range")

    def _is_range(self, func: ast.expr) -> bool:
        return (
            isinstance(func, ast.Name)
            and func.id not in self.locals
            and self.scope.meaning(func.id) == "builtins.range"
        )


_UNSAID = Number(UNKNOWN_WIDTH, Size.ANY, Fits.UNKNOWN)


def _below(e: ast.expr) -> list[ast.expr]:
    return [n for n in ast.walk(e) if isinstance(n, ast.expr)]


def _sized(value: Number, most: int) -> Number:
    """A number that a small one may be larger than: then it may be anything."""
    if value.size is not Size.SMALL:
        return value
    return replace(value, most=most) if most < _LIMIT else replace(value, size=Size.ANY)


def _is_natural(operand: ast.Constant) -> bool:
    """Whether it is a small number that is not negative."""
    return type(operand.value) is int and 0 <= operand.value < _LIMIT
