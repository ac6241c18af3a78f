"""What every proof of an edit asks: that both texts parse, and that trees are the same."""

from __future__ import annotations

import ast

from aiterfix.errors import NotUnderstoodError
from aiterfix.source.sites import SourceAnalysis


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
