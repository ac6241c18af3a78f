"""For ``aiterfix check``: does a kernel file's digest fit the version that the installation says it is?"""

from __future__ import annotations

from collections.abc import Mapping

from aiterfix.history.compat import compat
from aiterfix.history.store import load_history


def cross_check(version: str | None, digests: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """A sentence for each digest that belongs to another version, or to none.

    Nothing is said where the version is not known and the digest is: a build between releases usually has a release's
    kernels.

    Args:
        version: what the installation's metadata says; None where it says nothing.
        digests: SHA-256 of its kernel files, and the releases that have such a file, oldest first. Leave out files that
            aiterfix patched itself.
    """
    facts = load_history()
    answer = compat(version, facts) if version is not None else None
    release = answer.release if answer is not None else None
    notes = {}
    for digest, releases in digests.items():
        if not releases:
            notes[digest] = (
                f"sha256 {digest[:12]} is in no tag of {facts.repository} up to {facts.newest[:10]}: "
                "changed locally, or from a commit between or after them"
            )
        elif release is not None and release.ref not in releases:
            # Tags below a folder (archive/…) are no releases: they are named only where there is nothing else.
            named = [r for r in releases if "/" not in r] or list(releases)
            span = named[0] if len(named) == 1 else f"{named[0]} to {named[-1]}"
            notes[digest] = f"sha256 {digest[:12]} belongs to {span}, not to {release.ref} as the version says"
    return notes
