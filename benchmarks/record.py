"""Editing and restoring a RECORD of 15,000 rows, with and without a quoted name (which needs the slower way)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from aiterfix.patching.record import Listed, edit, undo

ROWS = 15_000


def main(arguments: Sequence[str]) -> int:
    """Print milliseconds, medians of several runs."""
    rounds = int(arguments[0]) if arguments else 15
    ours = [Listed("aiter/one.py", "0" * 64, 3)]
    added = [Listed("amd.dist-info/aiterfix/journal.json")]
    for quoted in (False, True):
        lines = [f"aiter/jit/some/long/folder/file_{i}.hpp,sha256={'x' * 43},{i}\r\n" for i in range(ROWS)]
        lines += ['"aiter/a,b",,\r\n'] if quoted else []
        data = ("".join(lines) + "aiter/one.py,sha256=x,1\r\n").encode()
        edits, undos = [], []
        for _ in range(rounds):
            start = time.perf_counter()
            result, change = edit(data, ours, added)
            middle = time.perf_counter()
            undo(result, change)
            edits.append((middle - start) * 1e3)
            undos.append((time.perf_counter() - middle) * 1e3)
        kind = "with a quoted name" if quoted else "plain"
        print(f"{ROWS} rows, {kind}: edit {statistics.median(edits):.1f} ms, undo {statistics.median(undos):.1f} ms")
    return 0
