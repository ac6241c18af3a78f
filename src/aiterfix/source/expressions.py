"""Evaluate expressions to symbolic values, and follow where an address inside the output goes."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from aiterfix.fixes import KernelSpec
from aiterfix.source.names import bound_names, function_parameters
from aiterfix.source.values import ZERO, Atom, Rank, Universe, Value, integer

# Positional parameters of the two store functions (triton.language.store, and
# triton.experimental.gluon.language.amd.cdna3.buffer_store; Triton 3.5 to 3.9).
STORE_PARAMETERS: dict[str, tuple[str, ...]] = {
    "store": ("pointer", "value", "mask"),
    "buffer_store": ("stored_value", "ptr", "offsets", "mask", "cache"),
}
POINTER_PARAMETER = {"store": "pointer", "buffer_store": "ptr"}

# Functions of Triton, Gluon and Python whose result depends on their arguments alone.
_PURE_FUNCTIONS = """
    abs arange broadcast_to cdiv expand_dims full max maximum min minimum num_programs program_id reshape zeros
"""
_LAYOUTS = "AMDMFMALayout AMDWMMALayout BlockedLayout DotOperandLayout SliceLayout SwizzledSharedLayout"
_PURE = frozenset(f"{_PURE_FUNCTIONS} {_LAYOUTS} constexpr".split())
_SCALAR_CALLS = frozenset({"program_id", "num_programs", "constexpr"})
_ELEMENTWISE_CALLS = frozenset({"abs", "cdiv", "max", "maximum", "min", "minimum"})
# Compiler hints that return their first argument unchanged.
_TRANSPARENT = frozenset({"multiple_of", "max_contiguous", "max_constancy"})
_LOADS = frozenset({"load", "buffer_load"})
_HARMLESS = frozenset({"static_assert", "static_print", "device_print", "device_assert", "assume"})
_RANGES = frozenset({"range", "static_range"})
_TYPE_ATTRIBUTES = frozenset({"type", "dtype", "element_ty"})

_BINARY = {
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Div: "div",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.BitAnd: "and",
    ast.MatMult: "matmul",
}
_COMPARE = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}

Environment = dict[str, Value]


@dataclass(frozen=True)
class Problem:
    """Something about a kernel that is not understood, so that nothing may be concluded.

    Attributes:
        code: stable machine name.
        message: one sentence for people.
        line: 1-based line in the file.
        kernel: the kernel's name, or "" for the whole file.
    """

    code: str
    message: str
    line: int
    kernel: str = ""


@dataclass(frozen=True)
class StoreCall:
    """A store to the output, evaluated where it stands.

    Attributes:
        node: the call.
        kind: "store" or "buffer_store".
        arguments: the argument nodes by parameter name.
        address: pointer and offsets together.
        mask: the mask's value; None without one.
        environment: what every local name holds at the call.
    """

    node: ast.Call
    kind: str
    arguments: dict[str, ast.expr]
    address: Value
    mask: Value | None
    environment: Environment


@dataclass
class KernelWalk:
    """What a walk found. `stores` are in source order; `values` has every expression's value where it stands."""

    output: Atom
    bound: Atom | None
    strides: frozenset[Atom]
    stores: list[StoreCall] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    values: dict[ast.expr, Value] = field(default_factory=dict)


