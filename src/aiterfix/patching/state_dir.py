"""The state directory: made whole before it gets its name, emptied in an order that keeps the journal last."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from aiterfix.patching import fsops
from aiterfix.patching.failures import JournalError
from aiterfix.patching.journal import NAME, SAVED_SUFFIX, Journal, believable, encode
from aiterfix.patching.tree import HeldTree, temporary
from aiterfix.storage.held import Place

_IGNORE = ".gitignore"
COPY_MODE = _MODE = 0o644
_FOLDER_MODE = 0o755
"""State that others can write to is not believed."""


def create(tree: HeldTree, journal: Journal, copies: Mapping[str, tuple[bytes, int]]) -> None:
    """Make the state directory with its journal and saved copies; it appears in one step.

    Args:
        journal: states what is about to be done.
        copies: contents and permission bits by digest.
    """
    staging = tree.staging
    fsops.mkdir(staging, 0o700)
    owner = _owner(tree)
    descriptor = staging.open_folder()
    try:
        # Whoever may read the distribution may read this; whoever owns it may uninstall it.
        if owner is not None and owner != (os.geteuid(), os.getegid()):
            fsops.chown(descriptor, *owner)
        fsops.chmod(descriptor, stat.S_IMODE(tree.home.status.st_mode) & _FOLDER_MODE)
    finally:
        os.close(descriptor)
    if not tree.in_dist_info:
        fsops.write_new(staging / _IGNORE, b"*\n", mode=_MODE, owner=owner, owner_may_differ=True)
    save(tree, staging, copies)
    fsops.write_new(staging / NAME, encode(journal), mode=_MODE, owner=owner, owner_may_differ=True)
    fsops.sync_directory(staging)
    fsops.rename(staging, tree.state)
    fsops.sync_directory(tree.home.at())


def save(tree: HeldTree, directory: Place, copies: Mapping[str, tuple[bytes, int]]) -> None:
    """Keep these contents in the state directory, or in the one being made; the ones it has stay."""
    for sha256, (data, mode) in sorted(copies.items()):
        path = directory / (sha256 + SAVED_SUFFIX)
        if not path.exists():
            fsops.write_new(path, data, mode=mode, owner=_owner(tree), owner_may_differ=True)
    fsops.sync_directory(directory)


def store(tree: HeldTree, journal: Journal) -> None:
    """Replace the journal; from then on it is what a later run goes by."""
    path = tree.state / NAME
    fsops.replace(path, temporary(path), encode(journal), mode=_MODE, owner=_owner(tree), owner_may_differ=True)


def tidy(tree: HeldTree, journal: Journal) -> bool:
    """Remove copies that this journal does not need, and what an unfinished `store` left; return whether any."""
    found = False
    needed = {sha256 + SAVED_SUFFIX for sha256 in journal.saved()}
    left = temporary(tree.state / NAME).name
    for path in _listing(tree.state):
        if path.name == left or (path.name.endswith(SAVED_SUFFIX) and path.name not in needed):
            fsops.unlink(path)
            found = True
    return found


def require_ours(directory: Place) -> None:
    """Refuse to empty a state directory, or one that was being made, into which somebody put something else.

    Raises:
        JournalError: naming it.
    """
    journal = directory / NAME
    known = {_IGNORE, journal.name, temporary(journal).name}
    for path in _listing(directory):
        if path.name not in known and not path.name.endswith(SAVED_SUFFIX):
            raise JournalError(
                f"{path} is not from aiterfix",
                why="The directory is removed at the end, and only what aiterfix put there is.",
                remedy="Move it elsewhere, then run the command again.",
            )


def remove(tree: HeldTree) -> None:
    """Remove the state directory: the copies, then the journal, then the directory."""
    journal = tree.state / NAME
    others = [path for path in _listing(tree.state) if path != journal]
    for path in others:
        fsops.unlink(path)
    if others:
        # On the disk too the journal goes last: copies without a journal look like a lost journal.
        fsops.sync_directory(tree.state)
    fsops.unlink_if_there(journal)
    fsops.rmdir(tree.state)
    fsops.sync_directory(tree.home.at())


def discard_staging(tree: HeldTree) -> bool:
    """Remove a state directory that was never finished; return whether there was one.

    Raises:
        UntrustedStateError, JournalError: what has its name is not ours, or something in it is not.
    """
    if not believable(tree, tree.staging):
        return False
    require_ours(tree.staging)
    for path in _listing(tree.staging):
        fsops.unlink(path)
    fsops.rmdir(tree.staging)
    fsops.sync_directory(tree.home.at())
    return True


def _listing(directory: Place) -> list[Place]:
    return [directory / name for name in directory.names()]


def _owner(tree: HeldTree) -> tuple[int, int] | None:
    """Root gives the state to the owner of the distribution, who could not uninstall it otherwise."""
    if os.geteuid() != 0:
        return None
    home = tree.home.status
    return home.st_uid, home.st_gid
