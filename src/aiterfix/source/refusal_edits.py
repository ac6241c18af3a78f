"""Edits by which a wrapper's function raises before it launches. Apart from `entries`, which every process with the
import hook loads, and which needs nothing of what edits and proves.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Collection

from aiterfix.source.columns import NotExpressible
from aiterfix.source.entries import block_test, handed_cache
from aiterfix.source.kernel_launch import KernelLaunch
from aiterfix.source.locate import Edit, Lines, Span
from aiterfix.source.rebuilt import EditedPlace


def refusal_edit(launch: KernelLaunch, lines: Lines, caches: Collection[str], reason: str) -> tuple[Edit, EditedPlace]:
    """What has a function refuse a cache with blocks of several tokens, as the first thing that it does.

    Args:
        launch: one that is neither told the size nor refused.
        lines: of the module's text.
        caches: see `kernel_launches`.
        reason: why, and what to do; it may have ``{cache}`` in it for the shape that it was handed.

    Raises:
        NotExpressible: there is no cache among its parameters, or no place for the statement.
    """
    function = launch.function
    cache = handed_cache(function, caches) if function is not None else ""
    if function is None or not cache:
        raise NotExpressible(f"{launch.entry or 'what launches it'} is not handed the cache by a name that is known")
    return refuse_first(function, lines, block_test(cache), reason.replace("{cache}", f"{{tuple({cache}.shape)}}"))


def refuse_first(function: ast.FunctionDef, lines: Lines, test: str, reason: str) -> tuple[Edit, EditedPlace]:
    """What has a function raise under a test, as the first thing that it does.

    Args:
        function: the definition.
        lines: of the module's text.
        test: an expression of its parameters.
        reason: what is raised: the inside of an f-string.

    Raises:
        NotExpressible: there is no place for the statement.
    """
    body = [s for s in function.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    if not body:
        raise NotExpressible(f"{function.name} has no statement to stand before")
    first = body[0]
    start = lines.offset(first.lineno, first.col_offset)
    if lines.text[lines.line_start(start) : start].strip() or first.lineno == function.lineno:
        raise NotExpressible(f"{function.name} begins on a line with other code")
    indent, newline = lines.indentation(start).decode(), lines.newline().decode()
    unit = "\t" if indent.startswith("\t") else "    "
    assert '"' not in reason and "\\" not in reason
    said = textwrap.wrap(reason, 68, drop_whitespace=False, break_long_words=False, break_on_hyphens=False)
    text = [f"if {test}:", f"{unit}raise ValueError(", *(f'{unit * 2}f"{t}"' for t in said), f"{unit})"]
    statement = ast.parse("\n".join(text)).body[0]
    place = EditedPlace(function.name, function.lineno, ((first, [statement, first]),))
    return Edit(Span(start, start), f"{newline}{indent}".join([*text, ""]).encode()), place
