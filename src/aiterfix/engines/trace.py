"""What an expression of an engine can be: through locals, helpers, attributes and callers, or not known."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aiterfix.engines.package import LOOPS, SCOPES, Binding, FunctionNode, Package, Source, parameters, text_of
from aiterfix.engines.uses import NOWHERE, Escape, Site, Target, Uses, called, clear_decorators
from aiterfix.engines.values import (
    LENGTH,
    Atom,
    Items,
    Nothing,
    Number,
    Tensor,
    Value,
    constant,
    made,
    of,
    plus,
    times,
)
from aiterfix.family.kernels import ENTRIES

_MOST_CONDITIONS = 8
_CHANGES = re.compile(r"\b(?:\w*replace|update|\w*copy)\s*\([^()]*(?:\([^()]*\)[^()]*)*$")
_MOST = 16  # values of one expression
_DEEPEST = 10  # from the kernel's caller to the configuration; vLLM 0.33.0 needs 5
_FUNCTIONS = SCOPES[:2]
_SCOPED = SCOPES[:3]
_OPERATOR = "max_model_len"
_CONFIG = re.compile(r"(?:^|[._])(?:config|server_args)(?:\(\))?$")
OTHER_MODELS = re.compile("draft|spec|hf_|text_|vision|encoder|replace|copy")
"""In what a configuration is taken from: it may be that of another model, or changed."""
_OTHER_CONFIGS = re.compile(rb"\b(?:draft|spec|speculative|vision|encoder|text)_\w*config\b")
_ALLOCATES = frozenset(["empty", "zeros", "ones", "full"])
_KEYWORDS = frozenset(["dtype", "device", "pin_memory", "requires_grad", "fill_value", "size"])
_LEAVES_ALONE = frozenset(
    [
        "shape",
        "stride",
        "size",
        "dim",
        "fill_",
        "zero_",
        "dtype",
        "device",
        "numel",
        "ndim",
        "is_cuda",
        "element_size",
        "data_ptr",
        "is_contiguous",
    ]
)
_RUNTIME_TYPES = frozenset(["dataclass", "dataclasses.dataclass"])


@dataclass(frozen=True)
class Frame:
    """Where an expression is looked at from.

    Attributes:
        source: the file.
        function: whose body it stands in; None for a module's level.
        arguments: of a call that is followed into; None where parameters stand for themselves.
        key: tells what is read here from what another call reads at the same place.
    """

    source: Source = field(repr=False)
    function: FunctionNode | None
    arguments: Mapping[str, tuple[Value, ...]] | None = None
    key: tuple[object, ...] = ()


@dataclass(frozen=True)
class Way:
    """One way in which values come about, and where the last of them is stated."""

    state: tuple[Value, ...]
    source: Source = field(repr=False)
    line: int


class Tracer:
    """Evaluates expressions of one package."""

    def __init__(self, package: Package) -> None:
        """Prepare."""
        self._package = package
        self._functions: dict[tuple[object, ...], tuple[Source, FunctionNode]] = {}
        self._uses: dict[ast.AST, tuple[list[Site], list[Escape]]] = {}
        self._busy: set[tuple[object, ...]] = set()
        self._fields: dict[tuple[object, ...], tuple[tuple[Value, ...], tuple[str, ...]]] = {}
        self._writers: dict[str, list[str]] = {}
        self.conditions: dict[str, None] = {}
        """What would make values others than they were found to be; the caller empties it."""

    # Expressions

    def values(self, node: ast.expr | None, frame: Frame) -> tuple[Value, ...]:
        """Everything that an expression can be."""
        if node is None:
            return (Nothing(),)
        try:
            found = tuple(dict.fromkeys(self._values(node, frame)))
        except RecursionError:
            found = ()
        if 0 < len(found) <= _MOST:
            return found
        # What the length decides is kept; "other" stands for all the rest.
        decided = [v for v in found if isinstance(v, Number) and v.at(1 << 20, 1) is not None]
        return (*decided[: _MOST - 1], self.other(node, frame))

    def other(self, node: ast.AST, frame: Frame, text: str = "") -> Number:
        """What is known by its place alone."""
        place = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0), getattr(node, "end_col_offset", 0))
        return of(Atom("other", (frame.key, frame.source.relative, *place, text), text or text_of(node)))

    def _values(self, node: ast.expr, frame: Frame) -> Iterable[Value]:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, int):
                return (constant(int(node.value)),)
            return (Nothing(),) if node.value is None or isinstance(node.value, float) else (self.other(node, frame),)
        if isinstance(node, ast.Name):
            return self._name(node, frame)
        if isinstance(node, ast.Attribute):
            return self._attribute(node, frame)
        if isinstance(node, ast.Call):
            return self._call(node, frame)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, frame)
        if isinstance(node, ast.BinOp):
            pairs = itertools.product(self.values(node.left, frame), self.values(node.right, frame))
            return [self._binary(node, a, b, frame) for a, b in pairs]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            inner = self.values(node.operand, frame)
            return [times(v, constant(-1)) if isinstance(v, Number) else self.other(node, frame) for v in inner]
        if isinstance(node, ast.IfExp):
            return (*self.values(node.body, frame), *self.values(node.orelse, frame))
        if isinstance(node, ast.BoolOp):
            return [v for part in node.values for v in self.values(part, frame)]
        if isinstance(node, ast.NamedExpr):
            return self.values(node.value, frame)
        if isinstance(node, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in node.elts):
            return (Items(tuple(self.values(e, frame) for e in node.elts)),)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            right = node.comparators[0]
            many = isinstance(right, ast.Constant) and (type(node.ops[0]), right.value) in (
                (ast.Gt, 1),
                (ast.NotEq, 1),
                (ast.GtE, 2),
            )
            left = self.values(node.left, frame)
            return [made("many", (v,)) if many and isinstance(v, Number) else self.other(node, frame) for v in left]
        return (self.other(node, frame),)

    def _binary(self, node: ast.BinOp, a: Value, b: Value, frame: Frame) -> Value:
        if isinstance(node.op, ast.Div):
            return Nothing()  # no whole number, so that nothing is a multiple by it
        if isinstance(a, Number) and isinstance(b, Number):
            if isinstance(node.op, (ast.Add, ast.Sub)):
                return plus(a, b, 1 if isinstance(node.op, ast.Add) else -1)
            if isinstance(node.op, ast.Mult):
                return times(a, b)
            if isinstance(node.op, ast.FloorDiv) and b.constant != 0:
                return made("floor", (a, b))
            if isinstance(node.op, ast.Mod) and b.constant != 0:
                return plus(a, times(b, made("floor", (a, b))), -1)
            if isinstance(node.op, ast.LShift) and b.constant is not None and 0 <= b.constant < 32:
                return times(a, constant(1 << b.constant))
        return self.other(node, frame)

    @cached_property
    def _other_configs(self) -> list[str]:
        found = itertools.islice(self._package.lines("config", _OTHER_CONFIGS), 1)
        said = "the configuration may be another model's"
        return [f"{said}: {match[0].decode()} ({self._package.shown(path)}:{line})" for path, match, line in found]

    # Names

    def _name(self, node: ast.Name, frame: Frame) -> Iterable[Value]:
        source, name, captured = frame.source, node.id, False
        for scope in source.above(node):
            if isinstance(scope, (ast.Lambda, *SCOPES[3:])):
                bound = {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
                if isinstance(scope, ast.Lambda):
                    bound = {a.arg for a in ast.walk(scope.args) if isinstance(a, ast.arg)}
                if name in bound:
                    return (self.other(node, frame),)
                captured |= isinstance(scope, (ast.Lambda, ast.GeneratorExp))
            elif isinstance(scope, _FUNCTIONS) and (scope is frame.function or node not in ast.walk(scope.args)):
                bindings = source.bound(scope).get(name, [])
                if name in parameters(scope) or bindings:
                    return self._local(node, frame, scope, bindings, captured)
                captured = True
        return self._global(node, frame, source, name)

    def _local(
        self, node: ast.Name, frame: Frame, scope: FunctionNode, bindings: list[Binding], captured: bool
    ) -> Iterable[Value]:
        given = node.id in parameters(scope)
        lent = any(isinstance(n, ast.Nonlocal) and node.id in n.names for n in ast.walk(scope))
        if lent or (captured and len(bindings) + given != 1):
            return (self.other(node, frame),)
        reaching = [*bindings] if captured else _reaching(frame.source, scope, bindings, node)
        if reaching is None or (captured and bindings and frame.source.within(bindings[0].node, LOOPS)):
            return (self.other(node, frame),)
        asserted = _asserted(frame.source, scope, reaching, node)
        if asserted is not None:
            return (constant(asserted),)
        found: list[Value] = []
        for binding in reaching:
            values = self.values(binding.value, frame) if binding.value is not None else (self.other(node, frame),)
            for value in values:
                if binding.item is not None:
                    inside = isinstance(value, Items) and binding.item < len(value.items)
                    found += value.items[binding.item] if inside else [self.other(node, frame)]  # type: ignore[union-attr]
                else:
                    found.append(value)
        stopped = bool(reaching) and _dominates(frame.source, reaching[-1].node, node)
        if given and not stopped:
            found += self._parameter(node, frame, scope)
        if any(isinstance(v, Tensor) for v in found):
            names = [n for n in ast.walk(scope) if isinstance(n, ast.Name) and n.id == node.id]
            loop = frame.source.within(node, LOOPS)
            if not all(n is node or _leaves_alone(frame.source, n) for n in names if loop or _start(n) < _start(node)):
                return (self.other(node, frame, f"{node.id}, which is used before in ways that are not followed"),)
        return found

    def _parameter(self, node: ast.Name, frame: Frame, scope: FunctionNode) -> tuple[Value, ...]:
        if frame.arguments is not None and scope is frame.function:
            return frame.arguments.get(node.id, (self.other(node, frame),))
        key = (frame.source.relative, scope.lineno, scope.name)
        self._functions[key] = frame.source, scope
        return (of(Atom("parameter", (*key, node.id), node.id)),)

    def _global(self, node: ast.AST, frame: Frame, source: Source, name: str) -> Iterable[Value]:
        """A module's own name, given a value once and never again."""
        bindings = source.bound(source.tree).get(name, [])
        rebound = any(isinstance(n, ast.Global) and name in n.names for n in ast.walk(source.tree))
        if len(bindings) == 1 and not rebound and not source.within(bindings[0].node, LOOPS):
            one = bindings[0]
            if isinstance(one.node, (ast.Import, ast.ImportFrom)):
                found = self._package.find(source.imported(name, one.node))
                if found is not None and isinstance(found[1], (ast.Assign, ast.AnnAssign)):
                    last = found[1].targets[0] if isinstance(found[1], ast.Assign) else found[1].target
                    if isinstance(last, ast.Name) and found[0] is not source:
                        return self._global(node, frame, found[0], last.id)
            elif one.value is not None and one.item is None and not self._set_from_afar(name):
                return self.values(one.value, Frame(source, None, None, ("global", source.relative)))
        return (self.other(node, frame),)

    def _set_from_afar(self, name: str) -> bool:
        """Whether anything gives an attribute of this name a value: a module's, or a method's, replaced."""
        word = re.escape(name.encode())
        pattern = re.compile(
            rb"\.\s*" + word + rb"\s*(?:=(?!=)|[-+*/|&]=|,[^\n=]*=(?!=))|[\"']" + word + rb"[\"']\s*(?:,|\]\s*=)"
        )
        return any(True for _ in self._package.lines(name, pattern))

    # Attributes

    def _attribute(self, node: ast.Attribute, frame: Frame) -> Iterable[Value]:
        if node.attr == _OPERATOR and _CONFIG.search(text_of(node.value)):
            if any(OTHER_MODELS.search(text) for text in self._origins(node.value, frame)):
                return (self.other(node, frame),)
            self.conditions.update(dict.fromkeys(self._other_configs))
            self.conditions.update(dict.fromkeys(self.writers(_OPERATOR)))
            return (LENGTH,)
        owner = self._class_of(node.value, frame)
        if owner is not None:
            found = self._field(owner, node, frame)
            if found is not None:
                return found
        if isinstance(node.value, (ast.Name, ast.Attribute)):
            module = self._module(node.value, frame)
            if module is not None:
                return self._global(node, frame, module, node.attr)
        return (self.other(node, frame),)

    def _module(self, node: ast.expr, frame: Frame) -> Source | None:
        """The module of the package that a name stands for."""
        origin = self._imported(node, frame)
        return self._package.module(origin) if origin is not None else None

    def _imported(self, expression: ast.expr, frame: Frame) -> str | None:
        """The dotted name that an expression stands for, where an import and nothing else gives it its meaning."""
        node, rest = expression, ""
        while isinstance(node, ast.Attribute):
            rest = f".{node.attr}{rest}"
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        scopes = [*(s for s in frame.source.above(node) if isinstance(s, _FUNCTIONS)), frame.source.tree]
        for scope in scopes:
            bindings = frame.source.bound(scope).get(node.id, [])
            if isinstance(scope, _FUNCTIONS) and node.id in parameters(scope):
                return None
            if bindings:
                one = bindings[0].node
                if len(bindings) == 1 and isinstance(one, (ast.Import, ast.ImportFrom)):
                    return frame.source.imported(node.id, one) + rest
                return None
        return None

    def _origins(self, node: ast.expr, frame: Frame, depth: int = 0) -> Iterator[str]:
        """What a configuration is taken from, as the function and its class say."""
        yield text_of(node)
        if depth > 4:
            return
        while isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            node = node.value
        scope = frame.function
        if isinstance(node, ast.Name) and scope is not None:
            for binding in frame.source.bound(scope).get(node.id, []):
                if binding.value is not None:
                    yield from self._origins(binding.value, frame, depth + 1)
        elif isinstance(node, ast.Attribute):
            owner = self._class_of(node.value, frame)
            for one in self._stores(*owner, node.attr) if owner is not None else ():
                value, method = one
                if value is not None:
                    yield from self._origins(value, Frame(owner[0] if owner else frame.source, method), depth + 1)

    def writers(self, attribute: str) -> list[str]:
        """What gives an attribute another value, apart from methods of the classes that it is known to be of."""
        if attribute not in self._writers:
            found = itertools.chain(self._named_writers(attribute), self._hooks(attribute))
            self._writers[attribute] = list(itertools.islice(dict.fromkeys(found), _MOST_CONDITIONS))
        return self._writers[attribute]

    def _named_writers(self, attribute: str) -> Iterator[str]:
        word = re.escape(attribute)
        assigned = re.compile(
            rf"(?P<base>[\w\])]+)\.{word}\s*(?:=(?!=)|[-+*/%&|^@]=|//=|\*\*=|<<=|>>=|:[^=]+=(?!=)\s*)(?P<value>.*)"
            rf"|(?P<several>^)(?=[^=]*,)\s*[(\[]?(?:[\w.*\[\]]+\s*,\s*)*[\w.\[\]]+\.{word}\s*[)\]]?(?:,\s*[\w.*\[\]]+\s*)*,?[)\]]?\s*=(?!=)"
            rf"|(?:setattr|__setattr__)\s*\(.*[\"']{word}[\"']|[\"']{word}[\"']\s*\]\s*=(?!=)"
            rf"|\bfor\s[^:]*\.{word}\b[^:]*\sin\s|\bas\s+[\w.]+\.{word}\b|\bdel\s.*\.{word}\b"
        )
        keyword = re.compile(rf"\b{word}\s*=(?!=)")
        for path, line, text, before in self._package.occurrences(attribute):
            match = assigned.search(text)
            place = f"{attribute} may be given another value: {self._package.shown(path)}:{line}: {text.strip()[:60]}"
            if match is not None:
                own = match["base"] == "self" and not self._configures(path, before, attribute)
                same = attribute == _OPERATOR and re.fullmatch(
                    r"[\w.]*model_config\.max_model_len\s*", match["value"] or ""
                )
                if match["several"] is not None and not self._stored(path, attribute, line):
                    continue
                if not own and not same:
                    yield place
            elif any(
                _CHANGES.search(before[-300:].decode("utf-8", "replace") + text[: k.start()])
                for k in keyword.finditer(text)
            ) or (
                attribute == _OPERATOR
                and re.search(rf"\bdef\s+{word}\s*\(", text)
                and self._configures(path, before, attribute)
            ):
                yield place

    def _stored(self, path: Path, attribute: str, line: int) -> bool:
        source = self._package.source(path)
        nodes = source.named.get(attribute, ()) if source is not None else ()
        stores = [n for n in nodes if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)]
        return source is None or any(n.lineno == line for n in stores)

    def _hooks(self, attribute: str) -> Iterator[str]:
        pattern = re.compile(
            rb"setattr\s*\(\s*[\w.]+\s*,\s*[A-Za-z_f]|def\s+(?:__getattr__|__getattribute__|__setattr__)\b"
            rb"|(?:__dict__|vars\([^)]*\))\s*(?:\.update|\[|\|=)"
        )
        holding = set(self._package.paths(attribute))
        for needle in ("setattr", "__getattr", "__dict__", "vars("):
            for path, match, line in self._package.lines(needle, pattern, holding):
                yield f"attributes are set or made by name: {self._package.shown(path)}:{line}: {match[0].decode()}"

    def _configures(self, path: Path, before: bytes, attribute: str) -> bool:
        """Whether ``self`` at a place is a configuration whose length the operator states."""
        classes = re.findall(rb"^class\s+(\w+)", before, re.MULTILINE) if attribute == _OPERATOR else []
        return bool(classes) and classes[-1].endswith(b"Config")

    # Classes

    def _class_of(self, node: ast.expr, frame: Frame) -> tuple[Source, ast.ClassDef] | None:
        """The class of an object, where the source says so plainly."""
        source, function = frame.source, frame.function
        if isinstance(node, ast.Call):
            return self._class(node.func, frame)
        if not isinstance(node, ast.Name):
            return None
        scope = source.within(node, _FUNCTIONS)
        if isinstance(scope, _FUNCTIONS) and node.id in parameters(scope):
            function = scope
            if parameters(function)[:1] == [node.id] and isinstance(source.up.get(function), ast.ClassDef):
                static = any(text_of(d) == "staticmethod" for d in function.decorator_list)
                around = source.up[function]
                return (source, around) if isinstance(around, ast.ClassDef) and not static else None
            if source.bound(function).get(node.id):
                return None
            spec = function.args
            (argument,) = [a for a in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs) if a.arg == node.id]
            return self._class(argument.annotation, frame) if argument.annotation is not None else None
        bindings = source.bound(scope or source.tree).get(node.id, []) or source.bound(source.tree).get(node.id, [])
        values = [b.value for b in bindings]
        if len(bindings) == 1 and isinstance(values[0], ast.Call) and bindings[0].item is None:
            rebound = any(isinstance(n, ast.Global) and node.id in n.names for n in ast.walk(source.tree))
            return None if rebound else self._class(values[0].func, frame)
        return None

    def _class(self, node: ast.expr, frame: Frame) -> tuple[Source, ast.ClassDef] | None:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                node = ast.parse(node.value, mode="eval").body
            except SyntaxError:
                return None
        if isinstance(node, ast.Name):
            here = frame.source.bound(frame.source.tree).get(node.id, [])
            if len(here) == 1 and isinstance(here[0].node, ast.ClassDef):
                return frame.source, here[0].node
        if isinstance(node, (ast.Name, ast.Attribute)):
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            origin = self._imported(node, frame) if root in frame.source.up else None
            found = self._package.find(origin) if origin is not None else None
            if found is not None and isinstance(found[1], ast.ClassDef):
                return found[0], found[1]
        return None

    def relatives(self, source: Source, node: ast.ClassDef) -> list[tuple[Source, ast.ClassDef]]:
        """A class, its bases, what derives from it, and the other bases of that; None where they are not all known."""
        found, pending = {node: source}, [(source, node, True)]
        while pending:
            where, one, down = pending.pop()
            for base in one.bases:
                more = self._class(base, Frame(where, None))
                if more is not None and more[1] not in found:
                    found[more[1]] = more[0]
                    pending.append((*more, False))
            if down:
                heirs = re.compile(rb"\bclass\s+\w+\s*\([^)]*\b" + one.name.encode() + rb"\b")
                paths = {path for path, _, _ in self._package.lines(one.name, heirs)}
                for place in (s for s in map(self._package.source, sorted(paths)) if s is not None):
                    for heir in (n for n in place.named.get(one.name, ()) if isinstance(place.up.get(n), ast.ClassDef)):
                        derived = place.up[heir]
                        if isinstance(derived, ast.ClassDef) and heir in derived.bases and derived not in found:
                            found[derived] = place
                            pending.append((place, derived, True))
        return [(s, n) for n, s in found.items()]

    def _stores(
        self, source: Source, owner: ast.ClassDef, attribute: str
    ) -> Iterator[tuple[ast.expr | None, FunctionNode]]:
        """``self.attribute = value`` in the methods of a class; no value where it is set otherwise."""
        for node in source.named.get(attribute, ()):
            if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
                continue
            method = source.function(node)
            if method is None or source.up.get(method) is not owner or not isinstance(node.value, ast.Name):
                continue
            if node.value.id not in parameters(method)[:1]:
                continue
            above = source.up[node]
            plain = isinstance(above, (ast.Assign, ast.AnnAssign))
            yield (above.value if isinstance(above, (ast.Assign, ast.AnnAssign)) and plain else None), method

    def _field(self, owner: tuple[Source, ast.ClassDef], node: ast.Attribute, frame: Frame) -> tuple[Value, ...] | None:
        """What an attribute of an object of a known class is; None where its classes say nothing of it."""
        name = node.attr
        reader = frame.function.lineno if frame.function is not None else 0
        key = (owner[1], name, text_of(node.value), frame.source.relative, reader, frame.key)
        if key in self._busy:
            return (self.other(node, frame),)
        if key not in self._fields:
            self._busy.add(key)
            before, self.conditions = self.conditions, {}
            found = self._read_field(owner, node, frame, key)
            conditions, self.conditions = tuple(self.conditions), before
            self._busy.discard(key)
            self._fields[key] = found, conditions
        values, said = self._fields[key]
        self.conditions.update(dict.fromkeys(said))
        if any(isinstance(v, Tensor) for v in values):
            mentions = [n for n in owner[0].named.get(name, ()) if isinstance(n, ast.Attribute)]
            elsewhere = [p for p in self._package.paths(name) if self._package.shown(p) != owner[0].relative]
            if elsewhere or not all(_leaves_alone(owner[0], n) for n in mentions if n is not node):
                return (self.other(node, frame, f"{text_of(node)}, which is used in ways that are not followed"),)
        return values or None

    def _read_field(
        self, owner: tuple[Source, ast.ClassDef], node: ast.Attribute, frame: Frame, key: tuple[object, ...]
    ) -> tuple[Value, ...]:
        name, unknown = node.attr, self.other(node, frame)
        relatives = self.relatives(*owner)
        values: list[Value] = []
        for source, one in relatives:
            bindings = source.bound(one).get(name, [])
            fields = [n.target.id for n in one.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
            if name in fields and _is_record(one):
                values += self._from_constructor(source, one, fields, name, unknown)
            else:
                for binding in bindings:
                    inner = binding.node
                    if isinstance(inner, _FUNCTIONS) and any("property" in text_of(d) for d in inner.decorator_list):
                        values += self._returned(source, inner, {}, (*key[:4], "property"), unknown)
                    elif binding.value is not None and binding.item is None:
                        values += self.values(binding.value, Frame(source, None))
                    else:
                        values.append(unknown)
            for value, method in self._stores(source, one, name):
                if value is None:
                    values.append(unknown)
                    continue
                inside = Frame(source, method, None, key[:6])
                for found in self.values(value, inside):
                    for way in self.expand((found,), source, method.lineno):
                        kept = way.state[0]
                        loose = not _closed(kept) and method.name != "__init__"
                        values.append(unknown if loose or _has_parameter(kept) else kept)
        if values:
            self.conditions.update(dict.fromkeys(self.writers(name)))
        return tuple(dict.fromkeys(values))

    def _from_constructor(
        self, source: Source, owner: ast.ClassDef, fields: list[str], name: str, unknown: Number
    ) -> Iterator[Value]:
        uses = self._uses_of(Target(owner.name, source, owner))
        if uses[1] or not uses[0]:
            yield unknown
        if any(isinstance(n, _FUNCTIONS) and n.name in ("__init__", "__new__", "__post_init__") for n in owner.body):
            yield unknown
        if any(self._class(b, Frame(source, None)) is not None for b in owner.bases):
            yield unknown
        for site in uses[0]:
            given = dict(zip(fields, site.call.args, strict=False)) | {k.arg: k.value for k in site.call.keywords}
            plain = not (site.before or site.keywords or None in given)
            if name not in given or not plain or any(isinstance(a, ast.Starred) for a in site.call.args):
                yield unknown
                continue
            function = site.source.function(site.call)
            for value in self.values(given[name], Frame(site.source, function)):
                for way in self.expand((value,), site.source, site.call.lineno):
                    yield unknown if _has_parameter(way.state[0]) else way.state[0]

    # Calls

    def _call(self, node: ast.Call, frame: Frame) -> Iterable[Value]:
        unknown = self.other(node, frame)
        name = called(node)
        starred = any(isinstance(a, ast.Starred) for a in node.args) or any(k.arg is None for k in node.keywords)
        if starred:
            return (unknown,)
        allocated = self._allocated(node, frame)
        if allocated is not None:
            return allocated
        plain = isinstance(node.func, ast.Name) and self._builtin(name, frame)
        if plain and name == "int" and len(node.args) == 1 and not node.keywords:
            inner = self.values(node.args[0], frame)
            return [v if isinstance(v, Number) and _whole(v) else unknown for v in inner]
        if plain and name in ("min", "max") and len(node.args) > 1 and not node.keywords:
            return self._numbers(node.args, frame, name, unknown)
        if self._imported(node.func, frame) == "triton.cdiv" and len(node.args) == 2:
            found = []
            for a, b in itertools.product(*(self.values(arg, frame) for arg in node.args)):
                both = isinstance(a, Number) and isinstance(b, Number) and b.constant != 0
                found.append(_cdiv(a, b) if both else unknown)  # type: ignore[arg-type]
            return found
        if isinstance(node.func, ast.Attribute):
            of_tensor = self._of_tensor(node, node.func, frame)
            if of_tensor is not None:
                return of_tensor
        return self._followed(node, frame, unknown)

    def _builtin(self, name: str, frame: Frame) -> bool:
        return not any(
            name in frame.source.bound(s) for s in (frame.source.tree, frame.function) if s is not None
        ) and (frame.function is None or name not in parameters(frame.function))

    def _numbers(self, nodes: Sequence[ast.expr], frame: Frame, kind: str, unknown: Number) -> Iterator[Value]:
        for combination in itertools.product(*(self.values(n, frame) for n in nodes)):
            numbers = tuple(v for v in combination if isinstance(v, Number))
            yield made(kind, numbers) if len(numbers) == len(combination) else unknown

    def _allocated(self, node: ast.Call, frame: Frame) -> list[Value] | None:
        """A fresh tensor, whose rows lie one after another."""
        if not isinstance(node.func, ast.Attribute):
            return None
        name = node.func.attr
        shape: ast.expr | None = None
        if name == "get_simultaneous" and len(node.args) == 1 and not node.keywords:
            # vLLM's workspace: views of exactly the shapes asked for, one after another.
            given = node.args[0]
            if isinstance(given, ast.Tuple) and len(given.elts) == 2 and isinstance(given.elts[0], ast.Tuple):
                return [Items((tuple(self._shaped(given.elts[0].elts, node, frame)),))]
            return None
        torch = self._imported(node.func.value, frame) == "torch" and name in _ALLOCATES
        if not (torch or name in {f"new_{a}" for a in _ALLOCATES}) or not {k.arg for k in node.keywords} <= _KEYWORDS:
            return None
        sizes = [k.value for k in node.keywords if k.arg == "size"] or node.args[:1]
        if not sizes:
            return None
        shape = sizes[0]
        several = len(node.args) > 1 and not name.endswith("full")
        if several:
            return self._shaped(node.args, node, frame)
        found: list[Value] = []
        for value in self.values(shape, frame):
            if not isinstance(value, Items) or len(value.items) < 2:
                return None
            last = (v for v in value.items[-1])
            found += [
                Tensor(v, v, len(value.items)) if isinstance(v, Number) else self.other(node, frame) for v in last
            ]
        return found

    def _shaped(self, sizes: Sequence[ast.expr], node: ast.AST, frame: Frame) -> list[Value]:
        if len(sizes) < 2 or any(isinstance(s, ast.Starred) for s in sizes):
            return [self.other(node, frame)]
        last = self.values(sizes[-1], frame)
        return [Tensor(v, v, len(sizes)) if isinstance(v, Number) else self.other(node, frame) for v in last]

    def _of_tensor(self, node: ast.Call, function: ast.Attribute, frame: Frame) -> list[Value] | None:
        if function.attr not in ("stride", "size", "fill_", "zero_"):
            return None
        found: list[Value] = []
        for value in self.values(function.value, frame):
            if not isinstance(value, Tensor):
                return None
            if function.attr in ("fill_", "zero_"):
                found.append(value)
                continue
            axes = self.values(node.args[0], frame) if len(node.args) == 1 else ()
            axis = axes[0].constant if len(axes) == 1 and isinstance(axes[0], Number) else None
            if function.attr == "size" and axis in (-1, value.rank - 1):
                found.append(value.columns)
            elif function.attr == "stride" and axis in (-2, value.rank - 2):
                found.append(value.stride)
            else:
                found.append(self.other(node, frame))
        return found

    def _followed(self, node: ast.Call, frame: Frame, unknown: Number) -> Iterable[Value]:
        """A function of the package, entered."""
        function: tuple[Source, FunctionNode] | None = None
        others: list[tuple[Source, FunctionNode]] = []
        if isinstance(node.func, ast.Name):
            here = frame.source.bound(frame.source.tree).get(node.func.id, [])
            inside = frame.source.bound(frame.function).get(node.func.id, []) if frame.function is not None else []
            if frame.function is not None and node.func.id in parameters(frame.function):
                return (unknown,)
            if not inside and len(here) == 1 and isinstance(here[0].node, _FUNCTIONS):
                function = frame.source, here[0].node
        if isinstance(node.func, (ast.Name, ast.Attribute)) and function is None:
            origin = self._imported(node.func, frame)
            found = self._package.find(origin) if origin is not None else None
            if found is not None and isinstance(found[1], _FUNCTIONS):
                function = found[0], found[1]
        if isinstance(node.func, ast.Attribute) and function is None:
            owner = self._class_of(node.func.value, frame)
            for source, one in self.relatives(*owner) if owner is not None else ():
                for binding in source.bound(one).get(node.func.attr, []):
                    if not isinstance(binding.node, _FUNCTIONS):
                        return (unknown,)
                    others.append((source, binding.node))
                if any(True for _ in self._stores(source, one, node.func.attr)):
                    return (unknown,)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        targets = others or ([function] if function is not None else [])
        if not targets or self._set_from_afar(name):
            return (unknown,)
        values: list[Value] = []
        for source, entered in targets:
            given = self._bound(Site(frame.source, node), source, entered)
            key = (*frame.key, frame.source.relative, node.lineno, node.col_offset)
            if given is None or len(key) > 24 or ("inside", entered, frame.key) in self._busy:
                return (unknown,)
            arguments = {}
            for parameter, expression in given.items():
                default = expression is not None and expression not in (*node.args, *(k.value for k in node.keywords))
                where = Frame(source, None) if default else frame
                arguments[parameter] = self.values(expression, where) if expression is not None else (unknown,)
            values += self._returned(source, entered, arguments, key, unknown)
        return values

    def _returned(
        self,
        source: Source,
        function: FunctionNode,
        arguments: Mapping[str, tuple[Value, ...]],
        key: tuple[object, ...],
        unknown: Number,
    ) -> tuple[Value, ...]:
        nodes = [n for n in ast.walk(function) if source.within(n, _SCOPED) is function]
        decorated = not clear_decorators(function) and not any(
            "property" in text_of(d) for d in function.decorator_list
        )
        if decorated or isinstance(function, ast.AsyncFunctionDef):
            return (unknown,)
        if any(isinstance(n, (ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)) for n in nodes):
            return (unknown,)
        if ("inside", function, key) in self._busy or sum(1 for k in self._busy if k[0] == "inside") > 6:
            return (unknown,)
        self._busy.add(("inside", function, key))
        returns = [n for n in nodes if isinstance(n, ast.Return)]
        combinations = list(itertools.islice(itertools.product(*arguments.values()), _MOST + 1))
        values: list[Value] = []
        if len(combinations) > _MOST:
            values.append(unknown)
            combinations = []
        for combination in combinations:
            bound = {n: (v,) for n, v in zip(arguments, combination, strict=True)}
            for node in returns:
                values += self.values(node.value, Frame(source, function, bound, key))
        if not function.body or not isinstance(function.body[-1], (ast.Return, ast.Raise)):
            values.append(Nothing())
        self._busy.discard(("inside", function, key))
        return tuple(unknown if _has_parameter(v, (source.relative, function.lineno)) else v for v in values)

    def _subscript(self, node: ast.Subscript, frame: Frame) -> Iterable[Value]:
        unknown = self.other(node, frame)
        shape = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
        inner = node.value.value if shape and isinstance(node.value, ast.Attribute) else node.value
        found: list[Value] = []
        indices = self.values(node.slice, frame) if not isinstance(node.slice, (ast.Slice, ast.Tuple)) else ()
        index = indices[0].constant if len(indices) == 1 and isinstance(indices[0], Number) else None
        for value in self.values(inner, frame):
            if isinstance(value, Tensor) and shape and index in (-1, value.rank - 1):
                found.append(value.columns)
            elif isinstance(value, Tensor) and not shape:
                found.append(self._view(node.slice, value, frame) or unknown)
            elif isinstance(value, Items) and index is not None and -len(value.items) <= index < len(value.items):
                found += value.items[index]
            else:
                found.append(unknown)
        return found

    def _view(self, index: ast.expr, tensor: Tensor, frame: Frame) -> Tensor | None:
        """Rows from one to another, perhaps the first columns of them: rows lie as far apart as before."""
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        if tensor.rank != 2 or len(parts) > 2 or not all(isinstance(p, ast.Slice) and p.step is None for p in parts):
            return None
        if len(parts) == 1:
            return tensor
        columns = parts[1]
        assert isinstance(columns, ast.Slice)
        if columns.lower is not None:
            return None
        upper = self.values(columns.upper, frame) if columns.upper is not None else (tensor.columns,)
        seen = upper[0] if len(upper) == 1 and isinstance(upper[0], Number) else None
        return Tensor(seen, tensor.stride, 2) if seen is not None else None

    # Callers

    def _uses_of(self, target: Target) -> tuple[list[Site], list[Escape]]:
        assert target.node is not None
        if target.node not in self._uses:
            self._uses[target.node] = [], []
            uses = Uses(self._package, target)
            self._uses[target.node] = uses.sites, uses.escapes
        return self._uses[target.node]

    def sites(self, source: Source, function: FunctionNode) -> tuple[list[Site], list[Escape]]:
        """Every call of a function, and mentions of it that are none."""
        around = source.up.get(function)
        if function.name != "__init__" or not isinstance(around, ast.ClassDef):
            return self._uses_of(Target(function.name, source, function))
        relatives = self.relatives(source, around)
        sites, escapes = self._uses_of(Target(around.name, source, around))
        sites, escapes = [*sites], [*escapes]
        for where, heir in relatives:
            if heir is around or not any(self._descends(where, heir, around)):
                continue
            own = [b.node for b in where.bound(heir).get("__init__", [])]
            if not own:
                more = self._uses_of(Target(heir.name, where, heir))
                sites, escapes = [*sites, *more[0]], [*escapes, *more[1]]
            for method in own:
                for node in ast.walk(method):
                    if isinstance(node, ast.Call) and text_of(node.func).endswith(".__init__"):
                        sites.append(Site(where, node, through_class=not text_of(node.func).startswith("super(")))
        for node in ast.walk(around):
            if isinstance(node, ast.Call) and text_of(node.func) in ("cls", "type(self)", "self.__class__"):
                sites.append(Site(source, node))
        return [s for s in sites if s.source is not NOWHERE], escapes

    def _descends(self, source: Source, heir: ast.ClassDef, around: ast.ClassDef) -> Iterator[bool]:
        for base in heir.bases:
            more = self._class(base, Frame(source, None))
            if more is not None:
                yield more[1] is around or any(self._descends(*more, around))

    def _bound(self, site: Site, source: Source, function: FunctionNode) -> dict[str, ast.expr | None] | None:
        """Arguments of a call by parameter, defaults too; None for what is not said. No dict: the call is another's."""
        spec = function.args
        names = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        decorators = {text_of(d) for d in function.decorator_list}
        if isinstance(source.up.get(function), ast.ClassDef) and "staticmethod" not in decorators:
            unbound = site.through_class and "classmethod" not in decorators and function.name != "__init__"
            unbound |= site.through_class and text_of(site.call.func).endswith(".__init__")
            names = names[0 if unbound else 1 :]
        given: dict[str, ast.expr | None] = {}
        positional = [*site.before, *site.call.args]
        keywords = {k.arg: k.value for k in (*site.keywords, *site.call.keywords)}
        wild = any(isinstance(a, ast.Starred) for a in positional) or None in keywords
        known = [*names, *(a.arg for a in spec.kwonlyargs)]
        if not wild and not spec.vararg and len(positional) > len(names):
            return None
        if not spec.kwarg and any(k is not None and k not in known for k in keywords):
            return None
        for name, value in zip(names, positional, strict=False):
            if isinstance(value, ast.Starred):
                break
            given[name] = value
        given.update({k: v for k, v in keywords.items() if k is not None})
        defaults: list[ast.expr | None] = [None] * (len(spec.posonlyargs) + len(spec.args) - len(spec.defaults))
        stated = dict(zip((a.arg for a in (*spec.posonlyargs, *spec.args)), [*defaults, *spec.defaults], strict=True))
        stated.update(zip((a.arg for a in spec.kwonlyargs), spec.kw_defaults, strict=True))
        for name in known:
            if name not in given:
                given[name] = None if wild else stated.get(name)
        return {name: given[name] for name in known}

    def expand(
        self,
        state: tuple[Value, ...],
        source: Source,
        line: int,
        depth: int = 0,
        done: Callable[[tuple[Value, ...]], bool] = lambda _: False,
    ) -> list[Way]:
        """Values with what callers give in place of parameters, one way for each; no further than needed."""
        wanted = sorted({a for v in state for a in _atoms(v) if a.kind == "parameter"}, key=lambda a: repr(a.key))
        if not wanted or depth > _DEEPEST or done(state):
            return [Way(state, source, line)]
        key = wanted[0].key
        assert isinstance(key, tuple)
        where, function = self._functions[key[:3]]
        own = [a for a in wanted if isinstance(a.key, tuple) and a.key[:3] == key[:3]]
        sites, escapes = self.sites(where, function)
        found: list[Way] = []
        why = [f"{function.name} {e.reason} ({e.source.relative}:{getattr(e.node, 'lineno', 0)})" for e in escapes]
        if not clear_decorators(function):
            why.append(f"{function.name} is decorated")
        for site in sites:
            given = self._bound(site, where, function)
            if given is None:
                continue
            frame = Frame(site.source, site.source.function(site.call))
            choices = []
            for atom in own:
                name = str(atom.key[3])  # type: ignore[index]
                value = given.get(name)
                stated = value is not None and value in site.source.up
                inner = (
                    frame
                    if stated and (site.source is not where or not _is_default(function, value))
                    else Frame(where, None)
                )
                unsaid = self.other(site.call, frame, f"{name}, which this call does not state plainly")
                choices.append(self.values(value, inner) if value is not None else (unsaid,))
            for combination in itertools.islice(itertools.product(*choices), _MOST):
                bound = dict(zip(own, combination, strict=True))
                after = tuple(_replaced(v, bound, self.other(site.call, frame)) for v in state)
                found += self.expand(after, site.source, site.call.lineno, depth + 1, done)
            if len(list(itertools.islice(itertools.product(*choices), _MOST + 1))) > _MOST:
                why.append(f"{function.name} is called in too many ways")
        if not found and not why:
            why.append(f"no call of {function.name} is found")
        for reason in dict.fromkeys(why[:3]):
            lost = {a: self.other(function, Frame(where, None), f"{a.text}: {reason}") for a in own}
            after = tuple(_replaced(v, lost, self.other(function, Frame(where, None), reason)) for v in state)
            found += self.expand(after, where, function.lineno, depth + 1, done)
        return found


def _is_default(function: FunctionNode, node: ast.expr | None) -> bool:
    return node in (*function.args.defaults, *function.args.kw_defaults)


def _cdiv(a: Number, b: Number) -> Number:
    return made("floor", (plus(plus(a, b), constant(1), -1), b))


def _atoms(value: Value) -> frozenset[Atom]:
    if isinstance(value, Number):
        return value.atoms
    if isinstance(value, Tensor):
        return value.columns.atoms | value.stride.atoms
    if isinstance(value, Items):
        return frozenset().union(*(_atoms(v) for item in value.items for v in item))
    return frozenset()


def _whole(number: Number) -> bool:
    """Whether it is no fraction, whatever is read as the program runs."""
    return all(a.kind != "other" or ".shape[" in a.text or number == of(a) for a in number.atoms)


def _closed(value: Value) -> bool:
    return all(a.kind not in ("parameter", "other") for a in _atoms(value))


def _has_parameter(value: Value, of_function: tuple[object, ...] = ()) -> bool:
    found = (a for a in _atoms(value) if a.kind == "parameter" and isinstance(a.key, tuple))
    return any(a.key[: len(of_function)] == of_function for a in found)  # type: ignore[index]


def _replaced(value: Value, bound: Mapping[Atom, Value], unknown: Number) -> Value:
    numbers = {a: v if isinstance(v, Number) else unknown for a, v in bound.items()}
    if isinstance(value, Number):
        atom = value.atom
        return bound[atom] if atom is not None and atom in bound else value.replaced(numbers)
    if isinstance(value, Tensor):
        return Tensor(value.columns.replaced(numbers), value.stride.replaced(numbers), value.rank)
    return value


def _start(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _end(node: ast.AST) -> tuple[int, int]:
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _reaching(source: Source, scope: ast.AST, bindings: list[Binding], use: ast.AST) -> list[Binding] | None:
    """Bindings that a use may see, the last one first; None where a loop brings others round."""
    found: list[Binding] = []
    stopped: ast.AST | None = None
    for binding in reversed(bindings):
        if (_end(binding.node) if binding.value is not None else _start(binding.node)) > _start(use):
            continue
        found.append(binding)
        if _dominates(source, binding.node, use):
            stopped = binding.node
            break
    for loop in (n for n in source.above(use) if isinstance(n, LOOPS)):
        if source.within(loop, _SCOPED) is not scope and loop is not scope:
            continue
        inside = [b for b in bindings if b.node is loop or loop in source.above(b.node)]
        if inside and (stopped is None or (stopped is not loop and loop not in source.above(stopped))):
            return None
    return found


def _dominates(source: Source, node: ast.AST, use: ast.AST) -> bool:
    """Whether a statement has always been run, and last, when a use below it in the same block is reached."""
    while not isinstance(node, ast.stmt):
        node = source.up[node]
    block = source.up.get(node)
    for part in ("body", "orelse", "finalbody"):
        statements = getattr(block, part, None)
        if isinstance(statements, list) and node in statements:
            later = statements[statements.index(node) + 1 :]
            return any(above in later for above in (use, *source.above(use)))
    return False


def _asserted(source: Source, scope: ast.AST, reaching: list[Binding], use: ast.Name) -> int | None:
    """What ``assert name == 64`` says, where the name keeps its meaning from there on."""
    for node in ast.walk(scope):
        test = node.test if isinstance(node, ast.Assert) else None
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == use.id:
            right = test.comparators[0]
            plain = len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq) and isinstance(right, ast.Constant)
            after = all(_end(b.node) < _start(node) for b in reaching)
            if plain and after and isinstance(right.value, int) and _dominates(source, node, use):  # type: ignore[attr-defined]
                return int(right.value)  # type: ignore[attr-defined]
    return None


def _leaves_alone(source: Source, node: ast.AST) -> bool:
    """Whether a mention of a tensor leaves its shape and strides as they are."""
    above = source.up[node]
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return True
    if isinstance(above, ast.Attribute):
        return above.attr in _LEAVES_ALONE
    if isinstance(above, ast.Subscript):
        return above.value is node
    if isinstance(above, ast.Call):
        return called(above).rpartition(".")[2] in ENTRIES or called(above) == "len"
    return isinstance(above, (ast.Return, ast.Compare, ast.Expr))


def _is_record(node: ast.ClassDef) -> bool:
    names = {text_of(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
    return bool(names & _RUNTIME_TYPES) or any(text_of(b) in ("NamedTuple", "typing.NamedTuple") for b in node.bases)
