"""Prove an edit by doing it a second time, on the syntax tree, and comparing."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiterfix.source.proof import ProofError, parsed, same_tree
from aiterfix.source.sites import SourceAnalysis


@dataclass(frozen=True)
class EditedPlace:
    """A place that an edit changes, with what it makes of the syntax tree.

    Attributes:
        kernel: the kernel or entry that it is in.
        line: 1-based, before the edit.
        changes: nodes of the tree that was, and what stands there afterwards; of a statement a list of them.
    """

    kernel: str
    line: int
    changes: tuple[tuple[ast.AST, ast.AST | list[ast.stmt]], ...] = field(repr=False, compare=False, default=())


def prove_changes(before: SourceAnalysis, after: SourceAnalysis, edited: Sequence[EditedPlace], filename: str) -> None:
    """The new text is the old one with those changes, and is understood as well as that was.

    Raises:
        ProofError: it is not.
    """
    old, new = parsed(before, after, filename)
    changes = {id(node): new for place in edited for node, new in place.changes}
    if not same_tree(rebuilt(old, changes), new):
        raise ProofError(filename, "the syntax tree differs from the original's in more than what was to change")


def rebuilt(tree: ast.AST, changes: Mapping[int, ast.AST | list[ast.stmt]]) -> ast.AST:
    """A copy of a tree with other nodes in some places.

    Args:
        tree: what to copy.
        changes: by the identity of a node, what stands in its place; that may have nodes of the tree in it.
    """
    result = _copied(tree, changes, frozenset())
    assert isinstance(result, ast.AST)
    return result


def _copied(value: object, changes: Mapping[int, ast.AST | list[ast.stmt]], done: frozenset[int]) -> object:
    if isinstance(value, list):
        items: list[object] = []
        for v in value:
            copy = _copied(v, changes, done)
            items += copy if isinstance(copy, list) else [copy]
        return items
    if not isinstance(value, ast.AST):
        return value
    if id(value) in changes and id(value) not in done:
        return _copied(changes[id(value)], changes, done | {id(value)})
    return type(value)(
        **{name: _copied(getattr(value, name), changes, done) for name in value._fields if hasattr(value, name)}
    )
