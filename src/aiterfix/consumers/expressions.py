"""Evaluate expressions to sets of symbolic values: what each may be at run time."""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aiterfix.consumers import tensors
from aiterfix.consumers.model import Entry
from aiterfix.consumers.program import Function, Program, Source
from aiterfix.consumers.values import (
    Cache,
    EntryPoint,
    Flag,
    Imported,
    Module,
    Nothing,
    Row,
    Sum,
    Table,
    Tensor,
    Text,
    Value,
    add,
    as_sum,
    attribute,
    compare,
    describe,
    divide,
    fresh,
    item,
    multiply,
    number,
    pure,
)

Alternatives = tuple[Value, ...]
MOST_ALTERNATIVES = 12
ENTRIES = frozenset(entry.value for entry in Entry)
# Functions that look at a function without calling it.
_HARMLESS = frozenset(
    [
        "callable",
        "hasattr",
        "isinstance",
        "signature",
        "id",
        "repr",
        "str",
        "type",
        "print",
        "bool",
        "debug",
        "info",
        "warning",
        "error",
        "info_once",
        "warning_once",
        "debug_once",
        "exception",
        "getsource",
        "unwrap",
    ]
)
_PURE = frozenset(
    ["max", "min", "abs", "len", "round_up", "round_down", "cdiv", "ceil_div", "next_power_of_2", "align", "align_up"]
)
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}


class Exhausted(Exception):  # noqa: N818 - ends an interpretation, is no error
    """A function is too large, or its paths too many, to be followed."""


def unite(*groups: Iterable[Value]) -> Alternatives:
    """Every alternative once; too many of them are one thing that is not known."""
    united = tuple(dict.fromkeys(itertools.chain(*groups)))
    return united if len(united) <= MOST_ALTERNATIVES else (fresh("one of many values"),)


@dataclass
class State:
    """What names mean at one point of a function."""

    names: dict[str, Alternatives]
    facts: dict[Value, Value] = field(default_factory=dict)
    """Values that a condition fixed, as in ``assert page_size == 64``."""
    dead: bool = False

    def copy(self) -> State:
        """An independent copy."""
        return State(dict(self.names), dict(self.facts), self.dead)


@dataclass
class Frame:
    """A function (or a module's own level) that is being followed."""

    source: Source
    function: Function | None
    state: State
    outer: Frame | None = None
    globals: set[str] = field(default_factory=set)
    returned: list[Value] = field(default_factory=list)

    @property
    def qualified(self) -> str:
        """Name of the function; empty at the module's own level."""
        return "" if self.function is None else self.function.qualified


@dataclass(frozen=True)
class Arguments:
    """Of one call; ``complete`` is False where ``*x`` or ``**x`` could not be taken apart."""

    positional: tuple[Alternatives, ...]
    keywords: dict[str, Alternatives] = field(hash=False)
    complete: bool = True

    def all(self) -> Iterable[Value]:
        """Every value passed."""
        return itertools.chain(*self.positional, *self.keywords.values())

    def single(self) -> tuple[list[Value], dict[str, Value]]:
        """One value an argument, for functions of which only the usual case is of interest."""
        return [one(v) for v in self.positional], {k: one(v) for k, v in self.keywords.items()}


def one(values: Alternatives) -> Value:
    """The value, where there is one only."""
    return values[0] if len(values) == 1 else fresh("one of " + " | ".join(map(describe, values[:3])))


