"""Trees that a person asks about, as records: releases, revisions of a clone, installations."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.registry import Faults
from aiterfix.history.compat import compat
from aiterfix.history.record import FileRecord, RefRecord
from aiterfix.history.store import load_history
from aiterfix.installation.target import Discovery
from aiterfix.judge.disk import judge_installation
from aiterfix.upstream.explain import Subject
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.scan import scan


def released(clone: Clone | None, faults: Faults) -> tuple[RefRecord, ...]:
    """Every tag judged: those of a complete clone, which may have newer ones, else those shipped if they tell."""
    if clone is not None and not clone.shallow and not clone.partial and any(t.commit for t in clone.tags()):
        return scan(clone, faults).refs
    history = load_history()
    return history.refs if history.faults == tuple(f.id for f in faults.judged) else ()


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


def subjects_of_clone(clone: Clone, faults: Faults, revisions: Sequence[str]) -> list[Subject]:
    """Revisions of a clone, judged now."""
    return [Subject(r.ref, r) for r in scan(clone, faults, revisions).refs]


def subjects_of_installation(discovery: Discovery, faults: Faults) -> list[Subject]:
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
        judgement = judge_installation(installation, faults)
        files = []
        for t in judgement.texts:
            # Guards are counted on the source; a text that was judged by its digest is read for them.
            read = t.diagnosis if t.diagnosis.analysis is not None else diagnose(t.text, faults.judged)
            files.append(FileRecord.of(t.relative, True, read, faults.judged))
        doubts = [*map(str, judgement.doubts), *(f"{d.path}: {d.reason}" for d in discovery.doubts)]
        doubts += [
            f"{group}: prebuilt code objects run instead of the source" for group, p in judgement.prebuilt if p.enabled
        ]
        version = installation.version or ""
        record = RefRecord(version, "1970-01-01", installation.commit or "", tuple(files), tuple(doubts))
        found.append(Subject(f"{installation.package} {version}".rstrip(), record))
    return found
