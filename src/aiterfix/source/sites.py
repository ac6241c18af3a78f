"""Source text in, store sites and their guards out. Semantic: from the syntax tree, never from the text."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from aiterfix.fixes import Fix, KernelSpec
from aiterfix.source.columns import NotExpressible, column_expression
from aiterfix.source.evaluate import walk_kernel
from aiterfix.source.expressions import POINTER_PARAMETER, KernelWalk, Problem, StoreCall
from aiterfix.source.guards import classify, column_of
from aiterfix.source.names import bound_names, function_parameters
from aiterfix.source.values import Value
from aiterfix.verdict import Guard, Verdict, worst


@dataclass(frozen=True)
class Finding:
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
        fix: id of the fix whose kernel this is.
        kernel: the kernel's function name.
        ordinal: 0-based position among the kernel's stores, in source order.
        line: 1-based first line of the call.
        end_line: 1-based last line.
        call: the store function as the source spells it.
        column: the column expression, on one line.
        mask: the mask as the source has it, on one line; None without one.
        bound: the parameter that the column must stay below.
        guard: which bounds the mask puts on the column.
        findings: bounds on other expressions, and the like.
        obstacle: why the site cannot be edited; empty where it can.
    """

    fix: str
    kernel: str
    ordinal: int
    line: int
    end_line: int
    call: str
    column: str
    mask: str | None
    bound: str
    guard: Guard
    findings: tuple[Finding, ...]
    obstacle: str


@dataclass(frozen=True)
class SiteSyntax:
    """What an editor needs of a site beside the facts: valid for the text that was analysed only."""

    node: ast.Call
    mask: ast.expr | None
    column: ast.expr | None


@dataclass(frozen=True)
class KernelAnalysis:
    """One kernel definition and its stores."""

    fix: str
    name: str
    line: int
    sites: tuple[StoreSite, ...]
    problems: tuple[Problem, ...]
    syntax: tuple[SiteSyntax, ...] = field(repr=False, compare=False, default=())

    @property
    def verdict(self) -> Verdict:
        """Judgement on this kernel alone."""
        if self.problems or any(not s.guard.bounded and s.obstacle for s in self.sites):
            return Verdict.UNKNOWN
        if not self.sites:
            return Verdict.NOT_AFFECTED
        return Verdict.GUARDED if all(s.guard.bounded for s in self.sites) else Verdict.VULNERABLE


@dataclass(frozen=True)
class SourceAnalysis:
    """Judgement on one file's text.

    Attributes:
        sha256: hexadecimal digest of the text.
        kernels: the declared kernels defined in it, in source order.
        problems: what concerns the whole file.
        tree: the parsed module; None where it does not parse.
    """

    sha256: str
    kernels: tuple[KernelAnalysis, ...]
    problems: tuple[Problem, ...]
    tree: ast.Module | None = field(repr=False, compare=False, default=None)

    @property
    def sites(self) -> tuple[StoreSite, ...]:
        """Every store site of every kernel."""
        return tuple(s for k in self.kernels for s in k.sites)

    @property
    def all_problems(self) -> tuple[Problem, ...]:
        """Problems of the file and of its kernels."""
        return (*self.problems, *(p for k in self.kernels for p in k.problems))

    @property
    def verdict(self) -> Verdict:
        """Judgement on the whole text."""
        if self.problems:
            return Verdict.UNKNOWN
        return worst((k.verdict for k in self.kernels), empty=Verdict.NOT_AFFECTED)

    def select(self, fixes: Iterable[str]) -> SourceAnalysis:
        """The same analysis, reduced to the kernels of some fixes (by id)."""
        wanted = set(fixes)
        return SourceAnalysis(self.sha256, tuple(k for k in self.kernels if k.fix in wanted), self.problems, self.tree)


def needles(fixes: Sequence[Fix]) -> tuple[str, ...]:
    """Strings one of which is in every file worth analysing: kernel names and output parameters."""
    words = [w for f in fixes for k in f.kernels for w in (k.name, k.output)]
    return tuple(dict.fromkeys(words))


