"""What programs call: ``aiterfix.check()``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.faults.registry import load_faults
from aiterfix.installation.given_path import find_path
from aiterfix.installation.interpreters import find_running
from aiterfix.installation.target import Discovery
from aiterfix.judge.disk import judge_installation
from aiterfix.judge.judgement import Doubt, Judgement


def check(path: str | Path | None = None) -> Judgement:
    """Judge one ``aiter`` that is on disk by its source, as ``aiterfix check`` does; nothing of it is imported.

    Asked about is every fault that makes logits wrong or touches foreign memory, in every kernel. Whether the import
    hook mends what a process loads is not: that is `aiterfix.status`.

    Args:
        path: a site-packages, a prefix, a checkout, the package folder, a wheel or an image that is a file; by default
            what this Python would import.

    Returns:
        The judgement: ``verdict`` (`aiterfix.judge.verdict.Verdict`), ``answers()`` with a
        `aiterfix.judge.judgement.FaultAnswer` a fault, ``installation``, ``texts``, ``doubts``.

    Raises:
        UsageError: the path does not exist, or there are several that import could take.
        EnvironmentProblem: there is none.
        NotUnderstoodError: something that may be one could not be read.
    """
    place = None if path is None else Path(path)
    if place is not None and not place.exists():
        raise UsageError(f"{place} does not exist", remedy="Name a folder or file that exists.")
    found = find_running() if place is None else find_path(place)
    live = [i for i in found.installations if not i.shadowed]
    if not live:
        raise _nothing(found)
    if len(live) > 1:
        several = ", ".join(str(i.package) for i in live)
        raise UsageError(f"there are several: {several}", remedy="Name the package folder of one.")
    judged = judge_installation(live[0], load_faults())
    missed = (Doubt(str(s.path), s.reason) for s in found.doubts)
    return replace(judged, doubts=(*judged.doubts, *missed))


def _nothing(found: Discovery) -> NotUnderstoodError | EnvironmentProblem:
    searched = "searched: " + ", ".join(str(p) for p in found.searched)
    if found.doubts:
        first = found.doubts[0]
        return NotUnderstoodError(f"no aiter could be read: {first.path}: {first.reason}", why=searched)
    if found.installations:
        package = found.installations[0].package
        return NotUnderstoodError(f"{package} is shadowed: import would take something else", why=searched)
    return EnvironmentProblem("no aiter is installed here", why=searched, remedy="Name the installation.")
