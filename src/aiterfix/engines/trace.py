"""What an expression can be: through locals, helpers, attributes and callers, or not known."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce

from aiterfix.engines import bounds
from aiterfix.engines.attributes import OTHER_MODELS, THE_CONFIG, Attributes
from aiterfix.engines.callers import Callers
from aiterfix.engines.flow import ALLOCATES, alone, dominates, end, left_alone, reaching, start, untouched
from aiterfix.engines.names import OPERATOR
from aiterfix.engines.package import (
    FUNCTIONS,
    LOOPS,
    SCOPED,
    SCOPES,
    TESTS,
    Binding,
    FunctionNode,
    Package,
    Source,
    parameters,
    takes,
    text_of,
)
from aiterfix.engines.tensors import allocated, of_tensor, view
from aiterfix.engines.uses import OWN_DECORATORS, Bound, Site, clear_decorators, last, plain
from aiterfix.engines.values import (
    ANY,
    LENGTH,
    ZERO,
    Atom,
    Frame,
    Items,
    Nothing,
    Number,
    Tensor,
    Thing,
    Value,
    changeable,
    constant,
    has_parameter,
    inside,
    made,
    of,
    plus,
    sequence,
    times,
)
from aiterfix.source.syntax import dictionary, string_keys
from aiterfix.source.tree import descend


class Tracer:
    """Evaluates expressions of one package.

    Attributes:
        conditions: what would make values others than they were found to be; of each, whether these are lengths alone.
        touched: parameters that may be tensors of which more is done than that they are looked at.
    """

    def __init__(self, package: Package) -> None:
        self.package = package
        self.attributes, self.callers = Attributes(package, self), Callers(package, self)
        self._busy: set[FunctionNode] = set()
        self._patched: dict[str, bool] = {}
        self._effort = bounds.EFFORT
        self.conditions: dict[str, bool] = {}
        self.touched: set[Atom] = set()

    def begin(self) -> None:
        """Another call of the kernel is looked at."""
        self.conditions, self._effort = {}, bounds.EFFORT

    def condition(self, text: str, *, length: bool) -> None:
        """Something would make a value another; a ``length``, or anything."""
        if text:
            self.conditions[text] = length and self.conditions.get(text, True)

    def spend(self) -> bool:
        """Whether one more name or caller may be looked into."""
        self._effort -= 1
        return self._effort >= 0

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
        if 0 < len(found) <= bounds.VALUES:
            return found
        # What the length decides is kept; "other" stands for all the rest.
        decided = [v for v in found if isinstance(v, Number) and v.at(1 << 20, ANY) is not None]
        return (*decided[: bounds.VALUES - 1], unknown)

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
            call = node if plain(node) else self.spread(frame.source, node, frame.function)
            return self._call(call, frame) if plain(call) else (self.other(node, frame),)
        if isinstance(node, ast.Subscript):
            return self._subscript(node, frame)
        if isinstance(node, ast.BinOp):
            pairs = itertools.product(self.values(node.left, frame), self.values(node.right, frame))
            return [self._binary(node, a, b, frame) for a, b in pairs]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Invert)):
            less = constant(int(isinstance(node.op, ast.Invert)))
            inner = self.values(node.operand, frame)
            return [
                times(plus(v, less), constant(-1)) if isinstance(v, Number) else self.other(node, frame) for v in inner
            ]
        if isinstance(node, ast.IfExp):
            return (*self.values(node.body, frame), *self.values(node.orelse, frame))
        if isinstance(node, ast.BoolOp):
            return [v for part in node.values for v in self.values(part, frame)]
        if isinstance(node, ast.NamedExpr):
            return self.values(node.value, frame)
        if isinstance(node, (ast.Tuple, ast.List)) and not any(isinstance(e, ast.Starred) for e in node.elts):
            return (Items(tuple(self.values(e, frame) for e in node.elts), (), isinstance(node, ast.Tuple)),)
        keys = string_keys(node)
        if isinstance(node, ast.Dict) and keys and len(set(keys)) == len(keys):
            return (Items(tuple(self.values(v, frame) for v in node.values), tuple(keys), fixed=False),)
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.comparators[0], ast.Constant):
            test = type(node.ops[0]), node.comparators[0].value
            many = test in ((ast.Gt, 1), (ast.GtE, 2))
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
            if (
                isinstance(node.op, ast.BitAnd)
                and b.constant is not None
                and -b.constant & (-b.constant - 1) == 0 > b.constant
            ):
                return times(constant(-b.constant), made("floor", (a, constant(-b.constant))))
        return self.other(node, frame)

    # Names

    def _name(self, node: ast.Name, frame: Frame) -> Iterable[Value]:
        source, name, captured, below = frame.source, node.id, False, False
        for scope in source.above(node):
            if isinstance(scope, ast.ClassDef) and not below and source.bound(scope, name):
                return (self.other(node, frame),)
            below |= isinstance(scope, FUNCTIONS) and scope.args not in source.above(node)
            if isinstance(scope, (ast.Lambda, *SCOPES[3:])):
                return (self.other(node, frame),)
            if isinstance(scope, FUNCTIONS) and (scope is frame.function or scope.args not in source.above(node)):
                bindings = source.bound(scope, name)
                if takes(scope, name) or bindings:
                    return self._local(node, frame, scope, bindings, captured)
                captured = True
        return self._global(node, frame, source, name)

    def _local(
        self, node: ast.Name, frame: Frame, scope: FunctionNode, bindings: list[Binding], captured: bool
    ) -> Iterable[Value]:
        source, unknown, given = frame.source, self.other(node, frame), node.id in parameters(scope)
        lent = any(scope in source.above(n) for n in source.seen(f"nonlocal {node.id}"))
        lent |= any(isinstance(b.node, ast.Global) for b in bindings)
        if lent or (captured and len(bindings) + given != 1):
            return (unknown,)
        seen = [*bindings] if captured else reaching(source, scope, bindings, node)
        if seen is None or (captured and bindings and source.within(bindings[0].node, LOOPS)):
            return (unknown,)
        asserted = self._asserted(scope, seen, node, frame)
        if asserted is not None:
            return (asserted,)
        found: list[Value] = []
        for binding in seen:
            values: Sequence[Value] = (unknown,)
            if isinstance(binding.node, (ast.Import, ast.ImportFrom)):
                values = self._imported(source.imported(node.id, binding.node), unknown)
            elif binding.value is not None:
                values = self.values(binding.value, frame)
            elif isinstance(binding.node, FUNCTIONS):
                values = (Thing("function", "", source, binding.node),)
            for value in values:
                found += (value,) if binding.item is None else _item(value, binding.item) or (unknown,)
        if given and not (seen and dominates(source, seen[-1].node, node)):
            found += self._parameter(node, frame, scope)
        asked = {v.atom for v in found if isinstance(v, Number) and v.atom is not None and v.atom.kind == "parameter"}
        looked_at = [*filter(changeable, found), *[_ANY_TENSOR][: len(asked)]]
        if looked_at and not untouched(source, scope, seen, node, looked_at, late=captured):
            self.touched |= asked
            if looked_at != [_ANY_TENSOR]:
                return (self.other(node, frame, f"{node.id}, which is used in ways that are not followed"),)
        several = tuple(dict.fromkeys(found))
        if len(several) > 1 and all(isinstance(v, Number) for v in several):
            # Which of them it is, it is wherever the same bindings are seen: once, as nothing is bound in a loop.
            key = (frame.key, source.relative, node.id, *(start(b.node) for b in seen), several)
            return (of(Atom("field", key, node.id, (), several)),)
        return found

    def _parameter(self, node: ast.Name, frame: Frame, scope: FunctionNode) -> tuple[Value, ...]:
        source, name, spec = frame.source, node.id, scope.args
        owner, decorators = source.class_around(scope), {last(d) for d in scope.decorator_list}
        if frame.arguments is not None and scope is frame.function and name in frame.arguments:
            return frame.arguments[name]
        if owner is not None and parameters(scope)[:1] == [name] and "staticmethod" not in decorators:
            self._lent(source, scope)
            return (Thing("class" if "classmethod" in decorators else "object", "", source, owner),)
        if frame.arguments is not None and scope is frame.function:
            return frame.arguments.get(name, (self.other(node, frame),))
        every = (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)
        said = next((a.annotation for a in every if a.arg == name and a.annotation is not None), None)
        found, kind = Thing("config"), "config"
        if not THE_CONFIG(name) or OTHER_MODELS(name) or (said and OTHER_MODELS(text_of(said).lower())):
            named = self.class_of(said, frame) if said is not None else None
            if named is None:
                return (self.callers.parameter(source, scope, name),)
            found, kind = Thing("object", "", *named), "object"
        hook = self.attributes.names.hook  # of an object, a condition of what is read of it anyway
        doubt = hook or self.callers.not_given(kind, source, scope, name)
        self.condition(doubt if kind == "config" or not hook else "", length=kind == "config")
        return (found,)

    def _lent(self, source: Source, scope: FunctionNode) -> None:
        """Whether a method may be run with an object of another class is a condition."""
        name = re.escape(scope.name.encode())
        held = any("property" in last(d) for d in scope.decorator_list)
        if self.attributes.names.hook:
            return  # is a condition of what is read of it anyway
        if held or scope.name.startswith("__") or scope.name == "forward":
            of_class = rb"\b_*[A-Z]\w*\.%b\b(?!\s*\(\s*(?:self|cls)\b)" % name
            pattern = of_class if held else rb"%b|\.%b\b(?!\s*[\w(])" % (of_class, name)
            found = self.package.matches(f".{scope.name}", re.compile(pattern))
            where = [f"{path}:{line}" for path, line, _ in found]
        else:
            sites, escapes = self.callers.sites(source, scope)
            where = [f"{e.source.relative}:{getattr(e.node, 'lineno', 0)}" for e in escapes]
            for site in sites:
                if any(named for named, _ in self.callers.bindings(site, source, scope)):
                    where.append(f"{site.source.relative}:{site.call.lineno}")
        if where:
            self.condition(f"{scope.name} may be run with an object of another class: {where[0]}", length=False)

    def _global(self, node: ast.AST, frame: Frame, source: Source, name: str) -> tuple[Value, ...]:
        """A module's own name, given a value once and never again."""
        unknown, bindings = self.other(node, frame), source.bound(source.tree, name)
        rebound = source.rebinds(name)
        if len(bindings) != 1 or rebound or source.within(bindings[0].node, LOOPS) or bindings[0].item is not None:
            return (unknown,)
        if any(isinstance(n, ast.alias) and start(n) > start(bindings[0].node) for n in source.seen("*")):
            return (unknown,)  # `from ... import *` may give it another meaning
        one = bindings[0].node
        if isinstance(one, (ast.Import, ast.ImportFrom)):
            dotted = source.imported(name, one)
            own_name = dotted.rpartition(".")[2] != name
            return (unknown,) if own_name and self.package.sets(name) else self._imported(dotted, unknown)
        return self._defined(source, one, unknown, bindings[0].value, name)

    def _imported(self, dotted: str, unknown: Number) -> tuple[Value, ...]:
        found = self.package.find(dotted)
        if found is None:
            own = dotted.partition(".")[0] == self.package.name
            return (unknown,) if own else (Thing("elsewhere", dotted),)
        source, node = found
        return self._defined(source, node, unknown, getattr(node, "value", None), dotted.rpartition(".")[2])

    def _defined(
        self, source: Source, node: ast.AST, unknown: Number, value: ast.expr | None, name: str
    ) -> tuple[Value, ...]:
        if type(node) in _KINDS and not (isinstance(node, ast.ClassDef) and self.package.sets(name)):
            return (Thing(_KINDS[type(node)], "", source, node),)
        target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        if value is None or not isinstance(target, ast.Name) or source.rebinds(target.id):
            return (unknown,)
        if self.attributes.names.sets_modules(name) or self.package.handed(source):
            return (unknown,)
        found = self.values(value, Frame(source, None, None, ("global", source.relative)))
        # What is done to a module's tensor is not followed; of what else may change, every mention is.
        changing = [v for v in found if changeable(v)]
        kept = not any(isinstance(v, Tensor) or any(map(changeable, inside(v))) for v in changing)
        kept &= not changing or (
            alone(source, node) and left_alone(self.package, name, changing, (ast.Name, ast.Attribute))
        )
        return found if kept else (unknown,)

    def _asserted(self, scope: FunctionNode, reaching: list[Binding], use: ast.Name, frame: Frame) -> Value | None:
        """What ``assert name == 64`` or ``assert isinstance(name, Class)`` says, where the name keeps its meaning."""
        source = frame.source
        for named in source.seen(use.id):
            test = source.up[named]
            node = source.up.get(test)
            if not (isinstance(named, ast.Name) and isinstance(node, ast.Assert) and scope in source.above(node)):
                continue
            if not all(end(b.node) < start(node) for b in reaching) or not dominates(source, node, use):
                continue
            if isinstance(test, ast.Call) and last(test) == "isinstance" and test.args[:1] == [named]:
                found = self.class_of(test.args[1], frame)
                if found is not None:
                    return Thing("object", "", *found)
            elif isinstance(test, ast.Compare) and test.left is named and [type(o) for o in test.ops] == [ast.Eq]:
                right = test.comparators[0]
                if isinstance(right, ast.Constant) and isinstance(right.value, int):
                    return constant(right.value)
        return None

    # Attributes

    def _attribute(self, node: ast.Attribute, frame: Frame) -> Iterable[Value]:
        unknown, base_text = self.other(node, frame), text_of(node.value)
        stated = node.attr == OPERATOR or THE_CONFIG(text_of(node))
        # What a configuration holds is for the operator to say; an object that another one holds is not followed.
        told = not stated and _CONFIG(base_text)
        if told or (base_text.startswith("self.") and not THE_CONFIG(base_text) and not self._made(node, frame)):
            return (unknown,)
        if not isinstance(node.value, (ast.Name, ast.Attribute, ast.Call)):
            return (unknown,)
        found: list[Value] = []
        for base in self.values(node.value, frame):
            configured = self.attributes.config(base, node, frame)
            if configured is not None:
                found += configured
            elif isinstance(base, Thing) and base.kind == "elsewhere":
                found.append(Thing("elsewhere", f"{base.name}.{node.attr}"))
            elif isinstance(base, Thing) and base.kind == "module" and base.source is not None:
                found += self._global(node, frame, base.source, node.attr)
            elif isinstance(base, Thing) and base.kind in ("object", "class"):
                held = self._field(base, node, frame)
                if held and base.source is not None:  # what is set by name may be its class's
                    length = all(isinstance(v, Number) and LENGTH.atom in v.atoms for v in held)
                    self.condition(self.attributes.names.hook, length=length)
                found += held or self.attributes.read(base, node, frame)
            else:
                found.append(unknown)
        return found

    def _field(self, base: Thing, node: ast.Attribute, frame: Frame) -> Iterable[Value]:
        """What a class gives, or an object whose fields are known; nothing where others may have a say in it."""
        source, owner, itself = base.source, base.node, base
        if base.held is not None and (field := base.held.at(node.attr)):
            return field
        if source is None:
            return (self.other(node, frame),)  # what makes it has no other attributes
        if (base.held is None and base.kind == "object") or not isinstance(owner, ast.ClassDef):
            return ()
        bindings = source.bound(owner, node.attr)
        if len(bindings) != 1 or not self.attributes.closed(source, owner):
            return ()
        if len(self.attributes.names.of_class(node.attr, source, owner)) != 1:
            return ()
        member, above = bindings[0].node, frame.source.up[node]
        if not isinstance(member, FUNCTIONS):
            values = self.values(bindings[0].value, Frame(source, None)) if bindings[0].value is not None else ()
            return () if any(map(changeable, values)) else values  # every object of it has the same one
        decorators = {last(d) for d in member.decorator_list}
        if any("property" in d for d in decorators):
            key = (*frame.key, frame.source.relative, node.lineno, node.col_offset)
            unknown = self.other(node, frame)
            if base.held is None:
                return ()
            found = self.returned(source, member, {parameters(member)[0]: (base,)}, key, unknown)
            return [unknown if changeable(v) else v for v in found]  # it may be kept
        if "classmethod" in decorators:
            itself = Thing("class", "", source, owner)
        bound = "staticmethod" not in decorators and (base.kind == "object" or itself is not base)
        if bound and itself is base and not (isinstance(above, ast.Call) and above.func is node):
            return (self.other(node, frame),)  # when it is called, the object may hold others
        return (Thing("method", "", source, member, Items(((itself,),), (0,)) if bound else Items(())),)

    def _made(self, node: ast.Attribute, frame: Frame) -> bool:
        """Whether what an attribute of ``self`` holds is made by its class of one of the package that stores this."""
        found = self._class_held(node.value, frame.source)
        return found is not None and bool(self.attributes.names.of_class(node.attr, *found))

    def _class_held(self, node: ast.expr, source: Source) -> tuple[Source, ast.ClassDef] | None:
        """The class of ``self``, or of which ``self.part``, or a part of that, is made where it is stored."""
        if not isinstance(node, ast.Attribute):
            owner = source.within(node, ast.ClassDef)
            return (source, owner) if text_of(node) == "self" and isinstance(owner, ast.ClassDef) else None
        holder = self._class_held(node.value, source)
        for store in self.attributes.names.of_class(node.attr, *holder) if holder is not None else ():
            if isinstance(store.value, ast.Call):
                return self.class_of(store.value.func, Frame(store.source, None))
        return None

    def class_of(self, node: ast.expr, frame: Frame) -> tuple[Source, ast.ClassDef] | None:
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

    # Calls

    def _call(self, node: ast.Call, frame: Frame) -> Iterable[Value]:
        unknown = self.other(node, frame)
        known = isinstance(node.func, ast.Name) and node.func.id in _BUILTINS
        if isinstance(node.func, ast.Name) and known and self._builtin(node.func.id, node, frame.source):
            if node.func.id == "getattr":
                return self._by_name(node, frame, unknown)
            return self._of_builtin(node, node.func.id, frame, unknown)
        if isinstance(node.func, ast.Attribute):
            made_so = of_tensor(self, node, node.func, frame)
            if made_so is not None:
                return made_so
        if THE_CONFIG(text_of(node)) and not OTHER_MODELS(text_of(node)) and not node.args and not node.keywords:
            return self._current_config(node, frame)
        found: list[Value] = []
        for function in self.values(node.func, frame):
            if not isinstance(function, Thing):
                found.append(unknown)
            elif function.kind == "elsewhere":
                found += self._of_library(node, function.name, frame, unknown)
            elif function.kind == "class":
                held = self._fields(function, node, frame)
                found.append(Thing("object", "", function.source, function.node, held))
            else:
                found += self._entered(function, node, frame, unknown)
        return found

    def _builtin(self, name: str, at: ast.AST, source: Source) -> bool:
        """Whether a name is Python's own at a place."""
        if source.stars or source.bound(source.tree, name) or self.replaced("builtins", name):
            return False
        around = [n for n in source.above(at) if isinstance(n, FUNCTIONS)]
        return not any(source.bound(n, name) or takes(n, name) for n in around)

    def spread(self, source: Source, call: ast.Call, function: FunctionNode | None) -> ast.Call:
        """A call with the keywords of a dictionary that the function writes out; any other ``**`` as it is."""
        found: list[ast.keyword] = []
        called, scope = self._builtin("dict", call, source), function or source.tree
        for keyword in call.keywords:
            e, other = keyword.value, False
            for n in source.seen(e.id) if isinstance(e, ast.Name) else ():
                # One of another function within it is another one; what is looked up in it, or given it, may change it.
                up = source.up[n]
                lent = isinstance(up, ast.Call) or (isinstance(up, ast.Subscript) and isinstance(up.ctx, ast.Load))
                other |= scope in source.above(n) and (lent or source.within(n, SCOPED) is not function)
            other |= isinstance(e, ast.Name) and len(source.bound(scope, e.id)) > 1
            given = dictionary(function, e, called=called) if function and keyword.arg is None and not other else None
            keys = string_keys(given)
            known = zip(keys, given.values, strict=True) if given is not None and keys is not None else ()
            found += [ast.keyword(k, v) for k, v in known] if keys is not None else [keyword]
        made = ast.copy_location(ast.Call(call.func, call.args, found), call)
        source.up[made] = source.up[call]
        return made

    def _by_name(self, node: ast.Call, frame: Frame, unknown: Number) -> Iterator[Value]:
        """``getattr`` with a name that is stated: the attribute, or what is given for where there is none."""
        asked = node.args[1].value if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) else None
        if not isinstance(asked, str):
            yield unknown
            return
        attribute = ast.copy_location(ast.Attribute(node.args[0], asked, ast.Load()), node)
        frame.source.up[attribute] = frame.source.up[node]
        for value in (attribute, *node.args[2:]):
            yield from self.values(value, frame)

    def _of_builtin(self, node: ast.Call, name: str, frame: Frame, unknown: Number) -> Iterator[Value]:
        """``int``, ``min``, ``max`` and ``sum``, and ``dict`` of names."""
        if name == "dict":
            yield self._held(node.keywords, frame) if node.keywords and not node.args else unknown
            return
        given = [self.values(n, frame) for n in node.args]
        only = sequence(given[0][0]) if len(given) == 1 and len(given[0]) == 1 and name != "int" else None
        given = [*only.items] if only is not None else given
        for combination in itertools.islice(itertools.product(*given), bounds.VALUES + 1):
            numbers = tuple(v for v in combination if isinstance(v, Number))
            whole = len(numbers) == len(combination) and not node.keywords
            if name == "sum":
                yield reduce(plus, numbers, ZERO) if whole and only is not None else unknown
                continue
            if name == "int":  # what is read as the program runs may be a fraction
                stated = whole and len(numbers) == 1 and (numbers[0].atom is not None or _settled(numbers[0]))
                yield numbers[0] if stated else unknown
            else:
                yield made(name, numbers) if whole and len(numbers) > 1 else unknown

    def replaced(self, home: str, name: str) -> bool:
        """Whether the package, its tests aside, gives a function of torch's or of Python's another meaning."""
        if name not in self._patched:
            near = self.package.files(home)
            named = re.compile(rb"import\s+%b\s+as\s+(\w+)" % home.encode())
            lines = self.package.matches(f"import {home} as ", named, files=near)
            aliases = {name for _, _, line in lines for name in named.findall(line)}
            bases = b"|".join({home.encode(), *aliases})
            pattern = re.compile(_REPLACED % {b"bases": bases, b"home": home.encode(), b"name": name.encode()})
            needles = (f".{name}", "setattr(", "patch(", "patch.object(")
            found = (path for text in needles for path, *_ in self.package.matches(text, pattern, 99, near))
            self._patched[name] = any(not TESTS(path) for path in found)
        return self._patched[name]

    def _of_library(self, node: ast.Call, name: str, frame: Frame, unknown: Number) -> Iterable[Value]:
        home, _, what = name.rpartition(".")
        if home == "torch" and not what.startswith("new_") and ALLOCATES(what) and not self.replaced(home, what):
            return allocated(self, node, what, frame)
        if name == "triton.cdiv" and len(node.args) == 2 and not self.replaced("triton", "cdiv"):
            found = []
            for a, b in itertools.product(*(self.values(arg, frame) for arg in node.args)):
                both = isinstance(a, Number) and isinstance(b, Number) and b.constant != 0
                found.append(made("floor", (plus(plus(a, b), constant(1), -1), b)) if both else unknown)  # type: ignore[arg-type]
            return found
        if home in ("types", "functools") and self.replaced(home, what):
            return (unknown,)
        if name == "types.SimpleNamespace" and node.keywords and not node.args:
            return (Thing("object", held=self._held(node.keywords, frame)),)
        if name == "functools.partial" and node.args:
            bound = self._held([*map(ast.keyword, itertools.repeat(None), node.args[1:]), *node.keywords], frame)
            functions = self.values(node.args[0], frame)
            known = (f if isinstance(f, Thing) and f.kind == "function" and not f.held else None for f in functions)
            return [replace(f, held=bound) if f is not None else unknown for f in known]
        return (unknown,)

    def _held(self, given: Sequence[ast.keyword], frame: Frame) -> Items:
        """What is kept under names, or in places; of what may change, when it is asked for nobody knows what it is."""
        found = []
        for one in given:
            unknown = self.other(one.value, frame)
            found.append(tuple(self._renamed(v, unknown) for v in self.values(one.value, frame)))
        return Items(tuple(found), tuple(k.arg or i for i, k in enumerate(given)), fixed=False)

    def _renamed(self, value: Value, unknown: Number) -> Value:
        """A value that goes by another name from here on: of what may change nobody knows what becomes of it."""
        if isinstance(value, Number) and value.atom is not None and value.atom.kind == "parameter":
            self.touched.add(value.atom)
        return unknown if changeable(value) else value

    def _fields(self, made: Thing, node: ast.Call, frame: Frame) -> Items | None:
        """What an object holds as it is made, where its class only holds what it is given."""
        maker = self.attributes.holds(made)
        key = (*frame.key, frame.source.relative, node.lineno, node.col_offset)
        if maker is None or made.source is None or len(key) > bounds.KEY:
            return None
        own = (made.source.relative, maker.lineno)
        for _, given in self.callers.bindings(Site(frame.source, node), made.source, maker, frame):
            found = {}
            for name, (value, where) in given.items():
                unknown = self.other(value or node, where, "" if value else name)
                values = self.values(value, where) if value is not None else (unknown,)
                found[name] = tuple(unknown if has_parameter(v, own) else self._renamed(v, unknown) for v in values)
            fixed = isinstance(made.node, ast.ClassDef) and bool(made.node.bases)  # a named tuple
            if not isinstance(maker.body[0], ast.Pass):
                arguments, found = found, {}
                for one in maker.body:
                    target = one.targets[0] if isinstance(one, ast.Assign) else getattr(one, "target", None)
                    if isinstance(target, ast.Attribute) and isinstance(one, (ast.Assign, ast.AnnAssign)):
                        so_far = Items(tuple(found.values()), tuple(found))
                        itself = {parameters(maker)[0]: (replace(made, kind="object", held=so_far),)}
                        unknown = self.other(one, frame)
                        values = self.values(one.value, Frame(made.source, maker, {**arguments, **itself}, key))
                        found[target.attr] = tuple(self._renamed(v, unknown) for v in values)
            return Items(tuple(found.values()), tuple(found), fixed)
        return None

    def _current_config(self, node: ast.Call, frame: Frame) -> tuple[Value, ...]:
        """The configuration that a function of the engine gives, which is imported by its name."""
        doubt, source = self.attributes.names.hook, frame.source
        if not doubt:
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            around = [n for n in source.above(node) if isinstance(n, FUNCTIONS)]
            bindings = [b for n in (*around, source.tree) for b in source.bound(n, name)]
            given = any(name in parameters(n) for n in around)
            imported = bool(name) and not given
            imported &= all(isinstance(b.node, (ast.Import, ast.ImportFrom)) for b in bindings)
            found = self.values(node.func, frame)
            if not imported or any(isinstance(v, Thing) and v.kind != "elsewhere" for v in found):
                doubt = f"whose configuration {text_of(node)} gives was not followed ({source.relative}:{node.lineno})"
        self.condition(doubt, length=True)
        return (Thing("config"),)

    def _entered(self, thing: Thing, node: ast.Call, frame: Frame, unknown: Number) -> Iterable[Value]:
        """A function of the package, entered; nothing where the call cannot be one of it."""
        function, source = thing.node, thing.source
        key = (*frame.key, frame.source.relative, node.lineno, node.col_offset)
        if not isinstance(function, FUNCTIONS) or source is None or len(key) > bounds.KEY:
            return (unknown,)
        around = source.within(function, SCOPED)
        if around is not None:
            # One within another function is in that one's hands alone, which may call it and no more.
            mentions = (n for n in source.seen(function.name) if n is not function and around in source.above(n))
            if not all(isinstance(call := source.up[n], ast.Call) and call.func is n for n in mentions):
                return (unknown,)
        elif source.class_around(function) is not None and thing.held is not None:
            pass  # of a class that is known to be what its body says
        elif self.attributes.names.sets_modules(function.name) or self.package.handed(source):
            return (unknown,)
        found: list[Value] = []
        held = thing.held or Items(())
        bound = {ast.Constant(k): values for k, values in zip(held.keys, held.items, strict=True)}  # type: ignore[arg-type]
        before = tuple(n for n in bound if isinstance(n.value, int))
        named = tuple(ast.keyword(n.value, n) for n in bound if isinstance(n.value, str))
        first = 0 if thing.held is not None else None
        site = Site(frame.source, node, Bound(before, named))
        for _, given in self.callers.bindings(site, source, function, frame, first):
            arguments: dict[str, tuple[Value, ...]] = {}
            for name, (value, where) in given.items():
                values = bound.get(value) or (self.values(value, where) if value else (unknown,))  # type: ignore[call-overload]
                # A default is the same one in every call.
                kept = any(map(changeable, values)) and where.function is None
                arguments[name] = (unknown,) if kept else values
            changing = any(changeable(v) for values in arguments.values() for v in values)
            returned = self.returned(source, function, arguments, key, unknown)
            # It may be one that it was given.
            found += [v if changeable(v) and not changing else self._renamed(v, unknown) for v in returned]
        return found

    def returned(
        self,
        source: Source,
        function: FunctionNode,
        arguments: Mapping[str, tuple[Value, ...]],
        key: tuple[object, ...],
        unknown: Number,
    ) -> tuple[Value, ...]:
        """What a function returns, for any of its arguments' values."""
        combinations = list(itertools.islice(itertools.product(*arguments.values()), bounds.VALUES + 1))
        if function in self._busy or len(self._busy) > bounds.HELPERS or len(combinations) > bounds.VALUES:
            return (unknown,)
        nodes = [n for n in descend(function) if source.within(n, SCOPED) is function]
        opaque = isinstance(function, ast.AsyncFunctionDef) or any(isinstance(n, _OPAQUE) for n in nodes)
        if opaque or not self.clear(source, function):
            return (unknown,)
        self._busy.add(function)
        shared = any(last(d) in ("cache", "lru_cache") for d in function.decorator_list)
        values: list[Value] = []
        for combination in combinations:
            bound = {n: (v,) for n, v in zip(arguments, combination, strict=True)}
            for node in nodes:
                if isinstance(node, ast.Return):
                    values += self.values(node.value, Frame(source, function, bound, key))
        if not isinstance(function.body[-1], (ast.Return, ast.Raise)):
            values.append(Nothing())
        self._busy.discard(function)
        own = (source.relative, function.lineno)
        # Of a tensor that others are given too nobody knows what they do to it.
        return tuple(unknown if has_parameter(v, own) or (shared and changeable(v)) else v for v in values)

    def clear(self, source: Source, function: FunctionNode) -> bool:
        """Whether decorators leave it as it is: those that are known by name, and not made by the engine itself."""
        if not clear_decorators(function):
            return False
        for one in function.decorator_list:
            inner, owner = one.func if isinstance(one, ast.Call) else one, source.class_around(function)
            if isinstance(inner, ast.Name) and owner is not None and source.bound(owner, inner.id):
                return False
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
        index: object = indices[0].constant if len(indices) == 1 and isinstance(indices[0], Number) else None
        index = node.slice.value if isinstance(node.slice, ast.Constant) else index
        held = isinstance(inner, ast.Name) or (isinstance(inner, ast.Attribute) and text_of(inner.value) == "self")
        for value in self.values(inner, frame) if held or not shape else (unknown,):
            if isinstance(value, Nothing):
                continue  # what is not there cannot be indexed
            if isinstance(value, Tensor) and shape and index in (-1, value.rank - 1):
                found.append(value.columns)
            elif isinstance(value, Tensor) and not shape:
                found.append(view(self, node.slice, value, frame) or unknown)
            else:
                found += _item(value, index) or (unknown,)
        return found


