"""Prove an edit: every site bounded, and nothing but the added terms differs from the original."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiterfix.errors import NotUnderstoodError
from aiterfix.source.sites import SourceAnalysis, StoreSite


class ProofError(NotUnderstoodError):
    """An edit did not come out as intended. Nothing is written; this is a defect of aiterfix."""

    code = "proof"

    def __init__(self, filename: str, problem: str) -> None:
        super().__init__(
            f"{filename}: the edit could not be proven: {problem}",
            why="aiterfix checks every edit it makes before it writes anything.",
            remedy="Nothing was changed. Keep the padding columns in the caller, and report this file to the project.",
        )


def parsed(before: SourceAnalysis, after: SourceAnalysis, filename: str) -> tuple[ast.Module, ast.Module]:
    """The trees of a text before and after an edit.

    Raises:
        ProofError: it does not parse, or is understood less.
    """
    if after.tree is None or before.tree is None:
        raise ProofError(filename, after.problems[0].message if after.problems else "it was not parsed")
    if len(after.all_problems) > len(before.all_problems):
        raise ProofError(filename, after.all_problems[-1].message)
    return before.tree, after.tree


def prove_bounds(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[StoreSite], filename: str) -> None:
    """Check the analysis of a new text against that of the old one.

    Raises:
        ProofError: it does not parse, a site is unbounded, sites appeared or vanished, or the syntax
            tree differs from the original's in anything but the added terms.
    """
    old_tree, new_tree = parsed(before, after, filename)
    bounded = {(s.kernel, s.ordinal) for s in after.sites if s.guard.bounded}
    if not after.understood or any((s.kernel, s.ordinal) not in bounded for s in edited):
        raise ProofError(filename, "a store that was edited is still not bounded")
    old = [(s.kernel, s.ordinal, s.column) for s in before.sites]
    new = [(s.kernel, s.ordinal, s.column) for s in after.sites]
    if old != new:
        raise ProofError(filename, "the store sites are not those of the original")
    with _added_terms_removed(before, after, edited):
        same = same_tree(old_tree, new_tree)
    if not same:
        raise ProofError(filename, "the syntax tree differs from the original's in more than the added terms")


@contextmanager
def _added_terms_removed(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[StoreSite]) -> Iterator[None]:
    """Take the added term out of every edited site of the new tree, and put it back afterwards."""
    wanted = {(s.kernel, s.ordinal) for s in edited}
    undo: list[tuple[ast.Call, list[ast.expr], list[ast.keyword]]] = []
    for old_kernel, new_kernel in zip(before.kernels, after.kernels, strict=True):
        pairs = zip(new_kernel.sites, old_kernel.syntax, new_kernel.syntax, strict=True)
        for site, old, new in pairs:
            if (site.kernel, site.ordinal) not in wanted or new.mask is None:
                continue
            call, added = new.node, new.mask
            undo.append((call, call.args, call.keywords))
            # What stood there before: no mask, None, or the left operand of the conjunction.
            restored: ast.expr | None = None
            if old.mask is not None:
                restored = old.mask if old.unmasked else added.left if isinstance(added, ast.BinOp) else added
            if restored is None:
                call.keywords = [k for k in call.keywords if k.value is not added]
            else:
                call.args = [restored if a is added else a for a in call.args]
                call.keywords = [ast.keyword(k.arg, restored) if k.value is added else k for k in call.keywords]
    try:
        yield
    finally:
        for call, args, keywords in undo:
            call.args, call.keywords = args, keywords


def same_tree(left: ast.AST, right: ast.AST) -> bool:
    """Whether two trees are equal but for positions, as ``ast.dump`` of both would tell (at a tenth of its cost)."""
    stack: list[tuple[object, object]] = [(left, right)]
    while stack:
        a, b = stack.pop()
        if a is b:
            continue  # operators and contexts are one object each, names are interned: half of all nodes
        if type(a) is not type(b):
            return False
        if isinstance(a, ast.AST):
            stack += [(getattr(a, f, None), getattr(b, f, None)) for f in a._fields]
        elif isinstance(a, list):
            assert isinstance(b, list)
            if len(a) != len(b):
                return False
            stack += zip(a, b, strict=True)
        elif a != b and not (a != a and b != b):  # NaN constants are equal to themselves here
            return False
    return True
