"""Compute the row's part of a store's address in 64 bits, in the pointer; change nothing else by one byte.

A row number times the row stride passes 2^31 long before an output is too large for the device. Widening the factor is
enough where the product is in the pointer; the offsets of a buffer store are 32 bits on CDNA whatever their type, so
from there the product has to move.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from aiterfix.source.columns import NotExpressible, column_within, named_expression
from aiterfix.source.encoding import as_utf8
from aiterfix.source.layout import WIDTH
from aiterfix.source.locate import Edit, Lines, Span
from aiterfix.source.proof import ProofError, parsed, same_tree
from aiterfix.source.rebuilt import rebuilt
from aiterfix.source.rewrite import Plan, plan_of
from aiterfix.source.rows import product_width, row_nodes
from aiterfix.source.scope import ModuleScope
from aiterfix.source.sites import KernelAnalysis, SiteSyntax, SourceAnalysis, StoreSite
from aiterfix.source.sums import SumEditor, is_simple
from aiterfix.source.syntax import summands
from aiterfix.source.tree import descend
from aiterfix.source.values import WIDE, Rank, Value, atoms_below
from aiterfix.source.vocabulary import POINTER_PARAMETER

_MARKERS = re.compile(r"marker\[i.{1,2}\]\[\]\*|\*?marker\[i.{1,2}\]\[\]")
_LANGUAGES = ("triton.language", "triton.experimental.gluon.language")


def plan_row_edits(text: bytes, analysis: SourceAnalysis, kernels: Collection[str] | None = None) -> Plan[StoreSite]:
    """Plan the mend of every store whose row is multiplied in 32 bits, or added to 32-bit offsets.

    Args:
        text: the file's bytes.
        analysis: of exactly this text.
        kernels: only these, by name; all by default.
    """
    edits: dict[Span, Edit] = {}
    edited: list[StoreSite] = []
    left: list[tuple[StoreSite, str]] = []
    lines = Lines(as_utf8(text))
    for kernel in analysis.kernels:
        if kernels is not None and kernel.name not in kernels:
            continue
        for site, syntax in zip(kernel.sites, kernel.syntax, strict=True):
            if site.row.reaches_everywhere:
                continue
            try:
                if kernel.problems:
                    raise NotExpressible(kernel.problems[0].message)
                found = _RowEditor(lines, syntax).edits()
            except NotExpressible as reason:
                left.append((site, str(reason)))
            else:
                edits |= {e.span: e for e in found}
                edited.append(site)
    # A product may stand in two stores' addresses: where one takes it away, the other need not widen it.
    gone = [s for s in edits if s.start < s.end]
    kept = [e for s, e in edits.items() if not any(g != s and g.start <= s.start and s.end <= g.end for g in gone)]
    return plan_of(text, kept, edited, left)


def obstacles(text: bytes, kernel: KernelAnalysis) -> tuple[tuple[StoreSite, str], ...]:
    """The stores of one kernel whose row cannot be mended, and why."""
    return plan_row_edits(text, SourceAnalysis("", (kernel,), ())).left


class _RowEditor(SumEditor):
    """Widens the row of one site."""

    def __init__(self, lines: Lines, syntax: SiteSyntax) -> None:
        super().__init__(lines)
        self.store = syntax.store
        self.walk = syntax.walk
        self.call = syntax.node
        self.strides = {Value({(a,): 1}): a for a in self.walk.strides}

    def edits(self) -> list[Edit]:
        """What to change for this site."""
        if self.store.helper:
            raise NotExpressible(f"the store stands in {self.store.helper}()")
        pointer = self.store.arguments[POINTER_PARAMETER[self.store.kind]]
        offsets = self.store.arguments.get("offsets")
        edits = [e for n in row_nodes(pointer, self.walk) for e in self._widened(n)]
        moved: list[str] = []
        if offsets is not None:
            rows = list(row_nodes(offsets, self.walk))
            if rows:
                removed = self._removed(offsets, rows)
                moved = [self._product(n) for n in rows] if removed is not None else self._written(offsets)
                edits += removed if removed is not None else [Edit(self.lines.span(offsets), self._column(offsets))]
        if moved:
            if not isinstance(pointer, (ast.Name, ast.Attribute, ast.BinOp, ast.Call)):
                raise NotExpressible("the pointer is no sum that a row could be added to")
            edits.append(self._added(pointer, moved))
        return edits

    # ---- in place ---------------------------------------------------------------------------

    def _widened(self, node: ast.expr) -> list[Edit]:
        """Widen the products of a term of the pointer, where they are written."""
        value = self.walk.values[node]
        if product_width(value, self.walk.strides) == WIDE:
            return []
        products = [
            n
            for n in self.walk.nodes
            if isinstance(n, ast.BinOp)
            and isinstance(n.op, ast.Mult)
            and (held := self.walk.values.get(n)) is not None
            and self._factors(n) is not None
            and held.terms.items() <= value.terms.items()
            and product_width(held, self.walk.strides) != WIDE
        ]
        if not products:
            raise NotExpressible("the product of row number and stride is not written out")
        edits = []
        for n in products:
            edits += self.converted(n, self._of_device(n)[0], f".to({self._int64()})".encode())
        return edits

    def _factors(self, node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
        """Row number and stride of a product."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for number, stride in ((node.left, node.right), (node.right, node.left)):
                if self.walk.values.get(stride) in self.strides:
                    held = self.walk.values[number]
                    return (number, stride) if held.mentions.isdisjoint(self.walk.strides) else None
        return None

    def _of_device(self, node: ast.expr) -> tuple[ast.expr, ast.expr]:
        factors = self._factors(node)
        if factors is None:
            raise NotExpressible("a row term is no product of a number and a stride")
        self._check(self.walk.values[factors[0]])
        return factors

    def _check(self, number: Value) -> None:
        """A number of Python's has no ``.to``; nor has an argument that Triton makes a constant because it is 1."""
        if not any(
            a.op in ("program_id", "num_programs", "arange") or a in self.walk.on_device for a in atoms_below(number)
        ):
            raise NotExpressible("the row's number need not be a value of the device, which alone can be widened")

    # ---- from the offsets to the pointer ------------------------------------------------------

    def _product(self, node: ast.expr) -> str:
        number, stride = self._of_device(node)
        if self.walk.values[number].rank is not Rank.SCALAR:
            raise NotExpressible("the rows of the offsets differ from lane to lane, and the pointer is one for all")
        span = self.bracketed(node, number)
        text = self.source(span)
        if not (is_simple(number) or span != self.lines.span(number)):
            text = f"({text})"
        return f"{text}.to({self._int64()}) * {self.source(self.bracketed(node, stride))}"

    def _removed(self, offsets: ast.expr, rows: list[ast.expr]) -> list[Edit] | None:
        """Edits that take row terms out of a sum; None where they are not plain summands of it."""
        signs = dict(summands(offsets))
        if len(signs) <= len(rows) or any(self._factors(n) is None or signs[n] < 0 for n in rows):
            return None
        edits: list[Edit] = []
        self.drop(offsets, set(rows), edits)
        return edits

    def _column(self, offsets: ast.expr) -> bytes:
        return ast.unparse(column_within([offsets], self.store, self.walk)).encode()

    def _written(self, offsets: ast.expr) -> list[str]:
        """Row terms that hide in local names, with names that hold the same at the store."""
        found = []
        for stride, atom in self.strides.items():
            terms = {m: c for m, c in self.walk.values[offsets].terms.items() if atom in m}
            if not terms:
                continue
            number = Value(
                {tuple(a for a in m if a is not atom and a.op != "marker"): c for m, c in terms.items()},
            )
            if number.rank is not Rank.SCALAR or atom in number.mentions:
                raise NotExpressible("the row in the offsets is not one number times a stride")
            self._check(number)
            row = named_expression(number, self.store, self.walk)
            text = ast.unparse(row) if is_simple(row) else f"({ast.unparse(row)})"
            name = ast.unparse(named_expression(stride, self.store, self.walk))
            found.append(f"{text}.to({self._int64()}) * {name}")
        return found

    def _added(self, pointer: ast.expr, moved: list[str]) -> Edit:
        """Row terms behind the pointer; on lines of their own where theirs gets too long."""
        at = self.lines.span(pointer).end
        tail = " + ".join(["", *moved])
        start = self.lines.line_start(at)
        if self.call.lineno != self.call.end_lineno and at - start + len(tail) + 1 > WIDTH:
            indent = self.lines.indentation(at).decode()
            if pointer.lineno == self.call.lineno:
                indent += "    "
            tail = "".join(f"{self.lines.newline().decode()}{indent}+ {m}" for m in moved)
        return Edit(Span(at, at), tail.encode())

    # ---- text -------------------------------------------------------------------------------

    def _int64(self) -> str:
        return int64_name(self.walk.scope, self.walk.function)


