"""``aiterfix doctor --json``: what is installed here, on one screen."""

from __future__ import annotations

from pathlib import Path

from aiterfix.importing.settings import Mode
from aiterfix.judge.verdict import Verdict
from aiterfix.report.document import Body
from aiterfix.report.types.common import Located
from aiterfix.storage.record import record


@record(frozen=True)
class SeenInstallation(Located):
    """One aiter.

    Attributes:
        verdict: on what is on disk.
        present: ids of the faults that are present and decide.
        patch: what aiterfix has done to it, for people; may be empty.
        writable: whether `apply` could replace its files.
        obstacle: why not.
    """

    verdict: Verdict
    present: tuple[str, ...]
    patch: str
    writable: bool
    obstacle: str


@record(frozen=True)
class SeenEngine:
    """An engine beside it.

    Attributes:
        plugin: whether its processes load aiterfix as a plugin, by what is set here.
        why: what that rests on.
    """

    name: str
    version: str | None
    package: Path
    plugin: bool
    why: str


@record(frozen=True)
class SeenHook:
    """The import hook.

    Attributes:
        active: whether it starts in every process of the interpreter; null where no interpreter was asked about.
        detail: what that rests on.
        mode: what `AITERFIX` says here.
        complaints: variables that are not understood.
    """

    active: bool | None
    detail: str
    mode: Mode
    complaints: tuple[str, ...]


@record(frozen=True)
class SeenTriton:
    """The Triton on the import path.

    Attributes:
        version: null where none was found.
        published: whether it is the wheel that PyPI has; null where that is not known.
        troubles: known faults that it brings, for people.
    """

    version: str | None
    published: bool | None
    troubles: tuple[str, ...]


@record(frozen=True)
class DoctorReport(Body):
    """One screen.

    Attributes:
        aiterfix: this package's version.
        python: the interpreter that was asked about; null where a folder was.
        doubts: what could not be read, for people.
        gpus: instruction sets of the AMD GPUs of this machine, one a GPU; null where no driver lists any.
        verdict: the worst of what import would take, the hook counted where it is active.
        next: the one next step.
    """

    command = "doctor"

    aiterfix: str
    python: Path | None
    aiter: tuple[SeenInstallation, ...]
    doubts: tuple[str, ...]
    engines: tuple[SeenEngine, ...]
    hook: SeenHook
    triton: SeenTriton
    gpus: tuple[str, ...] | None
    verdict: Verdict
    next: str
