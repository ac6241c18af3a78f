"""When releases got a fix, in both orders that matter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aiterfix.faults.base import Presence
from aiterfix.history.bounds import BoundState, GuardCounts
from aiterfix.history.record import FileRecord, KernelRecord, RefRecord
from aiterfix.source.guards import Guard
from aiterfix.upstream.milestones import EVERY_STORE, Goal, goals, milestone, old_kernels, releases
from tests.upstream_tools.kernels import GLUON_BOUNDS as GLUON
from tests.upstream_tools.kernels import STAGE1_BOUNDS as STAGE1

WHOLE = Goal(GLUON, EVERY_STORE, ())
UNMASKED = Goal(GLUON, frozenset({Guard.NONE}), ())


def ref(name: str, day: int, *counts: int, digest: str = "") -> RefRecord:
    sites = GuardCounts(*counts)
    presence = Presence.ABSENT if sites.bounded == sites.total else Presence.PRESENT
    kernels = (KernelRecord("k", "gluon", 1, sites, {"column-bound": presence}),) if counts else ()
    file = FileRecord("aiter/k.py", (digest or "".join(map(str, counts))).rjust(64, "0"), True, kernels)
    return RefRecord(name, f"2026-01-{day:02}T00:00:00+00:00", f"{day:040}", (file,) if counts else ())


BARE, MASKED, FIXED = (1, 1, 0, 0), (0, 1, 1, 0), (0, 0, 1, 1)


def test_goals_come_from_the_pull_requests_and_every_store_bounded() -> None:
    found = goals(GLUON)
    assert [(g.removes, [p.number for p in g.pulls]) for g in found] == [
        (frozenset({Guard.NONE}), [2866, 3005]),
        (EVERY_STORE, [4580]),
    ]
    assert [(g.removes, g.pulls) for g in goals(STAGE1)] == [(EVERY_STORE, ())]
    assert {Guard.NONE, Guard.LOWER} == EVERY_STORE


def test_only_versions_are_releases_and_pre_releases_come_before() -> None:
    names = ["v0.10", "archive/0.1", "v0.2-rc1", "FAv3-0.0.0.1", "v0.2", "v0.2.dev0", "v0.2-longctx", "v0.2.post1"]
    refs = [ref(n, i + 1, *BARE) for i, n in enumerate(names)]
    assert [r.ref for _, r in releases(refs)] == ["v0.2.dev0", "v0.2-rc1", "v0.2", "v0.2.post1", "v0.10"]


def test_first_with_and_last_without() -> None:
    refs = [
        ref("v0.1", 1, *BARE),
        ref("v0.2-rc1", 2, *BARE),
        ref("v0.2-rc2", 3, *MASKED),
        ref("v0.2", 4, *MASKED),
        ref("v0.3", 5, *FIXED),
    ]
    stone = milestone(UNMASKED, refs)
    assert stone.first is not None and stone.first.ref == "v0.2"
    assert stone.first_any is not None and stone.first_any.ref == "v0.2-rc2"
    assert stone.last_without is not None and stone.last_without.ref == "v0.2-rc1"
    assert (stone.lost, stone.behind, stone.newest_remaining) == ((), (), 0)
    whole = milestone(WHOLE, refs)
    assert whole.first is not None and whole.first.ref == "v0.3"
    assert whole.last_without is not None and whole.last_without.ref == "v0.2"


def test_never_reached() -> None:
    stone = milestone(WHOLE, [ref("v0.1", 1, *BARE), ref("v0.2", 2, *MASKED)])
    assert (stone.first, stone.first_any, stone.first_by_date) == (None, None, None)
    assert stone.newest is not None and stone.newest.ref == "v0.2"
    assert stone.newest_remaining == 1


def test_lost_again_by_version() -> None:
    refs = [ref("v0.1", 1, *BARE), ref("v0.2", 2, *FIXED), ref("v0.3", 3, *BARE), ref("v0.4", 4, *FIXED)]
    stone = milestone(WHOLE, refs)
    assert [r.ref for r in stone.lost] == ["v0.3"]
    assert stone.last_without is not None and stone.last_without.ref == "v0.3"
    assert stone.behind == ()


def test_an_older_branch_released_later_lost_nothing() -> None:
    """It is behind: whoever upgrades by version never had the fix there."""
    refs = [ref("v0.1", 1, *BARE), ref("v0.2", 2, *FIXED), ref("v0.1.post1", 3, *BARE)]
    stone = milestone(WHOLE, refs)
    assert stone.lost == ()
    assert [r.ref for r in stone.behind] == ["v0.1.post1"]
    assert stone.last_without is not None and stone.last_without.ref == "v0.1.post1"


def test_a_backport_published_first() -> None:
    refs = [ref("v0.1", 1, *BARE), ref("v0.3", 2, *FIXED), ref("v0.2", 3, *BARE), ref("v0.1.post1", 4, *FIXED)]
    stone = milestone(WHOLE, refs)
    assert stone.first is not None and stone.first.ref == "v0.1.post1"
    assert stone.first_by_date is not None and stone.first_by_date.ref == "v0.3"
    assert [r.ref for r in stone.lost] == ["v0.2"]


def test_the_order_of_the_input_does_not_matter() -> None:
    refs = [ref("v0.1", 1, *BARE), ref("v0.2", 2, *FIXED), ref("v0.3", 3, *BARE), ref("v0.2.post1", 4, *FIXED)]
    assert milestone(WHOLE, refs) == milestone(WHOLE, refs[::-1])


def test_what_cannot_be_judged_is_neither() -> None:
    doubtful = replace(ref("v0.2", 2, *FIXED), doubts=("missing",))
    stone = milestone(WHOLE, [ref("v0.1", 1, *BARE), doubtful, ref("v0.3", 3), ref("v0.4", 4, *FIXED)])
    assert [r.ref for r in stone.unknown] == ["v0.2"]
    assert stone.first is not None and stone.first.ref == "v0.4"
    assert WHOLE.reached(doubtful) is None
    assert ref("v0.3", 3).state(GLUON) is BoundState.NO_STORES


def test_nothing_to_judge() -> None:
    stone = milestone(WHOLE, [])
    assert (stone.newest, stone.first, stone.last_without) == (None, None, None)


def test_kernels_older_than_what_was_published_before() -> None:
    refs = [
        ref("v0.15", 1, *MASKED, digest="a"),
        ref("v0.16", 2, *MASKED, digest="b"),
        ref("v0.15.post2", 3, *MASKED, digest="a"),
        ref("v0.16.post1", 4, *MASKED, digest="b"),
        ref("v0.17", 5, *MASKED, digest="c"),
    ]
    assert [(o.release.ref, o.since.ref, o.newer.ref) for o in old_kernels(GLUON, refs)] == [
        ("v0.15.post2", "v0.15", "v0.16")
    ]


@pytest.mark.parametrize("counts", [(), (0, 0, 0, 0)])
def test_files_without_stores_do_not_count_as_kernels(counts: tuple[int, ...]) -> None:
    refs = [ref("v1", 1, *counts, digest="a"), ref("v2", 2, *FIXED, digest="b"), ref("v3", 3, *counts, digest="a")]
    assert old_kernels(GLUON, refs) == ()
    assert [r.state(GLUON) for r in refs] == [BoundState.NO_STORES, BoundState.BOUNDED, BoundState.NO_STORES]
