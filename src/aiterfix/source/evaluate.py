"""Walk one kernel's body in program order and say, at every store, what its arguments are.

Each name is bound to a symbolic `Value`. Where the ways through the code join, a name keeps the alternatives with the
condition that chose; where a loop may change it, it gets a fresh symbol, or, if each turn adds the same to it, its
start and a count of turns. Functions of the module are walked where they are called. What the walk cannot follow it
does not guess: a use of the output that is not understood becomes a `Problem`, and a problem makes the file's verdict
"unknown".
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from aiterfix.source.calls import CallEvaluator
from aiterfix.source.logic import is_boolean
from aiterfix.source.names import STORE_MARK, bound_names, flow_of, function_parameters, names_in
from aiterfix.source.roles import KernelRoles
from aiterfix.source.scope import ModuleScope, is_triton
from aiterfix.source.syntax import is_plain_target, last_name
from aiterfix.source.tree import descend
from aiterfix.source.values import ADAPTS, BIT, NARROW, Rank, Value, integer
from aiterfix.source.vocabulary import ASSEMBLY, UNREADABLE, WRITERS
from aiterfix.source.walk import Environment, Frame, KernelWalk

_RANGES = frozenset({"range", "static_range"})
_TERMINATORS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_DEEPEST = 6
"""Calls inside calls that are followed."""


def walk_kernel(function: ast.FunctionDef, spec: KernelRoles, scope: ModuleScope, *, walrus: bool = True) -> KernelWalk:
    """Evaluate every store to ``spec.output`` in ``function``.

    Args:
        function: the kernel's definition.
        spec: its output, bound and strides.
        scope: the module that it stands in.
        walrus: False where the text has no ``:=`` (see `bound_names`).

    The function must have the output parameter. Problems are collected, never raised, except
    ``RecursionError`` for expressions nested deeper than the interpreter allows.
    """
    return _Walker(function, spec, scope, walrus).run()


class _Walker(CallEvaluator):
    def __init__(self, function: ast.FunctionDef, spec: KernelRoles, scope: ModuleScope, walrus: bool) -> None:
        known = WRITERS | UNREADABLE | {ASSEMBLY}
        self._writers = known | scope.writers(known, function)
        # With functions inside it, what an expression does is not told by the names in it.
        self._walrus = walrus or _has_definitions(function.body)
        self.assigns = walrus
        super().__init__(function, spec, scope, flow_of(function, {spec.output}, self._writers, walrus=self._walrus))

    def run(self) -> KernelWalk:
        function = self.frame.function
        roles = {self.spec.bound, *self.spec.strides}
        for statement in function.body:
            for name in bound_names(statement, walrus=self._walrus):
                if name in roles:
                    self.problem("reassigned", f"{name!r} is assigned inside the kernel", statement)
        if self._walrus:
            self.frame.volatile = self._volatile(function, roles)
        self._block(function.body)
        self.walk.stores.sort(key=lambda s: (s.node.lineno, s.node.col_offset))
        return self.walk

    def _volatile(self, function: ast.FunctionDef, roles: set[str]) -> frozenset[str]:
        """Names that are not the function's own alone: declared global or nonlocal in it or inside it."""
        found: set[str] = set()
        for n in descend(function):
            if isinstance(n, (ast.Global, ast.Nonlocal)):
                found |= set(n.names)
                if not roles.isdisjoint(n.names):
                    self.problem("reassigned", "a parameter of the kernel is rebound by a function inside it", n)
        return frozenset(found)

    # ---- statements -------------------------------------------------------------------------

    def _block(self, body: list[ast.stmt]) -> bool:
        """Walk statements; whether the end of them can be reached."""
        return all(self._statement(statement) for statement in body)

    def _passes_by(self, names: Iterable[str], expression: ast.expr) -> bool:
        """Whether an assignment concerns no store: most of a kernel computes what is stored, not where."""
        flow = self.frame.flow
        return not self._walrus and flow.idle(expression) and flow.relevant.isdisjoint(names)

    def _check(self, expression: ast.expr, what: str, s: ast.stmt) -> Value | None:
        """Evaluate for effect, or where a store may hang on it."""
        flow = self.frame.flow
        if not self._walrus and flow.idle(expression) and flow.relevant.isdisjoint(flow.uses[expression]):
            return None
        value = self.evaluate(expression)
        self.escape(value, what, s)
        return value

    def _statement(self, s: ast.stmt) -> bool:
        """Walk one statement; whether what follows it can be reached."""
        if isinstance(s, ast.Assign):
            names = set(bound_names(s, walrus=self._walrus))
            if isinstance(s.value, ast.Call) and self.frame.read.isdisjoint(names):
                self._effect(s.value)
            if all(map(is_plain_target, s.targets)) and self._passes_by(names, s.value):
                self.forget(names)
                return True
            value = self.evaluate_bound(s.value)
            for target in s.targets:
                self.assign(target, value)
        elif isinstance(s, ast.AnnAssign):
            if s.value is not None:
                names = {s.target.id} if isinstance(s.target, ast.Name) else set()
                if names and self._passes_by(names, s.value):
                    self.forget(names)
                else:
                    self.assign(s.target, self.evaluate_bound(s.value))
        elif isinstance(s, ast.AugAssign):
            if isinstance(s.target, ast.Name) and self._passes_by((s.target.id,), s.value):
                self.forget({s.target.id})
            else:
                self._augmented(s)
        elif isinstance(s, ast.Expr):
            if isinstance(s.value, ast.Call):
                self._effect(s.value)
            if not isinstance(s.value, ast.Constant):
                self._check(s.value, "is computed and dropped", s)
        elif isinstance(s, ast.Return):
            self._return(s)
        elif isinstance(s, ast.If):
            return self._branches(s)
        elif isinstance(s, (ast.For, ast.While)):
            self._loop(s)
        elif isinstance(s, ast.With):
            return self._with(s)
        elif isinstance(s, ast.Assert):
            self._check(s.test, "is asserted", s)
        elif isinstance(s, ast.FunctionDef):
            self._define(s)
        elif not isinstance(s, (ast.Pass, ast.Global, ast.Nonlocal, *_TERMINATORS)):
            self._unfollowed(s)
        return not isinstance(s, _TERMINATORS)

    def _effect(self, call: ast.Call) -> None:
        """A call whose result is dropped is made for what it does: that must be known."""
        func = call.func
        target = self.callee(func)
        if isinstance(target, ast.FunctionDef) or is_triton(target) or str(target).startswith("builtins."):
            return
        if isinstance(func, ast.Attribute) and not self._global_root(func):
            return
        if isinstance(func, ast.Name) and (
            self.walk.scope.harmless(func.id, self._writers) or self.env.get(func.id, integer(0)).atom in self.closures
        ):
            return
        self.problem("unknown-call", f"it is not known what {ast.unparse(func)}() does", call)

    def _unfollowed(self, s: ast.stmt) -> None:
        """Statements that kernels of this kind do not have: forget what they bind, object if they touch the output."""
        for n in descend(s):
            kind = type(s).__name__
            if isinstance(n, ast.Name) and n.id in self.frame.flow.tainted:
                self.problem("statement", f"{self.spec.output!r} is used inside a {kind} statement", s)
                break
            if self._writes(n):
                self.problem("statement", f"a store stands inside a {kind} statement", s)
        self.forget(set(bound_names(s)))

    def _with(self, s: ast.With) -> bool:
        for item in s.items:
            self.escape(self.evaluate(item.context_expr), "is handed to a with statement", s)
            if item.optional_vars is not None:
                self.forget(set(bound_names(item.optional_vars)))
        return self._block(s.body)

    def _return(self, s: ast.Return) -> None:
        if len(self.frames) > 1:
            value = self.universe.operation("constant", "None", (), Rank.SCALAR, ADAPTS)
            self.frame.returns.append(value if s.value is None else self.evaluate_bound(s.value))
        elif s.value is not None:
            self._check(s.value, "is returned", s)

    def _augmented(self, s: ast.AugAssign) -> None:
        if isinstance(s.target, ast.Name):
            left = self.name(s.target.id)
            self.env[s.target.id] = self.binary(type(s.op), left, self.evaluate(s.value), s)
        else:
            self.assign(s.target, self.evaluate(s.value))

    def _branches(self, s: ast.If) -> bool:
        if isinstance(s.test, ast.Constant):
            return self._block(s.body if s.test.value else s.orelse)  # the other is never compiled
        test = self._check(s.test, "decides a branch", s)
        if test is None:
            test = self.universe.symbol("<condition>", Rank.SCALAR)
        before, conditions = self.env, self.conditions
        ends: list[tuple[Environment, bool]] = []
        for body, holds in ((s.body, True), (s.orelse, False)):
            self.env = dict(before)
            self.conditions = (*conditions, (test, holds))
            if self._block(body):
                ends.append((self.env, holds))
        self.conditions = conditions
        if len(ends) == 2:
            self.env = self._joined(test, ends[0][0], ends[1][0])
        else:
            self.env = ends[0][0] if ends else dict(before)
        if len(ends) == 1:
            self.conditions = (*conditions, (test, ends[0][1]))
        return bool(ends)

    def _joined(self, test: Value, left: Environment, right: Environment) -> Environment:
        """What the names hold behind a branch, whichever way was taken."""
        relevant = self.frame.flow.relevant
        joined = dict(left)
        for name in {*left, *right}:
            a, b = left.get(name), right.get(name)
            if a is not None and a == b and a.width == b.width:
                continue
            if a is None or b is None or self.carries(a) or self.carries(b) or not (self._walrus or name in relevant):
                rank = a.rank if a is not None and b is not None and a.rank is b.rank else Rank.UNKNOWN
                joined[name] = self.fresh(name, rank)
            else:
                joined[name] = self.universe.select(test, a, b)
        return joined

    # ---- loops ------------------------------------------------------------------------------

    def _loop(self, s: ast.For | ast.While) -> None:
        changed = set(bound_names(s, walrus=self._walrus))
        before, entered = self.conditions, self.env.copy()
        if isinstance(s, ast.For):
            iterated = self._check(s.iter, "is iterated over", s)
        steps = self._steps(s, changed)
        self._carried(s, changed, entered)
        if isinstance(s, ast.For):
            if isinstance(s.target, ast.Name):
                self._counted(s, s.target.id, iterated is not None, steps)
        else:
            if steps:
                self._grow(steps, self._turns())
            test = self.evaluate(s.test)
            self.escape(test, "decides a loop", s)
            self.conditions = (*before, (test, True))
        self._block(s.body)
        self.conditions = before
        self._carried(s, changed, entered)
        self._block(s.orelse)
        if s.orelse:
            self.forget(changed)
        self.conditions = before

    def _carried(self, s: ast.For | ast.While, names: set[str], entered: Environment) -> None:
        """Fresh symbols for what a loop changes; of the type that it had, which Triton sees to."""
        dynamic = not (
            isinstance(s, ast.For) and isinstance(s.iter, ast.Call) and last_name(s.iter.func) == "static_range"
        )
        for name in sorted(names):
            held = entered.get(name)
            if held is None or not dynamic:
                self.env[name] = self.fresh(name)
                continue
            bit = is_boolean(held)
            value = self.env[name] = self.fresh(name, held.rank, BIT if bit else max(held.width, NARROW))
            if value.atom is not None:
                self.walk.on_device.add(value.atom)
                if bit:
                    self.walk.never_none.add(value.atom)

    def _range(self, e: ast.expr) -> list[ast.expr] | None:
        """The arguments of a range, of Python's or Triton's."""
        if not isinstance(e, ast.Call) or any(isinstance(a, ast.Starred) for a in e.args) or not 1 <= len(e.args) <= 3:
            return None
        target = self.callee(e.func)
        if not isinstance(target, str) or target.rpartition(".")[2] not in _RANGES:
            return None
        known = is_triton(target) or target == "builtins.range"
        return e.args if known and not any(k.arg in (None, "arg1", "arg2", "step") for k in e.keywords) else None

    def _counted(self, s: ast.For, name: str, evaluated: bool, steps: dict[str, tuple[Value, Value]]) -> None:
        """The loop's own variable: a number, and where it runs over a range, one inside it."""
        arguments = self._range(s.iter)
        counter = self.universe.symbol(name, Rank.UNKNOWN if arguments is None else Rank.SCALAR, NARROW)
        assert counter.atom is not None
        self.env[name] = counter
        if arguments is None:
            return
        self.walk.never_none.add(counter.atom)
        self.walk.on_device.add(counter.atom)
        if not evaluated:
            return
        values = [self.walk.values[a] for a in arguments]
        start, end = (values[0], values[1]) if len(values) > 1 else (integer(0), values[0])
        step = values[2] if len(values) > 2 else integer(1)
        self.universe.starts[counter.atom] = start, step
        if not self._positive(step):
            return
        self.universe.axioms[counter.atom] = (counter - start, end - counter - integer(1))
        if start.constant is not None:
            self.universe.least[counter.atom] = start.constant
        if not steps:
            return
        # What grows by the same in every turn: its start and the number of turns, which the variable has too.
        turns = self._turns()
        if name not in set().union(*(set(bound_names(b)) for b in s.body)):
            turned = start + self.universe.product(step.of_width(NARROW), turns)
            if start.constant == 0 and step.constant == 1:
                turns, turned = counter, counter
            self.env[name] = turned
            self.conditions = (
                *self.conditions,
                (self.universe.operation("compare", "<", (turned, end), Rank.SCALAR, NARROW), True),
                (self.universe.operation("compare", "<=", (start, turned), Rank.SCALAR, NARROW), True),
            )
        self._grow(steps, turns)

    def _turns(self) -> Value:
        turns = self.universe.symbol("<turns>", Rank.SCALAR, NARROW)
        assert turns.atom is not None
        self.universe.least[turns.atom] = 0
        return turns

    def _grow(self, steps: dict[str, tuple[Value, Value]], turns: Value) -> None:
        for grown, (held, more) in steps.items():
            self.env[grown] = held + self.universe.product(more, turns)

    def _positive(self, step: Value) -> bool:
        """Whether a step is greater than 0: a number, or made of block sizes."""
        return bool(step.terms) and all(
            c > 0 and all(self.universe.sizes.get(a, 0) > 0 for a in m) for m, c in step.terms.items()
        )

    def _steps(self, s: ast.For | ast.While, changed: set[str]) -> dict[str, tuple[Value, Value]]:
        """Names that each turn of a loop adds the same to, at its own level and nowhere else: start and step."""
        found: dict[str, tuple[Value, Value]] = {}
        if any(isinstance(n, ast.Continue) for n in _inside(s.body, loops=False)):
            return found
        if isinstance(s, ast.For) and self._range(s.iter) is None:
            return found
        tested = set(bound_names(s.test, walrus=True)) if isinstance(s, ast.While) else set()
        for b in s.body:
            grown = _grown(b)
            if grown is None:
                continue
            name, operator, added = grown
            used = names_in(added)
            held = self.env.get(name)
            bound = [n for other in s.body if other is not b for n in bound_names(other, walrus=self._walrus)]
            calls = any(isinstance(n, (ast.Call, ast.Attribute, ast.Subscript, ast.NamedExpr)) for n in descend(added))
            if held is None or name in bound or name in tested or not used.isdisjoint(changed) or calls:
                continue
            if name not in self.frame.flow.relevant and not self._walrus:
                continue
            step = self.evaluate(added)
            if not self.carries(step):
                found[name] = (held, -step if isinstance(operator, ast.Sub) else step)
        return found

    # ---- functions that the kernel calls -----------------------------------------------------

    def _define(self, s: ast.FunctionDef) -> None:
        value = self.fresh(s.name)
        self.env[s.name] = value
        assert value.atom is not None
        # To call it is followed; to hand it on is not.
        used = names_in(s, self._writers)
        if STORE_MARK in used or not self.frame.flow.tainted.isdisjoint(used):
            self.carriers.add(value.atom)
        else:
            self.carriers.discard(value.atom)
        for default in (*s.args.defaults, *(d for d in s.args.kw_defaults if d is not None), *s.decorator_list):
            self.escape(self.evaluate(default), "is a function's default", s)
        jit = all(
            self.walk.scope.dotted(d) is not None and is_triton(self.walk.scope.dotted(d)) for d in s.decorator_list
        )
        if jit and not s.args.defaults and not any(s.args.kw_defaults):
            self.closures[value.atom] = (s, self.frame)

    def inline(self, e: ast.Call, node: ast.FunctionDef, outer: Environment | None) -> Value:
        """Walk a called function's body with the call's arguments."""
        generator = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in descend(node))
        arguments = None if generator else self._arguments(e, node)
        if arguments is None or len(self.frames) > _DEEPEST or any(f.function is node for f in self.frames):
            self.problem("statement", f"the call of {node.name}() is not followed", e)
            return self.opaque_call(e)
        for value in arguments.values():
            if self.carries(value) and not self._is_address(value):
                self.escape(value, f"is passed to {node.name}()", e)
        tainted = {n for n, v in arguments.items() if self.carries(v)}
        if outer is not None:
            tainted |= {n for n, v in outer.items() if self.carries(v)}
        flow = flow_of(node, tainted, self._writers, walrus=True)
        walrus, self._walrus = self._walrus, True
        conditions = self.conditions
        frame = Frame(node, flow, arguments, outer)
        self.frames.append(frame)
        frame.volatile = frozenset(
            n for g in descend(node) if isinstance(g, (ast.Global, ast.Nonlocal)) for n in g.names
        )
        ends = self._block(node.body)
        self.frames.pop()
        self._walrus, self.conditions = walrus, conditions
        nothing = self.universe.operation("constant", "None", (), Rank.SCALAR, ADAPTS)
        returned = [*frame.returns, *([nothing] if ends else [])]
        value = returned[0] if returned else nothing
        for other in returned[1:]:
            value = self.universe.select(self.universe.symbol("<returned>", Rank.SCALAR), value, other)
        return value

    def _arguments(self, e: ast.Call, node: ast.FunctionDef) -> dict[str, Value] | None:
        """What the parameters of a called function hold; None where the call cannot be followed."""
        a = node.args
        if (
            a.vararg
            or a.kwarg
            or any(isinstance(x, ast.Starred) for x in e.args)
            or any(k.arg is None for k in e.keywords)
        ):
            return None
        names = [p.arg for p in (*a.posonlyargs, *a.args)]
        if len(e.args) > len(names):
            return None
        known = {*function_parameters(node)} - {p.arg for p in a.posonlyargs}
        if any(k.arg not in known for k in e.keywords):
            return None
        found = dict(zip(names, (self.evaluate(x) for x in e.args), strict=False))
        for k in e.keywords:
            if k.arg is None or k.arg in found:
                return None
            found[k.arg] = self.evaluate(k.value)
        defaults = dict(zip(reversed(names), reversed(a.defaults), strict=False))
        defaults |= {p.arg: d for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None}
        for name in function_parameters(node):
            if name not in found:
                default = defaults.get(name)
                if not isinstance(default, ast.Constant):
                    return None
                found[name] = self._eval_Constant(default)
        return found


