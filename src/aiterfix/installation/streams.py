"""Bytes of an archive: a part of a file, decompressed where it is compressed, counted and measured as they pass."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import zlib
from typing import IO, Any, cast

from aiterfix.errors import EnvironmentProblem, install_line
from aiterfix.installation.forms import GZIP, ZSTD
from aiterfix.storage.held import RefusedFileError

MOST_UNPACKED = 256 << 30
"""Bytes of all layers of an image together; the largest ROCm images have some 80 GiB."""
_MOST_TIMES = 400
"""How many times its compressed size a layer may have, once it is large; real ones have up to 20 times."""
_ALWAYS = 1 << 30  # bytes that a layer may have at any ratio
_MOST_ENTRIES = 2_000_000  # of all layers; a ROCm image has some 400,000
_MOST_NAMES = 256 << 20  # bytes of their names, and of what links point to
_WINDOW = 27  # zstd: 128 MiB of history, what its command line needs no option for
_AT_ONCE = 1 << 20


class ArchiveError(RefusedFileError):
    """An archive, or an entry of one, that is not what it says, or that no unpacking tool would treat as the next.

    Args:
        entry: its name there; may be empty.
        reason: a phrase.
    """

    def __init__(self, entry: str, reason: str) -> None:
        super().__init__(errno.EINVAL, f"{shown(entry)}: {reason}" if entry else reason)
        self.entry = entry
        self.reason = reason


def shown(name: str) -> str:
    """A name of an archive on one line, whatever is in it."""
    quoted = name if name.isprintable() else ascii(name)
    return quoted if len(quoted) <= 300 else f"{quoted[:300]}…"


class Budget:
    """What may be read of one archive, over all of its layers."""

    def __init__(self, unpacked: int = MOST_UNPACKED, entries: int = _MOST_ENTRIES, names: int = _MOST_NAMES) -> None:
        self._unpacked = self._most_unpacked = unpacked
        self._entries = self._most_entries = entries
        self._names = names

    def spend(self, length: int) -> None:
        """Count bytes.

        Raises:
            ArchiveError: there are too many.
        """
        self._unpacked -= length
        if self._unpacked < 0:
            raise ArchiveError("", f"unpacks to more than {self._most_unpacked >> 30} GiB")

    def enter(self, name: str) -> None:
        """Count an entry.

        Raises:
            ArchiveError: there are too many.
        """
        self._entries -= 1
        if self._entries < 0:
            raise ArchiveError(name, f"is entry number {self._most_entries + 1}: no more are read")

    def name(self, name: str, target: str = "") -> None:
        """Count the bytes of a name.

        Raises:
            ArchiveError: there are too many of all names.
        """
        self._names -= len(name) + len(target)
        if self._names < 0:
            raise ArchiveError(name, "a name too many: all of them have more bytes than are read")


class Held:
    """An archive that is held open: a file that changes while it is read is noticed.

    Args:
        descriptor: taken over.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        self._state = self._stamp()
        self.size = os.fstat(descriptor).st_size

    def __del__(self) -> None:
        os.close(self.descriptor)

    def _stamp(self) -> tuple[int, int]:
        status = os.fstat(self.descriptor)
        return status.st_size, status.st_mtime_ns

    def read(self, start: int, length: int) -> bytes:
        """Bytes from a place on.

        Raises:
            ArchiveError: the file has changed since it was opened.
        """
        data = os.pread(self.descriptor, length, start)
        if self._stamp() != self._state:
            raise ArchiveError("", f"{self.name} changed while it was read")
        return data

    def whole(self) -> Part:
        """All of it."""
        return Part(self, 0, self.size)


