"""What an attribute of an object can be: anything that the package stores under its name, whatever holds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from aiterfix.engines import bounds
from aiterfix.engines.flow import leaves_alone
from aiterfix.engines.names import OPERATOR, Names, Store
from aiterfix.engines.package import FUNCTIONS, FunctionNode, Package, Source, parameters, text_of
from aiterfix.engines.uses import called, last
from aiterfix.engines.values import (
    ANY,
    LENGTH,
    Atom,
    Frame,
    Nothing,
    Number,
    Tensor,
    Thing,
    Value,
    absolute,
    atoms_of,
    has_parameter,
    holds_tensor,
    of,
    placed,
    role,
)
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.engines.trace import Tracer

THE_CONFIG = re.compile(
    r"(?:^|\.)_?(?:(?:get|current|global|vllm|atom|engine|model|cached)_)*(?:config|server_args)(?:\(\))?$"
).search
"""How sources name what states the operator's length; a configuration of a name of its own may hold another one."""
OTHER_MODELS = re.compile("draft|spec|hf_|text_|vision|encoder|replace|copy|pretrained").search
"""In what a configuration is taken from: it may be that of another model, or changed."""
_BASES = re.compile(
    r"object|(?:torch\.)?(?:nn\.)?Module|(?:abc\.)?ABC|(?:typing\.)?(?:NamedTuple|Protocol|Generic)(?:\[.*)?"
).fullmatch
"""Of other packages, classes that give no object an attribute that an engine would ask for."""
_RECORD = re.compile(r"(?:dataclasses\.)?dataclass|(?:typing\.)?NamedTuple|(?:pydantic\.)?BaseModel|config").fullmatch
_SHIFTS = re.compile(r"ClassVar|InitVar|KW_ONLY|init=|kw_only=|default_factory=").search


@record(frozen=True)
class _Kept:
    """What is stored under a name: values, each with its place; whether it is everything; and on what it hangs."""

    values: tuple[tuple[Value, Store], ...]
    complete: bool
    conditions: tuple[str, ...] = ()


