"""What the public entries are handed, by parameter name, and the cases that one of them should refuse."""

from __future__ import annotations

import ast

from aiterfix.family import cases
from aiterfix.family.cases import CHUNK, SAID, SMALLEST_CHUNK
from aiterfix.family.kernels import GROUPS
from aiterfix.family.paging import PAGING
from aiterfix.source.bodies import Body, carries
from aiterfix.source.entry_tests import EntryTest
from aiterfix.source.names import function_parameters
from aiterfix.source.tree import descend

OUTPUT = "out_logits"
"""What the entries call an output of one row a query. Those of stage1 call theirs otherwise: it has heads too."""
SHUFFLED = "Preshuffle"
OTHER_GPU = "gfx1250"
"""Runs kernels of the same names that are made in another way."""

ONE_STRIDE = tuple(k.name for g in GROUPS for k in g.kernels if len(k.strides) == 1)
"""Kernels that are told one stride of their output."""
SHUFFLED_KERNELS = tuple(name for name, roles in PAGING.items() if roles.tiled)


def _row_stride(function: ast.FunctionDef) -> str | None:
    if OUTPUT not in function_parameters(function):
        return None
    # An output with more than rows and columns in it, or with no columns.
    return f"{OUTPUT}.numel() != {OUTPUT}.size(0) * {OUTPUT}.size(-1)"


def _takes_rows(function: ast.FunctionDef | ast.Module) -> bool:
    """Whether no stride of an output is taken, or that of its last axis but one alone, which is the row's whatever the
    output is. What an entry calls its output is not always known: then any stride may be one."""
    named = isinstance(function, ast.FunctionDef) and OUTPUT in function_parameters(function)
    carriers = Body(function).carriers(frozenset({OUTPUT})) if isinstance(function, ast.FunctionDef) and named else None
    calls = {id(n.func): n for n in descend(function) if isinstance(n, ast.Call)}
    taken = (n for n in descend(function) if isinstance(n, ast.Attribute) and n.attr == "stride")
    return all(
        ast.unparse(calls.get(id(n), n)) == f"{OUTPUT}.stride(-2)"
        or (carriers is not None and not any(carries(e, carriers) for e in (n.value, *_arguments(calls.get(id(n))))))
        for n in taken
    )


def _arguments(call: ast.Call | None) -> list[ast.expr]:
    return [] if call is None else call.args


def _chunk(function: ast.FunctionDef) -> str | None:
    if not {SHUFFLED, CHUNK} <= set(function_parameters(function)):
        return None
    test = f"{SHUFFLED} and {CHUNK} < {SMALLEST_CHUNK}"
    gpus = (n.value for n in descend(function) if isinstance(n, ast.Constant))
    return f"{test} and get_gfx() != '{OTHER_GPU}'" if OTHER_GPU in gpus else test


ROW_STRIDE = EntryTest(cases.ROW_STRIDE, SAID[cases.ROW_STRIDE], _row_stride, _takes_rows)
CHUNK_OF_TILES = EntryTest(cases.CHUNK_OF_TILES, SAID[cases.CHUNK_OF_TILES], _chunk)

REFUSALS = {
    ROW_STRIDE.about: "takes an output of rows and columns, and was handed one of shape "
    f"{{tuple({OUTPUT}.shape)}} with strides {{{OUTPUT}.stride()}}: its rows would go to other places "
    "(aiterfix: output-rank). Hand it a view with two axes, one row a query.",
    CHUNK_OF_TILES.about: f"takes a {CHUNK} of {SMALLEST_CHUNK} or more with {SHUFFLED}=True, and was handed "
    f"{{{CHUNK}}}: the compiler dies of it (aiterfix: small-chunk).",
}
"""What such a refusal says, behind the entry's name: the inside of an f-string."""
