"""What shipped about releases, and the questions it answers offline."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from packaging.version import InvalidVersion, Version

from aiterfix.faults.base import Presence
from aiterfix.faults.registry import load_faults
from aiterfix.history.bounds import BoundState, GuardCounts, bounds_of
from aiterfix.history.compat import compat
from aiterfix.history.crosscheck import cross_check
from aiterfix.history.digests import kernels_of_release, releases_of
from aiterfix.history.record import FileRecord, History, KernelRecord, Launcher, RefRecord
from aiterfix.history.store import (
    RELEASES,
    SHIPPED,
    TEXTS,
    HistoryFileError,
    dump_releases,
    dump_texts,
    load_history,
    make_history,
    write_history,
)
from aiterfix.history.versions import read_version
from aiterfix.judge.verdict import Verdict
from aiterfix.source.guards import Guard
from aiterfix.source.kernel_launch import KernelLaunch

FAULTS = load_faults()
GLUON, STAGE1 = bounds_of(FAULTS)
ALONE = ("column-bound",)


def digest(name: str) -> str:
    return next(f.sha256 for r in load_history().refs if r.ref == name for f in r.files if "gluon/" in f.path)


# What shipped.


@pytest.mark.parametrize(
    ("ref", "gluon", "stage1"),
    [
        ("v0.1.5", (0, 0, 0, 0), (0, 0, 0, 0)),
        ("v0.1.6", (0, 0, 0, 0), (4, 0, 0, 0)),
        ("v0.1.7.post3", (1, 5, 0, 0), (2, 0, 2, 0)),
        ("v0.1.12.post2", (10, 8, 0, 0), (2, 0, 2, 0)),
        ("v0.1.13", (0, 8, 10, 0), (2, 0, 2, 0)),
        ("v0.1.15.post2", (0, 8, 10, 0), (2, 0, 2, 0)),
        ("v0.1.16", (0, 8, 10, 1), (2, 0, 2, 0)),
        ("v0.1.20.post1", (0, 8, 10, 1), (2, 0, 2, 0)),
    ],
)
def test_facts_that_are_known_from_elsewhere(ref: str, gluon: tuple[int, ...], stage1: tuple[int, ...]) -> None:
    record = next(r for r in load_history().refs if r.ref == ref)
    assert record.counts(GLUON).as_tuple() == gluon
    assert record.counts(STAGE1).as_tuple() == stage1


# By fault and code path, as judged by people from the source of each release.
PRESENCES: dict[tuple[str, str], dict[str, str]] = {
    ("column-bound", "gluon"): {
        "v0.1.12.post2": "present",
        "v0.1.13.post1": "present",
        "v0.1.15.post3": "present",
        "v0.1.18": "present",
        "v0.1.20.post1": "present",
    },
    ("column-bound", "stage1"): {
        "v0.1.12.post2": "present",
        "v0.1.13.post1": "present",
        "v0.1.15.post3": "present",
        "v0.1.18": "present",
        "v0.1.20.post1": "present",
    },
}


# How many kernels have a fault that is about what a wrapper hands on, or refuses: as judged by people, see docs/faults.md.
@pytest.mark.parametrize(
    ("ref", "rank", "blocks", "refused", "arguments"),
    [
        ("v0.1.6", 2, 4, 0, 0),
        ("v0.1.12.post2", 5, 4, 1, 0),
        ("v0.1.13.post1", 5, 4, 1, 0),
        ("v0.1.15.post3", 5, 4, 1, 0),
        ("v0.1.18", 5, 4, 1, 0),
        ("v0.1.20.post1", 5, 3, 1, 0),
        ("main", 5, 3, 0, 0),
    ],
)
def test_faults_of_wrappers_by_release(ref: str, rank: int, blocks: int, refused: int, arguments: int) -> None:
    record = next(r for r in load_history().everything if r.ref == ref)
    assert [record.having(f) for f in ("output-rank", "block-paging", "launch-arguments")] == [rank, blocks, arguments]
    kernels = [k.presence["block-paging"] for f in record.shipped for k in f.kernels]
    assert kernels.count(Presence.REFUSED) == refused
    assert len(record.launchers) == 1
    assert record.having("output-rank") == sum(
        k.presence["output-rank"] is not k.by_text["output-rank"] for f in record.shipped for k in f.kernels
    ), "a kernel's own text says nothing of it"


def test_the_branch_is_there_and_is_no_tag() -> None:
    history = load_history()
    (main,) = history.branches
    assert main.ref == "main" and main.when > history.refs[-1].when
    answer = compat("main")
    assert answer.release is main and compat(main.commit).release is main
    assert answer.newest == history.newest
    digests = {f.sha256 for f in main.files}
    tagged = {f.sha256 for r in history.refs for f in r.files}
    assert digests - tagged, "it has files of its own"
    for sha in digests - tagged:
        assert (releases_of(frozenset({sha})), kernels_of_release(sha)) == ({}, ())


@pytest.mark.parametrize(
    ("fault", "group", "ref", "presence"),
    [(fault, group, ref, word) for (fault, group), row in PRESENCES.items() for ref, word in row.items()],
)
def test_presence_by_release(fault: str, group: str, ref: str, presence: str) -> None:
    record = next(r for r in load_history().refs if r.ref == ref)
    assert record.presence([fault], [group]) is Presence(presence)


def test_no_release_to_date_is_safe_once_it_has_the_kernels() -> None:
    for ref in load_history().refs:
        stores = sum(k.counts.total for f in ref.files for k in f.kernels)
        assert ref.verdict(ALONE) is (Verdict.AFFECTED if stores else Verdict.CLEAN), ref.ref
        assert ref.state(GLUON) is not BoundState.BOUNDED


def test_what_shipped_covers_every_tag_and_is_in_its_own_form() -> None:
    history = load_history()
    assert len(history.refs) == 182
    assert history.repository == "ROCm/aiter"
    assert history.faults == tuple(f.id for f in FAULTS.judged)
    assert history.kernels == tuple(sorted(k.name for k in FAULTS.kernels))
    assert (SHIPPED / RELEASES).read_text(encoding="utf-8") == dump_releases(history)
    assert (SHIPPED / TEXTS).read_text(encoding="utf-8") == dump_texts(history)
    assert list(history.refs) == sorted(history.refs, key=lambda r: (r.when, r.ref))


def test_it_holds_facts_only() -> None:
    """No source text: every string is a name, a path, a date, a digest or one of our own words."""
    text = "".join((SHIPPED / name).read_text(encoding="utf-8") for name in (RELEASES, TEXTS))
    for word in ("def ", "import ", "gl.", "mask=", "\\n", "buffer_store"):
        assert word not in text, word


# Looking a version up.


@pytest.mark.parametrize(
    ("asked", "ref"),
    [
        ("0.1.13", "v0.1.13"),
        ("v0.1.13", "v0.1.13"),
        (" 0.1.13\n", "v0.1.13"),
        ("refs/tags/v0.1.13", "v0.1.13"),
        ("0.1.13.0", "v0.1.13"),
        ("0.1.13rc2", "v0.1.13-rc2"),
        ("0.1.13-RC.2", "v0.1.13-rc2"),
        ("0.1.15.post2", "v0.1.15.post2"),
        ("0.1.15-2", "v0.1.15.post2"),
        ("0.1.13.dev", "v0.1.13.dev0"),
        ("0.1.17-longctx", "v0.1.17-longctx"),
        ("archive/2.4", "archive/2.4"),
    ],
)
def test_spellings_of_known_releases(asked: str, ref: str) -> None:
    answer = compat(asked)
    assert answer.known
    assert answer.release is not None
    assert (answer.release.ref, answer.reason) == (ref, "")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("9.9.9", "no tag up to that date has this version"),
        ("0.1.20.post2", "no tag up to that date has this version"),
        ("0.1.21.dev4+g0123456", "a development version is a commit between releases"),
        ("0.1.21.dev4", "a development version is a commit between releases"),
        ("0.1.13.dev7+gabcdef0.d20260101", "a development version is a commit between releases"),
        ("latest", "it is neither a version number nor a tag of that date"),
        ("", "it is neither a version number nor a tag of that date"),
        ("deadbeefdeadbeef", "no tag up to that date names this commit"),
        ("1" * 5000, "it is neither a version number nor a tag of that date"),
        ("\x1b[2J", "it is neither a version number nor a tag of that date"),
    ],
)
def test_what_is_not_known(asked: str, reason: str) -> None:
    answer = compat(asked)
    assert (answer.known, answer.release, answer.reason) == (False, None, reason)
    assert answer.verdict(ALONE) is Verdict.UNKNOWN


def test_somebodys_own_build_is_not_the_release() -> None:
    answer = compat("0.1.13+rocm7.2")
    assert (answer.known, answer.verdict(ALONE)) == (False, Verdict.UNKNOWN)
    assert answer.closest is not None
    assert answer.closest.ref == "v0.1.13"
    assert "may be patched" in answer.reason


def test_a_label_that_names_a_tagged_commit_and_nothing_else_is_exact() -> None:
    commit = next(r.commit for r in load_history().refs if r.ref == "v0.1.16")
    for asked in (f"0.1.16.dev3+g{commit[:9]}", commit, commit[:10], commit[:10].upper()):
        answer = compat(asked)
        assert answer.release is not None
        assert answer.release.commit == commit
    assert not compat(f"0.1.16.dev3+g{commit[:9]}.dirty").known
    assert not compat(commit[:6]).known


def test_an_abbreviation_that_fits_two_commits_is_not_known() -> None:
    one, two = (RefRecord(f"v{i}", "2026-01-01T00:00:00Z", "abcdef0" + str(i) * 33, ()) for i in (1, 2))
    history = make_history([one, two], FAULTS)
    assert not compat("abcdef0", history).known
    assert compat("abcdef01", history).release == one


@pytest.mark.parametrize(
    "text",
    [
        "1", "1.0", "1.0.0", "v1.2", "1.2.3.4", "01.002", "1!2.3", "0!1", "1a1", "1.alpha-2", "1_beta", "1c3", "1pre",
        "1.preview4", "1rc", "1-5", "1.post", "1.rev3", "1-r4", "1.0.post7.dev2", "1.dev", "1_dev_3", "1.0a1.post2.dev3",
        "1+Local.7", "1+a_b-c.007", "1.2.3.dev4+g0123abc.d20260101", "1..2", "1.x", "x", "", "1+", "1+a+b", "1.0-",
        "1.0.", "v", "1rc1rc2", "1.post1.post2", "1 .0", "1.0\u0661",
    ],
)  # fmt: skip
def test_versions_are_read_as_packaging_reads_them(text: str) -> None:
    mine = read_version(text)
    try:
        theirs = Version(text)
    except InvalidVersion:
        assert mine is None
        return
    assert mine is not None
    assert Version(mine.public) == Version(theirs.public)
    assert mine.local == (theirs.local or "")
    assert mine.development == theirs.is_devrelease
    again = read_version(mine.public)
    assert again is not None and again.public == mine.public


# Digests.


def test_a_known_digest_names_its_releases() -> None:
    ((_, found),) = releases_of(frozenset({digest("v0.1.15.post2")})).items()
    assert "v0.1.15.post2" in found
    assert "v0.1.13" in found
    assert "v0.1.16" not in found
    assert releases_of(frozenset({"0" * 64})) == {}


def notes(version: str | None, sha: str) -> list[str]:
    return list(cross_check(version, {sha: releases_of(frozenset({sha})).get(sha, ())}).values())


def test_a_digest_that_fits_its_version_is_not_worth_a_line() -> None:
    assert notes("0.1.16", digest("v0.1.16")) == []
    assert notes("0.1.16.post3", digest("v0.1.16")) == []


def test_a_digest_of_another_version() -> None:
    (note,) = notes("0.1.12", digest("v0.1.20"))
    assert "belongs to v0.1.20 to v0.1.20.post1, not to v0.1.12 as the version says" in note


def test_a_digest_of_no_version() -> None:
    for version in ("0.1.12", "9.9", None):
        (note,) = notes(version, "e" * 64)
        assert "no tag of ROCm/aiter" in note


def test_a_build_between_releases_usually_has_a_releases_kernels() -> None:
    assert notes("0.1.21.dev5", digest("v0.1.20")) == []
    assert notes(None, digest("v0.1.20")) == []


# The file.


def sample() -> History:
    presence = {f.id: Presence.PRESENT for f in FAULTS.judged}
    alone = {**presence, FAULTS.judged[0].id: Presence.ABSENT}
    kernel = KernelRecord("k", "gluon", 7, GuardCounts(1, 2, 3, 4), presence, "a reason", alone)
    files = (
        FileRecord("aiter/a.py", "a" * 64, True, (kernel,)),
        FileRecord("aiter/b.py", "b" * 64, True, (), ("syntax at line 3",)),
        FileRecord("op_tests/c.py", "c" * 64, False, (kernel,)),
    )
    wrapper = Launcher("aiter/w.py", "d" * 64)
    second = RefRecord("v2", "2026-02-01T00:00:00+08:00", "2" * 40, files, ("something is missing",), (wrapper,))
    first = RefRecord("v1", "2026-02-01T00:00:00Z", "1" * 40, files[:1])
    tip = RefRecord("main", "2026-03-01T00:00:00Z", "3" * 40, (replace(files[0], sha256="e" * 64),))
    launch = KernelLaunch("k", "entry", 3, True, False, True, about="a case", refusable=True)
    return replace(make_history([first, second], FAULTS, branches=[tip]), launches={"d" * 64: (launch,), "a" * 64: ()})


def test_round_trip(tmp_path: Path) -> None:
    history = sample()
    # By instant, not by spelling of the date; and what no installation has is left out.
    assert [r.ref for r in history.refs] == ["v2", "v1"]
    assert [f.path for f in history.refs[0].files] == ["aiter/a.py", "aiter/b.py"]
    write_history(history, tmp_path)
    assert load_history(tmp_path) == history
    write_history(load_history(tmp_path), tmp_path)
    assert (tmp_path / RELEASES).read_text() == dump_releases(history)
    assert (tmp_path / TEXTS).read_text() == dump_texts(history)


def test_damaged_files(tmp_path: Path) -> None:
    releases, texts = json.loads(dump_releases(sample())), json.loads(dump_texts(sample()))
    unit = ["k", "gluon", 7, [1, 2, 3, 4], ["present"] * len(FAULTS.judged)]
    (package,) = {e["package"] for e in releases["refs"] if e["ref"] == "v1"}
    one = releases["packages"][package]
    words: list[dict[str, Any]] = [{}, {"a" * 64: []}, {"a" * 64: [["fine"] * len(FAULTS.judged)]}]
    bad = [
        *((name, text) for name in (RELEASES, TEXTS) for text in ("", "[]", "[" * 100_000)),
        (RELEASES, json.dumps({**releases, "schema_version": 1})),
        (TEXTS, json.dumps({**texts, "schema_version": 1})),
        (RELEASES, json.dumps({**releases, "refs": [{}]})),
        (RELEASES, json.dumps({**releases, "packages": {}})),
        *(
            (RELEASES, json.dumps({**releases, "packages": {**releases["packages"], package: {**one, "presence": p}}}))
            for p in words
        ),
        (TEXTS, json.dumps({**texts, "launches": {"a" * 64: [["k"]]}})),
        (TEXTS, json.dumps({**texts, "texts": {}})),
        *(
            (TEXTS, json.dumps({**texts, "texts": {d: {"units": [u]} for d in texts["texts"]}}))
            for u in ([], [*unit[:4], ["fine"] * len(FAULTS.judged)], [*unit[:4], []], [*unit[:3], 5, unit[4]])
        ),
    ]
    for number, (name, text) in enumerate(bad):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_history(sample(), folder)
        load_history(folder)
        (folder / name).write_text(text)
        load_history.cache_clear()
        with pytest.raises(HistoryFileError):
            load_history(folder)
    with pytest.raises(HistoryFileError):
        load_history(tmp_path / "nowhere")


def test_states_and_verdicts_of_records() -> None:
    def state(*counts: int, presence: Presence = Presence.PRESENT) -> BoundState:
        kernel = KernelRecord("k", "gluon", 1, GuardCounts(*counts), {"column-bound": presence})
        file = FileRecord("aiter/a.py", "a" * 64, True, (kernel,))
        return RefRecord("v", "2026-01-01", "c" * 40, (file,)).state(GLUON)

    assert state(0, 0, 0, 0) is BoundState.NO_STORES
    assert state(1, 1, 0, 0) is BoundState.UNBOUNDED
    assert state(1, 0, 1, 0) is BoundState.PARTLY
    assert state(0, 0, 1, 1) is BoundState.BOUNDED
    assert state(0, 0, 1, 1, presence=Presence.UNKNOWN) is BoundState.UNKNOWN
    sound = sample().refs[1]
    assert (sound.state(GLUON), sound.verdict(ALONE)) == (BoundState.PARTLY, Verdict.AFFECTED)
    assert (sound.state(STAGE1), sound.presence(ALONE, ["stage1"])) == (BoundState.NO_STORES, Presence.ABSENT)
    record = replace(sound, doubts=("x",))
    assert (record.state(GLUON), record.verdict(ALONE)) == (BoundState.UNKNOWN, Verdict.UNKNOWN)
    broken = replace(sample().refs[0], doubts=())
    assert (broken.state(GLUON), broken.verdict(ALONE)) == (BoundState.UNKNOWN, Verdict.UNKNOWN)
    # What was not looked for is not said to be absent.
    assert sound.presence(["another"]) is Presence.UNKNOWN
    assert GuardCounts.of([Guard.UPPER, Guard.NONE, Guard.UPPER]).as_tuple() == (1, 0, 2, 0)
    assert GuardCounts(1, 2, 3, 4).bounded == 7


def test_answers_need_no_extra() -> None:
    """`check` and `compat` run where requests and packaging are not installed."""
    code = """
import sys
for name in ("git", "requests", "packaging", "torch", "triton", "numpy", "aiter"):
    sys.modules[name] = None
from aiterfix.history.compat import compat
from aiterfix.history.crosscheck import cross_check
assert compat("0.1.13").known
assert cross_check("0.1.13", {"0" * 64: ()})
from aiterfix.cli import main
sys.exit(main(["compat", "0.1.13"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (1, 3)  # it is affected, or a fault of it is not understood
    assert "10 of 18 stores are bounded" in done.stdout
