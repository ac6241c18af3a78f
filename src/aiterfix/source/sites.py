"""Source text in, store sites and their guards out. Semantic: from the syntax tree, never from the text."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from aiterfix.source.bindings import Binding, How, ModuleBindings
from aiterfix.source.columns import NotExpressible, column_expression, noneness
from aiterfix.source.constants import Constant
from aiterfix.source.decorators import decorator_doubt, is_jit, named_jit
from aiterfix.source.derivation import Derivations, derivations_of
from aiterfix.source.encoding import as_utf8
from aiterfix.source.evaluate import walk_kernel
from aiterfix.source.gathers import Gathers, Unfollowed, find_gathers
from aiterfix.source.guards import Guard, classify, column_of, is_positive, stays_positive
from aiterfix.source.logic import is_boolean
from aiterfix.source.names import function_parameters
from aiterfix.source.roles import KernelRoles
from aiterfix.source.rows import NO_ROW, RowAddress, row_address
from aiterfix.source.scope import ModuleScope, is_triton
from aiterfix.source.specialised import compiled_statements, is_constexpr
from aiterfix.source.tree import children, descend
from aiterfix.source.values import Value, atoms_below, lanes_of
from aiterfix.source.vocabulary import POINTER_PARAMETER
from aiterfix.source.walk import KernelWalk, Problem, StoreCall
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.text import as_parsed


@dataclass(frozen=True)
class SiteNote:
    """Worth a line, but no obstacle: what was seen at a site beside its guard.

    Attributes:
        code: stable machine name.
        message: one sentence for people.
    """

    code: str
    message: str


@dataclass(frozen=True)
class StoreSite:
    """One call that stores to the output.

    Attributes:
        group: the code path whose kernel this is.
        kernel: the kernel's function name.
        ordinal: 0-based position among the kernel's stores, in source order.
        line: 1-based first line of the call.
        end_line: 1-based last line.
        call: the store function as the source spells it.
        column: the column expression, on one line.
        mask: the mask as the source has it, on one line; None without one.
        bound: the parameter that the column must stay below.
        guard: which bounds hold for the column: from the mask, and an upper one from the conditions on the way too.
        findings: bounds on other expressions, and the like.
        obstacle: why the site cannot be edited; empty where it can.
        row: how the address of its row is computed.
    """

    group: str
    kernel: str
    ordinal: int
    line: int
    end_line: int
    call: str
    column: str
    mask: str | None
    bound: str
    guard: Guard
    findings: tuple[SiteNote, ...]
    obstacle: str
    row: RowAddress = NO_ROW


@dataclass(frozen=True)
class SiteSyntax:
    """What an editor needs of a site beside the facts: valid for the text that was analysed only.

    Attributes:
        node: the call.
        mask: its mask argument.
        column: an expression of its column.
        unmasked: whether there is no mask, or one that is None.
        store: the call as evaluated.
        walk: of the kernel that it stands in.
    """

    node: ast.Call
    mask: ast.expr | None
    column: ast.expr | None
    unmasked: bool
    store: StoreCall
    walk: KernelWalk


@dataclass(frozen=True)
class Definition:
    """Where a kernel's analysis comes from.

    Attributes:
        function: the kernel.
        scope: the module that it stands in.
        roles: of its parameters.
        walrus: whether the text has a ``:=``.
    """

    function: ast.FunctionDef
    scope: ModuleScope
    roles: KernelRoles
    walrus: bool


@dataclass(frozen=True)
class KernelAnalysis:
    """One kernel definition and its stores."""

    group: str
    name: str
    line: int
    sites: tuple[StoreSite, ...]
    problems: tuple[Problem, ...]
    syntax: tuple[SiteSyntax, ...] = field(repr=False, compare=False, default=())
    definition: Definition | None = field(repr=False, compare=False, default=None)
    """None where there is no body, or none that could be walked: then there are problems."""

    @cached_property
    def gathers(self) -> Gathers | None:
        """What it reads from its caches; None without a definition."""
        return self.gathers_from(self.definition.roles.caches) if self.definition is not None else None

    def gathers_from(self, pointers: Sequence[str]) -> Gathers:
        """What it reads from some of its parameters. It must have a definition."""
        d = self.definition
        assert d is not None
        if not pointers:
            return Gathers(d.function, d.scope, (), (), {})
        try:
            values = self.syntax[0].walk.values if self.syntax else {}
            return find_gathers(d.function, pointers, d.scope, walrus=d.walrus, values=values)
        except RecursionError:
            message = "an expression is nested more deeply than this Python allows"
            return Gathers(d.function, d.scope, (), (Unfollowed(self.line, message),), {})

    def compiled(self, constants: Mapping[str, Constant]) -> frozenset[ast.stmt]:
        """The statements that are there when it is specialised, see `compiled_statements`."""
        assert self.definition is not None
        a = self.definition.function.args
        fixed = {p.arg for p in (*a.args, *a.kwonlyargs) if p.annotation is not None and is_constexpr(p.annotation)}
        known = tuple((name, value) for name, value in constants.items() if name in fixed)
        if known not in self._compiled:
            found = compiled_statements(self.definition.function, dict(known), walrus=self.definition.walrus)
            self._compiled[known] = found
        return self._compiled[known]

    @cached_property
    def _compiled(self) -> dict[tuple[tuple[str, Constant], ...], frozenset[ast.stmt]]:
        return {}


@dataclass(frozen=True)
class SourceAnalysis:
    """Judgement on one file's text.

    Attributes:
        sha256: hexadecimal digest of the text.
        kernels: the declared kernels defined in it, in source order.
        problems: what concerns the whole file.
        tree: the parsed module; None where it does not parse.
        bindings: what its names are bound to; None where it does not parse.
    """

    sha256: str
    kernels: tuple[KernelAnalysis, ...]
    problems: tuple[Problem, ...]
    tree: ast.Module | None = field(repr=False, compare=False, default=None)
    bindings: ModuleBindings | None = field(repr=False, compare=False, default=None)

    @property
    def sites(self) -> tuple[StoreSite, ...]:
        """Every store site of every kernel."""
        return tuple(s for k in self.kernels for s in k.sites)

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Problems of the file and of its kernels."""
        return (*self.problems, *(p for k in self.kernels for p in k.problems))

    @property
    def understood(self) -> bool:
        """Whether nothing in the text is a problem."""
        return not self.problems and not any(k.problems for k in self.kernels)


