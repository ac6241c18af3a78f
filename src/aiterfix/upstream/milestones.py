"""When releases got their stores bounded, by what pull requests bring about: see `aiterfix.history.milestones`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aiterfix.faults.base import PullRequest
from aiterfix.history.bounds import Bounds, BoundState, removed
from aiterfix.history.milestones import Standing, standing
from aiterfix.history.milestones import releases as releases
from aiterfix.history.record import RefRecord
from aiterfix.source.guards import Guard

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
class Milestone(Standing):
    """How releases stand to a goal.

    Attributes:
        newest_remaining: how many stores stand in the way in the newest.
    """

    goal: Goal
    newest_remaining: int


@dataclass(frozen=True)
class OldKernels:
    """A release whose kernels are older than those of one published before it.

    Attributes:
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


def milestone(goal: Goal, refs: Sequence[RefRecord]) -> Milestone:
    """How the releases among these references stand to a goal."""
    found = standing(goal.reached, lambda r: r.state(goal.bounds) is BoundState.UNKNOWN, refs)
    return Milestone(
        **vars(found), goal=goal, newest_remaining=goal.remaining(found.newest) if found.newest is not None else 0
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
