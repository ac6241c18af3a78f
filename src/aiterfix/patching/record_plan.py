"""What becomes of RECORD in an `apply` and on the way back, worked out by looking only."""

from __future__ import annotations

from dataclasses import replace

from aiterfix.patching import record as records
from aiterfix.patching.failures import JournalError
from aiterfix.patching.journal import NAME, SAVED_SUFFIX, Journal, Phase, RecordChange, Version
from aiterfix.patching.moves import Write
from aiterfix.patching.record import Listed, RecordEdit
from aiterfix.patching.tree import HeldTree, require_replaceable
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import Place


def with_record(tree: HeldTree, path: Place, journal: Journal) -> tuple[Journal, Write]:
    """The journal of an `apply` with what it does to RECORD, which is at ``path``, and the new RECORD."""
    data, status = path.read()
    require_replaceable(path, status)
    previous = journal.previous and journal.previous.record
    original = records.undo(data, previous.edit) if previous else data
    current, change = _edit_record(tree, journal, original)
    now = Version(sha256_hex(data), len(data), status.st_mtime_ns)
    if previous and sha256_hex(original) == previous.original.sha256:
        first = previous.original
    else:
        # A RECORD that others changed or replaced: what it holds without our rows counts as its original.
        first = Version(sha256_hex(original), len(original), status.st_mtime_ns)
    new = Version(sha256_hex(current), len(current))
    record = RecordChange(first, now, new, change.replaced, change.appended)
    return replace(journal, record=record), Write(path, current, now.sha256)


def _edit_record(tree: HeldTree, journal: Journal, original: bytes) -> tuple[bytes, RecordEdit]:
    changed = [
        Listed(f"{tree.tree.package.name}/{name}", entry.current.sha256, entry.current.size)
        for entry in journal.files
        for name in entry.names
    ]
    folder = tree.listed_name(tree.state)
    added = [Listed(f"{folder}/{NAME}")]
    added += [Listed(f"{folder}/{name}{SAVED_SUFFIX}", name, size) for name, size in sorted(journal.saved().items())]
    return records.edit(original, changed, added)


def record_return(tree: HeldTree, journal: Journal) -> list[tuple[Write, Write]]:
    """Take our rows out of RECORD; in an `apply` that is undone, put those of the one before back in."""
    path, change = tree.record, journal.record
    if path is None or change is None:
        return []
    undoing = journal.phase is Phase.APPLYING
    goal = change.before if undoing else change.original
    data, status = path.read()
    found = sha256_hex(data)
    if found == goal.sha256:
        return []
    result = records.undo(data, change.edit)
    if undoing and journal.previous is not None and journal.previous.record is not None:
        result, _ = _edit_record(tree, journal.previous, result)
    exact = sha256_hex(result) == goal.sha256
    if found == change.current.sha256 and not exact:
        raise JournalError(
            f"The journal does not match {path}",
            why="Taking the noted rows back does not give the RECORD that was there before.",
            remedy="Reinstall the package: its RECORD can't be given back from here.",
        )
    if result == data:
        return []
    # Rows that others changed since stay; the time of a RECORD that never was is now.
    write = Write(path, result, found, goal.mtime_ns if exact else None)
    return [(write, Write(path, data, sha256_hex(result), status.st_mtime_ns))]
