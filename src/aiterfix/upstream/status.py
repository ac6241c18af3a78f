"""The state of every fault's pull requests, and what their text has of it.

Gathered from GitHub, from the cache, from a clone, or from the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum

from aiterfix.errors import AiterfixError, UsageError
from aiterfix.faults.base import PullRequest
from aiterfix.faults.registry import Faults
from aiterfix.history.record import RefRecord
from aiterfix.upstream.github import Answer, GitHub, GitHubError
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.judged import JudgedTree, judge_commits
from aiterfix.upstream.pulls import (
    LastKnown,
    Pull,
    PullState,
    compare_path,
    load_last_known,
    pick_comparison,
    pick_issue,
    pick_pull,
    pull_path,
    read_pull,
)
from aiterfix.upstream.scan import MAIN, scan


class Origin(str, Enum):
    """Where a state comes from."""

    GITHUB = "github"
    CACHE = "cache"
    PACKAGE = "package"
    NOWHERE = "nowhere"


@dataclass(frozen=True)
class PullReport:
    """One pull request and what is known of it.

    Attributes:
        pull: its state; None where nothing is known.
        as_of: when it was so: an instant, a day, or a month, ISO 8601.
        carried_by: numbers of other pull requests of the same repository whose history has its head commit.
        head_source: its head commit by guards of stores; None without a clone that has it, and where it is about none.
        head: its head commit judged by source; None where nothing has it.
        base: the commit of main that the head stands on, judged the same way; None where nothing has it.
    """

    request: PullRequest
    pull: Pull | None
    origin: Origin
    as_of: str
    carried_by: tuple[int, ...]
    head_source: RefRecord | None
    head: JudgedTree | None = None
    base: JudgedTree | None = None


@dataclass(frozen=True)
class StatusResult:
    """Every pull request.

    Attributes:
        reports: in the order of the fault files, each pull request once.
        trouble: why GitHub could not be asked for some; empty where it could.
        main: upstream's main branch judged by source; None where nothing has it.
        trees: by commit, whatever was judged by source.
    """

    reports: tuple[PullReport, ...]
    trouble: tuple[AiterfixError, ...]
    notes: tuple[str, ...]
    main: JudgedTree | None = None
    trees: Mapping[str, JudgedTree] = field(default_factory=dict)

    def of(self, request: PullRequest) -> PullReport:
        """The report on a pull request."""
        wanted = (request.repository, request.number)
        return next(r for r in self.reports if (r.request.repository, r.request.number) == wanted)


class _Asker:
    """Asks GitHub until it is clear that it cannot be asked."""

    def __init__(self, github: GitHub, offline: bool) -> None:
        self.github = github
        self.closed = offline
        self.trouble: list[AiterfixError] = []

    def ask(self, path: str, pick: Callable[[object], object]) -> tuple[Answer | None, Origin]:
        if not self.closed:
            try:
                return self.github.fetch(path, pick), Origin.GITHUB  # type: ignore[arg-type]
            except GitHubError as error:
                self.trouble.append(error)
                self.closed = error.lasting
        return self.github.remembered(path), Origin.CACHE


def status(
    faults: Faults,
    github: GitHub,
    *,
    offline: bool = False,
    clone: Clone | None = None,
    last_known: LastKnown | None = None,
    also: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> StatusResult:
    """Gather the state of every pull request.

    Args:
        clone: tells which pull request carries which, and holds heads to judge by source, where it has them.
        last_known: what shipped with the package, by default.
        also: further commits to judge by source, where the clone has them.
    """
    shipped = load_last_known() if last_known is None else last_known
    asker = _Asker(github, offline)
    found: list[tuple[PullRequest, Pull | None, Origin, str]] = []
    for request in _distinct(faults):
        if not offline:
            progress(f"asking for {request.repository}#{request.number}")
        found.append((request, *_state(request, asker, shipped)))
    bounds = [p.head for r, p, _, _ in found if p is not None and p.head and r.removes]
    heads = _heads(clone, faults, bounds)
    main, bases, trees = _judged(clone, faults, found, shipped, also, progress)
    reports = tuple(
        PullReport(
            request,
            pull,
            origin,
            as_of,
            _carriers(request, pull, found, asker, shipped, clone),
            heads.get(pull.head) if pull is not None else None,
            trees.get(pull.head) if pull is not None else None,
            trees.get(bases.get(pull.head, "")) if pull is not None else None,
        )
        for request, pull, origin, as_of in found
    )
    notes = (f"The cache is not kept: {github.cache.problem}.",) if github.cache.problem else ()
    return StatusResult(reports, tuple(asker.trouble), notes, trees.get(main), trees)


def _judged(
    clone: Clone | None,
    faults: Faults,
    found: Sequence[tuple[PullRequest, Pull | None, Origin, str]],
    shipped: LastKnown,
    also: Sequence[str],
    progress: Callable[[str], None],
) -> tuple[str, Mapping[str, str], Mapping[str, JudgedTree]]:
    """The commit of main, what heads stand on, and all of these by source: those of the clone, else what shipped."""
    heads = [p.head for _, p, _, _ in found if p is not None and p.head]
    bases = dict(shipped.bases)
    known = shipped.trees if shipped.faults == tuple(f.id for f in faults.judged) else {}
    main = shipped.main if known else ""
    here: list[str] = []
    if clone is not None:
        own = next((c for name in MAIN if (c := clone.resolve(name))), None)
        main = own or main
        here = [h for h in dict.fromkeys(heads) if clone.resolve(h)]
        if own:
            parents = {h: clone.text("merge-base", own, h, status=(0, 1)).strip() for h in here}
            # What was merged as it is stands on itself: what it changed is not told by that.
            bases |= {h: parent for h, parent in parents.items() if parent not in ("", h)}
        others = [c for c in also if clone.resolve(c)]
        here = [c for c in (own, *here, *(bases.get(h) for h in here), *others) if c and c not in known]
    judged = judge_commits(clone, here, faults, progress) if clone is not None else {}
    return main, bases, {**known, **judged}


def record_states(
    result: StatusResult, faults: Faults, shipped: LastKnown, day: str, keep: Sequence[str] = ()
) -> LastKnown:
    """What to ship: states as they were gathered, and what was judged.

    Args:
        shipped: states as they are shipped now, which stay where GitHub was not asked.
        day: of asking, ISO 8601.
        keep: further commits whose judgement is shipped.

    Raises:
        UsageError: some states are from GitHub and some are not: one date would not be true of all.
    """
    asked = {r.origin is Origin.GITHUB for r in result.reports}
    if len(asked) > 1:
        raise UsageError(
            "GitHub was asked for some states and not for others", remedy="Use --offline, or run it again."
        )
    fresh = asked == {True}
    pulls = {(r.request.repository, r.request.number): r.pull for r in result.reports if r.pull is not None}
    trees = {t.commit: t for r in result.reports for t in (r.head, r.base, result.main) if t is not None}
    trees |= {c: result.trees[c] for c in keep if c in result.trees}
    bases = {r.head.commit: r.base.commit for r in result.reports if r.head is not None and r.base is not None}
    contained = {(r.request.repository, r.request.number, n) for r in result.reports for n in r.carried_by}
    return LastKnown(
        day if fresh else shipped.as_of,
        "GitHub's API; heads and main judged from a clone" if fresh else shipped.source,
        pulls,
        frozenset(contained),
        tuple(f.id for f in faults.judged),
        result.main.commit if result.main is not None else "",
        bases,
        trees,
    )


def _distinct(faults: Faults) -> list[PullRequest]:
    seen: dict[tuple[str, int], PullRequest] = {}
    for fault in faults.judged:
        for request in fault.upstream:
            seen.setdefault((request.repository, request.number), request)
    return list(seen.values())


def _state(request: PullRequest, asker: _Asker, shipped: LastKnown) -> tuple[Pull | None, Origin, str]:
    answer, origin = asker.ask(pull_path(request), pick_issue if request.issue else pick_pull)
    if answer is not None:
        try:
            return read_pull(answer.facts), origin, _instant(answer.checked_at)
        except GitHubError as error:
            asker.trouble.append(error)
    pull = shipped.pulls.get((request.repository, request.number))
    return (pull, Origin.PACKAGE, shipped.as_of) if pull is not None else (None, Origin.NOWHERE, "")


def _carriers(
    request: PullRequest,
    pull: Pull | None,
    found: Sequence[tuple[PullRequest, Pull | None, Origin, str]],
    asker: _Asker,
    shipped: LastKnown,
    clone: Clone | None,
) -> tuple[int, ...]:
    """Which merged pull requests of the same repository hold the head of one that was not merged itself."""
    if pull is None or pull.state is not PullState.CLOSED:
        return ()
    carriers = []
    for other, state, _, _ in found:
        if other.repository != request.repository or state is None or state.state is not PullState.MERGED:
            continue
        if _contained(request, pull, other, state, asker, shipped, clone):
            carriers.append(other.number)
    return tuple(carriers)


def _contained(
    request: PullRequest,
    pull: Pull,
    other: PullRequest,
    state: Pull,
    asker: _Asker,
    shipped: LastKnown,
    clone: Clone | None,
) -> bool:
    if pull.head and state.head:
        if clone is not None and clone.resolve(pull.head) and clone.resolve(state.head):
            return clone.is_ancestor(pull.head, state.head)
        answer, _ = asker.ask(compare_path(request.repository, state.head, pull.head), pick_comparison)
        if answer is not None and isinstance(answer.facts.get("contained"), bool):
            return bool(answer.facts["contained"])
        known = shipped.pulls.get((request.repository, request.number))
        same = known is not None and known.head == pull.head
        return same and (request.repository, request.number, other.number) in shipped.contained
    return (request.repository, request.number, other.number) in shipped.contained


def _heads(clone: Clone | None, faults: Faults, heads: Sequence[str]) -> dict[str, RefRecord]:
    """The heads that the clone has, judged by source."""
    if clone is None:
        return {}
    here = [h for h in dict.fromkeys(heads) if clone.resolve(h)]
    if not here:
        return {}
    return {r.commit: r for r in scan(clone, faults, here).refs}


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
