"""A file system in memory, read-only: names, kinds and sizes of what an archive holds; contents stay where they are."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from aiterfix.installation.streams import ArchiveError
from aiterfix.storage.held import NotRegularError, TooLongError, Walk, kind

MOST_DEEP = 128  # folders
_MOST_NAME, MOST_PATH = 255, 4096  # bytes, as Linux has it


class Contents(Protocol):
    """Where files of a tree have their bytes."""

    def read(self, file: File, most: int, beside: Iterator[File]) -> bytes:
        """A file's bytes, ``most`` of which it has.

        Args:
            most: bytes.
            beside: what is likely to be asked for next.

        Raises:
            OSError: it cannot be read.
        """


class File:
    """A regular file."""

    __slots__ = ("at", "mtime", "size", "source")

    def __init__(self, source: Contents | None, at: int, size: int, mtime: int) -> None:
        self.source = source
        self.at = at
        self.size = size
        self.mtime = mtime


class Link:
    """A symbolic link."""

    __slots__ = ("mtime", "target")

    def __init__(self, target: str, mtime: int) -> None:
        self.target = target
        self.mtime = mtime


class Special:
    """A FIFO or device."""

    __slots__ = ("mode", "mtime")

    def __init__(self, mode: int, mtime: int) -> None:
        self.mode = mode
        self.mtime = mtime


class Folder:
    """A folder.

    Attributes:
        children: by name.
        stated: whether it has an entry of its own, or only stands on the way to one.
        gone: names that a layer takes away from those below it.
        opaque: whether it takes away all of them.
    """

    __slots__ = ("children", "gone", "mtime", "opaque", "stated")

    def __init__(self, mtime: int = 0, *, stated: bool = False) -> None:
        self.children: dict[str, Node] = {}
        self.gone: set[str] | None = None
        self.opaque = False
        self.mtime = mtime
        self.stated = stated


Node = File | Link | Special | Folder


def pieces_of(name: str) -> list[str]:
    """The components of an entry's name.

    Raises:
        ArchiveError: it leads out, or no file can have it.
    """
    if "\0" in name:
        raise ArchiveError(name, "a name with a NUL")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise ArchiveError(name, "a name that is no UTF-8") from None
    if name.startswith("/"):
        raise ArchiveError(name, "an absolute name")
    pieces = [piece for piece in name.split("/") if piece not in ("", ".")]
    if ".." in pieces:
        raise ArchiveError(name, "a name that leads out, by ..")
    if length > MOST_PATH or len(pieces) > MOST_DEEP or (length > _MOST_NAME and _long(pieces)):
        raise ArchiveError(name, f"a name too long, or more than {MOST_DEEP} folders deep")
    return pieces


def _long(pieces: list[str]) -> bool:
    return any(len(piece.encode()) > _MOST_NAME for piece in pieces)


def folder_at(top: Folder, pieces: list[str], name: str) -> Folder:
    """The folder of this place, made with those on the way where they are not there.

    Raises:
        ArchiveError: something else stands on the way.
    """
    here = top
    for depth, piece in enumerate(pieces, 1):
        below = here.children.get(piece)
        if below is None:
            below = here.children[piece] = Folder()
        if not isinstance(below, Folder):
            raise ArchiveError(name, f"lies below {'/'.join(pieces[:depth])}, which is {_kind(below)}, not a folder")
        here = below
    return here


def put(top: Folder, pieces: list[str], node: Node, name: str) -> None:
    """Add an entry.

    Raises:
        ArchiveError: there is another of that name; only folders may stand twice.
    """
    if not pieces:
        if not isinstance(node, Folder):
            raise ArchiveError(name, "stands in the place of the root folder")
        top.mtime, top.stated = node.mtime, True
        return
    home = folder_at(top, pieces[:-1], name)
    known = home.children.get(pieces[-1])
    if isinstance(known, Folder) and isinstance(node, Folder):
        known.mtime, known.stated = node.mtime, True
    elif known is not None:
        raise ArchiveError(name, "stands there twice")
    else:
        home.children[pieces[-1]] = node


def _mode(node: Node) -> int:
    if isinstance(node, Special):
        return node.mode
    return {File: stat.S_IFREG, Link: stat.S_IFLNK, Folder: stat.S_IFDIR}[type(node)] | 0o755


def _kind(node: Node) -> str:
    return kind(status_of(node))


def status_of(node: Node) -> os.stat_result:
    """As `os.lstat` would say it, as far as an archive knows."""
    size = node.size if isinstance(node, File) else 0
    fields = (_mode(node), id(node), -1, 1, 0, 0, size, node.mtime, node.mtime, node.mtime)
    times = dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), node.mtime * 1_000_000_000)
    return os.stat_result(fields, times)


class TreeEntry:
    """What `os.DirEntry` says without following links.

    Attributes:
        name: in its folder.
        node: what stands there.
        beside: the folder.
    """

    __slots__ = ("beside", "name", "node")

    def __init__(self, name: str, node: Node, beside: Folder) -> None:
        self.name = name
        self.node = node
        self.beside = beside

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        """As `os.DirEntry.is_dir`."""
        assert not follow_symlinks
        return isinstance(self.node, Folder)

    def is_file(self, *, follow_symlinks: bool) -> bool:
        """As `os.DirEntry.is_file`."""
        assert not follow_symlinks
        return isinstance(self.node, File)

    def is_symlink(self) -> bool:
        """As `os.DirEntry.is_symlink`."""
        return isinstance(self.node, Link)


def entries_of(folder: Folder) -> Iterator[TreeEntry]:
    """What a folder holds."""
    return (TreeEntry(name, node, folder) for name, node in folder.children.items())


def read_node(node: Node, beside: Folder, path: Path | str, most: int) -> bytes:
    """Contents of a regular file.

    Args:
        most: bytes.

    Raises:
        NotRegularError, TooLongError: as `storage.held.read_file`.
        OSError: it cannot be read.
    """
    if not isinstance(node, File):
        raise NotRegularError(errno.EINVAL, f"is {_kind(node)}, not a regular file", str(path))
    if node.size > most:
        raise TooLongError(errno.EFBIG, f"has more than {most} bytes", str(path))
    if node.source is None:
        raise NotRegularError(errno.EINVAL, "is a sparse file, whose contents are not put together", str(path))
    data = node.source.read(node, most, _files_below(beside))
    if len(data) != node.size:
        raise ArchiveError(str(path), f"has {len(data)} bytes, and {node.size} by its entry")
    return data


def _files_below(folder: Folder) -> Iterator[File]:
    """Files of a folder, and sources of the folders below it."""
    for name, node in folder.children.items():
        if isinstance(node, File):
            yield node
        elif isinstance(node, Folder) and name != "__pycache__":
            yield from (f for f in _sources_below(node))


def _sources_below(folder: Folder) -> Iterator[File]:
    pending = [folder]
    while pending:
        here = pending.pop()
        for name, node in here.children.items():
            if isinstance(node, Folder):
                pending.append(node)
            elif isinstance(node, File) and name.endswith(".py"):
                yield node


class TreeWay(Walk):
    """Through a tree.

    Args:
        root: where it is said to stand.
    """

    def __init__(self, top: Folder, root: Path) -> None:
        super().__init__(root, confined=True)
        self._stack = [top]

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def here(self) -> Folder:
        """The folder reached."""
        return self._stack[-1]

    def link(self, name: str) -> str | None:
        """See `Walk`."""
        node = self.child(name)
        return node.target if isinstance(node, Link) else None

    def child(self, name: str) -> Node:
        """What stands in the folder reached.

        Raises:
            FileNotFoundError: nothing of that name does.
        """
        if name == ".":
            return self.here
        try:
            return self.here.children[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path / name)) from None

    def down(self, name: str) -> None:
        """See `Walk`."""
        below = self.child(name)
        if not isinstance(below, Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(self.path / name))
        self._stack.append(below)

    def up(self) -> None:
        """See `Walk`."""
        self._stack.pop()