class Part(io.RawIOBase):
    """A stretch of a held file, as a file of its own."""

    def __init__(self, held: Held, start: int, size: int) -> None:
        self.held = held
        self.start = start
        self.size = size
        self._place = 0

    def again(self) -> Part:
        """The same from the beginning."""
        return Part(self.held, self.start, self.size)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """As `io.IOBase.seek`."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self.size}[whence]
        self._place = max(0, base + offset)
        return self._place

    def readinto(self, buffer: Any, /) -> int:
        """As `io.RawIOBase.readinto`."""
        length = max(0, min(len(buffer), self.size - self._place))
        data = self.held.read(self.start + self._place, length)
        buffer[: len(data)] = data
        self._place += len(data)
        self.passed(data)
        return len(data)

    def passed(self, data: bytes) -> None:
        """Called with what is read."""


class Measured(Part):
    """A part that is read once, from the beginning on, for its digest."""

    def __init__(self, part: Part, algorithm: str) -> None:
        super().__init__(part.held, part.start, part.size)
        self.hash = hashlib.new(algorithm)

    def passed(self, data: bytes) -> None:
        """Digest it."""
        self.hash.update(data)

    def digest(self) -> str:
        """Of all of it, what has not been read included."""
        while self.read(_AT_ONCE):
            pass
        return self.hash.hexdigest()


def compression(part: Part) -> str:
    """``gzip``, ``zstd``, or nothing."""
    start = part.held.read(part.start, min(4, part.size))
    return "gzip" if start.startswith(GZIP) else "zstd" if start == ZSTD else ""


class Unpacked:
    """The bytes of a part, decompressed, forward only.

    Args:
        budget: of the archive; None where the part has been read and counted before.
        digest: algorithm of a digest over the decompressed bytes; None for none.
    """

    def __init__(self, part: Part, name: str, budget: Budget | None = None, digest: str | None = None) -> None:
        self.position = 0
        self._name = name
        self._budget = budget
        self._most = max(_ALWAYS, part.size * _MOST_TIMES) if compression(part) else part.size
        self._hash = hashlib.new(digest) if digest else None
        # What nobody measures and nothing compresses is not read to be passed over.
        self._left = part.size if not (compression(part) or digest or isinstance(part, Measured)) else None
        self._file = _decompressed(part, name)

    def read(self, length: int) -> bytes:
        """So many bytes, fewer only at the end.

        Raises:
            ArchiveError: they are damaged, cut off, or too many.
        """
        parts: list[bytes] = []
        while length:
            data = self._read(min(length, _AT_ONCE))
            if not data:
                break
            parts.append(data)
            length -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, length: int) -> int:
        """Pass over so many bytes; returns how many there were."""
        if self._left is not None:
            length = min(length, self._left - self.position)
            self._file.seek(length, os.SEEK_CUR)
            self.position += length
            return length
        left = length
        while left:
            data = self._read(min(left, _AT_ONCE))
            if not data:
                break
            left -= len(data)
        return length - left

    def _read(self, length: int) -> bytes:
        try:
            data = self._file.read(length)
        except RefusedFileError:
            raise
        except (OSError, EOFError, ValueError, zlib.error, MemoryError) as error:
            raise ArchiveError(self._name, f"cannot be decompressed: {error}") from error
        except Exception as error:
            # zstd's own errors share no base.
            if "zstd" not in type(error).__module__.lower() and "zstd" not in type(error).__name__.lower():
                raise
            raise ArchiveError(self._name, f"cannot be decompressed: {error}") from error
        self.position += len(data)
        if self.position > self._most:
            raise ArchiveError(self._name, f"a decompression bomb: more than {_MOST_TIMES} times its compressed size")
        if self._budget is not None:
            self._budget.spend(len(data))
        if self._hash is not None:
            self._hash.update(data)
        return data

    def digest(self) -> str:
        """Of all of it, what has not been read included."""
        assert self._hash is not None
        while self._read(_AT_ONCE):
            pass
        return self._hash.hexdigest()


def _decompressed(part: Part, name: str) -> IO[bytes]:
    kind = compression(part)
    buffered = io.BufferedReader(part, _AT_ONCE)
    if kind == "gzip":
        return cast(IO[bytes], gzip.GzipFile(fileobj=buffered))
    if kind == "zstd":
        return _zstd(buffered, name)
    return buffered


def _zstd(file: IO[bytes], name: str) -> IO[bytes]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14
    except ImportError:
        try:
            import zstandard
        except ImportError as error:
            raise EnvironmentProblem(
                f"{name} is compressed with zstd, which Python reads from 3.14 on",
                why=str(error),
                remedy=f"{install_line('zstd')}, or save the image with gzip: "
                "skopeo copy --dest-compress-format gzip oci:DIR oci:NEW",
            ) from error
        reader = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW)
        return cast(IO[bytes], reader.stream_reader(file, read_across_frames=True))
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW}
    return cast(IO[bytes], zstd.ZstdFile(file, options=options))
