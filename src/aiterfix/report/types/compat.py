"""``aiterfix compat --json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiterfix.faults.base import Presence
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import Bounds, BoundState, GuardCounts, bounds_of
from aiterfix.history.compat import Compat
from aiterfix.history.record import FileRecord, KernelRecord, RefRecord
from aiterfix.judge.verdict import Verdict
from aiterfix.report.document import Body
from aiterfix.report.types.common import Commit, Count, Sha256
from aiterfix.storage.record import record


@record(frozen=True)
class RecordedFault:
    """One fault in a tree."""

    id: str
    presence: Presence


def recorded_faults(record: RefRecord | FileRecord, known: Faults) -> tuple[RecordedFault, ...]:
    """Every fault in a tree or file that is about the kernels' texts, which alone are recorded."""
    return tuple(RecordedFault(f.id, record.presence((f.id,))) for f in known.in_kernels)


@record(frozen=True)
class BoundsReport:
    """How far the stores of one code path are bounded in a tree."""

    group: str
    state: BoundState
    stores: Count
    bounded: Count

    @classmethod
    def of(cls, ref: RefRecord, bounds: Bounds) -> BoundsReport:
        """From a record."""
        counts = ref.counts(bounds)
        return cls(bounds.group.name, ref.state(bounds), counts.total, counts.bounded)


@record(frozen=True)
class Guards:
    """Stores by the bounds that their masks put on the column."""

    none: Count
    lower: Count
    upper: Count
    both: Count

    @classmethod
    def of(cls, counts: GuardCounts) -> Guards:
        """From counts."""
        return cls(*counts.as_tuple())


def sites(kernels: Sequence[KernelRecord]) -> Mapping[str, Guards]:
    """Stores by kernel and guard."""
    names = dict.fromkeys(k.kernel for k in kernels)
    return {n: Guards.of(sum((k.counts for k in kernels if k.kernel == n), GuardCounts())) for n in names}


@record(frozen=True)
class ReleasedFile:
    """A kernel file of a release.

    Attributes:
        sites: stores by kernel and guard.
    """

    path: str
    sha256: Sha256
    verdict: Verdict
    faults: tuple[RecordedFault, ...]
    sites: Mapping[str, Guards]

    @classmethod
    def of(cls, file: FileRecord, known: Faults) -> ReleasedFile:
        """From a record."""
        faults = recorded_faults(file, known)
        return cls(file.path, file.sha256, file.verdict(known.deciding), faults, sites(file.kernels))


@record(frozen=True)
class Release:
    """What is known of a release."""

    ref: str
    date: str
    commit: Commit
    verdict: Verdict
    faults: tuple[RecordedFault, ...]
    bounds: tuple[BoundsReport, ...]
    files: tuple[ReleasedFile, ...]

    @classmethod
    def of(cls, ref: RefRecord, known: Faults) -> Release:
        """From a record."""
        return cls(
            ref.ref,
            ref.date,
            ref.commit,
            ref.verdict(known.deciding),
            recorded_faults(ref, known),
            tuple(BoundsReport.of(ref, b) for b in bounds_of(known)),
            tuple(ReleasedFile.of(f, known) for f in ref.files),
        )


@record(frozen=True)
class CompatReport(Body):
    """What is known of the version asked about.

    Attributes:
        release: null where it is not known.
        closest: the release that a labelled build names itself after.
        not_judged: ids of the known faults that nothing is said of.
        facts_up_to: date of the newest tag in the facts.
    """

    command = "compat"

    asked: str
    known: bool
    verdict: Verdict
    release: Release | None
    closest: Release | None
    reason: str
    facts_up_to: str
    not_judged: tuple[str, ...]

    @classmethod
    def of(cls, answer: Compat, faults: Faults) -> CompatReport:
        """From the answer, for these faults."""
        release, closest = (Release.of(r, faults) if r else None for r in (answer.release, answer.closest))
        return cls(
            answer.asked,
            answer.known,
            answer.verdict(faults.deciding),
            release,
            closest,
            answer.reason,
            answer.newest,
            tuple(f.id for f in faults.not_judged),
        )
