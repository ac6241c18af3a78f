"""Globals, attributes of objects and caches: what outlives a call."""

from __future__ import annotations

import ast

from aiterfix.consumers.core import Core
from aiterfix.consumers.functions import DEEPEST
from aiterfix.consumers.program import Source, attribute_writers, parameters
from aiterfix.consumers.state import Alternatives, Arguments, Frame, State, unite
from aiterfix.consumers.syntax import decorator, defined, is_none, terminal
from aiterfix.consumers.trees import text_of
from aiterfix.consumers.values import (
    Atom,
    Cache,
    Local,
    Nothing,
    Row,
    Sum,
    Table,
    Tensor,
    Value,
    add,
    fresh,
    number,
    single,
)


class Objects(Core):
    """Names outside functions."""

    def load(self, name: str, frame: Frame) -> Alternatives:
        """The value of a name."""
        here: Frame | None = frame
        while here is not None:
            if name in here.state.names and name not in here.globals:
                values = here.state.names[name]
                if here.function is not None and name in here.function.shared:
                    return unite(values, (fresh(f"{name}, as an inner function left it"),))
                return values
            if name in here.globals:
                break
            here = here.outer
        return self.global_name(name, frame.source)

    def global_name(self, name: str, source: Source) -> Alternatives:
        """What a name means at a module's own level, and what functions may have made of it since."""
        values = self.module_names(source).get(name)
        if values is None:
            return (single(Atom("global", name, (source.dotted,))),)
        if name in source.cache_writers and any(isinstance(v, (Row, Table, Tensor)) for v in values):
            values = (*values, fresh(f"{name}, as a function changed it"))
        key = f"{source.dotted}:{name}"
        writers = source.global_writers.get(name, frozenset())
        if not writers:
            return values
        stored = self.stores.get(key, ())
        if any(isinstance(value, Tensor) and not _determined(value, Row(())) for value in stored):
            stored = (*stored, fresh(f"{name}, as a call for another width left it"))
        elsewhere = (fresh(f"{name}, as another function left it"),) if writers - self.entered else ()
        return unite(values, stored, elsewhere)

    def module_names(self, source: Source) -> dict[str, Alternatives]:
        """What names mean at a module's own level."""
        if source.dotted not in self.modules:
            state = State({})
            self.modules[source.dotted] = state.names  # a cycle of imports sees what is there so far
            frame = Frame(source, None, state)
            stack, self.stack = self.stack, []
            try:
                self.block(source.tree.body, frame)
            finally:
                self.stack = stack
            self.modules[source.dotted] = state.names
        return self.modules[source.dotted]

    def member(self, owner: Value, name: str, frame: Frame) -> Alternatives | None:
        """``self.name``: a method, a class constant, or what this call stored there."""
        atom = owner.atom if isinstance(owner, Sum) else None
        if atom is not None and atom.kind == "instance" and len(atom.parts) > 2:
            assert isinstance(owner, Sum)
            return self._of_class(owner, atom, name)
        function = frame.function
        if atom is None or atom.kind != "parameter" or function is None or function.class_name is None:
            return None
        if parameters(function.node)[:1] != [atom.text]:
            return None
        source = frame.source
        for method in source.methods(function.class_name):
            if method.name == name:
                assert isinstance(owner, Sum)
                if any(decorator(d) in ("property", "cached_property") for d in method.node.decorator_list):
                    return None
                return (Local(method.identity, owner),)
        key = f"{source.dotted}:{function.class_name}.{name}"
        writers = [w for w in attribute_writers(source, function.class_name, name) if w[0].identity not in self.entered]
        stored = self.stores.get(key, ())
        if any(isinstance(value, Tensor) and not _determined(value, Row((owner,))) for value in stored):
            stored = (*stored, fresh(f"{name}, as a call for another width left it"))
        if any(not is_none(value) for _, value in writers):
            return unite(stored, (single(Atom("attribute", f"{atom.text}.{name}", (owner, name))),)) if stored else None
        if stored or writers:
            return unite(stored, (Nothing(),) if writers else ())
        return self._class_constant(source, function.class_name, name)

    def _class_constant(self, source: Source, class_name: str, name: str) -> Alternatives | None:
        node = source.classes.get(class_name)
        for statement in node.body if node is not None else ():
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            if isinstance(statement, ast.AnnAssign) and statement.value is not None:
                targets = [statement.target]
            if any(isinstance(t, ast.Name) and t.id == name for t in targets):
                if node is not None and isinstance(statement, ast.AnnAssign) and (node.decorator_list or node.bases):
                    stated = text_of(statement.annotation)
                    if not any(word in stated for word in ("ClassVar", "Final", "type[")):
                        return None  # the default of a constructor that is made for the class
                if self.program.stored_elsewhere(class_name, name):
                    return None
                assert isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None
                values = self.evaluate(statement.value, Frame(source, None, State({})))
                return unite(values, *(self._by_heir(heir, name) for heir in self.program.heirs(class_name)))
        return None

    def _by_heir(self, heir: tuple[Source, ast.ClassDef], name: str) -> Alternatives:
        """What a derived class makes of a class constant, where it gives it another value."""
        source, node = heir
        if attribute_writers(source, node.name, name):
            return (fresh(f"{name} of {node.name}"),)
        if name not in defined(node):
            return ()
        for statement in node.body:
            if isinstance(statement, ast.Assign) and [name] == [terminal(t) for t in statement.targets]:
                self.module_names(source)
                return self.evaluate(statement.value, Frame(source, None, State({})))
        return (fresh(f"{name} of {node.name}"),)

    def stored(self, cache: Cache, key: Value) -> Alternatives:
        """What was stored in a cache here under a key, and that others store there too."""
        dotted, _, name = cache.key.partition(":")
        source = self.program.module(dotted)
        others = () if source is None else source.cache_writers.get(name, frozenset()) - self.entered
        here = self.stores.get(cache.key, ())
        doubt = (fresh(f"{name}, as another function left it"),) if others else ()
        if any(isinstance(value, Tensor) and not _determined(value, key) for value in here):
            doubt = (*doubt, fresh(f"{name}, as a call for another width left it"))
        return unite(here, doubt)

    def _of_class(self, owner: Sum, atom: Atom, name: str) -> Alternatives | None:
        """``object.name`` where its class is known: a property's value, or what its constructor asserts."""
        source, class_name = self.program.module(str(atom.parts[0])), str(atom.parts[1])
        if source is None or self.overridden(class_name, name):
            return None
        for method in source.methods(class_name):
            if method.name == name:
                properties = any(decorator(d) in ("property", "cached_property") for d in method.node.decorator_list)
                if not properties or len(self.stack) >= DEEPEST or method.identity in self.stack:
                    return None
                return self.enter(method, Arguments((), {}), owner)
        asserted = _asserted(source, class_name, name)
        return None if asserted is None else (number(asserted),)

    def overridden(self, class_name: str, name: str) -> bool:
        """Whether a class anywhere in the package derives from one of this name and defines the name anew."""
        return any(name in defined(node) for _, node in self.program.heirs(class_name))


