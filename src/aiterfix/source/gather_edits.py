"""Gather through 64-bit addresses: the block's number is widened before it is multiplied, and stands in the pointer.

A buffer load becomes a plain load, which takes a pointer for every lane: at blocks of 16 to 128 tokens this executes
fewer instructions than the buffer load, and at 256 up to 0.4 % more (Triton 3.7.1). Terms keep their order, which the
registers hang on; but a block that all lanes share stands next to the pointer, so that it is added once.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from aiterfix.source.address import int64_name, names_of_its_own, widenings
from aiterfix.source.columns import NotExpressible
from aiterfix.source.encoding import as_utf8
from aiterfix.source.expressions import broadcast_index
from aiterfix.source.gathers import Gather, Gathers
from aiterfix.source.locate import Edit, Lines, Span, gap
from aiterfix.source.magnitudes import Fits, Number, Size
from aiterfix.source.proof import ProofError, parsed, same_tree
from aiterfix.source.rebuilt import rebuilt
from aiterfix.source.rewrite import Plan, plan_of
from aiterfix.source.sites import KernelAnalysis, SourceAnalysis
from aiterfix.source.sums import SumEditor, is_simple
from aiterfix.source.syntax import summands
from aiterfix.source.tree import children

_GLUON = "triton.experimental.gluon.language"
_BINDS_TIGHTER = (ast.BinOp, ast.UnaryOp, ast.Name, ast.Call, ast.Attribute, ast.Subscript, ast.Constant)
_LOOSER = (ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor)


@dataclass(frozen=True)
class GatherSite:
    """A load from a cache, as one of its kernel's.

    Attributes:
        kernel: the kernel's function name.
        ordinal: 0-based position among the kernel's loads from its caches, in source order.
        line: 1-based first line of the call.
    """

    kernel: str
    ordinal: int
    line: int


def plan_gather_edits(text: bytes, kernels: Sequence[tuple[KernelAnalysis, Sequence[int]]]) -> Plan[GatherSite]:
    """Plan the mend of some loads from caches.

    Args:
        text: the file's bytes.
        kernels: each kernel of an analysis of exactly this text, and which of its loads, by ordinal.
    """
    lines = Lines(as_utf8(text))
    edits: list[Edit] = []
    edited: list[GatherSite] = []
    left: list[tuple[GatherSite, str]] = []
    for kernel, wanted in kernels:
        gathers = kernel.gathers
        for ordinal in wanted if gathers is not None else ():
            assert gathers is not None
            gather = gathers.loads[ordinal]
            site = GatherSite(kernel.name, ordinal, gather.line)
            try:
                if kernel.problems:
                    raise NotExpressible(kernel.problems[0].message)
                edits += _GatherEditor(lines, gathers, gather).edits()
            except NotExpressible as reason:
                left.append((site, str(reason)))
            else:
                edited.append(site)
    return plan_of(text, edits, edited, left)


class _GatherEditor(SumEditor):
    """Widens the address of one load."""

    def __init__(self, lines: Lines, gathers: Gathers, gather: Gather) -> None:
        super().__init__(lines)
        self.gathers = gathers
        self.gather = gather
        self.call = gather.node

    def edits(self) -> list[Edit]:
        """What to change for this load."""
        g = self.gather
        if g.kind == "load":
            return self._widened(g.pointer)
        if g.kind != "buffer_load" or g.offsets is None:
            raise NotExpressible(f"it reads through {g.kind}(), which is not followed")
        if not g.in_offsets:
            return self._widened(g.pointer)
        pointer, offsets = self._arguments()
        moved = self._shared_block(g.offsets)
        dropped: list[Edit] = []
        if moved is not None:
            try:
                self.drop(g.offsets, {moved}, dropped)
            except NotExpressible:
                moved, dropped = None, []
        found = [*self._renamed(), *self._joined(pointer, offsets), *dropped]
        if self._needs_widening(g.pointer):
            found += self._widened(g.pointer)
        if moved is not None:
            found.append(self._behind_pointer(pointer, moved))
        if moved is None or self._needs_widening(g.offsets, moved):
            found += self._widened(g.offsets, moved)
        return found

    # ---- products ---------------------------------------------------------------------------

    def _number(self, e: ast.expr) -> Number | None:
        value = self.gathers.values.get(e)
        return value if isinstance(value, Number) else None

    def _products(self, e: ast.expr, without: ast.expr | None = None) -> list[ast.BinOp]:
        """The products that pass their bits, of factors that do not."""
        found = []
        pending = [e]
        while pending:
            n = pending.pop()
            if n is without:
                continue
            pending += [c for c in children(n) if isinstance(c, ast.expr)]
            if not (isinstance(n, ast.BinOp) and isinstance(n.op, (ast.Mult, ast.LShift))):
                continue
            value, left, right = (self._number(x) for x in (n, n.left, n.right))
            if value is None or left is None or right is None or value.fits is Fits.YES:
                continue
            if left.fits is right.fits is Fits.YES:
                found.append(n)
        return found

    def _needs_widening(self, e: ast.expr, without: ast.expr | None = None) -> bool:
        held = self.gathers.values.get(e)
        return held is None or held.fits is not Fits.YES if without is None else bool(self._products(e, without))

    def _widened(self, e: ast.expr, without: ast.expr | None = None) -> list[Edit]:
        """Widen a factor of each product, where it is written."""
        products = self._products(e, without)
        if not products and self._needs_widening(e):
            raise NotExpressible("the product of block number and stride is not written out at the load")
        edits = []
        for n in products:
            factor = self._factor(n)
            end = f".to({self._int64()})".encode()
            if isinstance(factor, ast.Subscript) and broadcast_index(factor.slice) and is_simple(factor.value):
                at = self.lines.span(factor.value).end
                if self.text[at : at + 1] == b"[":
                    edits.append(Edit(Span(at, at), end))
                    continue
            edits += self.converted(n, factor, end)
        return edits

    def _factor(self, product: ast.BinOp) -> ast.expr:
        """The factor to widen: what may be large, and has methods whatever the kernel is specialised for."""
        for e in (product.left, product.right) if isinstance(product.op, ast.Mult) else (product.left,):
            value = self._number(e)
            if value is not None and value.size is Size.ANY and value.device and not value.parameter:
                return e
        raise NotExpressible("no factor need be a value of the device, which alone can be widened")

    def _int64(self) -> str:
        return int64_name(self.gathers.scope, self.gathers.function)

    def _shared_block(self, offsets: ast.expr) -> ast.BinOp | None:
        """The product of a block that all lanes share, where it is to be moved to the pointer."""
        terms = list(summands(offsets))
        products = set(self._products(offsets))
        for n, sign in terms[1:]:
            plain = isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mult) and n in products and sign > 0
            if isinstance(n, ast.BinOp) and plain and isinstance(self._factor(n), ast.Name):
                return n
        return None

    # ---- from offsets to a pointer -----------------------------------------------------------

    def _arguments(self) -> tuple[ast.expr, ast.expr | ast.keyword]:
        """The pointer, and the offsets with their keyword, which must come first, in this order."""
        in_order = self._in_order()
        first, second = (in_order[0], in_order[1]) if len(in_order) > 1 else (None, None)
        pointer = first.value if isinstance(first, ast.keyword) else first
        offsets = second.value if isinstance(second, ast.keyword) else second
        if pointer is not self.gather.pointer or offsets is not self.gather.offsets or second is None:
            raise NotExpressible("its pointer and offsets are not its first arguments")
        known = {"ptr", "offsets", "mask", "other"}
        if len(self.call.args) > 4 or any(k.arg not in known for k in self.call.keywords):
            raise NotExpressible("it has an argument that a plain load has not")
        joinable = isinstance(offsets, _BINDS_TIGHTER) and not (
            isinstance(offsets, ast.BinOp) and isinstance(offsets.op, _LOOSER)
        )
        sums = (ast.Name, ast.Attribute, ast.Call, ast.BinOp)
        if not joinable or not isinstance(pointer, sums):
            raise NotExpressible("its pointer and offsets are no sum as they stand")
        return pointer, second

    def _in_order(self) -> list[ast.expr | ast.keyword]:
        return [*self.call.args, *self.call.keywords]

    def _renamed(self) -> list[Edit]:
        function = self.lines.span(self.call.func)
        edits = [Edit(function, self._load_name().encode())]
        first = self._in_order()[0]
        if isinstance(first, ast.keyword):
            edits.append(Edit(self._keyword(first), b""))
        return edits

    def _keyword(self, k: ast.keyword) -> Span:
        """``name =`` before an argument's value, with the blanks behind it."""
        start, value = self.lines.span(k).start, self.lines.span(k.value).start
        end = start + self.text[start:value].index(b"=") + 1
        while self.text[end : end + 1] in (b" ", b"\t"):
            end += 1
        return Span(start, end)

    def _joined(self, pointer: ast.expr, offsets: ast.expr | ast.keyword) -> list[Edit]:
        """A plus sign for the comma between pointer and offsets."""
        start = self.lines.span(offsets).start
        between = gap(self.text, Span(self.lines.span(pointer).end, start))
        comma = next(t.offset for t in between if t.text == b",")
        edits = [Edit(Span(comma, comma + 1), b"")]
        if isinstance(offsets, ast.keyword):
            edits.append(Edit(self._keyword(offsets), b"+ "))
            return edits
        opening = [t.offset for t in between if t.text == b"(" and t.offset > comma]
        at = opening[0] if opening else start
        edits.append(Edit(Span(at, at), b"+ " if self.text[at - 1 : at].isspace() else b" + "))
        return edits

    def _behind_pointer(self, pointer: ast.expr, product: ast.BinOp) -> Edit:
        factor = self._factor(product)
        other = product.right if factor is product.left else product.left
        parts = {factor: f"{self.source(self.bracketed(product, factor))}.to({self._int64()})"}
        parts[other] = self.source(self.bracketed(product, other))
        text = f"+ {parts[product.left]} * {parts[product.right]}"
        closing = [t for t in gap(self.text, Span(self.lines.span(pointer).end, self._second())) if t.text == b")"]
        at = closing[-1].offset + 1 if closing else self.lines.span(pointer).end
        if self.call.lineno == self.call.end_lineno or self.call.lineno == pointer.lineno:
            return Edit(Span(at, at), f" {text}".encode())
        indent = self.lines.indentation(at).decode()
        return Edit(Span(at, at), f"{self.lines.newline().decode()}{indent}{text}".encode())

    def _second(self) -> int:
        return self.lines.span(self._in_order()[1]).start

    def _load_name(self) -> str:
        """How the kernel can name Gluon's plain load."""
        hidden = names_of_its_own(self.gathers.function)
        for name in self.gathers.scope.spelling(_GLUON):
            if name not in hidden:
                return f"{name}.load"
        raise NotExpressible("the module has no name for Gluon's language")