def int64_name(scope: ModuleScope, function: ast.FunctionDef) -> str:
    """How a kernel can name the 64-bit type.

    Raises:
        NotExpressible: its module has no name for it, or the kernel hides it.
    """
    hidden = names_of_its_own(function)
    for language in _LANGUAGES:
        for name in scope.spelling(language):
            if name not in hidden:
                return f"{name}.int64"
        for name in scope.spelling(f"{language}.int64"):
            if name not in hidden:
                return name
    raise NotExpressible("the module has no name for Triton's int64")


@lru_cache(maxsize=8)
def names_of_its_own(function: ast.FunctionDef) -> frozenset[str]:
    """The names that a function binds anywhere, parameters included: in it they do not mean what the module's do."""
    nodes = list(descend(function))
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    return frozenset(bound | {a.arg for a in nodes if isinstance(a, ast.arg)})


def prove_rows(before: SourceAnalysis, after: SourceAnalysis, edited_sites: Sequence[StoreSite], filename: str) -> None:
    """Every edited row reaches everywhere, every address and mask is the same number, nothing else changed."""
    old, new = parsed(before, after, filename)
    if [_facts(k) for k in before.kernels] != [_facts(k) for k in after.kernels]:
        raise ProofError(filename, "a store's address, column or mask is not what it was")
    edited = {(s.kernel, s.ordinal) for s in edited_sites}
    for site in after.sites:
        if (site.kernel, site.ordinal) in edited and not site.row.reaches_everywhere:
            raise ProofError(filename, f"the row of the store on line {site.line} is still computed in 32 bits")
    if not same_tree(_without_rows(before, old, edited), _without_rows(after, new, edited)):
        raise ProofError(filename, "the syntax tree differs from the original's in more than the rows' addresses")


