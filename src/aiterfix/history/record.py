"""Facts about one tag or commit: which kernel files it has, which faults are in them, how their stores are guarded."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from aiterfix.faults.base import Fault, Presence, worst
from aiterfix.faults.diagnosis import TextDiagnosis, Unit
from aiterfix.history.bounds import Bounds, BoundState, GuardCounts
from aiterfix.judge.verdict import Verdict, of_presence
from aiterfix.source.kernel_launch import KernelLaunch
from aiterfix.source.sites import KernelAnalysis


@dataclass(frozen=True)
class KernelRecord:
    """One kernel definition.

    Attributes:
        group: its code path.
        line: 1-based line of the definition.
        presence: of every fault that was looked for, by id; absent where it cannot be in this kernel. In a package, as
            the functions that launch it make it: what they hand on, and what they refuse.
        obstacle: why one of them that is present cannot be taken out; empty where each can.
        alone: the same by the kernel's own text, where that says another thing.
    """

    kernel: str
    group: str
    line: int
    counts: GuardCounts
    presence: Mapping[str, Presence]
    obstacle: str = ""
    alone: Mapping[str, Presence] | None = None

    @property
    def by_text(self) -> Mapping[str, Presence]:
        """Presence by the kernel's own text."""
        return self.presence if self.alone is None else self.alone

    def in_package(self, presence: Mapping[str, Presence]) -> KernelRecord:
        """The same kernel beside the functions that launch it."""
        return replace(self, presence=presence, alone=None if presence == self.by_text else self.by_text)

    @classmethod
    def of(cls, unit: Unit, analysis: KernelAnalysis, faults: Sequence[Fault]) -> KernelRecord:
        """From what was found in a unit, the stores that it was found by, and what was looked for."""
        return cls(
            unit.name,
            unit.group,
            unit.line,
            GuardCounts.of(s.guard for s in analysis.sites),
            _presence(unit, faults),
            next((d.obstacle for d in unit.diagnoses if d.obstacle), ""),
        )


def _presence(unit: Unit, faults: Sequence[Fault]) -> dict[str, Presence]:
    found = {d.fault: d.presence for d in unit.diagnoses}
    return {f.id: found.get(f.id, Presence.ABSENT) for f in faults}


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

    @classmethod
    def of(cls, path: str, in_package: bool, diagnosis: TextDiagnosis, faults: Sequence[Fault]) -> FileRecord:
        """From the diagnosis of a text that was read, for these faults."""
        assert diagnosis.analysis is not None
        pairs = zip(diagnosis.units, diagnosis.analysis.kernels, strict=True)
        kernels = tuple(KernelRecord.of(unit, kernel, faults) for unit, kernel in pairs)
        problems = tuple(
            f"{p.code} at line {p.line}" + (f": Python {p.python} or later may be needed" if p.python else "")
            for p in diagnosis.problems
        )
        return cls(path, diagnosis.sha256, in_package, kernels, problems)

    def beside(self, units: Sequence[Unit], faults: Sequence[Fault]) -> FileRecord:
        """The same file beside the functions that launch its kernels: with what is said of its units there."""
        pairs = zip(self.kernels, units, strict=True)
        return replace(self, kernels=tuple(k.in_package(_presence(unit, faults)) for k, unit in pairs))

    def presence(self, faults: Collection[str], groups: Collection[str] | None = None) -> Presence:
        """Judgement over some faults, in the kernels of some code paths (all by default).

        What was not looked for is unknown.
        """
        if self.problems:
            return Presence.UNKNOWN
        kernels = [k for k in self.kernels if groups is None or k.group in groups]
        return worst(k.presence.get(f, Presence.UNKNOWN) for k in kernels for f in faults)

    def having(self, fault: str) -> int:
        """How many of its kernels have a fault."""
        return sum(k.presence.get(fault) is Presence.PRESENT for k in self.kernels)

    def verdict(self, faults: Collection[str]) -> Verdict:
        """The verdict that these faults make."""
        return of_presence(self.presence(faults))


@dataclass(frozen=True)
class Launcher:
    """A file without kernels of its own that launches some: a wrapper.

    Attributes:
        path: from the top of the tree, with forward slashes.
        sha256: hexadecimal digest of its bytes.
    """

    path: str
    sha256: str


