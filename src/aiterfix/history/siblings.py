"""What is known of kernels beside the family that people meet with it: facts from reports, which nobody judges here.

They stand in ``siblings.json``, with the releases that they were told of and the threads that tell of them.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from aiterfix.history.known import DAMAGED, facts_in
from aiterfix.history.versions import read_version
from aiterfix.storage.record import record

BRANCH = "main"


@record(frozen=True)
class SiblingFact:
    """One fact.

    Attributes:
        kernel: what it is about, as `aiterfix.family.kernels.NOT_JUDGED` calls it where that has it.
        fact: what is known of it, fit to follow that.
        releases: those that it was told of, for people.
        links: pull requests and issues that tell of it, ``owner/name#number``.
    """

    kernel: str
    fact: str
    releases: str
    links: tuple[str, ...]

    def __str__(self) -> str:
        told = f"; {', '.join(self.links)}" if self.links else ""
        return f"{self.kernel} {self.fact} ({self.releases}{told})"


def every_fact() -> tuple[SiblingFact, ...]:
    """All of them; none where the file is missing or damaged, which is no reason to refuse an answer about faults."""
    return tuple(_made(row) for row in _rows())


def facts_of(ref: str) -> tuple[SiblingFact, ...]:
    """Those that were told of a release, a version of it, or the main branch."""
    return tuple(_made(row) for row in _rows() if _told_of(row, ref))


def facts_in_tree(versions: Collection[str], kinds: Collection[str], named: Collection[str]) -> tuple[SiblingFact, ...]:
    """Those from reports that are about an installation.

    Args:
        versions: its version, or the releases that it may be of; none where nothing is known of that: then a fact
            counts for what is there, and says which releases it was told of.
        kinds: what it has of the kernels beside the family.
        named: every kind that would have been seen: others are told by the version alone.
    """
    found = []
    for row in _rows():
        there = row["kernel"] in kinds if row["kernel"] in named else bool(versions)
        if row["links"] and there and (not versions or any(_told_of(row, v) for v in versions)):
            found.append(_made(row))
    return tuple(found)


@cache
def _rows() -> tuple[Any, ...]:
    try:
        rows = tuple(facts_in("siblings.json")["facts"])
        for row in rows:
            _made(row)
    except DAMAGED:
        return ()
    return rows


def _made(row: Any) -> SiblingFact:
    first, last = row["from"], row["to"]
    releases = first if first == last else f"{first} to {last}" if last else f"{first} to {BRANCH}"
    return SiblingFact(row["kernel"], row["fact"], releases, tuple(row["links"]))


def _told_of(row: Any, ref: str) -> bool:
    if ref == BRANCH:
        return not row["to"]
    version, first, last = read_version(ref), read_version(row["from"]), read_version(row["to"])
    if version is None or first is None:
        return False
    # A build that somebody labelled is told of as the release is.
    return first.order <= version.order and (last is None or version.order <= last.order)
