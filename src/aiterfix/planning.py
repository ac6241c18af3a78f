"""From a judgement to what must be written: every kernel file's proven rewrite, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from aiterfix.assessment import Assessment, KernelFile
from aiterfix.errors import NotUnderstoodError
from aiterfix.source.rewrite import Rewrite, rewrite


class UnreadableError(NotUnderstoodError):
    """Part of the package could not be read, so it cannot be said that every kernel is bounded."""

    code = "unreadable"


@dataclass(frozen=True)
class Change:
    """A file and its proven edit."""

    file: KernelFile
    rewrite: Rewrite


def plan(assessment: Assessment) -> tuple[Change, ...]:
    """What to write so that every store asked about is bounded; empty where nothing is to do.

    Raises:
        SourceNotUnderstoodError: a file asked about is not understood.
        UnreadableError: a file could not be read.
    """
    if assessment.doubts:
        first = assessment.doubts[0]
        raise UnreadableError(
            f"{first.path}: {first.reason}",
            why="The package could not be searched completely for kernels.",
            remedy="Make the file readable, or remove it; then run again.",
        )
    fixes = [f for f in assessment.fixes if f.id in assessment.asked]
    changes = []
    for file in assessment.files:
        analysis = file.analysis.select(assessment.asked)
        if analysis.kernels or analysis.problems:
            result = rewrite(file.text, fixes, filename=file.relative, analysis=analysis)
            if result.changed:
                changes.append(Change(file, result))
    return tuple(changes)