def prove_gathers(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[GatherSite], filename: str) -> None:
    """Every edited load reaches every block, from the address that it had, and nothing else changed.

    Raises:
        ProofError: that is not so.
    """
    old, new = parsed(before, after, filename)
    if [_loads(k) for k in before.kernels] != [_loads(k) for k in after.kernels]:
        raise ProofError(filename, "the loads from the caches are not those of the original")
    wanted = {(s.kernel, s.ordinal) for s in edited}
    for kernel in after.kernels:
        for i, load in enumerate(kernel.gathers.loads if kernel.gathers is not None else ()):
            if (kernel.name, i) in wanted and load.fits is not Fits.YES:
                raise ProofError(filename, f"the load on line {load.line} still does not reach every block")
    if not same_tree(rebuilt(old, _as_sums(before, wanted)), rebuilt(new, _as_sums(after, wanted))):
        raise ProofError(filename, "the syntax tree differs from the original's in more than the loads' addresses")


def _loads(kernel: KernelAnalysis) -> list[object]:
    gathers = kernel.gathers
    if gathers is None:
        return [kernel.name]
    return [kernel.name, [u.message for u in gathers.unfollowed], *(g.cache for g in gathers.loads)]


def _as_sums(analysis: SourceAnalysis, wanted: set[tuple[str, int]]) -> dict[int, ast.AST]:
    """Some loads by their identity, each as a load from the terms of its address, in order of their text."""
    found: dict[int, ast.AST] = {}
    for kernel in analysis.kernels:
        for i, load in enumerate(kernel.gathers.loads if kernel.gathers is not None else ()):
            if (kernel.name, i) not in wanted:
                continue
            address = [load.pointer, *([load.offsets] if load.offsets is not None else [])]
            terms = sorted(_spelled(e, s) for part in address for e, s in summands(part))
            rest = {a.arg: a.value for a in load.node.keywords if a.arg not in ("ptr", "pointer", "offsets")}
            rest |= dict(zip(("mask", "other"), load.node.args[len(address) :], strict=False))
            keywords = [ast.keyword(name, value) for name, value in sorted(rest.items(), key=lambda r: str(r[0]))]
            args: list[ast.expr] = [ast.Constant(t) for t in terms]
            found[id(load.node)] = ast.Call(ast.Name("load", ast.Load()), args, keywords)
    return found


def _spelled(term: ast.expr, sign: int) -> str:
    """A term without its widening conversions."""
    return f"{'-' if sign < 0 else '+'} {ast.dump(rebuilt(term, widenings(term)))}"
