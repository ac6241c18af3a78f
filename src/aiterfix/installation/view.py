"""The files of the inspected system as that system sees them: everything of it that is looked at passes through here.

The root file system of an image that is mounted or unpacked somewhere holds absolute links and absolute ``.pth``
lines. They mean places inside the image; followed with the host's eyes they would lead to the host's ``aiter``. So
with an image each path is walked from the image's root by descriptors, and what leads out of it is refused. Without
one the operating system follows links. Either way only regular files are read, and only so much of them.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from aiterfix.installation.target import Skipped
from aiterfix.storage.held import (
    Folder,
    LeavesRootError,
    RefusedFileError,
    TooLongError,
    Way,
    open_file,
    read_file,
    read_open,
    require_regular,
)

MOST_BYTES = 4 << 20
"""The longest source that is read; the longest real one has 0.4 MB. A syntax tree takes some hundred times as much."""
_DEEPEST = 128  # folders below the top of a walk; a real package has a dozen
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_STEP = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


class Entry(Protocol):
    """What a listing says of a name in a folder: `os.DirEntry`, asked nothing that follows a link."""

    @property
    def name(self) -> str:
        """In its folder."""

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        """Whether it is a folder."""

    def is_file(self, *, follow_symlinks: bool) -> bool:
        """Whether it is a regular file."""

    def is_symlink(self) -> bool:
        """Whether it is a link."""


class Visited(NamedTuple):
    """A folder that a walk came to.

    Attributes:
        path: for people, and to be handed to a `View`.
        descriptor: of the folder, open until the walk goes on; -1 where it could not be listed.
        error: why it could not be listed.
    """

    path: str
    descriptor: int
    entries: Sequence[Entry]
    error: OSError | None

    def read(self, entry: Entry, most: int = MOST_BYTES) -> bytes:
        """Contents of a regular file of the folder; of none that has become another kind of file since it was listed.

        Raises:
            RefusedFileError, OSError: see `View.read`.
        """
        if not entry.is_file(follow_symlinks=False):
            # Opening a device may do something.
            status = os.stat(entry.name, dir_fd=self.descriptor, follow_symlinks=False)
            require_regular(status, f"{self.path}/{entry.name}")
        descriptor = os.open(entry.name, _READ, dir_fd=self.descriptor)
        try:
            status = os.fstat(descriptor)
            size = status.st_size
            if stat.S_ISREG(status.st_mode) and size <= most:
                data = os.read(descriptor, size + 1)
                if len(data) == size:
                    return data
                os.lseek(descriptor, 0, os.SEEK_SET)
            require_regular(status, f"{self.path}/{entry.name}")
            return read_open(descriptor, f"{self.path}/{entry.name}", most)
        finally:
            os.close(descriptor)


MOUNTED: dict[Path, type[View]] = {}
"""Roots of images that are no folders of this machine, and what reads each; see `archives`."""


class View:
    """Reads one system: this machine, or an image.

    Args:
        image_root: root of the image; None for this machine.
    """

    def __new__(cls, image_root: Path | None = None) -> View:
        """Whoever asks for a view of an archive must not get one of this machine, where nothing stands below a file."""
        return object.__new__(MOUNTED.get(image_root, cls) if image_root is not None else cls)

    def __init__(self, image_root: Path | None = None) -> None:
        self.image_root = image_root
        self._refused: dict[Path, Skipped] = {}

    @property
    def refused(self) -> tuple[Skipped, ...]:
        """What was asked for by `look`, `text` and their like, is there, and could not be looked at or read."""
        return tuple(self._refused.values())

    def refuse(self, path: Path, error: OSError, *, doubt: bool) -> None:
        """Note something that could not be read. What leads out of the image always leaves a doubt."""
        leaves = isinstance(error, LeavesRootError)
        known = self._refused.get(path)
        self._refused[path] = Skipped(path, why(error), doubt or leaves or (known is not None and known.doubt))

    # places

    def enter(self, path: str | os.PathLike[str]) -> Path:
        """The place on this machine that an absolute path written inside the inspected system means."""
        if self.image_root is None:
            return Path(path)
        return self.settle(self.image_root / os.fspath(path).lstrip("/"))

    def settle(self, path: Path) -> Path:
        """A path without its links, as far as they can be followed inside the image: a name for people, and for
        comparison. Nothing is believed of it: whatever is read is reached anew.

        Without an image the path is returned as it is.
        """
        if self.image_root is None:
            return path
        try:
            pieces = path.relative_to(self.image_root).parts
            way = self._way(self.image_root)
        except (OSError, ValueError):
            return path
        try:
            for number, piece in enumerate(pieces, 1):
                here = way.path
                try:
                    name = way.follow([piece], last_too=True)
                    if number == len(pieces):
                        return way.path if name == "." else way.path / name
                    if name != ".":
                        way.enter(name)
                except LeavesRootError:
                    return path
                except (OSError, ValueError):
                    return here.joinpath(*pieces[number - 1 :])
            return way.path
        finally:
            way.close()

    def real(self, path: Path) -> str:
        """What tells one place from another, whatever links lead to it."""
        return os.path.realpath(path) if self.image_root is None else os.fspath(self.settle(path))

    def _way(self, root: Path) -> Way:
        return Way(root)

    @contextmanager
    def _at(self, path: Path, root: Path) -> Iterator[tuple[Way, str]]:
        """The folder that holds a place in the image, and its name there, links followed."""
        try:
            pieces = list(path.relative_to(root).parts)
        except ValueError:
            raise LeavesRootError(errno.EXDEV, f"is not in {root}", str(path)) from None
        way = self._way(root)
        try:
            yield way, way.follow(pieces, last_too=True)
        finally:
            way.close()

    # what stands there

    def status(self, path: Path | str) -> os.stat_result:
        """What stands there, links followed.

        Raises:
            LeavesRootError: they lead out of the image.
            OSError: nothing does, or it cannot be looked at.
        """
        try:
            if self.image_root is None:
                return os.stat(path)  # noqa: PTH116 - a Path costs more than the call
            with self._at(Path(path), self.image_root) as (way, name):
                return os.stat(name, dir_fd=way.here, follow_symlinks=False)
        except ValueError:
            raise _no_name(path) from None

    def look(self, path: Path) -> os.stat_result | None:
        """The same; None where nothing is, or where that cannot be told, which is noted as a doubt."""
        try:
            return self.status(path)
        except OSError as error:
            if error.errno not in _NOTHING_THERE:
                self.refuse(path, error, doubt=True)
            return None

    def is_file(self, path: Path) -> bool:
        """Whether a regular file stands there, links followed."""
        status = self.look(path)
        return status is not None and stat.S_ISREG(status.st_mode)

    def is_folder(self, path: Path) -> bool:
        """Whether a folder stands there, links followed."""
        status = self.look(path)
        return status is not None and stat.S_ISDIR(status.st_mode)

    def exists(self, path: Path) -> bool:
        """Whether anything stands there, links followed."""
        return self.look(path) is not None

    def is_link(self, path: Path) -> bool:
        """Whether a link stands there, wherever it leads."""
        try:
            if self.image_root is None:
                return stat.S_ISLNK(os.lstat(path).st_mode)
            with self._at(path.parent, self.image_root) as (way, name):
                if name != ".":
                    way.enter(name)
                return stat.S_ISLNK(os.stat(path.name, dir_fd=way.here, follow_symlinks=False).st_mode)
        except (OSError, ValueError):
            return False

    # what it holds

    def read(self, path: Path, most: int = MOST_BYTES) -> bytes:
        """Contents of a regular file, links followed.

        Raises:
            LeavesRootError: they lead out of the image.
            RefusedFileError: it is a special file, or has more than ``most`` bytes.
            OSError: it is missing or can't be read.
        """
        try:
            return read_file(path, self.image_root, most)
        except ValueError:
            raise _no_name(path) from None

    def text(self, path: Path, most: int = 1 << 20, *, doubt: bool = False) -> bytes | None:
        """The same; None where nothing is, or where it can't be read, which is noted.

        Args:
            most: bytes.
            doubt: whether what it says could lead to an ``aiter``.
        """
        try:
            return self.read(path, most)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                self.refuse(path, error, doubt=doubt)
            elif doubt and self.is_link(path):
                self.refuse(path, RefusedFileError(errno.ENOENT, "a link that leads nowhere"), doubt=True)
            return None

    def open(self, path: Path, most: int) -> io.BufferedReader:
        """A regular file, of which no single read yields more than ``most`` bytes.

        Raises:
            OSError: as `read`; reading more raises it too.
        """
        return Sparing(io.FileIO(open_file(path, self.image_root)), most)

    def names(self, path: Path) -> list[str]:
        """Names in a folder, in no order.

        Raises:
            OSError: it is missing, no folder, or cannot be listed.
        """
        if self.image_root is None:
            return os.listdir(path)  # noqa: PTH208 - names only
        descriptor = self._folder(os.fspath(path), self.image_root)
        try:
            return os.listdir(descriptor)  # noqa: PTH208 - a descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def scan(self, path: Path | str) -> Iterator[Iterator[Entry]]:
        """As `os.scandir`.

        Raises:
            OSError: as `names`.
        """
        if self.image_root is None:
            with os.scandir(path) as entries:
                yield entries
            return
        descriptor = self._folder(os.fspath(path), self.image_root)
        try:
            with os.scandir(descriptor) as entries:
                yield entries
        finally:
            os.close(descriptor)

    def _folder(self, path: str, root: Path) -> int:
        """A folder of the image, open for listing."""
        top = os.fspath(root)
        if path.startswith(top + "/"):
            # Of the tens of thousands of folders of an image hardly one is reached through a link.
            here = os.open(top, _STEP)
            try:
                for piece in path[len(top) + 1 :].split("/"):
                    if piece == "..":
                        break
                    below = os.open(piece, _STEP | os.O_NOFOLLOW, dir_fd=here)
                    os.close(here)
                    here = below
                else:
                    return os.open(".", _LIST, dir_fd=here)
            except (OSError, ValueError):
                pass  # it is told apart, and said, on the way that takes longer
            finally:
                os.close(here)
        with Folder.open(Path(path), root) as folder:
            return os.dup(folder.descriptor)

    def walk(self, top: Path, skip: Collection[str] = ()) -> Iterator[Visited]:
        """Every folder below one, itself included and first; by descriptors, no link followed below the top.

        Args:
            skip: names of folders that are not entered.
        """
        held: list[tuple[int, str, list[str]]] = []
        pending: str | None = os.fspath(top)
        try:
            while pending is not None:
                visited = self._visit(pending, held)
                yield visited
                below = [e.name for e in visited.entries if e.is_dir(follow_symlinks=False) and e.name not in skip]
                if visited.descriptor >= 0:
                    held.append((visited.descriptor, visited.path, below))
                pending = None
                while held and pending is None:
                    descriptor, _, below = held[-1]
                    if below:
                        pending = below.pop()
                    else:
                        os.close(descriptor)
                        held.pop()
        finally:
            for descriptor, _, _ in held:
                os.close(descriptor)

    def _visit(self, name: str, held: list[tuple[int, str, list[str]]]) -> Visited:
        path = f"{held[-1][1]}/{name}" if held else name
        descriptor = -1
        try:
            if len(held) > _DEEPEST:
                raise TooLongError(errno.ELOOP, f"more than {_DEEPEST} folders deep", path)
            if held:
                descriptor = os.open(name, _LIST | os.O_NOFOLLOW, dir_fd=held[-1][0])
            elif self.image_root is None:
                descriptor = os.open(name, _LIST)
            else:
                descriptor = self._folder(name, self.image_root)
            with os.scandir(descriptor) as entries:
                return Visited(path, descriptor, list(entries), None)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            return Visited(path, -1, [], error)


class Sparing(io.BufferedReader):
    """Refuses to hand out much at once: an archive says how long its table of contents is."""

    def __init__(self, raw: io.RawIOBase, most: int) -> None:
        super().__init__(raw)
        self._most = most

    def read(self, size: int | None = -1, /) -> bytes:
        """As `io.BufferedReader.read`.

        Raises:
            TooLongError: there is, or may be, more.
        """
        asked = self._most + 1 if size is None or size < 0 else size
        if asked > self._most + 1:
            raise TooLongError(errno.EFBIG, f"asks for more than {self._most} bytes at once")
        data = super().read(asked)
        if len(data) > self._most:
            raise TooLongError(errno.EFBIG, f"asks for more than {self._most} bytes at once")
        return data


def why(error: OSError, what: str = "cannot be read") -> str:
    """Why something was not read, in a phrase that fits behind its name."""
    said = error.strerror or str(error)
    return said if isinstance(error, RefusedFileError) else f"{what}: {said}"


def _no_name(path: Path | str) -> OSError:
    return OSError(errno.ENOENT, "no file can have such a name", os.fspath(path))


def absolute(path: Path) -> Path | None:
    """``Path.absolute``; None for a relative path while the current folder has been removed."""
    try:
        return path.absolute()
    except FileNotFoundError:
        return None


def looks_like_root(names: Collection[str]) -> bool:
    """Whether a folder with these names has the top level of a Linux root file system."""
    return "usr" in names and len({"etc", "var", "bin", "lib", "sbin", "proc"}.intersection(names)) >= 2


def image_root_above(path: Path) -> Path | None:
    """What seems to be the root of an image that a path lies in (or is), by its usual top-level folders; None where
    that is this machine's own root. Good enough to ask back, not to judge by."""
    for start in dict.fromkeys((path, Path(os.path.realpath(path)))):
        for candidate in (start, *start.parents):
            if candidate == Path(candidate.anchor):
                break
            try:
                if os.path.isdir(candidate / "usr") and looks_like_root(os.listdir(candidate)):  # noqa: PTH112, PTH208
                    return candidate
            except OSError:
                continue
    return None
