"""What is below a node of a syntax tree, worked out once: trees are asked the same questions from many places."""

from __future__ import annotations

import ast

_NODES, _WORDS, _TEXT = "_aiterfix_nodes", "_aiterfix_words", "_aiterfix_text"


def walked(node: ast.AST) -> tuple[ast.AST, ...]:
    """As ``ast.walk``."""
    known: tuple[ast.AST, ...] | None = node.__dict__.get(_NODES)
    if known is None:
        known = node.__dict__[_NODES] = tuple(ast.walk(node))
    return known


def identifiers(node: ast.AST) -> frozenset[str]:
    """Names, attributes, imported names and strings below a node."""
    known: frozenset[str] | None = node.__dict__.get(_WORDS)
    if known is None:
        known = node.__dict__[_WORDS] = frozenset(_words(node))
    return known


def text_of(node: ast.expr) -> str:
    """How the source says it, on one line."""
    known: str | None = node.__dict__.get(_TEXT)
    if known is None:
        try:
            known = " ".join(ast.unparse(node).split())
        except (ValueError, AttributeError, RecursionError):
            known = "an expression"
        node.__dict__[_TEXT] = known
    return known


def _words(node: ast.AST) -> set[str]:
    words: set[str] = set()
    for child in walked(node):
        if isinstance(child, ast.Name):
            words.add(child.id)
        elif isinstance(child, ast.Attribute):
            words.add(child.attr)
        elif isinstance(child, ast.alias):
            words.add(child.name.rpartition(".")[2])
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            words.add(child.value)
    return words