def _asserted(source: Source, class_name: str, name: str) -> int | None:
    """The number that an object's constructor asserts an attribute to be, where no method assigns it after that."""
    for method in source.methods(class_name):
        if method.name not in ("__init__", "__post_init__"):
            continue
        owner = parameters(method.node)[:1]
        for node in method.node.body:
            test = node.test if isinstance(node, ast.Assert) else None
            if (
                isinstance(test, ast.Compare)
                and isinstance(test.left, ast.Attribute)
                and isinstance(test.left.value, ast.Name)
                and [test.left.value.id] == owner
                and test.left.attr == name
                and [type(o) for o in test.ops] == [ast.Eq]
                and isinstance(test.comparators[0], ast.Constant)
                and type(test.comparators[0].value) is int
                and all(writer.name == "__init__" for writer, _ in attribute_writers(source, class_name, name))
            ):
                return test.comparators[0].value
    return None


def _determined(tensor: Tensor, key: Value) -> bool:
    """Whether every tensor kept under a key has rows as wide, and as far apart, as this one."""
    parts: list[Sum] = []
    pending: list[Value] = [key]
    while pending:
        here = pending.pop()
        if isinstance(here, Row):
            pending += here.items
        elif isinstance(here, Sum):
            parts.append(here)
    single_ones = {part.atom for part in parts}
    return all(
        size.constant is not None
        or any(add(size, part, -1).constant is not None for part in parts)
        or all(_follows(atom, single_ones) for product, _ in size.terms for atom in product)
        for size in (*tensor.shape[-1:], *(tensor.strides or ())[-2:-1])
    )


def _follows(atom: Atom, known: set[Atom | None]) -> bool:
    """Whether an atom is one of these, a global, or an attribute of one."""
    if atom in known or atom.kind == "global":
        return True
    base = atom.parts[0] if atom.kind == "attribute" else None
    return isinstance(base, Sum) and base.atom is not None and _follows(base.atom, known)
