"""Pull requests and issues as facts: picked from GitHub's answers, from the cache, or from what shipped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from aiterfix.errors import NotUnderstoodError
from aiterfix.faults.base import PullRequest
from aiterfix.history.store import REPOSITORY
from aiterfix.storage import codec
from aiterfix.storage.codec import StoredError
from aiterfix.storage.text import printable
from aiterfix.upstream.cache import Fact
from aiterfix.upstream.github import BadAnswerError
from aiterfix.upstream.judged import JudgedTree

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_LONGEST_TITLE = 300
LAST_KNOWN = Path(__file__).with_name("lastknown.json")


def called(request: PullRequest) -> str:
    """A pull request or issue as people write it: by its number alone where it is aiter's own."""
    return f"{'' if request.repository == REPOSITORY else request.repository}#{request.number}"


class PullState(str, Enum):
    """How a pull request stands. GitHub's ``state`` knows open and closed only."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed without merge"
    CLOSED_ISSUE = "closed"
    """Of an issue, which has no text to merge."""


@dataclass(frozen=True)
class Pull:
    """What GitHub says of a pull request.

    Attributes:
        state: from ``state`` and ``merged``. Never from ``merge_commit_sha``: unmerged ones have one too.
        title: its title; printable characters only.
        head: the last commit on its branch; empty where it is not known.
        merge: the commit that merged it; empty where it was not merged or it is not known.
        changed: when it was merged or closed, ISO 8601; empty for an open one.
    """

    state: PullState
    title: str
    head: str
    merge: str
    changed: str


@dataclass(frozen=True)
class LastKnown:
    """States recorded when this version of aiterfix was made.

    Attributes:
        as_of: the day, or the month, that they are known to hold for.
        source: where they were taken from.
        pulls: by repository and number.
        contained: pairs of pull requests (first, second): the first's head is part of the second's history.
        faults: ids of the faults that ``trees`` were judged for.
        main: commit of upstream's main branch then; empty where none was judged.
        bases: commits of main that heads stand on, by head.
        trees: commits judged by source: main, the newest release, heads and what they stand on.
    """

    as_of: str
    source: str
    pulls: Mapping[tuple[str, int], Pull]
    contained: frozenset[tuple[str, int, int]]
    faults: tuple[str, ...] = ()
    main: str = ""
    bases: Mapping[str, str] = field(default_factory=dict)
    trees: Mapping[str, JudgedTree] = field(default_factory=dict)


@dataclass(frozen=True)
class _StoredPull:
    repository: str
    number: int
    facts: Mapping[str, Fact]


@dataclass(frozen=True)
class _StoredPart:
    repository: str
    number: int
    part_of: int


@dataclass(frozen=True)
class _StoredStates:
    """The file of `LastKnown`."""

    as_of: str
    source: str
    pull_requests: tuple[_StoredPull, ...]
    contained: tuple[_StoredPart, ...]
    faults: tuple[str, ...] = ()
    main: str = ""
    bases: Mapping[str, str] = field(default_factory=dict)
    trees: tuple[JudgedTree, ...] = ()


def pull_path(request: PullRequest) -> str:
    """Where the API has a pull request, or an issue."""
    return f"/repos/{request.repository}/{'issues' if request.issue else 'pulls'}/{request.number}"


def compare_path(repository: str, base: str, head: str) -> str:
    """Where the API compares two commits. Commits and files are of no interest here: ask for few."""
    return f"/repos/{repository}/compare/{base}...{head}?per_page=1"


def pick_pull(document: object) -> Mapping[str, Fact]:
    """The facts of a pull request, from GitHub's document.

    Raises:
        BadAnswerError: it is not one.
    """
    top = _object(document, "the answer")
    head = _object(top.get("head"), "head")
    merged = top.get("merged")
    if not isinstance(merged, bool):
        raise BadAnswerError("GitHub's answer is not a pull request: `merged` is not true or false")
    title = top.get("title")
    facts: dict[str, Fact] = {
        "state": _text(top, "state"),
        "merged": merged,
        "title": title[:_LONGEST_TITLE] if isinstance(title, str) else "",
        "head": _text(head, "sha"),
        "merge": _text(top, "merge_commit_sha") if merged else "",
        "changed": (_text(top, "merged_at") if merged else "") or _optional(top, "closed_at"),
    }
    read_pull(facts)
    return facts


def pick_issue(document: object) -> Mapping[str, Fact]:
    """The facts of an issue, from GitHub's document.

    Raises:
        BadAnswerError: it is not one, or is a pull request.
    """
    top = _object(document, "the answer")
    if "pull_request" in top:
        raise BadAnswerError("GitHub's answer is a pull request, where the fault file says that it is an issue")
    title = top.get("title")
    facts: dict[str, Fact] = {
        "state": _text(top, "state"),
        "merged": False,
        "issue": True,
        "title": title[:_LONGEST_TITLE] if isinstance(title, str) else "",
        "head": "",
        "merge": "",
        "changed": _optional(top, "closed_at"),
    }
    read_pull(facts)
    return facts


def read_pull(facts: Mapping[str, Fact]) -> Pull:
    """A pull request from picked facts, checked: they may come from a damaged cache.

    Raises:
        BadAnswerError: they do not fit together.
    """
    state, merged = facts.get("state"), facts.get("merged")
    if state not in ("open", "closed") or not isinstance(merged, bool):
        raise BadAnswerError("GitHub's answer is not a pull request: `state` is neither open nor closed")
    if merged and state == "open":
        raise BadAnswerError("GitHub's answer contradicts itself: merged and open")
    head, merge, changed, title = (facts.get(k) for k in ("head", "merge", "changed", "title"))
    for name, value in (("head", head), ("merge", merge)):
        if not isinstance(value, str) or (value and not _SHA.fullmatch(value)):
            raise BadAnswerError(f"GitHub's answer is not a pull request: {name} is not the name of a commit")
    if not isinstance(changed, str) or (changed and not _DATE.fullmatch(changed)):
        raise BadAnswerError("GitHub's answer is not a pull request: a date is not a date")
    closed = PullState.CLOSED_ISSUE if facts.get("issue") is True else PullState.CLOSED
    how = PullState.MERGED if merged else PullState.OPEN if state == "open" else closed
    return Pull(how, printable(title if isinstance(title, str) else ""), str(head), str(merge), changed)


def pick_comparison(document: object) -> Mapping[str, Fact]:
    """Whether the second commit of a comparison is part of the first's history.

    Raises:
        BadAnswerError: it is no comparison.
    """
    status = _text(_object(document, "the answer"), "status")
    if status not in ("ahead", "behind", "identical", "diverged"):
        raise BadAnswerError("GitHub's answer is not a comparison of commits")
    return {"contained": status in ("behind", "identical")}


def load_last_known(path: Path = LAST_KNOWN) -> LastKnown:
    """What shipped with the package.

    Raises:
        NotUnderstoodError: the file is damaged.
    """
    try:
        said = codec.read(path, _StoredStates)
        pulls = {(pull.repository, pull.number): read_pull(pull.facts) for pull in said.pull_requests}
    except (OSError, StoredError, BadAnswerError) as error:
        raise NotUnderstoodError(f"{path} is damaged: {error}", remedy="Reinstall aiterfix.") from error
    contained = frozenset((part.repository, part.number, part.part_of) for part in said.contained)
    trees = {tree.commit: tree for tree in said.trees}
    return LastKnown(said.as_of, said.source, pulls, contained, said.faults, said.main, said.bases, trees)


def write_last_known(known: LastKnown, path: Path) -> None:
    """Write what is known where `load_last_known` reads it.

    Raises:
        OSError: it cannot be written.
    """

    def facts(pull: Pull) -> dict[str, Fact]:
        closed = pull.state is not PullState.OPEN
        issue = {"issue": True} if pull.state is PullState.CLOSED_ISSUE else {}
        said = {"state": "closed" if closed else "open", "merged": pull.state is PullState.MERGED}
        return {**said, **issue, "title": "", "head": pull.head, "merge": pull.merge, "changed": pull.changed}

    stored = _StoredStates(
        known.as_of,
        known.source,
        tuple(_StoredPull(r, n, facts(p)) for (r, n), p in sorted(known.pulls.items())),
        tuple(_StoredPart(*part) for part in sorted(known.contained)),
        known.faults,
        known.main,
        dict(sorted(known.bases.items())),
        tuple(known.trees[commit] for commit in sorted(known.trees)),
    )
    path.write_bytes(codec.encode(stored))


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadAnswerError(f"GitHub's answer is not a pull request: {what} is not an object")
    return value


def _text(table: Mapping[str, object], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str):
        raise BadAnswerError(f"GitHub's answer is not what was asked for: `{key}` is not text")
    return value


def _optional(table: Mapping[str, object], key: str) -> str:
    return _text(table, key) if table.get(key) is not None else ""
