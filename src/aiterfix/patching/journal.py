"""The journal: what was changed, from what to what. JSON with a format number and a digest over itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

from aiterfix.patching.bytecode import Bytecode
from aiterfix.patching.failures import BackupError, JournalError
from aiterfix.patching.place import Place, digest
from aiterfix.patching.record import RecordEdit

FORMAT = 1
NAME = "journal.json"
SAVED_SUFFIX = ".saved"


class Phase(str, Enum):
    """Where a transaction stands."""

    APPLYING = "applying"
    APPLIED = "applied"
    REVERTING = "reverting"


@dataclass(frozen=True)
class Version:
    """One content of a file.

    Attributes:
        sha256: hexadecimal; a saved copy has this name.
        size: bytes.
        mtime_ns: modification time, put back with the content; 0 where it is never put back.
    """

    sha256: str
    size: int
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

    names: tuple[str, ...]
    original: Version
    before: Version
    current: Version
    bytecode: tuple[Bytecode, ...] = ()

    def path(self, place: Place) -> Path:
        """Where the file is."""
        return place.real_package / self.names[0]


@dataclass(frozen=True)
class RecordChange:
    """RECORD's versions (as in `Entry`), and how to take our rows out again."""

    original: Version
    before: Version
    current: Version
    edit: RecordEdit


@dataclass(frozen=True)
class Journal:
    """The whole of what is known about a patched place.

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
    absent_caches: tuple[str, ...] = ()
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
    import json

    body = _body(journal)
    document = {"format": FORMAT, "sha256": _seal(body), "journal": body}
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def decode(data: bytes, path: Path) -> Journal:
    """Read a stored journal.

    Raises:
        JournalError: truncated, altered, or of another format.
    """
    import json

    try:
        document = json.loads(data)
        version = document["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as failure:
        raise _unreadable(path, f"It is not a journal: {failure!r}, after {len(data)} bytes.") from failure
    if version != FORMAT:
        raise JournalError(
            f"{path} has the journal format {version!r}; this aiterfix knows {FORMAT} only",
            why="Another version of aiterfix patched this place.",
            remedy="Use that version to revert, or reinstall the package.",
        )
    try:
        body = document["journal"]
        if document["sha256"] != _seal(body):
            raise _unreadable(path, "Its content does not match the digest that it carries.")
        return _journal(body)
    except (KeyError, TypeError, ValueError, AttributeError) as failure:
        raise _unreadable(path, f"A field is missing or of the wrong type: {failure!r}.") from failure


def load(place: Place) -> Journal | None:
    """The journal of a place; None where nothing is applied.

    Raises:
        JournalError: see `decode`; or it is missing while saved originals are there.
    """
    path = place.state_dir / NAME
    try:
        return decode(path.read_bytes(), path)
    except NotADirectoryError as failure:
        raise _unreadable(path, f"{path.parent} is not a directory.") from failure
    except FileNotFoundError as failure:
        if not place.state_dir.exists() or empty(place):
            return None
        raise _unreadable(path, "It is missing, while other files of a transaction are there.") from failure


def empty(place: Place) -> bool:
    """Whether the state directory holds nothing (the last step of a clean-up is missing), or is gone."""
    try:
        return not any(place.state_dir.iterdir())
    except FileNotFoundError:
        return True


def read_saved(place: Place, sha256: str) -> bytes:
    """A saved content.

    Raises:
        BackupError: it is missing or not what its name says.
    """
    path = place.state_dir / (sha256 + SAVED_SUFFIX)
    try:
        data = path.read_bytes()
    except FileNotFoundError as failure:
        raise _no_backup(path, "It is missing.") from failure
    if digest(data) != sha256:
        raise _no_backup(path, f"Its digest is {digest(data)}, not the one in its name.")
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

    return digest(json.dumps(body, sort_keys=True, separators=(",", ":")).encode())


def _body(journal: Journal) -> dict[str, Any]:
    record = journal.record
    return {
        "phase": journal.phase.value,
        "version": journal.version,
        "annotations": dict(journal.annotations),
        "files": [
            {
                "names": list(entry.names),
                "original": vars(entry.original),
                "before": vars(entry.before),
                "current": vars(entry.current),
                "bytecode": [vars(item) for item in entry.bytecode],
            }
            for entry in journal.files
        ],
        "record": record
        and {
            "original": vars(record.original),
            "before": vars(record.before),
            "current": vars(record.current),
            # Latin-1 maps every byte to one character and back.
            "replaced": [[old.decode("latin-1"), new.decode("latin-1")] for old, new in record.edit.replaced],
            "appended": record.edit.appended.decode("latin-1"),
        },
        "removed": [vars(item) for item in journal.removed],
        "absent_caches": list(journal.absent_caches),
        "previous": journal.previous and _body(journal.previous),
    }


def _journal(body: dict[str, Any]) -> Journal:
    record = body["record"]
    return Journal(
        phase=Phase(body["phase"]),
        version=body["version"] if body["version"] is None else _text(body["version"]),
        annotations={_text(key): _text(value) for key, value in body["annotations"].items()},
        files=tuple(_entry(item) for item in body["files"]),
        record=None
        if record is None
        else RecordChange(
            original=_version(record["original"]),
            before=_version(record["before"]),
            current=_version(record["current"]),
            edit=RecordEdit(
                tuple((old.encode("latin-1"), new.encode("latin-1")) for old, new in record["replaced"]),
                record["appended"].encode("latin-1"),
            ),
        ),
        removed=tuple(_bytecode(item) for item in body["removed"]),
        absent_caches=tuple(_relative(name) for name in body["absent_caches"]),
        previous=None if body["previous"] is None else _journal(body["previous"]),
    )


def _entry(body: dict[str, Any]) -> Entry:
    names = tuple(_relative(name) for name in body["names"])
    if not names:
        raise ValueError("a file without a name")
    return Entry(
        names=names,
        original=_version(body["original"]),
        before=_version(body["before"]),
        current=_version(body["current"]),
        bytecode=tuple(_bytecode(item) for item in body["bytecode"]),
    )


def _version(body: dict[str, Any]) -> Version:
    return Version(_hexadecimal(body["sha256"]), _number(body["size"]), _number(body["mtime_ns"]))


def _bytecode(body: dict[str, Any]) -> Bytecode:
    return Bytecode(
        path=_relative(body["path"]),
        sha256=_hexadecimal(body["sha256"]),
        size=_number(body["size"]),
        mode=_number(body["mode"]),
        uid=_number(body["uid"]),
        gid=_number(body["gid"]),
        mtime_ns=_number(body["mtime_ns"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a number")
    return value


def _hexadecimal(value: object) -> str:
    text = _text(value)
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise ValueError(f"{text!r} is not a SHA-256")
    return text


def _relative(value: object) -> str:
    """A path below the package folder: a journal must not be able to name anything else."""
    path = PurePosixPath(_text(value))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{value!r} is not a path inside the package")
    return str(path)
