"""Evaluate calls: of Triton's functions, of stores, and of what cannot be followed."""

from __future__ import annotations

import ast
import re

from aiterfix.source.expressions import Evaluator
from aiterfix.source.logic import is_boolean
from aiterfix.source.scope import is_triton
from aiterfix.source.syntax import last_name, root_name
from aiterfix.source.values import ADAPTS, NARROW, UNKNOWN_WIDTH, WIDE, ZERO, Rank, Value
from aiterfix.source.vocabulary import (
    ASSEMBLY,
    BUILTIN_FUNCTIONS,
    FLOATS,
    FUNCTIONS,
    HARMLESS,
    HINTS,
    LAYOUTS,
    LOADS,
    METHODS,
    POINTER_PARAMETER,
    SAME,
    STORE_PARAMETERS,
    UNREADABLE,
    WRITERS,
)
from aiterfix.source.walk import Environment, StoreCall

_LEAD_OUT = ("make_tensor_descriptor", *(f"{name}()" for name in LOADS))


class CallEvaluator(Evaluator):
    """Expressions with the calls in them. Arguments: see `Evaluator`."""

    def callee(self, func: ast.expr) -> str | ast.FunctionDef | None:
        """What a called expression is: a dotted name from imports, a function that can be followed, or None."""
        if not self._global_root(func):
            return None
        if isinstance(func, ast.Name):
            meaning = self.walk.scope.meaning(func.id)
            return None if isinstance(meaning, int) else meaning
        return self.walk.scope.dotted(func)

    def _is_local(self, name: str) -> bool:
        frame = self.frame
        return name in frame.env or (frame.outer is not None and name in frame.outer)

    def _eval_Call(self, e: ast.Call) -> Value:  # noqa: N802
        target = self.callee(e.func)
        name = last_name(e.func)
        if isinstance(target, str):
            name = target.rpartition(".")[2]
            if is_triton(target):
                return self._triton(e, name)
            if target == f"builtins.{name}" and name in UNREADABLE:
                self.problem("dynamic", f"{name}() can do anything to the kernel's names", e)
            if target in BUILTIN_FUNCTIONS and len(e.args) > (name != "abs") and not e.keywords:
                values = [self.evaluate(a) for a in e.args]
                if not any(map(self.carries, values)) and not any(isinstance(a, ast.Starred) for a in e.args):
                    return self._elementwise(name, values)
        if isinstance(target, ast.FunctionDef):
            return self.inline(e, target, None)
        local = self.env.get(e.func.id) if isinstance(e.func, ast.Name) else None
        if local is not None and local.atom in self.closures:
            node, frame = self.closures[local.atom]
            if frame is self.frame:
                return self.inline(e, node, {**(frame.outer or {}), **frame.env})
        if target is None and isinstance(e.func, ast.Attribute) and not self._global_root(e.func):
            base = self.evaluate(e.func.value)
            if name in METHODS and not self.carries(base):
                return self._function(e, name, base)
            # Shared memory, which a kernel has allocated, is not the output; an address or a descriptor may lead there.
            made = base.atom.payload if base.atom is not None and base.atom.op == "symbol" else ""
            if name in WRITERS and (not made.endswith("()") or made.startswith(_LEAD_OUT)):
                self._other_store(e)
            return self._opaque(e, [base])
        return self._opaque(e, [self.evaluate(e.func)])

    def _global_root(self, func: ast.expr) -> bool:
        root = root_name(func)
        return root != "" and not self._is_local(root)

    def inline(self, e: ast.Call, node: ast.FunctionDef, outer: Environment | None) -> Value:
        """Walk a called function's body with the call's arguments. (The walker knows statements.)"""
        raise NotImplementedError

    def opaque_call(self, e: ast.Call) -> Value:
        """A call of a function that cannot be followed."""
        return self._opaque(e, [])

    def _opaque(self, e: ast.Call, values: list[Value]) -> Value:
        values = [*values, *(self.evaluate(a.value if isinstance(a, ast.Starred) else a) for a in e.args)]
        values += [self.evaluate(k.value) for k in e.keywords]
        for v in values:
            if self.carries(v):
                self.escape(v, f"is passed to {ast.unparse(e.func)}()", e)
        return self.universe.symbol(f"{last_name(e.func) or '<call>'}()", Rank.UNKNOWN)

    def _triton(self, e: ast.Call, name: str) -> Value:
        """A call of Triton's or Gluon's own function."""
        if name in STORE_PARAMETERS:
            return self._store(e, name)
        if name in FUNCTIONS:
            return self._function(e, name, None)
        values = [self.evaluate(a.value if isinstance(a, ast.Starred) else a) for a in e.args]
        values += [self.evaluate(k.value) for k in e.keywords]
        if name not in LOADS and name not in HARMLESS:
            for v in values:
                if self.carries(v):
                    self.escape(v, f"is passed to {ast.unparse(e.func)}()", e)
            if (name in WRITERS or _assembly_writes(e, name)) and not any(map(self.carries, values)):
                self._other_store(e)
        if name == "static_assert" and e.args:
            self.conditions = (*self.conditions, (values[0], True))
        if name in LAYOUTS:
            names = ",".join(["_"] * len(e.args) + [str(k.arg) for k in e.keywords])
            return self.universe.operation("call", f"{name}({names})", tuple(values), Rank.UNKNOWN)
        value = self.made(f"{name}()", Rank.of(v.rank for v in values) if name in LOADS else Rank.UNKNOWN)
        other = len(e.args) > 2 or any(k.arg in (None, "other") for k in e.keywords)
        if name in LOADS and value.rank is Rank.SCALAR and value.atom is not None and not other:
            self.universe.assumed.add(value.atom)
        return value

    def _function(self, e: ast.Call, name: str, base: Value | None) -> Value:
        """A function of `FUNCTIONS`, or a method of that name of ``base``."""
        parameters = FUNCTIONS[name]
        starred = any(isinstance(a, ast.Starred) for a in e.args) or any(k.arg is None for k in e.keywords)
        values = [] if base is None else [base]
        values += [self.evaluate(a.value if isinstance(a, ast.Starred) else a) for a in e.args]
        arguments = dict(zip(parameters, values, strict=False))
        nodes = dict(zip(parameters if base is None else parameters[1:], e.args, strict=False))
        for k in e.keywords:
            value = self.evaluate(k.value)
            arguments[k.arg or "**"] = value
            nodes[k.arg or "**"] = k.value
            values.append(value)
        if name == "reshape" and len(values) > len(parameters) and not e.keywords:
            arguments["shape"] = self.universe.operation("tuple", "", tuple(values[1:]), Rank.UNKNOWN)
        carried = [v for v in values if self.carries(v)]
        if name in SAME and carried == values[:1] and self._is_address(values[0]) and not starred:
            return values[0]
        if carried:
            self.escape(carried[0], f"is passed to {ast.unparse(e.func)}()", e)
            return self.universe.symbol(f"{name}()", Rank.UNKNOWN)
        if not starred and parameters[0] in arguments:
            try:
                result = self._result(name, arguments, nodes)
            except KeyError:
                result = None
            if result is not None:
                return result
        return self.made(f"{name}()")

    def _result(self, name: str, a: dict[str, Value], nodes: dict[str, ast.expr]) -> Value | None:
        first = a[FUNCTIONS[name][0]]
        if name in HINTS and not _holds(name, first, a["values"]):
            return self.universe.operation("hint", name, (first, a["values"]), first.rank, first.width)
        if name in SAME:
            self.walk.relaid = self.walk.relaid or name in ("convert_layout", "set_auto_layout")
            return first
        if name in ("program_id", "num_programs"):
            value = self.universe.operation(name, "", (first,), Rank.SCALAR, NARROW)
            assert value.atom is not None
            self.universe.least[value.atom] = int(name == "num_programs")
            return value
        if name == "arange":
            # Lanes are counted alike in every layout.
            value = self.universe.operation("arange", "", (first, a["end"]), Rank.TENSOR, NARROW)
            if (start := first.constant) is not None and value.atom is not None:
                self.universe.least[value.atom] = start
                if start >= 0 and (end := a["end"].atom) is not None and end.op == "symbol":
                    self.universe.sizes[end] = start + 1
            return value
        if name in ("maximum", "minimum"):
            return self._elementwise(name[:3], [first, a["y"]])
        if name in ("abs", "cdiv"):
            return self._elementwise(name, [first, a["div"]] if name == "cdiv" else [first])
        if name == "clamp":
            return self._elementwise("min", [self._elementwise("max", [first, a["min"]]), a["max"]])
        if name in ("logical_and", "logical_or"):
            rank = Rank.of((first.rank, a["other"].rank))
            return self.universe.operation("land" if name == "logical_and" else "lor", "", (first, a["other"]), rank)
        if name == "where":
            # Unlike a branch, it converts both.
            return self.universe.select(first, a["x"], a["y"]).of_width(max(a["x"].width, a["y"].width))
        if name == "full":
            whole = ("int1",) if is_boolean(a["value"]) else ("int32", "int64")
            same = self._dtype(nodes.get("dtype")) in whole and a["value"].rank is Rank.SCALAR
            return a["value"] if same else None
        if name == "zeros":
            dtype = self._dtype(nodes.get("dtype"))
            if dtype == "int1":
                return self.universe.operation("constant", "False", (), Rank.SCALAR, ADAPTS)
            return ZERO.of_width(WIDE if dtype == "int64" else NARROW) if dtype in ("int32", "int64") else None
        if name == "broadcast":
            return self.universe.operation("tuple", "", (first, a["other"]), Rank.UNKNOWN)
        if name in ("cast", "to"):
            return self._converted(first, self._dtype(nodes.get("dtype")), "bitcast" in a)
        if name == "max":
            # Over the first axis, or all: what is left lines up with the columns.
            if (
                ("axis" in a and a["axis"].constant != 0)
                or first.rank is not Rank.TENSOR
                or not {*a} <= {"input", "axis"}
            ):
                return None
            return self.universe.operation("reduce_max", "", (first,), Rank.TENSOR, first.width)
        return self._reshaped(name, first, a)

    def _reshaped(self, name: str, value: Value, a: dict[str, Value]) -> Value | None:
        """Axes added to a vector, in the form of a subscript."""
        if _axes(value) != 1:
            return self.universe.operation(name, "", tuple(a.values()), Rank.TENSOR, value.width)
        if name == "ravel":
            return value if len(a) == 1 else None
        if name == "expand_dims":
            index = {0: "None, :", 1: ":, None", -1: ":, None", -2: "None, :"}.get(a["axis"].constant or 0)
            return None if index is None or a["axis"].constant is None else self.universe.broadcast(value, index)
        shape = a["shape"].atom
        if len(a) != 2 or shape is None or shape.op != "tuple" or not 1 <= len(shape.operands) <= 2:
            return None
        if len(shape.operands) == 1:
            return value
        ones = [o.constant == 1 for o in shape.operands]
        if ones == [True, False] or ones == [False, True]:
            return self.universe.broadcast(value, "None, :" if ones[0] else ":, None")
        return None

    def _elementwise(self, name: str, values: list[Value]) -> Value:
        rank = Rank.of(v.rank for v in values)
        return self.universe.operation(name, "", tuple(values), rank, max(v.width for v in values))

    def _dtype(self, e: ast.expr | None) -> str:
        """The last name of one of Triton's types; "" for anything else."""
        target = None if e is None else self.callee(e)
        return target.rpartition(".")[2] if isinstance(target, str) and is_triton(target) else ""

    def _converted(self, value: Value, dtype: str, bitcast: bool) -> Value | None:
        """A value in another type: the same number where that is certain."""
        if not bitcast and dtype:
            if dtype == "int1":
                return value if is_boolean(value) else self.universe.operation("truth", "", (value,), value.rank)
            if dtype.startswith(("int", "uint")) and is_boolean(value):
                return self._number(value)
            if dtype == "int64" or (dtype == "int32" and value.width in (ADAPTS, NARROW)):
                return value.of_width(WIDE if dtype == "int64" else NARROW)
            if dtype in FLOATS:
                return self.universe.operation("float", "", (value,), value.rank)
        width = {"int64": WIDE, "uint64": WIDE}.get(dtype, NARROW if "int" in dtype else UNKNOWN_WIDTH)
        return self.universe.operation("cast", f"{dtype} {bitcast}", (value,), value.rank, width) if dtype else None

    def _other_store(self, e: ast.Call) -> None:
        self.problem("other-store", f"{ast.unparse(e.func)}() writes elsewhere than to {self.spec.output!r}", e)

    def _store(self, e: ast.Call, kind: str) -> Value:
        result = self.made(f"{kind}()")
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
        for extra in e.args[len(STORE_PARAMETERS[kind]) :]:
            self.escape(self.evaluate(extra), "is an argument of a store", e)
        spread_values = [self.evaluate(k.value) for k in e.keywords if k.arg is None]
        pointer = POINTER_PARAMETER[kind]
        if spread:
            starred = any(isinstance(a, ast.Starred) for a in e.args)
            if starred or pointer not in values or any(map(self.carries, [*values.values(), *spread_values])):
                self.problem("store-arguments", "a store takes * or ** arguments, so its mask is not visible", e)
            return result
        if len(e.args) > len(STORE_PARAMETERS[kind]) and kind == "buffer_store":
            self.problem("store-arguments", "a store has more positional arguments than are known", e)
        address = values.pop(pointer, ZERO)
        for parameter, value in values.items():
            self.escape(value, f"is the {parameter!r} of a store", e)
        if kind == "buffer_store" and "offsets" not in values and self.carries(address):
            self.problem("store-arguments", "a buffer_store to the output has no offsets", e)
            return result
        if not self.carries(address):
            self._other_store(e)
            return result
        if not self._is_address(address):
            self.problem("pointer", "the pointer of a store to the output is not understood", e)
            return result
        check = arguments.get("boundary_check")
        if check is not None and not (isinstance(check, ast.Tuple) and not check.elts):
            self.problem("store-arguments", "a store to the output uses boundary_check", e)
        mask = values.get("mask")
        if mask is not None and mask.atom is not None and mask.atom.op == "constant" and mask.atom.payload == "None":
            mask = None
        helper = self.frame.function.name if len(self.frames) > 1 else ""
        offsets = values.get("offsets", ZERO)
        self.walk.stores.append(
            StoreCall(e, kind, arguments, address, offsets, mask, self.conditions, dict(self.env), helper)
        )
        return result


