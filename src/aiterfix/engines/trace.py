"""What an expression can be: through locals, helpers, callers and what is stored under a name, or not known."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aiterfix.engines.names import Names, Store
from aiterfix.engines.package import (
    FUNCTIONS,
    LOOPS,
    SCOPED,
    SCOPES,
    Binding,
    FunctionNode,
    Package,
    Source,
    parameters,
    text_of,
)
from aiterfix.engines.uses import (
    OWN_DECORATORS,
    Bound,
    Escape,
    Site,
    Target,
    Uses,
    called,
    changed,
    clear_decorators,
    last,
    plain,
)
from aiterfix.engines.values import (
    ANY,
    LENGTH,
    ZERO,
    Atom,
    Items,
    Nothing,
    Number,
    Tensor,
    Thing,
    Value,
    constant,
    made,
    of,
    plus,
    role,
    times,
)
from aiterfix.family.kernels import ENTRIES

_MOST = 16  # values of one expression
MOST_EFFORT = 30
"""Names and callers that are looked into for one call; what would take more is not known."""
_MOST_CONDITIONS = 8
_MOST_DOUBTS = 3  # of configurations; one is enough to call nothing safe
_DEEPEST = 10  # from the kernel's caller to the configuration; vLLM 0.33.0 needs 5
_OPERATOR = "max_model_len"
_CONFIG = re.compile(r"(?:^|[._])(?:config|server_args)(?:\(\))?$")
_THE_CONFIG = re.compile(
    r"(?:^|\.)_?(?:(?:get|current|global|vllm|atom|engine|model|cached)_)*(?:config|server_args)(?:\(\))?$"
)
"""Of those, what states the operator's length: a configuration of a name of its own may hold another one."""
_OTHER_MODELS = re.compile("draft|spec|hf_|text_|vision|encoder|replace|copy")
"""In what a configuration is taken from: it may be that of another model, or changed."""
_BASES = re.compile(
    r"object|(?:torch\.)?(?:nn\.)?Module|(?:abc\.)?ABC|(?:typing\.)?(?:NamedTuple|Protocol|Generic)(?:\[.*)?"
)
"""Of other packages, classes that give no object an attribute that an engine would ask for."""
_RECORD = re.compile(r"(?:dataclasses\.)?dataclass|(?:typing\.)?NamedTuple|(?:pydantic\.)?BaseModel|config")
_SHIFTS = re.compile(r"ClassVar|InitVar|KW_ONLY|init=|kw_only=|default_factory=").search
_REPLACED = re.compile(rb"\btorch\.(?:empty|zeros|ones|full)\s*=(?!=)")
_ALLOCATES = re.compile("(?:new_)?(?:empty|zeros|ones|full)").fullmatch
_KEYWORDS = re.compile("dtype|device|pin_memory|requires_grad|fill_value|size").fullmatch
_LEAVES_ALONE = re.compile(
    "shape|stride|size|dim|fill_|zero_|dtype|device|numel|ndim|is_cuda|element_size|data_ptr|is_contiguous"
).fullmatch


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


@dataclass(frozen=True)
class _Kept:
    """What is stored under a name.

    Attributes:
        values: that it may be, and where each is stored.
        late: stores that an object meets after it is made.
        complete: whether it is everything.
        owners: classes in which it is stored.
    """

    values: tuple[tuple[Value, Store], ...]
    late: tuple[Store, ...]
    complete: bool
    owners: frozenset[ast.ClassDef | None] = frozenset()


