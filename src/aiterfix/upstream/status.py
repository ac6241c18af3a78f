"""The state of the pull requests behind the store bounds: gathered from GitHub, from the cache, or from the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from aiterfix.errors import AiterfixError
from aiterfix.faults.base import PullRequest
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import bounds_of
from aiterfix.history.record import RefRecord
from aiterfix.upstream.github import Answer, GitHub, GitHubError
from aiterfix.upstream.gitrepo import Clone
from aiterfix.upstream.pulls import (
    LastKnown,
    Pull,
    PullState,
    compare_path,
    load_last_known,
    pick_comparison,
    pick_pull,
    pull_path,
    read_pull,
)
from aiterfix.upstream.scan import scan


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
        request: as the fault file names it.
        pull: its state; None where nothing is known.
        origin: where that comes from.
        as_of: when it was so: an instant, a day, or a month, ISO 8601.
        carried_by: numbers of other pull requests of the same repository whose history has its head commit.
        head_source: its head commit judged by source; None without a clone that has it.
    """

    request: PullRequest
    pull: Pull | None
    origin: Origin
    as_of: str
    carried_by: tuple[int, ...]
    head_source: RefRecord | None


@dataclass(frozen=True)
class StatusResult:
    """Every pull request about store bounds.

    Attributes:
        reports: in the order of the fault files, each pull request once.
        trouble: why GitHub could not be asked for some; empty where it could.
        notes: lesser things worth a line.
    """

    reports: tuple[PullReport, ...]
    trouble: tuple[AiterfixError, ...]
    notes: tuple[str, ...]

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
    progress: Callable[[str], None] = lambda _: None,
) -> StatusResult:
    """Gather the state of every pull request about store bounds.

    Args:
        faults: whose pull requests.
        github: whom to ask.
        offline: ask nobody.
        clone: tells which pull request carries which, and holds heads to judge by source, where it has them.
        last_known: what shipped with the package, by default.
        progress: told what is being done.
    """
    shipped = load_last_known() if last_known is None else last_known
    asker = _Asker(github, offline)
    found: list[tuple[PullRequest, Pull | None, Origin, str]] = []
    for request in _distinct(faults):
        if not offline:
            progress(f"asking for {request.repository}#{request.number}")
        found.append((request, *_state(request, asker, shipped)))
    heads = _heads(clone, faults, [p.head for _, p, _, _ in found if p is not None and p.head])
    reports = tuple(
        PullReport(
            request,
            pull,
            origin,
            as_of,
            _carriers(request, pull, found, asker, shipped, clone),
            heads.get(pull.head) if pull is not None else None,
        )
        for request, pull, origin, as_of in found
    )
    notes = (f"The cache is not kept: {github.cache.problem}.",) if github.cache.problem else ()
    return StatusResult(reports, tuple(asker.trouble), notes)


def _distinct(faults: Faults) -> list[PullRequest]:
    seen: dict[tuple[str, int], PullRequest] = {}
    for bounds in bounds_of(faults):
        for request in bounds.upstream:
            seen.setdefault((request.repository, request.number), request)
    return list(seen.values())


def _state(request: PullRequest, asker: _Asker, shipped: LastKnown) -> tuple[Pull | None, Origin, str]:
    answer, origin = asker.ask(pull_path(request.repository, request.number), pick_pull)
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
