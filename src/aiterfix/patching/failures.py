"""The ways in which the on-disk transaction refuses or fails, and the wording for each system error."""

from __future__ import annotations

import errno

from aiterfix.errors import ActionNeededError, AiterfixError, EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.storage.held import LeavesRootError, RefusedFileError, UntrustedError

WRITES_NOTHING = "start processes with `aiterfix run -- COMMAND`, which mends the kernels at import and writes nothing."
"""The last way out of every error about a file that cannot be replaced; true of the hook's own files as well."""


class PathError(UsageError):
    """A change was asked for that does not name a file of the package."""

    code = "path"


class OutsideTreeError(EnvironmentProblem):
    """A symbolic link leads out of the package."""

    code = "outside-tree"


class NotARegularFileError(EnvironmentProblem):
    """A directory, device or link stands where a file must be."""

    code = "not-a-regular-file"


class ForeignOwnerError(EnvironmentProblem):
    """The file belongs to another user, so its owner could not be kept."""

    code = "foreign-owner"


class TooLongNameError(EnvironmentProblem):
    """A file's name leaves no room for the temporary name beside it."""

    code = "name-too-long"


class UntrustedTreeError(EnvironmentProblem):
    """Another user could exchange what is to be read or written."""

    code = "untrusted"


class NotWritableError(EnvironmentProblem):
    """Permission denied, or a read-only file system."""

    code = "not-writable"


class DiskFullError(EnvironmentProblem):
    """No space, inodes or quota left."""

    code = "disk-full"


class FileSystemError(EnvironmentProblem):
    """Any other failing system call."""

    code = "io"


class BusyError(EnvironmentProblem):
    """Another process holds the lock."""

    code = "busy"


class ChangedMeanwhileError(EnvironmentProblem):
    """The file is not what was analysed a moment ago."""

    code = "changed-meanwhile"


class ChangedSinceError(ActionNeededError):
    """The file is not what `apply` left: putting the original back would destroy someone's work."""

    code = "changed-since-apply"


class JournalError(NotUnderstoodError):
    """The journal is missing, damaged or of another format."""

    code = "journal"


class UntrustedStateError(JournalError):
    """Our state, or what stands under its name, could have been written by somebody who is not trusted."""

    code = "untrusted-state"


class BackupError(NotUnderstoodError):
    """A saved original is missing or not what the journal says."""

    code = "backup"


class RecordError(NotUnderstoodError):
    """RECORD is not the comma-separated list that it should be."""

    code = "record"


_GONE = "Run the command again; if that stays missing, install again the package that it is part of."
_REMEDIES = {
    errno.ENOENT: _GONE,
    errno.ENOTDIR: _GONE,
    # A file that is mounted by itself, as `docker run -v` can, is a mount point: no file takes its place.
    errno.EBUSY: f"Where it is mounted by itself, change what is mounted there, or {WRITES_NOTHING}",
    errno.ESTALE: "Run the command again: the file system's server has changed meanwhile.",
}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM}


def from_os_error(failure: OSError, outcome: str) -> AiterfixError:
    """The error to show for a system call that failed.

    Args:
        outcome: one sentence on what that leaves behind, such as "Nothing was changed."
    """
    name = failure.filename2 or failure.filename or "a file"
    where = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    if isinstance(failure, RefusedFileError):
        return _refused(failure, where, outcome)
    said = f"{failure.strerror or failure} ({errno.errorcode.get(failure.errno or 0, 'no error number')})"
    if failure.errno in _FULL:
        return DiskFullError(
            f"No space left while writing {where}. {outcome}",
            why=said,
            remedy="Free some space or raise the quota, then run the command again.",
        )
    if failure.errno == errno.EROFS:
        return NotWritableError(
            f"{where} is on a read-only file system. {outcome}",
            why=said,
            remedy=f"Run the command where the image is built, remount it writable, or {WRITES_NOTHING}",
        )
    if failure.errno in _DENIED:
        return NotWritableError(
            f"Not allowed to write {where}. {outcome}",
            why=said,
            remedy=f"Run the command as the owner of the installation, or {WRITES_NOTHING}",
        )
    remedy = _REMEDIES.get(
        failure.errno or 0, "Look after the file system (dmesg may say more), then run the command again."
    )
    return FileSystemError(f"A system call on {where} failed. {outcome}", why=said, remedy=remedy)


def _refused(failure: RefusedFileError, where: str, outcome: str) -> EnvironmentProblem:
    if isinstance(failure, UntrustedError):
        return UntrustedTreeError(
            f"{where} {failure.strerror}. {outcome}",
            why="Whoever can write there could exchange what is read or replaced.",
            remedy="Run the command as the user to whom the installation belongs, or mend owner and mode of what "
            "is named.",
        )
    if isinstance(failure, LeavesRootError):
        return OutsideTreeError(
            f"{where}: {failure.strerror}. {outcome}",
            why="Nothing outside of the image is read or written.",
            remedy="Mend the link.",
        )
    return NotARegularFileError(
        f"{where} {failure.strerror}. {outcome}",
        why="Only plain files are read and replaced, and no link is followed below the package.",
        remedy="Put a plain file there, or reinstall the package.",
    )