def _facts(kernel: KernelAnalysis) -> list[object]:
    found: list[object] = [kernel.name]
    for site, syntax in zip(kernel.sites, kernel.syntax, strict=True):
        address = syntax.store.address.terms
        bare = {(_MARKERS.sub("", "*".join(sorted(map(repr, m)))), c) for m, c in address.items()}
        found.append((site.ordinal, site.column, site.mask, site.guard, frozenset(bare)))
    return found


def _without_rows(analysis: SourceAnalysis, tree: ast.Module, edited: set[tuple[str, int]]) -> ast.AST:
    """The tree without widening conversions, and without pointer and offsets of the edited stores: both are there
    before and after, and their values were compared already."""
    changes = widenings(tree)
    for k in analysis.kernels:
        for site, syntax in zip(k.sites, k.syntax, strict=True):
            if (site.kernel, site.ordinal) in edited:
                address = (syntax.store.arguments.get(n) for n in (POINTER_PARAMETER[syntax.store.kind], "offsets"))
                changes |= {id(node): ast.Constant(0) for node in address if node is not None}
    return rebuilt(tree, changes)


def widenings(tree: ast.AST) -> dict[int, ast.AST]:
    """Every ``x.to(tl.int64)`` of a tree, by its identity, with what it widens."""
    calls = (n for n in descend(tree) if isinstance(n, ast.Call) and is_widening(n))
    return {id(n): n.func.value for n in calls if isinstance(n.func, ast.Attribute)}


def is_widening(node: ast.Call) -> bool:
    """Whether a call is ``x.to(tl.int64)``."""
    named = (
        isinstance(node.func, ast.Attribute) and node.func.attr == "to" and len(node.args) == 1 and not node.keywords
    )
    return named and ast.unparse(node.args[0]).rpartition(".")[2] == "int64"
