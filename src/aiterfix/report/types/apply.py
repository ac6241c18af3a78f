"""``aiterfix apply --json``."""

from __future__ import annotations

from pathlib import Path

from aiterfix.judge.verdict import Verdict
from aiterfix.patching.outcome import Recovery
from aiterfix.report.document import Body
from aiterfix.report.types.common import Located, Sha256
from aiterfix.storage.record import record
from aiterfix.validation.evidence import Shown


@record(frozen=True)
class EditedPlace:
    """A place that was changed, by its line in the text that was there."""

    kernel: str
    line: int


@record(frozen=True)
class FaultEdits:
    """What took one fault out of a file.

    Attributes:
        shown: whether a recorded run failed before it and passed after it, of exactly the texts before and after.
    """

    fault: str
    places: tuple[EditedPlace, ...]
    shown: Shown


@record(frozen=True)
class EditedFile:
    """A file that was changed, or with `dry_run` would be."""

    path: Path
    sha256_before: Sha256
    sha256_after: Sha256
    faults: tuple[FaultEdits, ...]


@record(frozen=True)
class AppliedReport(Located):
    """What was done to one installation.

    Attributes:
        verdict: read from the disk at the end.
        recovered: what was done about an earlier run that had been killed.
        notes: what went wrong without harm.
    """

    verdict: Verdict
    changed: bool
    recovered: Recovery | None
    notes: tuple[str, ...]
    files: tuple[EditedFile, ...]


@record(frozen=True)
class ApplyReport(Body):
    """What was done to every installation that import would take."""

    command = "apply"

    verdict: Verdict
    dry_run: bool
    installations: tuple[AppliedReport, ...]