class Evaluator:
    """Names and what they hold, in one kernel.

    Args:
        function: the kernel's definition; it must have the output parameter.
        spec: its output, bound and strides.
        tainted: names that may ever hold an address inside the output, whatever the order of statements.
    """

    def __init__(self, function: ast.FunctionDef, spec: KernelSpec, tainted: frozenset[str]) -> None:
        self.function = function
        self.spec = spec
        self.tainted = tainted
        self.universe = Universe()
        self.env: Environment = {n: self.universe.symbol(n, Rank.SCALAR) for n in function_parameters(function)}
        self.globals: dict[str, Value] = {}
        self.carriers: set[Atom] = set()
        """Symbols that may hold an address inside the output without our knowing which."""
        output = self.env[spec.output].atom
        assert output is not None
        bound = self.env.get(spec.bound, ZERO).atom
        strides = frozenset(a for s in spec.strides if (a := self.env.get(s, ZERO).atom) is not None)
        self.walk = KernelWalk(output, bound, strides)

    # ---- names and addresses ----------------------------------------------------------------

    def fresh(self, name: str, rank: Rank = Rank.UNKNOWN) -> Value:
        """A new symbol for a name whose value cannot be followed."""
        value = self.universe.symbol(name, rank)
        if name in self.tainted:
            atom = value.atom
            assert atom is not None
            self.carriers.add(atom)
        return value

    def _carries(self, value: Value) -> bool:
        mentions = value.mentions
        return self.walk.output in mentions or not self.carriers.isdisjoint(mentions)

    def _is_address(self, value: Value) -> bool:
        """The output parameter once, plus terms that do not carry it."""
        output = (self.walk.output,)
        if value.terms.get(output) != 1:
            return False
        return not self._carries(value - Value({output: 1}))

    def escape(self, value: Value, what: str, node: ast.AST) -> None:
        """Record a problem where an address inside the output goes somewhere we do not follow."""
        if self._carries(value):
            self.problem("output-escapes", f"an address inside {self.spec.output!r} {what}", node)

    def problem(self, code: str, message: str, node: ast.AST) -> None:
        """Record once that something is not understood."""
        problem = Problem(code, message, getattr(node, "lineno", self.function.lineno), self.spec.name)
        if problem not in self.walk.problems:
            self.walk.problems.append(problem)

    def forget(self, names: set[str]) -> None:
        """Give names fresh symbols: they may have changed in a way that was not followed."""
        for name in sorted(names):
            self.env[name] = self.fresh(name)

    def assign(self, target: ast.expr, value: Value) -> None:
        """Bind a target, element by element where both sides are displays of one length."""
        if isinstance(target, ast.Name):
            self.env[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            atom = value.atom
            starred = any(isinstance(t, ast.Starred) for t in target.elts)
            if atom is not None and atom.op == "tuple" and len(atom.operands) == len(target.elts) and not starred:
                for t, v in zip(target.elts, atom.operands, strict=True):
                    self.assign(t, v)
            else:
                self.escape(value, "is unpacked", target)
                self.forget(set(bound_names(target)))
        else:
            self.escape(value, "is kept in an attribute or element", target)
            self.escape(self.evaluate(target), "is written to as an attribute or element", target)

    # ---- expressions ------------------------------------------------------------------------

    def evaluate_bound(self, e: ast.expr) -> Value:
        """The value of an expression whose result gets a name: an address may get one, if it is a plain one."""
        value = self.evaluate(e)
        if self._carries(value) and not self._is_address(value):
            atom = value.atom
            if not (atom is not None and atom.op == "tuple"):
                self.problem("output-escapes", f"a value computed from {self.spec.output!r} is not understood", e)
        return value

    def name(self, name: str) -> Value:
        """What a name holds here; names that are not local are symbols of the module."""
        if name in self.env:
            return self.env[name]
        if name not in self.globals:
            self.globals[name] = self.universe.symbol(name, Rank.UNKNOWN)
        return self.globals[name]

    def evaluate(self, e: ast.expr) -> Value:
        """The value of an expression; of a kind that kernels do not use, a fresh symbol."""
        method: Callable[[ast.expr], Value] | None = getattr(self, "_eval_" + type(e).__name__, None)
        if method is not None:
            value = self.walk.values[e] = method(e)
            return value
        for n in ast.walk(e):
            if isinstance(n, ast.Name) and n.id in self.tainted:
                self.problem("expression", f"{self.spec.output!r} is used in a {type(e).__name__} expression", e)
                break
        self.forget(set(bound_names(e)))
        return self.universe.symbol(f"<{type(e).__name__}>", Rank.UNKNOWN)

    def _eval_Name(self, e: ast.Name) -> Value:  # noqa: N802 - named for the ast class
        return self.name(e.id)

    def _eval_Constant(self, e: ast.Constant) -> Value:  # noqa: N802
        if isinstance(e.value, int) and not isinstance(e.value, bool):
            return integer(e.value)
        return self.universe.operation("constant", repr(e.value), (), Rank.SCALAR)

    def _eval_Tuple(self, e: ast.Tuple) -> Value:  # noqa: N802
        return self.universe.operation("tuple", "", tuple(self.evaluate(x) for x in e.elts), Rank.UNKNOWN)

    _eval_List = _eval_Tuple  # noqa: N815

    def _eval_NamedExpr(self, e: ast.NamedExpr) -> Value:  # noqa: N802
        value = self.evaluate_bound(e.value)
        self.assign(e.target, value)
        return value

    def _eval_UnaryOp(self, e: ast.UnaryOp) -> Value:  # noqa: N802
        value = self.evaluate(e.operand)
        if isinstance(e.op, ast.USub):
            return -value
        if isinstance(e.op, ast.UAdd):
            return value
        self.escape(value, "is negated", e)
        return self.universe.operation("not", type(e.op).__name__, (value,), value.rank)

    def _eval_BinOp(self, e: ast.BinOp) -> Value:  # noqa: N802
        # Long sums are left-deep: walk them in a loop, so that their length is not a recursion depth.
        chain: list[ast.BinOp] = []
        node: ast.expr = e
        while isinstance(node, ast.BinOp):
            chain.append(node)
            node = node.left
        value = self.evaluate(node)
        for b in reversed(chain):
            value = self.walk.values[b] = self.binary(type(b.op), value, self.evaluate(b.right), b)
        return value

    def binary(self, op: type[ast.operator], left: Value, right: Value, node: ast.AST) -> Value:
        """The value of an arithmetic operation; an address may only have terms added or taken away."""
        if op is ast.Add:
            return left + right
        if op is ast.Sub:
            self.escape(right, "is subtracted", node)
            return left - right
        self.escape(left, "is an operand of an arithmetic operation", node)
        self.escape(right, "is an operand of an arithmetic operation", node)
        if op is ast.Mult:
            return self.universe.product(left, right)
        return self.universe.operation(_BINARY[op], "", (left, right), Rank.of((left.rank, right.rank)))

    def _eval_BoolOp(self, e: ast.BoolOp) -> Value:  # noqa: N802
        values = [self.evaluate(v) for v in e.values]
        for v in values:
            self.escape(v, "is an operand of and/or", e)
        op = "and" if isinstance(e.op, ast.And) else "or"
        return self.universe.operation(op, "", tuple(values), Rank.of(v.rank for v in values))

    def _eval_Compare(self, e: ast.Compare) -> Value:  # noqa: N802
        values = [self.evaluate(e.left), *map(self.evaluate, e.comparators)]
        if not isinstance(e.ops[0], (ast.Is, ast.IsNot)):
            for v in values:
                self.escape(v, "is compared", e)
        else:
            values = [self.universe.symbol("<is>", Rank.SCALAR)] if any(map(self._carries, values)) else values
        if len(values) == 2:
            return self.universe.operation(
                "compare", _COMPARE[type(e.ops[0])], tuple(values), Rank.of(v.rank for v in values)
            )
        # Triton rejects chained comparisons; whatever one would mean, it is not a bound to us.
        ops = ",".join(_COMPARE[type(o)] for o in e.ops)
        return self.universe.operation("chain", ops, tuple(values), Rank.of(v.rank for v in values))

    def _eval_IfExp(self, e: ast.IfExp) -> Value:  # noqa: N802
        values = tuple(self.evaluate(x) for x in (e.test, e.body, e.orelse))
        for v in values:
            self.escape(v, "is chosen by a condition", e)
        return self.universe.operation("ifexp", "", values, Rank.of(v.rank for v in values))

    def _eval_Attribute(self, e: ast.Attribute) -> Value:  # noqa: N802
        value = self.evaluate(e.value)
        if self._carries(value):
            if e.attr not in _TYPE_ATTRIBUTES:
                self.escape(value, f"has its attribute {e.attr!r} taken", e)
            return self.universe.symbol(f"<{e.attr}>", Rank.UNKNOWN)
        return self.universe.operation("attribute", e.attr, (value,), Rank.UNKNOWN)

    def _eval_Subscript(self, e: ast.Subscript) -> Value:  # noqa: N802
        value = self.evaluate(e.value)
        index = _broadcast_index(e.slice)
        if index is not None:
            if not self._carries(value) or self._is_address(value):
                return self.universe.broadcast(value, index)
            self.escape(value, "is subscripted", e)
        subscript = self.evaluate(e.slice)
        self.escape(value, "is subscripted", e)
        self.escape(subscript, "is a subscript", e)
        return self.universe.operation("subscript", ast.dump(e.slice), (value, subscript), Rank.UNKNOWN)

    def _eval_Slice(self, e: ast.Slice) -> Value:  # noqa: N802
        parts = tuple(self.evaluate(x) for x in (e.lower, e.upper, e.step) if x is not None)
        return self.universe.operation("slice", ast.dump(e), parts, Rank.UNKNOWN)

    def _eval_Call(self, e: ast.Call) -> Value:  # noqa: N802
        name = last_name(e.func)
        if name in STORE_PARAMETERS and self._is_module_function(e.func):
            return self._store(e, name)
        if isinstance(e.func, ast.Attribute) and e.func.attr == "to" and not self._is_module_function(e.func):
            return self._conversion(e, e.func)
        values = [self.evaluate(a.value if isinstance(a, ast.Starred) else a) for a in e.args]
        values += [self.evaluate(k.value) for k in e.keywords]
        if isinstance(e.func, ast.Attribute) and not self._is_module_function(e.func):
            values.insert(0, self.evaluate(e.func.value))
        elif not isinstance(e.func, (ast.Attribute, ast.Name)):
            values.insert(0, self.evaluate(e.func))
        starred = any(isinstance(a, ast.Starred) for a in e.args) or any(k.arg is None for k in e.keywords)
        known = self._is_module_function(e.func)
        if known and name in _TRANSPARENT and e.args and not starred:
            return values[0]
        if not (known and (name in _LOADS or name in _HARMLESS)):
            for v in filter(self._carries, values):
                self.escape(v, f"is passed to {ast.unparse(e.func)}()", e)
        if known and name in _PURE and not starred and not any(map(self._carries, values)):
            return self._pure_call(e, name, values)
        return self.universe.symbol(f"{name or '<call>'}()", Rank.UNKNOWN)

    def _pure_call(self, e: ast.Call, name: str, values: list[Value]) -> Value:
        names = ",".join(["_"] * len(e.args) + [str(k.arg) for k in e.keywords])
        if name in _SCALAR_CALLS:
            rank = Rank.SCALAR
        elif name in _ELEMENTWISE_CALLS:
            rank = Rank.of(v.rank for v in values)
        else:
            rank = Rank.TENSOR
        return self.universe.operation("call", f"{_dotted(e.func)}({names})", tuple(values), rank)

    def _conversion(self, e: ast.Call, func: ast.Attribute) -> Value:
        """``x.to(tl.int64)`` keeps the number; any other conversion may not."""
        value = self.evaluate(func.value)
        arguments = [self.evaluate(a) for a in e.args] + [self.evaluate(k.value) for k in e.keywords]
        self.escape(value, "is converted", e)
        widening = len(e.args) == 1 and not e.keywords and last_name(e.args[0]) == "int64"
        if widening and not isinstance(e.args[0], ast.Name):
            return value
        return self.universe.operation("call", "to", (value, *arguments), value.rank)

    def _is_module_function(self, func: ast.expr) -> bool:
        """Whether a callee is reached through a module or is a global: its root is no local name."""
        while isinstance(func, ast.Attribute):
            func = func.value
        return isinstance(func, ast.Name) and func.id not in self.env

    def _store(self, e: ast.Call, kind: str) -> Value:
        result = self.universe.symbol(f"{kind}()", Rank.UNKNOWN)
        arguments: dict[str, ast.expr] = {}
        spread = False
        for parameter, argument in zip(STORE_PARAMETERS[kind], e.args, strict=False):
            spread = spread or isinstance(argument, ast.Starred)
            arguments[parameter] = argument
        for keyword in e.keywords:
            if keyword.arg is None:
                spread = True
            else:
                arguments[keyword.arg] = keyword.value
        values = {p: self.evaluate(a.value if isinstance(a, ast.Starred) else a) for p, a in arguments.items()}
        spread_values = [self.evaluate(k.value) for k in e.keywords if k.arg is None]
        pointer = POINTER_PARAMETER[kind]
        if spread:
            starred = any(isinstance(a, ast.Starred) for a in e.args)
            if starred or pointer not in values or any(map(self._carries, [*values.values(), *spread_values])):
                self.problem("store-arguments", "a store takes * or ** arguments, so its mask is not visible", e)
            return result
        if len(e.args) > len(STORE_PARAMETERS[kind]) and kind == "buffer_store":
            self.problem("store-arguments", "a store has more positional arguments than are known", e)
        address = values.pop(pointer, ZERO)
        for parameter, value in values.items():
            self.escape(value, f"is the {parameter!r} of a store", e)
        if kind == "buffer_store" and "offsets" not in values and self._carries(address):
            self.problem("store-arguments", "a buffer_store to the output has no offsets", e)
            return result
        if not self._carries(address):
            return result
        if not self._is_address(address):
            self.problem("pointer", "the pointer of a store to the output is not understood", e)
            return result
        if arguments.get("boundary_check") is not None:
            self.problem("store-arguments", "a store to the output uses boundary_check", e)
        mask_node = arguments.get("mask")
        no_mask = mask_node is None or (isinstance(mask_node, ast.Constant) and mask_node.value is None)
        offsets = values.get("offsets", ZERO)
        mask = None if no_mask else values["mask"]
        self.walk.stores.append(StoreCall(e, kind, arguments, address + offsets, mask, dict(self.env)))
        return result


def last_name(node: ast.expr) -> str:
    """``c`` of ``a.b.c``; the name itself; "" for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _dotted(node: ast.expr) -> str:
    """``a.b.c`` as text."""
    # `ast.unparse` would do, at some hundred times the cost; it is called for every pure call of a kernel.
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([last_name(node), *reversed(parts)])


def _broadcast_index(index: ast.expr) -> str | None:
    """Canonical text of a subscript made of None and full slices only; None for any other."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    texts = []
    for p in parts:
        if isinstance(p, ast.Constant) and p.value is None:
            texts.append("None")
        elif isinstance(p, ast.Slice) and p.lower is None and p.upper is None and p.step is None:
            texts.append(":")
        else:
            return None
    return ", ".join(texts)
