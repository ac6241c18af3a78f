"""RECORD, edited row by row: rows that are not ours keep their bytes and their line endings.

The format is comma-separated values with the columns path, hash, size (packaging.python.org, "Recording
installed projects"). Rewriting the file through a CSV module would touch every row, among them
``../../../bin/...`` and ``.pyc`` rows without a hash; here only rows that must change do.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Mapping
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
    ending = b"\n"
    last = b"\n"
    for row, last in _rows(data):
        ending = last or ending
        fields = _split(row, wanted)
        if fields is None or not fields[1]:
            out.append(row + last)
            continue
        # The path field is kept as it was written, quoted or not.
        after = fields[0] + _hash_and_size(wanted[_unquote(fields[0])])
        # Kept even where nothing changes: with two rows for one path, taking back goes by their order.
        replaced.append((row, after))
        out.append(after + last)
    tail = b"".join(_quote(_encode(row.path)) + _hash_and_size(row) + ending for row in added)
    if tail and not last:
        # The last row stays without a line ending, and the new last row is like it.
        tail = ending + tail[: -len(ending)]
    return b"".join(out) + tail, RecordEdit(tuple(replaced), tail)


def undo(data: bytes, change: RecordEdit) -> bytes:
    """Take ``change`` back, wherever its rows stand now; rows that others changed since stay as they are."""
    if change.appended and data.endswith(change.appended):
        data = data[: -len(change.appended)]
        ours: set[bytes] = set()
    else:
        ours = {row for row, _ in _rows(change.appended) if row}
    before: dict[bytes, list[bytes]] = {}
    for old, new in change.replaced:
        before.setdefault(new, []).append(old)
    out: list[bytes] = []
    for row, ending in _rows(data):
        if row in ours:
            continue
        olds = before.get(row)
        out.append((olds.pop(0) if olds else row) + ending)
    return b"".join(out)


def _rows(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Rows with their line endings; a quoted field may hold line endings of its own."""
    if b'"' not in data:
        # bytes.splitlines knows \n, \r and \r\n only, which is what a CSV reader takes for a row's end.
        for line in data.splitlines(keepends=True):
            row = line.rstrip(b"\r\n")
            yield row, line[len(row) :]
        return
    import re

    field = rb'(?:"[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)'
    pattern = re.compile(rb"(" + field + rb"(?:," + field + rb")*)(\r\n|\r|\n|\Z)")
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
        yield match.group(1), match.group(2)
        position = match.end()


def _split(row: bytes, wanted: Mapping[bytes, object]) -> tuple[bytes, bytes] | None:
    """The path field as written and the hash field, if the row's path is wanted."""
    if row.startswith(b'"'):
        end = 1
        while row[end : end + 2] == b'""' or row[end : end + 1] != b'"':
            end += 2 if row[end : end + 1] == b'"' else 1
        path = row[: end + 1]
    else:
        path = row.partition(b",")[0]
    if _unquote(path) not in wanted:
        return None
    rest = row[len(path) + 1 :]
    return path, rest.partition(b",")[0]


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
