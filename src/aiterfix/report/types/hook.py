"""``aiterfix hook --json``: the start-up files of an interpreter, or what can be known of a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from aiterfix.importing.seen import MOST, NOT_WATCHED
from aiterfix.importing.settings import Mode
from aiterfix.judge.launch_list import read_launches
from aiterfix.judge.launched import Outcome
from aiterfix.report.document import Body
from aiterfix.report.types.common import Count
from aiterfix.storage.codec import StoredError
from aiterfix.storage.record import record


@record(frozen=True)
class RecordedLaunchReport:
    """One combination of what a public function was handed.

    Attributes:
        facts: of the call, as far as they are known; docs/internals/import-hook.md says what each is.
        gpu: architecture; empty where it is not known.
        outcome: what was decided of it there and then.
        faults: ids of those by which.
    """

    module: str
    entry: str
    facts: Mapping[str, int]
    gpu: str
    outcome: Outcome
    faults: tuple[str, ...]


@record(frozen=True)
class RecordedReport:
    """The list of launches that `AITERFIX_RECORD` names here.

    Attributes:
        launches: at most 4096.
        dropped: how many more there are.
        problem: why it cannot be shown; empty where it can.
        not_watched: what no list has, for people.
    """

    file: Path
    launches: tuple[RecordedLaunchReport, ...]
    dropped: Count
    problem: str
    not_watched: str = NOT_WATCHED

    @classmethod
    def of(cls, file: Path) -> RecordedReport:
        """Read it."""
        try:
            lines = read_launches(file)
        except (OSError, StoredError) as error:
            return cls(file, (), 0, getattr(error, "strerror", None) or str(error))
        shown = tuple(
            RecordedLaunchReport(x.module, x.launch.entry, x.launch.facts.known(), x.launch.gpu, x.outcome, x.faults)
            for x in lines[:MOST]
        )
        return cls(file, shown, len(lines) - len(shown), "")


@record(frozen=True)
class HookReport(Body):
    """The start-up files of an interpreter.

    Attributes:
        files: ours.
        foreign: files of our name that aiterfix did not write so.
        changed: written or removed by this run.
        mode: what `AITERFIX` says here.
        recorded: with `status`: launches that processes have recorded.
    """

    command = "hook"

    action: Literal["enable", "disable", "status"]
    python: Path
    site_packages: Path
    enabled: bool
    files: tuple[Path, ...]
    foreign: tuple[Path, ...]
    listed_in_record: bool
    changed: tuple[Path, ...]
    mode: Mode
    recorded: RecordedReport | None


@record(frozen=True)
class ProcessReport(Body):
    """What a process was started with.

    Attributes:
        variables: those that decide about the hook, where set.
        started_by_run: whether `aiterfix run` is behind it.
        off: whether `AITERFIX=off` forbids the hook.
        site_file: the start-up file of its interpreter, for people.
        patched: never known from outside.
        cannot_be_known: what, and where to look instead.
    """

    command = "hook"

    action: Literal["status"]
    pid: int
    command_line: tuple[str, ...]
    python: Path
    variables: Mapping[str, str]
    started_by_run: bool
    off: bool
    site_file: str
    patched: None
    cannot_be_known: str
