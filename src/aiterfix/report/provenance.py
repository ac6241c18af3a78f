"""Which releases an installed kernel file belongs to: the version that metadata states is cross-checked by digest."""

from __future__ import annotations

from pathlib import Path

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.kernels import NOT_JUDGED
from aiterfix.history.siblings import SiblingFact, facts_in_tree
from aiterfix.judge.judgement import JudgedText, Judgement
from aiterfix.judge.whole import Whole
from aiterfix.patching.installed import patch_status
from aiterfix.storage.record import record


@record(frozen=True)
class Provenance:
    """Where a kernel file's text comes from.

    Attributes:
        releases: tags whose package holds this very file, oldest first.
        note: a sentence where the digest does not fit the version, or is known to no release; else empty.
    """

    releases: tuple[str, ...]
    note: str


def sibling_facts(whole: Whole) -> tuple[SiblingFact, ...]:
    """What was told of kernels beside the family that import would take; nobody judges them."""
    named = [what for _, what in NOT_JUDGED]
    found = (facts_in_tree(_releases(j), {what for _, what in j.siblings}, named) for j in whole.live)
    return tuple(dict.fromkeys(fact for facts in found for fact in facts))


def _releases(judgement: Judgement) -> tuple[str, ...]:
    """The version that is stated, else the releases that all of the kernel files are those of."""
    if judgement.installation is not None and judgement.installation.version:
        return (judgement.installation.version,)
    origins = [set(p.releases) for p in provenance(judgement).values()]
    return tuple(sorted(set.intersection(*origins))) if origins else ()


def provenance(judgement: Judgement) -> dict[Path, Provenance]:
    """Look every kernel file up in the shipped facts; those that aiterfix patched itself have no entry."""
    if judgement.installation is None:
        return {}
    patch = patch_status(judgement.installation)
    ours = {f.path for f in patch.files if f.content.value == "patched"} if patch is not None else set()
    files = {t.path: t.sha256 for t in judgement.texts if t.path is not None and t.path not in ours and digest(t)}
    try:
        return _looked_up(judgement.installation.version, files)
    except (OSError, ValueError, NotUnderstoodError) as error:
        # What was read off the source stands without them.
        note = f"which release it is of cannot be told, the facts shipped with aiterfix are damaged: {error}"
        return {path: Provenance((), " ".join(note.split())) for path in files}


def digest(text: JudgedText) -> str:
    """SHA-256 of a file, in hexadecimal; empty of one that could not be read, whose digest would be that of nothing."""
    return text.sha256 if text.text or not text.diagnosis.problems else ""


def _looked_up(version: str | None, files: dict[Path, str]) -> dict[Path, Provenance]:
    from aiterfix.history.digests import releases_of

    releases = releases_of(frozenset(files.values()))
    fits = {d for d, refs in releases.items() if version is None or f"v{version.partition('+')[0]}" in refs}
    doubtful = {d: releases.get(d, ()) for d in files.values() if d not in fits}
    notes: dict[str, str] = {}
    if doubtful:
        # The whole history, with every spelling of a version, is only loaded where the plain look-up leaves a question.
        from aiterfix.history.crosscheck import cross_check

        notes = cross_check(version, doubtful)
    return {path: Provenance(releases.get(d, ()), notes.get(d, "")) for path, d in files.items()}