_JIT = re.compile(rb"^[ \t]*@[\w. \t]*\bjit\b", re.MULTILINE)


def may_define(text: bytes, fixes: Sequence[Fix]) -> bool:
    """Whether a text can define a declared kernel, or one that looks like it; most files that name one only call it.

    Cheap and never wrongly False: a definition needs ``def NAME``, a binding ``NAME =`` (or ``:=``, or ``as NAME``).
    """
    names = b"|".join(k.name.encode() for f in fixes for k in f.kernels)
    outputs = {k.output.encode() for f in fixes for k in f.kernels}
    # An undeclared kernel is recognised by its decorator and its parameters.
    if any(o in text for o in outputs) and _JIT.search(text):
        return True
    binding = rb"\bdef[\s\\]+(?:%b)\b|\b(?:%b)[\s\\)]*(?::[^=\n]*)?:?=(?!=)|\bas[\s\\]+(?:%b)\b" % (names, names, names)
    return re.search(binding, text) is not None


def analyse(text: bytes, fixes: Sequence[Fix]) -> SourceAnalysis:
    """Find and judge every store to the output of every declared kernel.

    Never raises on bad input: what is not understood becomes a `Problem`, and the verdict "unknown".

    Args:
        text: the file's bytes, UTF-8.
        fixes: which kernels to look for.
    """
    digest = hashlib.sha256(text).hexdigest()
    tree, problem = _parse(text)
    if tree is None:
        return SourceAnalysis(digest, (), (problem,) if problem else ())
    walrus = b":=" in text
    specs = {k.name: (f, k) for f in fixes for k in f.kernels}
    kernels: list[KernelAnalysis] = []
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for function in _functions(tree):
        if function.name in specs:
            fix, spec = specs[function.name]
            if function.name in seen:
                first = seen[function.name]
                problems.append(
                    Problem("defined-twice", f"defined on line {first} and again here", function.lineno, spec.name)
                )
            seen[function.name] = function.lineno
            kernels.append(_analyse_kernel(function, fix, spec, walrus))
        elif isinstance(function, ast.FunctionDef) and _looks_like_kernel(function, specs.values()):
            message = "an undeclared kernel with the output, bound and stride parameters of a declared one"
            problems.append(Problem("undeclared-kernel", message, function.lineno, function.name))
    problems += _rebindings(tree, set(specs), walrus)
    return SourceAnalysis(digest, tuple(kernels), tuple(problems), tree)


def _parse(text: bytes) -> tuple[ast.Module | None, Problem | None]:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        return None, Problem("not-utf-8", f"not UTF-8: byte {text[error.start]:#04x} at offset {error.start}", line)
    try:
        return ast.parse(text), None
    except SyntaxError as error:
        return None, Problem("syntax", f"does not parse: {error.msg}", error.lineno or 1)
    except ValueError as error:
        return None, Problem("syntax", f"does not parse: {error}", 1)
    except (RecursionError, MemoryError):
        return None, Problem("too-deep", "nested more deeply than the parser allows", 1)


def _functions(tree: ast.Module | ast.stmt) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function definition that is not inside another function, in source order."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.stmt, ast.ExceptHandler, ast.match_case)):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))


def _rebindings(tree: ast.Module, names: set[str], walrus: bool) -> list[Problem]:
    """A kernel's name bound at module level to something else than a function: what runs is not what is judged.

    Imports are no bindings of this kind: the file imported from is judged where it stands.
    """
    problems = []
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
            continue
        defined = {f.name for f in _functions(statement)}
        imported = {(a.asname or a.name) for n in ast.walk(statement) if isinstance(n, ast.ImportFrom) for a in n.names}
        for name in sorted(set(bound_names(statement, walrus=walrus)) & names - defined - imported):
            problems.append(
                Problem("rebound", "its name is bound to something that is no definition", statement.lineno, name)
            )
    return problems