class Expressions:
    """Evaluation; what statements and calls of the package's own functions do is added by a subclass."""

    def __init__(self, program: Program, most_steps: int) -> None:
        """Prepare."""
        self.program = program
        self._steps = most_steps
        self.stores: dict[str, Alternatives] = {}
        """What was stored into caches and global variables, by key."""

    # to be provided

    def call(self, node: ast.Call, callee: Alternatives, arguments: Arguments, frame: Frame) -> Alternatives | None:
        """Take note of a call, or follow it; None where the function is none of ours."""
        raise NotImplementedError

    def global_name(self, name: str, source: Source) -> Alternatives:
        """What a name means at a module's own level."""
        raise NotImplementedError

    def member(self, owner: Value, name: str, frame: Frame) -> Alternatives | None:
        """``self.name`` where the class says what it is."""
        raise NotImplementedError

    def forced(self, values: Alternatives) -> Alternatives:
        """The values with calls followed that were put off until their result is wanted."""
        raise NotImplementedError

    # names

    def load(self, name: str, frame: Frame) -> Alternatives:
        """The value of a name."""
        here: Frame | None = frame
        while here is not None:
            if name in here.state.names and name not in here.globals:
                return here.state.names[name]
            if name in here.globals:
                break
            here = here.outer
        return self.global_name(name, frame.source)

    # expressions

    def evaluate(self, node: ast.expr, frame: Frame) -> Alternatives:
        """Every value that an expression may have."""
        self._steps -= 1
        if self._steps < 0:
            raise Exhausted
        visit = getattr(self, f"_{type(node).__name__}", None)
        if visit is None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.evaluate(child, frame)
            return (fresh(_text(node)),)
        result: Alternatives = visit(node, frame)
        if frame.state.facts:
            result = tuple(frame.state.facts.get(value, value) for value in result)
        return result

    def _Constant(self, node: ast.Constant, frame: Frame) -> Alternatives:
        value = node.value
        if value is None:
            return (Nothing(),)
        if isinstance(value, bool):
            return (Flag(value),)
        if isinstance(value, int):
            return (number(value),)
        return (Text(value),) if isinstance(value, str) else (fresh(_text(node)),)

    def _Name(self, node: ast.Name, frame: Frame) -> Alternatives:
        return unite(*(self._constant(value) for value in self.load(node.id, frame)))

    def _constant(self, value: Value) -> Alternatives:
        """What an imported constant of the package is; other imports are looked into when they are called."""
        if isinstance(value, Imported) and value.name.strip("_").isupper() and self._own(value.module):
            source = self.program.module(value.module)
            if source is not None:
                return self.global_name(value.name, source)
        return (value,)

    def _Tuple(self, node: ast.Tuple | ast.List, frame: Frame) -> Alternatives:
        parts: list[Alternatives] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                values = self.evaluate(element.value, frame)
                if len(values) != 1 or not isinstance(values[0], Row):
                    return (fresh(_text(node)),)
                parts += [(part,) for part in values[0].items]
            else:
                parts.append(self.evaluate(element, frame))
        return unite(Row(chosen) for chosen in _product(parts))

    _List = _Tuple

    def _Dict(self, node: ast.Dict, frame: Frame) -> Alternatives:
        items: list[tuple[str, Value]] = []
        known = True
        for key, value in zip(node.keys, node.values, strict=True):
            values = self.evaluate(value, frame)
            keys = () if key is None else self.evaluate(key, frame)
            if key is None and len(values) == 1 and isinstance(values[0], Table):
                items += values[0].items
            elif len(keys) == 1 and isinstance(keys[0], Text):
                items.append((keys[0].value, one(values)))
            else:
                known = False
        return (Table(tuple(dict(items).items())),) if known else (fresh(_text(node)),)

    def _BinOp(self, node: ast.BinOp, frame: Frame) -> Alternatives:
        pairs = _product([self.evaluate(node.left, frame), self.evaluate(node.right, frame)])
        return unite(_binary(node, left, right) for left, right in pairs)

    def _UnaryOp(self, node: ast.UnaryOp, frame: Frame) -> Alternatives:
        values = self.evaluate(node.operand, frame)
        if isinstance(node.op, ast.USub):
            return unite(add(number(0), as_sum(value), -1) for value in values)
        if isinstance(node.op, ast.Not):
            return unite(
                Flag(not v.value) if isinstance(v, Flag) and v.value is not None else fresh(_text(node)) for v in values
            )
        return values if isinstance(node.op, ast.UAdd) else (fresh(_text(node)),)

    def _BoolOp(self, node: ast.BoolOp, frame: Frame) -> Alternatives:
        united: list[Value] = []
        for index, part in enumerate(node.values):
            values = self.evaluate(part, frame)
            if len(values) == 1 and isinstance(values[0], Flag) and values[0].value is not None:
                if values[0].value is isinstance(node.op, ast.Or):
                    return unite(united, values)
                if index < len(node.values) - 1:
                    continue
            if index < len(node.values) - 1:
                # `x or y` is x where x is true, and what is None never is.
                drop = (Nothing,) if isinstance(node.op, ast.Or) else (Row, Table, Tensor, EntryPoint)
                values = tuple(v for v in values if not isinstance(v, drop))
            united += values
        return unite(united)

    def _IfExp(self, node: ast.IfExp, frame: Frame) -> Alternatives:
        tests = self.evaluate(node.test, frame)
        known = {test.value for test in tests if isinstance(test, Flag)} if tests else set()
        if len(tests) == 1 and known == {True}:
            return self.evaluate(node.body, frame)
        if len(tests) == 1 and known == {False}:
            return self.evaluate(node.orelse, frame)
        return unite(self.evaluate(node.body, frame), self.evaluate(node.orelse, frame))

    def _NamedExpr(self, node: ast.NamedExpr, frame: Frame) -> Alternatives:
        values = self.evaluate(node.value, frame)
        frame.state.names[node.target.id] = values
        return values

    def _Compare(self, node: ast.Compare, frame: Frame) -> Alternatives:
        operands = [self.evaluate(part, frame) for part in (node.left, *node.comparators)]
        operator = _COMPARE.get(type(node.ops[0]))
        if len(operands) != 2 or operator is None:
            return (fresh(_text(node)),)
        return unite(
            compare(operator, left, right) if isinstance(left, Sum) and isinstance(right, Sum) else fresh(_text(node))
            for left, right in _product(operands)
        )

    def _Attribute(self, node: ast.Attribute, frame: Frame) -> Alternatives:
        return self._access(self.evaluate(node.value, frame), node, frame)

    def _access(self, bases: Alternatives, node: ast.Attribute, frame: Frame) -> Alternatives:
        if node.attr in ENTRIES and not any(isinstance(base, Module) and self._own(base.name) for base in bases):
            return (EntryPoint(node.attr),)
        return unite(*(self._attribute(base, node, frame) for base in bases))

    def _own(self, module: str) -> bool:
        return module.partition(".")[0] == self.program.package.name

    def _attribute(self, base: Value, node: ast.Attribute, frame: Frame) -> Alternatives:
        if isinstance(base, Module):
            source = self.program.module(base.name)
            if source is not None:
                inner = f"{base.name}.{node.attr}"
                return (Module(inner),) if self.program.place_of(inner) else self.global_name(node.attr, source)
            return (Imported(base.name, node.attr),)
        if isinstance(base, Imported):
            return (Imported(f"{base.module}.{base.name}", node.attr),)
        if isinstance(base, Sum):
            known = self.member(base, node.attr, frame)
            if known is not None:
                return known
        found = attribute(base, node.attr)
        return (fresh(_text(node)) if found is None else found,)

    def _Subscript(self, node: ast.Subscript, frame: Frame) -> Alternatives:
        bases = self.forced(self.evaluate(node.value, frame))
        return unite(*(self._subscript(base, node, frame) for base in bases))

    def _subscript(self, base: Value, node: ast.Subscript, frame: Frame) -> Alternatives:
        if isinstance(base, Cache):
            self.evaluate(node.slice, frame)
            return self.stored(base) or (fresh(_text(node)),)
        if isinstance(base, Tensor):
            return (self._sliced(base, node.slice, frame) or Tensor(base.shape, None, f"{_text(node)}"),)
        if isinstance(node.slice, ast.Slice):
            return (self._part(base, node.slice, frame) or fresh(_text(node)),)
        results: list[Value] = []
        for index in self.evaluate(node.slice, frame):
            if isinstance(index, Text) and index.value in ENTRIES:
                results.append(EntryPoint(index.value))
            elif isinstance(index, Text) and isinstance(base, Table):
                results.append(dict(base.items).get(index.value, fresh(_text(node))))
            elif isinstance(index, Sum) and index.constant is not None and isinstance(base, (Row, Sum)):
                results.append(item(base, index.constant))
            else:
                results.append(fresh(_text(node)))
        return unite(results)

    def _part(self, base: Value, node: ast.Slice, frame: Frame) -> Value | None:
        limits = [one(self.evaluate(n, frame)) if n is not None else None for n in (node.lower, node.upper)]
        ends = [limit.constant if isinstance(limit, Sum) else None for limit in limits]
        if node.step is not None or any(x is not None and e is None for x, e in zip(limits, ends, strict=True)):
            return None
        if isinstance(base, Row):
            return Row(base.items[ends[0] : ends[1]])
        # The start of a shape that is not known: its items are the shape's own.
        return base if isinstance(base, Sum) and not ends[0] else None

    def _sliced(self, base: Tensor, node: ast.expr, frame: Frame) -> Tensor | None:
        indices: list[tensors.Index | None] = []
        for part in node.elts if isinstance(node, ast.Tuple) else [node]:
            if isinstance(part, ast.Constant) and part.value is Ellipsis:
                indices.append(None)
            elif isinstance(part, ast.Slice):
                if part.step is not None:
                    return None
                limits = [one(self.evaluate(n, frame)) if n is not None else None for n in (part.lower, part.upper)]
                if any(limit is not None and not isinstance(limit, (Sum, Nothing)) for limit in limits):
                    return None
                start, stop = (limit if isinstance(limit, Sum) else None for limit in limits)
                indices.append(("slice", start, stop))
            else:
                value = one(self.evaluate(part, frame))
                if not isinstance(value, Sum) or value.constant is None:
                    return None  # a mask or a tensor of indices makes a copy
                indices.append(("one", value, None))
        return tensors.slices(base, indices)

    def stored(self, cache: Cache) -> Alternatives:
        """Everything that was stored into a cache while this call was followed."""
        return self.stores.get(cache.key, ())

    # calls

    def _Call(self, node: ast.Call, frame: Frame) -> Alternatives:
        bases: Alternatives = ()
        if isinstance(node.func, ast.Attribute):
            bases = self.evaluate(node.func.value, frame)
            callee = self._access(bases, node.func, frame)
        else:
            callee = self.evaluate(node.func, frame)
        arguments = self.arguments(node, frame)
        taken = self._special(node, arguments, frame)
        if taken is not None:
            return taken
        followed = self.call(node, callee, arguments, frame)
        if followed is not None:
            return followed
        name = terminal(node.func)
        if isinstance(node.func, ast.Attribute):
            if name in tensors.METHODS:
                bases = self.forced(bases)
            return unite(*(self._method(b, name, *chosen, node) for b in bases for chosen in _chosen(arguments)))
        made = self._function(name, callee, arguments, frame)
        return (fresh(_text(node)),) if made is None else made

    def arguments(self, node: ast.Call, frame: Frame) -> Arguments:
        """The arguments of a call, evaluated."""
        positional: list[Alternatives] = []
        keywords: dict[str, Alternatives] = {}
        complete = True
        for part in node.args:
            if isinstance(part, ast.Starred):
                values = self.evaluate(part.value, frame)
                if len(values) == 1 and isinstance(values[0], Row):
                    positional += [(v,) for v in values[0].items]
                else:
                    complete = False
                    break
            else:
                positional.append(self.evaluate(part, frame))
        for keyword in node.keywords:
            values = self.evaluate(keyword.value, frame)
            if keyword.arg is not None:
                keywords[keyword.arg] = values
            elif len(values) == 1 and isinstance(values[0], Table):
                keywords.update({k: (v,) for k, v in values[0].items})
            else:
                complete = False
        return Arguments(tuple(positional), keywords, complete)

    def _special(self, node: ast.Call, arguments: Arguments, frame: Frame) -> Alternatives | None:
        """Built-in ways to come by a function."""
        name = terminal(node.func)
        if name == "getattr" and len(arguments.positional) >= 2:
            results: list[Value] = []
            for wanted in arguments.positional[1]:
                if isinstance(wanted, Text) and wanted.value in ENTRIES:
                    results.append(EntryPoint(wanted.value))
                elif isinstance(wanted, Text) and wanted.value.isidentifier():
                    access = ast.Attribute(node.args[0], wanted.value, ast.Load())
                    ast.copy_location(access, node)
                    results += self._Attribute(access, frame)
                else:
                    results.append(fresh(_text(node)))
            return unite(results, *arguments.positional[2:])
        if name == "partial" and arguments.positional:
            heads = [v for v in arguments.positional[0] if isinstance(v, EntryPoint)]
            if heads and arguments.complete:
                rest, keywords = Arguments(arguments.positional[1:], arguments.keywords).single()
                return unite(
                    EntryPoint(h.name, (*h.arguments, *rest), tuple({**dict(h.keywords), **keywords}.items()))
                    for h in heads
                )
        if name == "dict" and not arguments.positional and arguments.complete and arguments.keywords:
            return (Table(tuple(arguments.single()[1].items())),)
        if name == "type" and len(arguments.positional) == 1:
            return arguments.positional[0]  # attributes that a class has are looked up as its instance's
        if name in ("tuple", "list") and len(arguments.positional) == 1 and not arguments.keywords:
            return arguments.positional[0]
        if name == "int" and len(arguments.positional) == 1 and not arguments.keywords:
            return unite(v if isinstance(v, Sum) else fresh(_text(node)) for v in arguments.positional[0])
        if name == "bool" and len(arguments.positional) == 1:
            return arguments.positional[0]
        if name == "import_module" and arguments.positional:
            return unite(
                Module(v.value) if isinstance(v, Text) and v.value else fresh(_text(node))
                for v in arguments.positional[0]
            )
        return None

    def _function(self, name: str, callee: Alternatives, arguments: Arguments, frame: Frame) -> Alternatives | None:
        if name in _PURE and arguments.complete and not arguments.keywords:
            return unite(_pure(name, chosen) for chosen in _product(list(arguments.positional)))
        if any(isinstance(v, Imported) and v.module == "torch" for v in callee):
            return self._torch(name, arguments)
        return None

    def _torch(self, name: str, arguments: Arguments) -> Alternatives | None:
        if not arguments.complete:
            return None
        made = [tensors.construct(name, positional, keywords) for positional, keywords in _chosen(arguments)]
        return unite(m for m in made if m is not None) if made and None not in made else None

    def _method(
        self, base: Value, name: str, positional: Sequence[Value], keywords: dict[str, Value], node: ast.Call
    ) -> Alternatives:
        unknown = (fresh(_text(node)),)
        if isinstance(base, Cache):
            if name in ("get", "pop"):
                return unite(self.stored(base), positional[1:2] or (Nothing(),))
            if name == "setdefault" and len(positional) == 2:
                self.stores[base.key] = unite(self.stored(base), positional[1:])
                return self.stored(base)
            return unknown
        made: Value | None = None
        if isinstance(base, Module):
            if base.name == "torch":
                made = tensors.construct(name, positional, keywords)
            elif name in _PURE and not keywords:
                return (_pure(name, positional),)
        elif isinstance(base, Imported):
            made = _pure(name, positional) if name in _PURE and not keywords else None
        else:
            made = tensors.method(base, name, positional, keywords)
        made = (
            made or tensors.construct_new(name, positional, keywords) or tensors.workspace(name, positional, keywords)
        )
        return unknown if made is None else (made,)


