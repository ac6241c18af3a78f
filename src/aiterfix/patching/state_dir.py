"""The state directory: made whole before it gets its name, emptied in an order that keeps the journal last."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from aiterfix.patching import fsops
from aiterfix.patching.failures import JournalError
from aiterfix.patching.journal import NAME, SAVED_SUFFIX, Journal, encode
from aiterfix.patching.tree import PackageTree, temporary

_IGNORE = ".gitignore"
_MODE = 0o644


def create(tree: PackageTree, journal: Journal, copies: Mapping[str, bytes]) -> None:
    """Make the state directory with its journal and saved copies; it appears in one step.

    Args:
        tree: the package.
        journal: states what is about to be done.
        copies: contents by digest.
    """
    staging = tree.staging_dir
    fsops.mkdir(staging)
    home = tree.home.stat()
    owner = _owner(tree)
    descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Whoever may read the distribution may read this; whoever owns it may uninstall it.
        if owner is not None and owner != (os.geteuid(), os.getegid()):
            fsops.chown(descriptor, *owner)
        fsops.chmod(descriptor, stat.S_IMODE(home.st_mode) & 0o777)
    finally:
        os.close(descriptor)
    if not tree.in_dist_info:
        fsops.write_new(staging / _IGNORE, b"*\n", mode=_MODE, owner=owner, owner_may_differ=True)
    save(tree, staging, copies)
    fsops.write_new(staging / NAME, encode(journal), mode=_MODE, owner=owner, owner_may_differ=True)
    fsops.sync_directory(staging)
    fsops.rename(staging, tree.state_dir)
    fsops.sync_directory(tree.home)


def save(tree: PackageTree, directory: Path, copies: Mapping[str, bytes]) -> None:
    """Keep these contents in the state directory, or in the one being made; the ones it has stay."""
    for sha256, data in sorted(copies.items()):
        path = directory / (sha256 + SAVED_SUFFIX)
        if not path.exists():
            fsops.write_new(path, data, mode=_MODE, owner=_owner(tree), owner_may_differ=True)
    fsops.sync_directory(directory)


def store(tree: PackageTree, journal: Journal) -> None:
    """Replace the journal; from then on it is what a later run goes by."""
    path = tree.state_dir / NAME
    fsops.replace(path, temporary(path), encode(journal), mode=_MODE, owner=_owner(tree), owner_may_differ=True)


def tidy(tree: PackageTree, journal: Journal) -> bool:
    """Remove copies that this journal does not need, and what an unfinished `store` left; return whether any."""
    found = False
    needed = {sha256 + SAVED_SUFFIX for sha256 in journal.saved()}
    left = temporary(tree.state_dir / NAME).name
    for path in _listing(tree.state_dir):
        if path.name == left or (path.name.endswith(SAVED_SUFFIX) and path.name not in needed):
            fsops.unlink(path)
            found = True
    return found


def require_ours(tree: PackageTree) -> None:
    """Refuse to empty a state directory into which somebody put something else.

    Raises:
        JournalError: naming it.
    """
    journal = tree.state_dir / NAME
    known = {_IGNORE, journal.name, temporary(journal).name}
    for path in _listing(tree.state_dir):
        if path.name not in known and not path.name.endswith(SAVED_SUFFIX):
            raise JournalError(
                f"{path} is not from aiterfix",
                why="The directory is removed at the end, and only what aiterfix put there is.",
                remedy="Move it elsewhere, then run the command again.",
            )


def remove(tree: PackageTree) -> None:
    """Remove the state directory: the copies, then the journal, then the directory."""
    journal = tree.state_dir / NAME
    others = [path for path in _listing(tree.state_dir) if path != journal]
    for path in others:
        fsops.unlink(path)
    if others:
        # On the disk too the journal goes last: copies without a journal look like a lost journal.
        fsops.sync_directory(tree.state_dir)
    fsops.unlink_if_there(journal)
    fsops.rmdir(tree.state_dir)
    fsops.sync_directory(tree.home)


def discard_staging(tree: PackageTree) -> bool:
    """Remove a state directory that was never finished; return whether there was one."""
    if not tree.staging_dir.is_dir():
        return False
    for path in _listing(tree.staging_dir):
        fsops.unlink(path)
    fsops.rmdir(tree.staging_dir)
    fsops.sync_directory(tree.home)
    return True


def _listing(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def _owner(tree: PackageTree) -> tuple[int, int] | None:
    """Root gives the state to the owner of the distribution, who could not uninstall it otherwise."""
    if os.geteuid() != 0:
        return None
    home = tree.home.stat()
    return home.st_uid, home.st_gid
