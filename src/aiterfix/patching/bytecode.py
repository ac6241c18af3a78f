"""Compiled copies of a source file: which there are, and what restoring them takes.

A ``.pyc`` checked by time stamp becomes invalid when its source changes; one that is checked by hash only
on request (``--invalidation-mode unchecked-hash``) would be run for ever. So all of them go, whatever
interpreter, optimisation level or tool they belong to, and the ones that `apply` took away come back with
`revert`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated

from aiterfix.patching.tree import HeldTree, settled
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import Place
from aiterfix.storage.readers import Count, Sha256, within

CACHE = "__pycache__"


def below_package(name: str) -> str:
    """A check: a path below the package folder. A journal must not be able to name anything else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or b"\0" in os.fsencode(name):
        raise ValueError("not a path inside the package")
    return str(path)


RelativePath = Annotated[str, below_package]


@dataclass(frozen=True)
class Bytecode:
    """A compiled file that was removed.

    Attributes:
        path: relative to the package folder.
        sha256: of its content, under which that is saved.
        size: of its content, in bytes.
    """

    path: RelativePath
    sha256: Sha256
    size: Count
    mode: Annotated[int, within(0, 0o7777)]
    uid: Annotated[int, within(0, 2**32 - 2)]
    gid: Annotated[int, within(0, 2**32 - 2)]
    mtime_ns: int


def caches(tree: HeldTree, names: Iterable[str]) -> list[Place]:
    """The cache directories of these source files, whether they exist or not.

    Raises:
        OutsideTreeError: a source file stands behind a link that leads out of the package.
    """
    return sorted({settled(tree, str(PurePosixPath(name).parent)) / CACHE for name in names})


def compiled(tree: HeldTree, names: Iterable[str]) -> list[Place]:
    """Every compiled copy of these source files, in their cache directories and beside them.

    Raises:
        OutsideTreeError: a cache directory is a link that leads out of the package.
        OSError: a directory can't be read.
    """
    found: set[Place] = set()
    for name in names:
        source = PurePosixPath(name)
        folder = settled(tree, str(source.parent))
        try:
            beside = folder / f"{source.stem}.pyc"
            if beside.exists():
                found.add(beside)
            cache = settled(tree, (folder / CACHE).relative)
            if not cache.is_folder():
                continue
        except NotADirectoryError:
            continue
        # A module's name holds no dot, so what follows the stem is a tag: cpython-311, cpython-311.opt-1.
        start = source.stem + "."
        found.update(cache / entry for entry in cache.names() if entry.startswith(start) and entry.endswith(".pyc"))
    return sorted(found)


def saved(place: Place) -> tuple[Bytecode, bytes]:
    """What it takes to put a compiled file back, and its content.

    Raises:
        NotRegularError: it is a link or worse.
    """
    data, status = place.read()
    return (
        Bytecode(
            path=place.relative,
            sha256=sha256_hex(data),
            size=len(data),
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_ns=status.st_mtime_ns,
        ),
        data,
    )
