"""Chunks so small that a warp gets no tile of them: the compiler divides by 0."""

from __future__ import annotations

import ast

from aiterfix.family.cases import CHUNK, SMALLEST_CHUNK
from aiterfix.family.entries import CHUNK_OF_TILES, SHUFFLED_KERNELS
from aiterfix.faults.base import Finding, Presence
from aiterfix.source.assignments import Assignments
from aiterfix.source.branches import Tests, exclude, with_tests
from aiterfix.source.constants import Constant, constant
from aiterfix.source.loads import view_of
from aiterfix.source.sites import KernelAnalysis
from aiterfix.source.tree import descend

_TILES = "tiles_per_warp"


def findings(kernel: KernelAnalysis, text: bytes) -> tuple[Finding, ...]:
    """One finding a layout whose tiles are shared out among warps; none in other kernels."""
    if kernel.name not in SHUFFLED_KERNELS or not kernel.syntax:
        return ()
    walk = kernel.syntax[0].walk
    return tuple(
        _finding(k.value, view_of(walk).assignments, tests)
        for s, tests in with_tests(walk.function.body)
        for n in descend(s)
        if isinstance(n, ast.Call)
        for k in n.keywords
        if k.arg == _TILES
    )


def _finding(tiles: ast.expr, assignments: Assignments, tests: Tests) -> Finding:
    line, end = tiles.lineno, tiles.end_lineno or tiles.lineno
    half, whole = (_fewest(tiles, chunk, assignments, tests) for chunk in (SMALLEST_CHUNK // 2, SMALLEST_CHUNK))
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


def _fewest(tiles: ast.expr, chunk: int, assignments: Assignments, tests: Tests) -> int | None:
    """The least of some numbers for a chunk's size; None where one is not known.

    Args:
        tiles: the numbers.
        chunk: the size.
        assignments: of the kernel.
        tests: on the way to the statement that the numbers stand in.
    """
    if not isinstance(tiles, (ast.List, ast.Tuple)) or not tiles.elts or assignments.of(CHUNK):
        return None
    asked: list[str] = []

    def held(name: str) -> Constant | None:
        if name == CHUNK:
            return chunk
        given = [a for a in assignments.of(name) if not exclude(a.tests, tests)]
        if name in asked or any(a.kind != "name" for a in given):
            return None
        asked.append(name)
        values = {constant(a.value, held) for a in given if a.value is not None}
        asked.remove(name)
        return values.pop() if len(values) == 1 else None

    numbers = [constant(e, held) for e in tiles.elts]
    return min((n for n in numbers if isinstance(n, int)), default=None) if None not in numbers else None
