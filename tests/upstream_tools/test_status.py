"""What the states of pull requests are said to mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aiterfix.faults.base import Presence, PullRequest
from aiterfix.faults.registry import load_faults
from aiterfix.history.bounds import GuardCounts, bounds_of
from aiterfix.history.record import FileRecord, KernelRecord, RefRecord
from aiterfix.upstream.cache import Cache
from aiterfix.upstream.explain import Subject, change_contained, explain
from aiterfix.upstream.github import GitHub, Limits, RateLimitedError, UnreachableError
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.pulls import LastKnown, Pull, PullState, load_last_known
from aiterfix.upstream.status import Origin, StatusResult, status
from tests.upstream_tools.conftest import Repository
from tests.upstream_tools.github_server import FakeGitHub
from tests.upstream_tools.kernels import FAULTS, FIXED, GLUON, GLUON_BOUNDS, HALF, PATH, UNPATCHED

OURS = "ROCm/aiter"
MERGED = {"state": "closed", "merged": True, "merged_at": "2026-05-05T00:00:00Z", "merge_commit_sha": "a" * 40}
CLOSED = {"state": "closed", "closed_at": "2026-05-05T00:00:00Z"}
NOTHING = LastKnown("never", "a test", {}, frozenset())


@pytest.fixture
def server() -> Iterator[FakeGitHub]:
    running = FakeGitHub()
    running.put(OURS, 2866, **CLOSED)
    running.put(OURS, 3005, **MERGED)
    running.put(OURS, 4580)
    running.put("vllm-project/vllm", 40643, **CLOSED)
    running.put("vllm-project/vllm", 41856, **CLOSED)
    compare(running, 3005, 2866, "behind")
    yield running
    running.close()


def compare(server: FakeGitHub, base: int, head: int, answer: str) -> None:
    server.documents[f"/repos/{OURS}/compare/{base:040x}...{head:040x}?per_page=1"] = {"status": answer}


def client(server: FakeGitHub, tmp_path: Path) -> GitHub:
    limits = Limits(connect=1, read=1, whole=3)
    return GitHub(Cache(tmp_path / "states"), api=server.api, token="", limits=limits, sleep=lambda _: None)


def release(ref: str, date: str, *counts: int, group: str = "gluon") -> RefRecord:
    sites = GuardCounts(*counts)
    presence = {"column-bound": Presence.ABSENT if sites.bounded == sites.total else Presence.PRESENT}
    digest = f"{hash(counts) & (2**256 - 1):064x}"
    file = FileRecord(PATH, digest, True, (KernelRecord(GLUON, group, 1, sites, presence),))
    return RefRecord(ref, f"{date}T00:00:00+00:00", "c" * 40, (file,))


LIKE_UPSTREAM = (
    release("v0.1.12", "2026-04-10", 10, 8, 0, 0),
    release("v0.1.13-rc2", "2026-05-05", 0, 8, 10, 0),
    release("v0.1.13", "2026-05-07", 0, 8, 10, 0),
    release("v0.1.20", "2026-08-20", 0, 8, 10, 1),
)


def summary(result: StatusResult, refs: tuple[RefRecord, ...] = LIKE_UPSTREAM) -> str:
    return explain(GLUON_BOUNDS, result, refs).summary


def ours(text: str) -> str:
    return text.split("; vllm-project")[0]


def test_the_sentence_that_a_person_would_not_guess(server: FakeGitHub, tmp_path: Path) -> None:
    result = status(FAULTS, client(server, tmp_path), last_known=NOTHING)
    assert not result.trouble
    assert ours(summary(result)) == (
        "#2866 is closed without merge; its commit is in #3005; released in v0.1.13; "
        "8 of 19 stores remain unbounded in v0.1.20; #4580 is open"
    )
    warnings = explain(GLUON_BOUNDS, result, LIKE_UPSTREAM).warnings
    assert "#2866 says closed, not merged, but every release from v0.1.13 on has its change by source." in warnings
    assert "Having #2866 is not being safe: 8 of 19 stores of v0.1.20 have no upper bound." in warnings
    assert any(w.startswith("vllm-project/vllm#40643 changes no kernel") for w in warnings)


def test_it_follows_the_facts_and_not_this_history(server: FakeGitHub, tmp_path: Path) -> None:
    compare(server, 3005, 2866, "diverged")
    server.put(OURS, 4580, **MERGED)
    done = (*LIKE_UPSTREAM, release("v0.2.0", "2026-12-01", 0, 0, 10, 9))
    text = ours(summary(status(FAULTS, client(server, tmp_path), last_known=NOTHING), done))
    assert text == (
        "#2866 is closed without merge; released in v0.1.13; #3005 is merged; released in v0.1.13; "
        "#4580 is merged; released in v0.2.0; none of the 19 stores of v0.2.0 is left unbounded"
    )


def test_merged_and_in_no_release(server: FakeGitHub, tmp_path: Path) -> None:
    server.put(OURS, 4580, **MERGED)
    explained = explain(GLUON_BOUNDS, status(FAULTS, client(server, tmp_path), last_known=NOTHING), LIKE_UPSTREAM)
    assert "#4580 is merged; in no release by source" in explained.summary
    assert "#4580 says merged, but no release has its change by source." in explained.warnings


def test_open_and_released_another_way(server: FakeGitHub, tmp_path: Path) -> None:
    done = (*LIKE_UPSTREAM, release("v0.2.0", "2026-12-01", 0, 0, 10, 9))
    explained = explain(GLUON_BOUNDS, status(FAULTS, client(server, tmp_path), last_known=NOTHING), done)
    assert "#4580 is still open, but v0.2.0 has its change by source: it came another way." in explained.warnings


def test_a_change_that_a_release_lost_again(server: FakeGitHub, tmp_path: Path) -> None:
    lost = (*LIKE_UPSTREAM, release("v0.1.21", "2026-09-20", 10, 8, 0, 1))
    warnings = explain(GLUON_BOUNDS, status(FAULTS, client(server, tmp_path), last_known=NOTHING), lost).warnings
    assert "The change of #2866 is in v0.1.13, and missing again in v0.1.21." in warnings
    assert not [w for w in warnings if "every release from" in w]


def test_a_clone_tells_what_carries_what_and_judges_heads(
    server: FakeGitHub, repository: Repository, tmp_path: Path
) -> None:
    repository.commit({PATH: UNPATCHED}, "v0.1.12")
    head = repository.commit({PATH: HALF})
    merge = repository.commit({"README": "merged\n"}, "v0.1.13")
    proposed = repository.commit({PATH: FIXED})
    server.put(OURS, 2866, **CLOSED, head={"sha": head})
    server.put(OURS, 3005, **MERGED, head={"sha": merge})
    server.put(OURS, 4580, head={"sha": proposed})
    result = status(FAULTS, client(server, tmp_path), clone=Clone(repository.path), last_known=NOTHING)
    reports = {r.request.number: r for r in result.reports}
    assert reports[2866].carried_by == (3005,)
    assert not [r for r in server.requests if "compare" in r.path]
    source = {n: r.head_source.counts(GLUON_BOUNDS).as_tuple() for n, r in reports.items() if r.head_source}
    assert source == {2866: (0, 1, 1, 0), 3005: (0, 1, 1, 0), 4580: (0, 0, 1, 1)}
    server.put(OURS, 4580, head={"sha": head})
    result = status(FAULTS, client(server, tmp_path), clone=Clone(repository.path), last_known=NOTHING)
    assert "#4580 as it stands leaves 1 of 2 stores unbounded." in explain(GLUON_BOUNDS, result, LIKE_UPSTREAM).warnings


def test_subjects_are_judged_by_source(server: FakeGitHub, tmp_path: Path) -> None:
    result = status(FAULTS, client(server, tmp_path), last_known=NOTHING)
    unknown = replace(release("w", "2026-01-01", 0, 0, 1, 0), doubts=("half of it is missing",))
    other = release("o", "2026-01-01", 1, 0, 0, 0, group="another")
    subjects = [
        Subject("old", release("x", "2026-01-01", 10, 8, 0, 0)),
        Subject("mine", release("y", "2026-01-01", 0, 8, 10, 0)),
        Subject("new", release("z", "2026-01-01", 0, 0, 10, 8)),
        Subject("odd", unknown),
        Subject("none", other),
    ]
    answers = explain(GLUON_BOUNDS, result, LIKE_UPSTREAM, subjects).subjects
    assert [tuple(has for _, has in a.contains) for a in answers] == [
        (False, False, False),
        (True, True, False),
        (True, True, True),
        (None, None, None),
        (None, None, None),
    ]
    assert tuple(a.text for a in answers) == (
        "old: 0 of 18 stores bounded; lacks that of #2866, #3005, #4580",
        "mine: 10 of 18 stores bounded; has the change of #2866, #3005; lacks that of #4580",
        "new: 18 of 18 stores bounded; has the change of #2866, #3005, #4580",
        "odd: not understood, so treat it as unsafe (half of it is missing)",
        "none: has none of these kernels",
    )


def test_a_consumers_change_cannot_be_seen_in_the_kernels() -> None:
    request = PullRequest("vllm-project/vllm", 40643, "pads")
    assert change_contained(request, GLUON_BOUNDS, LIKE_UPSTREAM[0]) is None
    kernel = PullRequest(OURS, 1, "bounds", ("none",))
    assert [change_contained(kernel, GLUON_BOUNDS, r) for r in LIKE_UPSTREAM] == [False, True, True, True]


def test_offline_asks_nobody_and_says_how_old_its_knowledge_is(server: FakeGitHub, tmp_path: Path) -> None:
    github = client(server, tmp_path)
    first = status(FAULTS, github, last_known=NOTHING)
    asked = len(server.requests)
    again = status(FAULTS, github, offline=True, last_known=NOTHING)
    assert len(server.requests) == asked
    assert {r.origin for r in first.reports} == {Origin.GITHUB}
    assert {r.origin for r in again.reports} == {Origin.CACHE}
    assert [r.as_of for r in again.reports] == [r.as_of for r in first.reports]
    assert again.trouble == ()
    assert summary(again) == summary(first)


def test_offline_without_a_cache_the_package_knows(server: FakeGitHub, tmp_path: Path) -> None:
    result = status(FAULTS, client(server, tmp_path), offline=True)
    assert {r.origin for r in result.reports} == {Origin.PACKAGE}
    assert {r.as_of for r in result.reports} == {load_last_known().as_of}
    assert server.requests == []
    assert ours(summary(result)).startswith("#2866 is closed without merge; its commit is in #3005; released in")


def test_what_nobody_knows_is_said(server: FakeGitHub, tmp_path: Path) -> None:
    result = status(FAULTS, client(server, tmp_path), offline=True, last_known=NOTHING)
    assert {r.origin for r in result.reports} == {Origin.NOWHERE}
    assert "nothing is known of the state of #2866" in summary(result)


def test_a_dead_network_is_asked_once_and_the_last_known_shown(server: FakeGitHub, tmp_path: Path) -> None:
    github = client(server, tmp_path)
    status(FAULTS, github, last_known=NOTHING)
    server.requests.clear()
    server.override = lambda request: request.json({}, 503)
    result = status(FAULTS, github, last_known=NOTHING)
    assert len(server.requests) == 3
    assert [type(t) for t in result.trouble] == [UnreachableError]
    assert {r.origin for r in result.reports} == {Origin.CACHE}


def test_a_rate_limit_in_the_middle(server: FakeGitHub, tmp_path: Path) -> None:
    def limited(request: Any) -> None:
        if len(server.requests) <= 2:
            request.json(server.documents[request.path])
        else:
            request.json({}, 403, X_RateLimit_Remaining="0", X_RateLimit_Reset="1")

    server.override = limited
    result = status(FAULTS, client(server, tmp_path))
    assert [r.origin for r in result.reports[:3]] == [Origin.GITHUB, Origin.GITHUB, Origin.PACKAGE]
    assert [type(t) for t in result.trouble] == [RateLimitedError]
    assert len(server.requests) == 3


def test_one_missing_pull_request_does_not_hide_the_others(server: FakeGitHub, tmp_path: Path) -> None:
    del server.documents[f"/repos/{OURS}/pulls/2866"]
    result = status(FAULTS, client(server, tmp_path), last_known=NOTHING)
    assert [r.pull is None for r in result.reports] == [True, False, False, False, False]
    assert [t.code for t in result.trouble] == ["github-not-found"]


def test_what_shipped_holds_only_for_the_head_that_it_was_recorded_for(server: FakeGitHub, tmp_path: Path) -> None:
    """A branch that got another commit since is not said to be contained."""
    known = Pull(PullState.CLOSED, "", "1" * 40, "", "")
    shipped = LastKnown("2026-09", "a test", {(OURS, 2866): known}, frozenset({(OURS, 2866, 3005)}))
    server.documents = {k: v for k, v in server.documents.items() if "compare" not in k}
    result = status(FAULTS, client(server, tmp_path), last_known=shipped)
    assert result.reports[0].carried_by == ()
    server.put(OURS, 2866, **CLOSED, head={"sha": "1" * 40})
    result = status(FAULTS, client(server, tmp_path / "new"), last_known=shipped)
    assert result.reports[0].carried_by == (3005,)


def test_what_shipped_is_dated_and_covers_every_pull_request() -> None:
    shipped = load_last_known()
    assert shipped.as_of and "not fetched" in shipped.source
    for bounds in bounds_of(load_faults()):
        for request in bounds.upstream:
            assert (request.repository, request.number) in shipped.pulls


def test_a_damaged_package_file(tmp_path: Path) -> None:
    from aiterfix.errors import NotUnderstoodError

    for text in ("", "{}", "[" * 100_000, json.dumps({"as_of": "x", "source": "y", "pull_requests": [{}]})):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(NotUnderstoodError, match="damaged"):
            load_last_known(tmp_path / "x.json")
