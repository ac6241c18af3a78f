"""What `apply`, `revert` and recovery are going to do, worked out by looking only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from aiterfix.patching.bytecode import Bytecode, caches, compiled, saved
from aiterfix.patching.failures import ChangedMeanwhileError, ChangedSinceError, OutsideTreeError
from aiterfix.patching.journal import (
    Entry,
    Journal,
    Phase,
    Version,
    read_saved,
)
from aiterfix.patching.moves import Move, Write, bytecode_move
from aiterfix.patching.record_plan import record_return, with_record
from aiterfix.patching.state_dir import COPY_MODE
from aiterfix.patching.status import Content, content
from aiterfix.patching.tree import (
    FileChange,
    HeldTree,
    TargetFile,
    look,
    require_distinct,
    require_nameable,
    require_owner,
    require_replaceable,
    require_writable,
)
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import Place


@dataclass(frozen=True)
class ApplyPlan:
    """How to apply.

    Attributes:
        intent: the journal to write before anything is touched.
        copies: contents to save, by digest, each with the permission bits that it may have.
    """

    intent: Journal
    copies: Mapping[str, tuple[bytes, int]]
    move: Move


@dataclass(frozen=True)
class ReturnPlan:
    """How to go back.

    Attributes:
        inverse: brings files and RECORD back to what they are now, should the move fail halfway.
        skipped: files that are not ours any more, since the version changed.
    """

    move: Move
    inverse: Move
    skipped: tuple[Path, ...] = ()


def plan_apply(
    tree: HeldTree, changes: Sequence[FileChange], previous: Journal | None, annotations: Mapping[str, str]
) -> ApplyPlan | None:
    """Work out an `apply`; None if there is nothing to do.

    Raises:
        AiterfixError: any of the refusals, see `aiterfix.patching.failures`.
        OSError: something can't be read.
    """
    entries = {entry.names[0]: entry for entry in previous.files} if previous else {}
    todo = _todo(tree, changes, entries)
    if not todo:
        return None
    require_writable(tree.home.at())
    for _, target in todo:
        require_replaceable(target.place, target.status)
    kept = _still_ours(tree, previous, {target.names[0] for _, target in todo}) if previous else {}
    copies: dict[str, tuple[bytes, int]] = {}
    removed: list[Bytecode] = []
    absent = set(previous.absent_caches if previous else ()) & _relative_caches(tree, kept.values())
    writes = []
    for change, target in todo:
        here = []
        for path in compiled(tree, target.names):
            require_nameable(path)
            require_writable(path.parent)
            item, data = saved(path)
            here.append(item)
            _keep(copies, item.sha256, data, item.mode)
        removed += here
        _keep(copies, target.sha256, target.data, target.status.st_mode)
        now = Version(target.sha256, len(target.data), target.status.st_mtime_ns)
        new = Version(sha256_hex(change.new), len(change.new))
        entry = kept.get(target.names[0])
        if entry is None:
            absent.update(path.relative for path in caches(tree, target.names) if not path.is_folder())
            entry = Entry(target.names, original=now, before=now, current=new, bytecode=tuple(here))
        else:
            names = tuple(dict.fromkeys(entry.names + target.names))
            entry = replace(entry, names=names, before=now, current=new)
        kept[target.names[0]] = entry
        writes.append(Write(target.place, change.new, target.sha256))
    intent = Journal(
        phase=Phase.APPLYING,
        version=tree.version,
        annotations={**(previous.annotations if previous else {}), **annotations},
        files=tuple(kept[name] for name in sorted(kept)),
        record=None,
        removed=tuple(removed),
        absent_caches=tuple(sorted(absent)),
        previous=previous,
    )
    if tree.record is not None:
        intent, write = with_record(tree, tree.record, intent)
        writes.append(write)
    return ApplyPlan(intent, copies, Move(tuple(writes), tuple(tree.package.at(item.path) for item in removed)))


def _keep(copies: dict[str, tuple[bytes, int]], sha256: str, data: bytes, mode: int) -> None:
    """What few may read stays so: in a folder of others a compiled file may be a hard link to anything."""
    copies[sha256] = (data, mode & copies.get(sha256, (b"", COPY_MODE))[1] | 0o600)


def plan_revert(tree: HeldTree, journal: Journal) -> ReturnPlan:
    """Work out the way to the originals, from a complete `apply` or from within a `revert`.

    Raises:
        ChangedSinceError, BackupError, JournalError: it can't be done, and why.
        OSError: something can't be read.
    """
    strict = journal.phase is Phase.APPLIED
    entries = list(journal.files)
    skipped = []
    if _other_version(tree, journal):
        # Another version's files are not ours to judge; the ones that still hold our bytes are.
        skipped = [entry for entry in entries if content(tree, entry) in (Content.CHANGED, Content.MISSING)]
        entries = [entry for entry in entries if entry not in skipped]
    if strict:
        # Files that others put back already need nothing, and their bytecode is not ours.
        entries = [entry for entry in entries if content(tree, entry) is not Content.ORIGINAL]
        # The journal may not outlive its backups: check them all, needed or not.
        for sha256 in journal.saved():
            read_saved(tree, sha256)
    want = [item for entry in entries for item in entry.bytecode]
    plan = _plan_return(tree, journal, [(entry, entry.original) for entry in entries], want, strict=strict)
    return replace(plan, skipped=tuple(entry.place(tree).path for entry in skipped))


def plan_undo(tree: HeldTree, journal: Journal) -> ReturnPlan:
    """Work out the way back from within an `apply` to what was there before it.

    Raises:
        ChangedSinceError, BackupError, JournalError: it can't be done, and why.
        OSError: something can't be read.
    """
    touched = [(entry, entry.before) for entry in journal.files if entry.before.sha256 != entry.current.sha256]
    return _plan_return(tree, journal, touched, journal.removed, strict=False)


def _todo(
    tree: HeldTree, changes: Sequence[FileChange], entries: Mapping[str, Entry]
) -> list[tuple[FileChange, TargetFile]]:
    todo = []
    for change in changes:
        try:
            target = look(tree, change.path)
        except OutsideTreeError:
            if change.old == change.new:
                continue  # Not ours to change, for another aiterfix either.
            raise
        except (FileNotFoundError, NotADirectoryError) as failure:
            raise ChangedMeanwhileError(
                f"{change.path} is not there any more. Nothing was changed.",
                why="It was removed after it had been analysed.",
                remedy="Run the command again; it reads the installation afresh.",
            ) from failure
        entry = entries.get(target.names[0])
        if target.data == change.new and entry is not None and entry.current.sha256 == target.sha256:
            continue  # Another run was faster, and made the same change.
        if target.data != change.old:
            raise ChangedMeanwhileError(
                f"{target.place} is not what was analysed. Nothing was changed.",
                why=f"Its SHA-256 is {target.sha256}; the analysed text's was {sha256_hex(change.old)}.",
                remedy="Run the command again; it reads the file afresh.",
            )
        if change.old != change.new:
            todo.append((change, target))
    require_distinct(target for _, target in todo)
    return todo


def _still_ours(tree: HeldTree, previous: Journal, todo: set[str]) -> dict[str, Entry]:
    """Entries of the previous journal whose files are as it left them; the rest must be explainable.

    A file that holds its original again, or that was found to need its patch again, or that belongs to
    another version, was replaced as a whole: it starts afresh. Any other difference is somebody's work on
    top of the patch, and to forget the original then would take the way back from him.
    """
    kept = {}
    for entry in previous.files:
        now = content(tree, entry)
        if now is Content.PATCHED:
            kept[entry.names[0]] = entry
        elif now is not Content.ORIGINAL and entry.names[0] not in todo and not _other_version(tree, previous):
            raise _changed_since(tree, [(entry.place(tree), now is Content.MISSING)])
    return kept


def _plan_return(
    tree: HeldTree,
    journal: Journal,
    goals: Sequence[tuple[Entry, Version]],
    want: Iterable[Bytecode],
    *,
    strict: bool,
) -> ReturnPlan:
    writes: list[Write] = []
    inverse: list[Write] = []
    strangers: list[tuple[Place, bool]] = []
    for entry, goal in goals:
        path = entry.place(tree)
        try:
            data, status = path.read()
        except (FileNotFoundError, NotADirectoryError):
            strangers.append((path, True))
            continue
        found = sha256_hex(data)
        if found == goal.sha256:
            continue
        if found != entry.current.sha256:
            strangers.append((path, False))
            continue
        require_owner(path, status)
        require_writable(path.parent)
        writes.append(Write(path, read_saved(tree, goal.sha256), found, goal.mtime_ns))
        inverse.append(Write(path, data, goal.sha256, status.st_mtime_ns))
    if strangers:
        raise _changed_since(tree, strangers)
    for write, back in record_return(tree, journal):
        writes.append(write)
        inverse.append(back)
    names = [name for entry, _ in goals for name in entry.names]
    removals, restored = bytecode_move(tree, compiled(tree, names), want, strict=strict)
    return ReturnPlan(
        Move(tuple(writes + restored), tuple(removals)),
        Move(tuple(inverse), tuple(write.target for write in restored)),
    )


def _changed_since(tree: HeldTree, strangers: Sequence[tuple[Place, bool]]) -> ChangedSinceError:
    names = ", ".join(f"{path} ({'missing' if missing else 'other content'})" for path, missing in strangers)
    return ChangedSinceError(
        f"Changed since `apply`: {names}. Nothing was changed now.",
        why="It holds neither the patched nor the original text; writing over it would destroy somebody's work.",
        remedy="Put the patched or the original text back (the package's own copy will do) and run the command "
        f"again. If the package was replaced as a whole, there is nothing to take back: remove {tree.state}.",
    )


def _other_version(tree: HeldTree, journal: Journal) -> bool:
    return None not in (tree.version, journal.version) and tree.version != journal.version


def _relative_caches(tree: HeldTree, entries: Iterable[Entry]) -> set[str]:
    return {path.relative for entry in entries for path in caches(tree, entry.names)}
