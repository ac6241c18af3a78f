"""Follow the statements of a function, over every path, and note the calls that are of interest.

An abstract interpretation: a name stands for the set of values that it may have. Branches are joined, loops followed
twice, functions of the package that bear on a call entered, others put off until their result is wanted. A path that
is not followed leaves a value that equals nothing, never a wrong one; what outlives a call (caches, globals) is taken
to have been filled by calls with the same arguments.
"""

# Visitors are named after the classes of `ast`.
# ruff: noqa: N802, N815

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from aiterfix.consumers import tensors
from aiterfix.consumers.expressions import (
    ENTRIES,
    Alternatives,
    Arguments,
    Expressions,
    Frame,
    State,
    harmless,
    one,
    terminal,
    unite,
)
from aiterfix.consumers.program import (
    Function,
    Program,
    Source,
    absolute_module,
    attribute_writers,
    identifiers,
    parameters,
)
from aiterfix.consumers.values import (
    Atom,
    Cache,
    EntryPoint,
    Flag,
    Imported,
    Local,
    Module,
    Nothing,
    Row,
    Sum,
    Table,
    Tensor,
    Value,
    atoms,
    fresh,
    item,
    number,
    single,
    substitute,
)

MOST_STEPS = 200_000  # expressions in one root function with what it enters; the largest real one needs some 20,000
_MOST_FLAGS = 2
_DEEPEST = 12  # functions within functions
_EMPTY_DICTS = frozenset({"dict", "OrderedDict", "defaultdict", "WeakKeyDictionary", "WeakValueDictionary"})
_TRANSPARENT = frozenset(
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
_MUTATORS = frozenset(
    ["append", "extend", "insert", "pop", "remove", "clear", "update", "setdefault", "sort", "reverse"]
)


@dataclass(frozen=True)
class Record:
    """A call that is of interest.

    Attributes:
        name: of the function called: an entry point's, or one that was watched for.
        source: the module that it stands in.
        line: its line.
        function: the function that it stands in.
        root: the function whose parameters the arguments are stated in.
        arguments: every value that each argument may have.
        bound: arguments that a ``partial`` put in front.
    """

    name: str
    source: Source = field(hash=False, compare=False)
    line: int
    function: str
    root: Function | None = field(hash=False, compare=False)
    arguments: Arguments = field(hash=False, compare=False)
    inlined: bool
    supposed: bool
    """Noted where an inner function is defined, before anything calls it."""
    callee: str | None = None
    """Identity of the function called, where it is known; otherwise the name is all that speaks for it."""
    on_object: bool = False
    """Called as a method of an object."""


@dataclass(frozen=True)
class Escape:
    """A place where an entry point goes out of sight."""

    name: str
    line: int
    function: str
    reason: str


class Interpreter(Expressions):
    """Follows functions of one package."""

    def __init__(self, program: Program, watched: frozenset[str] = frozenset()) -> None:
        """Prepare.

        Args:
            program: the package.
            watched: names of functions and classes whose calls are noted, besides the entry points.
        """
        super().__init__(program, MOST_STEPS)
        self.records: list[Record] = []
        self.escapes: list[Escape] = []
        self._watched = watched
        self._globals: dict[str, dict[str, Alternatives]] = {}
        self._stack: list[str] = []
        self._entered: set[str] = set()
        self._deferred: dict[Atom, tuple[Function, Arguments, Sum | None]] = {}
        self._relevant: dict[str, frozenset[str]] = {}
        self._root: Function | None = None
        self._supposed = 0

    # roots

    def follow(self, function: Function) -> None:
        """Follow a function on its own, its parameters being whatever they are.

        Raises:
            Exhausted: it is too large.
        """
        self.stores.clear()
        self._root = function
        # A flag that is tested more than once splits the paths in two that do not mix.
        flags = _repeated_tests(function)[:_MOST_FLAGS]
        for chosen in itertools.product((True, False), repeat=len(flags)):
            self._follow_once(function, dict(zip(flags, chosen, strict=True)))

    def _follow_once(self, function: Function, flags: dict[str, bool]) -> None:
        self._steps = MOST_STEPS
        self._entered.clear()
        before = dict(self.stores)
        noted = len(self.records), len(self.escapes)
        self._enter(function, Arguments((), {}), None, flags=flags)
        if self.stores != before:
            # What the first call stored in a cache a second one finds there.
            del self.records[noted[0] :], self.escapes[noted[1] :]
            self._enter(function, Arguments((), {}), None, flags=flags)

    def follow_module(self, source: Source) -> None:
        """Follow a module's own level."""
        self._steps = MOST_STEPS
        self._root = None
        self._module(source)

    def default(self, function: Function, name: str) -> Alternatives:
        """The default of a parameter."""
        return self.evaluate(defaults_of(function)[name], Frame(function.source, None, State({})))

    # functions

    def _enter(
        self,
        function: Function,
        arguments: Arguments,
        owner: Sum | None,
        *,
        flags: dict[str, bool] | None = None,
        outer: Frame | None = None,
    ) -> Alternatives:
        root = flags is not None
        state = State(self._bind(function, arguments, owner, root=root))
        frame = Frame(function.source, function, state, outer)
        for name, truth in (flags or {}).items():
            values = self.load(name, frame)
            if len(values) == 1 and isinstance(values[0], Sum):
                state.facts[values[0]] = Flag(truth)
        self._stack.append(function.identity)
        self._entered.add(function.identity)
        try:
            self._block(function.node.body, frame)
        finally:
            self._stack.pop()
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
                self._record_entry(value, node, arguments, frame)
                results.append(fresh("what the kernel's wrapper returns"))
                known = True
                continue
            function, owner = self._function_of(value)
            if function is not None:
                known = True
                results += self._call_function(function, owner, node, arguments, frame)
            else:
                instance = self._instance_of(value)
                known = known or instance is not None
                results.append(instance or fresh(terminal(node.func) or "a call"))
        self._note_watched(node, callee, arguments, frame)
        if not known and not harmless(node):
            for value in arguments.all():
                self._escape(value, node.lineno, frame, f"is passed to {terminal(node.func) or 'a function'}")
        return unite(results) if known else None

    def _function_of(self, value: Value) -> tuple[Function | None, Sum | None]:
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
        text = f"{function.name}()"
        if len(self._stack) >= _DEEPEST or self._stack.count(function.identity) > 0:
            return (fresh(text),)
        if not all(_decorator(d) in _TRANSPARENT for d in function.node.decorator_list):
            if self._bears(function, arguments):
                for value in arguments.all():
                    self._escape(value, node.lineno, frame, f"is passed to {function.name}, which is decorated")
            return (fresh(text),)
        if _yields(function):
            return (fresh(text),)
        if self._bears(function, arguments):
            outer = frame if ".<locals>." in function.identity else None
            return self._enter(function, arguments, owner, outer=outer)
        put_off = fresh(text)
        assert put_off.atom is not None
        self._deferred[put_off.atom] = (function, arguments, owner)
        return (put_off,)

    def forced(self, values: Alternatives) -> Alternatives:
        """The values, with calls followed that were put off."""
        return unite(*(self._force(value) for value in values))

    def _force(self, value: Value) -> Alternatives:
        wanted = [atom for atom in atoms(value) if atom in self._deferred]
        if not wanted or len(self._stack) >= _DEEPEST:
            return (value,)
        function, arguments, owner = self._deferred.pop(wanted[0])
        made = self._enter(function, arguments, owner)
        return self.forced(unite(substitute(value, {wanted[0]: new}) for new in made))

    def _bears(self, function: Function, arguments: Arguments) -> bool:
        """Whether a function may hold a call that is of interest."""
        if any(isinstance(value, (EntryPoint,)) for value in arguments.all()):
            return True
        return function.identity.partition(".<locals>.")[0] in self.relevant(function.source)

    def relevant(self, source: Source) -> frozenset[str]:
        """Functions of a module that name what is looked for, or a function that does."""
        if source.dotted not in self._relevant:
            names = {*ENTRIES, *self._watched}
            found: set[str] = set()
            if source.mentions(names):
                names |= _aliases(source, names)
            else:
                names = set()
            while names:
                more = {i for i, words in source.words.items() if i not in found and not words.isdisjoint(names)}
                if not more:
                    break
                found |= more
                names |= {source.functions[i].name for i in more}
            self._relevant[source.dotted] = frozenset(found)
        return self._relevant[source.dotted]

    def _stands_in_relevant(self, frame: Frame) -> bool:
        assert frame.function is not None
        return frame.function.identity.partition(".<locals>.")[0] in self.relevant(frame.source)

    # notes

    def _record_entry(self, entry: EntryPoint, node: ast.Call, arguments: Arguments, frame: Frame) -> None:
        bound = tuple((value,) for value in entry.arguments)
        keywords = {**{k: (v,) for k, v in entry.keywords}, **arguments.keywords}
        self._note(entry.name, node, Arguments((*bound, *arguments.positional), keywords, arguments.complete), frame)

    def _note(
        self,
        name: str,
        node: ast.Call,
        arguments: Arguments,
        frame: Frame,
        callee: str | None = None,
        on_object: bool = False,
    ) -> None:
        settled = Arguments(
            tuple(self.forced(v) for v in arguments.positional),
            {k: self.forced(v) for k, v in arguments.keywords.items()},
            arguments.complete,
        )
        facts = {k.atom: v for k, v in frame.state.facts.items() if isinstance(k, Sum) and k.atom is not None}
        if facts:
            settled = Arguments(
                tuple(unite(substitute(v, facts) for v in values) for values in settled.positional),
                {k: unite(substitute(v, facts) for v in values) for k, values in settled.keywords.items()},
                settled.complete,
            )
        self.records.append(
            Record(
                name,
                frame.source,
                node.lineno,
                frame.qualified,
                self._root,
                settled,
                not self._in_root(frame),
                self._supposed > 0,
                callee,
                on_object,
            )
        )

    def _in_root(self, frame: Frame) -> bool:
        """Whether a call stands in the function that is followed, or in one defined inside it."""
        if self._root is None or frame.function is None:
            return len(self._stack) <= 1
        identity = frame.function.identity
        return identity == self._root.identity or identity.startswith(self._root.identity + ".<locals>.")

    def _note_watched(self, node: ast.Call, callee: Alternatives, arguments: Arguments, frame: Frame) -> None:
        if not self._watched:
            return
        names = {terminal(node.func)} | {v.name for v in callee if isinstance(v, Imported)}
        called = [f for f, _ in map(self._function_of, callee) if f is not None]
        names |= {f.name for f in called}
        names |= {v.atom.text for v in callee if isinstance(v, Sum) and v.atom is not None and v.atom.kind == "class"}
        if terminal(node.func) == "__init__" and isinstance(node.func, ast.Attribute):
            names |= self._bases(node.func.value, frame)
        # A method of some object, or what is certainly another function of the same name.
        on_object = isinstance(node.func, ast.Attribute) and any(isinstance(v, (Sum, Local)) for v in callee)
        for name in sorted(names & self._watched):
            identity = next((f.identity for f in called if f.name == name), None)
            self._note(name, node, arguments, frame, identity, on_object)

    def _bases(self, node: ast.expr, frame: Frame) -> set[str]:
        """Classes that ``super().__init__`` may mean."""
        if not (isinstance(node, ast.Call) and terminal(node.func) == "super" and frame.function is not None):
            return set()
        owner = frame.source.classes.get(frame.function.class_name or "")
        return set() if owner is None else {terminal(base) for base in owner.bases}

    def _escape(self, value: Value, line: int, frame: Frame, reason: str) -> None:
        inside = (
            value.items if isinstance(value, Row) else [v for _, v in value.items] if isinstance(value, Table) else []
        )
        for part in (value, *inside):
            if isinstance(part, EntryPoint):
                self.escapes.append(Escape(part.name, line, frame.qualified, reason))

    # names outside functions

    def global_name(self, name: str, source: Source) -> Alternatives:
        """What a name means at a module's own level, and what functions may have made of it since."""
        values = self._module(source).get(name)
        if values is None:
            return (single(Atom("global", name, (source.dotted,))),)
        key = f"{source.dotted}:{name}"
        writers = source.global_writers.get(name, frozenset())
        if not writers:
            return values
        stored = self.stores.get(key, ())
        elsewhere = (fresh(f"{name}, as another function left it"),) if writers - self._entered else ()
        return unite(values, stored, elsewhere)

    def _module(self, source: Source) -> dict[str, Alternatives]:
        if source.dotted not in self._globals:
            state = State({})
            self._globals[source.dotted] = state.names  # a cycle of imports sees what is there so far
            frame = Frame(source, None, state)
            stack, self._stack = self._stack, []
            try:
                self._block(source.tree.body, frame)
            finally:
                self._stack = stack
            self._globals[source.dotted] = state.names
        return self._globals[source.dotted]

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
                if any(_decorator(d) in ("property", "cached_property") for d in method.node.decorator_list):
                    return None
                return (Local(method.identity, owner),)
        key = f"{source.dotted}:{function.class_name}.{name}"
        writers = [
            w for w in attribute_writers(source, function.class_name, name) if w[0].identity not in self._entered
        ]
        stored = self.stores.get(key, ())
        if any(not _is_none(value) for _, value in writers):
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
                assert isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None
                return self.evaluate(statement.value, Frame(source, None, State({})))
        return None

    def stored(self, cache: Cache) -> Alternatives:
        """What was stored in a cache here, and that others store there too."""
        dotted, _, name = cache.key.partition(":")
        source = self.program.module(dotted)
        others = () if source is None else source.cache_writers.get(name, frozenset()) - self._entered
        return unite(self.stores.get(cache.key, ()), (fresh(f"{name}, as another function left it"),) if others else ())

    # statements

    def _block(self, body: Sequence[ast.stmt], frame: Frame) -> None:
        for statement in body:
            if frame.state.dead:
                return
            self._statement(statement, frame)

    def _statement(self, node: ast.stmt, frame: Frame) -> None:
        visit = getattr(self, f"_do_{type(node).__name__}", None)
        if visit is not None:
            visit(node, frame)
            return
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.evaluate(child, frame)

    def _do_Expr(self, node: ast.Expr, frame: Frame) -> None:
        self.evaluate(node.value, frame)
        call = node.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and isinstance(call.func.value, ast.Name)
        ):
            name = call.func.attr
            in_place = name.endswith("_") and not name.startswith("_") and name not in tensors.METHODS
            if name in _MUTATORS or in_place:
                self._changed(call.func.value.id, frame)

    def _changed(self, name: str, frame: Frame) -> None:
        """Something was changed in place: every name that may stand for it means something unknown now."""
        old = {v for v in frame.state.names.get(name, ()) if isinstance(v, (Row, Table, Tensor))}
        for other, values in frame.state.names.items():
            if not old.isdisjoint(values):
                frame.state.names[other] = (fresh(f"{other}, changed in place"),)

    def _do_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> None:
        prefix = f"{frame.qualified}.<locals>." if frame.function is not None else ""
        identity = f"{frame.source.dotted}:{prefix}{node.name}"
        function = frame.source.functions.get(identity)
        while function is not None and function.node is not node:
            identity += "'"
            function = frame.source.functions.get(identity)
        if function is None:
            frame.state.names[node.name] = (fresh(node.name),)
            return
        if all(_decorator(d) in _TRANSPARENT for d in node.decorator_list):
            frame.state.names[node.name] = (Local(identity),)
        else:
            frame.state.names[node.name] = (single(Atom("global", node.name, (identity,))),)
        if frame.function is not None and self._stands_in_relevant(frame):
            # It may be called from anywhere: what it does is followed where it is defined.
            self._supposed += 1
            try:
                self._enter(function, Arguments((), {}, False), None, outer=frame)
            finally:
                self._supposed -= 1

    _do_AsyncFunctionDef = _do_FunctionDef

    def _do_ClassDef(self, node: ast.ClassDef, frame: Frame) -> None:
        frame.state.names[node.name] = (single(Atom("class", node.name, (frame.source.dotted, node.name))),)

    def _do_Return(self, node: ast.Return, frame: Frame) -> None:
        frame.returned += self.evaluate(node.value, frame) if node.value is not None else (Nothing(),)
        frame.state.dead = True

    def _do_Raise(self, node: ast.Raise, frame: Frame) -> None:
        frame.state.dead = True

    def _do_Continue(self, node: ast.stmt, frame: Frame) -> None:
        """The rest of a loop's body is followed as if it could still run: more paths than there are, none missed."""

    _do_Break = _do_Continue

    def _do_Global(self, node: ast.Global, frame: Frame) -> None:
        frame.globals.update(node.names)

    def _do_Import(self, node: ast.Import, frame: Frame) -> None:
        for alias in node.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            frame.state.names[alias.asname or name] = (Module(name),)

    def _do_ImportFrom(self, node: ast.ImportFrom, frame: Frame) -> None:
        module = absolute_module(frame.source, node)
        own = module.partition(".")[0] == self.program.package.name
        for alias in node.names:
            value: Value = Imported(module, alias.name)
            if alias.name in ENTRIES and not own:
                value = EntryPoint(alias.name)
            elif own:
                value = self._own_import(module, alias.name)
            frame.state.names[alias.asname or alias.name] = (value,)

    def _own_import(self, module: str, name: str) -> Value:
        if name in ENTRIES:
            source = self.program.module(module)
            found = () if source is None else self.global_name(name, source)
            return one(found) if found else EntryPoint(name)
        if self.program.place_of(f"{module}.{name}") is not None:
            return Module(f"{module}.{name}")
        return Imported(module, name)

    def _do_Assign(self, node: ast.Assign, frame: Frame) -> None:
        values = self._assigned(node, frame)
        for target in node.targets:
            self._store(target, values, frame, node.lineno)

    def _assigned(self, node: ast.Assign, frame: Frame) -> Alternatives:
        target = node.targets[0]
        value = node.value
        empty = (isinstance(value, ast.Dict) and not value.keys) or (
            isinstance(value, ast.Call) and terminal(value.func) in _EMPTY_DICTS and not value.keywords
        )
        if frame.function is None and isinstance(target, ast.Name) and empty:
            return (Cache(f"{frame.source.dotted}:{target.id}"),)
        return self.evaluate(value, frame)

    def _do_AnnAssign(self, node: ast.AnnAssign, frame: Frame) -> None:
        if node.value is not None:
            assign = ast.Assign([node.target], node.value)
            ast.copy_location(assign, node)
            self._do_Assign(assign, frame)

    def _do_AugAssign(self, node: ast.AugAssign, frame: Frame) -> None:
        read = ast.copy_location(ast.Name("_", ast.Load()), node)
        if isinstance(node.target, ast.Name):
            read.id = node.target.id
            made = ast.copy_location(ast.BinOp(read, node.op, node.value), node)
            self._store(node.target, self.evaluate(made, frame), frame, node.lineno)
        else:
            self.evaluate(node.value, frame)
            self._store(node.target, (fresh("changed in place"),), frame, node.lineno)

    def _store(self, target: ast.expr, values: Alternatives, frame: Frame, line: int) -> None:
        if isinstance(target, ast.Name):
            if target.id in frame.globals:
                key = f"{frame.source.dotted}:{target.id}"
                self.stores[key] = unite(self.stores.get(key, ()), values)
            else:
                frame.state.names[target.id] = values
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target, self.forced(values), frame, line)
        elif isinstance(target, ast.Starred):
            self._store(target.value, (fresh("several values"),), frame, line)
        elif isinstance(target, ast.Attribute):
            self._store_attribute(target, values, frame, line)
        elif isinstance(target, ast.Subscript):
            for base in self.evaluate(target.value, frame):
                if isinstance(base, Cache):
                    self.stores[base.key] = unite(self.stores.get(base.key, ()), values)
                else:
                    for value in values:
                        self._escape(value, line, frame, "is put into a container")
            if isinstance(target.value, ast.Name) and not any(
                isinstance(v, Tensor) for v in frame.state.names.get(target.value.id, ())
            ):
                self._changed(target.value.id, frame)

    def _store_attribute(self, target: ast.Attribute, values: Alternatives, frame: Frame, line: int) -> None:
        function = frame.function
        if isinstance(target.value, ast.Name):
            self._changed(target.value.id, frame)
            if (
                function is not None
                and function.class_name is not None
                and parameters(function.node)[:1] == [target.value.id]
            ):
                key = f"{frame.source.dotted}:{function.class_name}.{target.attr}"
                self.stores[key] = unite(self.stores.get(key, ()), values)
        for value in values:
            self._escape(value, line, frame, f"is kept as attribute {target.attr}")

    def _unpack(self, target: ast.Tuple | ast.List, values: Alternatives, frame: Frame, line: int) -> None:
        starred = [i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
        count = len(target.elts)
        for index, part in enumerate(target.elts):
            if starred and index == starred[0]:
                chosen: Alternatives = (fresh("several values"),)
            else:
                place = index - count if starred and index > starred[0] else index
                chosen = unite(item(value, place) for value in values)
            self._store(part, chosen, frame, line)

    def _do_If(self, node: ast.If, frame: Frame) -> None:
        tests = self.evaluate(node.test, frame)
        before = frame.state
        decided = tests[0].value if len(tests) == 1 and isinstance(tests[0], Flag) else None
        if terminal(node.test) == "TYPE_CHECKING":
            decided = False  # for type checkers alone
        states: list[State] = []
        for truth, body in ((True, node.body), (False, node.orelse)):
            if decided is (not truth):
                continue
            frame.state = before.copy()
            refine(frame.state, node.test, truth, tests)
            self._block(body, frame)
            states.append(frame.state)
        frame.state = before
        _join(before, states)

    def _do_Assert(self, node: ast.Assert, frame: Frame) -> None:
        tests = self.evaluate(node.test, frame)
        refine(frame.state, node.test, True, tests)
        self._assume_class(node.test, frame)

    def _assume_class(self, test: ast.expr, frame: Frame) -> None:
        """After ``assert isinstance(name, Class)``."""
        if not (isinstance(test, ast.Call) and terminal(test.func) == "isinstance" and len(test.args) == 2):
            return
        what, kind = test.args
        values = frame.state.names.get(what.id, ()) if isinstance(what, ast.Name) else ()
        found = self.program.class_of(frame.source, kind)
        own = (
            frame.function is not None
            and isinstance(what, ast.Name)
            and [what.id] == parameters(frame.function.node)[:1]
        )
        if (
            found is not None
            and not own
            and len(values) == 1
            and isinstance(values[0], Sum)
            and values[0].atom is not None
        ):
            # The object stays itself: another one of its class is not the same.
            parts = (found[0].dotted, found[1], values[0])
            frame.state.names[what.id] = (single(Atom("instance", values[0].atom.text, parts)),)  # type: ignore[attr-defined]

    def _of_class(self, owner: Sum, atom: Atom, name: str) -> Alternatives | None:
        """``object.name`` where its class is known: a property's value, or what its constructor asserts."""
        source, class_name = self.program.module(str(atom.parts[0])), str(atom.parts[1])
        if source is None or self._overridden(class_name, name):
            return None
        for method in source.methods(class_name):
            if method.name == name:
                properties = any(_decorator(d) in ("property", "cached_property") for d in method.node.decorator_list)
                if not properties or len(self._stack) >= _DEEPEST or method.identity in self._stack:
                    return None
                return self._enter(method, Arguments((), {}), owner)
        asserted = _asserted(source, class_name, name)
        return None if asserted is None else (number(asserted),)

    def _overridden(self, class_name: str, name: str) -> bool:
        """Whether a class anywhere in the package derives from one of this name and defines the name anew."""
        for path in self.program.files_naming([class_name]).files:
            source = self.program.source(path)
            for node in source.classes.values() if isinstance(source, Source) else ():
                if class_name in map(terminal, node.bases) and name in _defined(node):
                    return True
        return False

    def _loop(
        self, body: Sequence[ast.stmt], orelse: Sequence[ast.stmt], frame: Frame, target: ast.expr | None
    ) -> None:
        before = frame.state
        for _ in range(2):
            start = before.copy()
            frame.state = start
            if target is not None:
                self._store(target, (fresh("an item of a loop"),), frame, target.lineno)
            self._block(body, frame)
            after = frame.state
            after.dead = False
            _join(before, [before.copy(), after])
        frame.state = before
        self._block(orelse, frame)

    def _do_For(self, node: ast.For | ast.AsyncFor, frame: Frame) -> None:
        self.evaluate(node.iter, frame)
        self._loop(node.body, node.orelse, frame, node.target)

    _do_AsyncFor = _do_For

    def _do_While(self, node: ast.While, frame: Frame) -> None:
        self.evaluate(node.test, frame)
        self._loop(node.body, node.orelse, frame, None)

    def _do_With(self, node: ast.With | ast.AsyncWith, frame: Frame) -> None:
        for part in node.items:
            values = self.evaluate(part.context_expr, frame)
            if part.optional_vars is not None:
                del values
                self._store(part.optional_vars, (fresh("what a with statement gives"),), frame, node.lineno)
        self._block(node.body, frame)

    _do_AsyncWith = _do_With

    def _do_Try(self, node: ast.Try, frame: Frame) -> None:
        start = frame.state.copy()
        self._block(node.body, frame)
        broken = frame.state.copy()
        broken.dead = False
        # A handler may start anywhere in the body: with what was there before, or after all of it.
        _join(start, [start.copy(), broken])
        self._block(node.orelse, frame)
        states = [frame.state]
        for handler in node.handlers:
            frame.state = start.copy()
            if handler.name:
                frame.state.names[handler.name] = (fresh(handler.name),)
            self._block(handler.body, frame)
            states.append(frame.state)
        merged = start.copy()
        _join(merged, states)
        frame.state = merged
        dead, merged.dead = merged.dead, False
        self._block(node.finalbody, frame)
        merged.dead = merged.dead or dead

    _do_TryStar = _do_Try

    def _do_Match(self, node: ast.Match, frame: Frame) -> None:
        self.evaluate(node.subject, frame)
        before = frame.state
        states = [before.copy()]
        for case in node.cases:
            frame.state = before.copy()
            for name in _pattern_names(case.pattern):
                frame.state.names[name] = (fresh(name),)
            self._block(case.body, frame)
            states.append(frame.state)
        frame.state = before
        _join(before, states)


def _defined(node: ast.ClassDef) -> set[str]:
    """Names that a class's body gives a meaning."""
    found: set[str] = set()
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(statement.name)
        elif isinstance(statement, ast.AnnAssign):
            found.add(terminal(statement.target))
        elif isinstance(statement, ast.Assign):
            found.update(map(terminal, statement.targets))
    return found


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


def parameter(function: Function, name: str) -> Sum:
    """What stands for a parameter of a function that is followed on its own."""
    return single(Atom("parameter", name, (function.identity,)))


def defaults_of(function: Function) -> dict[str, ast.expr]:
    """Expressions of a function's parameter defaults."""
    a = function.node.args
    positional = [p.arg for p in (*a.posonlyargs, *a.args)]
    found = dict(zip(positional[len(positional) - len(a.defaults) :], a.defaults, strict=True))
    found.update((p.arg, d) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True) if d is not None)
    return found


