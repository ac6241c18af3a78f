"""Who launches a kernel, and whether a cache with blocks of several tokens is refused first.

A kernel that is not told how large a block is reads one token of each. Its launch is right only where the function
that makes it raises for any other cache, on every way to the launch.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterator
from enum import Enum

from aiterfix.source.bodies import Body, carries
from aiterfix.source.kernel_launch import KernelLaunch
from aiterfix.source.names import bound_names, function_parameters, kept_parameters
from aiterfix.source.syntax import named_arguments
from aiterfix.source.tree import descend
from aiterfix.source.uses import uses


def kernel_launches(
    tree: ast.Module, kernels: Collection[str], caches: Collection[str], size: str
) -> tuple[KernelLaunch, ...]:
    """Every use of a kernel's name but imports, in source order.

    Args:
        tree: a module.
        kernels: names to look for.
        caches: what functions call the cache they are handed: blocks first, a token's bytes last.
        size: the parameter that tells a kernel the size of a block.
    """
    found: list[KernelLaunch] = []
    for use in uses(tree, kernels):
        function, call = use.function, use.call
        entry = function.name if function is not None else ""
        told = call is not None and function is not None and _tells(function, call, size, caches)
        guard = _guard(function, call, caches) if function is not None and call is not None else _Guard.NONE
        refused, asserted = guard is not _Guard.NONE, guard is _Guard.ASSERT
        refusable = function is not None and bool(handed_cache(function, caches))
        found.append(
            KernelLaunch(use.kernel, entry, use.node.lineno, told, refused, asserted, function, refusable=refusable)
        )
    return tuple(sorted(found, key=lambda f: f.line))


def _tells(function: ast.FunctionDef, call: ast.Call, size: str, caches: Collection[str]) -> bool:
    """Whether a launch hands on the size of a block that the function was handed, and every stride in its place."""
    given = [value for name, value in named_arguments(function, call)[0] if name == size]
    return len(given) == 1 and is_size(given[0], function, call, caches) and _strides_in_order(call)


def is_size(e: ast.expr, function: ast.FunctionDef, call: ast.Call, caches: Collection[str]) -> bool:
    """Whether that is the size of the blocks of a cache that was handed over."""
    before = list(_before(function.body, call))
    if not isinstance(e, ast.Name):
        shapes = {f"{c}.{text}" for c in caches for text in ("size(1)", "shape[1]")}
        whole = not any(n in caches for s in before for n in bound_names(s))
        return whole and ast.unparse(e) in shapes
    sizes = _block_sizes(function, before, caches)
    if e.id in sizes:
        return _once(function, sizes)
    return e.id in kept_parameters(function) and not sizes.isdisjoint(_equals(e.id, before)) and _once(function, sizes)


def _strides_in_order(call: ast.Call) -> bool:
    """Whether behind every tensor its strides stand as they count: 0, 1, …"""
    tensor, axis = "", 0
    for a in call.args:
        if isinstance(a, ast.Call) and isinstance(a.func, ast.Attribute) and a.func.attr == "stride":
            if ast.unparse(a) != f"{tensor}.stride({axis})":
                return False
            axis += 1
        else:
            tensor, axis = ast.unparse(a), 0
    return True


class _Guard(Enum):
    NONE = 0
    ASSERT = 1
    RAISE = 2


def _guard(function: ast.FunctionDef, call: ast.Call, caches: Collection[str]) -> _Guard:
    """What a function does before a call where a block of the cache holds more than one token."""
    before = list(_before(function.body, call))
    handed = {p for p in function_parameters(function) if p in caches}
    if not all(_stays(cache, function) for cache in handed):
        return _Guard.NONE
    if handed and handed <= {c for s in before if _untouched(c := _refusal_of(s, caches), function, s)}:
        return _Guard.RAISE
    return _Guard.ASSERT if _asserts_one(function, before, caches) else _Guard.NONE


def _before(body: list[ast.stmt], call: ast.Call) -> Iterator[ast.stmt]:
    """Statements that have been executed on every way to a call."""
    for s in body:
        if any(n is call for n in descend(s)):
            for part in ("body", "orelse", "finalbody"):
                inner = getattr(s, part, [])
                if any(n is call for i in inner for n in descend(i)):
                    yield from _before(inner, call)
            return
        yield s


def _stays(name: str, function: ast.FunctionDef) -> bool:
    """Whether whatever a parameter is set to is made of what the function was handed by it."""
    body = Body(function)
    carriers = body.carriers(frozenset({name}))
    return all(isinstance(v, ast.expr) and carries(v, carriers) for v in body.values.get(name, ()))


def _untouched(name: str, function: ast.FunctionDef, until: ast.stmt) -> bool:
    """Whether a parameter still holds what the function was handed when it comes to one of its own statements."""
    if name not in function_parameters(function) or until not in function.body:
        return False
    return not any(name in bound_names(s) for s in function.body[: function.body.index(until)])


# ---- our own refusal -----------------------------------------------------------------------------


def _refusal_of(s: ast.stmt, caches: Collection[str]) -> str:
    """The cache that a statement refuses where it holds more than one token a block; empty for other statements."""
    if isinstance(s, ast.If) and len(s.body) == 1 and isinstance(s.body[0], ast.Raise) and not s.orelse:
        return next((c for c in caches if ast.unparse(s.test) == block_test(c)), "")
    return ""


def block_test(cache: str) -> str:
    """Whether a cache holds more, or less, than one token a block: its elements are not blocks x bytes of a token."""
    return f"{cache}.numel() != {cache}.size(0) * {cache}.size(-1)"


def handed_cache(function: ast.FunctionDef, caches: Collection[str]) -> str:
    """The parameter by which a function is handed the cache; empty where there is none, so that no refusal can be
    written there."""
    return next((p for p in function_parameters(function) if p in caches), "")


# ---- the wrapper's own assert ---------------------------------------------------------------------


def _asserts_one(function: ast.FunctionDef, before: list[ast.stmt], caches: Collection[str]) -> bool:
    """Whether it is asserted that the size it was told is 1, and that this is the size of the cache's blocks."""
    sizes = _block_sizes(function, before, caches)
    for parameter in kept_parameters(function):
        same = _equals(parameter, before)
        if "1" in same and not sizes.isdisjoint(same) and _once(function, sizes):
            return True
    return False


