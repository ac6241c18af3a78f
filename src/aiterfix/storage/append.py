"""Lines at the end of a file that several processes write to. Standard library only; Linux."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from aiterfix.storage.held import MOST_BYTES, Folder, NotRegularError, TooLongError, UntrustedError, require_regular

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def append_line(path: Path, line: bytes, most: int = MOST_BYTES) -> None:
    """Put one line at the end of a file in one call, which no other process's comes between; it is made where it is
    missing, for its owner alone.

    Args:
        path: the file; links on the way to its folder are followed, and none that stands in its place.
        line: with its end.
        most: bytes that the file may have.

    Raises:
        NotRegularError: a link, FIFO or device stands there, or the file has another name too.
        UntrustedError: it is another user's.
        TooLongError: it would become too long.
        OSError: it cannot be written.
    """
    with Folder.open(path.parent) as folder:
        try:
            descriptor = os.open(path.name, _FLAGS, 0o600, dir_fd=folder.descriptor)
        except OSError as failure:
            failure.filename = str(path)
            raise
        try:
            status = os.fstat(descriptor)
            require_regular(status, path)
            if status.st_nlink != 1:
                raise NotRegularError(errno.EMLINK, "has more than one name", str(path))
            if status.st_uid != os.geteuid():
                raise UntrustedError(errno.EPERM, f"belongs to user {status.st_uid}, not to this one", str(path))
            if status.st_size + len(line) > most:
                raise TooLongError(errno.EFBIG, f"would have more than {most} bytes", str(path))
            if os.write(descriptor, line) != len(line):
                raise OSError(errno.ENOSPC, "took a part of a line only", str(path))
        finally:
            os.close(descriptor)