def _grown(s: ast.stmt) -> tuple[str, ast.operator, ast.expr] | None:
    """Name, operator and operand of ``x += e`` and ``x = x + e``."""
    if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name) and isinstance(s.op, (ast.Add, ast.Sub)):
        return s.target.id, s.op, s.value
    if isinstance(s, ast.Assign) and len(s.targets) == 1 and isinstance(s.targets[0], ast.Name):
        name, e = s.targets[0].id, s.value
        if isinstance(e, ast.BinOp) and isinstance(e.op, (ast.Add, ast.Sub)) and isinstance(e.left, ast.Name):
            return (name, e.op, e.right) if e.left.id == name else None
    return None


def _has_definitions(body: list[ast.stmt]) -> bool:
    stack = list(body)
    while stack:
        s = stack.pop()
        kind = type(s)
        if kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
            return True
        if kind in (ast.If, ast.For, ast.While):
            stack += s.body  # type: ignore[attr-defined]
            stack += s.orelse  # type: ignore[attr-defined]
        elif kind not in (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return, ast.Pass):
            stack += [n for n in descend(s) if n is not s and isinstance(n, ast.stmt)]
    return False


def _inside(body: Iterable[ast.stmt], *, loops: bool = True) -> Iterator[ast.stmt]:
    """Statements and those inside them, of functions and, where asked, of inner loops excluded."""
    for s in body:
        yield s
        if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if loops or not isinstance(s, (ast.For, ast.While)):
            for part in ("body", "orelse", "finalbody"):
                yield from _inside(getattr(s, part, ()), loops=loops)
            for handler in getattr(s, "handlers", ()):
                yield from _inside(handler.body, loops=loops)
