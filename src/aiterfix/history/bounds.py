"""Store bounds of one code path: the unit in which releases, pull requests and patches of `column-bound` are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from aiterfix.family.kernels import KernelGroup
from aiterfix.faults.base import Fault, PullRequest
from aiterfix.faults.registry import Faults
from aiterfix.source.guards import Guard


class BoundState(str, Enum):
    """How far the stores of one code path are bounded in a tree, judged by its source alone."""

    NO_STORES = "no-stores"
    """None of the kernels stores to an output here."""
    UNBOUNDED = "unbounded"
    """No store is bounded."""
    PARTLY = "partly"
    """Some stores are bounded, some are not: the tree still overshoots."""
    BOUNDED = "bounded"
    """Every store is bounded."""
    UNKNOWN = "unknown"
    """Not understood, or not all of the tree could be read. Never safe."""


@dataclass(frozen=True)
class Bounds:
    """A fault of stores past the end of their row, in the kernels of one code path."""

    fault: Fault
    group: KernelGroup

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.fault.id} ({self.group.name})"

    @property
    def upstream(self) -> tuple[PullRequest, ...]:
        """The pull requests about these kernels: those of a fault are about the first code path it names."""
        return self.fault.upstream if self.group == self.fault.groups[0] else ()


def bounds_of(known: Faults) -> tuple[Bounds, ...]:
    """Store bounds of every code path that a fault of this kind is declared for, each path once."""
    found: dict[str, Bounds] = {}
    for fault in known.judged:
        if fault.verb == "bound-column":
            for group in fault.groups:
                found.setdefault(group.name, Bounds(fault, group))
    return tuple(found.values())


def removed(request: PullRequest) -> frozenset[Guard]:
    """The guards that no store has once the change of a pull request is in; none where it changes no kernel."""
    return frozenset(map(Guard, request.removes))


@dataclass(frozen=True)
class GuardCounts:
    """Stores counted by the bounds that their masks put on the column."""

    none: int = 0
    lower: int = 0
    upper: int = 0
    both: int = 0

    @classmethod
    def of(cls, guards: Iterable[Guard]) -> GuardCounts:
        """Count guards."""
        seen = [g.value for g in guards]
        return cls(*(seen.count(g.value) for g in Guard))

    def __add__(self, other: GuardCounts) -> GuardCounts:
        return GuardCounts(*(a + b for a, b in zip(self.as_tuple(), other.as_tuple(), strict=True)))

    def as_tuple(self) -> tuple[int, int, int, int]:
        """In the order of `Guard`."""
        return (self.none, self.lower, self.upper, self.both)

    def count(self, guard: Guard) -> int:
        """How many stores have this guard."""
        return dict(zip(Guard, self.as_tuple(), strict=True))[guard]

    @property
    def total(self) -> int:
        """How many stores there are."""
        return sum(self.as_tuple())

    @property
    def bounded(self) -> int:
        """How many cannot reach past the end of their row."""
        return sum(self.count(g) for g in Guard if g.bounded)
