"""``aiterfix revert --json``."""

from __future__ import annotations

from pathlib import Path

from aiterfix.installation.target import Installation
from aiterfix.patching.outcome import Recovery, Reverted
from aiterfix.report.document import Body
from aiterfix.report.types.common import Located, located
from aiterfix.storage.record import record


@record(frozen=True)
class RevertedReport(Located):
    """What was given back to one installation.

    Attributes:
        left_alone: files that belong to another version now.
        recovered: what was done about an earlier run that had been killed.
    """

    restored: tuple[Path, ...]
    left_alone: tuple[Path, ...]
    recovered: Recovery | None

    @classmethod
    def of(cls, installation: Installation, done: Reverted) -> RevertedReport:
        """From what `revert` did."""
        return cls(**located(installation), restored=done.restored, left_alone=done.skipped, recovered=done.recovered)


@record(frozen=True)
class RevertReport(Body):
    """Every installation found."""

    command = "revert"

    installations: tuple[RevertedReport, ...]
