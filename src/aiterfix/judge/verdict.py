"""The words for a whole installation or process, over the faults that were asked about."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from aiterfix.errors import ExitCode
from aiterfix.faults.base import Presence


class Verdict(str, Enum):
    """Judgement on an installation. Beside it stands which faults were asked about."""

    NOT_INSTALLED = "not-installed"
    CLEAN = "clean"
    """Every fault asked about is absent or refused."""
    AFFECTED = "affected"
    """One is present."""
    UNKNOWN = "unknown"
    """One is not understood, even beside a present one. Never safe."""

    @property
    def exit_code(self) -> ExitCode:
        """The exit status that it makes."""
        return _EXIT[self]


_SEVERITY = tuple(Verdict)
_EXIT = {
    Verdict.CLEAN: ExitCode.OK,
    Verdict.AFFECTED: ExitCode.ACTION,
    Verdict.UNKNOWN: ExitCode.NOT_UNDERSTOOD,
    Verdict.NOT_INSTALLED: ExitCode.ENVIRONMENT,
}


def of_presence(presence: Presence) -> Verdict:
    """The verdict that the worst presence of the faults asked about makes."""
    if presence.harmless:
        return Verdict.CLEAN
    return Verdict.AFFECTED if presence is Presence.PRESENT else Verdict.UNKNOWN


def worst(verdicts: Iterable[Verdict], *, empty: Verdict) -> Verdict:
    """The verdict on a whole whose parts have these verdicts: every doubt outranks every answer.

    Args:
        empty: the answer where there are no parts.
    """
    return max(verdicts, key=_SEVERITY.index, default=empty)
