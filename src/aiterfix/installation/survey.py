"""A bounded walk through an image or any other folder, for site folders and source trees of ``aiter``.

Wherever an interpreter, a conda environment, an application's virtual environment or a checkout stands, one walk finds
it: lists of usual places age badly. What bounds the walk, and what could not be read, is reported.
"""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.target import Skipped
from aiterfix.installation.view import View

MOST_FOLDERS = 60_000
"""A ROCm image has some 40,000 folders outside its site folders; listing them takes about a second."""
# Kernel file systems and other machines' files: /proc/*/root and /sys would lead the walk round in circles.
_NOT_AT_TOP = frozenset({"proc", "sys", "dev", "run", "boot", "lost+found"})
_NEVER = frozenset({"__pycache__", ".git", "node_modules", ".hg", ".svn"})


class Survey(NamedTuple):
    """What the walk came across."""

    site_folders: tuple[Path, ...]
    source_trees: tuple[Path, ...]
    """Folders outside site folders that hold a package ``aiter``."""
    skipped: tuple[Skipped, ...]


def survey(top: Path, view: View, *, most_folders: int = MOST_FOLDERS) -> Survey:
    """Walk ``top`` breadth first. Links to folders are not followed: what they lead to inside is met anyway.

    Args:
        top: where to start.
        view: whether ``top`` lies in an image.
        most_folders: give up, and say so, after this many.
    """
    sites: list[Path] = []
    trees: list[Path] = []
    skipped: list[Skipped] = []
    pending: deque[str] = deque([os.fspath(top)])
    at_root = view.image_root == top or top == Path(top.anchor)
    count = 0
    while pending:
        folder = pending.popleft()
        count += 1
        if count > most_folders:
            reason = (
                f"the search was given up after {most_folders} folders: name the site-packages or the checkout instead"
            )
            skipped.append(Skipped(top, reason, True))
            break
        try:
            with os.scandir(folder) as entries:
                below = [entry.name for entry in entries if entry.name not in _NEVER and _to_enter(entry)]
        except OSError as error:
            skipped.append(Skipped(Path(folder), f"cannot be listed: {error.strerror or error}", True))
            continue
        for name in sorted(below):
            if count == 1 and at_root and name in _NOT_AT_TOP:
                continue
            place = os.path.join(folder, name)  # noqa: PTH118 - tens of thousands of them
            if name in ("site-packages", "dist-packages"):
                sites.append(Path(place))
            elif name == "aiter" and _package_like(place):
                trees.append(Path(folder))
            else:
                pending.append(place)
    return Survey(tuple(sites), tuple(trees), tuple(skipped))


def _to_enter(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return True
    # A link called aiter may be how a tree is made importable; other links are met at their own place.
    return entry.name == "aiter" and entry.is_symlink()


def _package_like(place: str) -> bool:
    """The package itself, not a checkout or other folder that is called like it."""
    join = os.path.join  # tens of thousands of calls
    return os.path.isfile(join(place, "__init__.py")) or os.path.isdir(join(place, "ops", "triton"))  # noqa: PTH112, PTH113
