"""Reused temporary arrays.

A fresh temporary of 64 KiB and more costs page faults each time the allocator gives its memory back to the system in
between: measured, that took longer than the arithmetic. Each thread keeps one buffer for every use, by name.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np


class _Buffers(threading.local):
    def __init__(self) -> None:
        self.bytes: dict[str, Any] = {}


_buffers = _Buffers()


def temporary(name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    """An uninitialised array, good until the same name is asked for again in this thread."""
    dtype = np.dtype(dtype)
    needed = dtype.itemsize
    for extent in shape:
        needed *= extent
    buffer = _buffers.bytes.get(name)
    if buffer is None or len(buffer) < needed:
        buffer = _buffers.bytes[name] = np.empty(-(-needed // 16) * 16, np.uint8)
    return buffer[:needed].view(dtype).reshape(shape)
