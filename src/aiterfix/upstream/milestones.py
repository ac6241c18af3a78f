"""When releases got their stores bounded, and whether one lost that again.

Two orders matter. Whoever upgrades goes by version: a release without the bounds above one that has them is a loss. But
branches are released side by side: v0.1.15.post2 is newer than v0.1.16 and has older kernels, so what was published
last is not what has the newest source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiterfix.faults.base import PullRequest
from aiterfix.history.bounds import Bounds, BoundState, removed
from aiterfix.history.record import RefRecord
from aiterfix.source.guards import Guard
from aiterfix.upstream.extras import need

if TYPE_CHECKING:
    from packaging.version import Version

EVERY_STORE = frozenset(g for g in Guard if not g.bounded)
"""Guards that must be gone for every store to be bounded."""


@dataclass(frozen=True)
class Goal:
    """A state of source that a pull request brings about, or all of them together.

    Attributes:
        bounds: whose stores.
        removes: guards that no store of its kernels has then.
        pulls: the pull requests declared to bring it about.
    """

    bounds: Bounds
    removes: frozenset[Guard]
    pulls: tuple[PullRequest, ...]

    @property
    def label(self) -> str:
        """What holds then, for people."""
        return "every store is bounded" if self.removes == EVERY_STORE else "no store is without any mask bound"

    def remaining(self, ref: RefRecord) -> int:
        """How many stores stand in the way."""
        counts = ref.counts(self.bounds)
        return sum(counts.count(g) for g in self.removes)

    def reached(self, ref: RefRecord) -> bool | None:
        """Whether a tree is there; None where it cannot be told or it has no such stores."""
        if ref.state(self.bounds) in (BoundState.UNKNOWN, BoundState.NO_STORES):
            return None
        return self.remaining(ref) == 0


@dataclass(frozen=True)
class Milestone:
    """How releases stand to a goal. Every release is a tag that is a version; None where there is none.

    Attributes:
        goal: the goal.
        first: the first release with it, by version, pre-releases left out.
        first_any: the same, pre-releases counted.
        first_by_date: the first one published.
        last_without: the last release without it, by version.
        last_without_by_date: the last one published without it.
        lost: releases without it above one with it, by version.
        behind: releases without it published after one with it, of lower version: older branches.
        unknown: releases that could not be judged.
        newest: the newest release by version that has such stores.
        newest_remaining: how many of its stores stand in the way.
    """

    goal: Goal
    first: RefRecord | None
    first_any: RefRecord | None
    first_by_date: RefRecord | None
    last_without: RefRecord | None
    last_without_by_date: RefRecord | None
    lost: tuple[RefRecord, ...]
    behind: tuple[RefRecord, ...]
    unknown: tuple[RefRecord, ...]
    newest: RefRecord | None
    newest_remaining: int


@dataclass(frozen=True)
class OldKernels:
    """A release whose kernels are older than those of one published before it.

    Attributes:
        release: the release.
        since: the first published with these kernels.
        newer: the last one published before it that has newer kernels.
    """

    release: RefRecord
    since: RefRecord
    newer: RefRecord


def goals(bounds: Bounds) -> tuple[Goal, ...]:
    """What the pull requests bring about, and every store bounded; the smaller goals first."""
    wanted = {removed(p) for p in bounds.upstream if p.removes} | {EVERY_STORE}
    return tuple(
        Goal(bounds, removes, tuple(p for p in bounds.upstream if removed(p) == removes))
        for removes in sorted(wanted, key=lambda r: (len(r), sorted(g.value for g in r)))
    )


def releases(refs: Sequence[RefRecord]) -> list[tuple[Version, RefRecord]]:
    """The tags that are versions, in that order. ``archive/…`` and the like are none."""
    module = need("packaging.version")
    found = []
    for ref in refs:
        try:
            found.append((module.Version(ref.ref), ref))
        except module.InvalidVersion:
            continue
    return sorted(found, key=lambda pair: (pair[0], pair[1].when))


def milestone(goal: Goal, refs: Sequence[RefRecord]) -> Milestone:
    """How the releases among these references stand to a goal."""
    ordered = releases(refs)
    unknown = tuple(r for _, r in ordered if r.state(goal.bounds) is BoundState.UNKNOWN)
    judged = [(v, r, bool(goal.reached(r))) for v, r in ordered if goal.reached(r) is not None]
    by_date = sorted(judged, key=lambda item: item[1].when)
    having = [(v, r) for v, r, reached in judged if reached]
    first_any = having[0] if having else None
    first_by_date = next((r for _, r, reached in by_date if reached), None)
    lost: list[RefRecord] = []
    behind: list[RefRecord] = []
    if first_any is not None and first_by_date is not None:
        lost = [r for v, r, reached in judged if not reached and v > first_any[0]]
        behind = [r for v, r, reached in by_date if not reached and v < first_any[0] and r.when > first_by_date.when]
    newest = judged[-1][1] if judged else None
    return Milestone(
        goal,
        next((r for v, r in having if not v.is_prerelease), None),
        first_any[1] if first_any else None,
        first_by_date,
        next((r for _, r, reached in reversed(judged) if not reached), None),
        next((r for _, r, reached in reversed(by_date) if not reached), None),
        tuple(lost),
        tuple(behind),
        unknown,
        newest,
        goal.remaining(newest) if newest is not None else 0,
    )


def old_kernels(bounds: Bounds, refs: Sequence[RefRecord]) -> tuple[OldKernels, ...]:
    """Releases that went back to kernels older than what had been published, by date."""
    first_seen: dict[frozenset[str], RefRecord] = {}
    found = []
    earlier: list[tuple[frozenset[str], RefRecord]] = []
    for _, ref in sorted(releases(refs), key=lambda pair: pair[1].when):
        digests = frozenset(
            f.sha256 for f in ref.shipped if any(k.group == bounds.group.name and k.counts.total for k in f.kernels)
        )
        if not digests:
            continue
        since = first_seen.setdefault(digests, ref)
        newer = [r for d, r in earlier if first_seen[d].when > since.when]
        if newer:
            found.append(OldKernels(ref, since, newer[-1]))
        earlier.append((digests, ref))
    return tuple(found)
