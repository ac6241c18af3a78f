"""One transaction at a time: an advisory lock on a directory, which leaves no lock file behind."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiterfix.patching.failures import BusyError, FileSystemError

_POLL_SECONDS = 0.05
_UNSUPPORTED = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


def _open(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


@contextmanager
def locked(directory: Path, timeout: float) -> Iterator[None]:
    """Hold the lock on ``directory``; the kernel lets go of it when the process dies.

    Args:
        directory: an existing directory that outlives the transaction.
        timeout: seconds to wait for another holder.

    Raises:
        BusyError: another process still held it after that time.
        OSError: the directory can't be opened.
    """
    deadline = time.monotonic() + timeout
    while True:
        descriptor = _open(directory)
        try:
            if _try_lock(descriptor, directory):
                # An installer may have put a new directory in its place while we waited.
                if os.path.samestat(os.fstat(descriptor), directory.stat()):
                    yield
                    return
            elif time.monotonic() >= deadline:
                raise BusyError(
                    f"Another aiterfix is at work in {directory}",
                    why=f"Its lock was not released within {timeout:g} s.",
                    remedy="Wait for it to end, then run the command again.",
                )
        finally:
            os.close(descriptor)
        time.sleep(_POLL_SECONDS)


def _try_lock(descriptor: int, directory: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
        raise FileSystemError(
            f"{directory} can't be locked. Nothing was changed.",
            why=f"Its file system has no locks for directories: {failure.strerror}.",
            remedy="Patch a copy on a local file system, or use the import hook, which writes nothing.",
        ) from failure
    return True


def is_locked(directory: Path) -> bool:
    """Whether another transaction is under way in ``directory`` right now."""
    descriptor = _open(directory)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as failure:
        if failure.errno in _UNSUPPORTED:
            return False
        raise
    finally:
        os.close(descriptor)
    return False