def _looks_like_kernel(function: ast.FunctionDef, specs: Iterable[tuple[Fix, KernelSpec]]) -> bool:
    parameters = set(function_parameters(function))
    if not any({s.output, s.bound, *s.strides} <= parameters for _, s in specs):
        return False
    if not any(_is_jit(d) for d in function.decorator_list):
        return False
    return any(isinstance(s, (ast.Assign, ast.Expr, ast.For, ast.If, ast.While)) for s in function.body)


def _is_jit(decorator: ast.expr) -> bool:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (isinstance(target, ast.Attribute) and target.attr == "jit") or (
        isinstance(target, ast.Name) and target.id == "jit"
    )


def _analyse_kernel(
    function: ast.FunctionDef | ast.AsyncFunctionDef, fix: Fix, spec: KernelSpec, walrus: bool
) -> KernelAnalysis:
    def only(problem: Problem) -> KernelAnalysis:
        return KernelAnalysis(fix.id, spec.name, function.lineno, (), (problem,))

    if isinstance(function, ast.AsyncFunctionDef):
        return only(Problem("async", "the kernel is an async function", function.lineno, spec.name))
    if _is_signature(function):
        # Prebuilt code objects are launched through such stubs: parameters, and no body.
        return KernelAnalysis(fix.id, spec.name, function.lineno, (), ())
    parameters = function_parameters(function)
    for role, name in (("output", spec.output), ("bound", spec.bound)):
        if name not in parameters:
            return only(Problem("no-parameter", f"has no {role} parameter {name!r}", function.lineno, spec.name))
    try:
        walk = walk_kernel(function, spec, walrus=walrus)
        judged = [_judge(store, i, walk, fix, spec) for i, store in enumerate(walk.stores)]
    except RecursionError:
        message = "an expression is nested more deeply than this Python allows"
        return only(Problem("too-deep", message, function.lineno, spec.name))
    return KernelAnalysis(
        fix.id,
        spec.name,
        function.lineno,
        tuple(site for site, _, _ in judged),
        (*walk.problems, *(p for _, _, found in judged for p in found)),
        tuple(syntax for _, syntax, _ in judged),
    )


def _is_signature(function: ast.FunctionDef) -> bool:
    return all(
        isinstance(s, ast.Pass) or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in function.body
    )


def _judge(
    store: StoreCall, ordinal: int, walk: KernelWalk, fix: Fix, spec: KernelSpec
) -> tuple[StoreSite, SiteSyntax, list[Problem]]:
    assert walk.bound is not None and store.node.end_lineno is not None
    column, strided = column_of(store.address, walk.output, walk.strides)
    problems = []

    def problem(code: str, message: str) -> None:
        problems.append(Problem(code, message, store.node.lineno, spec.name))

    if not strided:
        problem("no-row", "no term of the address contains a declared stride, so rows cannot be told from columns")
    elif column.constant is not None:
        problem("no-column", "the address has no column term")
    entangled = {walk.output, walk.bound, *walk.strides} & column.mentions
    if entangled:
        names = ", ".join(sorted(a.payload for a in entangled))
        problem("entangled", f"the column expression contains {names}")
    guard, strange = classify(store.mask, column, walk.bound)
    mask = store.arguments.get("mask") if store.mask is not None else None
    findings = tuple(
        Finding("other-expression", f"`{_spelling(t, mask, walk)}` bounds another expression than the column")
        for t in strange
    )
    expression: ast.expr | None = None
    obstacle = ""
    try:
        expression = column_expression(store, walk)
    except NotExpressible as reason:
        obstacle = str(reason)
    fallback = store.arguments.get("offsets") or store.arguments[POINTER_PARAMETER[store.kind]]
    site = StoreSite(
        fix=fix.id,
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
    )
    return site, SiteSyntax(store.node, store.arguments.get("mask"), expression), problems


def _spelling(term: Value, mask: ast.expr | None, walk: KernelWalk) -> str:
    """How the mask writes one of its terms; the mask itself where the term is behind a local name."""
    assert mask is not None
    matches = (n for n in ast.walk(mask) if isinstance(n, ast.expr) and walk.values.get(n) == term)
    return ast.unparse(next(matches, mask))
