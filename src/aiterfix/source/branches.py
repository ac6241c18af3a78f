"""The statements of a function with the tests on the way to each."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

Tests = tuple[tuple[ast.expr, bool], ...]
"""Tests of ``if`` statements, and whether they hold."""


def with_tests(body: Iterable[ast.stmt], tests: Tests = ()) -> Iterator[tuple[ast.stmt, Tests]]:
    """Statements that hold no others, in source order, each with the tests on its way, the outermost first."""
    for s in body:
        inner = [(part, getattr(s, part)) for part in ("body", "orelse", "finalbody") if getattr(s, part, None)]
        if not inner:
            yield s, tests
        for part, block in inner:
            more: Tests = ((s.test, part == "body"),) if isinstance(s, ast.If) else ()
            yield from with_tests(block, (*tests, *more))


def exclude(one: Tests, other: Tests) -> bool:
    """Whether one test is on both ways, with opposite outcomes. A test is known by its text: what it tests must not
    change between."""
    known = {ast.unparse(test): holds for test, holds in one}
    return any(known.get(ast.unparse(test), holds) is not holds for test, holds in other)
