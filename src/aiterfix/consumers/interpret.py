"""Follow the statements of a function, over every path, and note the calls that are of interest.

An abstract interpretation: a name stands for the set of values that it may have. Branches are joined, loops followed
twice, functions of the package that bear on a call entered, others put off until their result is wanted. A path that
is not followed leaves a value that equals nothing, never a wrong one; what outlives a call (caches, globals) is taken
to have been filled by calls with the same arguments.
"""

from __future__ import annotations

import itertools

from aiterfix.consumers.assignments import Assignments
from aiterfix.consumers.calls import Calls
from aiterfix.consumers.control import Control
from aiterfix.consumers.core import MOST_STEPS
from aiterfix.consumers.expressions import Expressions
from aiterfix.consumers.functions import Functions
from aiterfix.consumers.notes import Notes
from aiterfix.consumers.objects import Objects
from aiterfix.consumers.program import Function, Source
from aiterfix.consumers.state import Alternatives, Arguments, Frame, State
from aiterfix.consumers.subscripts import Subscripts
from aiterfix.consumers.syntax import defaults_of, repeated_tests

_MOST_FLAGS = 2  # parameters that split the paths of a root function


class Interpreter(Control, Assignments, Functions, Notes, Objects, Calls, Subscripts, Expressions):
    """Follows functions of one package; each part is a module of its name."""

    def follow(self, function: Function) -> None:
        """Follow a function on its own, its parameters being whatever they are.

        Raises:
            Exhausted: it is too large.
        """
        self.stores.clear()
        self.root = function
        # A flag that is tested more than once splits the paths in two that do not mix.
        flags = repeated_tests(function)[:_MOST_FLAGS]
        for chosen in itertools.product((True, False), repeat=len(flags)):
            self._follow_once(function, dict(zip(flags, chosen, strict=True)))

    def _follow_once(self, function: Function, flags: dict[str, bool]) -> None:
        self.steps = MOST_STEPS
        self.entered.clear()
        before = dict(self.stores)
        noted = len(self.records), len(self.escapes)
        self.enter(function, Arguments((), {}), None, flags=flags)
        if self.stores != before:
            # What the first call stored in a cache a second one finds there.
            del self.records[noted[0] :], self.escapes[noted[1] :]
            self.enter(function, Arguments((), {}), None, flags=flags)

    def follow_module(self, source: Source) -> None:
        """Follow a module's own level."""
        self.steps = MOST_STEPS
        self.root = None
        self.module_names(source)

    def default(self, function: Function, name: str) -> Alternatives:
        """The default of a parameter."""
        return self.evaluate(defaults_of(function)[name], Frame(function.source, None, State({})))
