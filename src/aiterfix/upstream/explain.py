"""What the pull requests' states mean for somebody who runs a release. Every sentence is derived from facts.

A person reads "closed" as refused and "merged" as fixed. Both are wrong here as often as not, so the state is always
put beside what the source of releases says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiterfix.faults.base import PullRequest
from aiterfix.history.bounds import Bounds, BoundState, removed
from aiterfix.history.record import RefRecord
from aiterfix.source.guards import Guard
from aiterfix.upstream.milestones import EVERY_STORE, Goal, Milestone, goals, milestone, releases
from aiterfix.upstream.pulls import PullState, called
from aiterfix.upstream.status import PullReport, StatusResult


@dataclass(frozen=True)
class Subject:
    """A tree that was asked about: a release, a revision of a clone, or an installation, as a record."""

    name: str
    record: RefRecord


@dataclass(frozen=True)
class SubjectAnswer:
    """What source says of one tree and the stores of one code path.

    Attributes:
        contains: whether the change of each pull request is in it; None where that cannot be told.
        text: one line for people.
    """

    name: str
    state: BoundState
    stores: int
    bounded: int
    contains: tuple[tuple[PullRequest, bool | None], ...]
    text: str


@dataclass(frozen=True)
class Explanation:
    """What to know about the store bounds of one code path.

    Attributes:
        summary: one line: every pull request's state and what is left.
        warnings: what a person would misread.
        subjects: an answer for each tree asked about.
    """

    bounds: Bounds
    summary: str
    warnings: tuple[str, ...]
    subjects: tuple[SubjectAnswer, ...]


def explain(
    bounds: Bounds, result: StatusResult, refs: Sequence[RefRecord], subjects: Sequence[Subject] = ()
) -> Explanation:
    """Put the states of pull requests beside the source of releases.

    Args:
        refs: judged tags: of the shipped history, or of a fresh scan.
    """
    stones = {g.removes: milestone(g, refs) for g in goals(bounds)}
    reports = [result.of(p) for p in bounds.upstream]
    parts: list[str] = []
    # What carried a closed one is named in the same breath, and its own milestone is the same.
    carriers = {(r.request.repository, n) for r in reports for n in r.carried_by if _same_goal(bounds, r.request, n)}
    spoken = [r for r in reports if (r.request.repository, r.request.number) not in carriers]
    done = [r for r in spoken if r.request.removes and r.pull is not None and r.pull.state is not PullState.OPEN]
    for report in done:
        parts += _state_parts(report, stones)
    parts += [text for text in (_remaining(bounds, refs),) if text]
    for report in spoken:
        if report not in done:
            parts += _state_parts(report, stones)
    warnings = [w for r in reports for w in _warnings(r, bounds, stones)]
    return Explanation(bounds, "; ".join(parts), tuple(warnings), tuple(_subject(bounds, s) for s in subjects))


def change_contained(request: PullRequest, bounds: Bounds, record: RefRecord) -> bool | None:
    """Whether a tree has the change of a pull request, by source; None where source cannot tell."""
    if not request.removes:
        return None
    return Goal(bounds, removed(request), (request,)).reached(record)


def _state_parts(report: PullReport, stones: dict[frozenset[Guard], Milestone]) -> list[str]:
    request, pull = report.request, report.pull
    if pull is None:
        return [f"nothing is known of the state of {called(request)}"]
    parts = [f"{called(request)} is {pull.state.value}"]
    if report.carried_by:
        parts.append("its commit is in " + " and ".join(f"#{n}" for n in report.carried_by))
    stone = stones.get(removed(request))
    first = _first(stone)
    if first is not None:
        parts.append(f"released in {first.ref}")
    elif stone is not None and stone.newest is not None and pull.state is not PullState.OPEN:
        parts.append("in no release by source")
    return parts


def _first(stone: Milestone | None) -> RefRecord | None:
    return None if stone is None else stone.first if stone.first is not None else stone.first_any


def _same_goal(bounds: Bounds, request: PullRequest, number: int) -> bool:
    return any(
        (p.repository, p.number, p.removes) == (request.repository, number, request.removes) for p in bounds.upstream
    )


def _newest(bounds: Bounds, refs: Sequence[RefRecord]) -> RefRecord | None:
    known = (BoundState.UNBOUNDED, BoundState.PARTLY, BoundState.BOUNDED)
    return next((r for _, r in reversed(releases(refs)) if r.state(bounds) in known), None)


def _remaining(bounds: Bounds, refs: Sequence[RefRecord]) -> str:
    newest = _newest(bounds, refs)
    if newest is None:
        return ""
    counts = newest.counts(bounds)
    left = counts.total - counts.bounded
    if left == 0:
        return f"none of the {counts.total} stores of {newest.ref} is left unbounded"
    return f"{left} of {counts.total} stores {'remains' if left == 1 else 'remain'} unbounded in {newest.ref}"


def _warnings(report: PullReport, bounds: Bounds, stones: dict[frozenset[Guard], Milestone]) -> list[str]:
    request, pull = report.request, report.pull
    stone = stones.get(removed(request))
    if pull is None:
        return []
    name = called(request)
    first = _first(stone)
    found = []
    if not request.removes:
        if pull.state is not PullState.OPEN:
            found.append(f"{name} changes no kernel: whatever its state, no release of aiter is safer for it.")
        return found
    if pull.state is PullState.CLOSED and first is not None:
        found.append(f"{name} says closed, not merged, but every release from {first.ref} on has its change by source.")
    if stone is not None and stone.lost:
        lost = ", ".join(r.ref for r in stone.lost)
        found[-1:] = [f"The change of {name} is in {first.ref if first else 'a release'}, and missing again in {lost}."]
    if pull.state is PullState.MERGED and first is None and stone is not None and stone.newest is not None:
        found.append(f"{name} says merged, but no release has its change by source.")
    if first is not None and removed(request) != EVERY_STORE and pull.state is not PullState.OPEN:
        newest = stone.newest if stone is not None else None
        left = newest.counts(bounds).total - newest.counts(bounds).bounded if newest is not None else 0
        if left and newest is not None:
            found.append(
                f"Having {name} is not being safe: {left} of {newest.counts(bounds).total} stores of {newest.ref} "
                "have no upper bound."
            )
    if pull.state is PullState.OPEN and first is not None:
        found.append(f"{name} is still open, but {first.ref} has its change by source: it came another way.")
    if report.head_source is not None:
        counts = report.head_source.counts(bounds)
        state = report.head_source.state(bounds)
        if state is BoundState.PARTLY and pull.state is PullState.OPEN:
            found.append(
                f"{name} as it stands leaves {counts.total - counts.bounded} of {counts.total} stores unbounded."
            )
    return found


def _subject(bounds: Bounds, subject: Subject) -> SubjectAnswer:
    record = subject.record
    state, counts = record.state(bounds), record.counts(bounds)
    contains = tuple((p, change_contained(p, bounds, record)) for p in bounds.upstream if p.removes)
    if state is BoundState.NO_STORES:
        text = "has none of these kernels"
    elif state is BoundState.UNKNOWN:
        reasons = [*record.doubts, *(f"{f.path}: {p}" for f in record.shipped for p in f.problems)]
        text = f"not understood, so treat it as unsafe{f' ({reasons[0]})' if reasons else ''}"
    else:
        having = [p for p, has in contains if has]
        lacking = [p for p, has in contains if has is False]
        text = f"{counts.bounded} of {counts.total} stores bounded"
        text += f"; has the change of {_numbers(having)}" if having else ""
        text += f"; lacks that of {_numbers(lacking)}" if lacking else ""
    return SubjectAnswer(subject.name, state, counts.total, counts.bounded, contains, f"{subject.name}: {text}")


def _numbers(pulls: Sequence[PullRequest]) -> str:
    return ", ".join(called(p) for p in pulls)
