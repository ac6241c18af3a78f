"""The on-disk transaction: replace files of an installed package, and take it back.

`apply`, `revert`, `recover` and `state` are the public face. They are given bytes and know nothing of
kernels. Where things are written, in which order, and why each point of failure is safe stands in
docs/on-disk.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiterfix.patching.disk import Applied, Recovered, Reverted, apply, recover, revert
    from aiterfix.patching.place import FileChange, Place
    from aiterfix.patching.status import Content, FileState, State, StateKind, state

_HOME = {
    **dict.fromkeys(("Applied", "Recovered", "Reverted", "apply", "recover", "revert"), "disk"),
    **dict.fromkeys(("FileChange", "Place"), "place"),
    **dict.fromkeys(("Content", "FileState", "State", "StateKind", "state"), "status"),
}

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
    """Load what is asked for: `check` must not pay for what writes."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
