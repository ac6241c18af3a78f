"""The journal: what was changed, from what to what. JSON with a format number and a digest over itself."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Annotated

from aiterfix.patching.bytecode import CACHE, Bytecode, RelativePath
from aiterfix.patching.failures import BackupError, JournalError, UntrustedStateError
from aiterfix.patching.record import RecordEdit
from aiterfix.patching.tree import HeldTree
from aiterfix.storage import codec
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import Place, RefusedFileError, UntrustedError, kind, require_trusted
from aiterfix.storage.readers import Count, Sha256

FORMAT = 1
NAME = "journal.json"
SAVED_SUFFIX = ".saved"


class Phase(str, Enum):
    """Where a transaction stands."""

    APPLYING = "applying"
    APPLIED = "applied"
    REVERTING = "reverting"


def _not_empty(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("a file without a name")
    return names


@dataclass(frozen=True)
class Version:
    """One content of a file.

    Attributes:
        sha256: hexadecimal; a saved copy has this name.
        size: bytes.
        mtime_ns: modification time, put back with the content; 0 where it is never put back.
    """

    sha256: Sha256
    size: Count
    mtime_ns: int = 0


@dataclass(frozen=True)
class Entry:
    """One changed file.

    Attributes:
        names: relative to the package folder; the first has no links on its way.
        original: before the first `apply`.
        before: before this transaction, which is another one if fixes were applied one after the other.
        current: after it.
        bytecode: compiled copies that were there before the first `apply`.
    """

    names: Annotated[tuple[RelativePath, ...], _not_empty]
    original: Version
    before: Version
    current: Version
    bytecode: tuple[Bytecode, ...] = ()

    def place(self, tree: HeldTree) -> Place:
        """Where the file is."""
        return tree.package.at(self.names[0])


@dataclass(frozen=True)
class RecordChange:
    """RECORD's versions (as in `Entry`), and how to take our rows out again (as in `RecordEdit`)."""

    original: Version
    before: Version
    current: Version
    replaced: tuple[tuple[bytes, bytes], ...]
    appended: bytes

    @property
    def edit(self) -> RecordEdit:
        """What was done to RECORD."""
        return RecordEdit(self.replaced, self.appended)


@dataclass(frozen=True)
class Journal:
    """The whole of what is known about a patched package.

    Attributes:
        phase: where the transaction stands.
        version: of the distribution, when it was patched.
        annotations: the caller's own notes, such as the names of the fixes.
        record: None where there is no RECORD.
        removed: compiled files that this transaction removes, to be put back if it is undone.
        absent_caches: cache directories that did not exist before the first `apply`, relative to the package.
        previous: the journal to return to if this transaction is undone; None for the original state.
    """

    phase: Phase
    version: str | None
    annotations: Mapping[str, str]
    files: tuple[Entry, ...]
    record: RecordChange | None
    removed: tuple[Bytecode, ...] = ()
    absent_caches: tuple[RelativePath, ...] = ()
    previous: Journal | None = field(default=None)

    def settled(self) -> Journal:
        """This journal once its transaction is complete."""
        files = tuple(replace(entry, before=entry.current) for entry in self.files)
        record = self.record and replace(self.record, before=self.record.current)
        return replace(self, phase=Phase.APPLIED, files=files, record=record, removed=(), previous=None)

    def saved(self) -> dict[str, int]:
        """Digests and sizes (bytes) of the copies that taking everything back needs."""
        needed = {entry.original.sha256: entry.original.size for entry in self.files}
        needed.update({item.sha256: item.size for entry in self.files for item in entry.bytecode})
        return needed


def encode(journal: Journal) -> bytes:
    """The journal as it is stored."""
    body = codec.plain(journal)
    return codec.encode({"format": FORMAT, "sha256": _seal(body), "journal": body})


def decode(data: bytes, path: Path) -> Journal:
    """Read a stored journal.

    Raises:
        JournalError: truncated, altered, or of another format.
    """
    try:
        document = codec.parse(data, path)
        if not isinstance(document, dict) or not {"format", "sha256", "journal"} <= document.keys():
            raise codec.StoredError(path, f"is not a journal, after {len(data)} bytes")
        if document["format"] != FORMAT:
            raise JournalError(
                f"{path} has the journal format {document['format']!r}; this aiterfix knows {FORMAT} only",
                why="Another version of aiterfix patched this package.",
                remedy="Use that version to revert, or reinstall the package.",
            )
        if document["sha256"] != _seal(document["journal"]):
            raise codec.StoredError(path, "does not match the digest that it carries", "journal")
        return codec.build(document["journal"], Journal, path, "journal")
    except codec.StoredError as failure:
        raise _unreadable(path, f"In the file, {failure.detail}.") from failure