def analyse(text: bytes, kernels: Sequence[KernelRoles]) -> SourceAnalysis:
    """Find and judge every store to the output of every declared kernel.

    Never raises on bad input: what is not understood becomes a `Problem`, and the verdict "unknown".

    Args:
        text: the file's bytes.
        kernels: which kernels to look for.
    """
    digest = sha256_hex(text)
    tree, problem = _parse(text)
    if tree is None:
        return SourceAnalysis(digest, (), (problem,) if problem else ())
    walrus = b":=" in text
    scope = ModuleScope(tree)
    specs = {k.name: k for k in kernels}
    found: list[KernelAnalysis] = []
    problems: list[Problem] = []
    bindings = ModuleBindings(tree, as_utf8(text))
    replaced = _replaced(text, tree, scope)
    # What a statement binds that the scope does not read, or reads as something else, has no meaning that is known.
    unread = {n for n in bindings.names if not _is_read(bindings.of(n), scope.bound(n))}
    aliased = {b.node.id for n in unread for b in bindings.of(n) if isinstance(b.node, ast.Name)}
    scope.forget(unread | aliased | _handed_on(tree, scope))
    for function in bindings.functions:
        if function.name in specs:
            spec = specs[function.name]
            found.append(_analyse_kernel(function, spec, scope, walrus))
            doubt = decorator_doubt(function, bindings, (spec.output, spec.bound, *spec.strides))
            if doubt is not None:
                problems.append(Problem("decorated", doubt[1], doubt[0], spec.name))
        elif isinstance(function, ast.FunctionDef) and _looks_like_kernel(function, specs.values(), bindings):
            message = "an undeclared kernel with the parameters of a declared one"
            problems.append(Problem("undeclared-kernel", message, function.lineno, function.name))
    problems += _defined_twice(found)
    problems += _rebindings(bindings, specs.keys(), {k.name: k.line for k in found})
    if bindings.unclear and any(name.encode() in as_parsed(as_utf8(text)) for name in specs):
        message = "so any name may be bound anew"
        problems += [Problem("executed", f"{u.what}, {message}", u.line) for u in bindings.unclear]
    problems += replaced
    return SourceAnalysis(digest, tuple(found), tuple(problems), tree, bindings)


