"""Every tag of a real clone: the counts that shipped, the history's landmarks, and a patch for every release."""

from __future__ import annotations

import ast
import csv
import io
import os
import subprocess
import sys
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from aiterfix.family.cases import ARGUMENTS
from aiterfix.faults.base import Presence
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.registry import load_faults
from aiterfix.history.bounds import BoundState, bounds_of
from aiterfix.history.known import launches_of
from aiterfix.history.record import RefRecord
from aiterfix.history.store import dump_releases, dump_texts, load_history, make_history
from aiterfix.importing.decision import refuse
from aiterfix.installation.given_path import find_path
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.refusals import launches_in
from aiterfix.upstream.export import export
from aiterfix.upstream.facts import with_mends
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.milestones import goals, milestone, old_kernels
from aiterfix.upstream.pulls import load_last_known
from aiterfix.upstream.scan import ScanResult, main_of, scan

FAULTS = load_faults()
GLUON, STAGE1 = bounds_of(FAULTS)
ALONE = ("column-bound",)
MAIN = "refs/heads/main"


@pytest.fixture(scope="module")
def upstream() -> Clone:
    path = os.environ.get("AITERFIX_AITER_REPO")
    if not path:
        pytest.skip("AITERFIX_AITER_REPO is unset: it names a clone of ROCm/aiter with all tags")
    return Clone(Path(path))


@pytest.fixture(scope="module")
def result(upstream: Clone) -> ScanResult:
    return scan(upstream, FAULTS)


def test_what_shipped_is_current(upstream: Clone, result: ScanResult) -> None:
    """Regenerate it with ``aiterfix upstream scan --repo CLONE --write-history src/aiterfix/history``."""
    fresh = make_history(result.refs, FAULTS, branches=main_of(upstream, FAULTS))
    fresh = with_mends(fresh, upstream, FAULTS, lambda _: None)
    shipped = load_history()
    # What this Python does not parse it neither mends nor finds launches in.
    assert len(fresh.mends) > 20 and all(m == shipped.mends.get(d) for d, m in fresh.mends.items())
    found = {digest: launches for digest, launches in fresh.launches.items() if launches}
    assert len(found) > 20 and found == {d: shipped.launches.get(d) for d in found}
    assert fresh.branches == shipped.branches
    assert len(fresh.wrappers) > 30 and all(w in shipped.wrappers for w in fresh.wrappers)
    assert {r.ref for r in fresh.refs} == {r.ref for r in shipped.refs}
    if sys.version_info >= (3, 12):
        assert (fresh.mends, fresh.launches) == (shipped.mends, shipped.launches)
        assert dump_releases(fresh) == dump_releases(shipped)
        assert dump_texts(fresh) == dump_texts(shipped)
    # Some branches use the f-strings of Python 3.12: an older one cannot judge them, so they are not compared.
    readable = [r for r in fresh.refs if not any(p.startswith("syntax ") for f in r.files for p in f.problems)]
    assert len(readable) > 170
    assert readable == [r for r in shipped.refs if r.ref in {s.ref for s in readable}]


@pytest.mark.parametrize("tag", ["v0.1.7.post3", "v0.1.12.post2", "v0.1.20.post1", "main"])
def test_what_shipped_is_what_check_says_of_the_tree(upstream: Clone, tmp_path: Path, tag: str) -> None:
    """Kernels and wrappers together, extracted as an installation has them."""
    ref = next(r for r in load_history().everything if r.ref == tag)
    with tarfile.open(
        fileobj=io.BytesIO(upstream.output("archive", ref.commit, ":(glob)aiter/ops/triton/**/*.py"))
    ) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "aiter" / "__init__.py").touch()
    (installation,) = find_path(tmp_path).installations
    judgement = judge_installation(installation, FAULTS)
    assert not judgement.doubts
    assert {(t.relative, u.name): {d.fault: d.presence for d in u.diagnoses} for t, u in judgement.units} == {
        (f.path, k.kernel): dict(k.presence) for f in ref.shipped for k in f.kernels
    }
    assert {t.sha256 for t in judgement.launchers} >= {w.sha256 for w in ref.launchers} != set()


def test_what_released_wrappers_launch_is_recorded(upstream: Clone) -> None:
    """The record says what reading says, of every wrapper; and the hook, which asks it, loads nothing to read with."""
    wrappers = {w.sha256: f"{r.commit}:{w.path}" for r in load_history().everything for w in r.launchers}
    assert len(wrappers) > 10
    for sha, place in wrappers.items():
        text = upstream.output("cat-file", "blob", place)
        try:
            ast.parse(text)
        except SyntaxError:
            assert sys.version_info < (3, 12)  # takes some that are in no release
            continue
        read = [n.launch for n in launches_in("w", text) if n.launch.about != ARGUMENTS]
        found = launches_of(sha, "w", FAULTS)
        assert found is not None and [n.launch for n in found] == read
        handed = refuse(text, FAULTS, "w").text
        if handed is not None:
            mended = launches_of(sha256(handed).hexdigest(), "w", FAULTS)
            assert mended is not None
            assert [n.launch for n in mended] == [
                n.launch for n in launches_in("w", handed) if n.launch.about != ARGUMENTS
            ]
            assert all(n.launch.told or n.launch.refused for n in mended if n.launch.about != "no-tile")


