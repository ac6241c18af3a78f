"""Functions of the package that are called: entered where they bear on a call of interest, else put off."""

from __future__ import annotations

import ast

from aiterfix.consumers.core import ENTRIES, Core
from aiterfix.consumers.notes import harmless
from aiterfix.consumers.program import Function, Source, parameters
from aiterfix.consumers.records import Escape
from aiterfix.consumers.state import Alternatives, Arguments, Frame, State, parameter, unite
from aiterfix.consumers.syntax import aliases_of, decorator, defaults_of, terminal, yields
from aiterfix.consumers.values import (
    Atom,
    EntryPoint,
    Imported,
    Local,
    Nothing,
    Sum,
    Value,
    atoms,
    fresh,
    single,
    substitute,
)

DEEPEST = 12  # functions within functions


TRANSPARENT = frozenset(
    [
        "cache",
        "lru_cache",
        "staticmethod",
        "classmethod",
        "property",
        "cached_property",
        "no_grad",
        "inference_mode",
        "wraps",
        "compile",
        "eager_break_during_capture",
        "disable",
        "jit_fuser",
        "override",
    ]
)


class Functions(Core):
    """Calls and returns."""

    def enter(
        self,
        function: Function,
        arguments: Arguments,
        owner: Sum | None,
        *,
        flags: dict[str, bool] | None = None,
        outer: Frame | None = None,
    ) -> Alternatives:
        """What a function returns, with notes taken on the way."""
        root = flags is not None
        state = State(self._bind(function, arguments, owner, root=root))
        frame = Frame(function.source, function, state, outer)
        for name, truth in (flags or {}).items():
            values = self.load(name, frame)
            if len(values) == 1 and isinstance(values[0], Sum):
                state.truths[values[0]] = truth
        self.stack.append(function.identity)
        self.entered.add(function.identity)
        try:
            self.block(function.node.body, frame)
        finally:
            self.stack.pop()
        if not state.dead:
            frame.returned.append(Nothing())
        for value in frame.returned:
            if root and isinstance(value, EntryPoint):
                self.escapes.append(Escape(value.name, function.node.lineno, function.qualified, "is returned"))
        return unite(frame.returned)

    def _bind(
        self, function: Function, arguments: Arguments, owner: Sum | None, *, root: bool
    ) -> dict[str, Alternatives]:
        node = function.node
        names: dict[str, Alternatives] = {}
        for name in (*parameters(node), *(a.arg for a in (node.args.vararg, node.args.kwarg) if a is not None)):
            names[name] = (parameter(function, name) if root else fresh(name),)
        if root:
            return names
        given = list(arguments.positional)
        ordered = [p.arg for p in (*node.args.posonlyargs, *node.args.args)]
        if owner is not None and not function.static:
            given.insert(0, (owner,))
        defaults = defaults_of(function)
        for name, default in defaults.items():
            if arguments.complete:
                names[name] = self.evaluate(default, Frame(function.source, None, State({})))
        names.update(zip(ordered, given, strict=False))
        names.update((name, values) for name, values in arguments.keywords.items() if name in names)
        return names

    def call(self, node: ast.Call, callee: Alternatives, arguments: Arguments, frame: Frame) -> Alternatives | None:
        """Note, follow or put off a call."""
        results: list[Value] = []
        known = False
        for value in callee:
            if isinstance(value, EntryPoint):
                self.record_entry(value, node, arguments, frame)
                results.append(fresh("what the kernel's wrapper returns"))
                known = True
                continue
            function, owner = self.function_of(value)
            if function is not None:
                known = True
                results += self._call_function(function, owner, node, arguments, frame)
            else:
                instance = self._instance_of(value)
                known = known or instance is not None
                results.append(instance or fresh(terminal(node.func) or "a call"))
        self.note_watched(node, callee, arguments, frame)
        if not known and not harmless(node):
            for value in arguments.all():
                self.escape(value, node.lineno, frame, f"is passed to {terminal(node.func) or 'a function'}")
        return unite(results) if known else None

    def function_of(self, value: Value) -> tuple[Function | None, Sum | None]:
        """The function of the package that a value is, and what is bound as its first argument."""
        if isinstance(value, Local):
            return self.program.function(value.identity), value.owner
        if isinstance(value, Imported):
            found = self.program.find(value.module, value.name)
            return (found, None) if isinstance(found, Function) else (None, None)
        return None, None

    def _instance_of(self, value: Value) -> Value | None:
        """What a call of a class of the package makes."""
        found: object = None
        if isinstance(value, Imported):
            found = self.program.find(value.module, value.name)
        elif isinstance(value, Sum) and value.atom is not None and value.atom.kind == "class":
            return single(Atom("instance", f"{value.atom.text}()", value.atom.parts))
        if isinstance(found, tuple):
            return single(Atom("instance", f"{found[1]}()", (found[0].dotted, found[1])))
        return None

    def _call_function(
        self, function: Function, owner: Sum | None, node: ast.Call, arguments: Arguments, frame: Frame
    ) -> Alternatives:
        entered = len(self.entered)
        made = self._followed(function, owner, node, arguments, frame)
        if owner is not None and function.class_name is not None and len(self.entered) == entered:
            for name in _changes(function):
                key = f"{function.source.dotted}:{function.class_name}.{name}"
                self.stores[key] = unite(self.stores.get(key, ()), (fresh(f"{name}, as {function.name} left it"),))
        return made

    def _or_heirs(self, function: Function, owner: Sum | None, made: Alternatives) -> Alternatives:
        """A result, unless a class that derives from the method's own has another method of the name."""
        if owner is None or function.class_name is None or not self.overridden(function.class_name, function.name):
            return made
        return unite(made, (fresh(f"{function.name}() of a derived class"),))

    def _followed(
        self, function: Function, owner: Sum | None, node: ast.Call, arguments: Arguments, frame: Frame
    ) -> Alternatives:
        text = f"{function.name}()"
        if len(self.stack) >= DEEPEST or self.stack.count(function.identity) > 0:
            return (fresh(text),)
        if not all(decorator(d) in TRANSPARENT for d in function.node.decorator_list):
            if self._bears(function, arguments):
                for value in arguments.all():
                    self.escape(value, node.lineno, frame, f"is passed to {function.name}, which is decorated")
            return (fresh(text),)
        if yields(function):
            return (fresh(text),)
        if self._bears(function, arguments):
            if ".<locals>." not in function.identity:
                return self._or_heirs(function, owner, self.enter(function, arguments, owner))
            outer = _definer(function, frame)
            if outer is None:  # it left the function that it is defined in, and was followed there
                return (fresh(text),)
            return self.enter(function, arguments, owner, outer=outer)
        put_off = fresh(text)
        assert put_off.atom is not None
        self.deferred[put_off.atom] = (function, arguments, owner)
        return (put_off,)

    def forced(self, values: Alternatives) -> Alternatives:
        """The values, with calls followed that were put off."""
        return unite(*(self._force(value) for value in values))

    def _force(self, value: Value) -> Alternatives:
        wanted = [atom for atom in atoms(value) if atom in self.deferred]
        if not wanted or len(self.stack) >= DEEPEST:
            return (value,)
        function, arguments, owner = self.deferred.pop(wanted[0])
        made = self._or_heirs(function, owner, self.enter(function, arguments, owner))
        return self.forced(unite(substitute(value, {wanted[0]: new}) for new in made))

    def _bears(self, function: Function, arguments: Arguments) -> bool:
        """Whether a function may hold a call that is of interest."""
        if any(isinstance(value, (EntryPoint,)) for value in arguments.all()):
            return True
        return function.identity.partition(".<locals>.")[0] in self.relevant(function.source)

    def relevant(self, source: Source) -> frozenset[str]:
        """Functions of a module that name what is looked for, or a function that does."""
        if source.dotted not in self._names:
            names = {*ENTRIES, *self.watched}
            found: set[str] = set()
            if source.mentions(names):
                names |= aliases_of(source, names)
            else:
                names = set()
            while names:
                more = {i for i, words in source.words.items() if i not in found and not words.isdisjoint(names)}
                if not more:
                    break
                found |= more
                names |= {source.functions[i].name for i in more}
            self._names[source.dotted] = frozenset(found)
        return self._names[source.dotted]

    def stands_in_relevant(self, frame: Frame) -> bool:
        """Whether the function that is followed may hold a call that is of interest."""
        assert frame.function is not None
        return frame.function.identity.partition(".<locals>.")[0] in self.relevant(frame.source)


def _definer(function: Function, frame: Frame) -> Frame | None:
    """The function that is being followed in which an inner one was defined."""
    wanted = function.identity.rpartition(".<locals>.")[0]
    here: Frame | None = frame
    while here is not None and (here.function is None or here.function.identity != wanted):
        here = here.outer
    return here


def _changes(function: Function) -> frozenset[str]:
    """Attributes of its object that a method, and those of the class that it names, give a value."""
    methods = {method.name: method for method in function.source.methods(function.class_name or "")}
    called, pending = {function.name}, [function]
    while pending:
        for name in pending.pop().words & methods.keys() - called:
            called.add(name)
            pending.append(methods[name])
    writers = function.source.attribute_writers
    return frozenset(
        name
        for (owner, name), found in writers.items()
        if owner == function.class_name and any(writer.name in called for writer, _ in found)
    )