def _is_read(bindings: Sequence[Binding], bound: Sequence[ast.AST | str]) -> bool:
    """Whether all that binds a name is what the scope has of it."""
    return len(bindings) == len(bound) and all(b.how is not How.OPAQUE for b in bindings)


def _handed_on(tree: ast.Module, scope: ModuleScope) -> set[str]:
    """Names that the module hands to functions other than Triton's when it is imported: these may change what it is."""
    found: set[str] = set()
    stack: list[ast.AST] = [tree]
    while stack:
        n = stack.pop()
        if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            stack += [*getattr(n, "decorator_list", ()), *n.args.defaults, *(d for d in n.args.kw_defaults if d)]
            continue
        stack += children(n)
        if isinstance(n, ast.Call) and not is_triton(scope.dotted(n.func)):
            given: list[ast.AST] = [*n.args, *(k.value for k in n.keywords)]
            while given:
                e = given.pop()
                if isinstance(e, ast.Name):
                    found.add(e.id)
                elif not isinstance(e, (ast.Attribute, ast.Call)):
                    given += children(e)
    return found


def _parse(text: bytes) -> tuple[ast.Module | None, Problem | None]:
    try:
        utf8 = as_utf8(text)
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        message = f"not {error.encoding.upper()}: byte {text[error.start]:#04x} at offset {error.start}"
        return None, Problem("encoding", message, line)
    except (SyntaxError, UnicodeError, LookupError) as error:
        return None, Problem("encoding", f"its encoding is not understood: {error}", 1)
    try:
        # Text in another encoding goes in decoded: its cookie does not hold for its UTF-8 form.
        return ast.parse(utf8 if utf8 is text else utf8.decode()), None
    except SyntaxError as error:
        message, wanting = f"does not parse: {error.msg}", ""
        if sys.version_info < (3, 12) and error.msg.startswith("f-string"):
            # PEP 701: quotes, backslashes and comments inside an f-string's braces.
            wanting = "3.12"
            message += f" (Python {wanting} takes f-strings that {'.'.join(map(str, sys.version_info[:2]))} refuses: "
            message += f"run aiterfix with {wanting} or later)"
        return None, Problem("syntax", message, error.lineno or 1, python=wanting)
    except ValueError as error:
        return None, Problem("syntax", f"does not parse: {error}", 1)
    except (RecursionError, MemoryError):
        return None, Problem("too-deep", "nested more deeply than the parser allows", 1)


def _defined_twice(kernels: Sequence[KernelAnalysis]) -> list[Problem]:
    """Which of several definitions of one name runs is not told, unless each of them is safe."""
    by_name: dict[str, list[KernelAnalysis]] = {}
    for k in kernels:
        by_name.setdefault(k.name, []).append(k)
    return [
        Problem("defined-twice", f"defined on line {several[0].line} and again here", k.line, name)
        for name, several in by_name.items()
        if not all(_safe(k) for k in several)
        for k in several[1:]
    ]


def _rebindings(bindings: ModuleBindings, names: Iterable[str], defined: Mapping[str, int]) -> list[Problem]:
    """A kernel's name bound to something else than a function: what runs is not what is judged.

    An import alone is no binding of this kind: where it leads is for whoever sees the other files. One beside a
    definition in the same file is.
    """
    problems = []
    for name in sorted(names):
        for b in bindings.of(name):
            if b.how is How.DEFINITION or b.is_none or (b.how is How.IMPORT and name not in defined):
                continue
            problems.append(Problem("rebound", f"its name is bound by {b.what} too", b.line, name))
        for star in bindings.stars if name in defined else ():
            if star.line > defined[name] and star.module.split(".")[0] not in _NO_KERNELS:
                message = f"its name may be bound by `from {star.module} import *` too"
                problems.append(Problem("rebound", message, star.line, name))
    return problems


_NO_KERNELS = frozenset({"triton", "torch", *sys.stdlib_module_names})


