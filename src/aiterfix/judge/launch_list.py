"""A list of launches that processes have made: one JSON object a line, written by the live guard; and its judgement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Literal

from aiterfix.family.reads import INPUTS
from aiterfix.judge.judgement import LaunchFacts
from aiterfix.judge.launched import Launch, LaunchJudgement, Outcome, judge_launch, launchables, worst_outcome
from aiterfix.judge.whole import Whole
from aiterfix.storage.codec import StoredError, decode, encode
from aiterfix.storage.held import RefusedFileError, read_file
from aiterfix.storage.record import record

_FLAGS = ("preshuffle", "plain", "schedule", "triton_published")
_SUMS = ("misread", "mistyped")
_MOST_OF_A_LINE = 1 << 16


@record(frozen=True)
class RecordedLaunch:
    """One line.

    Attributes:
        schema: version of this form.
        module: where the function was from.
        outcome: what was decided there and then.
        faults: ids of the faults by which.
    """

    schema: Literal[1]
    module: str
    launch: Launch
    outcome: Outcome
    faults: tuple[str, ...] = ()


@record(frozen=True)
class JudgedInstallation:
    """Every launch of a list against one installation.

    Attributes:
        launches: in the list's order, each combination once.
    """

    package: Path
    launches: tuple[LaunchJudgement, ...]


@record(frozen=True)
class JudgedList:
    """Every launch of a list against everything that import would take.

    Attributes:
        installations: one a target.
        certain: whether the search for installations could look everywhere.
    """

    file: Path
    installations: tuple[JudgedInstallation, ...]
    certain: bool

    @property
    def outcome(self) -> Outcome:
        """What comes of all: the worst."""
        if not self.certain or not self.installations:
            return Outcome.UNKNOWN
        return worst_outcome(j.outcome for i in self.installations for j in i.launches)


def judge_list(file: Path, launches: Iterable[RecordedLaunch], whole: Whole) -> JudgedList:
    """Judge a list.

    Args:
        whole: the judgement on what is installed.
    """
    combinations = tuple(dict.fromkeys(line.launch for line in launches))
    judged = []
    for judgement in whole.live:
        there = launchables(judgement)
        assert judgement.installation is not None
        found = tuple(judge_launch(there, launch) for launch in combinations)
        judged.append(JudgedInstallation(judgement.installation.package, found))
    return JudgedList(file, tuple(judged), not whole.discovery.doubts)


def line_of(launch: RecordedLaunch) -> bytes:
    """A line, with its end."""
    return encode(launch, indent=None, sparse=True)


def read_launches(path: Path) -> tuple[RecordedLaunch, ...]:
    """Every line of a list, each combination once, in order.

    Raises:
        StoredError: a line is not what it should be; none is passed over. It names the line.
        OSError: it cannot be read.
    """
    try:
        data = read_file(path)
    except RefusedFileError as refused:
        raise StoredError(path, str(refused.strerror)) from refused
    found: dict[RecordedLaunch, None] = {}
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n") if data else (), 1):
        found[_line(line, path, number)] = None
    return tuple(found)


def _line(line: bytes, path: Path, number: int) -> RecordedLaunch:
    try:
        read = decode(line, RecordedLaunch, path, most_bytes=_MOST_OF_A_LINE)
    except StoredError as error:
        raise StoredError(path, error.problem, f"line {number}" + (f", {error.key}" if error.key else "")) from error
    facts = read.launch.facts.known()
    for name in (f.name for f in fields(LaunchFacts) if f.name in facts):
        most = 1 if name in _FLAGS else (1 << len(INPUTS)) - 1 if name in _SUMS else 2**63 - 1
        least = -most if name == "padding" else 0
        if not least <= facts[name] <= most:
            problem = f"is {facts[name]}, which no launch has"
            raise StoredError(path, problem, f"line {number}, launch.facts.{name}")
    if problem := _contradiction(read.launch.facts):
        raise StoredError(path, problem, f"line {number}, launch.facts.padding")
    return read


def _contradiction(facts: LaunchFacts) -> str:
    """Why no launch has this padding; empty where one may."""
    rows, width, stride, padding = facts.rows, facts.width, facts.row_stride, facts.padding
    if not rows or width is None or stride is None or padding is None:
        return ""
    between = stride - width if rows > 1 else max(stride - width, 0)
    return f"is {padding}, where rows of {width} columns are {stride} apart" if padding > between else ""
