"""Files and folders by descriptor: what was looked at is what is read and written.

A path is a string that may mean another file a moment later, and a link on it may lead anywhere. So a folder is held
open, and what lies below it is reached from its descriptor, one component at a time. Below a held folder no link is
followed; on the way to one, links are followed as the inspected system would follow them, in the image's root where
there is one. Only regular files are read, and of those only so much. Standard library only; Linux.
"""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import total_ordering
from pathlib import Path
from typing import NamedTuple

MOST_BYTES = 64 << 20
"""The longest file that is read unless a caller says otherwise; no source or state of ours comes near."""
_MOST_LINKS = 40  # what Linux allows in one path before ELOOP
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class RefusedFileError(OSError):
    """What stands there is not read or written, whatever the permissions; ``strerror`` says why."""


class NotRegularError(RefusedFileError):
    """A folder, FIFO, device, socket or, where none is followed, a link."""


class TooLongError(RefusedFileError):
    """More bytes than such a file can have."""


class LeavesRootError(RefusedFileError):
    """A link or ``..`` leads out of the image or out of the held folder."""


class UntrustedError(RefusedFileError):
    """Somebody else than those who are trusted can change it."""


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind(status: os.stat_result) -> str:
    """What stands there, in words."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "a regular file")


def require_regular(status: os.stat_result, path: Path | str) -> None:
    """Refuse everything but a plain file.

    Raises:
        NotRegularError: naming what it is.
    """
    if not stat.S_ISREG(status.st_mode):
        raise NotRegularError(errno.EINVAL, f"is {kind(status)}, not a regular file", str(path))


def require_trusted(status: os.stat_result, path: Path | str, owners: frozenset[int]) -> None:
    """Refuse what anybody but these users can write.

    Args:
        status: of a file or folder; an access list shows in the group's bits.

    Raises:
        UntrustedError: it belongs to another user, or its group or everybody may write.
    """
    if status.st_uid not in owners:
        raise UntrustedError(errno.EPERM, f"belongs to user {status.st_uid}, who is not trusted here", str(path))
    if status.st_mode & 0o022:
        mode = stat.S_IMODE(status.st_mode)
        raise UntrustedError(errno.EPERM, f"can be written by others than its owner (mode {mode:04o})", str(path))


class Step(NamedTuple):
    """A folder or link that was passed on the way to another."""

    path: Path
    status: os.stat_result


def _refuse_link(name: str, folder: int, path: Path) -> None:
    """After a step that failed: say so where a link was the reason."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            target = os.readlink(name, dir_fd=folder)
            raise NotRegularError(errno.ELOOP, f"is a link, to {target}", str(path)) from None
    except FileNotFoundError:
        return


class Walk(ABC):
    """From a root on, component by component, links followed inside it: one rule, whoever says what stands where.

    Attributes:
        confined: whether what is above it is out of bounds.
        parts: of the folder reached, without links.
    """

    def __init__(self, root: Path, *, confined: bool) -> None:
        self.root = root
        self.confined = confined
        self.parts: list[str] = []

    @abstractmethod
    def link(self, name: str) -> str | None:
        """Where the link of this name in the folder reached points; None for anything else.

        Raises:
            FileNotFoundError: nothing of that name does.
        """

    @abstractmethod
    def down(self, name: str) -> None:
        """One folder down; a link is not followed.

        Raises:
            OSError: it is missing, or no folder.
        """

    @abstractmethod
    def up(self) -> None:
        """Back to where the last `down` went from."""

    @property
    def path(self) -> Path:
        """The folder reached, without links."""
        return self.root.joinpath(*self.parts)

    def follow(self, pieces: list[str], *, last_too: bool) -> str:
        """Go to the folder that holds the last piece; return that piece's name there, ``.`` for the folder itself.

        Raises:
            LeavesRootError: out of an image.
            OSError: something on the way is missing, is no folder, or there are too many links.
        """
        pending = [piece for piece in pieces if piece not in ("", ".")]
        links = 0
        while pending:
            piece = pending.pop(0)
            if piece == "..":
                if self.parts:
                    self._back()
                elif self.confined:
                    raise LeavesRootError(errno.EXDEV, f"a link leads out of {self.root}", str(self.root))
                continue
            target = self.link(piece) if pending or last_too else None
            if target is not None:
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path / piece))
                while target.startswith("/") and self.parts:
                    self._back()
                pending = [part for part in target.split("/") if part not in ("", ".")] + pending
                continue
            if not pending:
                return piece
            self.enter(piece)
        return "."

    def enter(self, name: str) -> None:
        """See `down`."""
        self.down(name)
        self.parts.append(name)

    def _back(self) -> None:
        self.up()
        self.parts.pop()


