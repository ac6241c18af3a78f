"""Unified diffs of bytes, as ``git apply`` and ``patch -p1`` read them."""

from __future__ import annotations

import difflib
import os

_NO_NEWLINE = b"\n\\ No newline at end of file\n"
_QUOTED = {ord('"'): b'\\"', ord("\\"): b"\\\\", ord("\n"): b"\\n", ord("\t"): b"\\t"}


def unified_diff(relative: str, old: bytes, new: bytes) -> bytes:
    """The difference of two texts; empty where there is none.

    Args:
        relative: the file's path below the folder in which the diff is to be applied.
    """
    # Latin-1 maps every byte to one character and back. Only LF ends a line, as git sees it.
    lines = difflib.unified_diff(_lines(old), _lines(new), lineterm="\n")
    out = []
    for number, line in enumerate(lines):
        # The first two hold the name. A line of text that was taken out may begin like them.
        data = (b"--- a/", b"+++ b/")[number] if number < 2 else line.encode("latin-1")
        if number < 2:
            data = data[:4] + _name(data[4:] + os.fsencode(relative)) + b"\n"
        out.append(data if data.endswith(b"\n") else data + _NO_NEWLINE)
    return b"".join(out)


def _name(name: bytes) -> bytes:
    """A file's name behind ``---`` or ``+++``: quoted as git and patch read it where a reader or a terminal could take
    it for anything else, such as for the start of another file's patch."""
    text = os.fsdecode(name)
    if text.isprintable() and '"' not in text and "\\" not in text:
        return name + (b"\t" if b" " in name else b"")  # the tab ends a name that holds blanks
    plain = range(0x20, 0x7F)
    quoted = (_QUOTED.get(c) or (bytes([c]) if c in plain else b"\\%03o" % c) for c in name)
    return b'"' + b"".join(quoted) + b'"'


def _lines(text: bytes) -> list[str]:
    parts = text.decode("latin-1").split("\n")
    lines = [p + "\n" for p in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
