"""The one JSON object of a command: an envelope around a body, which is a frozen dataclass of ``report/types``.

A command declares its body once, and writes it with one call::

    @record(frozen=True)
    class DiffReport(Body):
        command = "diff"

        diff: str

    output.write_report(DiffReport(text))

`aiterfix.report.schema` makes the JSON Schema from the same declaration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, ClassVar

from aiterfix.errors import AiterfixError, ExitCode
from aiterfix.storage.record import record

# Raised for a command when one of its keys goes or changes its meaning.
VERSIONS = {
    "apply": 2,
    "check": 2,
    "compat": 2,
    "cost": 2,
    "demo": 1,
    "diff": 1,
    "doctor": 1,
    "hook": 1,
    "padding": 2,
    "revert": 1,
    "upstream": 2,
    "validate": 2,
}


class Limits:
    """Keywords that go into the schema beside what a type says: ``Annotated[int, Limits(minimum=0)]``."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords


class Body:
    """Base of what a command prints under ``--json``; a command may have several kinds of it."""

    command: ClassVar[str]


@record(frozen=True)
class ErrorReport:
    """What went wrong.

    Attributes:
        code: stable name of the kind of error.
        why: the cause as far as it is known; may be empty.
        remedy: what the reader can do next; may be empty.
    """

    code: str
    what: str
    why: str
    remedy: str
    exit_code: Annotated[int, Limits(enum=[int(e) for e in ExitCode if e])]

    @classmethod
    def of(cls, error: AiterfixError) -> ErrorReport:
        """From the error."""
        return cls(error.code, error.what, error.why, error.remedy, int(error.exit_code))


def encode(value: object) -> Any:
    """Plain JSON values. Every field of a dataclass becomes a key, also where it is empty or null.

    Raises:
        TypeError: a value with no JSON form.
    """
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    if isinstance(value, Mapping):
        return {k: encode(v) for k, v in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in fields(value)}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def version_of(command: str) -> int:
    """The ``schema_version`` of a command, by its first word; 1 for what is no command."""
    return VERSIONS.get(command.partition(" ")[0], 1)


def dump(body: Body) -> str:
    """The whole object as text."""
    return envelope(body.command, encode(body))


def envelope(command: str, facts: Mapping[str, Any]) -> str:
    """Plain JSON values behind what every object starts with, as text."""
    import json

    return json.dumps({"schema_version": version_of(command), "command": command, **facts}, indent=2) + "\n"