class Tracer:
    """Evaluates expressions of one package."""

    def __init__(self, package: Package) -> None:
        self._package, self._names = package, Names(package)
        self._functions: dict[tuple[object, ...], tuple[Source, FunctionNode]] = {}
        self._uses: dict[ast.AST, Uses | None] = {}
        self._busy: set[object] = set()
        self._fields: dict[str, _Kept] = {}
        self._rest = 0
        self._several: dict[Atom, tuple[Value, ...]] = {}
        self._changed: dict[Source, bool] = {}
        self._doubts: dict[str, None] = {}
        self.effort = MOST_EFFORT
        self.conditions: dict[str, None] = {}
        """What would make values others than they were found to be; the caller empties it."""

    # Expressions

    def values(self, node: ast.expr | None, frame: Frame) -> tuple[Value, ...]:
        """Everything that an expression can be."""
        if node is None:
            return (Nothing(),)
        before, unknown = dict(self.conditions), self.other(node, frame)
        try:
            found = tuple(dict.fromkeys(self._values(node, frame)))
        except RecursionError:
            found = ()
        if found in ((), (unknown,)):
            self.conditions = before  # what is known by its place alone hangs on nothing
        if 0 < len(found) <= _MOST:
            return found
        # What the length decides is kept; "other" stands for all the rest.
        decided = [v for v in found if isinstance(v, Number) and v.at(1 << 20, ANY) is not None]
        return (*decided[: _MOST - 1], unknown)

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
            return self._call(node, frame) if plain(node) else (self.other(node, frame),)
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
            above = frame.source.up[node]
            if isinstance(node, ast.List) and not (isinstance(above, ast.Call) and _ALLOCATES(last(above))):
                return (self.other(node, frame),)  # may be changed in place
            return (Items(tuple(self.values(e, frame) for e in node.elts)),)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.comparators[0], ast.Constant):
            test = type(node.ops[0]), node.comparators[0].value
            many = test in ((ast.Gt, 1), (ast.NotEq, 1), (ast.GtE, 2))
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
            if isinstance(node.op, (ast.FloorDiv, ast.Mod)) and b.constant != 0:
                floor = made("floor", (a, b))
                return floor if isinstance(node.op, ast.FloorDiv) else plus(a, times(b, floor), -1)
            if isinstance(node.op, ast.LShift) and b.constant is not None and 0 <= b.constant < 32:
                return times(a, constant(1 << b.constant))
        return self.other(node, frame)

    def _changes(self, source: Source) -> bool:
        """Whether names of a module may be given another meaning by names that are worked out."""
        if source not in self._changed:
            self._changed[source] = any(changed(self._package, source))
        return self._changed[source]

    # Names

    def _name(self, node: ast.Name, frame: Frame) -> Iterable[Value]:
        source, name, captured, below = frame.source, node.id, False, False
        for scope in source.above(node):
            if isinstance(scope, ast.ClassDef) and not below and source.bound(scope, name):
                return (self.other(node, frame),)
            below |= isinstance(scope, FUNCTIONS) and scope.args not in source.above(node)
            if isinstance(scope, (ast.Lambda, *SCOPES[3:])):
                bound = {n.id for n in ast.walk(scope) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
                if isinstance(scope, ast.Lambda):
                    bound = {a.arg for a in ast.walk(scope.args) if isinstance(a, ast.arg)}
                if name in bound:
                    return (self.other(node, frame),)
                captured |= isinstance(scope, (ast.Lambda, ast.GeneratorExp))
            elif isinstance(scope, FUNCTIONS) and (scope is frame.function or scope.args not in source.above(node)):
                bindings = source.bound(scope, name)
                if name in parameters(scope) or bindings:
                    return self._local(node, frame, scope, bindings, captured)
                captured = True
        return self._global(node, frame, source, name)

    def _local(
        self, node: ast.Name, frame: Frame, scope: FunctionNode, bindings: list[Binding], captured: bool
    ) -> Iterable[Value]:
        source, unknown, given = frame.source, self.other(node, frame), node.id in parameters(scope)
        lent = any(scope in source.above(n) for n in source.seen(f"nonlocal {node.id}"))
        if lent or (captured and len(bindings) + given != 1):
            return (unknown,)
        reaching = [*bindings] if captured else _reaching(source, scope, bindings, node)
        if reaching is None or (captured and bindings and source.within(bindings[0].node, LOOPS)):
            return (unknown,)
        asserted = self._asserted(scope, reaching, node, frame)
        if asserted is not None:
            return (asserted,)
        found: list[Value] = []
        for binding in reaching:
            values: Sequence[Value] = (unknown,)
            if isinstance(binding.node, (ast.Import, ast.ImportFrom)):
                values = self._imported(source.imported(node.id, binding.node), unknown)
            elif binding.value is not None:
                values = self.values(binding.value, frame)
            if binding.item is None:
                found += values
            else:
                for value in values:
                    inside = isinstance(value, Items) and binding.item < len(value.items)
                    found += value.items[binding.item] if inside and isinstance(value, Items) else (unknown,)
        if given and not (reaching and _dominates(source, reaching[-1].node, node)):
            found += self._parameter(node, frame, scope)
        if any(isinstance(v, Tensor) for v in found):
            names = [n for n in source.seen(node.id) if isinstance(n, ast.Name) and scope in source.above(n)]
            loop = source.within(node, LOOPS)
            # What was done to another tensor of the name, before this one was made, does not matter.
            fresh = [b for b in reaching if isinstance(b.value, ast.Call) and _ALLOCATES(last(b.value))]
            first = min(_start(b.node) for b in fresh) if fresh and len(fresh) == len(reaching) else (0, 0)
            names = [n for n in names if loop or _start(n) >= first]
            if not all(n is node or _leaves_alone(source, n) for n in names if loop or _start(n) < _start(node)):
                return (self.other(node, frame, f"{node.id}, which is used before in ways that are not followed"),)
        return found

    def _parameter(self, node: ast.Name, frame: Frame, scope: FunctionNode) -> tuple[Value, ...]:
        source = frame.source
        owner, decorators = source.class_around(scope), {last(d) for d in scope.decorator_list}
        if owner is not None and parameters(scope)[:1] == [node.id] and "staticmethod" not in decorators:
            lent = re.compile(rb"\b_*[A-Z]\w*\.%b\b(?!\s*\(\s*(?:self|cls)\b)" % re.escape(scope.name.encode()))
            for path, line, _ in self._package.kept(f".{scope.name}", lent)[:1]:
                where = f"{self._package.shown(path)}:{line}"
                self.conditions[f"{scope.name} may be run with an object of another class: {where}"] = None
            return (Thing("class" if "classmethod" in decorators else "object", "", source, owner),)
        spec = scope.args
        for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs):
            if argument.arg == node.id and argument.annotation is not None:
                found = self._class(argument.annotation, frame)
                if found is not None:
                    key = (source.relative, scope.lineno, scope.name)
                    self._functions[key] = source, scope
                    return (Thing("object", node.id, *found, key),)
        if frame.arguments is not None and scope is frame.function:
            return frame.arguments.get(node.id, (self.other(node, frame),))
        key = (source.relative, scope.lineno, scope.name)
        self._functions[key] = source, scope
        return (of(Atom("parameter", (*key, node.id), node.id)),)

    def _global(self, node: ast.AST, frame: Frame, source: Source, name: str) -> tuple[Value, ...]:
        """A module's own name, given a value once and never again."""
        unknown, bindings = self.other(node, frame), source.bound(source.tree, name)
        rebound = source.rebinds(name)
        if len(bindings) != 1 or rebound or source.within(bindings[0].node, LOOPS) or bindings[0].item is not None:
            return (unknown,)
        if any(isinstance(n, ast.alias) and _start(n) > _start(bindings[0].node) for n in source.seen("*")):
            return (unknown,)  # `from ... import *` may give it another meaning
        one = bindings[0].node
        if isinstance(one, (ast.Import, ast.ImportFrom)):
            return self._imported(source.imported(name, one), unknown)
        return self._defined(source, one, unknown, bindings[0].value, name)

    def _imported(self, dotted: str, unknown: Number) -> tuple[Value, ...]:
        found = self._package.find(dotted)
        if found is None:
            own = dotted.partition(".")[0] == self._package.name
            return (unknown,) if own else (Thing("elsewhere", dotted),)
        source, node = found
        return self._defined(source, node, unknown, getattr(node, "value", None), dotted.rpartition(".")[2])

    def _defined(
        self, source: Source, node: ast.AST, unknown: Number, value: ast.expr | None, name: str
    ) -> tuple[Value, ...]:
        if isinstance(node, ast.Module):
            return (Thing("module", "", source, node),)
        if isinstance(node, ast.ClassDef):
            return (Thing("class", "", source, node),)
        if isinstance(node, FUNCTIONS):
            return (Thing("function", "", source, node),)
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        if value is None or not isinstance(target, ast.Name) or self._names.sets_modules(name):
            return (unknown,)
        if self._changes(source):
            return (unknown,)
        if source.rebinds(target.id):
            return (unknown,)
        return self.values(value, Frame(source, None, None, ("global", source.relative)))

    def _asserted(self, scope: FunctionNode, reaching: list[Binding], use: ast.Name, frame: Frame) -> Value | None:
        """What ``assert name == 64`` or ``assert isinstance(name, Class)`` says, where the name keeps its meaning."""
        source = frame.source
        for named in source.seen(use.id):
            test = source.up[named]
            node = source.up.get(test)
            if not (isinstance(named, ast.Name) and isinstance(node, ast.Assert) and scope in source.above(node)):
                continue
            if not all(_end(b.node) < _start(node) for b in reaching) or not _dominates(source, node, use):
                continue
            if isinstance(test, ast.Call) and last(test) == "isinstance" and test.args[:1] == [named]:
                found = self._class(test.args[1], frame)
                if found is not None:
                    return Thing("object", "", *found)
            elif isinstance(test, ast.Compare) and test.left is named and [type(o) for o in test.ops] == [ast.Eq]:
                right = test.comparators[0]
                if isinstance(right, ast.Constant) and isinstance(right.value, int):
                    return constant(right.value)
        return None

    # Attributes

    def _attribute(self, node: ast.Attribute, frame: Frame) -> Iterable[Value]:
        unknown = self.other(node, frame)
        if node.attr == _OPERATOR and (doubts := self._config(node.value, frame)) is not None:
            self._doubts.update(dict.fromkeys(doubts))
            lengths = (LENGTH, *self._lengths())
            self.conditions.update(dict.fromkeys(doubts[:_MOST_DOUBTS]))
            return lengths
        if not isinstance(node.value, (ast.Name, ast.Attribute, ast.Call)) or _CONFIG.search(text_of(node.value)):
            return (unknown,)  # what a configuration holds is for the operator to say
        found: list[Value] = []
        for base in self.values(node.value, frame):
            if isinstance(base, Thing) and base.kind == "elsewhere":
                found.append(Thing("elsewhere", f"{base.name}.{node.attr}"))
            elif isinstance(base, Thing) and base.kind == "module" and base.source is not None:
                found += self._global(node, frame, base.source, node.attr)
            elif isinstance(base, Thing) and base.kind in ("object", "class"):
                found += self._field(base, node, frame)
            else:
                found.append(unknown)
        return found

    def _lengths(self) -> Iterator[Value]:
        """What else than the operator's length is stored by its name; what is not understood is a condition."""
        kept, said = self._kept(_OPERATOR), _MOST_CONDITIONS
        if self._rest:
            yield LENGTH
        for value, store in kept.values:
            if isinstance(value, Number) and LENGTH.atom in value.atoms and value.at(1 << 20, ANY) is not None:
                yield value
            elif not isinstance(value, Nothing) and (said := said - 1) >= 0:
                self.conditions[f"{_OPERATOR} may be given another value: {store.text}"] = None
        if self._rest:
            self.conditions[f"{_OPERATOR} is stored in {self._rest} more files, which are too many to follow"] = None
        self._hooked()

    def _hooked(self) -> None:
        hooks = self._names.hooks
        more = f" and {len(hooks) - 1} more" if len(hooks) > 1 else ""
        self.conditions.update({hooks[0] + more: None} if hooks else {})

    def _kept(self, name: str) -> _Kept:
        """Everything that is stored under a name; not complete where that is too much, or is being asked already."""
        if name not in self._fields:
            if name in self._busy or (self.effort <= 0 and name != _OPERATOR):
                return _Kept((), (), False)
            self.effort -= 1
            stores = self._names.stores(name) if name != _OPERATOR else None
            if name == _OPERATOR:
                stores, self._rest = self._names.lengths(name, _MOST)
            self._busy.add(name)
            before, self.conditions = self.conditions, {}
            values = [(v, s) for s in stores or () for v in dict.fromkeys(self._stored(s, name))]
            self.conditions = before | self.conditions
            self._busy.discard(name)
            late = [s for s in stores or () if s.kind == "set" and getattr(s.function, "name", "") != "__init__"]
            owners = frozenset(s.owner for s in stores or ())
            self._fields[name] = _Kept(tuple(values), tuple(late), stores is not None, owners)
        return self._fields[name]

    def _stored(self, store: Store, name: str) -> Iterator[Value]:
        source, value, function = store.source, store.value, store.function
        frame = Frame(source, function, None, ("kept", name, store.node))
        unknown = self.other(store.node, frame, store.text)
        if store.kind == "method":
            yield Thing("method", "", source, store.node)
            return
        found: list[Value] = []
        if store.kind == "property":
            assert isinstance(store.node, FUNCTIONS)
            found += self._returned(source, store.node, {}, frame.key, unknown)
        elif store.kind == "field":
            found += self._filled(store, name, unknown)
        if isinstance(value, ast.Call) and store.kind == "field":
            value = next((k.value for k in value.keywords if k.arg == "default"), None)
        if value is not None:
            if self._copied(value, name, frame):
                return
            found += self.values(value, frame)
        elif store.kind in ("set", "class"):
            found.append(unknown)
        for one in found:
            for way in self.expand((one,), source, getattr(store.node, "lineno", 0)):
                yield unknown if _has_parameter(way.state[0]) else way.state[0]

    def _copied(self, value: ast.expr, name: str, frame: Frame) -> bool:
        """Whether it is an attribute of the same name of the package's objects: what is stored there counts anyway."""
        bases = self.values(value.value, frame) if isinstance(value, ast.Attribute) and value.attr == name else ()
        return bool(bases) and all(isinstance(b, Thing) and b.kind in ("object", "class") for b in bases)

    def _field(self, base: Thing, node: ast.Attribute, frame: Frame) -> tuple[Value, ...]:
        """What an attribute of an object of the package is: anything that is stored by its name."""
        name = node.attr
        function = frame.function.lineno if frame.function is not None else 0
        place = ("field", name, text_of(node.value), frame.source.relative, function, frame.key)
        unknown = of(Atom("other", place, text_of(node)))
        kept, family = self._kept(name), self._family(base)
        if not kept.complete:
            if role(unknown) is not None and name not in self._busy:
                self.conditions[f"{name} is stored in too many places to follow"] = None
            return (unknown,)
        others: list[Store] = []
        if name == _OPERATOR and (self._rest or any(LENGTH.atom in atoms_of(v) for v, _ in kept.values)):
            if not kept.owners & family:
                self.conditions[f"{text_of(node)} may be another's ({frame.source.relative}:{node.lineno})"] = None
            values = list(dict.fromkeys(self._lengths()))
        elif role(unknown) is not None:
            values = [unknown]
            others = [s for v, s in kept.values if not (isinstance(v, Number) and role(v) == role(unknown))]
        else:
            # What its own class stores is what it is; what is stored elsewhere by that name may replace it.
            told = [(v if getattr(v, "text", "") != s.text else unknown, s) for v, s in kept.values]
            own = [v for v, s in told if s.owner in family]
            rest = [*(v for v, _ in told), *([] if kept.owners & family else [unknown])]
            values = list(dict.fromkeys(own or rest))
            others = [s for v, s in told if v not in values]
        if role(unknown) is None and values in ([], [unknown]):
            return (unknown,)
        numbers = all(isinstance(v, Number) for v in values)
        if len(values) > 1 and numbers:
            # Of many, only what the operator's length decides is worth telling apart.
            decided = all(not atoms_of(v) for v in values) or any(LENGTH.atom in atoms_of(v) for v in values)
            if len(values) > 8 or not decided:
                return (unknown,)
        self._hooked()
        self._claimed(base)
        alone = len(values) == 1 and (_absolute(values[0]) or values[0] == unknown)
        there = [v for v in values if not isinstance(v, Nothing)]
        if not (all(isinstance(v, Thing) for v in values) or (len(there) == 1 and _absolute(there[0]))):
            others += [s for s in kept.late if s not in others]
        for store in others[:_MOST_CONDITIONS]:
            self.conditions[f"{name} may be given another value: {store.text}"] = None
        if any(isinstance(v, Tensor) for v in values):
            return self._held(node, frame, values, kept)
        if alone or not numbers:
            return tuple(values)
        atom = Atom("field", place, text_of(node))
        self._several[atom] = tuple(values)
        return (of(atom),)

    def _claimed(self, base: Thing) -> None:
        """Of a parameter with a class as its type: whether every caller gives an object of the package."""
        if not base.given or (base.given, base.name) in self._busy:
            return
        self._busy.add((base.given, base.name))
        source, scope = self._functions[base.given]
        sites, escapes = self._sites(source, scope)
        others = [f"{scope.name} {e.reason} ({e.source.relative})" for e in escapes[:1]]
        for site in sites:
            for given in self._bindings(site, source, scope):
                value = given.get(base.name)
                found = self.values(value, _frame_of(site)) if value is not None else ()
                if not found or not all(isinstance(v, Thing) and v.kind == "object" for v in found):
                    others.append(f"{base.name} is not stated plainly ({site.source.relative}:{site.call.lineno})")
        self._busy.discard((base.given, base.name))
        for text in others[:1]:
            self.conditions[f"{base.name} may be another object: {text}"] = None

    def _held(self, node: ast.Attribute, frame: Frame, values: list[Value], kept: _Kept) -> tuple[Value, ...]:
        """A tensor that an object holds, where nothing is done to it but to look at it."""
        sources = {s.source for _, s in kept.values}
        mentions = [
            (s, n) for s in sources for n in s.mentions(node.attr) if isinstance(n, ast.Attribute) and n is not node
        ]
        if len(self._package.paths(node.attr)) > len(sources) or not all(_leaves_alone(s, n) for s, n in mentions):
            return (self.other(node, frame, f"{text_of(node)}, which is used in ways that are not followed"),)
        return tuple(v if _absolute(v) or isinstance(v, Nothing) else self.other(node, frame) for v in values)

    def _family(self, base: Thing) -> set[ast.ClassDef | None]:
        """A class and what it derives from; nothing where that is of another package, which may set any attribute."""
        pending = [(base.source, base.node)]
        for source, node in pending:
            if not isinstance(node, ast.ClassDef) or source is None or node.keywords or len(pending) > 16:
                return set()
            for one in node.decorator_list:
                found_so = self.values(one.func if isinstance(one, ast.Call) else one, Frame(source, None))
                if not _RECORD.fullmatch(called(one)) and any(
                    isinstance(v, Thing) and v.kind == "elsewhere" for v in found_so
                ):
                    return set()
            for one in node.bases:
                inner = one.value if isinstance(one, ast.Subscript) else one
                found = self._class(inner, Frame(source, None))
                if found is not None:
                    pending.append(found)
                elif not _BASES.fullmatch(text_of(one)):
                    return set()
        return {node for _, node in pending if isinstance(node, ast.ClassDef)}

    def _class(self, node: ast.expr, frame: Frame) -> tuple[Source, ast.ClassDef] | None:
        """The class of the package that an expression names."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found = self._global(node, frame, frame.source, node.value)
        elif isinstance(node, (ast.Name, ast.Attribute)):
            found = self.values(node, Frame(frame.source, None))
        else:
            return None
        thing = found[0] if len(found) == 1 else None
        if isinstance(thing, Thing) and thing.kind == "class" and isinstance(thing.node, ast.ClassDef):
            assert thing.source is not None
            return thing.source, thing.node
        return None

    def _filled(self, store: Store, name: str, unknown: Number) -> Iterator[Value]:
        """What whoever makes a record puts into a field of it."""
        source, owner = store.source, store.owner
        assert owner is not None
        said = [text_of(d.func if isinstance(d, ast.Call) else d) for d in owner.decorator_list]
        if not any(_RECORD.fullmatch(text) for text in (*said, *(text_of(b) for b in owner.bases))):
            return
        sites, escapes = self._makers(source, owner)
        if escapes and not sites:
            yield unknown
            return
        derived = any(self._class(b, Frame(source, None)) is not None for b in owner.bases)
        derived |= bool(self._uses_of(source, owner)[2])
        # Fields that nobody fills, or only by name, shift the others.
        derived |= any(isinstance(n, ast.AnnAssign) and _SHIFTS(text_of(n)) for n in owner.body)
        fields = [n.target.id for n in owner.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
        if escapes or derived or not sites or source.bound(owner, "__init__") or source.bound(owner, "__new__"):
            yield unknown
        for site in sites:
            given = dict(zip(fields, site.call.args, strict=False)) | {k.arg: k.value for k in site.call.keywords}
            known = plain(site.call) and site.bound == Bound()
            if known and (len(site.call.args) > len(fields) or not given.keys() <= set(fields)):
                continue  # another class's
            if name in given and known and self._copied(given[name], name, _frame_of(site)):
                continue
            if name in given and known:
                yield from self._expanded(given[name], site, unknown)
            elif not known or store.value is None:
                yield unknown

    def _expanded(self, node: ast.expr, site: Site, unknown: Number) -> Iterator[Value]:
        for value in self.values(node, _frame_of(site)):
            for way in self.expand((value,), site.source, site.call.lineno):
                yield unknown if _has_parameter(way.state[0]) else way.state[0]

    # Configurations

    def _config(self, node: ast.expr, frame: Frame, depth: int = 0) -> list[str] | None:
        """Whether an expression is the configuration that states the operator's length: None where it is not, else what
        must hold for it to be."""
        text = text_of(node)
        where = f"({frame.source.relative}:{getattr(node, 'lineno', 0)})"
        if _OTHER_MODELS.search(text):
            return None
        if len(self._doubts) >= _MOST_DOUBTS and _THE_CONFIG.search(text):
            return list(self._doubts)
        if depth > 6 or self.effort <= 0:
            return [f"whose configuration {text} is was not followed {where}"]
        if isinstance(node, ast.Call):
            if not _THE_CONFIG.search(text) or node.args or node.keywords:
                return None
            scope = next((n for n in frame.source.above(node) if isinstance(n, FUNCTIONS)), frame.source.tree)
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            bindings = [b for n in (scope, frame.source.tree) for b in frame.source.bound(n, name)]
            given = isinstance(scope, FUNCTIONS) and name in parameters(scope)
            imported = not given and all(isinstance(b.node, (ast.Import, ast.ImportFrom)) for b in bindings)
            found = self.values(node.func, frame)
            made_here = not imported or any(isinstance(v, Thing) and v.kind != "elsewhere" for v in found)
            return [f"whose configuration {text} gives was not followed {where}"] if made_here else []
        if isinstance(node, ast.Attribute):
            return self._kept_config(node, frame, depth, where) if _THE_CONFIG.search(text) else None
        if isinstance(node, ast.Name):
            return self._named_config(node, frame, depth, where)
        return None

    def _all_configs(self, found: Iterable[tuple[ast.expr | None, Frame]], depth: int) -> list[str] | None:
        doubts: list[str] = []
        for node, frame in found:
            one = self._config(node, frame, depth + 1) if node is not None else None
            if one is None:
                return None
            doubts += one
            if doubts:
                break
        return doubts

    def _named_config(self, node: ast.Name, frame: Frame, depth: int, where: str) -> list[str] | None:
        source, name = frame.source, node.id
        scope = next(
            (
                s
                for s in source.above(node)
                if isinstance(s, FUNCTIONS) and (source.bound(s, name) or name in parameters(s))
            ),
            None,
        )
        if not isinstance(scope, FUNCTIONS):
            return [f"whose configuration {name} is was not followed {where}"] if _THE_CONFIG.search(name) else None
        key = ("config", scope, name)
        if key in self._busy:
            return []
        self._busy.add(key)
        inner = Frame(source, scope)
        doubts = self._all_configs(
            [(b.value if b.item is None else None, inner) for b in source.bound(scope, name)], depth
        )
        if doubts is not None and name in parameters(scope):
            more = self._given_config(source, scope, name, depth)
            doubts = doubts + more if more is not None else None
        self._busy.discard(key)
        return doubts

    def _given_config(self, source: Source, scope: FunctionNode, name: str, depth: int) -> list[str] | None:
        if not _THE_CONFIG.search(name):
            return None
        sites, escapes = self._sites(source, scope)
        doubts = [f"{name}: {scope.name} {e.reason} ({e.source.relative})" for e in escapes[:1]]
        stated = (*scope.args.defaults, *scope.args.kw_defaults)
        if not sites and any(d is not None and not isinstance(d, ast.Constant) for d in stated):
            doubts.append(f"{scope.name} may be called without its {name}")
        for site in sites:
            for given in self._bindings(site, source, scope):
                value = given.get(name)
                if value is None:
                    doubts.append(f"{name} is not stated plainly ({site.source.relative}:{site.call.lineno})")
                    continue
                own = value in stated
                frame = Frame(source, None) if own else _frame_of(site)
                if own and isinstance(value, ast.Constant) and value.value is None:
                    continue
                more = self._config(value, frame, depth + 1)
                said = f"{name} may be {text_of(value)} ({site.source.relative}:{site.call.lineno})"
                doubts += [said] if more is None else more
            if doubts:
                break
        return doubts

    def _kept_config(self, node: ast.Attribute, frame: Frame, depth: int, where: str) -> list[str] | None:
        doubts: list[str] = []
        base = node.value
        if not (isinstance(base, ast.Name) and base.id in ("self", "cls")):
            doubts += (
                self._config(base, frame, depth + 1) or []
                if _CONFIG.search(text_of(base))
                else [f"whose configuration {text_of(node)} is was not followed {where}"]
            )
        key = ("config", node.attr)
        if key in self._busy:
            return doubts
        self._busy.add(key)
        self.effort -= 1
        stores = self._names.stores(node.attr)
        if stores is None or (not stores and text_of(base) in ("self", "cls")):
            doubts.append(
                f"{node.attr} is stored nowhere"
                if stores is not None
                else f"{node.attr} is stored in too many places to follow"
            )
        for store in stores or ():
            if doubts:
                break
            if store.kind == "field" and store.value is None:
                continue
            inner = Frame(store.source, store.function)
            more = self._config(store.value, inner, depth + 1) if store.value is not None else None
            doubts += [f"{node.attr} may be another's: {store.text}"] if more is None else more
        self._busy.discard(key)
        return doubts

    # Calls

    def _call(self, node: ast.Call, frame: Frame) -> Iterable[Value]:
        unknown = self.other(node, frame)
        if isinstance(node.func, ast.Name) and self._builtin(node.func, frame):
            return self._of_builtin(node, node.func.id, frame, unknown)
        if isinstance(node.func, ast.Attribute):
            made_so = self._of_tensor(node, node.func, frame)
            if made_so is not None:
                return made_so
        if not isinstance(node.func, (ast.Name, ast.Attribute)):
            return (unknown,)
        found: list[Value] = []
        for function in self.values(node.func, frame):
            if not isinstance(function, Thing):
                found.append(unknown)
            elif function.kind == "elsewhere":
                found += self._of_library(node, function.name, frame, unknown)
            elif function.kind == "class":
                found.append(Thing("object", "", function.source, function.node))
            else:
                found += self._entered(function, node, frame, unknown)
        return found

    def _builtin(self, node: ast.Name, frame: Frame) -> bool:
        source, name = frame.source, node.id
        if name not in ("int", "min", "max") or source.stars or source.bound(source.tree, name):
            return False
        around = [n for n in source.above(node) if isinstance(n, FUNCTIONS)]
        return not any(source.bound(n, name) or name in parameters(n) for n in around)

    def _of_builtin(self, node: ast.Call, name: str, frame: Frame, unknown: Number) -> Iterator[Value]:
        for combination in itertools.product(*(self.values(n, frame) for n in node.args)):
            numbers = tuple(v for v in combination if isinstance(v, Number))
            whole = len(numbers) == len(combination) and not node.keywords
            if name == "int":  # what is read as the program runs may be a fraction
                stated = whole and len(numbers) == 1 and (numbers[0].atom is not None or _settled(numbers[0]))
                yield numbers[0] if stated else unknown
            else:
                yield made(name, numbers) if whole and len(numbers) > 1 else unknown

    def _of_library(self, node: ast.Call, name: str, frame: Frame, unknown: Number) -> Iterable[Value]:
        home, _, what = name.rpartition(".")
        if any(self._package.kept("torch.", _REPLACED)):
            return (unknown,)
        if home == "torch" and not what.startswith("new_") and _ALLOCATES(what):
            return self._allocated(node, what, frame, unknown)
        if name == "triton.cdiv" and len(node.args) == 2:
            found = []
            for a, b in itertools.product(*(self.values(arg, frame) for arg in node.args)):
                both = isinstance(a, Number) and isinstance(b, Number) and b.constant != 0
                found.append(made("floor", (plus(plus(a, b), constant(1), -1), b)) if both else unknown)  # type: ignore[arg-type]
            return found
        return (unknown,)

    def _of_tensor(self, node: ast.Call, function: ast.Attribute, frame: Frame) -> Iterable[Value] | None:
        name, unknown = function.attr, self.other(node, frame)
        if name == "get_simultaneous":
            # vLLM's workspace: views of exactly the shapes asked for, one after another.
            given = node.args[0] if len(node.args) == 1 and not node.keywords else None
            if isinstance(given, ast.Tuple) and len(given.elts) == 2 and isinstance(given.elts[0], ast.Tuple):
                return [Items((tuple(self._shaped(given.elts[0].elts, unknown, frame)),))]
            return (unknown,)
        if name.startswith("new_") and _ALLOCATES(name):
            own = any(True for _ in self._package.matches(f"def {name}("))
            return (unknown,) if own else self._allocated(node, name, frame, unknown)
        if name not in ("stride", "size", "fill_", "zero_"):
            return None
        found: list[Value] = []
        for value in self.values(function.value, frame):
            if not isinstance(value, Tensor):
                return None
            axes = self.values(node.args[0], frame) if len(node.args) == 1 else ()
            axis = axes[0].constant if len(axes) == 1 and isinstance(axes[0], Number) else None
            if name in ("fill_", "zero_"):
                found.append(value)
            elif name == "size" and axis in (-1, value.rank - 1):
                found.append(value.columns)
            else:
                found.append(value.stride if name == "stride" and axis in (-2, value.rank - 2) else unknown)
        return found

    def _allocated(self, node: ast.Call, name: str, frame: Frame, unknown: Number) -> Iterable[Value]:
        """A fresh tensor, whose rows lie one after another."""
        sizes = [k.value for k in node.keywords if k.arg == "size"] or node.args[:1]
        if not sizes or not all(_KEYWORDS(k.arg or "") for k in node.keywords):
            return (unknown,)
        if len(node.args) > 1 and not name.endswith("full"):
            return self._shaped(node.args, unknown, frame)
        found: list[Value] = []
        for value in self.values(sizes[0], frame):
            if not isinstance(value, Items) or len(value.items) < 2:
                return (unknown,)
            found += [Tensor(v, v, len(value.items)) if isinstance(v, Number) else unknown for v in value.items[-1]]
        return found

    def _shaped(self, sizes: Sequence[ast.expr], unknown: Number, frame: Frame) -> list[Value]:
        if len(sizes) < 2 or any(isinstance(s, ast.Starred) for s in sizes):
            return [unknown]
        return [Tensor(v, v, len(sizes)) if isinstance(v, Number) else unknown for v in self.values(sizes[-1], frame)]

    def _entered(self, thing: Thing, node: ast.Call, frame: Frame, unknown: Number) -> Iterable[Value]:
        """A function of the package, entered; nothing where the call cannot be one of it."""
        function, source = thing.node, thing.source
        if not isinstance(function, FUNCTIONS) or source is None or self._names.sets_modules(function.name):
            return (unknown,)
        if self._changes(source):
            return (unknown,)
        key = (*frame.key, frame.source.relative, node.lineno, node.col_offset)
        if len(key) > 24:
            return (unknown,)
        found: list[Value] = []
        stated = (*node.args, *(k.value for k in node.keywords))
        for given in self._bindings(Site(frame.source, node), source, function):
            arguments: dict[str, tuple[Value, ...]] = {}
            for name, expression in given.items():
                where = frame if expression is None or expression in stated else Frame(source, None)
                arguments[name] = self.values(expression, where) if expression is not None else (unknown,)
            found += self._returned(source, function, arguments, key, unknown)
        return found

    def _returned(
        self,
        source: Source,
        function: FunctionNode,
        arguments: Mapping[str, tuple[Value, ...]],
        key: tuple[object, ...],
        unknown: Number,
    ) -> tuple[Value, ...]:
        """What a function returns, for any of its arguments' values."""
        busy = ("inside", function)
        combinations = list(itertools.islice(itertools.product(*arguments.values()), _MOST + 1))
        nodes = [n for n in ast.walk(function) if source.within(n, SCOPED) is function]
        opaque = (ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)
        if not self._clear(source, function) or isinstance(function, ast.AsyncFunctionDef) or len(combinations) > _MOST:
            return (unknown,)
        if (
            any(isinstance(n, opaque) for n in nodes)
            or busy in self._busy
            or sum(isinstance(k, tuple) and k[0] == "inside" for k in self._busy) > 6
        ):
            return (unknown,)
        self._busy.add(busy)
        values: list[Value] = []
        for combination in combinations:
            bound = {n: (v,) for n, v in zip(arguments, combination, strict=True)}
            for node in nodes:
                if isinstance(node, ast.Return):
                    values += self.values(node.value, Frame(source, function, bound, key))
        if not isinstance(function.body[-1], (ast.Return, ast.Raise)):
            values.append(Nothing())
        self._busy.discard(busy)
        return tuple(unknown if _has_parameter(v, (source.relative, function.lineno)) else v for v in values)

    def _clear(self, source: Source, function: FunctionNode) -> bool:
        """Whether decorators leave it as it is: those that are known by name, and not made by the engine itself."""
        if not clear_decorators(function):
            return False
        for one in function.decorator_list:
            inner = one.func if isinstance(one, ast.Call) else one
            for value in self.values(inner, Frame(source, None)):
                if isinstance(value, Thing) and value.kind != "elsewhere" and not OWN_DECORATORS(last(inner)):
                    return False
        return True

    def _subscript(self, node: ast.Subscript, frame: Frame) -> Iterable[Value]:
        unknown = self.other(node, frame)
        shape = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
        inner = node.value.value if shape and isinstance(node.value, ast.Attribute) else node.value
        found: list[Value] = []
        indices = self.values(node.slice, frame) if not isinstance(node.slice, (ast.Slice, ast.Tuple)) else ()
        index = indices[0].constant if len(indices) == 1 and isinstance(indices[0], Number) else None
        held = isinstance(inner, ast.Name) or (isinstance(inner, ast.Attribute) and text_of(inner.value) == "self")
        for value in self.values(inner, frame) if held or not shape else (unknown,):
            if isinstance(value, Nothing):
                continue  # what is not there cannot be indexed
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
        columns = parts[1] if len(parts) == 2 else None
        if not isinstance(columns, ast.Slice):
            return tensor
        upper = self.values(columns.upper, frame) if columns.upper is not None else (tensor.columns,)
        seen = upper[0] if len(upper) == 1 and isinstance(upper[0], Number) else None
        if seen is None or columns.lower is not None or (seen.constant or 0) < 0:
            return None
        return Tensor(seen, tensor.stride, 2)

    # Callers

    def uses(self, target: Target) -> Uses:
        """Every use of a target."""
        return Uses(self._package, target, self._meant)

    def _uses_of(
        self, source: Source, node: FunctionNode | ast.ClassDef
    ) -> tuple[list[Site], list[Escape], list[tuple[Source, ast.ClassDef]]]:
        if node not in self._uses:
            self.effort -= 1
            if self.effort < 0:
                return [], [Escape(source, node, "is one of too many that lead to the call")], []
            self._uses[node] = None
            self._uses[node] = self.uses(Target(node.name, source, node))
        found = self._uses[node]
        return (found.sites, found.escapes, found.heirs) if found is not None else ([], [], [])

    def _meant(self, target: Target, source: Source, node: ast.AST) -> bool:
        """Whether a name may be of a target: an attribute of that name is, unless it leads elsewhere."""
        if target.attribute or target.source is None:
            return isinstance(node, ast.Attribute) or not target.attribute
        owner = target.source.class_around(target.node) if target.node is not None else None
        if isinstance(node, ast.Name):
            return (
                source.within(node, ast.ClassDef) is owner
                if owner is not None
                else self._name_meant(target, source, node)
            )
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, (ast.Name, ast.Attribute)):
            return True
        if ("meant", node) in self._busy:
            return True
        self._busy.add(("meant", node))
        conditions, self.conditions = self.conditions, {}
        bases = self.values(node.value, Frame(source, source.function(node)))
        self.conditions = conditions
        self._busy.discard(("meant", node))
        return not bases or any(self._base_meant(target, owner, base) for base in bases)

    def _base_meant(self, target: Target, owner: ast.ClassDef | None, base: Value) -> bool:
        if isinstance(base, Thing) and base.kind == "elsewhere":
            return base.name.startswith("torch.ops")
        if not isinstance(base, Thing) or base.kind != "module" or base.source is None:
            return True
        return owner is None and self._leads(f"{base.source.dotted}.{target.name}", target)

    def _name_meant(self, target: Target, source: Source, node: ast.Name) -> bool:
        scopes = [s for s in source.above(node) if isinstance(s, FUNCTIONS)]
        for scope in (*scopes, source.tree):
            found = [b.node for b in source.bound(scope, target.name)]
            if target.node in found or any(isinstance(n, (ast.Global, ast.Nonlocal)) for n in found):
                return True
            imports = [n for n in found if isinstance(n, (ast.Import, ast.ImportFrom))]
            if imports:
                return any(self._leads(source.imported(target.name, n), target) for n in imports)
            if found or (isinstance(scope, FUNCTIONS) and target.name in parameters(scope)):
                return scope is source.tree and source.rebinds(target.name)
        return source.stars

    def _leads(self, dotted: str, target: Target) -> bool:
        """Whether a dotted name may be the target; what leads out of the package is not."""
        if dotted.partition(".")[0] != self._package.name:
            return False
        found, own = self._package.find(dotted), target.node
        if isinstance(own, (ast.Import, ast.ImportFrom)) and target.source is not None:
            behind = self._package.find(f"{target.source.dotted}.{target.name}")
            own = behind[1] if behind is not None else own
        return found is None or found[1] is own or not isinstance(found[1], (*FUNCTIONS, ast.ClassDef))

    def _sites(self, source: Source, function: FunctionNode) -> tuple[list[Site], list[Escape]]:
        """Every call of a function, and mentions of it that are none."""
        around = source.class_around(function)
        if function.name == "__init__" and around is not None:
            return self._makers(source, around)
        sites, escapes, _ = self._uses_of(source, function)
        if around is not None and (function.name == "forward" or function.name.startswith("__")):
            escapes = [*escapes, Escape(source, function, "may be called without being named")]
        return sites, escapes

    def _makers(self, source: Source, owner: ast.ClassDef, depth: int = 0) -> tuple[list[Site], list[Escape]]:
        """Every call that makes an object of a class, or initialises one again."""
        made, lost = self._names.made if not depth else ([], [])
        if lost or owner.keywords:
            return [], lost[:1] or [Escape(source, owner, "is made by a class of classes")]
        sites, escapes, heirs = self._uses_of(source, owner)
        sites, escapes = [*sites, *made], [*escapes]
        for where, heir in heirs if depth < 6 else ():
            inner = [n for n in ast.walk(heir) if isinstance(n, ast.Call) and text_of(n.func).endswith(").__init__")]
            sites += [Site(where, n) for n in inner]
            more = self._makers(where, heir, depth + 1)
            sites, escapes = [*sites, *more[0]], [*escapes, *more[1]]
        return sites, escapes

    def _bindings(self, site: Site, source: Source, function: FunctionNode) -> Iterator[dict[str, ast.expr | None]]:
        """Arguments of a call by parameter, defaults too, for every way in which it may be one of the function; None
        for what is not said."""
        every = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
        decorators = {last(d) for d in function.decorator_list}
        firsts = [1]
        if source.class_around(function) is None or "staticmethod" in decorators:
            firsts = [0]
        elif isinstance(site.call.func, ast.Attribute) and "classmethod" not in decorators:
            # Asked of its class, the object is the first argument.
            base = site.call.func.value
            if not (isinstance(base, ast.Call) and last(base) == "super") and text_of(base) != "self":
                firsts = [1, 0] if function.name != "__init__" or last(site.call) == "__init__" else [1]
                if isinstance(base, ast.Name) and self._class(base, Frame(site.source, None)) is not None:
                    firsts = [0] if function.name != "__init__" or last(site.call) == "__init__" else [1]
        for first in firsts:
            given = self._assigned(site, function, every[first:])
            if given is not None:
                yield given

    def _assigned(self, site: Site, function: FunctionNode, names: list[str]) -> dict[str, ast.expr | None] | None:
        spec, call = function.args, site.call
        every = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        positional = [*site.bound.before, *call.args]
        keywords = {k.arg: k.value for k in (*site.bound.keywords, *call.keywords)}
        wild = any(isinstance(a, ast.Starred) for a in positional) or None in keywords
        known = [*names, *(a.arg for a in spec.kwonlyargs)]
        if not wild and not spec.vararg and len(positional) > len(names):
            return None
        if not spec.kwarg and any(k is not None and k not in known for k in keywords):
            return None
        stated: dict[str, ast.expr | None] = dict(zip(reversed(every), reversed(spec.defaults), strict=False))
        stated.update(zip((a.arg for a in spec.kwonlyargs), spec.kw_defaults, strict=True))
        given: dict[str, ast.expr | None] = {name: None if wild else stated.get(name) for name in known}
        before = itertools.takewhile(lambda a: not isinstance(a, ast.Starred), positional)
        given.update(zip(names, before, strict=False))
        given.update({k: v for k, v in keywords.items() if k is not None and k in given})
        missing = any(v is None and not (n in stated and stated[n] is not None) for n, v in given.items())
        return None if missing and not wild and site.bound == Bound() else given

    def expand(
        self,
        state: tuple[Value, ...],
        source: Source,
        line: int,
        depth: int = 0,
        done: Callable[[tuple[Value, ...]], bool] = lambda _: False,
    ) -> list[Way]:
        """Values with what callers give in place of parameters, and with each of several that an attribute may be: one
        way for each; no further than needed."""
        atoms = {a for v in state for a in atoms_of(v)}
        wanted = sorted((a for a in atoms if a.kind in ("parameter", "field")), key=lambda a: (a.kind, repr(a.key)))
        if not wanted or depth > _DEEPEST or done(state):
            return [Way(state, source, line)]
        first = wanted[0]
        if first.kind == "field":
            return [
                way
                for value in self._several[first]
                for way in self.expand(
                    tuple(
                        _replaced(v, {first: value}, self.other(ast.Constant(0), Frame(source, None), first.text))
                        for v in state
                    ),
                    source,
                    line,
                    depth + 1,
                    done,
                )
            ]
        key = first.key
        assert isinstance(key, tuple)
        where, function = self._functions[key[:3]]
        own = [a for a in wanted if isinstance(a.key, tuple) and a.key[:3] == key[:3]]
        sites, escapes = self._sites(where, function)
        found: list[Way] = []
        why = [f"{function.name} {e.reason} ({e.source.relative}:{getattr(e.node, 'lineno', 0)})" for e in escapes]
        if not self._clear(where, function):
            why.append(f"{function.name} is decorated")
        defaults = (*function.args.defaults, *function.args.kw_defaults)
        of_length = False
        for site, given in [(s, g) for s in sites for g in self._bindings(s, where, function)]:
            frame = _frame_of(site)
            choices = []
            for atom in own:
                name = str(atom.key[3])  # type: ignore[index]
                value = given.get(name)
                inner = Frame(where, None) if value in defaults and value not in site.call.args else frame
                unsaid = self.other(site.call, frame, f"{name}, which this call does not state plainly")
                choices.append(self.values(value, inner) if value is not None else (unsaid,))
            combinations = list(itertools.islice(itertools.product(*choices), _MOST + 1))
            if len(combinations) > _MOST:
                why.append(f"{function.name} is called in too many ways")
            for combination in combinations[:_MOST]:
                bound = dict(zip(own, combination, strict=True))
                after = tuple(_replaced(v, bound, self.other(site.call, frame)) for v in state)
                ways = self.expand(after, site.source, site.call.lineno, depth + 1, done)
                of_length |= any(LENGTH.atom in atoms_of(v) for w in ways for v in w.state)
                found += ways
        ratio = role(of(own[0])) is not None
        if len(own) == 1 and (ratio or (of_length and own[0].text == _OPERATOR)):
            # What is not read of the length or of a ratio is a condition on what the operator states.
            self.conditions.update(dict.fromkeys(f"{own[0].text} may be another: {reason}" for reason in why[:3]))
            if found:
                return found
            lost = {own[0]: self.other(function, Frame(where, None), own[0].text)}
            return self.expand(tuple(_replaced(v, lost, ZERO) for v in state), where, function.lineno, depth + 1, done)
        if not found and not why:
            why.append(f"no call of {function.name} is found")
        for reason in dict.fromkeys(why[:3]):
            lost = {a: self.other(function, Frame(where, None), f"{a.text}: {reason}") for a in own}
            after = tuple(_replaced(v, lost, self.other(function, Frame(where, None), reason)) for v in state)
            found += self.expand(after, where, function.lineno, depth + 1, done)
        return found


