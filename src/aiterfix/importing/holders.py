"""Which module namespaces hold an object, and giving them another in its place."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from types import ModuleType
from typing import Any

_keepers: list[Callable[[], None]] = []


def keeps(forget: Callable[[], None]) -> None:
    """Have something of ours that keeps kernels drop them before it is asked who still holds one."""
    if forget not in _keepers:
        _keepers.append(forget)


def release() -> None:
    """Have everything of ours drop the kernels that it keeps."""
    for forget in _keepers:
        forget()


def rebind(replacements: Iterable[tuple[object, object]]) -> list[dict[str, Any]]:
    """Give every module namespace that holds an old object the new one, by whatever name.

    Returns:
        the namespaces that were changed.
    """
    replacement = {id(old): (old, new) for old, new in replacements}
    # The garbage collector alone does not do: what `gc.freeze()` has put aside, as engines do, it does not show.
    places: dict[int, dict[str, Any]] = {}
    for module in list(sys.modules.values()):
        if type(module) is ModuleType:
            places[id(module.__dict__)] = module.__dict__
    for old, _ in replacement.values():
        places.update({id(r): r for r in gc.get_referrers(old) if _is_namespace(r)})
    touched = []
    for namespace in places.values():
        names = [name for name, value in list(namespace.items()) if id(value) in replacement]
        for name in names:
            namespace[name] = replacement[id(namespace[name])][1]
        if names:
            touched.append(namespace)
    return touched


def hidden(namespace: Mapping[str, Any], objects: Iterable[object]) -> bool:
    """Whether `gc.freeze()` hides who holds one of these objects: it has put aside even the namespace that does.

    How many objects are frozen does not tell: Python 3.12 starts with some.
    """
    return any(all(r is not namespace for r in gc.get_referrers(o)) for o in objects)


def types_of_holders(held: object, known: Collection[int]) -> set[str]:
    """Names of the types of what refers to an object: not its own parts, nor the frames of this call and its caller.

    Args:
        known: ids of what refers to it and does not count.
    """
    known = {id(sys._getframe()), id(sys._getframe(1)), id(getattr(held, "__dict__", None)), *known}
    names = set()
    for holder in gc.get_referrers(held):  # in a comprehension, a cell of this call would be one
        if id(holder) not in known and getattr(holder, "__self__", None) is not held:
            names.add(type(holder).__name__)
    return names


def _is_namespace(candidate: object) -> bool:
    """Whether a dictionary is the namespace of a module, perhaps of one no longer in `sys.modules`: aiter's own
    redirection of old module names executes the wrapper twice and keeps both."""
    return isinstance(candidate, dict) and isinstance(candidate.get("__name__"), str) and "__spec__" in candidate
