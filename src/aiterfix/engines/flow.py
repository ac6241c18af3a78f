"""Which of a name's bindings a use may see, and whether what it names is left alone on the way to it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from aiterfix.engines import bounds
from aiterfix.engines.package import LOOPS, SCOPED, Binding, Package, Source, text_of
from aiterfix.engines.uses import last
from aiterfix.engines.values import Tensor, Thing, Value, changeable, inside
from aiterfix.family.kernels import ENTRIES

ALLOCATES = re.compile("(?:new_)?(?:empty|zeros|ones|full)").fullmatch
FILLS = ("fill_", "zero_")
_LEAVES_ALONE = re.compile(
    "shape|stride|size|dim|fill_|zero_|dtype|device|numel|ndim|is_cuda|element_size|data_ptr|is_contiguous"
).fullmatch

_PARTS = (ast.IfExp, ast.BoolOp, ast.Tuple, ast.List, ast.Dict)
BY_TEXT = ("locals", "f_locals", "eval", "exec")
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
    # What is asked stands behind what is given for it.
    asked = [n.test for n in source.above(use) if isinstance(n, ast.IfExp)]
    for binding in reversed(bindings):
        behind = (end(binding.node) if binding.value is not None else start(binding.node)) > start(use)
        if behind and not any(n in asked for n in (binding.node, *source.above(binding.node))):
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


def untouched(
    source: Source, scope: ast.AST, made: list[Binding], use: ast.Name, values: Iterable[Value], *, late: bool
) -> bool:
    """Whether nothing that may change values was done to their name before it is used; ``late``: before a function is
    run in which it is used.

    What was done to others of the name, before the ones that are used were made, does not matter.
    """
    loop = source.within(use, LOOPS)
    fresh = [b for b in made if isinstance(b.value, (ast.Call, ast.Tuple, ast.List, ast.Dict))]
    first = min(start(b.node) for b in fresh) if fresh and len(fresh) == len(made) else (0, 0)
    names = [n for n in source.seen(use.id) if isinstance(n, ast.Name) and scope in source.above(n)]
    # From where it gets another name on, what is done to the one is done to the other.
    above = source.up[use]
    late |= not isinstance(above, (ast.Call, ast.keyword, ast.Subscript, ast.Attribute, ast.Return))
    late |= isinstance(above, ast.Return) and source.within(above, (ast.Try, *SCOPED)) is not scope
    call = source.up[above] if isinstance(above, ast.keyword) else above
    late |= isinstance(call, ast.Call) and last(call) in ("partial", "dict")
    late |= any(changeable(v) for value in values for v in inside(value))
    late |= any(b.value is not None and isinstance(held(b.value), ast.Attribute) for b in made)
    # What is asked stands behind what is given for it; and all that a call is given is worked out before it is made.
    behind = (ast.IfExp, ast.Call, ast.Subscript)
    asked = max((end(n) for n in source.above(use) if isinstance(n, behind)), default=start(use))
    inner = [n for n in names if source.within(n, SCOPED) is not scope]
    before = [n for n in names if loop or n in inner or (first <= start(n) and (late or start(n) < asked))]
    if any(scope in source.above(n) for name in BY_TEXT for n in source.seen(name)):
        return False
    given = [n for n in inner if isinstance(source.up[n], ast.Return)]
    left = all(n is use or leaves_alone(source, n, v) for n in before for v in values)
    return left and not given and all(alone(source, b.node) for b in made)


def held(node: ast.expr) -> ast.expr:
    """What an item is taken out of; rows and columns of a tensor are a tensor of their own."""
    while isinstance(node, ast.Subscript) and not isinstance(node.slice, (ast.Slice, ast.Tuple)):
        node = node.value
    return node


def alone(source: Source, node: ast.AST) -> bool:
    """Whether a binding gives what it binds to nothing else."""
    if isinstance(node, ast.NamedExpr):
        return isinstance(source.up[node], (ast.Compare, ast.Expr))
    several = isinstance(node, ast.Assign) and len(node.targets) > 1
    return not several and not (isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value and _named(node.value))


def _named(node: ast.expr) -> bool:
    """Whether an expression gives what it is, or a part that it holds, a name too."""
    inner = ast.iter_child_nodes(node) if isinstance(node, _PARTS) else ()
    return isinstance(node, ast.NamedExpr) or any(isinstance(n, ast.expr) and _named(n) for n in inner)


def left_alone(
    package: Package, name: str, values: Iterable[Value], kinds: tuple[type, ...], but: ast.AST | None = None
) -> bool:
    """Whether the whole package does nothing to what goes by a name but to look at it; ``but`` at one place."""
    paths = package.paths(name)
    return len(paths) <= bounds.STORING_FILES and all(
        _looks(source, node, name, values, () if node is but else kinds)
        for source in map(package.source, paths)
        for node in source.mentions(name)
    )


def _looks(source: Source, node: ast.AST, name: str, values: Iterable[Value], kinds: tuple[type, ...]) -> bool:
    if isinstance(node, ast.alias):
        return node.asname in (None, name)
    if isinstance(node, ast.Constant):
        return not str(node.value).endswith(name)
    if isinstance(source.up[node], ast.Return) and isinstance(node, (ast.Name, ast.Attribute)):
        return False  # whoever is given it may do anything
    return not isinstance(node, kinds) or all(leaves_alone(source, node, v) for v in values)


def leaves_alone(source: Source, node: ast.AST, value: Value) -> bool:
    """Whether a mention of a value leaves it, and what it holds, as it is."""
    above = source.up[node]
    if not changeable(value) or not isinstance(getattr(node, "ctx", None), ast.Load):
        return True
    looked_at = isinstance(above, (ast.Attribute, ast.Subscript)) and isinstance(above.ctx, ast.Load)
    if isinstance(above, ast.Call):
        bound = isinstance(value, Thing) and value.kind != "object" and above.func is node
        length = text_of(above.func) == "len" and not source.stars and not source.bound(source.tree, "len")
        return bound or (above.func is not node and (length or last(above) in ENTRIES))
    if isinstance(above, ast.Attribute) and isinstance(value, Tensor):
        # What fills a tensor gives it back: then it may have another name.
        again = above.attr in FILLS and not isinstance(source.up[source.up[above]], ast.Expr)
        return looked_at and _LEAVES_ALONE(above.attr) is not None and not again
    if isinstance(above, ast.Attribute):
        return looked_at and isinstance(value, Thing) and value.kind == "object" and not above.attr.startswith("__")
    if isinstance(above, ast.Subscript) and above.value is node:
        return isinstance(value, Tensor) or (looked_at and all(leaves_alone(source, above, v) for v in inside(value)))
    if isinstance(above, ast.Compare):
        # What it is compared with may be an object that does anything with it.
        others = (n for n in (above.left, *above.comparators) if n is not node)
        return all(isinstance(o, (ast.Is, ast.IsNot)) for o in above.ops) or all(
            isinstance(n, ast.Constant) for n in others
        )
    return isinstance(above, (ast.Return, ast.Expr))
