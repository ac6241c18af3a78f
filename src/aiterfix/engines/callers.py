"""Who calls a function of the engine, with what, and what that makes of values that hang on its parameters."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from aiterfix.engines import bounds
from aiterfix.engines.names import OPERATOR
from aiterfix.engines.package import FUNCTIONS, FunctionNode, Package, Source, parameters, takes, text_of
from aiterfix.engines.uses import Bound, Escape, Site, Target, Uses, last
from aiterfix.engines.values import LENGTH, Atom, Frame, Thing, Value, atoms_of, changeable, of, role, with_values
from aiterfix.source.tree import descend
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.engines.trace import Tracer


@record(frozen=True)
class Way:
    """One way in which values come about, and where the last of them is stated."""

    state: tuple[Value, ...]
    source: Source = field(repr=False)
    line: int


class Callers:
    """Finds the calls of one package's functions."""

    def __init__(self, package: Package, tracer: Tracer) -> None:
        self._package, self._tracer = package, tracer
        self._functions: dict[tuple[object, ...], tuple[Source, FunctionNode]] = {}
        self._uses: dict[ast.AST, Uses | None] = {}
        self._given: dict[tuple[object, ...], str] = {}

    def parameter(self, source: Source, scope: FunctionNode, name: str) -> Value:
        """What stands for a parameter until its callers are asked."""
        key = (source.relative, scope.lineno, scope.name)
        self._functions[key] = source, scope
        return of(Atom("parameter", (*key, name), name))

    def uses(self, target: Target) -> Uses:
        """Every use of a target."""
        # Who makes objects of a class matters to attributes, of which all is doubted at once.
        doubted = isinstance(target.node, ast.ClassDef) and bool(self._tracer.attributes.names.hook)
        return Uses(self._package, target, self._meant, doubted=doubted)

    def uses_of(self, source: Source, node: FunctionNode | ast.ClassDef) -> Uses | None:
        """Every use of a definition; None where that is too much, or asked on the way to it."""
        if node not in self._uses:
            if not self._tracer.spend():
                return None
            self._uses[node] = None
            self._uses[node] = found = self.uses(Target(node.name, source, node))
            if source.class_around(node) is None:
                found.escapes += [Escape(source, node, f"is named in {p}") for p in self._package.settings(node.name)]
            for place, begin, end in self._package.put_together:
                if node.name.startswith(begin) and node.name.endswith(end):
                    found.escapes.append(Escape(source, node, f"may be asked for by a name put together at {place}"))
        return self._uses[node]

    def sites(self, source: Source, function: FunctionNode) -> tuple[list[Site], list[Escape]]:
        """Every call of a function, and mentions of it that are none."""
        around = source.class_around(function)
        if function.name == "__init__" and around is not None:
            return self._makers(source, around)
        found = self.uses_of(source, function)
        escapes = [*found.escapes] if found else [Escape(source, function, "is one of too many that lead to the call")]
        if around is not None and (function.name == "forward" or function.name.startswith("__")):
            escapes.append(Escape(source, function, "may be called without being named"))
        spec = function.args
        least = len(spec.posonlyargs) + len(spec.args) - len(spec.defaults) - (around is not None)
        needed = {a.arg for a, value in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if value is None}
        known = {*parameters(function)}
        calls = self._package.named_calls
        places = [p for p, count, names in calls if least <= count <= len(known) and needed <= names <= known]
        escapes += [Escape(source, function, f"may be called by a name worked out at {p}") for p in places[:1]]
        return found.sites if found else [], escapes

    def _makers(self, source: Source, owner: ast.ClassDef, depth: int = 0) -> tuple[list[Site], list[Escape]]:
        """Every call that makes an object of a class, or initialises one again."""
        found = self.uses_of(source, owner)
        if owner.keywords or found is None:
            return [], [Escape(source, owner, f"of {owner.name} is not followed")]
        sites, escapes = [*found.sites], [*found.escapes]
        for where, heir in found.heirs if depth < 6 else ():
            inner = [n for n in descend(heir) if isinstance(n, ast.Call) and text_of(n.func).endswith(").__init__")]
            more = self._makers(where, heir, depth + 1)
            sites, escapes = [*sites, *(Site(where, n) for n in inner), *more[0]], [*escapes, *more[1]]
        return sites, escapes

    # Whether a mention is of the target

    def _meant(self, target: Target, source: Source, node: ast.AST) -> bool:
        """Whether a name may be of a target: an attribute of that name is, unless it leads out of the engine."""
        if target.attribute or target.source is None:
            return isinstance(node, ast.Attribute) or not target.attribute
        if isinstance(node, ast.Attribute):
            return not self.foreign(source, node.value)
        owner = target.source.class_around(target.node) if target.node is not None else None
        if owner is not None:
            return source.within(node, ast.ClassDef) is owner
        scopes = [s for s in source.above(node) if isinstance(s, FUNCTIONS)]
        for scope in (*scopes, source.tree):
            found = [b.node for b in source.bound(scope, target.name)]
            if target.node in found or any(isinstance(n, (ast.Global, ast.Nonlocal)) for n in found):
                return True
            imports = [n for n in found if isinstance(n, (ast.Import, ast.ImportFrom))]
            if imports:
                return any(self._leads(source.imported(target.name, n), target) for n in imports)
            if found or (isinstance(scope, FUNCTIONS) and takes(scope, target.name)):
                return scope is source.tree and source.rebinds(target.name)
        return source.stars

    def foreign(self, source: Source, node: ast.expr) -> bool:
        """Whether an expression is of another package (of torch's operators, the engine registers its own)."""
        text = text_of(node)
        while isinstance(node, ast.Attribute):
            node = node.value
        if not isinstance(node, ast.Name) or text.startswith("torch.ops"):
            return False
        for scope in (*(s for s in source.above(node) if isinstance(s, FUNCTIONS)), source.tree):
            found = [b.node for b in source.bound(scope, node.id)]
            if found or (isinstance(scope, FUNCTIONS) and takes(scope, node.id)):
                imports = [n for n in found if isinstance(n, (ast.Import, ast.ImportFrom))]
                homes = {source.imported(node.id, n).partition(".")[0] for n in imports}
                return len(imports) == len(found) and bool(homes) and self._package.name not in homes
        return False

    def _leads(self, dotted: str, target: Target) -> bool:
        """Whether a dotted name may be the target; what leads out of the package is not."""
        if dotted.partition(".")[0] != self._package.name:
            return False
        found, own = self._package.find(dotted), target.node
        if isinstance(own, (ast.Import, ast.ImportFrom)) and target.source is not None:
            behind = self._package.find(f"{target.source.dotted}.{target.name}")
            own = behind[1] if behind is not None else own
        return found is None or found[1] is own or not isinstance(found[1], (*FUNCTIONS, ast.ClassDef))

    # Arguments

    def bindings(
        self, site: Site, source: Source, function: FunctionNode, frame: Frame | None = None, first: int | None = None
    ) -> Iterator[tuple[bool, Mapping[str, tuple[ast.expr | None, Frame]]]]:
        """Arguments of a call by parameter, defaults too, each with where it is looked at from, for every way in which
        it may be one of the function; None for what is not said. First of each, whether the call names the object, as
        one through the class does. ``first``: which parameter the first argument is, where that is known."""
        stated, own = frame or Frame(site.source, site.source.function(site.call)), Frame(source, None)
        defaults = (*function.args.defaults, *function.args.kw_defaults)
        decorators = {last(d) for d in function.decorator_list}
        firsts, method = [1], source.class_around(function) is not None
        base = site.call.func.value if isinstance(site.call.func, ast.Attribute) and site.bound == Bound() else None
        if first is not None:
            firsts = [first]
        elif "staticmethod" in decorators or (not method and base is None):
            firsts = [0]
        elif not method and base is not None:
            # Kept in a class it is a method: then the object is its first argument.
            found = self._tracer.values(base, Frame(site.source, None))
            kinds = {v.kind if isinstance(v, Thing) else "" for v in found}
            firsts = [0] if text_of(base).startswith("torch.ops") or not kinds & {"", "object"} else [0, 1]
        elif "classmethod" not in decorators and not (base is not None and _own(base)):
            # Asked of its class, the object is the first argument; under another name it may be either.
            makes = function.name == "__init__" and last(site.call) != "__init__"
            named = isinstance(base, ast.Name) and self._tracer.class_of(base, Frame(site.source, None)) is not None
            firsts = [1] if makes else [0] if named else [1, 0]
        for one in firsts:
            given = self.assigned(site, function, one)
            if given is not None:
                yield one == 0 and method, {n: (v, own if v in defaults else stated) for n, v in given.items()}

    def assigned(self, site: Site, function: FunctionNode, first: int = 0) -> dict[str, ast.expr | None] | None:
        """Arguments of a call by parameter, from the ``first`` on; None of one where it is not said, and of the whole
        where they do not fit."""
        spec, call = function.args, site.call
        every = [a.arg for a in (*spec.posonlyargs, *spec.args)]
        names = every[first:]
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

    def not_given(self, kind: str, source: Source, scope: FunctionNode, name: str) -> str:
        """Of a parameter that is taken for the operator's ``config``, or an ``object`` of the class that it names:
        where something else may be given; empty where nothing is."""
        key = (scope, name)
        if key not in self._given:
            self._given[key] = ""  # asked again on the way, it is what the others make of it
            self._given[key] = next(self._other_than(kind, source, scope, name), "")
        return self._given[key]

    def _other_than(self, kind: str, source: Source, scope: FunctionNode, name: str) -> Iterator[str]:
        sites, escapes = self.sites(source, scope)
        stated = [*scope.args.defaults, *(d for d in scope.args.kw_defaults if d is not None)]
        yield from (f"{name} may be another: {scope.name} {e.reason} ({e.source.relative})" for e in escapes)
        if not sites and not all(isinstance(d, ast.Constant) for d in stated):
            yield f"{name} may be another: {scope.name} may be called without it"
        for site in sites:
            for _, given in self.bindings(site, source, scope):
                value, frame = given.get(name, (None, Frame(source, None)))
                where = f"({site.source.relative}:{site.call.lineno})"
                if isinstance(value, ast.Constant) and value.value is None:
                    continue
                found = self._tracer.values(value, frame) if value else ()
                if not found or not all(isinstance(v, Thing) and v.kind == kind for v in found):
                    yield f"{name} may be {text_of(value) if value else 'another'} {where}"

    # Values

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
        atoms = frozenset().union(*map(atoms_of, state))
        wanted = sorted((a for a in atoms if a.kind in ("parameter", "field")), key=lambda a: (a.kind, repr(a.key)))
        if not wanted or depth > bounds.CALLERS or done(state):
            return [Way(state, source, line)]
        first = wanted[0]
        if first.kind == "field":
            unknown = self._tracer.other(ast.Constant(0), Frame(source, None), first.text)
            states = [tuple(with_values(v, {first: one}, unknown) for v in state) for one in first.several]
            return [way for one in states for way in self.expand(one, source, line, depth + 1, done)]
        key = first.key
        assert isinstance(key, tuple)
        where, function = self._functions[key[:3]]
        own = [a for a in wanted if isinstance(a.key, tuple) and a.key[:3] == key[:3]]
        sites, escapes = self.sites(where, function)
        why = [f"{function.name} {e.reason} ({e.source.relative}:{getattr(e.node, 'lineno', 0)})" for e in escapes]
        if not self._tracer.clear(where, function):
            why.append(f"{function.name} is decorated")
        found: list[Way] = []
        for site, given in [(s, g) for s in sites for _, g in self.bindings(s, where, function)]:
            after = self._after(state, own, site, given)
            if len(after) > bounds.VALUES:
                why.append(f"{function.name} is called in too many ways")
            for one in after[: bounds.VALUES]:
                found += self.expand(one, site.source, site.call.lineno, depth + 1, done)
        of_length = any(LENGTH.atom in atoms_of(v) for way in found for v in way.state)
        if len(own) == 1 and (role(of(own[0])) is not None or (of_length and own[0].text == OPERATOR)):
            # What is not read of the length or of a ratio is a condition on what the operator states.
            for reason in why[: bounds.REASONS]:
                self._tracer.condition(f"{own[0].text} may be another: {reason}", length=True)
            why = [] if found else [""]
        elif not found and not why:
            why.append(f"no call of {function.name} is found")
        for reason in dict.fromkeys(why[: bounds.REASONS]):
            frame = Frame(where, None)
            lost = {a: self._tracer.other(function, frame, f"{a.text}: {reason}" if reason else a.text) for a in own}
            after_all = tuple(with_values(v, lost, self._tracer.other(function, frame, reason)) for v in state)
            found += self.expand(after_all, where, function.lineno, depth + 1, done)
        return found

    def _after(
        self,
        state: tuple[Value, ...],
        own: list[Atom],
        site: Site,
        given: Mapping[str, tuple[ast.expr | None, Frame]],
    ) -> list[tuple[Value, ...]]:
        """Values with what one call gives, for every combination of it."""
        frame = Frame(site.source, site.source.function(site.call))
        choices = []
        for atom in own:
            name = str(atom.key[3])  # type: ignore[index]
            value, inner = given.get(name, (None, frame))
            unsaid = self._tracer.other(site.call, frame, f"{name}, which this call does not state plainly")
            values = self._tracer.values(value, inner) if value is not None else (unsaid,)
            changed = atom in self._tracer.touched
            choices.append(tuple(unsaid if changed and changeable(v) else v for v in values))
        unknown = self._tracer.other(site.call, frame)
        every = itertools.islice(itertools.product(*choices), bounds.VALUES + 1)
        return [tuple(with_values(v, dict(zip(own, one, strict=True)), unknown) for v in state) for one in every]


def _own(base: ast.expr) -> bool:
    """Whether a method is asked of the object at hand: ``self`` or ``super()``."""
    return (isinstance(base, ast.Call) and last(base) == "super") or text_of(base) == "self"
