"""What has been done to a package. Reads only, and for an unpatched one costs two calls of ``stat``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from aiterfix.installation.view import View
from aiterfix.patching import journal as journals
from aiterfix.patching import traces
from aiterfix.patching.failures import JournalError
from aiterfix.patching.journal import Entry, Journal, Phase
from aiterfix.patching.locking import is_locked
from aiterfix.patching.tree import HeldTree, PackageTree, held
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import RefusedFileError


class PatchState(str, Enum):
    """The states that a package can be in."""

    NONE = "none"
    """Nothing of ours is there."""
    APPLIED = "applied"
    """Every file that was changed is as `apply` left it."""
    BUSY = "busy"
    """Another process is changing it at this moment."""
    INTERRUPTED = "interrupted"
    """A run was killed; `recover`, `apply` or `revert` deals with it."""
    FOREIGN = "foreign"
    """A file that was changed is no longer as `apply` left it."""
    UNREADABLE = "unreadable"
    """The journal is damaged or of another format."""


class Content(str, Enum):
    """What a changed file holds now."""

    ORIGINAL = "original"
    BEFORE = "before"
    """What an earlier `apply` left, and an unfinished one was to change."""
    PATCHED = "patched"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True)
class FileStatus:
    """A file of the journal and what it holds."""

    path: Path
    content: Content


@dataclass(frozen=True)
class PatchStatus:
    """The answer.

    Attributes:
        detail: one sentence for people; empty for ``NONE``.
        files: every file of the journal.
        version: the distribution's version when it was patched.
        annotations: what the caller of `apply` noted.
        state_dir: where journal and originals are; None where there are none.
    """

    kind: PatchState
    detail: str = ""
    files: tuple[FileStatus, ...] = ()
    version: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    state_dir: Path | None = None


def read_status(tree: PackageTree) -> PatchStatus:
    """Find out what has been done to a package; changes nothing.

    Raises:
        OSError: a directory or file can't be read.
    """
    with held(tree, writing=False) as at:
        return status_of(at)


def status_of(tree: HeldTree) -> PatchStatus:
    """The same of a package that is held.

    Raises:
        OSError: a directory or file can't be read.
    """
    if not tree.staging.exists() and not tree.state.exists():
        return PatchStatus(PatchState.NONE)
    busy = is_locked(tree.home)
    try:
        staging = journals.believable(tree, tree.staging)
        journal = journals.load(tree)
    except JournalError as failure:
        return PatchStatus(PatchState.UNREADABLE, str(failure), state_dir=tree.state.path)
    if journal is None:
        left = (tree.staging if staging else tree.state).path
        if busy:
            return PatchStatus(
                PatchState.BUSY, "Another aiterfix is at work; no file has been changed yet.", state_dir=left
            )
        detail = f"A run was killed while it prepared or tidied up; no file of the package is changed, {left} is left."
        return PatchStatus(PatchState.INTERRUPTED, detail, state_dir=left)
    files = tuple(FileStatus(entry.place(tree).path, content(tree, entry)) for entry in journal.files)
    kind, detail = _judge(tree.version, journal, files, busy)
    return PatchStatus(kind, detail, files, journal.version, journal.annotations, tree.state.path)


def status_in_archive(tree: PackageTree, view: View) -> PatchStatus | None:
    """What has been done to a package that an archive holds; None where nothing of ours is in it."""
    in_dist_info = tree.dist_info is not None and tree.dist_info.parent == tree.root
    home = tree.dist_info if in_dist_info else None
    state = home / traces.IN_DIST_INFO if home is not None else tree.root / traces.beside_tree(tree.package.name)
    try:
        journal = journals.decode(view.read(state / journals.NAME), state / journals.NAME)
    except JournalError as failure:
        return PatchStatus(PatchState.UNREADABLE, str(failure), state_dir=state)
    except OSError:
        return None

    def found(entry: Entry) -> FileStatus:
        path = tree.package / entry.names[0]
        try:
            return FileStatus(path, _content(entry, sha256_hex(view.read(path))))
        except OSError:
            return FileStatus(path, Content.MISSING)

    files = tuple(map(found, journal.files))
    kind, detail = _judge(tree.version, journal, files, busy=False)
    return PatchStatus(kind, detail, files, journal.version, journal.annotations, state)


def _judge(version: str | None, journal: Journal, files: tuple[FileStatus, ...], busy: bool) -> tuple[PatchState, str]:
    strangers = [file for file in files if file.content in (Content.CHANGED, Content.MISSING)]
    if journal.phase is Phase.APPLIED:
        strangers += [file for file in files if file.content is Content.ORIGINAL]
        if not strangers:
            return PatchState.APPLIED, f"{_count(len(files))} changed by aiterfix; `revert` gives the originals back."
        return PatchState.FOREIGN, f"Since `apply`: {_list(strangers)}.{_version_note(version, journal)}"
    if busy:
        return PatchState.BUSY, "Another aiterfix is at work at this moment."
    if strangers:
        return (
            PatchState.FOREIGN,
            f"A run was killed, and since then: {_list(strangers)}.{_version_note(version, journal)}",
        )
    verb, next_step = (
        ("apply", "the next run takes back what it did")
        if journal.phase is Phase.APPLYING
        else ("revert", "the next run completes it")
    )
    return PatchState.INTERRUPTED, f"A run of `{verb}` was killed: {_list(files)}; {next_step}."


def content(tree: HeldTree, entry: Entry) -> Content:
    """What a file of the journal holds now."""
    try:
        found = sha256_hex(entry.place(tree).read()[0])
    except (FileNotFoundError, NotADirectoryError):
        return Content.MISSING
    except RefusedFileError:
        return Content.CHANGED
    return _content(entry, found)


def _content(entry: Entry, found: str) -> Content:
    if found == entry.current.sha256:
        return Content.PATCHED
    if found == entry.original.sha256:
        return Content.ORIGINAL
    if found == entry.before.sha256:
        return Content.BEFORE
    return Content.CHANGED


_WORDS = {
    Content.ORIGINAL: "holds its original content",
    Content.BEFORE: "holds what the `apply` before left",
    Content.PATCHED: "is patched",
    Content.CHANGED: "was changed by others",
    Content.MISSING: "is missing",
}


def _list(files: list[FileStatus] | tuple[FileStatus, ...]) -> str:
    return ", ".join(f"{file.path} {_WORDS[file.content]}" for file in files)


def _count(number: int) -> str:
    return "1 file was" if number == 1 else f"{number} files were"


def _version_note(version: str | None, journal: Journal) -> str:
    if journal.version == version:
        return ""
    return f" It was patched as version {journal.version}; installed is {version}."