def _safe(kernel: KernelAnalysis) -> bool:
    return not kernel.problems and all(site.guard.bounded for site in kernel.sites)


# `constexpr = 1` and the like stand in every signature.
_REPLACES = re.compile(rb"\.[ \t]*(?!constexpr\b|u?int\d|float\d)[A-Za-z_]\w*[ \t]*(?::[^=\n]*)?=(?!=)")


_REPLACING_WORDS = (b"setattr", b"delattr", b"__dict__", b"vars(", b"modules[", b"patch")
# `mock.patch("triton…")`, `mock.patch.object(tl, …)`, `mock.patch.multiple(tl, …)`
_PATCHES = ("patch", "object", "multiple")


def _replaced(text: bytes, tree: ast.Module, scope: ModuleScope) -> list[Problem]:
    """Functions of Triton that the module replaces."""
    problems = []
    likely = any(word in text for word in _REPLACING_WORDS) or _REPLACES.search(text)
    nodes = descend(tree) if likely else scope.replaced
    for n in nodes:
        target: ast.expr | None = None
        if (isinstance(n, ast.Attribute) and not isinstance(n.ctx, ast.Load)) or (
            isinstance(n, ast.Attribute) and n.attr == "__dict__"
        ):
            target = n.value
        elif isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.args:
            target = n.args[0] if n.func.id in ("setattr", "delattr", "vars") else None
        elif isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.args:
            named = n.args[0].value if isinstance(n.args[0], ast.Constant) else None
            if n.func.attr in ("__setattr__", "__delattr__"):
                target = n.args[0] if len(n.args) > (n.func.attr == "__setattr__") + 1 else n.func.value
            elif n.func.attr in (*_PATCHES, "setattr") and isinstance(named, str) and is_triton(named):
                message = f"puts something else in the place of {named}"
                problems.append(Problem("replaced", message, n.lineno))
            elif n.func.attr in (*_PATCHES, "setattr"):
                target = n.args[0]
        elif isinstance(n, ast.Subscript) and not isinstance(n.ctx, ast.Load):
            key = n.slice.value if isinstance(n.slice, ast.Constant) else None
            foreign = isinstance(key, str) and not is_triton(key)
            target = n.value if scope.dotted(n.value) == "sys.modules" and not foreign else None
        meant = scope.dotted(target) if target is not None else None
        if target is not None and (is_triton(meant) or meant == "builtins" or isinstance(n, ast.Subscript)):
            message = f"puts something else in the place of a function of {ast.unparse(target)}"
            problems.append(Problem("replaced", message, target.lineno))
    return problems


def _looks_like_kernel(function: ast.FunctionDef, specs: Iterable[KernelRoles], bindings: ModuleBindings) -> bool:
    """Whether a function of another name has parameters of a declared kernel; fewer will do where it is compiled."""
    parameters = set(function_parameters(function))
    compiled = any(is_jit(d, bindings) or named_jit(d) for d in function.decorator_list)
    return any(
        (s.output in parameters) + (s.bound in parameters) + (not parameters.isdisjoint(s.strides)) >= 2
        or (compiled and s.output in parameters)
        for s in specs
    ) and any(isinstance(s, (ast.Assign, ast.Expr, ast.For, ast.If, ast.While, ast.With)) for s in function.body)


def _analyse_kernel(
    function: ast.FunctionDef | ast.AsyncFunctionDef, spec: KernelRoles, scope: ModuleScope, walrus: bool
) -> KernelAnalysis:
    def only(problem: Problem) -> KernelAnalysis:
        return KernelAnalysis(spec.group, spec.name, function.lineno, (), (problem,))

    if isinstance(function, ast.AsyncFunctionDef):
        return only(Problem("async", "the kernel is an async function", function.lineno, spec.name))
    if _is_signature(function):
        # Prebuilt code objects are launched through such stubs: parameters, and no body.
        return KernelAnalysis(spec.group, spec.name, function.lineno, (), ())
    parameters = function_parameters(function)
    for role, name in (("output", spec.output), ("bound", spec.bound)):
        if name not in parameters:
            return only(Problem("no-parameter", f"has no {role} parameter {name!r}", function.lineno, spec.name))
    try:
        walk = walk_kernel(function, spec, scope, walrus=walrus)
        derivations = derivations_of(walk, spec.known_columns, walrus=walrus)
        judged = [_judge(store, i, walk, spec, derivations) for i, store in enumerate(walk.stores)]
    except RecursionError:
        message = "an expression is nested more deeply than this Python allows"
        return only(Problem("too-deep", message, function.lineno, spec.name))
    return KernelAnalysis(
        spec.group,
        spec.name,
        function.lineno,
        tuple(site for site, _, _ in judged),
        (*walk.problems, *(p for _, _, found in judged for p in found)),
        tuple(syntax for _, syntax, _ in judged),
        Definition(function, scope, spec, walrus),
    )


