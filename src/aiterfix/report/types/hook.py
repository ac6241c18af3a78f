"""``aiterfix hook --json``: the start-up files of an interpreter, or what can be known of a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from aiterfix.importing.settings import Mode
from aiterfix.report.document import Body
from aiterfix.storage.record import record


@record(frozen=True)
class HookReport(Body):
    """The start-up files of an interpreter.

    Attributes:
        files: ours.
        foreign: files of our name that aiterfix did not write so.
        changed: written or removed by this run.
        mode: what `AITERFIX` says here.
    """

    command = "hook"

    action: Literal["enable", "disable", "status"]
    python: Path
    site_packages: Path
    enabled: bool
    files: tuple[Path, ...]
    foreign: tuple[Path, ...]
    listed_in_record: bool
    changed: tuple[Path, ...]
    mode: Mode


@record(frozen=True)
class ProcessReport(Body):
    """What a process was started with.

    Attributes:
        variables: those that decide about the hook, where set.
        started_by_run: whether `aiterfix run` is behind it.
        off: whether `AITERFIX=off` forbids the hook.
        site_file: the start-up file of its interpreter, for people.
        patched: never known from outside.
        cannot_be_known: what, and where to look instead.
    """

    command = "hook"

    action: Literal["status"]
    pid: int
    command_line: tuple[str, ...]
    python: Path
    variables: Mapping[str, str]
    started_by_run: bool
    off: bool
    site_file: str
    patched: None
    cannot_be_known: str
