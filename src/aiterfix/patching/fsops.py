"""Every call that changes the file system, one function each, below a held folder.

All of this package's writing goes through here, so that a test can fail or kill any one call and show
that the transaction survives it. Callers use the functions as attributes of the module; the composite
ones at the end are made of the single ones.
"""

from __future__ import annotations

import contextlib
import errno
import os

from aiterfix.storage.held import Place

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def mkdir(place: Place, mode: int = 0o755) -> None:
    """Create one directory."""
    with place.folder() as folder:
        os.mkdir(place.name, mode, dir_fd=folder)


def rmdir(place: Place) -> None:
    """Remove one empty directory."""
    with place.folder() as folder:
        os.rmdir(place.name, dir_fd=folder)


def unlink(place: Place) -> None:
    """Remove one name."""
    with place.folder() as folder:
        os.unlink(place.name, dir_fd=folder)


def rename(source: Place, target: Place) -> None:
    """Move ``source`` over ``target``, in the same directory."""
    with target.folder() as folder:
        os.rename(source.name, target.name, src_dir_fd=folder, dst_dir_fd=folder)


def create(place: Place) -> int:
    """Create a file that must not exist, readable by nobody else yet; return its descriptor."""
    with place.folder() as folder:
        return os.open(place.name, _CREATE, 0o600, dir_fd=folder)


def write(descriptor: int, data: bytes | memoryview) -> int:
    """Write some of ``data``; return how many bytes were taken."""
    return os.write(descriptor, data)


def chmod(descriptor: int, mode: int) -> None:
    """Set the permission bits of an open file."""
    os.fchmod(descriptor, mode)


def chown(descriptor: int, uid: int, gid: int) -> None:
    """Set the owner of an open file."""
    os.fchown(descriptor, uid, gid)


def utime(descriptor: int, mtime_ns: int) -> None:
    """Set access and modification time of an open file, in nanoseconds."""
    os.utime(descriptor, ns=(mtime_ns, mtime_ns))


def fsync(descriptor: int) -> None:
    """Bring an open file or directory to the disk."""
    os.fsync(descriptor)


def write_new(
    place: Place,
    data: bytes,
    *,
    mode: int,
    owner: tuple[int, int] | None = None,
    owner_may_differ: bool = False,
    mtime_ns: int | None = None,
) -> None:
    """Create a file with these bytes and bring it to the disk; nothing stays behind on failure.

    Args:
        place: nothing may stand there.
        mode: permission bits; those that give a program other rights are left out.
        owner: user and group id, or None for the process's own.
        owner_may_differ: go on with the process's own ids where the system forbids giving the file away.
        mtime_ns: modification time, or None for now.

    Raises:
        OSError: from the system call that failed; its ``filename`` is the place.
    """
    descriptor = create(place)
    try:
        try:
            _fill(descriptor, data)
            if owner is not None:
                made = os.fstat(descriptor)
                if owner != (made.st_uid, made.st_gid):
                    try:
                        chown(descriptor, *owner)
                    except OSError as failure:
                        # EINVAL: an id that this user namespace does not know.
                        if not owner_may_differ or failure.errno not in (errno.EPERM, errno.EINVAL):
                            raise
            # After chown, which clears set-id bits; before utime, so that the time is the last word.
            chmod(descriptor, mode & 0o777)
            if mtime_ns is not None:
                utime(descriptor, mtime_ns)
            fsync(descriptor)
        finally:
            os.close(descriptor)
    except BaseException as failure:
        if isinstance(failure, OSError):
            failure.filename = str(place)
        # The failure that is under way says more than one met while tidying up.
        with contextlib.suppress(OSError):
            unlink(place)
        raise


def replace(
    place: Place,
    beside: Place,
    data: bytes,
    *,
    mode: int,
    owner: tuple[int, int] | None = None,
    owner_may_differ: bool = False,
) -> None:
    """Write ``data`` as ``beside`` and rename that over ``place``: the old file or the new one, never a part.

    Unlike `aiterfix.storage.believed.keep` it sets mode and owner, uses a name that a later run can find, and
    brings the directory to the disk.
    """
    unlink_if_there(beside)
    write_new(beside, data, mode=mode, owner=owner, owner_may_differ=owner_may_differ)
    try:
        rename(beside, place)
    except BaseException:
        with contextlib.suppress(OSError):
            unlink(beside)
        raise
    sync_directory(place.parent)


def _fill(descriptor: int, data: bytes) -> None:
    """Write all of ``data``: a call may take less than it was given."""
    rest = memoryview(data)
    while rest:
        rest = rest[write(descriptor, rest) :]


def sync_directory(place: Place) -> None:
    """Bring a directory's entries to the disk."""
    descriptor = place.open_folder()
    try:
        fsync(descriptor)
    except OSError as failure:
        # Some network and FUSE file systems have no fsync for directories.
        if failure.errno not in (errno.EINVAL, errno.ENOTSUP):
            failure.filename = str(place)
            raise
    finally:
        os.close(descriptor)


def unlink_if_there(place: Place) -> bool:
    """Remove a name that may be gone already; return whether it was there."""
    if not place.exists():
        return False  # A read-only file system refuses before it looks.
    try:
        unlink(place)
    except FileNotFoundError:
        return False
    return True
