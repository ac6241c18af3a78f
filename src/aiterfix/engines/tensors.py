"""Tensors that a call makes or looks at: fresh ones, and rows and first columns of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from aiterfix.engines.flow import ALLOCATES, FILLS
from aiterfix.engines.package import FUNCTIONS, Package, text_of
from aiterfix.engines.values import Frame, Items, Number, Tensor, Value, sequence
from aiterfix.source.tree import descend

if TYPE_CHECKING:
    from aiterfix.engines.trace import Tracer

_VIEWS = re.compile(r"\[\w+\[[^:]*:[^:]*\]\.view\(\w+\[i\]\[1\]\)\.reshape\(\w+\[i\]\[0\]\) for i in .*\]").fullmatch
"""Parts of one buffer, each in the shape that was asked for."""
_KEYWORDS = re.compile("dtype|device|pin_memory|requires_grad|fill_value|size").fullmatch


def of_tensor(tracer: Tracer, node: ast.Call, function: ast.Attribute, frame: Frame) -> Iterable[Value] | None:
    """What a method gives that makes a tensor, or is asked of one; None where it is neither."""
    name, unknown = function.attr, tracer.other(node, frame)
    if name == "get_simultaneous":
        # vLLM's workspace: views of exactly the shapes asked for, one after another.
        given = node.args[0] if len(node.args) == 1 and not node.keywords else None
        if not all(_VIEWS(text_of(r.value)) for r in _returns(tracer.package, name) if r.value is not None):
            return (unknown,)
        if isinstance(given, ast.Tuple) and len(given.elts) == 2:
            return [Items((tuple(_fresh(tracer.values(given.elts[0], frame), unknown)),))]
        return (unknown,)
    if name.startswith("new_") and ALLOCATES(name):
        own = any(True for _ in tracer.package.matches(f"def {name}("))
        return (unknown,) if own else allocated(tracer, node, name, frame)
    if name not in ("stride", "size", *FILLS):
        return None
    found: list[Value] = []
    for value in tracer.values(function.value, frame):
        if not isinstance(value, Tensor):
            return None
        axes = tracer.values(node.args[0], frame) if len(node.args) == 1 else ()
        axis = axes[0].constant if len(axes) == 1 and isinstance(axes[0], Number) else None
        if name in FILLS:  # it is what it fills, which must have no other name
            found.append(value if isinstance(function.value, ast.Call) else unknown)
        elif name == "size" and axis in (-1, value.rank - 1):
            found.append(value.columns)
        else:
            found.append(value.stride if name == "stride" and axis in (-2, value.rank - 2) else unknown)
    return found


def _returns(package: Package, name: str) -> Iterator[ast.Return]:
    """What the package's own functions of a name return."""
    for path in dict.fromkeys(path for path, *_ in package.matches(f"def {name}(")):
        for node in package.source(path).mentions(name):
            if isinstance(node, FUNCTIONS):
                yield from (n for n in descend(node) if isinstance(n, ast.Return))


def allocated(tracer: Tracer, node: ast.Call, name: str, frame: Frame) -> Iterable[Value]:
    """A fresh tensor, whose rows lie one after another."""
    unknown = tracer.other(node, frame)
    sizes = [k.value for k in node.keywords if k.arg == "size"] or node.args[:1]
    if not sizes or not all(_KEYWORDS(k.arg or "") for k in node.keywords):
        return (unknown,)
    if len(node.args) > 1 and not name.endswith("full"):
        return _fresh([Items(tuple(tracer.values(n, frame) for n in node.args))], unknown)
    return _fresh(tracer.values(sizes[0], frame), unknown)


def _fresh(shapes: Iterable[Value], unknown: Number) -> list[Value]:
    found: list[Value] = []
    for shape in map(sequence, shapes):
        if shape is None or len(shape.items) < 2:
            return [unknown]
        found += [Tensor(v, v, len(shape.items)) if isinstance(v, Number) else unknown for v in shape.items[-1]]
    return found


def view(tracer: Tracer, index: ast.expr, tensor: Tensor, frame: Frame) -> Tensor | None:
    """Rows from one to another, perhaps the first columns of them: rows lie as far apart as before."""
    parts = index.elts if isinstance(index, ast.Tuple) else [index]
    if tensor.rank != 2 or len(parts) > 2 or not all(isinstance(p, ast.Slice) and p.step is None for p in parts):
        return None
    columns = parts[1] if len(parts) == 2 else None
    if not isinstance(columns, ast.Slice):
        return tensor
    upper = tracer.values(columns.upper, frame) if columns.upper is not None else (tensor.columns,)
    seen = upper[0] if len(upper) == 1 and isinstance(upper[0], Number) else None
    if seen is None or columns.lower is not None or (seen.constant or 0) < 0:
        return None
    return Tensor(seen, tensor.stride, 2)
