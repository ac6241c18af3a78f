"""Files of caches, believed only where nobody else can have written them.

What a cache says decides what is reported: that a text passed, that no padding is needed. So a file counts only if it
is a regular one of bounded size that belongs to root or to whoever runs this, that no other user may write, in a folder
of which the same holds. Any other is as good as none, and is named with the remedy. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from aiterfix.storage.files import write_whole
from aiterfix.storage.held import MOST_BYTES, Folder, RefusedFileError, UntrustedError, require_trusted

_refused: dict[str, str] = {}


def notices() -> list[str]:
    """What was not believed since this was last asked, a line each with the remedy."""
    lines = list(_refused.values())
    _refused.clear()
    return lines


def believed(path: Path, most: int = MOST_BYTES) -> bytes | None:
    """Contents of a file of a cache; None where there is none, or none that is believed, which `notices` then names."""
    try:
        return read_believed(path, most)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as failure:
        refuse(failure)
        return None


def refuse(failure: OSError) -> None:
    """Have `notices` name a file of a cache that is not believed, and the remedy.

    Args:
        failure: from `read_believed`.
    """
    place = str(failure.filename)
    if isinstance(failure, UntrustedError):
        remedy = f"give it to yourself and `chmod go-w {place}`, or remove it"
    elif isinstance(failure, RefusedFileError):
        remedy = "remove it"
    else:
        remedy = "make it readable, or remove it"
    _refused[place] = f"not used: {place} {failure.strerror or failure} ({remedy})"


def read_believed(path: Path, most: int = MOST_BYTES) -> bytes:
    """Contents of a file of a cache.

    Raises:
        RefusedFileError: it is not believed; ``strerror`` says why.
        OSError: there is none, or it can't be read.
    """
    trusted = frozenset({0, os.geteuid()})
    try:
        with Folder.open(path.parent) as folder:
            require_trusted(folder.status, folder.path, trusted)
            data, status = folder.at(path.name).read(most)
            require_trusted(status, path, trusted)
            return data
    except OSError as failure:
        failure.filename = failure.filename or str(path)
        raise


def keep(path: Path, data: bytes) -> None:
    """Write a file of a cache whole, or not at all, in a folder that is closed to others; it is made where it is
    missing.

    Raises:
        UntrustedError: others can write there, so that it would lead who knows where.
        OSError: it cannot be written; ``path`` is as it was.
    """
    with _made(path.parent) as folder:
        write_whole(folder.descriptor, path.name, data, mode=0o600)


def _made(path: Path) -> Folder:
    """Hold a folder of ours, made with what is missing above it."""
    missing: list[str] = []
    place = path.absolute()
    while True:
        try:
            folder = Folder.open(place)
            break
        except FileNotFoundError:
            missing.append(place.name)
            place = place.parent
    trusted = frozenset({0, os.geteuid()})
    try:
        if missing:
            _require_tenable(folder, trusted)
        while missing:
            name = missing.pop()
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.mkdir(name, 0o700, dir_fd=folder.descriptor)
            below = folder.at(name)
            inner = Folder(below.open_folder(), below.path)
            folder.close()
            folder = inner
        require_trusted(folder.status, folder.path, trusted)
    except BaseException:
        folder.close()
        raise
    return folder


def _require_tenable(folder: Folder, trusted: frozenset[int]) -> None:
    """What is made here stays here: in a folder of ours, or one such as /tmp, where nobody moves what is another's."""
    status = folder.status
    if status.st_uid not in trusted or (status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX):
        raise UntrustedError(errno.EPERM, "can be changed by others", str(folder.path))
