"""``AITERFIX`` and ``AITERFIX_LOG``, read when they are needed: a process may set them for its children."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

MODE_VARIABLE = "AITERFIX"
LOG_VARIABLE = "AITERFIX_LOG"
LOG_LEVELS = ("debug", "info", "warning", "error", "off")


class Mode(str, Enum):
    """What happens when a module cannot be patched."""

    AUTO = "auto"
    """Say so once and leave the import untouched. The default."""
    REQUIRE = "require"
    """Raise: no unpatched kernel is to run."""
    OFF = "off"
    """No hook at all, whoever asks for it."""


@dataclass(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        mode: from ``AITERFIX``.
        log: from ``AITERFIX_LOG``: one of `LOG_LEVELS`, or empty to leave logging to the host.
        complaints: values not understood, one sentence each.
    """

    mode: Mode
    log: str
    complaints: tuple[str, ...] = ()


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. A value not understood counts as unset, and is complained of.

    Args:
        environment: ``os.environ`` by default.
    """
    variables = os.environ if environment is None else environment
    complaints = []
    mode = Mode.AUTO
    text = variables.get(MODE_VARIABLE, "").strip().lower()
    if text:
        try:
            mode = Mode(text)
        except ValueError:
            complaints.append(f"{MODE_VARIABLE}={text!r} is none of auto, off, require; taken as auto")
    log = variables.get(LOG_VARIABLE, "").strip().lower()
    if log and log not in LOG_LEVELS:
        complaints.append(f"{LOG_VARIABLE}={log!r} is none of {', '.join(LOG_LEVELS)}; ignored")
        log = ""
    return Settings(mode, log, tuple(complaints))
