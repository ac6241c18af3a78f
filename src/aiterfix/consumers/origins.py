"""Where the width that reaches a call comes from: from caller to caller, through constructors and attributes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

from aiterfix.consumers.functions import TRANSPARENT
from aiterfix.consumers.interpret import Interpreter
from aiterfix.consumers.model import Width, WidthKind
from aiterfix.consumers.program import Function, Program, Source, attribute_writers, parameters
from aiterfix.consumers.records import Record
from aiterfix.consumers.state import Alternatives, Exhausted, parameter
from aiterfix.consumers.syntax import decorator, defaults_of, terminal
from aiterfix.consumers.trees import walked
from aiterfix.consumers.values import (
    Atom,
    Flag,
    Nothing,
    Sum,
    Value,
    atoms,
    describe,
    fresh,
    is_multiple,
    substitute,
)

_DEEPEST = 10  # from the kernel's caller to the configuration; vLLM 0.33.0 needs 5
_MOST_CALLS = 64  # of functions that share a name: more, and the name says nothing
OPERATOR = "max_model_len"
_OTHERS = re.compile("draft|spec|hf_|text|vision|encoder")  # configurations of other models, or of no engine


@dataclass(frozen=True)
class Context:
    """One way to come to a call.

    Attributes:
        gap: row stride less width, in columns; None where the tensor is not understood.
        width: the argument ``max_model_len``.
        block: the argument ``KVBlockSize``.
        function: whose parameters these are stated in; None for a module's own level.
        file: where the width is stated.
        line: its line.
    """

    gap: Value | None
    width: Value
    block: Value
    function: Function | None
    file: str
    line: int


class Origins:
    """Traces widths through one package."""

    def __init__(self, program: Program) -> None:
        """Prepare."""
        self._program = program
        self._calls: dict[str, list[Record]] = {}
        self._written_to: dict[str, list[tuple[Function, int, Alternatives]]] = {}
        self._stores: dict[str, dict[str, Alternatives]] = {}
        self._loose: dict[str, tuple[Source, int]] = {}
        """Names of functions that are used in ways that are not followed, and where."""
        self._unread: set[str] = set()
        """Names that stand in files that cannot be read."""
        self._traced: dict[Context, list[tuple[Context, Width]]] = {}

    def trace(self, context: Context, depth: int = 0) -> list[tuple[Context, Width]]:
        """Every way in which the width comes about, with what the other arguments are then."""
        if context not in self._traced:
            self._traced[context] = self._trace(context, depth)
        return self._traced[context]

    def _trace(self, context: Context, depth: int) -> list[tuple[Context, Width]]:
        width = classify(context)
        if width.kind is not WidthKind.UNKNOWN and _settled(context.gap):
            return [(context, width)]
        found: list[tuple[Context, Width]] = []
        try:
            further = list(self._further(context)) if depth < _DEEPEST else []
        except (Exhausted, RecursionError):
            further = []
        if not further:
            return [(context, width)]
        for one in dict.fromkeys(further):
            found += self.trace(one, depth + 1)
        return list(dict.fromkeys(found))

    def _further(self, context: Context) -> Iterable[Context]:
        function = context.function
        if function is None:
            return
        wanted = sorted(_open_atoms(context.width) | _open_atoms(context.gap), key=repr)
        own = [a for a in wanted if a.kind == "parameter" and a.parts == (function.identity,)]
        kept = [a for a in wanted if a.kind == "attribute"]
        if kept:
            yield from self._through_attribute(context, function, kept[0])
        elif own and not _generic(function) and all(decorator(d) in TRANSPARENT for d in function.node.decorator_list):
            yield from self._through_callers(context, function)

    def _through_callers(self, context: Context, function: Function) -> Iterable[Context]:
        method = function.class_name is not None and not function.static
        names = parameters(function.node)
        defaults = defaults_of(function)
        given_by_class = names
        if method:
            names = names[1:]
        wanted = function.class_name if function.name == "__init__" and function.class_name else function.name
        for record in self._records(wanted):
            if record.callee not in (None, function.identity) or (function.class_name is None and record.on_object):
                continue
            bindings: dict[Atom, Alternatives] = {}
            unbound = method and function.name != "__init__" and not record.on_object and record.callee is None
            places = given_by_class if unbound else names
            given = dict(zip(places, record.arguments.positional, strict=False))
            given.update((k, v) for k, v in record.arguments.keywords.items() if k in names)
            for name in names:
                atom = parameter(function, name).atom
                assert atom is not None
                if name in given:
                    bindings[atom] = given[name]
                elif name not in defaults or not record.arguments.complete:
                    bindings[atom] = (fresh(f"{name}, which this caller does not state"),)
                else:
                    default = Interpreter(self._program).default(function, name)
                    bindings[atom] = default
            yield from self._bound(context, bindings, record.root, record.source, record.line)
        if wanted in self._loose or wanted in self._unread:
            where = self._loose.get(wanted, (function.source, function.node.lineno))
            unknown: dict[Atom, Alternatives] = {}
            for name in names:
                atom = parameter(function, name).atom
                assert atom is not None
                unknown[atom] = (fresh(f"{name}, as what uses {wanted} otherwise states it"),)
            yield from self._bound(context, unknown, None, *where)

    def _bound(
        self,
        context: Context,
        bindings: dict[Atom, Alternatives],
        root: Function | None,
        source: Source,
        line: int,
    ) -> Iterable[Context]:
        used = {a for v in (context.width, context.gap, context.block) if v is not None for a in atoms(v)}
        chosen: list[dict[Atom, Value]] = [{a: v[0] if v else fresh(a.text) for a, v in bindings.items()}]
        for atom in sorted(used, key=repr):
            values = bindings.get(atom, ())
            if len(values) > 1 and len(chosen) * len(values) <= _MOST_CALLS:
                chosen = [{**c, atom: v} for c in chosen for v in values]
            elif len(values) > 1:
                chosen = [{**c, atom: fresh(atom.text)} for c in chosen]
        for one in chosen:
            yield Context(
                None if context.gap is None else substitute(context.gap, one),
                substitute(context.width, one),
                substitute(context.block, one),
                root,
                source.relative,
                line,
            )

    def _through_attribute(self, context: Context, function: Function, atom: Atom) -> Iterable[Context]:
        for writer, line, values in self._written(atom, function):
            # `self` in the caller and in the method that assigns are the same object.
            yield from self._bound(context, {atom: values}, writer, writer.source, line)
            if self._changed_elsewhere(atom, function):
                yield from self._bound(
                    context, {atom: (fresh(f"{atom.text}, as it is changed"),)}, None, writer.source, line
                )

    def _changed_elsewhere(self, atom: Atom, function: Function) -> bool:
        """Whether a derived class, or code outside the class, gives an attribute another value."""
        name = str(atom.parts[1])
        if self._program.stored_elsewhere(function.class_name or "", name):
            return True
        return any(
            attribute_writers(source, node.name, name)
            for source, node in self._program.heirs(function.class_name or "")
        )

    def _written(self, atom: Atom, function: Function, depth: int = 0) -> Iterable[tuple[Function, int, Alternatives]]:
        """What is assigned to an attribute, of ``self`` or of an object that ``self`` keeps, and where."""
        name = str(atom.parts[1])
        base = atom.parts[0]
        inner = base.atom if isinstance(base, Sum) else None
        holders: list[tuple[Source, str] | None] = []
        if _of_self(atom, function):
            holders.append(self._holder(function.source, function.class_name or "", name))
        elif inner is not None and inner.kind == "instance":
            source = self._program.module(str(inner.parts[0]))
            holders.append(None if source is None else self._holder(source, str(inner.parts[1]), name))
        elif inner is not None and inner.kind == "attribute" and depth < 3:
            for _, _, values in self._written(inner, function, depth + 1):
                for value in values:
                    made = value.atom if isinstance(value, Sum) else None
                    if made is not None and made.kind == "instance":
                        source = self._program.module(str(made.parts[0]))
                        holders.append(None if source is None else self._holder(source, str(made.parts[1]), name))
                    elif not isinstance(value, Nothing):
                        holders.append(None)
        if holders and None in holders and any(holders):
            yield function, function.node.lineno, (fresh(f"{atom.text} of another object"),)
        for holder in dict.fromkeys(h for h in holders if h is not None):
            source, class_name = holder
            yield from self._assigned(source, class_name, name)

    def _assigned(self, source: Source, class_name: str, name: str) -> list[tuple[Function, int, Alternatives]]:
        """What the methods of a class assign to an attribute."""
        key = f"{source.dotted}:{class_name}.{name}"
        if key not in self._written_to:
            found: list[tuple[Function, int, Alternatives]] = []
            writers = attribute_writers(source, class_name, name)
            for writer in dict.fromkeys(w for w, _ in writers):
                stores = self._stores.get(writer.identity)
                if stores is None:
                    interpreter = Interpreter(self._program)
                    interpreter.follow(writer)
                    stores = self._stores[writer.identity] = dict(interpreter.stores)
                line = next(e.lineno for w, e in writers if w is writer)
                found.append((writer, line, stores.get(key, ())))
            self._written_to[key] = found
        return self._written_to[key]

    def _holder(self, source: Source, class_name: str, name: str, depth: int = 0) -> tuple[Source, str] | None:
        """The class, or its nearest base, that assigns an attribute."""
        if attribute_writers(source, class_name, name):
            return source, class_name
        node = source.classes.get(class_name)
        if node is None or depth > 4:
            return None
        for base in node.bases:
            found = self._program.class_of(source, base)
            if found is not None:
                holder = self._holder(*found, name, depth + 1)
                if holder is not None:
                    return holder
        return None

    def _records(self, name: str, depth: int = 0) -> list[Record]:
        """Calls of functions or classes of this name, and of subclasses that inherit the constructor."""
        if name not in self._calls:
            self._calls[name] = []
            found: list[Record] = []
            pending, seen = {name}, {name}
            while pending:
                sought = pending.pop()
                for path in self._program.files_naming([sought]).files:
                    source = self._program.source(path)
                    if isinstance(source, Source):
                        found += self._in_file(name, frozenset({name, sought}), source)
                        more = {new for old, new in source.aliases if old == name} - seen
                        seen |= more
                        pending |= more
                        if depth < 3 and sought == name:
                            for subclass in self._program.subclasses(source, name):
                                found += self._records(subclass, depth + 1)
                    else:
                        self._unread.add(name)
            unique = {
                (r.source.relative, r.line, r.arguments.positional, tuple(r.arguments.keywords.items())): r
                for r in found
            }
            self._calls[name] = list(unique.values()) if len(unique) <= _MOST_CALLS else []
        return self._calls[name]

    def _in_file(self, name: str, names: frozenset[str], source: Source) -> list[Record]:
        """Calls in one file of what has a name, there perhaps called otherwise."""
        interpreter = Interpreter(self._program, names)
        for identity in sorted(interpreter.relevant(source)):
            if ".<locals>." not in identity:
                try:
                    interpreter.follow(source.functions[identity])
                except Exhausted:
                    self._loose.setdefault(name, (source, source.functions[identity].node.lineno))
        lines = {r.line for r in interpreter.records if r.name == name and r.source is source}
        other = _used_otherwise(source, names | {new for old, new in source.aliases if old in names}, lines)
        if other is not None and name not in source.classes and not name[:1].isupper():
            self._loose.setdefault(name, (source, other))
        return [r for r in interpreter.records if r.name == name and not r.inlined]

    def stays_inside(self, record: Record) -> bool:
        """Whether the function that a call stands in is called from its own file alone, and in plain sight."""
        function = record.root
        if function is None or _generic(function) or function.name.startswith("__"):
            return False
        callers = [r for r in self._records(function.name) if r.callee in (None, function.identity)]
        return function.name not in {*self._loose, *self._unread} and all(r.source is function.source for r in callers)


def _used_otherwise(source: Source, names: frozenset[str], lines: set[int]) -> int | None:
    """Where a file uses a function other than by a call that was noted."""
    called = {id(node.func) for node in walked(source.tree) if isinstance(node, ast.Call) and node.lineno in lines}
    for function in source.functions.values():
        if not function.words.isdisjoint(names):
            called |= _renamed(function)
    for node in walked(source.tree):
        named = (isinstance(node, ast.Name) and node.id in names) or (
            isinstance(node, ast.Attribute)
            and node.attr in names
            and isinstance(node.value, ast.Name)
            and node.value.id not in ("self", "cls")
        )
        if not named or id(node) in called:
            continue
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            return node.lineno
    return None


def _renamed(function: Function) -> set[int]:
    """Expressions that give a local name a function, where the name is only ever called: such calls are noted."""
    nodes = list(walked(function.node))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    read = (n for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load) and id(n) not in called)
    leaves = {node.id for node in read}
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id not in leaves:
            value = node.value
            found |= {id(n) for n in ((value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,))}
        elif isinstance(node, ast.Call) and "register" in terminal(node.func):
            # A custom operator is called by its name, which is the function's.
            found |= {id(keyword.value) for keyword in node.keywords if keyword.arg == "op_func"}
    return found


def _of_self(atom: Atom, function: Function) -> bool:
    base = atom.parts[0]
    holder = base.atom if isinstance(base, Sum) else None
    return (
        holder is not None
        and holder.kind == "parameter"
        and function.class_name is not None
        and parameters(function.node)[:1] == [holder.text]
        and holder.parts == (function.identity,)
    )


_GENERIC = frozenset(["__call__", "apply", "call", "execute", "impl", "process", "run", "wrapped", "wrapper"])


def _generic(function: Function) -> bool:
    """Whether so many functions have this name that a call by name says nothing."""
    return function.name in _GENERIC or function.name.startswith("forward")


def _open_atoms(value: Value | None) -> set[Atom]:
    """Parameters, and attributes of parameters, that a value is made of; what the operator chose is not open."""
    found: set[Atom] = set()
    pending: list[object] = [value]
    while pending:
        here = pending.pop()
        if isinstance(here, Sum):
            pending += [a for product, _ in here.terms for a in product]
        elif isinstance(here, Atom) and here not in found and not is_operator(here):
            if here.kind in ("parameter", "attribute"):
                found.add(here)
            else:
                pending += here.parts
        elif isinstance(here, Flag):
            pending += [here.left, here.right]
    return found


def is_operator(atom: Atom) -> bool:
    """``max_model_len`` of a configuration."""
    if atom.kind != "attribute" or atom.parts[1:] != (OPERATOR,):
        return False
    base = atom.parts[0]
    while isinstance(base, Sum) and base.atom is not None and base.atom.kind in ("attribute", "item"):
        if _OTHERS.search(str(base.atom.parts[1])):
            return False
        base = base.atom.parts[0]
    if isinstance(base, Sum) and base.atom is not None and _OTHERS.search(base.atom.text):
        return False
    holder = atom.text.split(".")[-2].lower() if "." in atom.text else ""
    return "config" in holder or "args" in holder


def _settled(gap: Value | None) -> bool:
    return gap is None or not isinstance(gap, Sum) or gap.constant is not None or not _open_atoms(gap)


def classify(context: Context) -> Width:
    """What a width is, as it stands."""
    width = context.width
    text = describe(width)
    if isinstance(width, Sum):
        block = context.block
        if width.constant is not None:
            return Width(WidthKind.FIXED, text, context.file, context.line, width.constant)
        if width.atom is not None and is_operator(width.atom):
            return Width(WidthKind.OPERATOR, text, context.file, context.line)
        if isinstance(block, Sum) and is_multiple(width, block) and block.constant != 1:
            return Width(WidthKind.MULTIPLE, text, context.file, context.line)
        if isinstance(block, Sum) and block.constant == 1:
            return Width(WidthKind.MULTIPLE, text, context.file, context.line, 1)
        # Rounded down only: a quotient rounded up is one more than what safe lengths are worked out for.
        if width.atom is not None and width.atom.kind == "pure" and width.atom.parts[0] == "//":
            whole, ratio = width.atom.parts[1:3]
            if isinstance(whole, Sum) and whole.atom is not None and is_operator(whole.atom):
                stated = ratio.constant if isinstance(ratio, Sum) else None
                if stated is None or stated > 0:
                    return Width(WidthKind.FRACTION, text, context.file, context.line, stated)
    return Width(WidthKind.UNKNOWN, text, context.file, context.line)