def harmless(node: ast.Call) -> bool:
    """Whether a call only looks at its arguments."""
    return terminal(node.func) in _HARMLESS


def terminal(node: ast.expr) -> str:
    """The last identifier of a dotted name."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _chosen(arguments: Arguments) -> Iterable[tuple[list[Value], dict[str, Value]]]:
    names = list(arguments.keywords)
    count = len(arguments.positional)
    # Fill values, dtypes and devices do not bear on the shape: only sizes are taken apart.
    keywords = [v if n == "size" else (one(v),) for n, v in arguments.keywords.items()]
    for chosen in _product([*arguments.positional, *keywords]):
        yield list(chosen[:count]), dict(zip(names, chosen[count:], strict=True))


def _product(groups: Sequence[Alternatives]) -> Iterable[tuple[Value, ...]]:
    combinations = 1
    for group in groups:
        combinations *= len(group)
    if combinations > MOST_ALTERNATIVES:
        groups = [(one(group),) for group in groups]
    return itertools.product(*groups)


def _pure(name: str, values: Sequence[Value]) -> Value:
    numbers = [v.constant if isinstance(v, Sum) else None for v in values]
    if name in ("max", "min") and numbers and None not in numbers:
        return number((max if name == "max" else min)(n for n in numbers if n is not None))
    if name in ("cdiv", "ceil_div") and len(values) == 2 and numbers[0] is not None and numbers[1]:
        return number(-(-numbers[0] // numbers[1]))
    if name in ("max", "min") and len(set(values)) == 1:
        return values[0]
    if name == "len" and len(values) == 1 and isinstance(values[0], Row):
        return number(len(values[0].items))
    return pure(name, *values)


def _binary(node: ast.BinOp, left: Value, right: Value) -> Value:
    if isinstance(left, Row) and isinstance(right, Row) and isinstance(node.op, ast.Add):
        return Row(left.items + right.items)
    if not isinstance(left, Sum) or not isinstance(right, Sum):
        return fresh(_text(node))
    if isinstance(node.op, ast.Add):
        return add(left, right)
    if isinstance(node.op, ast.Sub):
        return add(left, right, -1)
    if isinstance(node.op, ast.Mult):
        return multiply(left, right)
    if isinstance(node.op, ast.FloorDiv):
        return divide(left, right)
    a, b = left.constant, right.constant
    if a is not None and b is not None and isinstance(node.op, (ast.Mod, ast.LShift)):
        if isinstance(node.op, ast.Mod) and b:
            return number(a % b)
        if isinstance(node.op, ast.LShift) and 0 <= b < 64:
            return number(a << b)
    return pure(type(node.op).__name__, left, right)


def _text(node: ast.expr) -> str:
    try:
        return " ".join(ast.unparse(node).split())
    except (ValueError, AttributeError, RecursionError):
        return "an expression"
