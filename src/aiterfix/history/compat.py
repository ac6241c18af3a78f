"""``aiterfix compat VERSION``: what is known of a release, offline and exactly, or that it is not known."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from aiterfix.history.record import History, RefRecord
from aiterfix.history.store import load_history
from aiterfix.history.versions import VersionName, read_version
from aiterfix.judge.verdict import Verdict

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_LABEL_COMMIT = re.compile(r"g([0-9a-f]{7,40})")


@dataclass(frozen=True)
class Compat:
    """The answer for one version.

    Attributes:
        asked: the version as it was given.
        known: whether the facts hold exactly this source.
        release: the facts; None where it is not known.
        closest: for a build that somebody labelled, the release that it names itself after.
        reason: why it is not known; empty where it is.
        newest: how far the facts reach: date of the newest tag.
    """

    asked: str
    known: bool
    release: RefRecord | None
    closest: RefRecord | None
    reason: str
    newest: str

    def verdict(self, faults: Collection[str]) -> Verdict:
        """The verdict that these faults make; unknown where the release is not known."""
        return self.release.verdict(faults) if self.release is not None else Verdict.UNKNOWN


def compat(asked: str, history: History | None = None) -> Compat:
    """Look up a version number, a tag, or a commit (seven hexadecimal digits or more).

    Args:
        asked: in any spelling that Python's version rules take: ``0.1.13``, ``v0.1.13-rc2``, ``0.1.13.dev4+g1234567``.
        history: the shipped facts by default.
    """
    facts = load_history() if history is None else history
    literal = asked.strip()
    release: RefRecord | None = next((r for r in facts.everything if literal in _spellings(r)), None)
    closest: RefRecord | None = None
    reason = ""
    if release is None:
        version = read_version(literal)
        if version is not None:
            release, closest, reason = _by_version(version, facts)
        else:
            reason = "it is neither a version number nor a tag of that date"
        if release is None and _COMMIT.fullmatch(literal.lower()):
            release = _at_commit(literal.lower(), facts)
            reason = "no tag up to that date names this commit"
    known = release is not None
    return Compat(asked, known, release, None if known else closest, "" if known else reason, facts.newest)


def _spellings(ref: RefRecord) -> tuple[str, ...]:
    return (ref.ref, f"refs/tags/{ref.ref}", ref.ref.removeprefix("v"))


def _by_version(version: VersionName, facts: History) -> tuple[RefRecord | None, RefRecord | None, str]:
    """The release of a version; else the closest one and why it is not known."""
    match = next((r for r in reversed(facts.refs) if _public(r) == version.public), None)
    if not version.local:
        if match is None and version.development:
            return None, None, "a development version is a commit between releases"
        return match, None, "no tag up to that date has this version"
    commit = _LABEL_COMMIT.fullmatch(version.local)
    # setuptools-scm's own label, and nothing else in it: exactly that commit, with no local changes.
    at = _at_commit(commit[1], facts) if commit is not None else None
    if at is not None:
        return at, None, ""
    if version.development:
        return None, None, "a development version is a commit between releases"
    return None, match, f"+{version.local} is somebody's own build and may be patched"


def _public(ref: RefRecord) -> str | None:
    version = read_version(ref.ref)
    return version.public if version is not None and not version.local else None


def _at_commit(prefix: str, facts: History) -> RefRecord | None:
    """The tag, or branch, at a commit; None where none is there, or the abbreviation is ambiguous."""
    found = [r for r in facts.everything if r.commit.startswith(prefix)]
    return found[-1] if found and len({r.commit for r in found}) == 1 else None
