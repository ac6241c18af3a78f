"""Where commands write: one object on stdout under ``--json``, text for people otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from aiterfix.errors import AiterfixError

SCHEMA_VERSION = 1


def write(text: str) -> None:
    """Text for people, or the one JSON object, on stdout."""
    sys.stdout.write(text)


def write_bytes(data: bytes) -> None:
    """Bytes on stdout as they are: diffs of files in any encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def note(text: str) -> None:
    """A line for people on stderr."""
    sys.stderr.write(text + "\n")


def write_json(command: str, body: Mapping[str, Any]) -> None:
    """The one object of a command, with its schema version."""
    import json

    write(json.dumps({"schema_version": SCHEMA_VERSION, "command": command, **body}, indent=2) + "\n")


def write_error(command: str, error: AiterfixError, *, as_json: bool) -> None:
    """An error: an object on stdout under ``--json``, else text on stderr."""
    if as_json:
        body = {
            "code": error.code,
            "what": error.what,
            "why": error.why,
            "remedy": error.remedy,
            "exit_code": int(error.exit_code),
        }
        write_json(command, {"error": body})
    else:
        note(f"aiterfix: error: {error}")


def colour(text: str, code: str) -> str:
    """Text in a terminal colour, where stdout is a terminal that wants colours."""
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\x1b[{code}m{text}\x1b[0m" if wanted else text
