"""What an expression of an engine can be: through locals, helpers, attributes and callers, or not known."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

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
    changed,
    clear_decorators,
    last,
    plain,
)
from aiterfix.engines.values import (
    ANY,
    LENGTH,
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
    times,
)
from aiterfix.family.kernels import ENTRIES

_MOST = 16  # values of one expression
_MOST_CONDITIONS = 8
MOST_EFFORT = 30
"""Attributes and callers that are looked into for one call; what would take more is not known."""
_DEEPEST = 10  # from the kernel's caller to the configuration; vLLM 0.33.0 needs 5
_OPERATOR = "max_model_len"
_CONFIG = re.compile(r"(?:^|[._])(?:config|server_args)(?:\(\))?$")
_THE_CONFIG = re.compile(
    r"(?:^|\.)_?(?:(?:get|current|global|vllm|atom|engine|model|cached)_)*(?:config|server_args)(?:\(\))?$"
)
"""Of those, what states the operator's length: a configuration of a name of its own may hold another one."""
_OTHER_MODELS = re.compile("draft|spec|hf_|text_|vision|encoder|replace|copy")
"""In what a configuration is taken from: it may be that of another model, or changed."""
_OTHER_CONFIGS = re.compile(rb"\b(?:draft|spec|speculative|vision|encoder|text)_\w*config\b")
_CHANGES = re.compile(rb"\b(?:\w*replace|update|\w*copy)\s*\([^()]*(?:\([^()]*\)[^()]*)*$")
_BUILDS = re.compile(rb"\b\w*Config\s*\([^()]*(?:\([^()]*\)[^()]*)*$")
_AS_STATED = re.compile(rb"\s*(?:[\w.]+\.)?max_model_len\s*(?:[,)#]|$)").match
_OUTERMOST = re.compile(rb"^(?:async )?(class|def)\b", re.MULTILINE)
_HOOKS = {
    "setattr": re.compile(rb"setattr\s*\(\s*[\w.]+\s*,\s*[A-Za-z_f]|def\s+__setattr__\b"),
    "__getattr": re.compile(rb"def\s+(?:__getattr__|__getattribute__)\b"),
    "__dict__": re.compile(rb"__dict__\s*(?:\.update|\[|\|=)"),
    "vars(": re.compile(rb"vars\([^)]*\)\s*(?:\.update|\[|\|=)"),
}
_REPLACED = re.compile(rb"\btorch\.(?:empty|zeros|ones|full)\s*=(?!=)")
_ALLOCATES = re.compile("(?:new_)?(?:empty|zeros|ones|full)").fullmatch
_KEYWORDS = re.compile("dtype|device|pin_memory|requires_grad|fill_value|size").fullmatch
_MAKES_OWN = re.compile(r"cls|type\(self\)|self\.__class__").fullmatch
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