def _block_sizes(function: ast.FunctionDef, before: list[ast.stmt], caches: Collection[str]) -> set[str]:
    """The names that hold the size of a cache's blocks, taken from the cache's shape."""
    taken = ((s, t, names) for s, t, names in _shapes_taken(before) if t in caches and len(names) == 4)
    return {names[1] for s, t, names in taken if _untouched(t, function, s)}


def _shapes_taken(before: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str, list[str]]]:
    """The statements that take a tensor's shape apart, with the tensor and a name for each of its axes."""
    for s in before:
        if isinstance(s, ast.Assign) and len(s.targets) == 1 and isinstance(s.targets[0], ast.Tuple):
            tensor, _, shape = ast.unparse(s.value).rpartition(".")
            parts = s.targets[0].elts
            if shape in ("size()", "shape") and not any(isinstance(t, ast.Starred) for t in parts):
                yield s, tensor, [t.id if isinstance(t, ast.Name) else "" for t in parts]


def axes_before(function: ast.FunctionDef, call: ast.Call) -> dict[str, str]:
    """What names hold at a call that a function makes, where that is how long an axis of a tensor is, in these words:
    ``tensor.shape[0]``. The tensor is the one that had its name where they were bound."""
    before = list(_before(function.body, call))
    found = {n: f"{t}.shape[{i}]" for _, t, names in _shapes_taken(before) for i, n in enumerate(names)}
    for s in (s for s in before if isinstance(s, ast.Assign) and isinstance(s.value, (ast.Call, ast.Subscript))):
        if len(s.targets) == 1 and isinstance(s.targets[0], ast.Name):
            found[s.targets[0].id] = re.sub(r"\.size\((\d)\)$", r".shape[\1]", ast.unparse(s.value))
    times = _times_bound(function)
    return {n: text for n, text in found.items() if ".shape[" in text and times[n] == 1}


def _equals(name: str, before: list[ast.stmt]) -> set[str]:
    """What a name is asserted to be equal to, as it is written."""
    found = set()
    for s in before:
        test = s.test if isinstance(s, ast.Assert) else None
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq):
            sides = [ast.unparse(test.left), ast.unparse(test.comparators[0])]
            found |= {b for a, b in (sides, sides[::-1]) if a == name}
    return found


def _once(function: ast.FunctionDef, names: Collection[str]) -> bool:
    """Whether each of these names is bound by one statement alone."""
    times = _times_bound(function)
    return all(times[name] <= 1 for name in names if name != "_")


def _times_bound(function: ast.FunctionDef) -> Counter[str]:
    """How often a function binds each of its names, functions inside it among them."""
    times = Counter(n for s in function.body for n in bound_names(s))
    times.update(n for s in descend(function) if isinstance(s, ast.Nonlocal) for n in s.names)
    return times
