"""When releases were rid of a fault, and the order that they stand in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from packaging.version import Version

from aiterfix.faults.base import Presence
from aiterfix.faults.registry import load_faults
from aiterfix.history.bounds import GuardCounts
from aiterfix.history.milestones import Fix, fixes, presence_of, releases, standing
from aiterfix.history.record import FileRecord, KernelRecord, RefRecord
from aiterfix.history.store import load_history
from aiterfix.history.versions import read_version

FAULTS = load_faults()
FAULT = FAULTS.get("row-offset-32")
P, A, R, U = Presence.PRESENT, Presence.ABSENT, Presence.REFUSED, Presence.UNKNOWN


def ref(name: str, day: int, **kernels: Presence) -> RefRecord:
    units = tuple(KernelRecord(k, "gluon", 1, GuardCounts(1), {FAULT.id: p}) for k, p in kernels.items())
    file = FileRecord("aiter/k.py", f"{day:064}", True, units)
    return RefRecord(name, f"2026-01-{day:02}T00:00:00+00:00", f"{day:040}", (file,))


def fixed(*refs: RefRecord) -> tuple[Fix, ...]:
    return fixes(refs, [FAULT])


def names(refs: tuple[RefRecord, ...]) -> list[str]:
    return [r.ref for r in refs]


def test_versions_stand_in_the_order_of_packaging() -> None:
    spelled = [
        *("1", "1.0", "1.0.post1", "1.0.post1.dev2", "1.0.dev1", "1.0a1", "1.0a1.dev1", "1.0b2", "1.0rc1", "1.0rc1.post1"),
        *("1.0rc10", "1.1", "1.10", "1.9", "0!1.2", "1!0.1", "1.0+local", "1.0-1", "0.1.13.dev0", "0.1.13rc1"),
    ]  # fmt: skip
    read = {text: read_version(text) for text in spelled}
    for a, one in read.items():
        for b, other in read.items():
            assert one is not None and other is not None
            mine = (one.order < other.order, one < other)
            theirs = Version(Version(a).public) < Version(Version(b).public)
            assert mine == (theirs, theirs), (a, b)
        assert one is not None and one.prerelease == Version(a).is_prerelease


def test_only_versions_are_releases() -> None:
    refs = [ref(n, i + 1) for i, n in enumerate(["v0.10", "archive/0.1", "v0.2-rc1", "v0.2", "main", "v0.2-longctx"])]
    assert [r.ref for _, r in releases(refs)] == ["v0.2-rc1", "v0.2", "v0.10"]


def test_the_first_release_without_a_fault_and_the_last_with_it() -> None:
    (fix,) = fixed(ref("v0.1", 1, k=P), ref("v0.2-rc1", 2, k=P), ref("v0.2-rc2", 3, k=R), ref("v0.2", 4, k=A))
    s = fix.standing
    assert (fix.kernels, s.first and s.first.ref, s.first_any and s.first_any.ref) == (("k",), "v0.2", "v0.2-rc2")
    assert s.last_without is not None and s.last_without.ref == "v0.2-rc1"
    assert (s.lost, s.behind, s.unknown) == ((), (), ())


def test_a_fault_that_is_lost_again_and_an_older_branch() -> None:
    (fix,) = fixed(ref("v1", 1, k=P), ref("v2", 2, k=A), ref("v3", 3, k=P), ref("v1.post1", 4, k=P), ref("v4", 5, k=A))
    assert names(fix.standing.lost) == ["v3"]
    assert names(fix.standing.behind) == ["v1.post1"]
    assert fix.standing.last_without is not None and fix.standing.last_without.ref == "v3"


def test_a_kernel_that_never_had_it_was_not_rid_of_it() -> None:
    assert fixed(ref("v1", 1, k=A), ref("v2", 2, k=A)) == ()
    # Nor was one that had not got it yet, or that is not there.
    (fix,) = fixed(ref("v1", 1, k=A), ref("v2", 2, k=P), ref("v3", 3), ref("v4", 4, k=P))
    assert (fix.standing.first_any, fix.standing.lost) == (None, ())
    assert fix.standing.last_without is not None and fix.standing.last_without.ref == "v4"


def test_what_is_not_understood_is_neither_with_it_nor_without() -> None:
    (fix,) = fixed(ref("v1", 1, k=P), ref("v2", 2, k=U), ref("v3", 3, k=A))
    assert fix.standing.first is not None and fix.standing.first.ref == "v3"
    assert names(fix.standing.unknown) == ["v2"]
    doubtful = replace(ref("v2", 2, k=A), doubts=("a folder is missing",))
    assert presence_of(doubtful, FAULT.id, "k") is U
    assert presence_of(ref("v2", 2, k=A), "another", "k") is U, "what was not looked for is not said to be absent"
    stub = replace(ref("v2", 2, k=A).files[0].kernels[0], counts=GuardCounts())
    assert (
        presence_of(replace(doubtful, doubts=(), files=(replace(doubtful.files[0], kernels=(stub,)),)), FAULT.id, "k")
        is None
    )


def test_kernels_of_which_the_same_is_so_are_told_together() -> None:
    found = fixed(ref("v1", 1, a=P, b=P, c=P), ref("v2", 2, a=A, b=A, c=P))
    assert [f.kernels for f in found] == [("a", "b"), ("c",)]
    assert found[1].standing.first_any is None


def test_nothing_is_said_where_there_is_no_release() -> None:
    s = standing(lambda _: True, lambda _: False, [])
    assert (s.first, s.last_without, s.newest, s.lost) == (None, None, None, ())


# As judged by people from the source of each release, see docs/faults.md.
@pytest.mark.parametrize(
    ("fault", "kernel", "first", "last"),
    [
        ("row-offset-32", "_gluon_deepgemm_fp8_paged_mqa_logits", "v0.1.18", "v0.1.17"),
        ("row-offset-32", "_deepgemm_fp8_paged_mqa_logits_stage1_ragged_k", None, "v0.1.20.post1"),
        ("block-paging", "_deepgemm_fp8_paged_mqa_logits_stage1", "v0.1.20", "v0.1.19.post2"),
        ("block-paging", "_gluon_deepgemm_fp8_paged_mqa_logits", None, "v0.1.20.post1"),
        ("instruction-shape", "_gluon_deepgemm_fp8_paged_mqa_logits", "v0.1.12", "v0.1.11.post1"),
        ("output-rank", "_gluon_deepgemm_fp8_paged_mqa_logits", None, "v0.1.20.post1"),
        ("cache-offset-32", "_gluon_deepgemm_fp8_paged_mqa_logits_preshuffle_varctx", None, "v0.1.20.post1"),
    ],
)
def test_what_shipped_tells_when(fault: str, kernel: str, first: str | None, last: str) -> None:
    (fix,) = (f for f in fixes(load_history().refs, FAULTS.judged) if f.fault.id == fault and kernel in f.kernels)
    assert (fix.standing.first.ref if fix.standing.first else None) == first
    assert fix.standing.last_without is not None and fix.standing.last_without.ref == last
    assert fix.standing.lost == ()