class Tracer:
    """Evaluates expressions of one package."""

    def __init__(self, package: Package) -> None:
        self._package = package
        self._functions: dict[tuple[object, ...], tuple[Source, FunctionNode]] = {}
        self._uses: dict[ast.AST, tuple[list[Site], list[Escape]]] = {}
        self._busy: set[tuple[object, ...]] = set()
        self._fields: dict[tuple[object, ...], tuple[tuple[Value, ...], tuple[str, ...]]] = {}
        self._writers: dict[str, list[str]] = {}
        self._afar: dict[str, bool] = {}
        self._related: dict[ast.AST, list[tuple[Source, ast.ClassDef]]] = {}
        self.effort = MOST_EFFORT
        self.conditions: dict[str, None] = {}
        """What would make values others than they were found to be; the caller empties it."""
        self.because: dict[Atom, tuple[str, ...]] = {}
        """The same of values that are not known more closely, which matters where one stands for two readings."""

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
        decided = [v for v in found if isinstance(v, Number) and v.at(1 << 20, ANY) is not None]
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
            return (Thing("class" if "classmethod" in decorators else "object", "", source, owner),)
        spec = scope.args
        for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs):
            if argument.arg == node.id and argument.annotation is not None:
                found = self._class(argument.annotation, frame)
                if found is not None:
                    return (Thing("object", "", *found),)
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
        if value is None or not isinstance(target, ast.Name) or self._set_from_afar(name):
            return (unknown,)
        if any(changed(self._package, source)):
            return (unknown,)
        if source.rebinds(target.id):
            return (unknown,)
        return self.values(value, Frame(source, None, None, ("global", source.relative)))

    def _set_from_afar(self, name: str) -> bool:
        """Whether anything gives an attribute of this name a value: a module's, or a method's, replaced."""
        if name not in self._afar:
            word = re.escape(name.encode())
            pattern = re.compile(
                rb"\.\s*%b\s*(?:=(?!=)|[-+*/%%@|&^]=|(?://|\*\*|<<|>>)=|:[^=\n]+=(?!=)|[)\],][^\n=(]*=(?!=))"
                rb"|\bfor\s[^:]*\.%b\b[^:]*\sin\s|[\"']%b[\"']\s*(?:,|\]\s*=)"
                rb"|(?:__dict__|vars\(|globals\(|\btype\(|new_class\(|\.update\().*\b%b\b" % ((word,) * 4)
            )
            self._afar[name] = any(True for _ in self._package.matches(name, pattern))
        return self._afar[name]

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
        if node.attr == _OPERATOR and _THE_CONFIG.search(text_of(node.value)):
            if any(_OTHER_MODELS.search(text) for text in self._origins(node.value, frame)):
                return (unknown,)
            self.conditions.update(dict.fromkeys((*self._other_configs, *self.writers(_OPERATOR))))
            return (LENGTH,)
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

    @cached_property
    def _other_configs(self) -> list[str]:
        found = itertools.islice(self._package.matches("config", _OTHER_CONFIGS), 1)
        return [
            f"the configuration may be another model's: {m[0].decode()} ({self._package.shown(path)}:{number})"
            for path, number, line, _ in found
            if (m := _OTHER_CONFIGS.search(line))
        ]

    def _origins(self, node: ast.expr, frame: Frame, depth: int = 0) -> Iterator[str]:
        """What a configuration is taken from, as the function and its class say."""
        yield text_of(node)
        while isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
            node = node.value
        if isinstance(node, ast.Name) and frame.function is not None and depth < 5:
            for binding in frame.source.bound(frame.function, node.id):
                if binding.value is not None:
                    yield from self._origins(binding.value, frame, depth + 1)
        elif isinstance(node, ast.Attribute) and depth < 5:
            for one in self.values(node.value, frame):
                for source, owner in self.relatives(one) if isinstance(one, Thing) else ():
                    for value, method in self._stores(source, owner, node.attr):
                        if value is not None:
                            yield from self._origins(value, Frame(source, method), depth + 1)

    def writers(self, attribute: str) -> list[str]:
        """What gives an attribute another value, apart from methods of the classes that it is known to be of."""
        if attribute not in self._writers:
            found = itertools.chain(self._named_writers(attribute), self._hooks(attribute))
            self._writers[attribute] = list(itertools.islice(dict.fromkeys(found), _MOST_CONDITIONS))
        return self._writers[attribute]

    def _named_writers(self, attribute: str) -> Iterator[str]:
        word = re.escape(attribute.encode())
        mention = re.compile(rb"\b" + word + rb"\b")
        assigned = re.compile(
            rb"(?P<base>[\w\])]+)\.%b\s*(?:=(?!=)|[-+*/%%&|^@]=|//=|\*\*=|<<=|>>=|:[^=]+=(?!=)\s*)(?P<value>.*)"
            rb"|(?P<several>^)(?=[^=]*,)\s*[(\[]?(?:[\w.*\[\]]+\s*,\s*)*[\w.\[\]]+\.%b\s*[)\]]?(?:,\s*[\w.*\[\]]+\s*)*,?"
            rb"[)\]]?\s*=(?!=)|(?:setattr|__setattr__)\s*\(.*[\"']%b[\"']|[\"']%b[\"']\s*\]\s*=(?!=)"
            rb"|\bfor\s[^:]*\.%b\b[^:]*\sin\s|\bas\s+[\w.]+\.%b\b|\bdel\s.*\.%b\b" % ((word,) * 7)
        )
        keyword, defined = re.compile(rb"\b" + word + rb"\s*=(?!=)"), re.compile(rb"\bdef\s+" + word + rb"\s*\(")
        same = re.compile(rb"[\w.]*model_config\.max_model_len\s*")
        for path, number, line, place in self._package.matches(attribute, mention):
            match = assigned.search(line)
            said = line.decode("utf-8", "replace").strip()[:60]
            text = f"{attribute} may be given another value: {self._package.shown(path)}:{number}: {said}"
            configures = attribute == _OPERATOR and self._configures(path, place)
            if match is not None:
                if match["several"] is not None and not self._stored(path, attribute, number):
                    continue
                own = match["base"] == b"self" and not configures and self._in_class(path, place)
                if not own and not (attribute == _OPERATOR and same.fullmatch(match["value"] or b"")):
                    yield text
            elif configures and defined.search(line):
                yield text
            else:
                before = self._package.text.contents[path][max(0, place - 300) : place]
                if any(_CHANGES.search(before + line[: k.start()]) for k in keyword.finditer(line)) or (
                    attribute == _OPERATOR
                    and any(
                        _BUILDS.search(before + line[: k.start()]) and not _AS_STATED(line[k.end() :])
                        for k in keyword.finditer(line)
                    )
                ):
                    yield text

    def _in_class(self, path: Path, place: int) -> bool:
        """Whether a place lies in a class, and not in a function that takes an object by the name of ``self``."""
        return b"class" in _OUTERMOST.findall(self._package.text.contents[path][:place])[-1:]

    def _stored(self, path: Path, attribute: str, line: int) -> bool:
        source = self._package.source(path)
        nodes = source.mentions(attribute)
        stores = [n for n in nodes if isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)]
        return any(n.lineno == line for n in stores)

    def _hooks(self, attribute: str) -> Iterator[str]:
        for needle in _HOOKS:
            for path, number, line in self._package.kept(needle, _HOOKS[needle]):
                if attribute.encode() in self._package.text.contents[path]:
                    said = line.decode("utf-8", "replace").strip()[:60]
                    yield f"attributes are set or made by name: {self._package.shown(path)}:{number}: {said}"

    def _configures(self, path: Path, place: int) -> bool:
        """Whether ``self`` at a place is a configuration whose length the operator states."""
        text = self._package.text.contents[path]
        start = 0 if text.startswith(b"class ") else -1
        start = max(start, text.rfind(b"\nclass ", 0, place))
        return start >= 0 and re.match(rb"\s*class\s+\w*Config\b", text[start : start + 200]) is not None

    # Classes

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

    def relatives(self, thing: Thing) -> list[tuple[Source, ast.ClassDef]]:
        """A class, its bases, what derives from it, and the other bases of that."""
        first, source = thing.node, thing.source
        if not isinstance(first, ast.ClassDef) or source is None:
            return []
        if first not in self._related:
            found, pending = {first: source}, [(source, first, True)]
            while pending:
                where, one, down = pending.pop()
                for base in one.bases:
                    more = self._class(base, Frame(where, None))
                    if more is not None and more[1] not in found:
                        found[more[1]] = more[0]
                        pending.append((*more, False))
                names = [one.name, *self._package.aliases(one.name)] if down else []
                for name, path in [(n, p) for n in names for p in sorted(self._package.heirs.get(n, ()))]:
                    place = self._package.source(path)
                    for heir in place.mentions(name):
                        derived = place.within(heir, ast.ClassDef)
                        based = isinstance(derived, ast.ClassDef) and any(
                            b is heir or b in place.above(heir) for b in derived.bases
                        )
                        if based and isinstance(derived, ast.ClassDef) and derived not in found:
                            found[derived] = place
                            pending.append((place, derived, True))
            self._related[first] = [(s, n) for n, s in found.items()]
        return self._related[first]

    def _stores(
        self, source: Source, owner: ast.ClassDef, attribute: str
    ) -> Iterator[tuple[ast.expr | None, FunctionNode]]:
        """``self.attribute = value`` in the methods of a class; no value where it is set otherwise."""
        for node in source.seen(attribute):
            if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                method, above = source.function(node), source.up[node]
                if method is None or source.up.get(method) is not owner or not isinstance(node.value, ast.Name):
                    continue
                if node.value.id in parameters(method)[:1]:
                    yield (above.value if isinstance(above, (ast.Assign, ast.AnnAssign)) else None), method

    def _field(self, base: Thing, node: ast.Attribute, frame: Frame) -> tuple[Value, ...]:
        """What an attribute of an object of a known class is."""
        name, unknown, source = node.attr, self.other(node, frame), base.source
        reader = frame.function.lineno if frame.function is not None else 0
        key = (base.node, base.kind, name, text_of(node.value), frame.source.relative, reader, frame.key)
        if key in self._busy or source is None or (self.effort <= 0 and key not in self._fields):
            return (unknown,)
        if key not in self._fields:
            self.effort -= 1
            self._busy.add(key)
            before, self.conditions = self.conditions, {}
            found = self._read_field(base, name, unknown, key)
            conditions, self.conditions = tuple(self.conditions), before
            self._busy.discard(key)
            self._fields[key] = found, conditions
        values, said = self._fields[key]
        atoms = [v.atom if isinstance(v, Number) else None for v in values]
        if all(atom is not None and atom.kind == "other" for atom in atoms):
            self.because.update((atom, said) for atom in atoms if atom is not None)
        else:
            self.conditions.update(dict.fromkeys(said))
        if any(isinstance(v, Tensor) for v in values):
            mentions = [n for n in source.mentions(name) if isinstance(n, ast.Attribute)]
            elsewhere = [p for p in self._package.paths(name) if self._package.shown(p) != source.relative]
            if elsewhere or not all(_leaves_alone(source, n) for n in mentions if n is not node):
                return (self.other(node, frame, f"{text_of(node)}, which is used in ways that are not followed"),)
        return values or (unknown,)

    def _read_field(self, base: Thing, name: str, unknown: Number, key: tuple[object, ...]) -> tuple[Value, ...]:
        values: list[Value] = []
        for source, one in self.relatives(base):
            if self._set_by_name(source, one):
                self.conditions[f"{one.name} sets attributes by name ({source.relative}:{one.lineno})"] = None
            fields = [n.target.id for n in one.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
            if name in fields and _is_record(one):
                values += self._from_constructor(source, one, fields, name, unknown)
            else:
                for binding in source.bound(one, name):
                    inner = binding.node
                    if isinstance(inner, FUNCTIONS) and any("property" in last(d) for d in inner.decorator_list):
                        values += self._returned(source, inner, {}, (*key[2:6], "property"), unknown)
                    elif isinstance(inner, FUNCTIONS):
                        values.append(Thing("method", "", source, inner, base))
                    elif binding.value is not None and binding.item is None:
                        values += self.values(binding.value, Frame(source, None))
                    else:
                        values.append(unknown)
            for value, method in self._stores(source, one, name):
                if value is None:
                    values.append(unknown)
                    continue
                for found in self.values(value, Frame(source, method, None, key[:6])):
                    for way in self.expand((found,), source, method.lineno):
                        kept = way.state[0]
                        loose = method.name != "__init__" and any(
                            a.kind in ("parameter", "other") for a in atoms_of(kept)
                        )
                        values.append(unknown if loose or _has_parameter(kept) else kept)
        if not values or all(isinstance(v, Thing) and v.kind == "method" for v in values):
            return tuple(values) if values and not self._set_from_afar(name) else ()
        self.conditions.update(dict.fromkeys(self.writers(name)))
        return tuple(dict.fromkeys(values))

    def _from_constructor(
        self, source: Source, owner: ast.ClassDef, fields: list[str], name: str, unknown: Number
    ) -> Iterator[Value]:
        sites, escapes = self._uses_of(Target(owner.name, source, owner))
        made_otherwise = any(isinstance(n, FUNCTIONS) and n.name in ("__init__", "__new__") for n in owner.body)
        changed = any(isinstance(n, FUNCTIONS) and n.name == "__post_init__" for n in owner.body)
        stored = changed and any(True for _ in self._stores(source, owner, name))
        if escapes or not sites or made_otherwise or stored or self._set_by_name(source, owner):
            yield unknown
        family = [one for _, one in self.relatives(Thing("class", "", source, owner))]
        if len(family) > 1 or any(_MAKES_OWN(text_of(n.func)) for n in ast.walk(owner) if isinstance(n, ast.Call)):
            yield unknown
        if any(self._class(b, Frame(source, None)) is not None for b in owner.bases):
            yield unknown
        for site in sites:
            given = dict(zip(fields, site.call.args, strict=False)) | {k.arg: k.value for k in site.call.keywords}
            if name not in given or not plain(site.call) or site.bound != Bound():
                yield unknown
                continue
            for value in self.values(given[name], Frame(site.source, site.source.function(site.call))):
                for way in self.expand((value,), site.source, site.call.lineno):
                    yield unknown if _has_parameter(way.state[0]) else way.state[0]

    def _set_by_name(self, source: Source, owner: ast.ClassDef) -> bool:
        """Whether a class sets attributes of its own without naming them."""
        return any(last(n) in ("setattr", "__setattr__") for n in ast.walk(owner) if isinstance(n, ast.Call))

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
        """A function of the package, entered."""
        function, source = thing.node, thing.source
        if not isinstance(function, FUNCTIONS) or source is None or self._set_from_afar(function.name):
            return (unknown,)
        if any(changed(self._package, source)):
            return (unknown,)
        given = self._bound(Site(frame.source, node), source, function)
        key = (*frame.key, frame.source.relative, node.lineno, node.col_offset)
        if given is None or len(key) > 24:
            return (unknown,)
        stated = (*node.args, *(k.value for k in node.keywords))
        arguments: dict[str, tuple[Value, ...]] = {}
        for name, expression in given.items():
            where = frame if expression is None or expression in stated else Frame(source, None)
            arguments[name] = self.values(expression, where) if expression is not None else (unknown,)
        return self._returned(source, function, arguments, key, unknown)

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
            or sum(k[0] == "inside" for k in self._busy) > 6
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

    def _uses_of(self, target: Target) -> tuple[list[Site], list[Escape]]:
        assert target.node is not None
        if target.node not in self._uses:
            self.effort -= 1
            if self.effort < 0:
                assert target.source is not None
                return [], [Escape(target.source, target.node, "is one of too many that lead to the call")]
            self._uses[target.node] = [], []
            found = self.uses(target)
            self._uses[target.node] = found.sites, found.escapes
        return self._uses[target.node]

    def _meant(self, target: Target, source: Source, node: ast.AST) -> bool:
        if target.attribute or target.source is None:
            return isinstance(node, ast.Attribute) or not target.attribute
        owner = target.source.class_around(target.node) if target.node is not None else None
        if isinstance(node, ast.Name):
            if owner is not None:
                return source.within(node, ast.ClassDef) is owner
            return self._name_meant(target, source, node)
        if not isinstance(node, ast.Attribute) or ("meant", node) in self._busy:
            return True
        self._busy.add(("meant", node))
        conditions, self.conditions = self.conditions, {}
        simple = isinstance(node.value, (ast.Name, ast.Attribute))
        bases = self.values(node.value, Frame(source, source.function(node))) if simple else ()
        self.conditions = conditions
        self._busy.discard(("meant", node))
        return not bases or any(self._base_meant(target, owner, base) for base in bases)

    def _base_meant(self, target: Target, owner: ast.ClassDef | None, base: Value) -> bool:
        if not isinstance(base, Thing):
            return True
        if base.kind == "module" and base.source is not None:
            return owner is None and self._leads(f"{base.source.dotted}.{target.name}", target)
        related = self.relatives(Thing("class", "", target.source, owner)) if owner is not None else []
        return base.kind in ("object", "class") and base.node in [one for _, one in related]

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
        if function.name != "__init__" or around is None:
            return self._uses_of(Target(function.name, source, function))
        sites, escapes = self._uses_of(Target(around.name, source, around))
        sites, escapes = [*sites], [*escapes]
        for where, heir in self.relatives(Thing("class", "", source, around)):
            if heir is around or not self._descends(where, heir, around):
                continue
            own = [b.node for b in where.bound(heir, "__init__")]
            more = self._uses_of(Target(heir.name, where, heir)) if not own else ([], [])
            sites, escapes = [*sites, *more[0]], [*escapes, *more[1]]
            inside = (n for method in own for n in ast.walk(method) if isinstance(n, ast.Call))
            sites += [Site(where, n) for n in inside if text_of(n.func).endswith(".__init__")]
        for where, one in self.relatives(Thing("class", "", source, around)):
            inside = (n for n in ast.walk(one) if isinstance(n, ast.Call) and _MAKES_OWN(text_of(n.func)))
            sites += [Site(where, n) for n in inside]
        return sites, escapes

    def _descends(self, source: Source, heir: ast.ClassDef, around: ast.ClassDef) -> bool:
        bases = (self._class(base, Frame(source, None)) for base in heir.bases)
        return any(more is not None and (more[1] is around or self._descends(*more, around)) for more in bases)

    def _bound(self, site: Site, source: Source, function: FunctionNode) -> dict[str, ast.expr | None] | None:
        """Arguments of a call by parameter, defaults too; None for what is not said. No dict: the call is another's."""
        spec, call = function.args, site.call
        every = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        decorators = {last(d) for d in function.decorator_list}
        names = every
        if source.class_around(function) is not None and "staticmethod" not in decorators:
            base = call.func.value if isinstance(call.func, ast.Attribute) else None
            of_class = self._of_class(base, site)
            initial = function.name == "__init__" and last(call) != "__init__"
            names = every[0 if of_class and "classmethod" not in decorators and not initial else 1 :]
        positional = [*site.bound.before, *call.args]
        keywords = {k.arg: k.value for k in (*site.bound.keywords, *call.keywords)}
        wild = any(isinstance(a, ast.Starred) for a in positional) or None in keywords
        known = [*names, *(a.arg for a in spec.kwonlyargs)]
        if not wild and not spec.vararg and len(positional) > len(names):
            return None if names == every else dict.fromkeys(every)
        if not spec.kwarg and any(k is not None and k not in known for k in keywords):
            return None
        stated: dict[str, ast.expr | None] = dict(zip(reversed(every), reversed(spec.defaults), strict=False))
        stated.update(zip((a.arg for a in spec.kwonlyargs), spec.kw_defaults, strict=True))
        given: dict[str, ast.expr | None] = {name: None if wild else stated.get(name) for name in known}
        before = itertools.takewhile(lambda a: not isinstance(a, ast.Starred), positional)
        given.update(zip(names, before, strict=False))
        given.update({k: v for k, v in keywords.items() if k is not None and k in given})
        return given

    def _of_class(self, base: ast.expr | None, site: Site) -> bool:
        """Whether a method is asked of its class, so that the object is the first argument."""
        if not isinstance(base, (ast.Name, ast.Attribute)):
            return False
        conditions, self.conditions = self.conditions, {}
        found = self.values(base, Frame(site.source, site.source.function(site.call)))
        self.conditions = conditions
        kinds = {v.kind if isinstance(v, Thing) else "" for v in found}
        return last(base).lstrip("_")[:1].isupper() if kinds - {"class", "object"} else kinds == {"class"}

    def expand(
        self,
        state: tuple[Value, ...],
        source: Source,
        line: int,
        depth: int = 0,
        done: Callable[[tuple[Value, ...]], bool] = lambda _: False,
    ) -> list[Way]:
        """Values with what callers give in place of parameters, one way for each; no further than needed."""
        wanted = sorted({a for v in state for a in atoms_of(v) if a.kind == "parameter"}, key=lambda a: repr(a.key))
        if not wanted or depth > _DEEPEST or done(state):
            return [Way(state, source, line)]
        key = wanted[0].key
        assert isinstance(key, tuple)
        where, function = self._functions[key[:3]]
        own = [a for a in wanted if isinstance(a.key, tuple) and a.key[:3] == key[:3]]
        sites, escapes = self._sites(where, function)
        found: list[Way] = []
        why = [f"{function.name} {e.reason} ({e.source.relative}:{getattr(e.node, 'lineno', 0)})" for e in escapes]
        if not self._clear(where, function):
            why.append(f"{function.name} is decorated")
        defaults = (*function.args.defaults, *function.args.kw_defaults)
        for site in sites:
            given = self._bound(site, where, function)
            if given is None:
                continue
            frame = Frame(site.source, site.source.function(site.call))
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
                found += self.expand(after, site.source, site.call.lineno, depth + 1, done)
        if not found and not why:
            why.append(f"no call of {function.name} is found")
        for reason in dict.fromkeys(why[:3]):
            lost = {a: self.other(function, Frame(where, None), f"{a.text}: {reason}") for a in own}
            after = tuple(_replaced(v, lost, self.other(function, Frame(where, None), reason)) for v in state)
            found += self.expand(after, where, function.lineno, depth + 1, done)
        return found


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
    return all(a.kind != "other" or ".shape[" in a.text for a in number.atoms)


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


def _is_record(node: ast.ClassDef) -> bool:
    names = {text_of(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list}
    records = {"dataclass", "dataclasses.dataclass"}
    return bool(names & records) or any(text_of(b) in ("NamedTuple", "typing.NamedTuple") for b in node.bases)