def _item(value: Value, key: object) -> tuple[Value, ...] | None:
    """What a tuple, a list or a dictionary has under a key."""
    items = sequence(value) or value
    return items.at(key) if isinstance(items, Items) else None


def _settled(number: Number) -> bool:
    """Whether it is no fraction, whatever is read as the program runs."""
    return all(a.kind not in ("other", "field") or ".shape[" in a.text for a in number.atoms)


_BUILTINS = ("int", "min", "max", "sum", "dict", "getattr")
_ANY_TENSOR = Tensor(ZERO, ZERO, 2)
_KINDS: dict[type, str] = {ast.Module: "module", ast.ClassDef: "class", **dict.fromkeys(FUNCTIONS, "function")}
_OPAQUE = (ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)
_CONFIG = re.compile(r"(?:^|[._])(?:config|server_args)(?:\(\))?$").search
_REPLACED = (
    rb"\b(?:%(bases)b)\.%(name)b\s*(?:[:=](?!=)|\bin\b)"
    rb"|(?:^|;)[\s(\[]*(?:[\w.*]+\s*,\s*)*(?:%(bases)b)\.%(name)b\b[^(=\n]*=(?!=)"
    rb"|\bas\s+(?:\w+\.)*%(name)b\s*:"
    rb"|(?:setattr|patch\.object)\(\s*(?:\w+\.)*(?:%(bases)b)\s*,\s*(?:[\"']%(name)b[\"']|[^\"'\s])"
    rb"|patch\(\s*[\"']%(home)b\.%(name)b[\"']"
)
