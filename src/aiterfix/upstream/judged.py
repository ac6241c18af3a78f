"""Which faults a commit's text has, by the one judge: the package is written out and judged as an installation is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiterfix.faults.base import Presence
from aiterfix.faults.registry import Faults
from aiterfix.history.record import RefRecord
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Judgement
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.package import Packages


@dataclass(frozen=True)
class FaultInTree:
    """One fault in one tree.

    Attributes:
        present: kernels that have it, by name.
        unknown: kernels of which that cannot be said.
        places: how many places in both make it so.
    """

    present: tuple[str, ...]
    unknown: tuple[str, ...]
    places: int

    @property
    def gone(self) -> bool:
        """Whether no kernel has it, or may have it."""
        return not self.present and not self.unknown


@dataclass(frozen=True)
class JudgedTree:
    """Every fault in one tree.

    Attributes:
        kernels: how many kernels it has that store something.
        faults: by id, those that are in some kernel, or may be; the others are in none.
        doubt: why nothing certain can be said; empty where it can.
    """

    commit: str
    date: str
    kernels: int
    faults: Mapping[str, FaultInTree]
    doubt: str = ""

    def of(self, fault: str) -> FaultInTree:
        """One fault in it."""
        return self.faults.get(fault, FaultInTree((), (), 0))


def judge_commits(
    clone: Clone, commits: Sequence[str], faults: Faults, progress: Callable[[str], None] = lambda _: None
) -> dict[str, JudgedTree]:
    """Judge commits that the clone has.

    Raises:
        CloneError: git failed.
    """
    found = {}
    wanted = list(dict.fromkeys(commits))
    if not wanted:
        return {}
    with clone.objects() as objects:
        packages = Packages(clone, objects, wanted, faults)
        for number, commit in enumerate(wanted, 1):
            progress(f"judging commit {number} of {len(wanted)}: {commit[:12]}")
            date = clone.commit_date(commit)
            with packages.written(commit) as package:
                if package.installation is None:
                    found[commit] = JudgedTree(commit, date, 0, {}, "; ".join(package.doubts))
                    continue
                judgement = judge_installation(package.installation, faults)
            found[commit] = _tree(commit, date, judgement, package.doubts)
    return found


def of_record(record: RefRecord, fault: str) -> FaultInTree | None:
    """What the facts of a tree tell of a fault; None where it was not looked for, or there is no kernel."""
    kernels = [k for f in record.shipped for k in f.kernels]
    if not kernels or any(fault not in k.presence for k in kernels):
        return None
    names: dict[Presence, list[str]] = {p: [] for p in Presence}
    for k in kernels:
        names[k.presence[fault]].append(k.kernel)
    return FaultInTree(tuple(names[Presence.PRESENT]), tuple(names[Presence.UNKNOWN]), 0)


def _tree(commit: str, date: str, judgement: Judgement, doubts: Sequence[str]) -> JudgedTree:
    present: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    places: dict[str, int] = {}
    for _, unit in judgement.units:
        for d in unit.diagnoses:
            if d.presence.harmless:
                continue
            (unknown if d.presence is Presence.UNKNOWN else present).setdefault(d.fault, []).append(unit.name)
            places[d.fault] = places.get(d.fault, 0) + sum(not f.presence.harmless for f in d.findings)
    faults = {f: FaultInTree(tuple(present.get(f, ())), tuple(unknown.get(f, ())), places[f]) for f in sorted(places)}
    problems = [f"{t.relative}: {p.message}" for t in judgement.texts for p in t.diagnosis.problems]
    doubt = next(iter([*doubts, *map(str, judgement.doubts), *problems]), "")
    # Stubs, which prebuilt code objects are launched through, are no kernels.
    return JudgedTree(commit, date, sum(unit.stores > 0 for _, unit in judgement.units), faults, doubt)
