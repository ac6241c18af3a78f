"""Unified diffs of bytes, as ``git apply`` and ``patch -p1`` read them."""

from __future__ import annotations

import difflib
import os

_NO_NEWLINE = b"\n\\ No newline at end of file\n"


def unified_diff(relative: str, old: bytes, new: bytes) -> bytes:
    """The difference of two texts; empty where there is none.

    Args:
        relative: the file's path below the folder in which the diff is to be applied.
        old: the text that is there.
        new: the text wanted.
    """
    # Latin-1 maps every byte to one character and back. Only LF ends a line, as git sees it.
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{relative}", f"b/{relative}", lineterm="\n")
    out = []
    for number, line in enumerate(lines):
        # The first two hold the name. A line of text that was taken out may begin like them.
        data = os.fsencode(line) if number < 2 else line.encode("latin-1")
        out.append(data if data.endswith(b"\n") else data + _NO_NEWLINE)
    return b"".join(out)


def _lines(text: bytes) -> list[str]:
    parts = text.decode("latin-1").split("\n")
    lines = [p + "\n" for p in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
