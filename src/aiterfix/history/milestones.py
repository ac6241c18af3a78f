"""When releases got something, and whether one lost it again; of every fault, when releases were rid of it.

Two orders matter. Whoever upgrades goes by version: a release without a fix above one that has it is a loss. But
branches are released side by side: v0.1.15.post2 is newer than v0.1.16 and has older kernels, so what was published
last is not what has the newest source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from aiterfix.faults.base import Fault, Presence, worst
from aiterfix.history.record import RefRecord
from aiterfix.history.versions import VersionName, read_version


@dataclass(frozen=True)
class Standing:
    """How releases stand to something that their source has or has not. None where there is no such release.

    Attributes:
        first: the first release with it, by version, pre-releases left out.
        first_any: the same, pre-releases counted.
        first_by_date: the first one published.
        last_without: the last release without it, by version.
        last_without_by_date: the last one published without it.
        lost: releases without it above one with it, by version.
        behind: releases without it published after one with it, of lower version: older branches.
        unknown: releases that could not be judged.
        newest: the newest release by version of which it can be said.
    """

    first: RefRecord | None
    first_any: RefRecord | None
    first_by_date: RefRecord | None
    last_without: RefRecord | None
    last_without_by_date: RefRecord | None
    lost: tuple[RefRecord, ...]
    behind: tuple[RefRecord, ...]
    unknown: tuple[RefRecord, ...]
    newest: RefRecord | None


@dataclass(frozen=True)
class Fix:
    """When releases were rid of a fault that some have.

    Attributes:
        kernels: names of the kernels of which this is so.
        standing: how releases stand to its being absent or refused there.
    """

    fault: Fault
    kernels: tuple[str, ...]
    standing: Standing


def releases(refs: Sequence[RefRecord]) -> list[tuple[VersionName, RefRecord]]:
    """The tags that are versions, in that order. ``archive/…`` and the like are none."""
    found = [(version, ref) for ref in refs if (version := read_version(ref.ref)) is not None]
    return sorted(found, key=lambda pair: (pair[0].order, pair[1].when))


def standing(
    reached: Callable[[RefRecord], bool | None], unknown: Callable[[RefRecord], bool], refs: Sequence[RefRecord]
) -> Standing:
    """How the releases among these references stand to something.

    Args:
        reached: whether one has it; None where it cannot be told, or the question does not arise.
        unknown: whether it is the former.
        refs: references; those that are no versions are passed over.
    """
    ordered = releases(refs)
    judged = [(v, r, has) for v, r in ordered if (has := reached(r)) is not None]
    by_date = sorted(judged, key=lambda item: item[1].when)
    having = [(v, r) for v, r, has in judged if has]
    first_any = having[0] if having else None
    first_by_date = next((r for _, r, has in by_date if has), None)
    lost: list[RefRecord] = []
    behind: list[RefRecord] = []
    if first_any is not None and first_by_date is not None:
        lost = [r for v, r, has in judged if not has and first_any[0] < v]
        behind = [r for v, r, has in by_date if not has and v < first_any[0] and r.when > first_by_date.when]
    return Standing(
        next((r for v, r in having if not v.prerelease), None),
        first_any[1] if first_any else None,
        first_by_date,
        next((r for _, r, has in reversed(judged) if not has), None),
        next((r for _, r, has in reversed(by_date) if not has), None),
        tuple(lost),
        tuple(behind),
        tuple(r for _, r in ordered if unknown(r)),
        judged[-1][1] if judged else None,
    )


def fixes(refs: Sequence[RefRecord], faults: Sequence[Fault]) -> tuple[Fix, ...]:
    """Of every fault that a release has, in which releases which kernels were rid of it.

    Args:
        refs: references; those that are no versions are passed over.
        faults: what to tell of, in this order.
    """
    return tuple(fix for fault in faults for fix in _fixes(refs, fault))


def _fixes(refs: Sequence[RefRecord], fault: Fault) -> Iterator[Fix]:
    grouped: list[tuple[Standing, list[str]]] = []
    names = dict.fromkeys(k.kernel for r in refs for f in r.shipped for k in f.kernels)
    for name in names:
        held = {id(r): presence_of(r, fault.id, name) for r in refs}
        ordered = [r for _, r in releases(refs)]
        first = next((i for i, r in enumerate(ordered) if held[id(r)] is Presence.PRESENT), None)
        if first is None:
            continue
        # What had not got it yet was not rid of it.
        since = ordered[first:]

        def reached(ref: RefRecord, held: dict[int, Presence | None] = held) -> bool | None:
            presence = held[id(ref)]
            return None if presence in (None, Presence.UNKNOWN) else presence is not Presence.PRESENT

        def unknown(ref: RefRecord, held: dict[int, Presence | None] = held) -> bool:
            return held[id(ref)] is Presence.UNKNOWN

        stands = standing(reached, unknown, since)
        same = next((kernels for other, kernels in grouped if other == stands), None)
        if same is None:
            grouped.append((stands, [name]))
        else:
            same.append(name)
    for stands, kernels in grouped:
        yield Fix(fault, tuple(kernels), stands)


def presence_of(ref: RefRecord, fault: str, kernel: str) -> Presence | None:
    """Presence of a fault in the kernel of this name; None where a tree has none that stores."""
    if ref.doubts or any(f.problems for f in ref.shipped):
        return Presence.UNKNOWN
    found = [k for f in ref.shipped for k in f.kernels if k.kernel == kernel and k.counts.total]
    return worst(k.presence.get(fault, Presence.UNKNOWN) for k in found) if found else None
