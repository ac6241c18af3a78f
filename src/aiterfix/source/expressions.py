"""Evaluate expressions to symbolic values, and follow where an address inside the output goes."""

from __future__ import annotations

import ast
from collections.abc import Callable

from aiterfix.source.constants import fold
from aiterfix.source.logic import Condition, is_boolean
from aiterfix.source.names import Flow, bound_names, function_parameters
from aiterfix.source.roles import KernelRoles
from aiterfix.source.scope import ModuleScope
from aiterfix.source.syntax import last_name
from aiterfix.source.tree import descend
from aiterfix.source.values import ADAPTS, NARROW, UNKNOWN_WIDTH, ZERO, Atom, Rank, Universe, Value, integer
from aiterfix.source.vocabulary import BINARY, COMPARE, FIXED_ATTRIBUTES, TYPE_ATTRIBUTES
from aiterfix.source.walk import Environment, Frame, KernelWalk, Problem


class Evaluator:
    """Expressions of one kernel, and of the functions that it calls.

    Args:
        function: the kernel's definition; it must have the output parameter.
        spec: its output, bound and strides.
        scope: its module.
        flow: which of its names matter.
    """

    assigns = True
    """Whether expressions may assign names."""

    def __init__(self, function: ast.FunctionDef, spec: KernelRoles, scope: ModuleScope, flow: Flow) -> None:
        self.spec = spec
        self.universe = Universe()
        self.conditions: tuple[Condition, ...] = ()
        self.carriers: set[Atom] = set()
        """Symbols that may hold an address inside the output without our knowing which."""
        self.closures: dict[Atom, tuple[ast.FunctionDef, Frame]] = {}
        self.globals: dict[str, Value] = {}
        self.frames = [Frame(function, flow, {})]
        arguments = function.args
        annotations = {
            p.arg: scope.annotated_width(p.annotation)
            for p in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        }
        for name in function_parameters(function):
            width = annotations.get(name, UNKNOWN_WIDTH)
            self.env[name] = self.universe.symbol(name, Rank.SCALAR, width)
        output = self.env[spec.output].atom
        assert output is not None
        bound = self.env.get(spec.bound, ZERO).atom
        strides = frozenset(a for s in spec.strides if (a := self.env.get(s, ZERO).atom) is not None)
        self.universe.assumed |= {a for v in self.env.values() if (a := v.atom) is not None and a is not output}
        if bound is not None:
            self.universe.sizes[bound] = 0
        self.universe.strides |= strides
        self.walk = KernelWalk(function, self.universe, scope, output, bound, strides)

    @property
    def frame(self) -> Frame:
        """The function that is being walked."""
        return self.frames[-1]

    @property
    def env(self) -> Environment:
        """What its names hold."""
        return self.frames[-1].env

    @env.setter
    def env(self, value: Environment) -> None:
        self.frames[-1].env = value

    # ---- names and addresses ----------------------------------------------------------------

    def fresh(self, name: str, rank: Rank = Rank.UNKNOWN, width: int = UNKNOWN_WIDTH) -> Value:
        """A new symbol for a name whose value cannot be followed."""
        value = self.universe.symbol(name, rank, width)
        if name in self.frame.flow.tainted:
            atom = value.atom
            assert atom is not None
            self.carriers.add(atom)
        return value

    def made(self, name: str, rank: Rank = Rank.UNKNOWN, width: int = UNKNOWN_WIDTH) -> Value:
        """A new symbol for something that the device computes."""
        value = self.universe.symbol(name, rank, width)
        assert value.atom is not None
        self.walk.never_none.add(value.atom)
        self.walk.on_device.add(value.atom)
        return value

    def carries(self, value: Value) -> bool:
        """Whether an address inside the output may be part of a value."""
        mentions = value.mentions
        return self.walk.output in mentions or not self.carriers.isdisjoint(mentions)

    def _is_address(self, value: Value) -> bool:
        """The output parameter once, plus terms that do not carry it."""
        output = (self.walk.output,)
        if value.terms.get(output) != 1:
            return False
        return not self.carries(value - Value({output: 1}))

    def escape(self, value: Value, what: str, node: ast.AST) -> None:
        """Record a problem where an address inside the output goes somewhere we do not follow."""
        if self.carries(value):
            self.problem("output-escapes", f"an address inside {self.spec.output!r} {what}", node)

    def problem(self, code: str, message: str, node: ast.AST) -> None:
        """Record once that something is not understood."""
        problem = Problem(code, message, getattr(node, "lineno", self.walk.function.lineno), self.spec.name)
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
            self.problem("statement", "an attribute or element is written to, by whatever names it is read", target)

    # ---- expressions ------------------------------------------------------------------------

    def evaluate_bound(self, e: ast.expr) -> Value:
        """The value of an expression whose result gets a name: an address may get one, if it is a plain one."""
        value = self.evaluate(e)
        if self.carries(value) and not self._is_address(value):
            atom = value.atom
            if not (atom is not None and atom.op == "tuple"):
                self.problem("output-escapes", f"a value computed from {self.spec.output!r} is not understood", e)
        return value

    def name(self, name: str) -> Value:
        """What a name holds here; names that are not local are symbols of the module, or its numbers."""
        frame = self.frame
        if name in frame.volatile:
            return self.fresh(name)
        if name in frame.env:
            return frame.env[name]
        if frame.outer is not None and name in frame.outer:
            return frame.outer[name]
        if name not in self.globals:
            meaning = self.walk.scope.meaning(name)
            self.globals[name] = (
                integer(meaning) if isinstance(meaning, int) else self.universe.symbol(name, Rank.UNKNOWN)
            )
        return self.globals[name]

    def evaluate(self, e: ast.expr) -> Value:
        """The value of an expression; of a kind that kernels do not use, a fresh symbol."""
        method: Callable[[ast.expr], Value] | None = getattr(self, "_eval_" + type(e).__name__, None)
        if method is not None:
            value = self.walk.values[e] = method(e)
            return value
        for n in descend(e):
            if isinstance(n, ast.Name) and n.id in self.frame.flow.tainted:
                self.problem("expression", f"{self.spec.output!r} is used in a {type(e).__name__} expression", e)
                break
        if any(self._writes(n) for n in descend(e)):
            self.problem("expression", f"a store stands inside a {type(e).__name__} expression", e)
        self.forget(set(bound_names(e)))
        return self.universe.symbol(f"<{type(e).__name__}>", Rank.UNKNOWN)

    def _writes(self, n: ast.AST) -> bool:
        return isinstance(n, ast.Call) and last_name(n.func) in self.frame.flow.stores

    def _maybe(self, e: ast.expr) -> Value:
        """The value of an expression that need not be evaluated: what it binds may hold either."""
        names = set(bound_names(e)) if self.assigns else set()
        value = self.evaluate(e)
        self.forget(names)
        return value

    def _eval_Name(self, e: ast.Name) -> Value:  # noqa: N802 - named for the ast class
        return self.name(e.id)

    def _eval_Constant(self, e: ast.Constant) -> Value:  # noqa: N802
        if isinstance(e.value, int) and not isinstance(e.value, bool):
            return integer(e.value)
        return self.universe.operation("constant", repr(e.value), (), Rank.SCALAR, ADAPTS)

    def _eval_Tuple(self, e: ast.Tuple) -> Value:  # noqa: N802
        return self.universe.operation("tuple", "", tuple(self.evaluate(x) for x in e.elts), Rank.UNKNOWN)

    def _eval_List(self, e: ast.List) -> Value:  # noqa: N802
        # A list can change in place, so nothing is said of its elements.
        for x in e.elts:
            self.escape(self.evaluate(x), "is put in a list", e)
        return self.universe.symbol("<list>", Rank.UNKNOWN)

    def _eval_Starred(self, e: ast.Starred) -> Value:  # noqa: N802
        self.escape(self.evaluate(e.value), "is unpacked", e)
        return self.universe.symbol("<starred>", Rank.UNKNOWN)

    def _eval_NamedExpr(self, e: ast.NamedExpr) -> Value:  # noqa: N802
        value = self.evaluate_bound(e.value)
        self.assign(e.target, value)
        return value

    def _eval_UnaryOp(self, e: ast.UnaryOp) -> Value:  # noqa: N802
        value = self.evaluate(e.operand)
        if isinstance(e.op, ast.USub):
            return -self._number(value)
        if isinstance(e.op, ast.UAdd):
            return self._number(value)
        self.escape(value, "is negated", e)
        op = "not" if isinstance(e.op, ast.Not) else "invert"
        return self.universe.operation(op, "", (value,), value.rank, value.width)

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
        if op in (ast.Add, ast.Sub):
            left, right = self._number(left), self._number(right)
            if op is ast.Add:
                return left + right
            self.escape(right, "is subtracted", node)
            return left - right
        self.escape(left, "is an operand of an arithmetic operation", node)
        self.escape(right, "is an operand of an arithmetic operation", node)
        width = max(left.width, right.width)
        rank = Rank.of((left.rank, right.rank))
        number = right.constant
        if number is not None and (a := left.constant) is not None and (folded := fold(op, a, number)) is not None:
            return integer(folded)
        if op is ast.Mult:
            for value, factor in ((left, right), (right, left)):
                if (atom := factor.atom) is not None and atom.op == "constant":
                    kept = atom.payload == "1.0" and not is_boolean(value)
                    return self.universe.operation(
                        "float" if kept else "fp", "" if kept else "*", (value,) if kept else (left, right), rank
                    )
            if not (is_boolean(left) and is_boolean(right)):
                left, right = self._number(left), self._number(right)
            return self.universe.product(left, right)
        if op is ast.BitXor and is_boolean(left) and right.atom is not None and right.atom.payload == "True":
            return self.universe.operation("not", "", (left,), rank, width)
        if op is ast.LShift and number is not None and 0 <= number < 31:
            return self.universe.product(self._number(left), integer(1 << number)).of_width(width)
        return self.universe.operation(BINARY[op], "", (left, right), rank, width)

    def _number(self, value: Value) -> Value:
        """A truth that is calculated with: no longer one bit."""
        if len(value.terms) == 1 and is_boolean(value):
            return self.universe.operation("number", "", (value,), value.rank, NARROW)
        return value

    def _eval_BoolOp(self, e: ast.BoolOp) -> Value:  # noqa: N802
        values = [self.evaluate(e.values[0]), *map(self._maybe, e.values[1:])]
        for v in values:
            self.escape(v, "is an operand of and/or", e)
        op = "land" if isinstance(e.op, ast.And) else "lor"
        return self.universe.operation(op, "", tuple(values), Rank.of(v.rank for v in values))

    def _eval_Compare(self, e: ast.Compare) -> Value:  # noqa: N802
        # A chain stops at the first comparison that does not hold.
        values = [self.evaluate(e.left), self.evaluate(e.comparators[0]), *map(self._maybe, e.comparators[1:])]
        if len(values) == 2 and all(map(self._is_address, values)):
            values = [v - Value({(self.walk.output,): 1}) for v in values]  # how far into the output
        if not isinstance(e.ops[0], (ast.Is, ast.IsNot)):
            for v in values:
                self.escape(v, "is compared", e)
        else:
            values = (
                [self.universe.symbol("<is>", Rank.SCALAR)] * len(values) if any(map(self.carries, values)) else values
            )
        pairs = tuple(
            self.universe.operation("compare", COMPARE[type(op)], (a, b), Rank.of((a.rank, b.rank)), NARROW)
            for op, a, b in zip(e.ops, values, values[1:], strict=False)
        )
        if len(pairs) == 1:
            return pairs[0]
        return self.universe.operation("land", "", pairs, Rank.of(v.rank for v in values))

    def _eval_IfExp(self, e: ast.IfExp) -> Value:  # noqa: N802
        test = self.evaluate(e.test)
        left, right = self._maybe(e.body), self._maybe(e.orelse)
        for v in (test, left, right):
            self.escape(v, "is chosen by a condition", e)
        return self.universe.select(test, left, right)

    def _eval_Attribute(self, e: ast.Attribute) -> Value:  # noqa: N802
        value = self.evaluate(e.value)
        if self.carries(value):
            if e.attr not in TYPE_ATTRIBUTES:
                self.escape(value, f"has its attribute {e.attr!r} taken", e)
            return self.universe.symbol(f"<{e.attr}>", Rank.UNKNOWN)
        # Any other attribute may have changed since it was last read.
        if e.attr in FIXED_ATTRIBUTES:
            return self.universe.operation("attribute", e.attr, (value,), Rank.UNKNOWN)
        return self.universe.symbol(f"<{e.attr}>", Rank.UNKNOWN)

    def _eval_Subscript(self, e: ast.Subscript) -> Value:  # noqa: N802
        value = self.evaluate(e.value)
        index = broadcast_index(e.slice)
        if index is not None:
            if not self.carries(value) or self._is_address(value):
                return self.universe.broadcast(value, index)
            self.escape(value, "is subscripted", e)
        subscript = self.evaluate(e.slice)
        atom, number = value.atom, subscript.constant
        if atom is not None and atom.op == "tuple" and number is not None and abs(number) < len(atom.operands):
            return atom.operands[number]
        self.escape(value, "is subscripted", e)
        self.escape(subscript, "is a subscript", e)
        return self.universe.symbol("<element>", Rank.UNKNOWN)

    def _eval_Slice(self, e: ast.Slice) -> Value:  # noqa: N802
        for x in (e.lower, e.upper, e.step):
            if x is not None:
                self.escape(self.evaluate(x), "is part of a slice", e)
        return self.universe.symbol("<slice>", Rank.UNKNOWN)


def broadcast_index(index: ast.expr) -> str | None:
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