def _assembly_writes(e: ast.Call, name: str) -> bool:
    """Whether a call is of assembly that need not leave memory as it is: only prefetches are known to."""
    if name != ASSEMBLY:
        return False
    texts = [*e.args[:1], *(k.value for k in e.keywords if k.arg == "asm")]
    asm = texts[0].value if texts and isinstance(texts[0], ast.Constant) else None
    # An instruction may also be written as its numbers, by a directive.
    return (
        not isinstance(asm, str) or re.search(r"store|atomic|\b(st|red|atom)\.|(^|[\n;{])\s*\.(?!reg)", asm) is not None
    )


def _holds(name: str, value: Value, number: Value) -> bool:
    """Whether a hint is true whatever the kernel is given: the compiler widens stores by it, masks or not.

    Lanes that count up from a multiple of their own number, or of the hint's, are what `multiple_of` says, and
    contiguous; a number for all lanes is constant.
    """
    lanes = {m for m in value.terms if Value({m: 1}).rank is not Rank.SCALAR}
    ends = [a.operands[1] for m in lanes for a in m if len(m) == 1 and a.op == "arange" and a.operands[0] == ZERO]
    if len(ends) != len(lanes) or len(lanes) > 1 or any(value.terms[m] != 1 for m in lanes):
        return False
    if name != "multiple_of":
        return (name == "max_contiguous") == bool(lanes)
    factor, units = number.constant, {number.atom, *(end.atom for end in ends)} - {None}
    return all(
        m in lanes or (bool(factor) and c % (factor or 1) == 0) or not units.isdisjoint(m)
        for m, c in value.terms.items()
    )


def _axes(value: Value) -> int | None:
    """How many axes a tensor has; None where that is not known."""
    found: set[int | None] = set()
    for a in {a for m in value.terms for a in m}:
        if a.rank is Rank.SCALAR:
            continue
        if a.op == "arange":
            found.add(1)
        elif a.op == "subscript":
            found.add(a.payload.count(",") + 1)
        elif a.op in ("compare", "and", "or", "land", "lor", "not", "invert", "min", "max", "select"):
            found |= {_axes(o) for o in a.operands if o.rank is not Rank.SCALAR}
        else:
            return None
    return found.pop() if len(found) == 1 else None