def refine(state: State, test: ast.expr, truth: bool, tests: Alternatives) -> None:
    """What is known where a condition holds, or does not."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        refine(state, test.operand, not truth, ())
    elif isinstance(test, ast.BoolOp):
        if isinstance(test.op, ast.And) is truth:
            for part in test.values:
                refine(state, part, truth, ())
    elif isinstance(test, ast.Name):
        _keep(
            state, test.id, lambda v: not isinstance(v, Nothing) if truth else not isinstance(v, (Tensor, EntryPoint))
        )
    elif isinstance(test, ast.Compare) and len(test.ops) == 1:
        _refine_comparison(state, test, truth, tests)


def _refine_comparison(state: State, test: ast.Compare, truth: bool, tests: Alternatives) -> None:
    left, right, operator = test.left, test.comparators[0], test.ops[0]
    if isinstance(operator, (ast.Is, ast.IsNot)) and isinstance(left, ast.Name) and _is_none(right):
        none = isinstance(operator, ast.Is) is truth
        _keep(state, left.id, lambda v: isinstance(v, (Nothing, Sum)) if none else not isinstance(v, Nothing))
    elif isinstance(operator, (ast.Eq, ast.NotEq)) and isinstance(operator, ast.Eq) is truth and len(tests) == 1:
        flag = tests[0]
        if isinstance(flag, Flag) and flag.left is not None and flag.right is not None:
            for unknown, value in ((flag.left, flag.right), (flag.right, flag.left)):
                if unknown.atom is not None and value.constant is not None:
                    state.facts[unknown] = value


def _keep(state: State, name: str, wanted: object) -> None:
    assert callable(wanted)
    values = state.names.get(name)
    if values is not None:
        kept = tuple(v for v in values if wanted(v))
        state.names[name] = kept or values


def _join(into: State, states: Sequence[State]) -> None:
    alive = [s for s in states if not s.dead]
    if not alive:
        into.dead = True
        if states:
            into.names = dict(states[0].names)
        return
    names: dict[str, Alternatives] = {}
    for name in dict.fromkeys(n for s in alive for n in s.names):
        groups = [s.names[name] for s in alive if name in s.names]
        names[name] = groups[0] if all(g == groups[0] for g in groups) else unite(*groups)
    into.names = names
    into.facts = {k: v for k, v in alive[0].facts.items() if all(s.facts.get(k) == v for s in alive)}
    into.dead = False


def _repeated_tests(function: Function) -> list[str]:
    """Names that conditions of a function test more than once, and that it does not assign."""
    counts: dict[str, int] = {}
    assigned: set[str] = set()
    for node in ast.walk(function.node):
        if isinstance(node, (ast.If, ast.IfExp)):
            for name in _tested(node.test):
                counts[name] = counts.get(name, 0) + 1
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            assigned.add(node.id)
    return sorted((n for n, c in counts.items() if c > 1 and n not in assigned), key=lambda n: (-counts[n], n))


def _tested(test: ast.expr) -> list[str]:
    if isinstance(test, ast.Name):
        return [test.id]
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _tested(test.operand)
    if isinstance(test, ast.BoolOp):
        return [name for part in test.values for name in _tested(part)]
    return []


def _decorator(node: ast.expr) -> str:
    return terminal(node.func if isinstance(node, ast.Call) else node)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _yields(function: Function) -> bool:
    if isinstance(function.node, ast.AsyncFunctionDef):
        return True
    return any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in ast.walk(function.node))


def _aliases(source: Source, names: Iterable[str]) -> set[str]:
    """Names that a module gives to what is looked for: imports under another name, assignments at its own level."""
    wanted = set(names)
    found = {new for old, new in source.aliases if old in wanted}
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and not identifiers(node.value).isdisjoint(wanted | found):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return found


def _pattern_names(pattern: ast.pattern) -> list[str]:
    return [
        name
        for node in ast.walk(pattern)
        for name in (getattr(node, "name", None), getattr(node, "rest", None))
        if isinstance(name, str)
    ]