@dataclass(frozen=True)
class RefRecord:
    """What one tag or commit holds.

    Attributes:
        ref: the name people use: a tag without ``refs/tags/``, or the revision that was asked for.
        date: of the tag, or of the commit where it is no annotated tag; ISO 8601 with offset.
        commit: full hexadecimal name.
        files: kernel files, by path.
        doubts: what keeps the judgement from being complete.
        launchers: wrappers of the package, by path.
    """

    ref: str
    date: str
    commit: str
    files: tuple[FileRecord, ...]
    doubts: tuple[str, ...] = ()
    launchers: tuple[Launcher, ...] = ()

    @property
    def when(self) -> datetime:
        """The date as an instant."""
        moment = datetime.fromisoformat(self.date.replace("Z", "+00:00"))
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)

    @property
    def shipped(self) -> tuple[FileRecord, ...]:
        """The files that an installation of it has."""
        return tuple(f for f in self.files if f.in_package)

    def presence(self, faults: Collection[str], groups: Collection[str] | None = None) -> Presence:
        """Judgement on the package as a whole over some faults, in the kernels of some code paths (all by default)."""
        if self.doubts:
            return Presence.UNKNOWN
        return worst(f.presence(faults, groups) for f in self.shipped)

    def having(self, fault: str) -> int:
        """How many kernels of the package have a fault."""
        return sum(f.having(fault) for f in self.shipped)

    def verdict(self, faults: Collection[str]) -> Verdict:
        """The verdict that these faults make."""
        return of_presence(self.presence(faults))

    def counts(self, bounds: Bounds) -> GuardCounts:
        """The stores of one code path, all shipped files together."""
        counts = (k.counts for f in self.shipped for k in f.kernels if k.group == bounds.group.name)
        return sum(counts, GuardCounts())

    def state(self, bounds: Bounds) -> BoundState:
        """How far the stores of one code path are bounded."""
        if self.presence((bounds.fault.id,), (bounds.group.name,)) is Presence.UNKNOWN:
            return BoundState.UNKNOWN
        counts = self.counts(bounds)
        if counts.total == 0:
            return BoundState.NO_STORES
        if counts.bounded == 0:
            return BoundState.UNBOUNDED
        return BoundState.BOUNDED if counts.bounded == counts.total else BoundState.PARTLY


@dataclass(frozen=True)
class MendRecord:
    """The proven mend of a released text: every deciding fault out.

    Attributes:
        sha256: hexadecimal digest of the mended text.
        parts: the mended text, in order: ranges of the released one in bytes, and what stands between them.
        steps: what each fault's mend changed: kernels and lines, see `aiterfix.faults.mend.Step`.
        kernels: the kernels of the mended text.
    """

    sha256: str
    parts: tuple[tuple[int, int] | str, ...]
    steps: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    kernels: tuple[KernelRecord, ...]


@dataclass(frozen=True)
class WrapperRecord:
    """A package whose wrappers launch kernels by names that all lead to a definition.

    Attributes:
        sources: digests of the files that name a kernel, by path from the package's folder.
        others: digests of the other files whose names were followed.
        modules: modules that were looked for, and where they are, see `aiterfix.judge.modules`.
    """

    sources: Mapping[str, str]
    others: Mapping[str, str]
    modules: Mapping[str, str]


@dataclass(frozen=True)
class History:
    """Facts about every tag of a repository.

    Attributes:
        repository: owner and name.
        newest: date of the newest tag in it, ISO 8601.
        faults: ids of the faults that were looked for.
        kernels: names of the kernels that they were looked for in.
        refs: by date, then name.
        mends: of its texts, by digest.
        wrappers: of its packages, released and mended.
        branches: what branches held when the facts were made, in the same form.
        launches: what each of its texts launches, released and mended, by digest.
    """

    repository: str
    newest: str
    faults: tuple[str, ...]
    kernels: tuple[str, ...]
    refs: tuple[RefRecord, ...]
    mends: Mapping[str, MendRecord] = field(default_factory=dict)
    wrappers: tuple[WrapperRecord, ...] = ()
    branches: tuple[RefRecord, ...] = ()
    launches: Mapping[str, tuple[KernelLaunch, ...]] = field(default_factory=dict)

    @property
    def everything(self) -> tuple[RefRecord, ...]:
        """Tags, and branches behind them."""
        return (*self.refs, *self.branches)
