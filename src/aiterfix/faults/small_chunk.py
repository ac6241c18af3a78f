"""Chunks so small that a warp gets no tile of them: the compiler divides by 0."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from aiterfix.family.cases import CHUNK, SMALLEST_CHUNK
from aiterfix.family.entries import CHUNK_OF_TILES, SHUFFLED_KERNELS
from aiterfix.faults.base import Finding, Presence
from aiterfix.source.branches import Tests, exclude, with_tests
from aiterfix.source.names import bound_names
from aiterfix.source.scope import fold
from aiterfix.source.sites import KernelAnalysis

_TILES = "tiles_per_warp"
_DEEPEST = 20
"""Names in terms of names that are followed."""


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a layout whose tiles are shared out among warps; none in other kernels."""
    if kernel.name not in SHUFFLED_KERNELS or not kernel.syntax:
        return ()
    statements = tuple(with_tests(kernel.syntax[0].walk.function.body))
    return tuple(
        _finding(k.value, _Constants(statements, tests))
        for s, tests in statements
        for n in ast.walk(s)
        if isinstance(n, ast.Call)
        for k in n.keywords
        if k.arg == _TILES
    )


def _finding(tiles: ast.expr, constants: _Constants) -> Finding:
    line, end = tiles.lineno, tiles.end_lineno or tiles.lineno
    half, whole = (constants.fewest(tiles, chunk) for chunk in (SMALLEST_CHUNK // 2, SMALLEST_CHUNK))
    if half is None or whole is None:
        message = f"how many tiles a warp gets of `{ast.unparse(tiles)}` is not followed"
        return Finding("tiles", message, line, end, Presence.UNKNOWN, "it is not understood")
    if half >= 1:
        return Finding(
            "tiles", f"a chunk of {SMALLEST_CHUNK // 2} has a tile for each warp", line, end, Presence.ABSENT
        )
    if whole < 1:
        message = f"a chunk of {SMALLEST_CHUNK} columns has no tile for each warp either"
        return Finding("tiles", message, line, end, Presence.PRESENT, "which chunks it can do is not known")
    message = f"a chunk of less than {SMALLEST_CHUNK} columns has no tile for each warp"
    return Finding(CHUNK_OF_TILES.about, message, line, end, Presence.PRESENT)


class _Constants:
    """What names of a kernel hold at a statement of it, where that is made of a chunk's size and numbers alone.

    Args:
        statements: the kernel's, each with the tests on its way.
        tests: those on the way to the statement that asks.
    """

    def __init__(self, statements: Sequence[tuple[ast.stmt, Tests]], tests: Tests) -> None:
        self._bound: dict[str, list[ast.expr | None]] = {}
        for s, on_way in statements:
            if not exclude(on_way, tests):
                for name in bound_names(s, walrus=True):
                    self._bound.setdefault(name, []).append(_value(s))

    def fewest(self, tiles: ast.expr, chunk: int) -> int | None:
        """The least of some numbers for a chunk's size; None where one is not known."""
        if not isinstance(tiles, (ast.List, ast.Tuple)) or CHUNK in self._bound:
            return None
        numbers = [self._number(e, chunk, 0) for e in tiles.elts]
        return None if None in numbers or not numbers else min(n for n in numbers if n is not None)

    def _number(self, e: ast.expr | None, chunk: int, depth: int) -> int | None:
        if isinstance(e, ast.Constant) and type(e.value) is int:
            return e.value
        if isinstance(e, ast.Name) and e.id == CHUNK:
            return chunk
        if isinstance(e, ast.Name) and depth < _DEEPEST:
            values = {self._number(v, chunk, depth + 1) for v in self._bound.get(e.id, ())}
            return values.pop() if len(values) == 1 else None
        if isinstance(e, ast.BinOp):
            left, right = self._number(e.left, chunk, depth), self._number(e.right, chunk, depth)
            return fold(type(e.op), left, right) if left is not None and right is not None else None
        return None


def _value(s: ast.stmt) -> ast.expr | None:
    """What a statement binds its one name to; None where it does more, or less."""
    if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name):
        return s.value
    plain = isinstance(s, ast.Assign) and len(s.targets) == 1 and isinstance(s.targets[0], ast.Name)
    return s.value if plain and isinstance(s, ast.Assign) else None