class Way(Walk):
    """Through folders of this system, each held open."""

    def __init__(self, root: Path | None) -> None:
        super().__init__(Path("/") if root is None else root, confined=root is not None)
        # An image's root is where the caller says: under somebody's home, as a rule.
        self._stack = [os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        self.steps: list[Step] = []

    def close(self) -> None:
        """Let go of every folder on the way."""
        while self._stack:
            os.close(self._stack.pop())

    @property
    def here(self) -> int:
        """Descriptor (``O_PATH``) of the folder reached."""
        return self._stack[-1]

    def link(self, name: str) -> str | None:
        """See `Walk`."""
        status = os.stat(name, dir_fd=self.here, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            return None
        self.steps.append(Step(self.path / name, status))
        return os.readlink(name, dir_fd=self.here)

    def down(self, name: str) -> None:
        """See `Walk`."""
        descriptor = os.open(name, _STEP, dir_fd=self.here)
        self._stack.append(descriptor)
        self.steps.append(Step(self.path / name, os.fstat(descriptor)))

    def up(self) -> None:
        """See `Walk`."""
        os.close(self._stack.pop())


@contextmanager
def _arrived(path: Path, root: Path | None) -> Iterator[tuple[Way, str]]:
    """The way to a place, links followed, the last too."""
    if root is None:
        pieces = os.fspath(path.absolute()).split("/")
    else:
        try:
            pieces = list(path.relative_to(root).parts)
        except ValueError:
            raise LeavesRootError(errno.EXDEV, f"is not in {root}", str(path)) from None
    way = Way(root)
    try:
        try:
            name = way.follow(pieces, last_too=True)
        except LeavesRootError as failure:
            failure.filename = str(path)
            raise
        except OSError as failure:
            failure.filename = failure.filename if isinstance(failure, RefusedFileError) else str(path)
            raise
        yield way, name
    finally:
        way.close()


def open_file(path: Path, root: Path | None = None) -> int:
    """Open a regular file for reading, links followed; in the image's root where there is one.

    Raises:
        RefusedFileError: a special file, at once; or a link leads out of ``root``.
        OSError: it is missing or can't be read.
    """
    if root is None:
        # A look before opening, since opening a device may do something; and one after, since it may have changed.
        require_regular(os.stat(path), path)  # noqa: PTH116 - a string costs less
        return _checked(os.open(path, _READ), path)
    with _arrived(path, root) as (way, name):
        require_regular(os.stat(name, dir_fd=way.here, follow_symlinks=False), path)
        return _checked(os.open(name, _READ | os.O_NOFOLLOW, dir_fd=way.here), path)


def _checked(descriptor: int, path: Path | str) -> int:
    try:
        require_regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: Path, root: Path | None = None, most: int = MOST_BYTES) -> bytes:
    """Contents of a regular file, links followed as in `open_file`.

    Raises:
        TooLongError: it has more than ``most`` bytes.
        RefusedFileError, OSError: see `open_file`.
    """
    descriptor = open_file(path, root)
    try:
        return read_open(descriptor, path, most)
    finally:
        os.close(descriptor)


def read_open(descriptor: int, path: Path | str, most: int = MOST_BYTES) -> bytes:
    """Contents of an open regular file, by its size first: a sparse file costs nothing.

    Raises:
        TooLongError: it has more than ``most`` bytes.
    """
    size = os.fstat(descriptor).st_size
    # One byte more than there is: an unchanged file then ends within one call.
    data = os.read(descriptor, size + 1) if size <= most else b""
    if len(data) == size <= most:
        return data
    parts, length = [data], len(data)
    while size <= most and length <= most and (part := os.read(descriptor, 1 << 20)):
        parts.append(part)
        length += len(part)
    if size > most or length > most:
        raise TooLongError(errno.EFBIG, f"has more than {most} bytes", str(path))
    return b"".join(parts)


class Folder:
    """A folder that is held open.

    Attributes:
        path: where it was found, without links; for people only.
        owners: whose folders may be entered below it; None for anybody's.
        way: folders and links that were passed to reach it, itself included.
    """

    def __init__(self, descriptor: int, path: Path, way: tuple[Step, ...] = ()) -> None:
        self.descriptor = descriptor
        self.path = path
        self.owners: frozenset[int] | None = None
        self.way = way

    @classmethod
    def open(cls, path: Path, root: Path | None = None) -> Folder:
        """Hold a folder; links on the way are followed, inside ``root`` where there is one.

        Raises:
            LeavesRootError: a link leads out of ``root``.
            OSError: it is missing, no folder, or can't be listed.
        """
        with _arrived(path, root) as (way, name):
            if name != ".":
                try:
                    way.enter(name)
                except OSError as failure:
                    failure.filename = str(path)
                    raise
            descriptor = os.open(".", _LIST, dir_fd=way.here)
            return cls(descriptor, way.path, tuple(way.steps))

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def status(self) -> os.stat_result:
        """Of the folder itself."""
        return os.fstat(self.descriptor)

    def at(self, *parts: str) -> Place:
        """A place below it.

        Raises:
            ValueError: a part would lead elsewhere.
        """
        pieces = tuple(piece for part in parts for piece in part.split("/") if piece not in ("", "."))
        if ".." in pieces or any(part.startswith("/") or "\0" in part for part in parts):
            raise ValueError(f"not a path below {self.path}: {'/'.join(parts)!r}")
        return Place(self, pieces)


@total_ordering
class Place:
    """A name below a held folder, whether something stands there or not. No link is followed on the way to it."""

    __slots__ = ("base", "parts")

    def __init__(self, base: Folder, parts: tuple[str, ...]) -> None:
        self.base = base
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.base is other.base and self.parts == other.parts

    def __lt__(self, other: Place) -> bool:
        return self.path < other.path

    def __hash__(self) -> int:
        return hash((id(self.base), self.parts))

    def __repr__(self) -> str:
        return f"Place({str(self.path)!r})"

    def __str__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> Place:
        return self.base.at(*self.parts, name)

    @property
    def path(self) -> Path:
        """For people; not to be opened."""
        return self.base.path.joinpath(*self.parts)

    @property
    def relative(self) -> str:
        """From the held folder, with ``/``."""
        return "/".join(self.parts) or "."

    @property
    def name(self) -> str:
        """Its last component; ``.`` for the held folder itself."""
        return self.parts[-1] if self.parts else "."

    @property
    def parent(self) -> Place:
        """The folder that holds it."""
        if not self.parts:
            raise ValueError(f"{self.path} is the held folder itself")
        return Place(self.base, self.parts[:-1])

    def with_name(self, name: str) -> Place:
        """Another name in the same folder."""
        return self.parent / name

    @contextmanager
    def folder(self) -> Iterator[int]:
        """Descriptor (``O_PATH``) of the folder that holds it, while it is needed; a call that fails names the place.

        Raises:
            NotRegularError: a link stands on the way.
            UntrustedError: a folder on the way is not of the held folder's ``owners``.
            OSError: a folder on the way is missing.
        """
        here = self.base.descriptor
        try:
            for depth, part in enumerate(self.parts[:-1], 1):
                shown = self.base.path.joinpath(*self.parts[:depth])
                try:
                    below = os.open(part, _STEP, dir_fd=here)
                except OSError as failure:
                    failure.filename = str(shown)
                    if failure.errno in (errno.ENOTDIR, errno.ELOOP):
                        _refuse_link(part, here, shown)
                    raise
                if here != self.base.descriptor:
                    os.close(here)
                here = below
                self._require_owner(os.fstat(here), shown)
            try:
                yield here
            except OSError as failure:
                if not isinstance(failure, RefusedFileError):
                    failure.filename = str(self.path)
                raise
        finally:
            if here != self.base.descriptor:
                os.close(here)

    def _require_owner(self, status: os.stat_result, path: Path) -> None:
        owners = self.base.owners
        if owners is not None and status.st_uid not in owners:
            raise UntrustedError(errno.EPERM, f"belongs to user {status.st_uid}, who is not trusted here", str(path))

    def status(self) -> os.stat_result:
        """What stands there; of a link, the link itself."""
        with self.folder() as here:
            return os.stat(self.name, dir_fd=here, follow_symlinks=False)

    def status_if_there(self) -> os.stat_result | None:
        """The same, None where nothing does."""
        try:
            return self.status()
        except FileNotFoundError:
            return None

    def exists(self) -> bool:
        """Whether anything stands there, a link that leads nowhere included."""
        return self.status_if_there() is not None

    def is_folder(self) -> bool:
        """Whether a folder stands there; no for a link to one."""
        status = self.status_if_there()
        return status is not None and stat.S_ISDIR(status.st_mode)

    def link(self) -> str:
        """Where a link points."""
        with self.folder() as here:
            return os.readlink(self.name, dir_fd=here)

    def read(self, most: int = MOST_BYTES) -> tuple[bytes, os.stat_result]:
        """Contents of a regular file, and the status of that very file.

        Raises:
            NotRegularError, TooLongError: at once, however long or strange the file is.
            OSError: it is missing or can't be read.
        """
        with self.folder() as here:
            require_regular(os.stat(self.name, dir_fd=here, follow_symlinks=False), self.path)
            descriptor = _checked(os.open(self.name, _READ | os.O_NOFOLLOW, dir_fd=here), self.path)
        try:
            return read_open(descriptor, self.path, most), os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def open_folder(self) -> int:
        """Open the folder that stands there, for listing or flushing.

        Raises:
            NotRegularError: it is a link.
            UntrustedError: it is not of the held folder's ``owners``.
        """
        with self.folder() as here:
            try:
                descriptor = os.open(self.name, _LIST, dir_fd=here)
            except OSError as failure:
                if failure.errno in (errno.ENOTDIR, errno.ELOOP):
                    _refuse_link(self.name, here, self.path)
                raise
        try:
            self._require_owner(os.fstat(descriptor), self.path)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def names(self) -> list[str]:
        """Names in the folder that stands there, sorted."""
        descriptor = self.open_folder()
        try:
            return sorted(os.listdir(descriptor))  # noqa: PTH208 - a descriptor
        finally:
            os.close(descriptor)
