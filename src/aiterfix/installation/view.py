"""Paths as the inspected system sees them.

A root file system of an image that is mounted or unpacked somewhere holds absolute links and absolute
``.pth`` lines. They mean places inside the image; following them with the host's eyes would judge
the host's ``aiter`` instead.
"""

from __future__ import annotations

import os
from pathlib import Path

from aiterfix.storage.record import record

_MOST_LINKS = 40  # what Linux allows in one path before ELOOP


@record(frozen=True)
class View:
    """Translates paths of the inspected system into paths of this machine."""

    image_root: Path | None = None
    """None: the inspected system is this machine."""

    def enter(self, path: str | os.PathLike[str]) -> Path:
        """The place on this machine that an absolute path written inside the inspected system means."""
        if self.image_root is None:
            return Path(path)
        return self.settle(self.image_root / os.fspath(path).lstrip("/"))

    def settle(self, path: Path) -> Path:
        """``path`` (of this machine) with the links below the image's root resolved inside the image.

        Without an image the path is returned as it is: the operating system resolves it.
        """
        if self.image_root is None:
            return path
        try:
            pending = list(path.relative_to(self.image_root).parts)
        except ValueError:
            return path
        here: list[str] = []
        links = 0
        while pending:
            part = pending.pop(0)
            if part == "..":
                here = here[:-1]
                continue
            place = self.image_root.joinpath(*here, part)
            try:
                link = os.readlink(place)  # noqa: PTH115 - one system call; not a link is the usual answer
            except (OSError, ValueError):
                here.append(part)
                continue
            links += 1
            if links > _MOST_LINKS:
                return place
            if link.startswith("/"):
                here = []
            pending = [piece for piece in link.split("/") if piece not in ("", ".")] + pending
        return self.image_root.joinpath(*here)


def is_file(path: Path) -> bool:
    """``Path.is_file`` that takes any trouble (no permission, a loop of links, an embedded zero byte) for no."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """``Path.is_dir`` that takes any trouble for no."""
    return os.path.isdir(path)  # noqa: PTH112


def exists(path: Path) -> bool:
    """``Path.exists`` that takes any trouble for no."""
    return os.path.exists(path)  # noqa: PTH110


def absolute(path: Path) -> Path | None:
    """``Path.absolute``; None for a relative path while the current folder has been removed."""
    try:
        return path.absolute()
    except FileNotFoundError:
        return None


def image_root_above(path: Path) -> Path | None:
    """The root file system of an image that ``path`` lies in (or is), by its usual top-level folders.

    Returns None where that is this machine's own root.
    """
    for candidate in (path, *path.parents):
        if candidate == Path(candidate.anchor):
            return None
        if looks_like_root(candidate):
            return candidate
    return None


def looks_like_root(path: Path) -> bool:
    """Whether a folder has the top level of a Linux root file system."""
    try:
        names = set(os.listdir(path))  # noqa: PTH208 - names only
    except OSError:
        return False
    return "usr" in names and len(names & {"etc", "var", "bin", "lib", "sbin", "proc"}) >= 2
