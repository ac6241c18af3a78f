"""Wheels and images that are files: told apart, read into a tree, and mounted for `View`.

Mounted at its own path, ``FILE.whl`` is the folder that the wheel would be installed into, and ``FILE.tar`` the root
file system of its image. ``View(FILE)`` then reads from memory, and everything that judges stays as it is.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiterfix.errors import UsageError
from aiterfix.installation.forms import FORMS, Form, opened
from aiterfix.installation.images import image_of, members_of_folder, members_of_tar, root_file_system
from aiterfix.installation.streams import Budget, Held
from aiterfix.installation.tree import Folder, Link, Node, TreeEntry, TreeWay, entries_of, read_node, status_of
from aiterfix.installation.view import MOST_BYTES, MOUNTED, Entry, Sparing, View, Visited, looks_like_root
from aiterfix.installation.wheels import Wheel

_MOST_OPENED = 64 << 20
"""Bytes of a file in an archive that is opened whole, such as a zip archive on the import path."""
_MARKS = ("manifest.json", "index.json")


class _Mounted(NamedTuple):
    tree: Folder
    stamps: tuple[tuple[int, int, int], ...]


_MOUNTS: dict[Path, _Mounted] = {}


def mount(path: Path, form: Form) -> None:
    """Have `View` read an archive; again where it has changed since.

    Args:
        path: absolute.
        form: from `form_of`.

    Raises:
        ArchiveError: it is damaged or hostile.
        UsageError: it holds no image, or several.
        EnvironmentProblem: it cannot be read, or what is needed to decompress it is missing.
    """
    stamps = tuple(map(_stamp, (path, path / "index.json")))
    known = _MOUNTS.get(path)
    if known is None or known.stamps != stamps:
        budget = Budget()
        tree = Wheel(_held(path)).tree(budget) if form is Form.WHEEL else _image(path, budget)
        _MOUNTS[path] = _Mounted(tree, stamps)
    MOUNTED[path], FORMS[path] = ArchiveView, form


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns


def _held(path: Path) -> Held:
    return Held(opened(path), path.name)


def _image(path: Path, budget: Budget) -> Folder:
    if os.path.isdir(path):  # noqa: PTH112
        return image_of(members_of_folder(path), budget)
    held = _held(path)
    members = members_of_tar(held, budget)
    if looks_like_root(members.top):
        return root_file_system(held, Budget())
    if members.top.isdisjoint(_MARKS):
        raise UsageError(
            f"{path} is a tar archive without an image in it",
            remedy="Give what docker save, docker export, podman save or skopeo (oci, docker-archive) write. "
            "A source distribution: unpack it and name its folder.",
        )
    return image_of(members, budget)


class _InMemory(io.RawIOBase):
    """Bytes as a raw file: `io.BytesIO` is none."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._data.seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        return self._data.readinto(buffer)


class _VisitedInTree(Visited):
    __slots__ = ()

    def read(self, entry: Entry, most: int = MOST_BYTES) -> bytes:
        """As `Visited.read`."""
        assert isinstance(entry, TreeEntry)
        return read_node(entry.node, entry.beside, f"{self.path}/{entry.name}", most)


class ArchiveView(View):
    """Reads an archive that is mounted."""

    image_root: Path

    def __init__(self, image_root: Path) -> None:
        super().__init__(image_root)
        self._tree = _MOUNTS[image_root].tree

    def _way(self, root: Path) -> TreeWay:  # type: ignore[override]
        return TreeWay(self._tree, root)

    def _node(self, path: Path) -> tuple[Node, Folder]:
        """What stands at a place, links followed, and the folder that it stands in."""
        with self._at(path, self.image_root) as (way, name):
            assert isinstance(way, TreeWay)
            return way.child(name), way.here

    def status(self, path: Path | str) -> os.stat_result:
        """As `View.status`."""
        return status_of(self._node(Path(path))[0])

    def is_link(self, path: Path) -> bool:
        """As `View.is_link`."""
        try:
            home = self._node(path.parent)[0]
        except OSError:
            return False
        return isinstance(home, Folder) and isinstance(home.children.get(path.name), Link)

    def read(self, path: Path, most: int = MOST_BYTES) -> bytes:
        """As `View.read`."""
        node, home = self._node(path)
        return read_node(node, home, path, most)

    def open(self, path: Path, most: int) -> io.BufferedReader:
        """As `View.open`."""
        return Sparing(_InMemory(self.read(path, _MOST_OPENED)), most)

    def _children(self, path: Path | str) -> Folder:
        node, _ = self._node(Path(path))
        if not isinstance(node, Folder):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
        return node

    def names(self, path: Path) -> list[str]:
        """As `View.names`."""
        return list(self._children(path).children)

    @contextmanager
    def scan(self, path: Path | str) -> Iterator[Iterator[Entry]]:
        """As `View.scan`."""
        yield entries_of(self._children(path))

    def walk(self, top: Path, skip: Collection[str] = ()) -> Iterator[Visited]:
        """As `View.walk`."""
        try:
            pending = [(os.fspath(top), self._children(top))]
        except OSError as error:
            yield Visited(os.fspath(top), -1, [], error)
            return
        while pending:
            path, folder = pending.pop()
            entries = list(entries_of(folder))
            yield _VisitedInTree(path, -1, entries, None)
            pending += [
                (f"{path}/{e.name}", e.node) for e in entries if isinstance(e.node, Folder) and e.name not in skip
            ]
