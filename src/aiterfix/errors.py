"""Errors that say what happened, why, and what to do; and the one table of exit codes."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What every command's exit status means."""

    OK = 0
    """Safe, or done."""
    ACTION = 1
    """Action needed: vulnerable, validation failed, padding required where ``--require`` asked for none."""
    USAGE = 2
    """The command line is wrong."""
    NOT_UNDERSTOOD = 3
    """The source is not understood. Never treated as safe."""
    ENVIRONMENT = 4
    """Environment or I/O: not installed, read-only, disk full, no Triton, network."""


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