def load(tree: HeldTree) -> Journal | None:
    """The journal of a package; None where nothing is applied.

    Raises:
        UntrustedStateError: it, or the state directory, can be written by somebody who is not trusted.
        JournalError: see `decode`; or it is missing while saved originals are there; or it speaks of files that
            are none of the package's.
    """
    if not believable(tree, tree.state):
        return None
    place = tree.state / NAME
    try:
        journal = decode(_read(tree, place), place.path)
    except FileNotFoundError as failure:
        if not tree.state.names():
            return None
        raise _unreadable(place.path, "It is missing, while other files of a transaction are there.") from failure
    _require_bounds(journal, place.path)
    return journal


def believable(tree: HeldTree, directory: Place) -> bool:
    """Whether a directory of our state is there; a name of ours that anybody may have put there is refused.

    Raises:
        UntrustedStateError: it is a link or file, or can be written by somebody who is not trusted.
    """
    status = directory.status_if_there()
    if status is None:
        return False
    if not stat.S_ISDIR(status.st_mode):
        raise _not_believed(directory.path, f"is {kind(status)}, not a directory")
    try:
        require_trusted(status, directory.path, tree.owners)
    except UntrustedError as failure:
        raise _not_believed(directory.path, str(failure.strerror)) from failure
    return True


def _read(tree: HeldTree, place: Place) -> bytes:
    try:
        data, status = place.read()
        require_trusted(status, place.path, tree.owners)
    except RefusedFileError as failure:
        raise _not_believed(place.path, str(failure.strerror)) from failure
    return data


def _not_believed(path: Path, reason: str) -> UntrustedStateError:
    return UntrustedStateError(
        f"{path} {reason}",
        why="aiterfix keeps the way back to the originals there, and believes it only where nobody but root, you and "
        "the owner of the package can write. It was not read.",
        remedy=f"If it is not from aiterfix, remove it. If it is, take the right to write from all others "
        f"(chmod -R go-w {shlex.quote(str(path))}) and see to whom it belongs, then run the command again.",
    )


def _require_bounds(journal: Journal, path: Path) -> None:
    """A journal speaks of the package's files and of their bytecode only; nothing else is ever touched for it."""
    stems = {PurePosixPath(name).stem + "." for entry in journal.files for name in entry.names}
    for item in (*journal.removed, *(item for entry in journal.files for item in entry.bytecode)):
        name = PurePosixPath(item.path).name
        if not name.endswith(".pyc") or not any(name.startswith(stem) for stem in stems):
            raise _unreadable(path, f"It calls {item.path!r} bytecode of a file that it names, which it is not.")
    for name in journal.absent_caches:
        if PurePosixPath(name).name != CACHE:
            raise _unreadable(path, f"It calls {name!r} a cache directory, which it is not.")
    if journal.previous is not None:
        _require_bounds(journal.previous, path)


def read_saved(tree: HeldTree, sha256: str) -> bytes:
    """A saved content.

    Raises:
        UntrustedStateError: somebody who is not trusted can write to it.
        BackupError: it is missing or not what its name says.
    """
    place = tree.state / (sha256 + SAVED_SUFFIX)
    try:
        data = _read(tree, place)
    except FileNotFoundError as failure:
        raise _no_backup(place.path, "It is missing.") from failure
    if sha256_hex(data) != sha256:
        raise _no_backup(place.path, f"Its digest is {sha256_hex(data)}, not the one in its name.")
    return data


def _no_backup(path: Path, why: str) -> BackupError:
    return BackupError(
        f"The saved copy {path} can't be used",
        why=why,
        remedy="Reinstall the package: its original files can't be given back from here.",
    )


def _unreadable(path: Path, why: str) -> JournalError:
    return JournalError(
        f"The journal {path} can't be used",
        why=why,
        remedy=f"Reinstall the package and remove {path.parent} if it is still there then; "
        "the saved originals in it are named by their SHA-256.",
    )


def _seal(body: object) -> str:
    import json

    return sha256_hex(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())
