"""What compiling a patched text leaves behind, given back to the system."""

from __future__ import annotations

import contextlib
import sys


def give_back_memory() -> None:
    """Have the C library return free memory to the system; glibc only.

    A plain import loads compiled code. Compiling 80 kB of text instead takes 4 MB of syntax tree for a moment, and
    glibc keeps 3.6 MB of that for this process, which may never need it. Asking takes 0.02 ms where there is little to
    return, and some ms for a gigabyte.
    """
    if not sys.platform.startswith("linux"):
        return
    # AttributeError: another C library; musl returns memory by itself.
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # torch has imported it long before

        ctypes.CDLL(None).malloc_trim(0)
