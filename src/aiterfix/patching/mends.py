"""From a judgement to what must be written: every kernel file's proven mend, or a refusal."""

from __future__ import annotations

from dataclasses import dataclass

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.kernels import STAGE1
from aiterfix.faults.mend import Mended, mend
from aiterfix.history.known import mended
from aiterfix.judge.judgement import JudgedText, Judgement
from aiterfix.judge.shown import not_offered


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

    A mend that failed in a recorded run is not made.

    Raises:
        SourceNotUnderstoodError: a file asked about is not understood.
        UnreadableError: a file could not be read.
    """
    if judgement.doubts:
        raise UnreadableError(
            str(judgement.doubts[0]),
            why="It cannot be said which kernels this package has.",
            remedy="Have what is named readable, as a plain file, or install aiter again; then run the command again.",
        )
    groups = judgement.question.groups
    changes = []
    for file in (*judgement.texts, *_refusing(judgement)):
        wanted = judgement.question.faults - not_offered(file.sha256, judgement.question.faults).keys()
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


def _refusing(judgement: Judgement) -> tuple[JudgedText, ...]:
    """Wrappers that may need a refusal: not where other kernels were asked about than those that they launch, and not
    twice, where one raises a doubt and so stands among the texts of kernels."""
    groups = judgement.question.groups
    if groups is not None and STAGE1.name not in groups:
        return ()
    return tuple(t for t in judgement.launchers if t not in judgement.texts)
