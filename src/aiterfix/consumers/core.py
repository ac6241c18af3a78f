"""What the parts of the interpreter share: the package, what was found so far, and each other's services."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Sequence

from aiterfix.consumers.model import Entry
from aiterfix.consumers.program import Function, Program, Source
from aiterfix.consumers.records import Escape, Record
from aiterfix.consumers.state import Alternatives, Arguments, Exhausted, Frame
from aiterfix.consumers.trees import text_of
from aiterfix.consumers.values import Atom, Cache, EntryPoint, Sum, Value, fresh

ENTRIES = frozenset(entry.value for entry in Entry)
MOST_STEPS = 200_000  # expressions in one root function with what it enters; the largest real one needs some 20,000


class Core(ABC):
    """Evaluation of one expression, and what the parts expect of each other (each is defined by one of them)."""

    def __init__(self, program: Program, watched: frozenset[str] = frozenset()) -> None:
        """Prepare.

        Args:
            program: the package.
            watched: names of functions and classes whose calls are noted, besides the entry points.
        """
        self.program = program
        self.watched = watched
        self.records: list[Record] = []
        self.escapes: list[Escape] = []
        self.stores: dict[str, Alternatives] = {}
        """What was stored into caches, attributes and global variables, by key."""
        self.modules: dict[str, dict[str, Alternatives]] = {}
        """Names at the modules' own level."""
        self.stack: list[str] = []
        """Functions that are being followed, outermost first."""
        self.entered: set[str] = set()
        """Functions that were followed from this root."""
        self.deferred: dict[Atom, tuple[Function, Arguments, Sum | None]] = {}
        """Calls put off, by what stands for their result."""
        self.root: Function | None = None
        """The function whose parameters everything is stated in."""
        self.supposed = 0
        """How many inner functions are being followed where they are defined."""
        self.steps = MOST_STEPS
        self._names: dict[str, frozenset[str]] = {}

    def evaluate(self, node: ast.expr, frame: Frame) -> Alternatives:
        """Every value that an expression may have."""
        self.steps -= 1
        if self.steps < 0:
            raise Exhausted
        visit = getattr(self, f"_{type(node).__name__}", None)
        if visit is None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.evaluate(child, frame)
            return (fresh(text_of(node)),)
        result: Alternatives = visit(node, frame)
        if frame.state.facts:
            result = tuple(frame.state.facts.get(value, value) for value in result)
        return result

    @abstractmethod
    def condition(self, node: ast.expr, frame: Frame) -> Alternatives:
        """What an expression is as a condition, of which only its truth counts."""

    # subscripts

    @abstractmethod
    def access(self, bases: Alternatives, node: ast.Attribute, frame: Frame) -> Alternatives:
        """``base.name`` for every base."""

    def own(self, module: str) -> bool:
        """Whether a module is one of the package."""
        return module.partition(".")[0] == self.program.package.name

    # functions

    @abstractmethod
    def call(self, node: ast.Call, callee: Alternatives, arguments: Arguments, frame: Frame) -> Alternatives | None:
        """Note, follow or put off a call; None where the function is none of the package's."""

    @abstractmethod
    def enter(
        self,
        function: Function,
        arguments: Arguments,
        owner: Sum | None,
        *,
        flags: dict[str, bool] | None = None,
        outer: Frame | None = None,
    ) -> Alternatives:
        """What a function returns; ``flags``, of a root, are parameters that are taken to be true or false."""

    @abstractmethod
    def forced(self, values: Alternatives) -> Alternatives:
        """The values, with calls followed that were put off until their result is wanted."""

    @abstractmethod
    def function_of(self, value: Value) -> tuple[Function | None, Sum | None]:
        """The function of the package that a value is, and what is bound as its first argument."""

    @abstractmethod
    def relevant(self, source: Source) -> frozenset[str]:
        """Functions of a module that name what is looked for, or a function that does."""

    @abstractmethod
    def stands_in_relevant(self, frame: Frame) -> bool:
        """Whether the function that is followed is one of these."""

    # notes

    @abstractmethod
    def record_entry(self, entry: EntryPoint, node: ast.Call, arguments: Arguments, frame: Frame) -> None:
        """Note a call of an entry point."""

    @abstractmethod
    def note_watched(self, node: ast.Call, callee: Alternatives, arguments: Arguments, frame: Frame) -> None:
        """Note a call of a function that is watched for."""

    @abstractmethod
    def escape(self, value: Value, line: int, frame: Frame, reason: str) -> None:
        """Note where an entry point goes out of sight."""

    # objects

    @abstractmethod
    def load(self, name: str, frame: Frame) -> Alternatives:
        """The value of a name."""

    @abstractmethod
    def global_name(self, name: str, source: Source) -> Alternatives:
        """What a name means at a module's own level, and what functions may have made of it since."""

    @abstractmethod
    def module_names(self, source: Source) -> dict[str, Alternatives]:
        """What names mean at a module's own level."""

    @abstractmethod
    def member(self, owner: Value, name: str, frame: Frame) -> Alternatives | None:
        """``self.name`` where the class says what it is."""

    @abstractmethod
    def overridden(self, class_name: str, name: str) -> bool:
        """Whether a class that derives from one of this name defines a name anew."""

    @abstractmethod
    def stored(self, cache: Cache, key: Value) -> Alternatives:
        """What was stored in a cache here under a key, and that others store there too."""

    # statements

    @abstractmethod
    def changed(self, node: ast.expr, frame: Frame) -> None:
        """Something was changed in place: all that may stand for it means something unknown now."""

    @abstractmethod
    def changed_by(self, node: ast.Call, frame: Frame) -> None:
        """A call of a method that changes its object in place."""

    @abstractmethod
    def block(self, body: Sequence[ast.stmt], frame: Frame) -> None:
        """Follow statements until a path ends."""

    @abstractmethod
    def store(self, target: ast.expr, values: Alternatives, frame: Frame, line: int) -> None:
        """Give a name, an attribute, an item or several of them a value."""
