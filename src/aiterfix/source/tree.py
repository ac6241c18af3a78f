"""What stands in a piece of syntax, contexts and operators aside: as `ast` tells it, in half the time."""

from __future__ import annotations

import ast
from collections.abc import Iterator

_NO_NODES = frozenset(["id", "attr", "ctx", "op", "ops", "level", "module", "asname", "type_comment"])
_FIELDS: dict[type, tuple[str, ...]] = {ast.Constant: ()}


def children(node: ast.AST) -> list[ast.AST]:
    """What stands in a node itself: `ast.iter_child_nodes`, but for contexts and operators."""
    kind: type[ast.AST] = node.__class__
    found: list[ast.AST] = []
    fields = _FIELDS.get(kind)
    if fields is None:
        fields = _FIELDS[kind] = tuple(name for name in kind._fields if name not in _NO_NODES)
    for name in fields:
        value = getattr(node, name, None)
        if value.__class__ is list:
            found += [child for child in value if isinstance(child, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def descend(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all that stands in it, level by level: `ast.walk`, but for contexts and operators."""
    level = [node]
    while level:
        yield from level
        level = [child for above in level for child in children(above)]
