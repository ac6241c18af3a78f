"""The on-disk transaction: replace files of an installed package, and take it back.

`apply`, `revert`, `recover` and `state` are the public face. They are given bytes and know nothing of
kernels. Where things are written, in which order, and why each point of failure is safe stands in
docs/on-disk.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aiterfix.patching.place import FileChange, Place
from aiterfix.patching.state import Content, FileState, State, StateKind, state

if TYPE_CHECKING:
    from aiterfix.patching.disk import Applied, Recovered, Reverted, apply, recover, revert

_FROM_DISK = ("Applied", "Recovered", "Reverted", "apply", "recover", "revert")

__all__ = [
    "Applied",
    "Content",
    "FileChange",
    "FileState",
    "Place",
    "Recovered",
    "Reverted",
    "State",
    "StateKind",
    "apply",
    "recover",
    "revert",
    "state",
]


def __getattr__(name: str) -> Any:
    """Load what writes when it is asked for: `check` only reads the state."""
    if name in _FROM_DISK:
        return getattr(importlib.import_module("aiterfix.patching.disk"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
