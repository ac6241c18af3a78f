"""Errors that say what happened, why, and what to do; and the one table of exit codes."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What every command's exit status means: the one table, which ``--help`` prints and README repeats.

    Attributes:
        meaning: for people.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str) -> ExitCode:
        """A status and what it means."""
        made = int.__new__(cls, value)
        made._value_ = value
        made.meaning = meaning
        return made

    OK = 0, "safe, or done"
    ACTION = (
        1,
        "action needed: affected, changed since, validation failed, hook not enabled; padding required, "
        "where --require asks for none",
    )
    USAGE = 2, "usage: the command line is wrong"
    NOT_UNDERSTOOD = 3, "not understood: never to be treated as safe"
    ENVIRONMENT = (
        4,
        "environment or I/O: not installed, read-only, disk full, output that cannot be written, no Triton, network",
    )


class AiterfixError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        what: what happened, one sentence, naming the file or object.
        why: the cause as far as it is known; may be empty.
        remedy: what the reader can do next; may be empty.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.ENVIRONMENT
    code: ClassVar[str] = "error"

    def __init__(self, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"Why: {self.why}")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}")
        return "\n".join(parts)


class UsageError(AiterfixError):
    """Arguments that contradict each other or name nothing."""

    exit_code = ExitCode.USAGE
    code = "usage"


class NotUnderstoodError(AiterfixError):
    """Source, journal or code object whose meaning could not be established. Never safe."""

    exit_code = ExitCode.NOT_UNDERSTOOD
    code = "not-understood"


class ActionNeededError(AiterfixError):
    """The answer is known and it is not 'safe'."""

    exit_code = ExitCode.ACTION
    code = "action-needed"


class EnvironmentProblem(AiterfixError):  # noqa: N818 - reads better than EnvironmentError, which is taken
    """Not installed, read-only, disk full, a missing optional dependency, the network."""

    exit_code = ExitCode.ENVIRONMENT
    code = "environment"
