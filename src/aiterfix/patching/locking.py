"""One transaction at a time: an advisory lock on a directory, which leaves no lock file behind."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from aiterfix.patching.failures import WRITES_NOTHING, BusyError, FileSystemError
from aiterfix.storage.held import Folder

_POLL_SECONDS = 0.05
_UNSUPPORTED = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


def _open(directory: Folder) -> int:
    # A lock belongs to an opening of the directory: one of its own, so that it is seen by others of this process too.
    return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.descriptor)


@contextmanager
def locked(directory: Folder, timeout: float) -> Iterator[None]:
    """Hold the lock on ``directory``; the kernel lets go of it when the process dies.

    Args:
        directory: outlives the transaction. An installer may have put another in its place while we waited; the
            caller looks.
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
                yield
                return
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"Another aiterfix is at work in {directory.path}",
                    why=f"Its lock was not released within {timeout:g} s.",
                    remedy="Wait for it to end, then run the command again.",
                )
        finally:
            os.close(descriptor)
        time.sleep(_POLL_SECONDS)


def _try_lock(descriptor: int, directory: Folder) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
        raise FileSystemError(
            f"{directory.path} can't be locked. Nothing was changed.",
            why=f"Its file system has no locks for directories: {failure.strerror}.",
            remedy=f"Work on a copy on a local file system, or {WRITES_NOTHING}",
        ) from failure
    return True


def is_locked(directory: Folder) -> bool:
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
