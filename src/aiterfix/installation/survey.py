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
from aiterfix.installation.view import View, is_file, is_folder, looks_like_root

MOST_FOLDERS = 60_000
"""A ROCm image has some 40,000 folders outside its site folders; listing them takes about a second."""
# Kernel file systems and other machines' files: /proc/*/root and /sys would lead the walk round in circles.
_NOT_AT_TOP = frozenset({"proc", "sys", "dev", "run", "boot", "lost+found"})
# Installers keep unpacked packages in ~/.cache; nothing imports them there.
_NEVER = frozenset({"__pycache__", ".git", "node_modules", ".hg", ".svn", ".cache"})


class Survey(NamedTuple):
    """What the walk came across."""

    site_folders: tuple[Path, ...]
    source_trees: tuple[Path, ...]
    """Folders outside site folders that hold a package ``aiter``."""
    images: tuple[Path, ...]
    """Root file systems below the top, not entered."""
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
    images: list[Path] = []
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
                links = {
                    entry.name: entry.is_symlink() for entry in entries if entry.name not in _NEVER and _to_enter(entry)
                }
        except OSError as error:
            skipped.append(Skipped(Path(folder), f"cannot be listed: {error.strerror or error}", True))
            continue
        if "usr" in links and folder != os.fspath(top) and looks_like_root(Path(folder)):
            images.append(Path(folder))
            continue
        if "conda-meta" in links:
            links.pop("pkgs", None)  # conda's store of unpacked packages, hard-linked into its environments
        for name in sorted(links):
            if count == 1 and at_root and name in _NOT_AT_TOP:
                continue
            place = os.path.join(folder, name)  # noqa: PTH118 - tens of thousands of them
            if name in ("site-packages", "dist-packages"):
                sites.append(Path(place))
            elif name == "aiter" and _package_like(view.settle(Path(place))):
                trees.append(Path(folder))
            elif not links[name]:
                pending.append(place)
    return Survey(tuple(sites), tuple(trees), tuple(images), tuple(skipped))


def _to_enter(entry: os.DirEntry[str]) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return True
    # A link called aiter may be how a tree is made importable; other links are met at their own place.
    return entry.name == "aiter" and entry.is_symlink()


def _package_like(place: Path) -> bool:
    """The package itself, not a checkout or other folder that is called like it."""
    return is_file(place / "__init__.py") or is_folder(place / "ops" / "triton")
