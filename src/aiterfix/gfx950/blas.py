"""Keeps BLAS to one thread while the emulator runs.

The products are small and the emulator spreads batches over threads itself; OpenBLAS's own threads then only wait for
each other (measured: a fifth of the throughput). numpy offers no switch, so the library's own is called where it can
be found (Linux, OpenBLAS); elsewhere nothing happens, and only speed is lost.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_PREFIXES = ("scipy_openblas", "openblas")
_SUFFIXES = ("64_", "_64", "")

_lock = threading.Lock()
_running = 0
_before = 1


@cache
def _switch() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """OpenBLAS's functions that get and set its number of threads."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    for path in sorted({line.split(maxsplit=5)[5] for line in maps.splitlines() if "openblas" in line}):
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix in _PREFIXES:
            for suffix in _SUFFIXES:
                getter = getattr(library, f"{prefix}_get_num_threads{suffix}", None)
                setter = getattr(library, f"{prefix}_set_num_threads{suffix}", None)
                if getter is not None and setter is not None:
                    return getter, setter
    return None


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS uses one thread inside, and as many as before afterwards; may be nested and used by several threads."""
    global _running, _before
    switch = _switch()
    if switch is None:
        yield
        return
    get, set_ = switch
    with _lock:
        _running += 1
        if _running == 1:
            _before = int(get())
            set_(1)
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if not _running:
                set_(_before)