class Attributes:
    """Reads attributes of the objects of one package."""

    def __init__(self, package: Package, tracer: Tracer) -> None:
        self._package, self._tracer, self.names = package, tracer, Names(package)
        self._fields: dict[object, _Kept] = {}
        self._busy: set[object] = set()
        self._makers: dict[ast.ClassDef, FunctionNode | None] = {}

    def read(self, base: Thing, node: ast.Attribute, frame: Frame) -> tuple[Value, ...]:
        """What an attribute of an object of the package is."""
        name = node.attr
        place = ("field", name, text_of(node.value), frame.key, self._which(node, frame))
        unknown = of(Atom("other", place, text_of(node)))
        if name.startswith("__"):
            return (unknown,)  # from outside it goes by another name
        if name in self._busy and self.names.stores(name) is not None:
            return (of(Atom("same", name, text_of(node))),)  # as everything that is stored under it counts anyway
        stated = role(unknown) is not None
        classes = self._classes(base) if not stated else []
        kept = self._kept(name, classes)
        conditions = [self.names.hook, *kept.conditions]
        if not kept.complete:
            if kept.values or stated:
                conditions.append(f"{name} is stored in too many places to follow")
            if not kept.values and name != OPERATOR:
                return (unknown,)
        # What its own class stores is what it is; what is stored elsewhere by that name may replace it.
        owners = {owner for _, owner in classes or ()}
        own = [v for v, s in kept.values if s.owner in owners] or [v for v, _ in kept.values]
        doubtful = [s for v, s in kept.values if v not in own]
        # What is not understood goes by its name here, not by how it was sought.
        lost = {v for v in own if isinstance(v, Number) and any(": " in a.text for a in v.atoms)}
        values = list(dict.fromkeys(unknown if v in lost else placed(v, place) for v in own))
        lengths = [v for v in values if LENGTH.atom in atoms_of(v)]
        if name == OPERATOR and (lengths or not kept.complete):
            anyway = list(self.length())
            values = list(dict.fromkeys(lengths if kept.complete else (*anyway, *lengths)))
            conditions.append("" if classes is not None else f"{text_of(node)} may be stored by another package")
        elif stated:
            values = [unknown]
            doubtful = [s for v, s in kept.values if not (isinstance(v, Number) and role(v) == role(unknown))]
        elif not values or classes is None:
            values.append(unknown)  # another package may store it
        if len(values) > 1 and all(isinstance(v, Number) for v in values):
            # Of many, only what the operator's length decides is worth telling apart.
            decided = lengths or not any(atoms_of(v) for v in values)
            if len(values) > bounds.STORES or not decided:
                for text in conditions:
                    self._tracer.condition(text, length=False)
                return (unknown,)
        there = [v for v in values if not isinstance(v, Nothing)]
        if not (all(isinstance(v, Thing) for v in values) or (len(there) == 1 and absolute(there[0]))):
            # What is stored as the program goes on may differ from one look at it to the next.
            places = [s for _, s in kept.values]
            differs = [s for s in places if s.late or (s.kind == "property" and places.count(s) > 1)]
            doubtful += [s for s in dict.fromkeys(differs) if s not in doubtful]
        conditions += [f"{name} may be given another value: {store.text}" for store in doubtful[: bounds.CONDITIONS]]
        # A length may be another one, and then is so wherever it is read, if it is set before.
        length = stated or all(isinstance(v, Number) and LENGTH.atom in v.atoms for v in values)
        length &= name == OPERATOR or not any(s.late for s in doubtful)
        for text in conditions:
            self._tracer.condition(text, length=length)
        values = [unknown if holds_tensor(v) else v for v in values]
        if any(isinstance(v, Tensor) for v in values):
            return self._held(node, frame, values, kept)
        if len(values) == 1 or not all(isinstance(v, Number) for v in values):
            return tuple(values)
        return (of(Atom("field", place, text_of(node), (), tuple(values))),)

    def _which(self, node: ast.Attribute, frame: Frame) -> tuple[object, ...]:
        """What tells the object of an attribute from others that go by the same text in a function: its place, unless
        it is a name with one meaning."""
        source, base = frame.source, node.value
        scope = frame.function or source.tree
        meanings = 2
        if isinstance(base, ast.Name):
            given = isinstance(scope, FUNCTIONS) and base.id in parameters(scope)
            meanings = len(source.bound(scope, base.id)) + given
        at = (node.lineno, node.col_offset) if meanings > 1 else ()
        return (source.relative, getattr(scope, "lineno", 0), *at)

    def length(self) -> Iterator[Value]:
        """What the operator's length is, or else is stored by its name; what is not understood is a condition."""
        yield LENGTH
        kept, said = self._kept(OPERATOR, None), bounds.CONDITIONS
        found = [*kept.conditions]
        for value, store in kept.values:
            if isinstance(value, Number) and LENGTH.atom in value.atoms and value.at(1 << 20, ANY) is not None:
                yield value
            elif not isinstance(value, Nothing) and (said := said - 1) >= 0:
                found.append(f"{OPERATOR} may be given another value: {store.text}")
        if self.names.stores(OPERATOR) is None:
            found += [f"{OPERATOR} may be given another value: {line}" for line in self.names.lengths]
            found.append(f"{OPERATOR} is stored in more files than are followed")
        for text in (*found, self.names.hook):
            self._tracer.condition(text, length=True)

    def written(self, name: str) -> list[str]:
        """Where an attribute that states what the operator said is given another value as the program goes on."""
        stores = self.names.stores(name)
        if stores is None:
            return [f"{name} is stored in too many places to follow"]
        places = (s for s in stores if s.late and not (s.value and text_of(s.value).rpartition(".")[2] == name))
        return [f"{name} may be given another value: {s.text}" for s in places][: bounds.CONDITIONS]

    def _kept(self, name: str, classes: list[tuple[Source, ast.ClassDef]] | None) -> _Kept:
        """Everything that is stored under a name; where that is too much, what its own classes store."""
        if not (name in self._fields or name == OPERATOR or self._tracer.spend()):
            return _Kept((), False)
        stores = self.names.stores(name)
        key = name if stores is not None else (name, *(node for _, node in classes or ()))
        if key not in self._fields:
            if key in self._busy or len(self._busy) > bounds.ATTRIBUTES:
                return _Kept((), key == name and key in self._busy)
            own = (s for source, node in classes or () for s in self.names.of_class(name, source, node))
            self._busy.add(key)
            before, self._tracer.conditions = self._tracer.conditions, {}
            values = [(v, s) for s in (own if stores is None else stores) for v in dict.fromkeys(self._stored(s, name))]
            found, self._tracer.conditions = tuple(self._tracer.conditions), before
            self._busy.discard(key)
            self._fields[key] = _Kept(tuple(values), stores is not None, found)
        return self._fields[key]

    def _stored(self, store: Store, name: str) -> Iterator[Value]:
        source, value, function, tracer = store.source, store.value, store.function, self._tracer
        frame = Frame(source, function, None, ("kept", name, store.node))
        unknown = tracer.other(store.node, frame, store.text)
        found: list[Value] = []
        if store.kind == "method":
            yield Thing("method", "", source, store.node)
            return
        if store.kind == "property":
            assert isinstance(store.node, FUNCTIONS)
            found += tracer.returned(source, store.node, {}, frame.key, unknown)
        elif store.kind == "field" and (maker := self._maker(source, store.owner)) is not None:
            found.append(tracer.callers.parameter(source, maker, name))
        elif value is not None:
            found += tracer.values(value, frame)
        elif store.kind != "field":
            found.append(unknown)
        for value_so in found:
            for way in tracer.callers.expand((value_so,), source, getattr(store.node, "lineno", 0)):
                same = {a for a in atoms_of(way.state[0]) if a.kind == "same"}
                if not (isinstance(one := way.state[0], Number) and one.atom in same and one.atom.key == name):
                    yield unknown if same or has_parameter(one) else one

    def _maker(self, source: Source, owner: ast.ClassDef | None) -> FunctionNode | None:
        """The ``__init__`` that a record is given, by its fields; of one of heirs or bases, or whose fields are not all
        filled in their order, one that takes anything."""
        if owner is None:
            return None
        if owner not in self._makers:
            said = [text_of(d.func if isinstance(d, ast.Call) else d) for d in owner.decorator_list]
            made = None
            if any(_RECORD(text) for text in (*said, *(text_of(b) for b in owner.bases))):
                fields = [n for n in owner.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
                found = self._tracer.callers.uses_of(source, owner)
                plain = found is not None and not found.heirs and not any(_SHIFTS(text_of(f)) for f in fields)
                plain &= not any(source.bound(owner, m) for m in ("__init__", "__new__"))
                plain &= not any(self._tracer.class_of(b, Frame(source, None)) for b in owner.bases)
                plain &= not any("validator" in last(d) for m in owner.body for d in getattr(m, "decorator_list", ()))
                names = [ast.arg("self"), *(ast.arg(f.target.id) for f in fields)]  # type: ignore[union-attr]
                stated = [f.value for f in fields[next((i for i, f in enumerate(fields) if f.value), len(fields)) :]]
                values = [v for v in map(_default, stated) if v is not None]
                arguments = ast.arguments([], names, None, [], [], None, values)
                made = ast.FunctionDef("__init__", arguments, [ast.Pass()], [], lineno=owner.lineno, col_offset=0)
                if not plain or len(values) != len(stated):
                    made.decorator_list = [ast.Name("unclear", ast.Load())]
                source.up[made] = owner
            self._makers[owner] = made
        return self._makers[owner]

    def _held(self, node: ast.Attribute, frame: Frame, values: list[Value], kept: _Kept) -> tuple[Value, ...]:
        """A tensor that an object holds, where nothing is done to it but to look at it."""
        sources = {s.source for _, s in kept.values}
        mentions = [
            (s, n) for s in sources for n in s.mentions(node.attr) if isinstance(n, ast.Attribute) and n is not node
        ]
        alone = kept.complete and len(self._package.paths(node.attr)) <= len(sources)
        if not alone or not all(leaves_alone(s, n) for s, n in mentions):
            return (self._tracer.other(node, frame, f"{text_of(node)}, which is used in ways that are not followed"),)
        unknown = self._tracer.other(node, frame)
        return tuple(v if absolute(v) or isinstance(v, Nothing) else unknown for v in values[: bounds.VALUES])

    def _classes(self, base: Thing) -> list[tuple[Source, ast.ClassDef]] | None:
        """A class and what it derives from; None where that is of another package, which may set any attribute."""
        pending = [(base.source, base.node)]
        for source, node in pending:
            if not isinstance(node, ast.ClassDef) or source is None or node.keywords or len(pending) > 16:
                return None
            frame = Frame(source, None)
            for one in node.decorator_list:
                if not _RECORD(called(one)) and self._tracer.callers.foreign(
                    source, one.func if isinstance(one, ast.Call) else one
                ):
                    return None
            for one in node.bases:
                found = self._tracer.class_of(one.value if isinstance(one, ast.Subscript) else one, frame)
                if found is not None:
                    pending.append(found)
                elif not _BASES(text_of(one)):
                    return None
        return [(s, n) for s, n in pending if s is not None and isinstance(n, ast.ClassDef)]

    # Configurations

    def config(self, base: Value, node: ast.Attribute, frame: Frame) -> tuple[Value, ...] | None:
        """What a configuration holds; a configuration that an object or another one holds; None of anything else."""
        text = text_of(node)
        of_one = isinstance(base, Thing) and base.kind == "config"
        if of_one and node.attr == OPERATOR:
            return tuple(self.length())
        of_object = isinstance(base, Thing) and base.kind in ("object", "class")
        if THE_CONFIG(text) and not OTHER_MODELS(text) and (of_one or of_object):
            doubt = self._other_config(node.attr, of_object, f"({frame.source.relative}:{node.lineno})")
            self._tracer.condition(doubt, length=True)
            return (Thing("config"),)
        return (self._tracer.other(node, frame),) if of_one else None

    def _other_config(self, name: str, must: bool, where: str) -> str:
        """What else than the operator's configuration may be kept under a name; empty where nothing is."""
        if self.names.hook or name in self._busy:
            return self.names.hook  # there is a doubt already: no more of them are looked for
        stores = self.names.stores(name)
        if stores is None or (must and not stores):
            return f"whose configuration {name} is was not followed {where}"
        self._busy.add(name)
        try:
            for store in stores:
                found = self._tracer.values(store.value, Frame(store.source, store.function)) if store.value else ()
                if store.kind == "field" and store.value is None:
                    continue
                if not found or not all(isinstance(v, Thing) and v.kind == "config" for v in found):
                    return f"{name} may be another's: {store.text}"
        finally:
            self._busy.discard(name)
        return ""


def _default(value: ast.expr | None) -> ast.expr | None:
    if isinstance(value, ast.Call):
        return next((k.value for k in value.keywords if k.arg == "default"), None)
    return value
