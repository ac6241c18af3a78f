"""Where a module puts something else in the place of a function of another module, as far as it is written plainly."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator

from aiterfix.source.syntax import last_name, root_name
from aiterfix.source.tree import descend

_SETTERS = frozenset({"setattr", "delattr", "__setattr__", "__delattr__"})
_PATCHERS = frozenset({"patch", "object", "multiple", "wrap_function_wrapper"})
"""Last names of functions that replace what they are told by name: Python's, and those of mock and wrapt."""
_CHANGES = frozenset({"update", "pop", "__setitem__", "__delitem__"})
"""The same of a namespace's."""
_HINTS = rb"(set|del)attr|__dict__|vars|globals|patch|wrap_function|\.[\s\\]*(%b)\b|\b(%b)([\s\\]*\.|[\s\\]+as\b)"
_OWN = frozenset({"self", "cls"})
"""An attribute of these is none of a module's."""


def replaced_names(text: bytes, names: Collection[str]) -> Iterator[tuple[int, str]]:
    """The places where a text replaces functions of other modules, by line and name.

    Args:
        text: a module's.
        names: the functions that are asked about.
    """
    mentioned = [n for n in names if n.encode() in text]
    # Most texts that mention one do nothing of the kind, and need not be parsed.
    either = "|".join(mentioned).encode()
    if not mentioned or not re.search(_HINTS % (either, either), text):
        return
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # it is not imported either
    reader = _Reader(tree, mentioned)
    for n in descend(tree):
        if isinstance(n, ast.expr):
            yield from ((n.lineno, name) for name in dict.fromkeys(reader.replaced(n)))


class _Reader:
    """Looks for them in one module."""

    def __init__(self, tree: ast.Module, names: Collection[str]) -> None:
        self._names = names
        nodes = list(descend(tree))
        imports = (n for n in nodes if isinstance(n, ast.ImportFrom))
        self._imported = {a.asname or a.name: a.name for n in imports for a in n.names if a.name in names}
        texts = (n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))
        self._spelled = [t for t in texts if t in names]

    def replaced(self, n: ast.expr) -> Iterator[str]:
        """The functions that an expression replaces."""
        if isinstance(n, (ast.Attribute, ast.Subscript)) and not isinstance(n.ctx, ast.Load):
            yield from self._owners(n)
        elif isinstance(n, ast.Call):
            called = last_name(n.func)
            changes = isinstance(n.func, ast.Attribute) and called in _CHANGES and _is_namespace(n.func.value)
            if changes or called in _SETTERS or called in _PATCHERS:
                for part in (*n.args, *(k.value for k in n.keywords)):
                    yield from self._told(part)
                yield from (k.arg for k in n.keywords if k.arg is not None and k.arg in self._names)
                yield from self._owners(n.args[0]) if n.args else ()
            by_name = any(isinstance(e, ast.Constant) and isinstance(e.value, str) for e in n.args)
            if called in _SETTERS and not by_name and not (n.args and root_name(n.args[0]) in _OWN):
                yield from self._spelled  # by a name that it holds: any that stands in the text

    def _owners(self, e: ast.expr) -> Iterator[str]:
        """The functions that an attribute is, or belongs to: their code, or what a kernel holds."""
        while isinstance(e, (ast.Attribute, ast.Subscript)):
            if isinstance(e, ast.Attribute) and e.attr in self._names and root_name(e.value) not in _OWN:
                yield e.attr
            elif isinstance(e, ast.Subscript) and _is_namespace(e.value):
                yield from self._told(e.slice)
            e = e.value
        if isinstance(e, ast.Name) and e.id in self._imported:
            yield self._imported[e.id]

    def _told(self, e: ast.expr) -> Iterator[str]:
        """The names that are spelled in an expression: alone, or behind a module's."""
        for n in descend(e):
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value.rpartition(".")[2] in self._names:
                yield n.value.rpartition(".")[2]


def _is_namespace(e: ast.expr) -> bool:
    """Whether that is what a module's names are kept in."""
    return last_name(e.func) in ("vars", "globals") if isinstance(e, ast.Call) else last_name(e) == "__dict__"
