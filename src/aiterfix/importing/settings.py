"""``AITERFIX``, ``AITERFIX_LOG``, ``AITERFIX_KERNEL`` and ``AITERFIX_RECORD``.

Read when they are needed: a process may set them for its children.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum

from aiterfix.storage.record import record

MODE_VARIABLE = "AITERFIX"
LOG_VARIABLE = "AITERFIX_LOG"
KERNEL_VARIABLE = "AITERFIX_KERNEL"
RECORD_VARIABLE = "AITERFIX_RECORD"
_STOPPED = "no kernel module of aiter is imported until that is corrected"
GUARD = "guard"
KERNELS = ("0", "1", GUARD)
LOG_LEVELS = ("debug", "info", "warning", "error", "off")


class Mode(str, Enum):
    """What happens when a module cannot be patched."""

    AUTO = "auto"
    """Say so once and leave the import untouched. The default."""
    REQUIRE = "require"
    """Raise: no unpatched kernel is to run."""
    OFF = "off"
    """No hook at all, whoever asks for it."""


@record(frozen=True)
class Settings:
    """What the environment says.

    Attributes:
        mode: from ``AITERFIX``.
        log: from ``AITERFIX_LOG``: one of `LOG_LEVELS`, or empty to leave logging to the host.
        own_kernel: from ``AITERFIX_KERNEL``: whether this project's kernel takes the place of aiter's.
        guard_kernel: from the same: whether it takes the launches that are not shown to meet no fault.
        complaints: values not understood, one sentence each.
        stopped: whether one of them is of a safety switch, so that no kernel module is imported.
    """

    mode: Mode
    log: str
    own_kernel: bool = False
    guard_kernel: bool = False
    complaints: tuple[str, ...] = ()
    stopped: bool = False


def record_file() -> str:
    """The file to which launches are to be written, from ``AITERFIX_RECORD``; empty for none. Cannot fail."""
    return os.environ.get(RECORD_VARIABLE, "")


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings. A value not understood is complained of; one of ``AITERFIX`` or ``AITERFIX_KERNEL`` counts
    as `require` too, since what it was to be is not known and may have been that.

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
            complaints.append(f"{MODE_VARIABLE}={text!r} is none of auto, off, require; {_STOPPED}")
    log = variables.get(LOG_VARIABLE, "").strip().lower()
    if log and log not in LOG_LEVELS:
        complaints.append(f"{LOG_VARIABLE}={log!r} is none of {', '.join(LOG_LEVELS)}; ignored")
        log = ""
    kernel = variables.get(KERNEL_VARIABLE, "").strip()
    if kernel and kernel not in KERNELS:
        complaints.append(f"{KERNEL_VARIABLE}={kernel!r} is none of {', '.join(KERNELS)}; {_STOPPED}")
    stopped = mode is not Mode.OFF and any(c.endswith(_STOPPED) for c in complaints)
    return Settings(Mode.REQUIRE if stopped else mode, log, kernel == "1", kernel == GUARD, tuple(complaints), stopped)
