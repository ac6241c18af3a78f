"""The vocabulary of judgements: how a store is guarded, and what that makes of a file or an installation."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Guard(str, Enum):
    """Which bounds the mask of a store puts on its column."""

    NONE = "none"
    LOWER = "lower"
    UPPER = "upper"
    BOTH = "both"

    @property
    def bounded(self) -> bool:
        """Whether the store cannot reach past the end of its row."""
        return self in (Guard.UPPER, Guard.BOTH)


class Verdict(str, Enum):
    """Judgement on a kernel file or an installation. ``UNKNOWN`` is never safe."""

    NOT_INSTALLED = "not-installed"
    NOT_AFFECTED = "not-affected"
    GUARDED = "guarded"
    VULNERABLE = "vulnerable"
    UNKNOWN = "unknown"

    @property
    def safe(self) -> bool:
        """Whether no store can reach past its row, as far as source can tell."""
        return self in (Verdict.GUARDED, Verdict.NOT_AFFECTED)


_SEVERITY = (Verdict.NOT_INSTALLED, Verdict.NOT_AFFECTED, Verdict.GUARDED, Verdict.VULNERABLE, Verdict.UNKNOWN)


def worst(verdicts: Iterable[Verdict], *, empty: Verdict) -> Verdict:
    """The verdict on a whole whose parts have these verdicts: every doubt outranks every answer.

    Args:
        verdicts: verdicts of the parts, in any order.
        empty: the answer where there are no parts.
    """
    return max(verdicts, key=_SEVERITY.index, default=empty)
