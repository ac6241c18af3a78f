"""A bounded walk through an image or any other folder, for site folders and source trees of ``aiter``.

Wherever an interpreter, a conda environment, an application's virtual environment or a checkout stands, one walk finds
it: lists of usual places age badly. What bounds the walk, and what could not be read, is reported.
"""

from __future__ import annotations

import os
import shlex
from collections import deque
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.target import Skipped
from aiterfix.installation.view import Entry, View, looks_like_root, why

MOST_FOLDERS = 60_000
"""A ROCm image has some 40,000 folders outside its site folders; listing them takes about a second."""
# Kernel file systems and other machines' files: /proc/*/root and /sys would lead the walk round in circles.
_NOT_AT_TOP = frozenset({"proc", "sys", "dev", "run", "boot", "lost+found"})
# Installers keep unpacked packages in ~/.cache; nothing imports them there.
_SITES = ("site-packages", "dist-packages")
_NEVER = frozenset({"__pycache__", ".git", "node_modules", ".hg", ".svn", ".cache"})


class Survey(NamedTuple):
    """What the walk came across."""

    site_folders: tuple[Path, ...]
    source_trees: tuple[Path, ...]
    """Folders outside site folders that hold a package ``aiter``."""
    skipped: tuple[Skipped, ...]


def survey(top: Path, view: View, *, most_folders: int = MOST_FOLDERS) -> Survey:
    """Walk ``top`` breadth first. Links to folders are not followed: what they lead to inside is met anyway.

    Args:
        view: whether ``top`` lies in an image.
        most_folders: give up, and say so, after this many.
    """
    sites: list[Path] = []
    trees: list[Path] = []
    images: dict[str, None] = {}
    skipped: list[Skipped] = []
    pending: deque[tuple[str, str]] = deque([(os.fspath(top), "")])
    at_root = view.image_root == top or top == Path(top.anchor)
    count = 0
    while pending:
        folder, image = pending.popleft()
        count += 1
        if count > most_folders:
            reason = (
                f"the search was given up after {most_folders} folders: name the site-packages or the checkout instead"
            )
            skipped.append(Skipped(top, reason, True))
            break
        names: set[str] = set()
        links: dict[str, bool] = {}
        try:
            with view.scan(folder) as entries:
                for entry in entries:
                    names.add(entry.name)
                    if entry.name not in _NEVER and _to_enter(entry):
                        links[entry.name] = entry.is_symlink()
        except OSError as error:
            skipped.append(Skipped(Path(folder), why(error, "cannot be listed"), True))
            continue
        if count > 1 and not image and looks_like_root(names):
            image = folder
        if "conda-meta" in names:
            links.pop("pkgs", None)  # conda's store of unpacked packages, hard-linked into its environments
        for name in sorted(links):
            if ((count == 1 and at_root) or folder == image) and name in _NOT_AT_TOP:
                continue
            place = os.path.join(folder, name)  # noqa: PTH118 - tens of thousands of them
            if name in _SITES:
                if image:
                    images[image] = None
                else:
                    sites.append(Path(place))
            elif name == "aiter" and _package_like(Path(place), view):
                if image:
                    images[image] = None
                else:
                    trees.append(Path(folder))
            elif not links[name]:
                pending.append((place, image))
    for image in images:
        words = f"--root {shlex.quote(image)}"
        reason = f"looks like the root file system of an image of its own, with Python packages: judge it with {words}"
        skipped.append(Skipped(Path(image), reason, True))
    return Survey(tuple(sites), tuple(trees), tuple(skipped))


def _to_enter(entry: Entry) -> bool:
    if entry.is_dir(follow_symlinks=False):
        return True
    # These may be how a tree is made importable; what other links lead to is met at its own place.
    return entry.name in ("aiter", *_SITES) and entry.is_symlink()


def _package_like(place: Path, view: View) -> bool:
    """The package itself, not a checkout or other folder that is called like it."""
    return view.is_file(place / "__init__.py") or view.is_folder(place / "ops" / "triton")
