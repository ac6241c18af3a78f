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
    room = _room(size)
    spare = _buffers.spare.get(room)
    if spare:
        _buffers.spared -= room
        whole = spare.pop()
    else:
        whole = np.empty(room, np.uint8)
    return whole[:size].view(dtype).reshape(shape)


def _room(size: int) -> int:
    """Bytes that are taken for so many: few different numbers, so that what is given back fits what is asked for next.
    What is not used of them takes no memory."""
    step = 1 << max(size.bit_length() - 3, 6)
    return -(-size // step) * step


def give_back(array: Any) -> None:
    """Let ``borrow`` hand out this array of its own again; nobody may use it any more."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if _buffers.spared + whole.nbytes > _SPARE_BYTES:
        _buffers.spare.clear()
        _buffers.spared = 0
    _buffers.spared += whole.nbytes
    _buffers.spare.setdefault(whole.nbytes, []).append(whole.reshape(-1).view(np.uint8))


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
            if not gc.get_freeze_count():
                # What was made counts as old: else the first search would go through all of it, three times over.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
