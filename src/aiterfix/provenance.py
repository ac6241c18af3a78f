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
    from aiterfix.history import cross_check, known_digest

    patch = patch_of(assessment.installation)
    ours = {f.path for f in patch.files if f.content.value == "patched"} if patch is not None else set()
    files = [f for f in assessment.files if f.path not in ours]
    version = assessment.installation.version
    notes = {n.sha256: n.message for n in cross_check(version, [f.analysis.sha256 for f in files])}
    return {f: Provenance(known_digest(f.analysis.sha256), notes.get(f.analysis.sha256, "")) for f in files}
