"""``aiterfix demo --json``."""

from __future__ import annotations

from aiterfix.report.document import Body
from aiterfix.storage.record import record


@record(frozen=True)
class StepReport:
    """One command of the walk."""

    command: tuple[str, ...]
    exit_code: int
    expected: int


@record(frozen=True)
class DemoReport(Body):
    """The whole walk.

    Attributes:
        restored: whether every file is again as it was.
    """

    command = "demo"

    passed: bool
    restored: bool
    steps: tuple[StepReport, ...]