def test_what_shipped_was_made_by_a_python_that_can_read_it_all() -> None:
    assert [r.ref for r in load_history().refs for f in r.files if any("syntax" in p for p in f.problems)] == []


def test_every_release_is_judged(result: ScanResult) -> None:
    releases = [r for r in result.refs if r.ref.startswith("v0.")]
    assert len(releases) >= 63
    assert {r.ref for r in releases if r.presence(ALONE) is Presence.UNKNOWN} == set()
    assert {r.presence(ALONE) for r in releases if r.when.year >= 2026} == {Presence.PRESENT}


# By fault and code path; tags stand in tests/history/test_history.py.
@pytest.mark.parametrize(
    ("fault", "group", "presence"), [("column-bound", "gluon", "present"), ("column-bound", "stage1", "present")]
)
def test_presence_on_main(upstream: Clone, fault: str, group: str, presence: str) -> None:
    if not upstream.resolve(MAIN):
        pytest.skip("the clone has no branch main")
    (ref,) = scan(upstream, FAULTS, [MAIN]).refs
    assert ref.presence([fault], [group]) is Presence(presence)


def test_counts_are_those_that_were_counted_by_hand(result: ScanResult) -> None:
    with Path(__file__).with_name("store_sites.tsv").open() as file:
        rows = list(csv.DictReader((ln for ln in file if not ln.startswith("#")), delimiter="\t"))
    recorded = {(r["sha256_12"], r["kernel"]): [int(r[g]) for g in ("none", "lower", "upper", "both")] for r in rows}
    counted = {
        (f.sha256[:12], k.kernel): list(k.counts.as_tuple())
        for r in result.refs
        if r.ref.startswith("v0.")
        for f in r.shipped
        for k in f.kernels
        if k.counts.total
    }
    assert len(counted) >= 60
    digests = {f.sha256[:12] for r in result.refs for f in r.files}  # one of those counted by hand is in no tag
    assert counted == {key: counts for key, counts in recorded.items() if key[0] in digests}


def test_landmarks(result: ScanResult) -> None:
    unmasked, whole = (milestone(g, result.refs) for g in goals(GLUON))

    def name(ref: RefRecord | None) -> str | None:
        return ref.ref if ref is not None else None

    assert (name(unmasked.first), name(unmasked.first_any)) == ("v0.1.13", "v0.1.13-rc2")
    assert (name(unmasked.last_without), unmasked.lost) == ("v0.1.13-rc1", ())
    assert (whole.first_any, whole.newest_remaining) == (None, 8)
    assert {o.release.ref: o.newer.ref for o in old_kernels(GLUON, result.refs)}["v0.1.15.post2"] == "v0.1.16"


def test_pull_requests_by_source(upstream: Clone) -> None:
    """What the heads hold, where the clone has them; and that the first is part of the second."""
    known = {
        number: pull for (repository, number), pull in load_last_known().pulls.items() if repository == "ROCm/aiter"
    }
    heads = {number: pull.head for number, pull in known.items()}
    if not all(upstream.resolve(h) for h in heads.values()):
        pytest.skip("the clone has no pull request references: fetch refs/pull/*/head")
    found = {r.commit: r for r in scan(upstream, FAULTS, list(heads.values())).refs}
    assert found[heads[2866]].counts(GLUON).as_tuple() == (0, 8, 10, 0)
    assert found[heads[4580]].state(GLUON) is BoundState.BOUNDED
    assert upstream.is_ancestor(heads[2866], heads[3005])
    assert not upstream.is_ancestor(heads[4580], heads[3005])


@pytest.mark.parametrize("tag", ["v0.1.6", "v0.1.7.post3", "v0.1.12.post2", "v0.1.17-longctx", "v0.1.20.post1"])
def test_a_patch_for_a_release(upstream: Clone, tmp_path: Path, tag: str) -> None:
    """Exported from a clone that borrows the objects, so that the original is not written to."""
    own = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }

    def git(*words: str, data: bytes | None = None) -> bytes:
        return subprocess.run(
            ["git", "-C", str(tmp_path / "clone"), *words], input=data, env=own, capture_output=True, check=True
        ).stdout

    (tmp_path / "clone").mkdir()
    git("init", "-q")
    objects = upstream.common_dir / "objects"
    (tmp_path / "clone" / ".git" / "objects" / "info" / "alternates").write_text(f"{objects.resolve()}\n")
    commit = upstream.resolve(f"refs/tags/{tag}")
    assert commit is not None
    git("update-ref", f"refs/tags/{tag}", commit)
    git("config", "user.name", "Ann Author")
    git("config", "user.email", "ann@example.org")
    made = export(Clone(tmp_path / "clone"), tag, FAULTS, branch="fix")
    for file in made.files:
        text = git("cat-file", "blob", f"fix:{file.path}")
        assert diagnose(text, FAULTS.judged).presence(ALONE) is Presence.ABSENT
    changed = git("diff", "--name-only", tag, "fix").decode().split()
    assert sorted(changed) == sorted([*(f.path for f in made.files), str(made.test_path)])
    # Applied to the base in an index of its own: a work tree of the real project is large.
    index = {"GIT_INDEX_FILE": str(tmp_path / "index")}
    own.update(index)
    git("read-tree", tag)
    git("apply", "--cached", "-", data=made.patch)
    assert git("write-tree").strip() == git("rev-parse", "fix^{tree}").strip()
