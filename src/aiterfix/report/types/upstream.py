"""``aiterfix upstream scan|status|export --json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.faults.base import PullRequest
from aiterfix.history.bounds import Bounds, BoundState
from aiterfix.history.milestones import fixes
from aiterfix.history.record import RefRecord
from aiterfix.report.document import Body, ErrorReport
from aiterfix.report.types.common import Commit, Count, NoCommit, Sha256
from aiterfix.report.types.compat import BoundsReport, FixReport, RecordedTree, in_names
from aiterfix.storage.record import record
from aiterfix.upstream.explain import Explanation, SubjectAnswer
from aiterfix.upstream.judged import FaultInTree
from aiterfix.upstream.milestones import Milestone, OldKernels, goals, milestone, old_kernels
from aiterfix.upstream.pulls import PullState
from aiterfix.upstream.scan import ScanResult
from aiterfix.upstream.sentences import FaultStory, PullSentence
from aiterfix.upstream.status import Origin, PullReport, StatusResult

if TYPE_CHECKING:
    from aiterfix.upstream.export import Export
    from aiterfix.upstream.proposal import ChangedFile


def _name(request: PullRequest) -> str:
    return f"{request.repository}#{request.number}"


@record(frozen=True)
class MilestoneReport:
    """When a goal was reached.

    Attributes:
        first: the lowest version, pre-releases apart.
        lost: without it, above a release with it by version.
        behind: without it, published after a release with it, of lower version.
        unknown: could not be judged.
        newest_remaining: stores in the way in the newest.
    """

    group: str
    goal: str
    pull_requests: tuple[str, ...]
    first: str | None
    first_with_prereleases: str | None
    first_by_date: str | None
    last_without: str | None
    last_without_by_date: str | None
    lost: tuple[str, ...]
    behind: tuple[str, ...]
    unknown: tuple[str, ...]
    newest: str | None
    newest_remaining: Count

    @classmethod
    def of(cls, m: Milestone) -> MilestoneReport:
        """From a milestone."""
        pulls, newest = tuple(map(_name, m.goal.pulls)), m.newest.ref if m.newest is not None else None
        return cls(m.goal.bounds.group.name, m.goal.label, pulls, *in_names(m), newest, m.newest_remaining)


@record(frozen=True)
class OldKernelsReport:
    """A release with kernels older than those of one published before."""

    group: str
    ref: str
    kernels_since: str
    newer_kernels_in: str

    @classmethod
    def of(cls, bounds: Bounds, old: OldKernels) -> OldKernelsReport:
        """From what was found."""
        return cls(bounds.group.name, old.release.ref, old.since.ref, old.newer.ref)


@record(frozen=True)
class ScanReport(Body):
    """References of a clone, judged by source.

    Attributes:
        skipped: tags that name no commit.
        sources: distinct Python files searched.
        analysed: distinct files with kernels, or with doubts about some.
        fixes: when releases were rid of each fault.
    """

    command = "upstream scan"

    shallow: bool
    partial: bool
    skipped: tuple[str, ...]
    sources: Count
    analysed: Count
    refs: tuple[RecordedTree, ...]
    milestones: tuple[MilestoneReport, ...]
    old_kernels: tuple[OldKernelsReport, ...]
    fixes: tuple[FixReport, ...]

    @classmethod
    def of(cls, result: ScanResult) -> ScanReport:
        """From a scan."""
        return cls(
            shallow=result.shallow,
            partial=result.partial,
            skipped=result.skipped,
            sources=result.sources,
            analysed=result.analysed,
            refs=tuple(RecordedTree.of(r, result.faults) for r in result.refs),
            milestones=tuple(MilestoneReport.of(milestone(g, result.refs)) for b in result.bounds for g in goals(b)),
            old_kernels=tuple(OldKernelsReport.of(b, o) for b in result.bounds for o in old_kernels(b, result.refs)),
            fixes=tuple(map(FixReport.of, fixes(result.refs, result.faults.judged))),
        )


@record(frozen=True)
class PullRequestReport:
    """One pull request, or issue.

    Attributes:
        state: null where nothing is known.
        carried_by: other pull requests whose history holds the head of this one.
        head_source: its head commit judged by source, where a clone has it.
    """

    repository: str
    number: Count
    role: str
    state: PullState | None
    title: str
    head: NoCommit
    merge: NoCommit
    changed: str
    origin: Origin
    as_of: str
    carried_by: tuple[Count, ...]
    head_source: tuple[BoundsReport, ...] | None

    @classmethod
    def of(cls, report: PullReport, bounds: Sequence[Bounds]) -> PullRequestReport:
        """From what was gathered."""
        pull, head = report.pull, report.head_source
        return cls(
            repository=report.request.repository,
            number=report.request.number,
            role=report.request.role,
            state=pull.state if pull else None,
            title=pull.title if pull else "",
            head=pull.head if pull else "",
            merge=pull.merge if pull else "",
            changed=pull.changed if pull else "",
            origin=report.origin,
            as_of=report.as_of,
            carried_by=report.carried_by,
            head_source=None if head is None else tuple(BoundsReport.of(head, b) for b in bounds),
        )


@record(frozen=True)
class SubjectReport:
    """A tree asked about, by source.

    Attributes:
        contains: whether a pull request's change is in it; null where that cannot be told.
    """

    name: str
    state: BoundState
    stores: Count
    bounded: Count
    contains: Mapping[str, bool | None]

    @classmethod
    def of(cls, subject: SubjectAnswer) -> SubjectReport:
        """From an answer."""
        contains = {_name(p): has for p, has in subject.contains}
        return cls(subject.name, subject.state, subject.stores, subject.bounded, contains)


@record(frozen=True)
class ExplanationReport:
    """What to know about the store bounds of one code path."""

    group: str
    summary: str
    warnings: tuple[str, ...]
    subjects: tuple[SubjectReport, ...]

    @classmethod
    def of(cls, e: Explanation) -> ExplanationReport:
        """From an explanation."""
        return cls(e.bounds.group.name, e.summary, e.warnings, tuple(map(SubjectReport.of, e.subjects)))


@record(frozen=True)
class FaultCount:
    """A fault in a tree.

    Attributes:
        present: kernels that have it.
        unknown: kernels of which that cannot be said.
        places: how many places in both make it so.
    """

    present: tuple[str, ...]
    unknown: tuple[str, ...]
    places: Count

    @classmethod
    def of(cls, found: FaultInTree | None) -> FaultCount | None:
        """From what was judged; None where nothing was."""
        return None if found is None else cls(found.present, found.unknown, found.places)


@record(frozen=True)
class SentenceReport:
    """A pull request, or issue, about a fault.

    Attributes:
        sentence: for people.
        state_from: where its state comes from, and of when that is.
        head: the fault in its own text; null where that is not at hand.
        base: the fault in the text that it changes; null where that is not at hand.
    """

    pull_request: str
    issue: bool
    sentence: str
    state_from: str
    head: FaultCount | None
    base: FaultCount | None

    @classmethod
    def of(cls, s: PullSentence) -> SentenceReport:
        """From a sentence."""
        return cls(_name(s.request), s.request.issue, s.text, s.source, FaultCount.of(s.head), FaultCount.of(s.base))


@record(frozen=True)
class FaultStoryReport:
    """A fault upstream.

    Attributes:
        main: the fault in upstream's main branch; null where that is not at hand.
        newest_release: the newest one that was judged; null where facts do not tell of this fault.
        places: sentences on main, the newest release, and each tree asked about.
    """

    id: str
    main: FaultCount | None
    newest_release: str | None
    places: tuple[str, ...]
    pull_requests: tuple[SentenceReport, ...]

    @classmethod
    def of(cls, told: FaultStory) -> FaultStoryReport:
        """From a story."""
        pulls = tuple(map(SentenceReport.of, told.pulls))
        return cls(told.fault.id, FaultCount.of(told.main), told.newest, told.places, pulls)


@record(frozen=True)
class StatusReport(Body):
    """Every pull request, and what it means.

    Attributes:
        main: the commit of upstream's main branch that was judged; empty without one.
        faults: fault by fault, a sentence a pull request.
        releases_up_to: date of the newest tag that was judged.
        trouble: why GitHub could not be asked for some.
    """

    command = "upstream status"

    releases_up_to: str
    main: NoCommit
    faults: tuple[FaultStoryReport, ...]
    pull_requests: tuple[PullRequestReport, ...]
    bounds: tuple[ExplanationReport, ...]
    trouble: tuple[ErrorReport, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        result: StatusResult,
        stories: Sequence[FaultStory],
        explanations: Sequence[Explanation],
        bounds: Sequence[Bounds],
        refs: Sequence[RefRecord],
    ) -> StatusReport:
        """From what was gathered; ``refs`` are the judged tags that the explanations rest on."""
        return cls(
            releases_up_to=max(refs, key=lambda r: r.when).date if refs else "",
            main=result.main.commit if result.main is not None else "",
            faults=tuple(map(FaultStoryReport.of, stories)),
            pull_requests=tuple(PullRequestReport.of(r, bounds) for r in result.reports),
            bounds=tuple(map(ExplanationReport.of, explanations)),
            trouble=tuple(map(ErrorReport.of, result.trouble)),
            notes=result.notes,
        )


@record(frozen=True)
class PatchedFile:
    """A file of the commit.

    Attributes:
        kernels: kernels, or functions, that are changed.
        places: how many places in them.
    """

    path: str
    sha256_before: Sha256
    sha256_after: Sha256
    kernels: tuple[str, ...]
    places: Count

    @classmethod
    def of(cls, file: ChangedFile) -> PatchedFile:
        """From what was rewritten."""
        m = file.mended
        return cls(file.path, m.before.sha256, m.after.sha256, file.kernels, len(file.places))


@record(frozen=True)
class ExportReport(Body):
    """The branch that was made.

    Attributes:
        replaced: what the branch pointed to before; empty where it is new.
        format_patch: where the commit was written as a mail.
    """

    command = "upstream export"

    fault: str
    branch: str
    commit: Commit
    base: Commit
    replaced: str
    files: tuple[PatchedFile, ...]
    test: str | None
    subject: str
    message: str
    pull_request: str
    format_patch: Path | None

    @classmethod
    def of(cls, made: Export, format_patch: Path | None) -> ExportReport:
        """From what was made."""
        return cls(
            fault=made.fault,
            branch=made.branch,
            commit=made.commit,
            base=made.base,
            replaced=made.replaced,
            files=tuple(map(PatchedFile.of, made.files)),
            test=made.test_path,
            subject=made.proposal.subject,
            message=made.proposal.message,
            pull_request=made.proposal.body,
            format_patch=format_patch,
        )
