"""What names mean at one point of a function, how paths meet again, and what a condition says about a path."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aiterfix.consumers.program import Function, Source
from aiterfix.consumers.syntax import is_none
from aiterfix.consumers.values import Atom, EntryPoint, Flag, Nothing, Sum, Tensor, Value, describe, fresh, single

Alternatives = tuple[Value, ...]


MOST_ALTERNATIVES = 12


class Exhausted(Exception):  # noqa: N818 - ends an interpretation, is no error
    """A function is too large, or its paths too many, to be followed."""


def unite(*groups: Iterable[Value]) -> Alternatives:
    """Every alternative once; too many of them are one thing that is not known."""
    united = tuple(dict.fromkeys(itertools.chain(*groups)))
    return united if len(united) <= MOST_ALTERNATIVES else (fresh("one of many values"),)


def one(values: Alternatives) -> Value:
    """The value, where there is one only."""
    return values[0] if len(values) == 1 else fresh("one of " + " | ".join(map(describe, values[:3])))


def product(groups: Sequence[Alternatives]) -> Iterable[tuple[Value, ...]]:
    """Every combination; of too many, one in which what is not certain is unknown."""
    combinations = 1
    for group in groups:
        combinations *= len(group)
    if combinations > MOST_ALTERNATIVES:
        groups = [(one(group),) for group in groups]
    return itertools.product(*groups)


@dataclass
class State:
    """What names mean at one point of a function."""

    names: dict[str, Alternatives]
    facts: dict[Value, Value] = field(default_factory=dict)
    """Values that a condition fixed, as in ``assert page_size == 64``."""
    truths: dict[Value, bool] = field(default_factory=dict)
    """Parameters of the root function that are taken to be true, or not: no more is known of them."""
    dead: bool = False

    def copy(self) -> State:
        """An independent copy."""
        return State(dict(self.names), dict(self.facts), dict(self.truths), self.dead)

    def alive(self) -> State:
        """A copy from which a path goes on."""
        return State(dict(self.names), dict(self.facts), dict(self.truths))


@dataclass
class Frame:
    """A function (or a module's own level) that is being followed."""

    source: Source
    function: Function | None
    state: State
    outer: Frame | None = None
    globals: set[str] = field(default_factory=set)
    returned: list[Value] = field(default_factory=list)
    turns: list[tuple[list[State], list[State]]] = field(default_factory=list)
    """Of every loop about a statement: where ``break``, and where ``continue``, left its body."""
    watching: list[State] = field(default_factory=list)
    """Of every ``try`` about a statement: what names may mean where an exception leaves its body."""

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


def parameter(function: Function, name: str) -> Sum:
    """What stands for a parameter of a function that is followed on its own."""
    return single(Atom("parameter", name, (function.identity,)))


def chosen_of(arguments: Arguments) -> Iterable[tuple[list[Value], dict[str, Value]]]:
    """Every combination of what the arguments of a call may be."""
    names = list(arguments.keywords)
    count = len(arguments.positional)
    # Fill values, dtypes and devices do not bear on the shape: only sizes are taken apart.
    keywords = [v if n == "size" else (one(v),) for n, v in arguments.keywords.items()]
    for chosen in product([*arguments.positional, *keywords]):
        yield list(chosen[:count]), dict(zip(names, chosen[count:], strict=True))


def refine(state: State, test: ast.expr, truth: bool, tests: Alternatives) -> None:
    """What is known where a condition holds, or does not."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        refine(state, test.operand, not truth, ())
    elif isinstance(test, ast.BoolOp):
        if isinstance(test.op, ast.And) is truth:
            for part in test.values:
                refine(state, part, truth, ())
    elif isinstance(test, ast.Name):
        _keep(
            state, test.id, lambda v: not isinstance(v, Nothing) if truth else not isinstance(v, (Tensor, EntryPoint))
        )
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        _refine_comparison(state, test, truth, tests)


def _refine_comparison(state: State, test: ast.Compare, truth: bool, tests: Alternatives) -> None:
    left, right, operator = test.left, test.comparators[0], test.ops[0]
    if isinstance(operator, (ast.Is, ast.IsNot)) and isinstance(left, ast.Name) and is_none(right):
        none = isinstance(operator, ast.Is) is truth
        _keep(state, left.id, lambda v: isinstance(v, (Nothing, Sum)) if none else not isinstance(v, Nothing))
    elif isinstance(operator, (ast.Eq, ast.NotEq)) and isinstance(operator, ast.Eq) is truth and len(tests) == 1:
        flag = tests[0]
        if isinstance(flag, Flag) and flag.left is not None and flag.right is not None:
            for unknown, value in ((flag.left, flag.right), (flag.right, flag.left)):
                if unknown.atom is not None and value.constant is not None:
                    state.facts[unknown] = value


def _keep(state: State, name: str, wanted: object) -> None:
    assert callable(wanted)
    values = state.names.get(name)
    if values is not None:
        kept = tuple(v for v in values if wanted(v))
        state.names[name] = kept or values


def join(into: State, states: Sequence[State]) -> None:
    """What names mean where paths meet."""
    alive = [s for s in states if not s.dead]
    if not alive:
        into.dead = True
        if states:
            into.names = dict(states[0].names)
        return
    names: dict[str, Alternatives] = {}
    for name in dict.fromkeys(n for s in alive for n in s.names):
        groups = [s.names[name] for s in alive if name in s.names]
        names[name] = groups[0] if all(g == groups[0] for g in groups) else unite(*groups)
    into.names = names
    into.facts = {k: v for k, v in alive[0].facts.items() if all(s.facts.get(k) == v for s in alive)}
    into.dead = False


def captured(frame: Frame) -> State:
    """What names mean to a function defined here, whenever it is called."""
    state = frame.state.copy()
    if frame.function is not None:
        for name in frame.function.rebound & state.names.keys():
            state.names[name] = (fresh(f"{name}, as it is later"),)
    return state
