"""What state a place is in. Reads only, and for an unpatched place costs two calls of ``stat``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from aiterfix.patching import journal as journals
from aiterfix.patching.failures import JournalError
from aiterfix.patching.journal import Entry, Journal, Phase
from aiterfix.patching.locking import is_locked
from aiterfix.patching.place import Place, digest


class StateKind(str, Enum):
    """The states that a place can be in."""

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
class FileState:
    """A file of the journal and what it holds."""

    path: Path
    content: Content


@dataclass(frozen=True)
class State:
    """The answer.

    Attributes:
        kind: which state.
        detail: one sentence for people; empty for ``NONE``.
        files: every file of the journal.
        version: the distribution's version when it was patched.
        annotations: what the caller of `apply` noted.
        state_dir: where journal and originals are; None where there are none.
    """

    kind: StateKind
    detail: str = ""
    files: tuple[FileState, ...] = ()
    version: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    state_dir: Path | None = None


def state(place: Place) -> State:
    """Find out the state of a place; changes nothing.

    Raises:
        OSError: a directory or file can't be read.
    """
    staging = place.staging_dir.exists()
    if not staging and not place.state_dir.exists():
        return State(StateKind.NONE)
    busy = is_locked(place.home)
    try:
        journal = journals.load(place)
    except JournalError as failure:
        return State(StateKind.UNREADABLE, str(failure), state_dir=place.state_dir)
    if journal is None:
        left = place.staging_dir if staging else place.state_dir
        if busy:
            return State(StateKind.BUSY, "Another aiterfix is at work; no file has been changed yet.", state_dir=left)
        detail = f"A run was killed while it prepared or tidied up; no file of the package is changed, {left} is left."
        return State(StateKind.INTERRUPTED, detail, state_dir=left)
    files = tuple(FileState(entry.path(place), content(place, entry)) for entry in journal.files)
    kind, detail = _judge(place, journal, files, busy)
    return State(kind, detail, files, journal.version, journal.annotations, place.state_dir)


def _judge(place: Place, journal: Journal, files: tuple[FileState, ...], busy: bool) -> tuple[StateKind, str]:
    strangers = [file for file in files if file.content in (Content.CHANGED, Content.MISSING)]
    if journal.phase is Phase.APPLIED:
        strangers += [file for file in files if file.content is Content.ORIGINAL]
        if not strangers:
            return StateKind.APPLIED, f"{_count(len(files))} changed by aiterfix; `revert` gives the originals back."
        return StateKind.FOREIGN, f"Since `apply`: {_list(strangers)}.{_version_note(place, journal)}"
    if busy:
        return StateKind.BUSY, "Another aiterfix is at work at this moment."
    if strangers:
        return (
            StateKind.FOREIGN,
            f"A run was killed, and since then: {_list(strangers)}.{_version_note(place, journal)}",
        )
    verb, next_step = (
        ("apply", "the next run takes back what it did")
        if journal.phase is Phase.APPLYING
        else ("revert", "the next run completes it")
    )
    return StateKind.INTERRUPTED, f"A run of `{verb}` was killed: {_list(files)}; {next_step}."


def content(place: Place, entry: Entry) -> Content:
    """What a file of the journal holds now."""
    try:
        found = digest(entry.path(place).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return Content.MISSING
    except IsADirectoryError:
        return Content.CHANGED
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


def _list(files: list[FileState] | tuple[FileState, ...]) -> str:
    return ", ".join(f"{file.path} {_WORDS[file.content]}" for file in files)


def _count(number: int) -> str:
    return "1 file was" if number == 1 else f"{number} files were"


def _version_note(place: Place, journal: Journal) -> str:
    if journal.version == place.version:
        return ""
    return f" It was patched as version {journal.version}; installed is {place.version}."
