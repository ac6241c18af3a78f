"""How a kernel computes the addresses that it gathers a cache's blocks from: which of them fit in how many bits.

A block number times the stride between blocks passes 2^31 long before a cache is too large for the device. It is right
in a pointer, where one of its factors has 64 bits; it is wrong in 32, and in the offsets of a buffer load, which are
32 bits on CDNA whatever their type.

Names are taken regardless of order (`aiterfix.source.assignments`): so no branch or loop has to be followed, and what
is said of a name holds wherever it stands. What is not followed is not known to fit.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from aiterfix.source.assignments import Assignment, Assignments
from aiterfix.source.expressions import broadcast_index
from aiterfix.source.magnitudes import (
    CONSTEXPR,
    FLAG,
    LIMIT,
    NOT_FOLLOWED,
    Abstract,
    Arithmetic,
    Fits,
    Number,
    Pointer,
    Size,
    constant,
    joined,
)
from aiterfix.source.names import closure, function_parameters, names_in
from aiterfix.source.scope import ModuleScope
from aiterfix.source.syntax import arguments, last_name, root_name
from aiterfix.source.tree import descend
from aiterfix.source.values import ADAPTS, NARROW, UNKNOWN_WIDTH, WIDE, Value
from aiterfix.source.vocabulary import HARMLESS, LOADS, SAME, TYPE_ATTRIBUTES

_ADDRESS = ("ptr", "pointer", "offsets")
_BUILTINS = frozenset({"builtins.abs", "builtins.max", "builtins.min", "builtins.range"})
_MOST_TURNS = 50
_GROWING = 1
"""Turns after which a number that still grows may be anything."""
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.If, ast.For, ast.While, ast.Assert, ast.Return)
"""Statements whose expressions are followed."""


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
    function: ast.FunctionDef,
    caches: Sequence[str],
    scope: ModuleScope,
    *,
    walrus: bool = True,
    values: Mapping[ast.expr, Value] = MappingProxyType({}),
) -> Gathers:
    """Find every load from a kernel's caches, and in how many bits its address is computed.

    Args:
        function: the kernel's definition.
        caches: its parameters that point to a cache.
        scope: the module that it stands in.
        walrus: False where the text has no ``:=``.
        values: of expressions where they stand: in which bits a name is there, where it is given numbers of several.

    Raises:
        RecursionError: an expression is nested deeper than the interpreter allows.
    """
    return _Finder(function, caches, scope, walrus, values).run()


class _Finder:
    def __init__(
        self,
        function: ast.FunctionDef,
        caches: Sequence[str],
        scope: ModuleScope,
        walrus: bool,
        values: Mapping[ast.expr, Value],
    ) -> None:
        self.held = values
        self.function = function
        self.scope = scope
        self.parameters = function_parameters(function)
        self.caches = [c for c in caches if c in self.parameters]
        self.missing = [c for c in caches if c not in self.parameters]
        self.found = Assignments(function.body, walrus=walrus)
        self.bindings = self.found.all
        self.locals = {*self.parameters, *(n for b in self.bindings for n in b.names)}
        self.numbers = Arithmetic()
        self.env: dict[str, Abstract | None] = {}
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

    def _start(self) -> None:
        a = self.function.args
        for p in (*a.posonlyargs, *a.args, *a.kwonlyargs):
            kind = self.scope.annotated_width(p.annotation)
            if p.arg in self.caches:
                self.env[p.arg] = Pointer(p.arg)
            elif kind == ADAPTS:
                self.env[p.arg] = Number(ADAPTS, Size.SMALL, most=CONSTEXPR)
            else:
                self.env[p.arg] = Number(kind, parameter=p.arg)
        for star in (a.vararg, a.kwarg):
            if star is not None:
                self.env[star.arg] = NOT_FOLLOWED

    def _tainted(self) -> frozenset[str]:
        """Names that may hold an address in a cache; what a load gives back is none."""
        handed = [(b.names, b.uses) for b in self.bindings if b.value is not None and not self._is_load(b.value)]
        return closure(self.caches, handed, forward=True)

    def _other_gathers(self, tainted: frozenset[str]) -> None:
        """Without a parameter of the cache's: loads from a place that was loaded may be of a cache by another name."""
        calls = ((u, n) for u in self.found.uses for n in _below(u.expression) if isinstance(n, ast.Call))
        loads = [(u, n) for u, n in calls if self._is_load(n)]
        given = [b for b in self.bindings if b.value is not None]
        first = {n for b in given if b.value is not None and any(map(self._is_load, _below(b.value))) for n in b.names}
        found = closure(first, [(b.names, b.uses) for b in given], forward=True)
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
        used = {n for u in self.found.uses if not u.names.isdisjoint(tainted) for n in u.names}
        # What a load gives does not hang on where it loads from.
        made = [(b.names, b.uses) for b in self.bindings if not (b.value is not None and self._is_load(b.value))]
        return closure(tainted | used, made, forward=False)

    def _bind(self, b: Assignment) -> set[str]:
        """Let names hold what they are bound to beside what they held; which of them changed."""
        held: Abstract | None = NOT_FOLLOWED
        if b.kind in ("name", "sum"):
            assert b.value is not None
            held = self._eval(b.value)
            if isinstance(held, Number) and held.width < WIDE and self._adds_up(b):
                held = replace(held, fits=max(held.fits, Fits.UNKNOWN))
        elif b.kind == "range":
            assert isinstance(b.value, ast.Call)
            held = self._counter(b.value)
        changed = set()
        for name in b.names:
            before = self.env.get(name)
            value = joined(before, held)
            if self.turn > _GROWING and isinstance(before, Number) and isinstance(value, Number):
                value = value if value.most == before.most else replace(value, size=Size.ANY, most=LIMIT)
            if value != before:
                self.env[name] = value
                changed.add(name)
        return changed

    def _adds_up(self, b: Assignment) -> bool:
        """Whether a name is given more of what may be anything, and maybe in every turn of a loop."""
        e = b.value
        if not (isinstance(e, ast.BinOp) and isinstance(e.left, ast.Name) and e.left.id in b.names):
            return False
        more = self.values.get(e.right)
        return isinstance(more, Number) and more.size is Size.ANY

    # ---- recording --------------------------------------------------------------------------

    def _record(self, tainted: frozenset[str]) -> None:
        for n in self.found.nested:
            if not tainted.isdisjoint(names_in(n)):
                self._doubt(n, "a cache's address is used in a function or class inside the kernel")
        for u in self.found.uses:
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
        fits = max(pointer.fits, Fits.NO if self.numbers.block_strides & pointer.strides else Fits.YES)
        outside = False
        if g.offsets is not None:
            if not isinstance(offsets, Number):
                return replace(g, fits=Fits.UNKNOWN)
            outside = offsets.size is Size.ANY or bool(self.numbers.block_strides & offsets.strides)
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
            return self._name(e)
        if isinstance(e, ast.Constant):
            return constant(e.value)
        if isinstance(e, ast.BinOp):
            return self._binary(e)
        if isinstance(e, ast.Call):
            return self._call(e)
        if isinstance(e, ast.UnaryOp):
            value = self._eval(e.operand)
            self._no_pointer(value, e, "is negated")
            if isinstance(e.op, (ast.USub, ast.UAdd)) and isinstance(value, Number):
                return replace(value, parameter="")
            return None if value is None else FLAG if isinstance(e.op, ast.Not) else NOT_FOLLOWED
        if isinstance(e, (ast.Compare, ast.BoolOp)):
            parts = [e.left, *e.comparators] if isinstance(e, ast.Compare) else e.values
            for p in parts:
                self._no_pointer(self._eval(p), e, "is compared")
            return FLAG
        if isinstance(e, ast.IfExp):
            self._no_pointer(self._eval(e.test), e, "decides")
            return joined(self._eval(e.body), self._eval(e.orelse))
        if isinstance(e, ast.Subscript):
            value = self._eval(e.value)
            if value is None:
                return None
            if broadcast_index(e.slice) is not None:
                return replace(value, parameter="") if isinstance(value, Number) else value
            self._no_pointer(value, e, "is subscripted")
            self._no_pointer(self._eval(e.slice), e, "is a subscript")
            return NOT_FOLLOWED
        if isinstance(e, ast.Attribute):
            value = self._eval(e.value)
            if isinstance(value, Pointer) and e.attr not in TYPE_ATTRIBUTES:
                self._no_pointer(value, e, f"has its attribute {e.attr!r} taken")
            return NOT_FOLLOWED
        if isinstance(e, ast.NamedExpr):
            value = self._eval(e.value)
            self._no_pointer(value, e, "is named inside an expression")
            return value
        if isinstance(e, (ast.Tuple, ast.List)):
            for x in e.elts:
                self._no_pointer(self._eval(x), e, "is put in a tuple or list")
            return NOT_FOLLOWED
        for n in descend(e):
            if isinstance(n, ast.Name) and isinstance(self.env.get(n.id), Pointer):
                self._doubt(e, f"a cache's address is used in a {type(e).__name__} expression")
        return NOT_FOLLOWED

    def _no_pointer(self, value: Abstract | None, node: ast.AST, what: str) -> None:
        if self.recording and isinstance(value, Pointer):
            self._doubt(node, f"an address in {value.cache!r} {what}")

    def _name(self, e: ast.Name) -> Abstract | None:
        if e.id in self.locals:
            value, here = self.env.get(e.id), self.held.get(e)
            mixed = isinstance(value, Number) and value.width == UNKNOWN_WIDTH
            if isinstance(value, Number) and mixed and here is not None and here.width in (NARROW, WIDE):
                return replace(value, width=here.width)
            return value
        meaning = self.scope.meaning(e.id)
        return constant(meaning) if isinstance(meaning, int) else NOT_FOLLOWED

    def _binary(self, e: ast.BinOp) -> Abstract | None:
        # Long sums are left-deep: walk them in a loop, so that their length is not a recursion depth.
        chain: list[ast.BinOp] = []
        node: ast.expr = e
        while isinstance(node, ast.BinOp):
            chain.append(node)
            node = node.left
        value = self._eval(node)
        for b in reversed(chain):
            value = self._combined(b, value, self._eval(b.right))
            if value is not None:
                self.values[b] = value
        return value

    def _combined(self, e: ast.BinOp, left: Abstract | None, right: Abstract | None) -> Abstract | None:
        if left is None or right is None:
            return None
        if isinstance(left, Pointer) or isinstance(right, Pointer):
            return self._moved(e.op, left, right, e)
        literals = (o.value for o in (e.left, e.right) if isinstance(o, ast.Constant))
        natural = next((v for v in literals if type(v) is int and 0 <= v < LIMIT), None)
        return self.numbers.combined(e.op, left, right, natural)

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
        return "" if root_name(func) in self.locals else self.scope.triton(func)

    def _call(self, e: ast.Call) -> Abstract | None:
        name = self._triton(e.func)
        if name in LOADS:
            return self._load(e, name)
        method = isinstance(e.func, ast.Attribute) and not name and root_name(e.func) in {"", *self.locals}
        given = [*([e.func.value] if method and isinstance(e.func, ast.Attribute) else []), *e.args]
        values = [self._eval(a.value if isinstance(a, ast.Starred) else a) for a in given]
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
        return NOT_FOLLOWED

    def _builtin(self, func: ast.expr) -> str:
        dotted = "" if root_name(func) in self.locals else self.scope.dotted(func) or ""
        return dotted[9:] if dotted in _BUILTINS else ""

    def _descriptor(self, e: ast.Call, pointer: Pointer) -> None:
        base = next((x for x in (*e.args, *(k.value for k in e.keywords)) if self.values.get(x) is pointer), e.func)
        self.loads[e] = Gather(e, "make_tensor_descriptor", pointer.cache, base, None, self.statement)

    def _load(self, e: ast.Call, name: str) -> Number:
        parameters = ("ptr", "offsets") if name == "buffer_load" else ("pointer",)
        given = {p: a for p, a in arguments(e, parameters).items() if p in parameters}
        others = [*e.args[len(parameters) :]] + [k.value for k in e.keywords if k.arg not in parameters]
        values = {p: self._eval(a) for p, a in given.items()}
        for x in others:
            self._no_pointer(
                self._eval(x.value if isinstance(x, ast.Starred) else x), e, "is another argument of a load"
            )
        spread = any(isinstance(a, ast.Starred) for a in e.args) or any(k.arg is None for k in e.keywords)
        pointer = values.get(parameters[0])
        offsets = values.get("offsets")
        self._no_pointer(offsets, e, "is the offsets of a load")
        if isinstance(pointer, Pointer) and self.recording:
            if spread or (name == "buffer_load" and "offsets" not in given):
                self._doubt(e, "a load from the cache takes arguments that are not in sight")
            where = given.get("offsets")
            self.loads[e] = Gather(e, name, pointer.cache, given[parameters[0]], where, self.statement)
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
            return self.numbers.combined(ast.FloorDiv(), first, other) if isinstance(other, Number) else None
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
            value = joined(value, c)
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
        known = (self._triton(e.func) or self._builtin(e.func)) in ("range", "static_range")
        if len(numbers) < len(values) or not known or sizes is None or fits is None or most is None:
            return NOT_FOLLOWED
        width = max(NARROW, *(v.width for v in numbers))
        return Number(width, sizes, fits, most=most, device=last_name(e.func) == "range")


_UNSAID = Number(UNKNOWN_WIDTH, Size.ANY, Fits.UNKNOWN)


def _below(e: ast.expr) -> list[ast.expr]:
    return [n for n in descend(e) if isinstance(n, ast.expr)]