def _is_signature(function: ast.FunctionDef) -> bool:
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in function.body
    )


def _judge(
    store: StoreCall, ordinal: int, walk: KernelWalk, spec: KernelRoles, derivations: Derivations
) -> tuple[StoreSite, SiteSyntax, list[Problem]]:
    assert walk.bound is not None and store.node.end_lineno is not None
    column, strided = column_of(store.address, walk.output, walk.strides)
    problems = []

    def problem(code: str, message: str) -> None:
        problems.append(Problem(code, message, store.node.lineno, spec.name))

    guard, strange = classify(store, column, walk)
    if not strided:
        problem("no-row", "no term of the address contains a declared stride, so rows cannot be told from columns")
    elif column.constant is not None:
        problem("no-column", "the address has no column term")
    below = atoms_below(column) | (atoms_below(store.mask) if store.mask is not None else set())
    if hints := sorted({a.payload for a in below if a.op == "hint"}):
        problem(
            "hint", f"what {', '.join(hints)}() tells the compiler is not shown to hold, and it widens stores by that"
        )
    if lanes_of(store.address - column) & lanes_of(column):
        problem("row-by-column", "its row goes by the lanes of its column, and may be another one's")
    entangled = {walk.output, walk.bound, *walk.strides} & column.mentions
    if entangled and not guard.bounded:
        names = ", ".join(sorted(a.payload for a in entangled))
        problem("entangled", f"the column expression contains {names}")
    signed = not (is_positive(column, walk) or derivations.known(store, column) or stays_positive(store, column, walk))
    if signed and guard.bounded:
        problem("negative-column", "the column may be negative for all that is proven, and so in the row before")
    mask = store.arguments.get("mask") if store.mask is not None else None
    findings = tuple(
        SiteNote("other-expression", f"`{_spelling(t, mask, walk)}` bounds another expression than the column")
        for t in strange
    )
    expression: ast.expr | None = None
    obstacle = ""
    try:
        expression = column_expression(store, walk)
        if signed:
            raise NotExpressible("its column may be negative for all that is proven: a bound above would not do")
        if noneness(store.mask, walk) == "maybe":
            raise NotExpressible("its mask may be None, and there is no bound to add to that")
        if store.mask is not None and not is_boolean(store.mask):
            raise NotExpressible("its mask need not be one bit, so that & might clear it")
    except NotExpressible as reason:
        obstacle = str(reason)
    fallback = store.arguments.get("offsets") or store.arguments[POINTER_PARAMETER[store.kind]]
    site = StoreSite(
        group=spec.group,
        kernel=spec.name,
        ordinal=ordinal,
        line=store.node.lineno,
        end_line=store.node.end_lineno,
        call=ast.unparse(store.node.func),
        column=ast.unparse(expression if expression is not None else fallback),
        mask=ast.unparse(mask) if mask is not None else None,
        bound=spec.bound,
        guard=guard,
        findings=findings,
        obstacle=obstacle,
        row=row_address(store, walk),
    )
    mask_node = store.arguments.get("mask")
    return site, SiteSyntax(store.node, mask_node, expression, store.mask is None, store, walk), problems


def _spelling(term: Value, mask: ast.expr | None, walk: KernelWalk) -> str:
    """How the mask writes one of its terms; the mask itself where the term is behind a local name."""
    assert mask is not None
    matches = (n for n in descend(mask) if isinstance(n, ast.expr) and walk.values.get(n) == term)
    return ast.unparse(next(matches, mask))
