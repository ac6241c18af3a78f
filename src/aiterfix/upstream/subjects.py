"""Trees that a person asks about, as records: releases, revisions of a clone, installations."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.assessment import assess
from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.fixes import Fix
from aiterfix.history import compat, load_history
from aiterfix.history.record import FileRecord, RefRecord
from aiterfix.installation import Discovery
from aiterfix.upstream.explain import Subject
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.scan import judge, scan


def released(clone: Clone | None, fixes: Sequence[Fix]) -> tuple[RefRecord, ...]:
    """Every tag judged: those of a complete clone, which may have newer ones, else those shipped."""
    if clone is not None and not clone.shallow and not clone.partial and any(t.commit for t in clone.tags()):
        return scan(clone, fixes).refs
    return load_history().refs


def released_subjects(versions: Sequence[str]) -> list[Subject]:
    """Releases, from the facts that ship with the package.

    Raises:
        NotUnderstoodError: one is not known.
    """
    found = []
    for version in versions:
        answer = compat(version)
        if answer.release is None:
            raise NotUnderstoodError(
                f"{version}: not known: {answer.reason}",
                why=f"The facts that ship with aiterfix end at {answer.newest[:10]}.",
                remedy="Judge the installation itself with --path, or a clone with --repo and --refs.",
            )
        found.append(Subject(answer.release.ref, answer.release))
    return found


def subjects_of_clone(clone: Clone, fixes: Sequence[Fix], revisions: Sequence[str]) -> list[Subject]:
    """Revisions of a clone, judged now."""
    return [Subject(r.ref, r) for r in scan(clone, fixes, revisions).refs]


def subjects_of_installation(discovery: Discovery, fixes: Sequence[Fix]) -> list[Subject]:
    """What is installed, judged by its source.

    Raises:
        EnvironmentProblem: nothing is.
    """
    if not discovery.installations:
        raise EnvironmentProblem(
            "no aiter was found there",
            why="; ".join(f"{d.path}: {d.reason}" for d in discovery.doubts),
            remedy="Name the installation with --path DIR or --python EXE.",
        )
    found = []
    for installation in discovery.installations:
        assessment = assess(installation, fixes)
        files = []
        for file in assessment.files:
            judged = judge(file.text, fixes)
            if judged is not None:
                files.append(FileRecord(file.relative, judged.sha256, True, judged.kernels, judged.problems))
        doubts = [f"{d.path}: {d.reason}" for d in (*assessment.doubts, *discovery.doubts)]
        doubts += [
            f"{f.id}: prebuilt code objects run instead of the source" for f, p in assessment.prebuilt if p.enabled
        ]
        version = installation.version or ""
        record = RefRecord(version, "1970-01-01", installation.commit or "", tuple(files), tuple(doubts))
        found.append(Subject(f"{installation.package} {version}".rstrip(), record))
    return found
