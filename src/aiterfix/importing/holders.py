"""Which module namespaces hold an object, and giving them another in its place."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

_keepers: list[Callable[[], None]] = []


def keeps(forget: Callable[[], None]) -> None:
    """Have something of ours that keeps kernels drop them before it is asked who still holds one.

    Args:
        forget: drops them.
    """
    if forget not in _keepers:
        _keepers.append(forget)


def release() -> None:
    """Have everything of ours drop the kernels that it keeps."""
    for forget in _keepers:
        forget()


def rebind(replacements: Iterable[tuple[object, object]]) -> list[dict[str, Any]]:
    """Give every module namespace that holds an old object the new one, by whatever name.

    Args:
        replacements: old and new.

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


def _is_namespace(candidate: object) -> bool:
    """Whether a dictionary is the namespace of a module, perhaps of one no longer in `sys.modules`: aiter's own
    redirection of old module names executes the wrapper twice and keeps both."""
    return isinstance(candidate, dict) and isinstance(candidate.get("__name__"), str) and "__spec__" in candidate
