"""Facts about one tag or commit: which kernel files it has and how their stores are guarded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from aiterfix.verdict import Guard, Verdict, worst


class FixState(str, Enum):
    """How far a tree has a fix, judged by its source alone."""

    NOT_AFFECTED = "not-affected"
    """None of the fix's kernels stores to an output here."""
    NEEDED = "needed"
    """No store is bounded."""
    PARTLY = "partly"
    """Some stores are bounded, some are not: the tree still overshoots."""
    THERE = "there"
    """Every store is bounded."""
    UNKNOWN = "unknown"
    """Not understood, or not all of the tree could be read. Never safe."""


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


@dataclass(frozen=True)
class KernelRecord:
    """One kernel's stores.

    Attributes:
        kernel: the kernel's function name.
        fix: id of the fix that declares it.
        counts: its stores by guard.
        verdict: judgement on this kernel alone; unknown where it is not understood.
    """

    kernel: str
    fix: str
    counts: GuardCounts
    verdict: Verdict


@dataclass(frozen=True)
class FileRecord:
    """One file that holds a declared kernel, or that raises a doubt about one.

    Attributes:
        path: from the top of the tree, with forward slashes.
        sha256: hexadecimal digest of its bytes.
        in_package: whether it lies in the package that is installed; test and benchmark copies do not count.
        kernels: the declared kernels defined in it.
        problems: why the file as a whole is not understood: code and line.
    """

    path: str
    sha256: str
    in_package: bool
    kernels: tuple[KernelRecord, ...]
    problems: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Judgement on the file."""
        if self.problems:
            return Verdict.UNKNOWN
        return worst((k.verdict for k in self.kernels), empty=Verdict.NOT_AFFECTED)


@dataclass(frozen=True)
class RefRecord:
    """What one tag or commit holds.

    Attributes:
        ref: the name people use: a tag without ``refs/tags/``, or the revision that was asked for.
        date: of the tag, or of the commit where it is no annotated tag; ISO 8601 with offset.
        commit: full hexadecimal name.
        files: kernel files, by path.
        doubts: what keeps the judgement from being complete.
    """

    ref: str
    date: str
    commit: str
    files: tuple[FileRecord, ...]
    doubts: tuple[str, ...] = ()

    @property
    def when(self) -> datetime:
        """The date as an instant."""
        moment = datetime.fromisoformat(self.date.replace("Z", "+00:00"))
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)

    @property
    def shipped(self) -> tuple[FileRecord, ...]:
        """The files that an installation of it has."""
        return tuple(f for f in self.files if f.in_package)

    @property
    def verdict(self) -> Verdict:
        """Judgement on the package as a whole, every fix together."""
        if self.doubts:
            return Verdict.UNKNOWN
        return worst((f.verdict for f in self.shipped), empty=Verdict.NOT_AFFECTED)

    def counts(self, fix: str) -> GuardCounts:
        """The stores of one fix's kernels, all shipped files together."""
        return sum((k.counts for f in self.shipped for k in f.kernels if k.fix == fix), GuardCounts())

    def state(self, fix: str) -> FixState:
        """How far the tree has a fix."""
        kernels = [k for f in self.shipped for k in f.kernels if k.fix == fix]
        doubtful = any(f.problems for f in self.shipped) or any(k.verdict is Verdict.UNKNOWN for k in kernels)
        if self.doubts or doubtful:
            return FixState.UNKNOWN
        counts = self.counts(fix)
        if counts.total == 0:
            return FixState.NOT_AFFECTED
        if counts.bounded == 0:
            return FixState.NEEDED
        return FixState.THERE if counts.bounded == counts.total else FixState.PARTLY


@dataclass(frozen=True)
class History:
    """Facts about every tag of a repository.

    Attributes:
        repository: owner and name.
        newest: date of the newest reference in it, ISO 8601.
        refs: by date, then name.
    """

    repository: str
    newest: str
    refs: tuple[RefRecord, ...]

    @property
    def fixes(self) -> tuple[str, ...]:
        """Ids of the fixes that its kernels belong to, sorted."""
        return tuple(sorted({k.fix for r in self.refs for f in r.files for k in f.kernels}))
