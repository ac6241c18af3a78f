"""The on-disk transaction: replace files of an installed package, and take it back.

`apply`, `revert`, `recover` and `state` are the public face. They are given bytes and know nothing of
kernels. Where things are written, in which order, and why each point of failure is safe stands in
docs/on-disk.md.
"""

from aiterfix.patching.disk import Applied, Recovered, Reverted, apply, recover, revert
from aiterfix.patching.place import FileChange, Place
from aiterfix.patching.state import Content, FileState, State, StateKind, state

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
