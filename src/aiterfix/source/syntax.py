"""Small questions about a piece of syntax that several readers ask, each answered in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from aiterfix.source.tree import descend


def root_name(e: ast.expr) -> str:
    """The name that a chain of attributes begins with, ``a`` of ``a.b.c``; "" where it begins with anything else."""
    while isinstance(e, ast.Attribute):
        e = e.value
    return e.id if isinstance(e, ast.Name) else ""


def last_name(e: ast.expr) -> str:
    """``c`` of ``a.b.c``; the name itself; "" for anything else."""
    if isinstance(e, ast.Attribute):
        return e.attr
    return e.id if isinstance(e, ast.Name) else ""


def is_minus_infinity(node: ast.expr) -> bool:
    """Whether an expression is ``float("-inf")``."""
    return ast.unparse(node).replace('"', "'") in ("float('-inf')", "-float('inf')")


def is_plain_target(target: ast.expr) -> bool:
    """Whether binding a target changes nothing but names."""
    return isinstance(target, ast.Name) or (isinstance(target, ast.Tuple) and all(map(is_plain_target, target.elts)))


def pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    """The parts of a target with what each is given; None of those that get a part of something that is not written
    out."""
    if not isinstance(target, (ast.Tuple, ast.List)):
        yield target, value
    elif (
        isinstance(value, (ast.Tuple, ast.List))
        and len(target.elts) == len(value.elts)
        and not any(isinstance(x, ast.Starred) for x in (*target.elts, *value.elts))
    ):
        for t, v in zip(target.elts, value.elts, strict=True):
            yield from pairs(t, v)
    else:
        yield from ((t, None) for t in target.elts)


def arguments(call: ast.Call, parameters: Sequence[str]) -> dict[str, ast.expr]:
    """What a call gives, by parameter; what it spreads over several is left out."""
    given = dict(zip(parameters, call.args, strict=False))
    return given | {k.arg: k.value for k in call.keywords if k.arg is not None}


def conjuncts(test: ast.expr | None) -> Iterator[ast.expr]:
    """The parts of a test, or of a mask, that must all hold."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        parts: Sequence[ast.expr] = test.values
    elif isinstance(test, ast.BinOp) and isinstance(test.op, ast.BitAnd):
        parts = (test.left, test.right)
    else:
        if test is not None:
            yield test
        return
    for part in parts:
        yield from conjuncts(part)


def summands(node: ast.expr, sign: int = 1) -> Iterator[tuple[ast.expr, int]]:
    """The terms of a sum of sums, with their signs, in source order."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        yield from summands(node.left, sign)
        yield from summands(node.right, -sign if isinstance(node.op, ast.Sub) else sign)
    else:
        yield node, sign


def string_keys(node: ast.expr | None) -> list[str] | None:
    """The keys of a dictionary of plain strings; None of anything else."""
    if not isinstance(node, ast.Dict):
        return None
    keys = [k.value for k in node.keys if isinstance(k, ast.Constant) and isinstance(k.value, str)]
    return keys if len(keys) == len(node.keys) else None


def dictionary(
    function: ast.FunctionDef | ast.AsyncFunctionDef, e: ast.expr, *, handed: bool = False, called: bool = False
) -> ast.Dict | None:
    """The dictionary that an expression is, or that a function writes out once, and by this name only spreads in calls,
    prints, looks things up in, or sets keys of; None where that is not seen. What is set anew is ``...``.

    Args:
        handed: whether it is also handed on by this expression, and may be given other keys.
        called: whether ``dict(name=value)`` is one too: the caller has seen that ``dict`` is Python's own.
    """
    if not isinstance(e, ast.Name):
        return _written_out(e, called)
    nodes = list(descend(function))
    calls = [n for n in nodes if isinstance(n, ast.Call)]
    items = [n for n in nodes if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name) and n.value.id == e.id]
    known = {id(k.value) for n in calls for k in n.keywords if k.arg is None} | {id(n.value) for n in items}
    known |= {id(a) for n in calls if last_name(n.func) == "print" for a in n.args} | ({id(e)} if handed else set())
    others = [n for n in nodes if isinstance(n, ast.Name) and n.id == e.id and id(n) not in known]
    bound = [n.value for n in nodes if isinstance(n, ast.Assign) and n.targets == others]
    # A parameter, or a name of a scope around it, may be another dictionary.
    elsewhere = any(
        e.id in (n.names if isinstance(n, (ast.Global, ast.Nonlocal)) else [n.arg])
        for n in nodes
        if isinstance(n, (ast.arg, ast.Global, ast.Nonlocal))
    )
    value = _written_out(bound[0], called) if len(bound) == 1 and not elsewhere else None
    keys = string_keys(value)
    changed = {getattr(n.slice, "value", None) for n in items if not isinstance(n.ctx, ast.Load)}
    if value is None or keys is None:
        return None
    if not (changed <= set(keys) or (handed and all(isinstance(k, str) for k in changed))):
        return None
    unsaid = [ast.copy_location(ast.Constant(...), v) for v in value.values]
    values = [u if k in changed else v for k, v, u in zip(keys, value.values, unsaid, strict=True)]
    return ast.Dict(value.keys, values)


def _written_out(e: ast.expr, called: bool) -> ast.Dict | None:
    """The dictionary that an expression writes out."""
    if called and isinstance(e, ast.Call) and isinstance(e.func, ast.Name) and e.func.id == "dict" and not e.args:
        return ast.Dict([ast.Constant(k.arg) if k.arg else None for k in e.keywords], [k.value for k in e.keywords])
    return e if isinstance(e, ast.Dict) else None


def named_arguments(function: ast.FunctionDef, call: ast.Call) -> tuple[list[tuple[str, ast.expr]], bool]:
    """What a call in a function hands on by name, dictionaries that it spreads among it; and whether that is all."""
    found: list[tuple[str, ast.expr]] = []
    whole = True
    for k in call.keywords:
        spread = dictionary(function, k.value) if k.arg is None else None
        keys = [k.arg] if k.arg is not None else string_keys(spread)
        whole = whole and keys is not None
        found += zip(keys or (), spread.values if spread is not None else [k.value], strict=False)
    return found, whole
