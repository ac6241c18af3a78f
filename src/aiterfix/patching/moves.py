"""Bring a set of files from one state to another: write everything beside its target first, then rename.

Whatever needs room happens in the first half, where giving up means removing temporary files. The second
half removes bytecode and renames. Doing a move twice is harmless, which is what recovery rests on.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiterfix.patching import fsops
from aiterfix.patching.bytecode import Bytecode, saved
from aiterfix.patching.failures import BackupError, ChangedMeanwhileError
from aiterfix.patching.journal import Journal, Phase, read_saved
from aiterfix.patching.tree import HeldTree, nameable, temporary
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import NotRegularError, Place, require_regular


@dataclass(frozen=True)
class Write:
    """One file to be put in place.

    Attributes:
        expected: digest that the target must have until the last moment; None where it may be absent.
        mtime_ns: modification time, or None for now.
        bytecode: mode and owner to give it; None keeps those of the file that is replaced.
    """

    target: Place
    data: bytes
    expected: str | None
    mtime_ns: int | None = None
    bytecode: Bytecode | None = None


@dataclass(frozen=True)
class Move:
    """Writes, in the order in which they take effect, and compiled files to remove before any of them."""

    writes: tuple[Write, ...]
    removals: tuple[Place, ...] = ()

    def files(self, tree: HeldTree) -> tuple[Path, ...]:
        """The files of the package that it writes; RECORD is none."""
        return tuple(write.target.path for write in self.writes if write.target != tree.record)


def stage(move: Move) -> None:
    """Write every new file beside its target.

    Raises:
        OSError: a system call failed; temporary files may be left, nothing else has happened.
    """
    for write in move.writes:
        _stage(write)


def publish(move: Move) -> None:
    """Remove bytecode, then rename the staged files into place.

    Raises:
        ChangedMeanwhileError: a target is not what it was.
        OSError: a system call failed. Some targets may have been replaced; temporary files may be left.
    """
    # Bytecode first: killed in between, the interpreter compiles the old source again.
    for path in move.removals:
        fsops.unlink_if_there(path)
    for write in move.writes:
        if write.expected is not None and sha256_hex(write.target.read()[0]) != write.expected:
            raise ChangedMeanwhileError(
                f"{write.target} changed while it was being replaced",
                why="Another program wrote to it within the last moments.",
                remedy="Find out what writes there, then run the command again.",
            )
        fsops.rename(temporary(write.target), write.target)
    touched = {write.target.parent for write in move.writes} | {path.parent for path in move.removals}
    for directory in sorted(touched):
        fsops.sync_directory(directory)


def _stage(write: Write) -> None:
    item = write.bytecode
    if item is None:
        status = write.target.status()
        require_regular(status, write.target.path)  # a link's mode is 0777
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    else:
        if not write.target.parent.is_folder():
            fsops.mkdir(write.target.parent)
        mode, owner = item.mode, (item.uid, item.gid)
    fsops.write_new(
        temporary(write.target),
        write.data,
        mode=mode,
        owner=owner,
        # A cache file that root's interpreter left in our tree can't be given back to root.
        owner_may_differ=item is not None,
        mtime_ns=write.mtime_ns,
    )


def bytecode_move(
    tree: HeldTree, have: Iterable[Place], want: Iterable[Bytecode], *, strict: bool
) -> tuple[list[Place], list[Write]]:
    """What to remove and what to write so that exactly ``want`` is there.

    Args:
        strict: refuse where a saved copy can't be used. Otherwise do without: it is only a cache, and a
            clean-up that was cut short has removed copies already.
    """
    # A cache file that finds no room any more is made anew by the interpreter.
    missing = {p: item for item in want if nameable(p := tree.package.at(item.path)) and _room_for(p)}
    removals = []
    for path in have:
        wanted = missing.get(path)
        if wanted is not None and saved(path)[0].sha256 == wanted.sha256:
            del missing[path]
        else:
            removals.append(path)
    writes = []
    for path, item in sorted(missing.items()):
        try:
            data = read_saved(tree, item.sha256)
        except BackupError:
            if strict:
                raise
            continue
        writes.append(Write(path, data, None, item.mtime_ns, item))
    return removals, writes


def _room_for(place: Place) -> bool:
    """Whether a cache file has its folder, or that can be made; something else may stand there by now."""
    try:
        if place.parent.exists():
            return place.parent.is_folder()
        return place.parent.parent.is_folder()
    except (NotADirectoryError, ValueError):
        return False


def undo_published(move: Move, inverse: Move) -> None:
    """Bring back what a move that failed halfway has replaced already.

    Bytecode that it removed stays away: the interpreter makes it anew.

    Raises:
        OSError: a system call failed.
    """
    published = {write.target: sha256_hex(write.data) for write in move.writes if write.bytecode is None}
    replaced = [write for write in inverse.writes if sha256_hex(write.target.read()[0]) == published[write.target]]
    back = Move(tuple(replaced), tuple(path for path in inverse.removals if path.exists()))
    stage(back)
    publish(back)


def remove_temporaries(tree: HeldTree, journal: Journal) -> bool:
    """Remove what a killed or failed move of this journal left beside its targets; return whether any was."""
    found = False
    for path in _temporaries(tree, journal):
        if fsops.unlink_if_there(path):
            fsops.sync_directory(path.parent)
            found = True
    return found


def _temporaries(tree: HeldTree, journal: Journal) -> Sequence[Place]:
    targets = [entry.place(tree) for entry in journal.files]
    items = [item for entry in journal.files for item in entry.bytecode] + list(journal.removed)
    targets += [tree.package.at(item.path) for item in items]
    if tree.record is not None:
        targets.append(tree.record)
    return sorted({temporary(target) for target in targets if nameable(target) and _folder_there(target, journal)})


def _folder_there(target: Place, journal: Journal) -> bool:
    """Whether the folder of a file is there, to look for a temporary one in.

    Raises:
        NotRegularError: a link stands for it while a run has not been undone or completed: what it left would be
            forgotten.
    """
    try:
        status = target.parent.status_if_there()
    except NotADirectoryError:
        return False
    if status is not None and stat.S_ISLNK(status.st_mode) and journal.phase is not Phase.APPLIED:
        raise NotRegularError(errno.ELOOP, "is a link, where a folder was", str(target.parent))
    return status is not None and stat.S_ISDIR(status.st_mode)
