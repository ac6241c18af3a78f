"""Which source files of a package name a kernel, wherever they stand.

Paths are no identity: files have moved between releases and a distribution may move them again. Every ``.py`` of the
package is read, some 11 MB in 610 files in v0.1.20; the bytes are compared, nothing is parsed.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from aiterfix.installation.target import Skipped
from aiterfix.installation.view import Entry, View, why
from aiterfix.storage.held import LeavesRootError, RefusedFileError
from aiterfix.storage.record import record
from aiterfix.storage.text import as_parsed, opaque_encoding

_MOST_IN_ALL = 256 << 20  # bytes; the sources of a large engine have some 40 MB
_IMPORTED = (".py", ".pyc", ".so", ".pyd")
_CACHE = "__pycache__"


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
        image_root: root of the image that the package lies in, for absolute links.
        also: how the names of other files end that are kept too.

    Attributes:
        contents: bytes by path, which is text: to make a `Path` of each of an engine's 3,000 files takes a while.
        unreadable: what could not be read; each leaves a doubt, unless it says otherwise.
    """

    def __init__(self, package: Path, image_root: Path | None = None, also: tuple[str, ...] = ()) -> None:
        self.view = View(image_root)
        unreadable: list[Skipped] = []
        self.contents = dict(_contents(package, self.view, also, unreadable))
        self.unreadable = tuple(sorted(unreadable, key=lambda item: item.path))

    def read(self, path: Path) -> bytes:
        """A file as it was read; one that was left out is read now.

        Raises:
            OSError: it is missing or can't be read.
        """
        shown = str(path)
        if shown not in self.contents:
            self.contents[shown] = self.view.read(path)
        return self.contents[shown]

    def naming(self, needles: Collection[str]) -> KernelSearch:
        """The files whose bytes contain any of ``needles``: kernel names, each a Python identifier."""
        shortest = _shortest(needles)
        files = [Path(shown) for shown, data in self.contents.items() if _names(data, shortest)]
        return KernelSearch(tuple(sorted(files)), self.unreadable)


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


def _contents(
    package: Path, view: View, also: tuple[str, ...], unreadable: list[Skipped]
) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every source file, and of others of such names; ``unreadable`` gets what cannot be read."""
    home = view.real(package)
    total = 0
    for visited in view.walk(package, skip=(_CACHE,)):
        if visited.error is not None:
            unreadable.append(Skipped(Path(visited.path), why(visited.error, "cannot be listed"), True))
        for entry in visited.entries:
            link = entry.is_symlink()
            kept = entry.name.endswith(also) and entry.is_file(follow_symlinks=False)
            if not (link or kept or entry.name.endswith(".py") or _stands_in(entry)):
                continue
            shown = f"{visited.path}/{entry.name}"
            try:
                data = _linked(Path(shown), home, view, also) if link else visited.read(entry)
                total += len(data or b"")
                if total > _MOST_IN_ALL:
                    raise RefusedFileError(errno.EFBIG, f"the package has more than {_MOST_IN_ALL >> 20} MiB of source")
            except OSError as error:
                unreadable.append(Skipped(Path(shown), why(error), True))
                continue
            if data is not None:
                yield shown, data


def _importable(name: str) -> bool:
    """Whether import could take a file or folder of this name."""
    return name.isidentifier() or name.endswith(_IMPORTED)


def _stands_in(entry: Entry) -> bool:
    """Whether a special file stands where a folder of kernels may have stood."""
    return (
        not entry.is_file(follow_symlinks=False) and not entry.is_dir(follow_symlinks=False) and _importable(entry.name)
    )


def _linked(path: Path, home: str, view: View, also: tuple[str, ...]) -> bytes | None:
    """Contents of a linked file of these; None where nothing needs to be read.

    Raises:
        OSError: what it leads to cannot be read or is not searched.
    """
    try:
        mode = view.status(path).st_mode
    except LeavesRootError:
        raise
    except OSError as error:
        # A kernel file or a folder of kernels may be missing; nothing of another name is ever imported.
        if not _importable(path.name):
            return None
        reason = f"a link that leads nowhere (a mount or cache that is missing?): {error.strerror}"
        raise RefusedFileError(error.errno, reason) from error
    place = view.real(path)
    below = place.removeprefix(home + "/") if place.startswith(home + "/") else None
    if stat.S_ISDIR(mode):
        # A link to a parent is a cycle: Python would import the same files under ever longer names.
        if below is None and not home.startswith(place.rstrip("/") + "/") and place != home:
            raise RefusedFileError(errno.EXDEV, f"a link to a folder outside the package, {place}: not searched")
        if below is not None and _CACHE in below.split("/"):
            raise RefusedFileError(errno.EXDEV, f"a link to {place}, among compiled modules: not searched")
        return None
    if not path.name.endswith((".py", *also)):
        return None
    # A link to a source of the package: that file stands for both, if it was searched.
    searched = below is not None and below.endswith((".py", *also)) and _CACHE not in below.split("/")
    return None if searched and stat.S_ISREG(mode) else view.read(path)