def _frame_of(site: Site) -> Frame:
    return Frame(site.source, site.source.function(site.call))


def atoms_of(value: Value) -> frozenset[Atom]:
    """What a value is made of."""
    if isinstance(value, Number):
        return value.atoms
    if isinstance(value, Tensor):
        return value.columns.atoms | value.stride.atoms
    if isinstance(value, Items):
        return frozenset().union(*(atoms_of(v) for item in value.items for v in item))
    return frozenset()


def _settled(number: Number) -> bool:
    """Whether it is no fraction, whatever is read as the program runs."""
    return all(a.kind not in ("other", "field") or ".shape[" in a.text for a in number.atoms)


def _has_parameter(value: Value, of_function: tuple[object, ...] = ()) -> bool:
    found = (a for a in atoms_of(value) if a.kind == "parameter" and isinstance(a.key, tuple))
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
        if source.within(loop, SCOPED) is not scope and loop is not scope:
            continue
        inside = [b for b in bindings if b.node is loop or loop in source.above(b.node)]
        if inside and (stopped is None or (stopped is not loop and loop not in source.above(stopped))):
            return None
    return found


def _dominates(source: Source, node: ast.AST, use: ast.AST) -> bool:
    """Whether a statement has always been run, and last, when a use below it in the same block is reached."""
    while not isinstance(node, ast.stmt):
        above = source.up[node]
        if isinstance(above, ast.BoolOp) and above.values[0] is not node:
            return False
        if isinstance(above, ast.Lambda) or (isinstance(above, ast.IfExp) and above.test is not node):
            return False
        node = above
    block = source.up.get(node)
    for part in ("body", "orelse", "finalbody"):
        statements = getattr(block, part, None)
        if isinstance(statements, list) and node in statements:
            later = statements[statements.index(node) + 1 :]
            return any(above in later for above in (use, *source.above(use)))
    return False


def _leaves_alone(source: Source, node: ast.AST) -> bool:
    """Whether a mention of a tensor leaves its shape and strides as they are."""
    above = source.up[node]
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return True
    if isinstance(above, ast.Attribute):
        return bool(_LEAVES_ALONE(above.attr))
    if isinstance(above, ast.Subscript):
        return above.value is node
    if isinstance(above, ast.Call):
        return last(above) in (*ENTRIES, "len")
    return isinstance(above, (ast.Return, ast.Compare, ast.Expr))


def _absolute(value: Value) -> bool:
    """Whether it is the same for every object: made of the operator's length alone."""
    return not isinstance(value, (Thing, Items)) and all(
        a.kind in ("length", "floor", "min", "max") for a in atoms_of(value)
    )
