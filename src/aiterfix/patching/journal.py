"""The journal: what was changed, from what to what. JSON with a format number and a digest over itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Annotated

from aiterfix.patching.bytecode import Bytecode, RelativePath
from aiterfix.patching.failures import BackupError, JournalError
from aiterfix.patching.record import RecordEdit
from aiterfix.patching.tree import PackageTree
from aiterfix.storage import codec
from aiterfix.storage.digest import sha256_hex
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

    def path(self, tree: PackageTree) -> Path:
        """Where the file is."""
        return tree.real_package / self.names[0]


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
        files: every changed file.
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


def load(tree: PackageTree) -> Journal | None:
    """The journal of a package; None where nothing is applied.

    Raises:
        JournalError: see `decode`; or it is missing while saved originals are there.
    """
    path = tree.state_dir / NAME
    try:
        return decode(path.read_bytes(), path)
    except NotADirectoryError as failure:
        raise _unreadable(path, f"{path.parent} is not a directory.") from failure
    except FileNotFoundError as failure:
        if not tree.state_dir.exists() or empty(tree):
            return None
        raise _unreadable(path, "It is missing, while other files of a transaction are there.") from failure


def empty(tree: PackageTree) -> bool:
    """Whether the state directory holds nothing (the last step of a clean-up is missing), or is gone."""
    try:
        return not any(tree.state_dir.iterdir())
    except FileNotFoundError:
        return True


def read_saved(tree: PackageTree, sha256: str) -> bytes:
    """A saved content.

    Raises:
        BackupError: it is missing or not what its name says.
    """
    path = tree.state_dir / (sha256 + SAVED_SUFFIX)
    try:
        data = path.read_bytes()
    except FileNotFoundError as failure:
        raise _no_backup(path, "It is missing.") from failure
    if sha256_hex(data) != sha256:
        raise _no_backup(path, f"Its digest is {sha256_hex(data)}, not the one in its name.")
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
