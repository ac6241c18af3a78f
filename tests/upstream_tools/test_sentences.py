"""A sentence a pull request: what a person reads must follow from state and source, and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aiterfix.faults.base import PullRequest
from aiterfix.faults.registry import load_faults
from aiterfix.history.store import REPOSITORY
from aiterfix.upstream.cache import Cache
from aiterfix.upstream.github import BadAnswerError, GitHub
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.judged import FaultInTree, JudgedTree, judge_commits
from aiterfix.upstream.pulls import (
    LastKnown,
    Pull,
    PullState,
    load_last_known,
    pick_issue,
    read_pull,
    write_last_known,
)
from aiterfix.upstream.sentences import FaultStory, story
from aiterfix.upstream.status import Origin, PullReport, StatusResult, record_states, status
from tests import paged
from tests.upstream_tools.conftest import Repository
from tests.upstream_tools.kernels import PATH, PLAIN_PATH

KNOWN = load_faults()
CAUSAL = KNOWN.get("ragged-causal-bound")
RAGGED, STAGE1 = paged.RAGGED, "_deepgemm_fp8_paged_mqa_logits_stage1_ragged_k"
BOTH = FaultInTree((STAGE1, RAGGED), (), 2)
HERE = "has the fault in 2 kernels (stage1_ragged_k, reducing_ragged_k), 2 places"
NOWHERE = "has the fault in none of its 7 kernels"


def tree(found: FaultInTree | None = None, doubt: str = "", name: str = "a") -> JudgedTree:
    faults = {CAUSAL.id: found} if found is not None else {}
    return JudgedTree(name * 40, "2026-08-22T00:00:00+00:00", 7, faults, doubt)


def said(
    state: PullState | None,
    head: JudgedTree | None = None,
    base: JudgedTree | None = None,
    main: JudgedTree | None = None,
    **request: object,
) -> str:
    asked = PullRequest(**{"repository": REPOSITORY, "number": 7, "role": "does it", **request})  # type: ignore[arg-type]
    changed = "" if state in (None, PullState.OPEN) else "2026-08-16T01:02:03Z"
    pull = None if state is None else Pull(state, "a title", "b" * 40, "", changed)
    report = PullReport(asked, pull, Origin.GITHUB, "2026-09-01T00:00:00Z", (), None, head, base)
    told = story(replace(CAUSAL, upstream=(asked,)), StatusResult((report,), (), (), main), None)
    (sentence,) = told.pulls
    assert sentence.source == "GitHub, 2026-09-01T00:00:00Z"
    return sentence.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            said(PullState.MERGED, tree(BOTH), tree(BOTH), tree(BOTH)),
            f"#7 was merged on 2026-08-16 (does it); its text {HERE}, as the text that it changes; main still {HERE}.",
        ),
        (
            said(PullState.MERGED, tree(), tree(BOTH), tree()),
            f"#7 was merged on 2026-08-16 (does it); its text {NOWHERE}; the text that it changes {HERE}; "
            f"main also {NOWHERE}.",
        ),
        (
            said(PullState.OPEN, tree(), tree(BOTH), tree(BOTH)),
            f"#7 is open (does it); its text {NOWHERE}; the text that it changes {HERE}.",
        ),
        (
            said(PullState.OPEN, None, None, tree(BOTH)),
            "#7 is open (does it); its text is not at hand, so what it mends is not known.",
        ),
        (
            said(PullState.CLOSED, tree(), tree(BOTH), tree(BOTH)),
            f"#7 was closed without merge on 2026-08-16 (does it); its text {NOWHERE}; the text that it changes {HERE}; "
            f"main {HERE}.",
        ),
        (
            said(PullState.MERGED, tree(doubt="x.py: cut off"), tree(BOTH), tree(BOTH)),
            f"#7 was merged on 2026-08-16 (does it); its text is not understood (x.py: cut off); main still {HERE}.",
        ),
        (
            said(PullState.MERGED, tree(FaultInTree((), (RAGGED,), 1)), tree(doubt="x"), None),
            "#7 was merged on 2026-08-16 (does it); its text is not understood in 1 kernel (reducing_ragged_k), 1 place.",
        ),
        (
            said(None, None, None, tree()),
            "#7 is a pull request of which the state is not known (does it); its text is not at hand, so what it mends "
            f"is not known; main {NOWHERE}.",
        ),
        (
            said(PullState.OPEN, None, None, tree(BOTH), issue=True),
            "#7 is an issue, open (does it); an issue changes no text.",
        ),
        (
            said(PullState.CLOSED_ISSUE, None, None, tree(BOTH), issue=True),
            "#7 is an issue, closed (does it); an issue changes no text.",
        ),
        (
            said(PullState.MERGED, tree(), tree(BOTH), tree(BOTH), repository="vllm-project/vllm"),
            "vllm-project/vllm#7 was merged on 2026-08-16 (does it); it changes the consumer, and no kernel of aiter.",
        ),
    ],
)
def test_every_state(text: str, words: str) -> None:
    assert text == words


def paths(repository: Repository) -> tuple[str, str]:
    """A commit with the fault on main, and one of a pull request that takes it out."""
    mended = paged.PLAIN.replace(b"<= length - place", b"<= length - next_n + place")
    assert mended != paged.PLAIN
    main = repository.commit({PATH: paged.GLUON, PLAIN_PATH: paged.PLAIN})
    repository.git("checkout", "-q", "-b", "work")
    head = repository.commit({PLAIN_PATH: mended})
    repository.git("checkout", "-q", "main")
    return main, head


def test_a_commit_is_judged_by_the_one_judge(repository: Repository) -> None:
    main, head = paths(repository)
    judged = judge_commits(Clone(repository.path), [main, head, main], KNOWN)
    assert judged[main].of(CAUSAL.id) == FaultInTree((RAGGED,), (), 1)
    assert judged[head].of(CAUSAL.id).gone
    assert judged[main].kernels == 3 and judged[main].doubt == ""
    assert judged[main].of("cache-offset-32") == judged[head].of("cache-offset-32")
    none = repository.commit({PATH: None, PLAIN_PATH: None, "aiter/x.py": "X = 1\n"})
    assert judge_commits(Clone(repository.path), [none], KNOWN)[none].kernels == 0


def test_what_cannot_be_read_is_no_absence(repository: Repository) -> None:
    """A folder of the package that is a submodule may hold anything; a name that leads nowhere runs anything."""
    repository.commit({PATH: paged.GLUON})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},aiter/ops/triton/other")
    repository.git("commit", "-q", "-m", "a submodule")
    commit = repository.git("rev-parse", "HEAD")
    judged = judge_commits(Clone(repository.path), [commit], KNOWN)[commit]
    assert "submodule" in judged.doubt
    assert said(PullState.OPEN, replace(judged, faults={})).startswith(
        "#7 is open (does it); its text is not understood ("
    )


def test_attributes_of_a_tree_hide_nothing(repository: Repository) -> None:
    repository.commit({PATH: paged.GLUON, PLAIN_PATH: paged.PLAIN, ".gitattributes": "*.py export-ignore\n"})
    commit = repository.git("rev-parse", "HEAD")
    assert judge_commits(Clone(repository.path), [commit], KNOWN)[commit].of(CAUSAL.id).present == (RAGGED,)


def ask(repository: Repository, tmp_path: Path, known: LastKnown) -> StatusResult:
    clone = Clone(repository.path)
    return status(KNOWN, GitHub(Cache(tmp_path / "c"), token=""), offline=True, clone=clone, last_known=known)


def causal(result: StatusResult) -> FaultStory:
    return story(CAUSAL, result, None)


def test_a_clone_judges_heads_and_what_they_stand_on(repository: Repository, tmp_path: Path) -> None:
    main, head = paths(repository)
    known = LastKnown("2026-09", "a test", {(REPOSITORY, 4293): Pull(PullState.OPEN, "", head, "", "")}, frozenset())
    told = causal(ask(repository, tmp_path, known))
    assert told.main == FaultInTree((RAGGED,), (), 1)
    (sentence,) = [s for s in told.pulls if s.request.number == 4293]
    assert sentence.head is not None and sentence.head.gone
    assert sentence.base == told.main
    assert sentence.text.startswith("#4293 is open (")
    # What shipped with the package is used where the clone lacks a commit, and only for the same faults.
    result = ask(repository, tmp_path, known)
    recorded = record_states(result, KNOWN, known, "2026-10-01")
    write_last_known(recorded, tmp_path / "states.json")
    again = load_last_known(tmp_path / "states.json")
    assert (again, again.as_of, again.main) == (recorded, "2026-09", main)
    offline = status(KNOWN, GitHub(Cache(tmp_path / "c"), token=""), offline=True, last_known=again)
    assert causal(offline).pulls == told.pulls and causal(offline).main == told.main
    other = status(replace(KNOWN, judged=KNOWN.judged[:3]), GitHub(Cache(tmp_path / "c"), token=""), offline=True)
    assert other.main is None and not other.trees


def test_a_branch_that_was_merged_as_it_is_stands_on_nothing_known(repository: Repository, tmp_path: Path) -> None:
    main, head = paths(repository)
    repository.git("merge", "-q", "--ff-only", "work")
    known = LastKnown("2026-09", "a test", {(REPOSITORY, 4293): Pull(PullState.MERGED, "", head, "", "")}, frozenset())
    (sentence,) = [s for s in causal(ask(repository, tmp_path, known)).pulls if s.request.number == 4293]
    assert sentence.base is None
    assert "the text that it changes" not in sentence.text
    assert main != head


def test_an_issue_is_no_pull_request() -> None:
    closed = pick_issue({"state": "closed", "title": "x", "closed_at": "2026-05-05T00:00:00Z"})
    assert read_pull(closed).state is PullState.CLOSED_ISSUE
    assert read_pull(pick_issue({"state": "open", "title": "x"})).state is PullState.OPEN
    with pytest.raises(BadAnswerError, match="is a pull request"):
        pick_issue({"state": "open", "title": "x", "pull_request": {}})


def test_what_ships_covers_the_faults_that_are_judged() -> None:
    shipped = load_last_known()
    assert shipped.faults == tuple(f.id for f in KNOWN.judged)
    assert shipped.main in shipped.trees
    heads = {p.head for p in shipped.pulls.values() if p.head}
    assert heads <= set(shipped.trees) and set(shipped.bases) <= heads
    kinds = {(p.repository, p.number): p.issue for f in KNOWN.judged for p in f.upstream}
    assert set(shipped.pulls) <= set(kinds)
    assert not [k for k, pull in shipped.pulls.items() if kinds[k] and pull.head]
