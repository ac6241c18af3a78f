"""What is found on a walk through a kernel: its stores, and what is not understood."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from aiterfix.source.logic import Condition
from aiterfix.source.names import Flow
from aiterfix.source.scope import ModuleScope
from aiterfix.source.tree import descend
from aiterfix.source.values import Atom, Universe, Value

Environment = dict[str, Value]
T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """Something about a kernel that is not understood, so that nothing may be concluded.

    Attributes:
        code: stable machine name.
        message: one sentence for people.
        line: 1-based line in the file.
        kernel: the kernel's name, or "" for the whole file.
        python: the release of Python that may be wanting, as "3.12"; empty where none is known to.
    """

    code: str
    message: str
    line: int
    kernel: str = ""
    python: str = ""


@dataclass(frozen=True)
class StoreCall:
    """A store to the output, evaluated where it stands.

    Attributes:
        node: the call.
        kind: "store" or "buffer_store".
        arguments: the argument nodes by parameter name.
        pointer: value of the pointer.
        offsets: value of the offsets; zero where the store has none.
        mask: the mask's value; None without one.
        conditions: what holds on every way to it.
        environment: what every local name holds at the call.
        helper: the function that it stands in, where that is not the kernel itself.
    """

    node: ast.Call
    kind: str
    arguments: dict[str, ast.expr]
    pointer: Value
    offsets: Value
    mask: Value | None
    conditions: tuple[Condition, ...]
    environment: Environment
    helper: str = ""

    @property
    def stored(self) -> ast.expr | None:
        """What it stores."""
        return self.arguments.get("value") or self.arguments.get("stored_value")

    @property
    def address(self) -> Value:
        """Pointer and offsets together."""
        return self.pointer + self.offsets


@dataclass
class KernelWalk:
    """What a walk found. `stores` are in source order; `values` has every expression's value where it stands."""

    function: ast.FunctionDef
    universe: Universe
    scope: ModuleScope
    output: Atom
    bound: Atom | None
    strides: frozenset[Atom]
    stores: list[StoreCall] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    values: dict[ast.expr, Value] = field(default_factory=dict)
    never_none: set[Atom] = field(default_factory=set)
    """Symbols that are tensors or numbers."""
    on_device: set[Atom] = field(default_factory=set)
    """Symbols that are values of the device whatever is specialised: they have methods."""
    relaid: bool = False
    """Whether a layout was converted: values that are equal may then be in different layouts."""
    kept: dict[object, Any] = field(default_factory=dict)
    """What several faults ask of the same function and take long to find, by question."""

    @property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The kernel's own syntax, all of it, in the order of `ast.walk`."""
        return self.once("nodes", lambda: tuple(descend(self.function)))

    def once(self, question: object, find: Callable[[], T]) -> T:
        """The answer to a question about this walk, found when it is first asked."""
        if question not in self.kept:
            self.kept[question] = find()
        answer: T = self.kept[question]
        return answer


@dataclass
class Frame:
    """One function while its body is walked.

    Attributes:
        function: its definition.
        flow: which of its names matter.
        env: what its names hold.
        outer: what the names of the function around it hold.
        returns: what it may return.
        volatile: names that another function may rebind.
    """

    function: ast.FunctionDef
    flow: Flow
    env: Environment
    outer: Environment | None = None
    returns: list[Value] = field(default_factory=list)
    volatile: frozenset[str] = frozenset()

    @cached_property
    def read(self) -> frozenset[str]:
        """Names that it reads anywhere."""
        nodes = (n for n in descend(self.function) if isinstance(n, ast.Name))
        return frozenset(n.id for n in nodes if isinstance(n.ctx, ast.Load))
