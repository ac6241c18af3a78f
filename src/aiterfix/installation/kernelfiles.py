"""Which source files of a package name a kernel, wherever they stand.

Paths are no identity: files have moved between releases and a distribution may move them again. Every ``.py`` of the
package is read, some 11 MB in 610 files in v0.1.20; the bytes are compared, nothing is parsed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from aiterfix.installation.target import Skipped
from aiterfix.installation.view import View
from aiterfix.storage.record import record
from aiterfix.storage.text import as_parsed, opaque_encoding

_MOST_BYTES = 64 << 20  # the longest real one has 0.4 MB
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO called x.py must not hold us up


@record(frozen=True)
class KernelSearch:
    """The files that mention a kernel, and what could not be searched."""

    files: tuple[Path, ...]
    """Sorted. A link inside the package to another ``.py`` inside it is left out: that file stands for both."""
    unreadable: tuple[Skipped, ...]
    """Each leaves a doubt, unless it says otherwise."""


class PackageText:
    """Every file of a package, read once and kept: for searches that follow from one another.

    Links to folders are not followed: inside the package they lead to what is searched anyway, and one that leaves it
    is reported. Links to files are read, also outside (installers that link from a cache make every file one): what
    import would run is what matters. Whether such a file may be edited is for the editing side to say.

    Args:
        package: the package folder.
        image_root: root of the image that the package lies in, for absolute links.
    """

    def __init__(self, package: Path, image_root: Path | None = None) -> None:
        unreadable: list[Skipped] = []
        self.contents = {Path(shown): data for shown, data in _contents(package, View(image_root), unreadable)}
        self._unreadable = tuple(sorted(unreadable, key=lambda item: item.path))

    def naming(self, needles: Collection[str]) -> KernelSearch:
        """The files whose bytes contain any of ``needles``: kernel names, each a Python identifier."""
        shortest = _shortest(needles)
        files = [path for path, data in self.contents.items() if _names(data, shortest)]
        return KernelSearch(tuple(sorted(files)), self._unreadable)


def _shortest(needles: Collection[str]) -> tuple[bytes, ...]:
    if not needles or not all(needles):
        raise ValueError("needles must be kernel names, none of them empty")
    # A name that contains another one is found with it: the real seven boil down to one comparison a file.
    return tuple(
        needle.encode()
        for needle in sorted(needles)
        if not any(other in needle for other in needles if other != needle)
    )


def _names(data: bytes, needles: Collection[bytes]) -> bool:
    """Whether a source may name one of these, in whatever characters the parser takes for them."""
    if any(needle in data for needle in needles) or opaque_encoding(data):
        return True
    if data.isascii():
        return False
    parsed = as_parsed(data)
    return parsed is not data and any(needle in parsed for needle in needles)


def _contents(package: Path, view: View, unreadable: list[Skipped]) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every source file; what cannot be read is added to ``unreadable``."""
    home = os.path.realpath(package)
    for entry in _walk(package, home, view, unreadable):
        if isinstance(entry, tuple):
            shown, place = entry
        else:
            shown = place = entry
        try:
            data = _read(place)
        except OSError as error:
            unreadable.append(Skipped(Path(shown), f"cannot be read: {error.strerror or error}", True))
            continue
        if data is None:
            reason = f"not a regular file of at most {_MOST_BYTES >> 20} MiB"
            unreadable.append(Skipped(Path(shown), reason, True))
        else:
            yield shown, data


def _walk(package: Path, home: str, view: View, unreadable: list[Skipped]) -> Iterator[str | tuple[str, str]]:
    """Paths of the ``.py`` files to read; for a link, its path and the place to read from."""
    pending = [os.fspath(package)]
    while pending:
        here = pending.pop()
        try:
            with os.scandir(here) as entries:
                found = list(entries)
        except OSError as error:
            unreadable.append(Skipped(Path(here), f"cannot be listed: {error.strerror or error}", True))
            continue
        for entry in found:
            name = entry.name
            if entry.is_symlink():
                place = _link(entry.path, home, view, unreadable)
                if place is not None:
                    yield entry.path, place
            elif name.endswith(".py"):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    yield entry.path
            elif name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                pending.append(entry.path)


def _link(path: str, home: str, view: View, unreadable: list[Skipped]) -> str | None:
    """Where to read a linked ``.py`` from; None where nothing needs to be read."""
    place = os.path.realpath(view.settle(Path(path)))
    inside = place.startswith(home + os.sep)
    if os.path.isdir(place):  # noqa: PTH112
        # A link to a parent is a cycle: Python would import the same files under ever longer names.
        if not inside and not home.startswith(place.rstrip(os.sep) + os.sep) and place != home:
            unreadable.append(
                Skipped(Path(path), f"a link to a folder outside the package, {place}: not searched", True)
            )
        return None
    if not path.endswith(".py"):
        return None
    if not os.path.exists(place):  # noqa: PTH110
        reason = f"a link that leads nowhere, to {place} (a mount or cache that is missing?)"
        unreadable.append(Skipped(Path(path), reason, True))
        return None
    return None if inside and place.endswith(".py") else place


def _read(path: str) -> bytes | None:
    """Contents of a regular file; None for another kind of file, or one too long to be a source."""
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            return None
        # One byte more than there is: an unchanged file then ends within one call.
        data = os.read(descriptor, status.st_size + 1)
        if len(data) == status.st_size:
            return data
        parts = [data]
        while part := os.read(descriptor, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
