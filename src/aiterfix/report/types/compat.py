"""``aiterfix compat --json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiterfix.faults.base import Presence
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import Bounds, BoundState, GuardCounts, bounds_of
from aiterfix.history.compat import Compat
from aiterfix.history.milestones import Fix, Standing
from aiterfix.history.record import FileRecord, History, KernelRecord, RefRecord
from aiterfix.history.siblings import SiblingFact, every_fact, facts_of
from aiterfix.judge.verdict import Verdict
from aiterfix.report.document import Body
from aiterfix.report.types.common import Commit, Count, Sha256
from aiterfix.storage.record import record


@record(frozen=True)
class RecordedFault:
    """One fault in a tree or file, as the functions that launch its kernels make it.

    Attributes:
        kernels: how many kernels have it.
    """

    id: str
    presence: Presence
    kernels: Count


def recorded_faults(record: RefRecord | FileRecord, known: Faults) -> tuple[RecordedFault, ...]:
    """Every judged fault in a tree or file."""
    return tuple(RecordedFault(f.id, record.presence((f.id,)), record.having(f.id)) for f in known.judged)


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
class RecordedFile:
    """A kernel file of a tag or commit.

    Attributes:
        in_package: whether it lies in the package that is installed.
        sites: stores by kernel and guard.
        problems: why it is not understood.
    """

    path: str
    sha256: Sha256
    in_package: bool
    verdict: Verdict
    faults: tuple[RecordedFault, ...]
    sites: Mapping[str, Guards]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, file: FileRecord, known: Faults) -> RecordedFile:
        """From a record."""
        return cls(
            file.path,
            file.sha256,
            file.in_package,
            file.verdict(known.deciding),
            recorded_faults(file, known),
            sites(file.kernels),
            file.problems,
        )


@record(frozen=True)
class WrapperFile:
    """A file of functions that launch the kernels, without kernels of its own."""

    path: str
    sha256: Sha256


@record(frozen=True)
class RecordedTree:
    """A tag or commit, judged by source.

    Attributes:
        doubts: what keeps the judgement from being complete.
    """

    ref: str
    date: str
    commit: Commit
    verdict: Verdict
    faults: tuple[RecordedFault, ...]
    bounds: tuple[BoundsReport, ...]
    files: tuple[RecordedFile, ...]
    wrappers: tuple[WrapperFile, ...]
    doubts: tuple[str, ...]

    @classmethod
    def of(cls, ref: RefRecord, known: Faults) -> RecordedTree:
        """From a record."""
        return cls(
            ref.ref,
            ref.date,
            ref.commit,
            ref.verdict(known.deciding),
            recorded_faults(ref, known),
            tuple(BoundsReport.of(ref, b) for b in bounds_of(known)),
            tuple(RecordedFile.of(f, known) for f in ref.files),
            tuple(WrapperFile(w.path, w.sha256) for w in ref.launchers),
            ref.doubts,
        )


def in_names(s: Standing) -> tuple[
    str | None, str | None, str | None, str | None, str | None, tuple[str, ...], tuple[str, ...], tuple[str, ...]
]:  # fmt: skip
    """How releases stand to something, by their names."""
    first, any_, by_date, last, last_by_date = (
        ref.ref if ref is not None else None
        for ref in (s.first, s.first_any, s.first_by_date, s.last_without, s.last_without_by_date)
    )
    lost, behind, unknown = (tuple(r.ref for r in refs) for refs in (s.lost, s.behind, s.unknown))
    return first, any_, by_date, last, last_by_date, lost, behind, unknown


@record(frozen=True)
class FixReport:
    """When releases were rid of a fault, in some kernels.

    Attributes:
        kernels: those of which this is so.
        first: the first release without it, by version, pre-releases apart; null where it is in all.
        last_with: the last release with it, by version.
        lost: releases with it above one without it, by version.
        behind: with it, published after a release without it, of lower version.
        unknown: could not be judged.
    """

    fault: str
    kernels: tuple[str, ...]
    first: str | None
    first_with_prereleases: str | None
    first_by_date: str | None
    last_with: str | None
    last_with_by_date: str | None
    lost: tuple[str, ...]
    behind: tuple[str, ...]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, fix: Fix) -> FixReport:
        """From the history."""
        return cls(fix.fault.id, fix.kernels, *in_names(fix.standing))


@record(frozen=True)
class CompatReport(Body):
    """What is known of the version asked about.

    Attributes:
        release: null where it is not known.
        closest: the release that a labelled build names itself after.
        not_judged: ids of the known faults that nothing is said of.
        fixes: when releases were rid of the faults that it has.
        facts: what is known of kernels beside the family that it has; nobody judges them.
        facts_up_to: date of the newest tag in the facts.
    """

    command = "compat"

    asked: str
    known: bool
    verdict: Verdict
    release: RecordedTree | None
    closest: RecordedTree | None
    reason: str
    facts_up_to: str
    not_judged: tuple[str, ...]
    fixes: tuple[FixReport, ...]
    facts: tuple[SiblingFact, ...]

    @classmethod
    def of(cls, answer: Compat, faults: Faults, fixes: Sequence[Fix]) -> CompatReport:
        """From the answer, for these faults."""
        release, closest = (RecordedTree.of(r, faults) if r else None for r in (answer.release, answer.closest))
        had = {f.id for f in release.faults if f.kernels} if release is not None else set()
        return cls(
            answer.asked,
            answer.known,
            answer.verdict(faults.deciding),
            release,
            closest,
            answer.reason,
            answer.newest,
            tuple(f.id for f in faults.not_judged),
            tuple(FixReport.of(f) for f in fixes if f.fault.id in had),
            facts_of(answer.release.ref) if answer.release is not None else (),
        )


@record(frozen=True)
class ReleaseRow:
    """A tag or branch in few words."""

    ref: str
    date: str
    commit: Commit
    verdict: Verdict
    faults: tuple[RecordedFault, ...]


@record(frozen=True)
class ReleasesReport(Body):
    """Every tag, and the main branch as it was.

    Attributes:
        facts_up_to: date of the newest tag in the facts.
        releases: by date.
        branches: as they were at their dates.
        fixes: when releases were rid of each fault.
        facts: what is known of kernels beside the family; nobody judges them.
    """

    command = "compat"

    facts_up_to: str
    releases: tuple[ReleaseRow, ...]
    branches: tuple[ReleaseRow, ...]
    fixes: tuple[FixReport, ...]
    facts: tuple[SiblingFact, ...]

    @classmethod
    def of(cls, history: History, faults: Faults, fixes: Sequence[Fix]) -> ReleasesReport:
        """From the history, for these faults."""

        def row(ref: RefRecord) -> ReleaseRow:
            return ReleaseRow(ref.ref, ref.date, ref.commit, ref.verdict(faults.deciding), recorded_faults(ref, faults))

        return cls(
            history.newest,
            tuple(map(row, history.refs)),
            tuple(map(row, history.branches)),
            tuple(map(FixReport.of, fixes)),
            every_fact(),
        )
