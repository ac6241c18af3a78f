"""Which of a name's bindings a use may see, and whether a tensor is left alone on the way to it."""

from __future__ import annotations

import ast
import re

from aiterfix.engines.package import LOOPS, SCOPED, Binding, Source
from aiterfix.engines.uses import last
from aiterfix.family.kernels import ENTRIES

ALLOCATES = re.compile("(?:new_)?(?:empty|zeros|ones|full)").fullmatch
_LEAVES_ALONE = re.compile(
    "shape|stride|size|dim|fill_|zero_|dtype|device|numel|ndim|is_cuda|element_size|data_ptr|is_contiguous"
).fullmatch

_BY_TEXT = ("locals", "eval", "exec")
"""Ways to get at a function's own names that mention none of them."""


def start(node: ast.AST) -> tuple[int, int]:
    """Where a node begins: line and column."""
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def end(node: ast.AST) -> tuple[int, int]:
    """Where a node ends."""
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def reaching(source: Source, scope: ast.AST, bindings: list[Binding], use: ast.AST) -> list[Binding] | None:
    """Bindings that a use may see, the last one first; None where a loop brings others round."""
    found: list[Binding] = []
    stopped: ast.AST | None = None
    for binding in reversed(bindings):
        if (end(binding.node) if binding.value is not None else start(binding.node)) > start(use):
            continue
        found.append(binding)
        if dominates(source, binding.node, use):
            stopped = binding.node
            break
    for loop in (n for n in source.above(use) if isinstance(n, LOOPS)):
        if source.within(loop, SCOPED) is not scope and loop is not scope:
            continue
        inside = [b for b in bindings if b.node is loop or loop in source.above(b.node)]
        if inside and (stopped is None or (stopped is not loop and loop not in source.above(stopped))):
            return None
    return found


def dominates(source: Source, node: ast.AST, use: ast.AST) -> bool:
    """Whether a statement has always been run, and last, when a use below it in the same block is reached."""
    while not isinstance(node, ast.stmt):
        above = source.up[node]
        if isinstance(above, ast.BoolOp) and above.values[0] is not node:
            return False
        if isinstance(above, ast.Lambda) or (isinstance(above, ast.IfExp) and above.test is not node):
            return False
        node = above
    block = source.up.get(node)
    for part in ("body", "orelse", "finalbody"):
        statements = getattr(block, part, None)
        if isinstance(statements, list) and node in statements:
            later = statements[statements.index(node) + 1 :]
            return any(above in later for above in (use, *source.above(use)))
    return False


def untouched(source: Source, scope: ast.AST, made: list[Binding], use: ast.Name, *, late: bool, inside: bool) -> bool:
    """Whether nothing that may change a tensor's shape was done to a name before it is used; ``late``: before a
    function is run in which it is used; ``inside``: of a tuple or list that holds it.

    What was done to another tensor of the name, before the one that is used was made, does not matter.
    """
    loop = source.within(use, LOOPS)
    fresh = [b for b in made if isinstance(b.value, ast.Call) and ALLOCATES(last(b.value))]
    first = min(start(b.node) for b in fresh) if fresh and len(fresh) == len(made) else (0, 0)
    names = [n for n in source.seen(use.id) if isinstance(n, ast.Name) and scope in source.above(n)]
    # From where it gets another name on, what is done to the one is done to the other.
    above = source.up[use]
    late |= not isinstance(above, (ast.Call, ast.keyword, ast.Subscript, ast.Attribute, ast.Return))
    late |= isinstance(above, ast.Return) and source.within(above, (ast.Try, *SCOPED)) is not scope
    before = [n for n in names if loop or (first <= start(n) and (late or start(n) < start(use)))]
    if any(scope in source.above(n) for name in _BY_TEXT for n in source.seen(name)) or not all(
        _alone(source, b.node) for b in made
    ):
        return False
    if inside:
        items = [source.up[n] for n in before if n is not use and isinstance(n.ctx, ast.Load)]
        return all(
            isinstance(i, ast.Subscript) and isinstance(i.ctx, ast.Load) and leaves_alone(source, i) for i in items
        )
    given = [n for n in before if isinstance(source.up[n], ast.Return) and source.within(n, SCOPED) is not scope]
    return all(n is use or leaves_alone(source, n) for n in before) and not given


def _alone(source: Source, node: ast.AST) -> bool:
    """Whether a binding gives what it binds to nothing else."""
    if isinstance(node, ast.NamedExpr):
        return isinstance(source.up[node], (ast.Compare, ast.Expr))
    return not isinstance(node, ast.Assign) or len(node.targets) == 1


def leaves_alone(source: Source, node: ast.AST) -> bool:
    """Whether a mention of a tensor leaves its shape and strides as they are."""
    above = source.up[node]
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return True
    if isinstance(above, ast.Attribute):
        return isinstance(above.ctx, ast.Load) and _LEAVES_ALONE(above.attr) is not None
    if isinstance(above, ast.Subscript):
        return above.value is node
    if isinstance(above, ast.Call):
        return last(above) in (*ENTRIES, "len")
    return isinstance(above, (ast.Return, ast.Compare, ast.Expr))
