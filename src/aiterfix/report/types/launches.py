"""What ``aiterfix check --launches FILE --json`` adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from aiterfix.faults.base import Presence, Reach
from aiterfix.judge.launch_list import JudgedInstallation, JudgedList
from aiterfix.judge.launched import FaultOfLaunch, LaunchJudgement, Outcome
from aiterfix.report.types.check import CheckReport
from aiterfix.storage.record import record


@record(frozen=True)
class LaunchFault:
    """One fault that is in what a launch comes to, or may be.

    Attributes:
        decides: whether the outcome hangs on it.
        reach_facts: what `depends` hangs on.
        told: what happens, with the launch's numbers where they are known.
    """

    id: str
    decides: bool
    presence: Presence
    reach: Reach
    reach_facts: tuple[str, ...]
    told: str

    @classmethod
    def of(cls, fault: FaultOfLaunch) -> LaunchFault:
        """From the judgement."""
        return cls(fault.fault, fault.decides, fault.presence, fault.reach, fault.facts, fault.told)


@record(frozen=True)
class LaunchReport:
    """One combination of what a public function was handed.

    Attributes:
        entry: the function.
        facts: of the call, as far as they are known; docs/internals/import-hook.md says what each is.
        gpu: architecture; empty where it is not known.
        kernels: names of those that it may come to.
        reason: why nothing certain can be said; empty where it can.
    """

    entry: str
    facts: Mapping[str, int]
    gpu: str
    kernels: tuple[str, ...]
    outcome: Outcome
    reason: str
    faults: tuple[LaunchFault, ...]

    @classmethod
    def of(cls, judged: LaunchJudgement) -> LaunchReport:
        """From the judgement."""
        launch = judged.launch
        return cls(
            launch.entry,
            launch.facts.known(),
            launch.gpu,
            judged.kernels,
            judged.outcome,
            judged.reason,
            tuple(map(LaunchFault.of, judged.faults)),
        )


@record(frozen=True)
class LaunchedInstallation:
    """A list of launches against one installation."""

    installation: Path
    launches: tuple[LaunchReport, ...]

    @classmethod
    def of(cls, judged: JudgedInstallation) -> LaunchedInstallation:
        """From the judgement."""
        return cls(judged.package, tuple(map(LaunchReport.of, judged.launches)))


@record(frozen=True)
class LaunchesReport:
    """A list of launches, judged.

    Attributes:
        launches_outcome: the worst over all.
        launches_file: the list.
    """

    launches_outcome: Outcome
    launches_file: Path
    launched: tuple[LaunchedInstallation, ...]

    @classmethod
    def of(cls, judged: JudgedList) -> LaunchesReport:
        """From the judgement."""
        return cls(judged.outcome, judged.file, tuple(map(LaunchedInstallation.of, judged.installations)))


@record(frozen=True)
class LaunchedCheckReport(LaunchesReport, CheckReport):
    """The same with recorded launches judged."""

    @classmethod
    def with_launches(cls, report: CheckReport, launches: LaunchesReport) -> LaunchedCheckReport:
        """Both in one object."""
        parts: tuple[CheckReport | LaunchesReport, ...] = (report, launches)
        return cls(**{f.name: getattr(part, f.name) for part in parts for f in fields(part)})
