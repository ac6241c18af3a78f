"""The on-disk transaction: replace files of an installed package, and take it back.

`apply`, `revert`, `recover` and `read_status` are the public face. They are given bytes and know nothing of
kernels. Where things are written, in which order, and why each point of failure is safe stands in
docs/internals/on-disk.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiterfix.patching.disk import apply, recover, revert
    from aiterfix.patching.outcome import Applied, Recovered, Reverted
    from aiterfix.patching.status import Content, FileStatus, PatchState, PatchStatus, read_status
    from aiterfix.patching.tree import FileChange, PackageTree

_HOME = {
    **dict.fromkeys(("apply", "recover", "revert"), "disk"),
    **dict.fromkeys(("Applied", "Recovered", "Reverted"), "outcome"),
    **dict.fromkeys(("FileChange", "PackageTree"), "tree"),
    **dict.fromkeys(("Content", "FileStatus", "PatchStatus", "PatchState", "read_status"), "status"),
}

__all__ = [
    "Applied",
    "Content",
    "FileChange",
    "FileStatus",
    "PackageTree",
    "PatchState",
    "PatchStatus",
    "Recovered",
    "Reverted",
    "apply",
    "read_status",
    "recover",
    "revert",
]


def __getattr__(name: str) -> Any:
    """Load what is asked for: `check` must not pay for what writes."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
