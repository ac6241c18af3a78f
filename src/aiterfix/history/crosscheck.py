"""For ``aiterfix check``: does a kernel file's digest fit the version that the installation says it is?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiterfix.history.compat import compat
from aiterfix.history.record import History
from aiterfix.history.store import load_history


@dataclass(frozen=True)
class DigestNote:
    """Something worth a line about one kernel file.

    Attributes:
        sha256: the digest in question.
        code: ``other-version``: it belongs to other releases; ``unknown-digest``: to none.
        releases: the releases that do have it, oldest first.
        message: one sentence for people.
    """

    sha256: str
    code: str
    releases: tuple[str, ...]
    message: str


def known_digest(sha256: str, history: History | None = None) -> tuple[str, ...]:
    """Every tag whose package holds a kernel file with this digest, oldest first; empty where none does."""
    facts = load_history() if history is None else history
    return tuple(r.ref for r in facts.refs if any(f.sha256 == sha256 for f in r.shipped))


def cross_check(version: str | None, digests: Iterable[str], history: History | None = None) -> tuple[DigestNote, ...]:
    """Compare kernel files with what the version is known to hold.

    Args:
        version: what the installation's metadata says; None where it says nothing.
        digests: SHA-256 of its kernel files, hexadecimal. Leave out files that aiterfix patched itself.
        history: the shipped facts by default.

    Returns:
        A note for each digest that belongs to another version, or to none. Nothing is said where the version is not
        known and the digest is: a build between releases usually has a release's kernels.
    """
    facts = load_history() if history is None else history
    answer = compat(version, facts) if version is not None else None
    release = answer.release if answer is not None else None
    notes = []
    for digest in digests:
        releases = known_digest(digest, facts)
        if not releases:
            message = (
                f"sha256 {digest[:12]} is in no tag of {facts.repository} up to {facts.newest[:10]}: "
                "changed locally, or from a commit between or after them"
            )
            notes.append(DigestNote(digest, "unknown-digest", (), message))
        elif release is not None and release.ref not in releases:
            # Tags below a folder (archive/…) are no releases: they are named only where there is nothing else.
            named = [r for r in releases if "/" not in r] or list(releases)
            span = named[0] if len(named) == 1 else f"{named[0]} to {named[-1]}"
            message = f"sha256 {digest[:12]} belongs to {span}, not to {release.ref} as the version says"
            notes.append(DigestNote(digest, "other-version", releases, message))
    return tuple(notes)
