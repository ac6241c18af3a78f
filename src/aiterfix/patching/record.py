"""RECORD, edited row by row: rows that are not ours keep their bytes and their line endings.

The format is comma-separated values with the columns path, hash, size (packaging.python.org, "Recording
installed projects"). Rewriting the file through a CSV module would touch every row, among them
``../../../bin/...`` and ``.pyc`` rows without a hash; here only rows that must change do.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aiterfix.patching.failures import RecordError


@dataclass(frozen=True)
class Listed:
    """What a row says about a file.

    Attributes:
        path: relative to the directory that holds the dist-info, with forward slashes.
        sha256: hexadecimal, or None for a row without a hash (a file that changes, such as a journal).
        size: bytes, or None likewise.
    """

    path: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class RecordEdit:
    """A change of RECORD that can be taken back.

    Attributes:
        replaced: rows before and after, without their line endings, in the order of the file.
        appended: what was added at the end; starts with a line ending where the last row had none.
    """

    replaced: tuple[tuple[bytes, bytes], ...] = ()
    appended: bytes = b""


def edit(data: bytes, changed: Iterable[Listed], added: Iterable[Listed]) -> tuple[bytes, RecordEdit]:
    """Give the rows of changed files their new hash and size, and append rows for new files.

    Rows that carry no hash stay as they are, since they say nothing that could become wrong; changed files
    without a row get none.

    Raises:
        RecordError: a quoted field is not closed.
    """
    wanted = {_encode(row.path): row for row in changed}
    replaced: list[tuple[bytes, bytes]] = []
    out: list[bytes] = []
    done = 0
    for start, end in _rows_with(data, [path.replace(b'"', b'""') for path in wanted]):
        row = data[start:end]
        path, hashed = _split(row)
        if _unquote(path) not in wanted or not _unquote(hashed):
            continue
        # The path field is kept as it was written, quoted or not.
        after = path + _hash_and_size(wanted[_unquote(path)])
        # Kept even where nothing changes: with two rows for one path, taking back goes by their order.
        replaced.append((row, after))
        out += (data[done:start], after)
        done = end
    out.append(data[done:])
    endings = [ending for ending in (b"\r\n", b"\n", b"\r") if data.endswith(ending)]
    unfinished = bool(data) and not endings
    ending = endings[0] if endings else (b"\r\n" if b"\r\n" in data else b"\n")
    tail = b"".join(_quote(_encode(row.path)) + _hash_and_size(row) + ending for row in added)
    if tail and unfinished:
        # The last row stays without a line ending, and the new last row is like it.
        tail = ending + tail[: -len(ending)]
    return b"".join(out) + tail, RecordEdit(tuple(replaced), tail)


def undo(data: bytes, change: RecordEdit) -> bytes:
    """Take ``change`` back, wherever its rows stand now; rows that others changed since stay as they are."""
    if change.appended and data.endswith(change.appended):
        data = data[: -len(change.appended)]
        ours: list[bytes] = []
    else:
        ours = [change.appended[start:end] for start, end in _rows(change.appended) if start < end]
    before: dict[bytes, list[bytes]] = {}
    for old, new in change.replaced:
        before.setdefault(new, []).append(old)
    out: list[bytes] = []
    done = 0
    for start, end in _rows_with(data, [*before, *ours]):
        row = data[start:end]
        if row in ours:
            out.append(data[done:start])
            done = _after_ending(data, end)
        elif before.get(row):
            out += (data[done:start], before[row].pop(0))
            done = end
    out.append(data[done:])
    return b"".join(out)


def _rows_with(data: bytes, needles: Iterable[bytes]) -> Iterable[tuple[int, int]]:
    """Start and end (without the line ending) of every row that may hold one of these texts, in order.

    Searching for them is ten times faster than splitting 15,000 rows.
    """
    if b'"' in data:
        # A quoted field may hold line endings of its own, so rows can only be told from the start.
        return _rows(data)
    spans = set()
    for needle in needles:
        position = data.find(needle)
        while position >= 0:
            start = max(data.rfind(b"\n", 0, position), data.rfind(b"\r", 0, position)) + 1
            ends = (data.find(b"\n", position), data.find(b"\r", position), len(data))
            end = min(found for found in ends if found >= 0)
            spans.add((start, end))
            position = data.find(needle, max(end, position + 1))
    return sorted(spans)


def _rows(data: bytes) -> Iterator[tuple[int, int]]:
    import re

    field = rb'(?:"[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)'
    pattern = re.compile(field + rb"(?:," + field + rb")*(?=[\r\n]|\Z)")
    position = 0
    while position < len(data):
        match = pattern.match(data, position)
        if match is None:
            number = data.count(b"\n", 0, position) + 1
            raise RecordError(
                f"RECORD has a row that can't be read, at line {number}",
                why="A quoted field is not closed, or text follows a closing quote.",
                remedy="Reinstall the distribution; its list of files is damaged.",
            )
        yield match.span()
        position = _after_ending(data, match.end())


def _after_ending(data: bytes, end: int) -> int:
    return end + (2 if data.startswith(b"\r\n", end) else 1)


def _split(row: bytes) -> tuple[bytes, bytes]:
    """The path field and the hash field as written."""
    if row.startswith(b'"'):
        end = 1
        while row[end : end + 2] == b'""' or row[end : end + 1] != b'"':
            end += 2 if row[end : end + 1] == b'"' else 1
        path = row[: end + 1]
    else:
        path = row.partition(b",")[0]
    return path, row[len(path) + 1 :].partition(b",")[0]


def _unquote(field: bytes) -> bytes:
    return field[1:-1].replace(b'""', b'"') if field.startswith(b'"') else field


def _quote(field: bytes) -> bytes:
    if any(character in field for character in b',"\r\n'):
        return b'"' + field.replace(b'"', b'""') + b'"'
    return field


def _encode(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _hash_and_size(row: Listed) -> bytes:
    """The two fields after the path, each with the comma before it; the hash is urlsafe base64, unpadded."""
    if row.sha256 is None:
        return b",,"
    digest = binascii.b2a_base64(bytes.fromhex(row.sha256), newline=False).rstrip(b"=")
    digest = digest.replace(b"+", b"-").replace(b"/", b"_")
    return b",sha256=" + digest + b"," + (b"" if row.size is None else str(row.size).encode())
