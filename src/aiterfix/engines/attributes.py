"""What an attribute of an object can be: anything that the package stores under its name, whatever holds it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from aiterfix.engines import bounds
from aiterfix.engines.flow import BY_TEXT, alone, left_alone
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
    Thing,
    Value,
    absolute,
    atoms_of,
    changeable,
    has_parameter,
    inside,
    of,
    placed,
    role,
)
from aiterfix.source.tree import descend
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
        self._holders: dict[ast.ClassDef, FunctionNode | None] = {}
        self._closed: dict[ast.ClassDef, bool] = {}

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
        if any(map(changeable, values)):
            values = self._held(node, frame, values, kept)
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
        elif store.kind == "field" and store.owner is not None and _is_record(store.owner):
            maker = self.holds(Thing("class", "", source, store.owner)) or _filled(source, store.owner, unclear=True)
            found.append(tracer.callers.parameter(source, maker, name))
        elif value is not None:
            found += tracer.values(value, frame)
        elif store.kind != "field":
            found.append(unknown)
        shared = not alone(source, source.up.get(store.node, store.node))
        for value_so in found:
            for way in tracer.callers.expand((value_so,), source, getattr(store.node, "lineno", 0)):
                same = {a for a in atoms_of(way.state[0]) if a.kind == "same"}
                if not (isinstance(one := way.state[0], Number) and one.atom in same and one.atom.key == name):
                    # What a caller gives it, or goes by another name, may be changed by that.
                    given = changeable(one) and (shared or not changeable(value_so))
                    yield unknown if same or given or has_parameter(one) else one

    def _held(self, node: ast.Attribute, frame: Frame, values: list[Value], kept: _Kept) -> list[Value]:
        """What may change while an object holds it, as long as nothing is done to it but to look at it."""
        text = f"{text_of(node)}, which is used in ways that are not followed"
        unknown = self._tracer.other(node, frame, text)
        looked_at = kept.complete and left_alone(self._package, node.attr, values, (ast.Attribute,), node)
        self._tracer.condition(self.names.reached, length=False)
        found: list[Value] = []
        for value in values[: bounds.VALUES]:
            known = not changeable(value) or (looked_at and absolute(value) and not any(map(changeable, inside(value))))
            found.append(value if known else replace(value, held=None) if isinstance(value, Thing) else unknown)
        return found

    def holds(self, thing: Thing) -> FunctionNode | None:
        """How an object of a class is given its fields, where that is all that the class stores, ever: its
        ``__init__``, or what a dataclass or named tuple has in its place, with an empty body."""
        source, owner = thing.source, thing.node
        if source is None or not isinstance(owner, ast.ClassDef) or not self.closed(source, owner):
            return None
        if owner not in self._holders:
            self._holders[owner] = None
            self._holders[owner] = self._holder(source, owner)
        return self._holders[owner]

    def closed(self, source: Source, owner: ast.ClassDef) -> bool:
        """Whether a class is what its body says: it has no heirs, and nothing elsewhere gives it attributes."""
        if owner not in self._closed:
            self._closed[owner] = False
            records = (*owner.bases, *owner.decorator_list)
            for one in records:
                made = self._tracer.values(one.func if isinstance(one, ast.Call) else one, Frame(source, None))
                names = [v.name if isinstance(v, Thing) else "" for v in made]
                if names not in (["dataclasses.dataclass"], ["typing.NamedTuple"]) or _SHIFTS(text_of(one)):
                    return False
                if self._tracer.replaced(*names[0].split(".")):
                    return False
            odd = owner.keywords or len(records) > 1 or source.up.get(owner) is not source.tree
            found = (
                self._tracer.callers.uses_of(source, owner) if not odd and not self._package.handed(source) else None
            )
            kept = found is not None and not found.heirs and not found.escapes
            self._closed[owner] = kept and all(self._keeps(source, part) for part in owner.body)
        return self._closed[owner]

    def _keeps(self, source: Source, part: ast.stmt) -> bool:
        """Whether a statement of a class gives the class itself to nothing that may change it: neither to a method that
        does more with it than to ask and to make objects, nor to a value or decorator that is told its class."""
        if isinstance(part, FUNCTIONS):
            made = (*part.decorator_list, *part.args.defaults, *part.args.kw_defaults)
            first = parameters(part)[:1] if "classmethod" in map(last, part.decorator_list) else []
            given = (source.up[n] for n in descend(part) if isinstance(n, ast.Name) and [n.id] == first)
            return (
                self._tracer.clear(source, part)
                and not any(isinstance(n, ast.NamedExpr) for one in made if one is not None for n in ast.walk(one))
                and all(
                    (isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load) and not n.attr.startswith("__"))
                    or (isinstance(n, ast.Call) and getattr(n.func, "id", "") in first)
                    for n in given
                )
            )
        if isinstance(part, (ast.Assign, ast.AnnAssign)):
            targets = part.targets if isinstance(part, ast.Assign) else [part.target]
            named = all(isinstance(t, ast.Name) for t in targets)
            return named and (part.value is None or self._plain(source, part.value))
        return isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))

    def _holder(self, source: Source, owner: ast.ClassDef) -> FunctionNode | None:
        fields, methods = _fields_of(owner), [part for part in owner.body if isinstance(part, FUNCTIONS)]
        assigned = (part for part in owner.body if isinstance(part, ast.Assign))
        others = [t.id for part in assigned for t in part.targets if isinstance(t, ast.Name)]
        maker = next((m for m in methods if m.name == "__init__"), None)
        if any(self._shifts(source, f) for _, f in fields) or (maker is not None and maker.decorator_list):
            return None
        record = bool(owner.bases or owner.decorator_list)
        names = [name for name, _ in fields] if record else []
        for method in methods:
            if not {"staticmethod", "classmethod"} & {last(d) for d in method.decorator_list}:
                stored = _stores(source, method)
                if stored is None or (stored and method is not maker):
                    return None
                names += stored
        others += [m.name for m in methods if m is not maker]
        known = {*names, *others}
        plain = len(known) == len(names) + len(set(others))
        plain &= not any(n.startswith("__") for n in known - {"__slots__", "__post_init__"})
        return (maker or _filled(source, owner)) if plain and (maker is None) is record else None

    def _plain(self, source: Source, value: ast.expr) -> bool:
        """Whether a class that holds a value gives its objects the same: a number, or what is written out."""
        if all(isinstance(n, ast.Constant) for n in (value.elts if isinstance(value, ast.Tuple) else (value,))):
            return True
        found = self._tracer.values(value, Frame(source, None))
        return all(isinstance(v, Number) and v.constant is not None for v in found)

    def _shifts(self, source: Source, field: ast.AnnAssign) -> bool:
        """Whether a field of a record is none that its maker takes in its place, and keeps."""
        if _SHIFTS(text_of(field)):
            return True
        for node in ast.walk(field.annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                return True  # what its names mean is not followed
            own = isinstance(node, ast.Attribute) or (
                isinstance(node, ast.Name) and (source.stars or source.bound(source.tree, node.id))
            )
            for value in self._tracer.values(node, Frame(source, None)) if own and isinstance(node, ast.expr) else ():
                if not isinstance(value, Thing) or value.kind == "function" or _SHIFTS(value.name):
                    return True
        return False

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


def _is_record(owner: ast.ClassDef) -> bool:
    """Whether whoever makes an object of a class says what its fields are."""
    said = (text_of(d.func if isinstance(d, ast.Call) else d) for d in (*owner.decorator_list, *owner.bases))
    return any(map(_RECORD, said))


def _stores(source: Source, method: FunctionNode) -> list[str] | None:
    """What a method stores in its object, a statement of its own for each; None where it does more with it than this
    and to ask for attributes, or may."""
    stored = []
    first = parameters(method)[:1]
    for node in descend(method):
        if isinstance(node, ast.Name) and node.id in ("super", *BY_TEXT):
            return None
        if isinstance(node, ast.Name) and [node.id] == first:
            above = source.up[node]
            if not isinstance(above, ast.Attribute) or above.attr.startswith("__"):
                return None
            if not isinstance(above.ctx, ast.Load):
                one = source.up[above]
                if not isinstance(one, (ast.Assign, ast.AnnAssign)) or one not in method.body or one.value is None:
                    return None
                if isinstance(one, ast.Assign) and one.targets != [above]:
                    return None
                stored.append(above.attr)
    return stored if first else None


def _fields_of(owner: ast.ClassDef) -> list[tuple[str, ast.AnnAssign]]:
    """The names that a class annotates, in their order."""
    annotated = (n for n in owner.body if isinstance(n, ast.AnnAssign))
    return [(n.target.id, n) for n in annotated if isinstance(n.target, ast.Name)]


def _filled(source: Source, owner: ast.ClassDef, *, unclear: bool = False) -> FunctionNode:
    """The ``__init__`` of a record, by its fields in their order; ``unclear``: where that is not all it does."""
    fields = _fields_of(owner)
    names = [ast.arg("self"), *(ast.arg(name) for name, _ in fields)]
    values = [v for v in (_default(f.value) for _, f in fields) if v is not None]
    arguments = ast.arguments([], names, None, [], [], None, values)
    others: list[ast.expr] = [ast.Name("unclear", ast.Load())] if unclear else []
    made = ast.FunctionDef("__init__", arguments, [ast.Pass()], others, lineno=owner.lineno, col_offset=0)
    source.up[made] = owner
    return made


def _default(value: ast.expr | None) -> ast.expr | None:
    if isinstance(value, ast.Call):
        return next((k.value for k in value.keywords if k.arg == "default"), None)
    return value
