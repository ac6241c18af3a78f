"""Which releases an installed kernel file belongs to: the version that metadata states is cross-checked by digest."""

from __future__ import annotations

from dataclasses import dataclass

from aiterfix.assessment import Assessment, KernelFile
from aiterfix.places import patch_of


@dataclass(frozen=True)
class Provenance:
    """Where a kernel file's text comes from.

    Attributes:
        releases: tags whose package holds this very file, oldest first.
        note: a sentence where the digest does not fit the version, or is known to no release; else empty.
    """

    releases: tuple[str, ...]
    note: str


def provenance(assessment: Assessment) -> dict[KernelFile, Provenance]:
    """Look every kernel file up in the shipped facts; those that aiterfix patched itself have no entry."""
    from aiterfix.digests import releases_of

    patch = patch_of(assessment.installation)
    ours = {f.path for f in patch.files if f.content.value == "patched"} if patch is not None else set()
    files = [f for f in assessment.files if f.path not in ours]
    releases = releases_of(frozenset(f.analysis.sha256 for f in files))
    version = assessment.installation.version
    fits = {d for d, refs in releases.items() if version is None or f"v{version.partition('+')[0]}" in refs}
    doubtful = [f.analysis.sha256 for f in files if f.analysis.sha256 not in fits]
    notes: dict[str, str] = {}
    if doubtful:
        # The whole history, with every spelling of a version, is only loaded where the plain look-up leaves a question.
        from aiterfix.history import cross_check

        notes = {n.sha256: n.message for n in cross_check(version, doubtful)}
    return {f: Provenance(releases.get(f.analysis.sha256, ()), notes.get(f.analysis.sha256, "")) for f in files}
