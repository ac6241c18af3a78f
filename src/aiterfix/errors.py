"""Errors that say what happened, why, and what to do; and the one table of exit codes."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """What every command's exit status means: the one table, which ``--help`` prints and docs/commands.md repeats.

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

    def __reduce__(self) -> tuple[Any, ...]:
        # Between processes it is what it says: kinds that are made of other arguments could not be made anew.
        return _remade, (type(self), self.what, self.why, self.remedy)

    def __str__(self) -> str:
        parts = [self.what]
        if self.why:
            parts.append(f"Why: {self.why}")
        if self.remedy:
            parts.append(f"What to do: {self.remedy}")
        return "\n".join(parts)


def _remade(kind: type[AiterfixError], what: str, why: str, remedy: str) -> AiterfixError:
    error = kind.__new__(kind, what)
    AiterfixError.__init__(error, what, why=why, remedy=remedy)
    return error


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


_PUBLISHED = ""
"""What pip installs this package by: its name once it is on an index, until then nothing."""


def install_line(extra: str = "", *, of: str | None = None) -> str:
    """The command that installs this package: the one place that knows it.

    Until it is published that is by what it was installed from, which pip has noted (PEP 610): a checkout or a
    repository. Where that is not there any more, a word stands for it.

    Args:
        extra: of ``pyproject.toml``; none by default.
        of: what pip installs; by default found out.
    """
    import shlex

    source = of or _PUBLISHED or _installed_from() or "CHECKOUT"
    brackets = f"[{extra}]" if extra else ""
    if brackets and "://" in source:
        source = f"aiterfix{brackets} @ {source}"
    else:
        source += brackets
    line = f"pip install {shlex.quote(source)}"
    return line if "CHECKOUT" not in line else f"{line} (CHECKOUT: a checkout of aiterfix, or git+ and its repository)"


def _installed_from() -> str:
    """A folder or URL, as PEP 610 has it; else the checkout that this file stands in; empty where neither is known."""
    import importlib.metadata
    import json
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    try:
        noted = json.loads(importlib.metadata.distribution("aiterfix").read_text("direct_url.json") or "{}")
        url, vcs = str(noted.get("url", "")), noted.get("vcs_info", {})
        if vcs:
            return f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        place = Path(unquote(urlsplit(url).path)) if url.startswith("file:") else None
        if place is not None and place.exists():
            return str(place)
        if url and place is None:
            return url
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError, AttributeError, OSError):
        pass
    checkout = Path(__file__).parents[2]
    return str(checkout) if (checkout / "pyproject.toml").is_file() else ""
