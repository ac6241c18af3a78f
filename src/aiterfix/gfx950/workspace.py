"""Reused arrays, and no search for garbage meanwhile.

A fresh array of 64 KiB and more costs page faults each time the allocator gives its memory back to the system in
between: measured, that took longer than the arithmetic. Each thread keeps one buffer for every temporary, by name,
and those that groups of waves have done with, by size.
"""

from __future__ import annotations

import gc
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.bytes: dict[str, Any] = {}
        self.spare: dict[int, list[Any]] = {}
        self.spared = 0


_buffers = _Buffers()


def temporary(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised array, good until the same name is asked for again in this thread."""
    dtype = np.dtype(dtype)
    needed = dtype.itemsize * math.prod(shape)
    buffer = _buffers.bytes.get(name)
    if buffer is None or len(buffer) < needed:
        buffer = _buffers.bytes[name] = np.empty(-(-needed // 16) * 16, np.uint8)
    return buffer[:needed].view(dtype).reshape(shape)


_SPARE_BYTES = 256 << 20
"""Most that a thread keeps of arrays nobody uses."""


def borrow(shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised array that stays good until it is given back."""
    dtype = np.dtype(dtype)
    size = dtype.itemsize * math.prod(shape)
    spare = _buffers.spare.get(size)
    if spare:
        _buffers.spared -= size
        return spare.pop().view(dtype).reshape(shape)
    return np.empty(shape, dtype)


def give_back(array: Any) -> None:
    """Let ``borrow`` hand out this contiguous array again; nobody may use it any more."""
    if _buffers.spared + array.nbytes > _SPARE_BYTES:
        _buffers.spare.clear()
        _buffers.spared = 0
    _buffers.spared += array.nbytes
    _buffers.spare.setdefault(array.nbytes, []).append(array.reshape(-1))


@contextmanager
def without_collector() -> Iterator[None]:
    """No search for reference cycles inside: a kernel's binding makes a million small objects that all stay, and the
    searches that they set off took longer than the binding."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
