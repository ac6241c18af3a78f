"""``aiterfix diff --json``."""

from __future__ import annotations

from aiterfix.report.document import Body
from aiterfix.storage.record import record


@record(frozen=True)
class DiffReport(Body):
    """What `apply` would change.

    Attributes:
        diff: a unified diff, for `patch -p1` or `git apply` in the folder that holds the package.
    """

    command = "diff"

    diff: str
    changes: bool
