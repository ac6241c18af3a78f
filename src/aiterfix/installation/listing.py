"""One folder of the import path, listed once: every name in it that bears on ``aiter``."""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.installation.metadata import Metadata, is_metadata_name, read_metadata
from aiterfix.installation.view import View
from aiterfix.storage.held import LeavesRootError, NotRegularError, kind

_EXTENSIONS = (".so", ".pyd")


@dataclass
class Listing:
    """What a folder of the path holds. ``error`` is set where it could not be listed."""

    path: Path
    folder: Path | None = None
    """``aiter/``, or the folder that a link of this name leads to."""
    regular: bool = False
    """Whether ``aiter/`` has an ``__init__``; without one it is a namespace portion."""
    broken_link: Path | None = None
    """``aiter``, which leads nowhere."""
    modules: list[Path] = field(default_factory=list)
    """``aiter.py``, ``aiter.*.so``, ``aiter.pyc``."""
    metadata: list[Metadata] = field(default_factory=list)
    path_files: list[Path] = field(default_factory=list)
    """``.pth`` and ``.start`` files in the order Python reads them."""
    egg_links: list[Path] = field(default_factory=list)
    interrupted: list[Path] = field(default_factory=list)
    """``~iter`` and the like: what pip leaves behind when it is interrupted."""
    source_tree: bool = False
    """Whether build files or a repository stand beside the package."""
    error: str | None = None


_BUILD_FILES = frozenset({"setup.py", "pyproject.toml", "setup.cfg", ".git"})


def list_folder(path: Path, view: View) -> Listing:
    """List one folder of the import path."""
    listing = Listing(path)
    try:
        names = view.names(path)
    except OSError as error:
        listing.error = error.strerror or str(error)
        return listing
    for name in names:
        if name == "aiter":
            _note_package(listing, view)
        elif name.startswith("aiter.") and name.endswith((".py", ".pyc", *_EXTENSIONS)):
            if name in ("aiter.py", "aiter.pyc") or name.endswith(_EXTENSIONS):
                listing.modules.append(path / name)
        elif name.endswith((".pth", ".start")):
            if not name.startswith("."):  # hidden ones are not read since Python 3.12.4, 3.11.9
                listing.path_files.append(path / name)
        elif name.endswith(".egg-link"):
            listing.egg_links.append(path / name)
        elif name in _BUILD_FILES:
            listing.source_tree = True
        elif name == "~iter" or name.startswith(("~md_aiter", "~md-aiter")):
            listing.interrupted.append(path / name)
        elif name == "EGG-INFO" or (name.endswith(("-info", "-INFO")) and is_metadata_name(name)):
            whole = not name.lower().endswith(".dist-info") or _is_folder(path / name, view)
            metadata = read_metadata(path / name, view) if whole else None
            if metadata is not None:
                listing.metadata.append(metadata)
    listing.path_files.sort()
    listing.metadata.sort(key=lambda item: item.path)
    return listing


def _is_folder(path: Path, view: View) -> bool:
    """Whether metadata is the folder that it has to be; what else is there is named."""
    status = view.look(path)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        view.refuse(path, NotRegularError(errno.ENOTDIR, f"is {kind(status)}, not a folder"), doubt=False)
    return status is not None and stat.S_ISDIR(status.st_mode)


def _note_package(listing: Listing, view: View) -> None:
    written = listing.path / "aiter"
    place = view.settle(written)
    try:
        mode = view.status(written).st_mode
    except LeavesRootError as error:
        view.refuse(written, error, doubt=True)
        return
    except OSError:
        listing.broken_link = written
        return
    if stat.S_ISDIR(mode):
        # The place that a link leads to is what has metadata, a repository and state of its own.
        listing.folder = Path(view.real(place)) if view.is_link(place) else place
        listing.regular = is_regular(place, view)


def is_regular(package: Path, view: View) -> bool:
    """Whether a package folder has an ``__init__`` that Python would run."""
    if view.is_file(package / "__init__.py") or view.is_file(package / "__init__.pyc"):
        return True
    try:
        return any(name.startswith("__init__.") and name.endswith(_EXTENSIONS) for name in view.names(package))
    except OSError:
        return True  # cannot be told; treating it as what import takes hides nothing
