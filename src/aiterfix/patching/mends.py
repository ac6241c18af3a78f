"""From a judgement to what must be written: every kernel file's proven mend, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from aiterfix.errors import NotUnderstoodError
from aiterfix.faults.mend import Mended, mend
from aiterfix.history.known import mended
from aiterfix.judge.judgement import JudgedText, Judgement


class UnreadableError(NotUnderstoodError):
    """Part of the package could not be read, so it cannot be said that every kernel is mended."""

    code = "unreadable"


@dataclass(frozen=True)
class Change:
    """A file and its proven mend."""

    file: JudgedText
    mended: Mended


def mends(judgement: Judgement) -> tuple[Change, ...]:
    """What to write so that the faults asked about are out wherever an edit takes them out; empty where none does.

    Raises:
        SourceNotUnderstoodError: a file asked about is not understood.
        UnreadableError: a file could not be read.
    """
    if judgement.doubts:
        raise UnreadableError(
            str(judgement.doubts[0]),
            why="It cannot be said which kernels this package has.",
            remedy="Mend or remove what is named, then run again.",
        )
    groups = judgement.question.groups
    changes = []
    for file in judgement.texts:
        wanted = judgement.question.faults
        recorded = mended(file.text, file.diagnosis, judgement.known, wanted) if groups is None else None
        result = recorded or mend(
            file.text,
            judgement.known.judged,
            filename=file.relative,
            wanted=tuple(wanted),
            groups=None if groups is None else tuple(groups),
            diagnosis=file.diagnosis,
        )
        if result.changed:
            changes.append(Change(file, result))
    return tuple(changes)
