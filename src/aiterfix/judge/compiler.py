"""Which Triton compiles the kernels of an installation, or of this process: read, never imported."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from aiterfix.faults.base import Reach
from aiterfix.faults.registry import Faults
from aiterfix.judge.judgement import LaunchFacts
from aiterfix.storage.held import read_file

if TYPE_CHECKING:
    from aiterfix.installation import Installation
    from aiterfix.installation.view import View

_VERSION = re.compile(rb"""^__version__\s*=\s*["']([^"']+)["']""", re.MULTILINE)
_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_METADATA = re.compile(r"(?P<name>[^-]*triton[^-]*)-(?P<version>[^-]+)\.(?:dist|egg)-info\Z", re.IGNORECASE)
_NO_COMPILER = LaunchFacts()
_MODULE = Path("triton") / "__init__.py"
_MOST_BYTES = 1 << 20


def compiler_beside(installation: Installation, view: View) -> LaunchFacts:
    """What is known of the Triton in the folder that an installation is imported from, or that leads to it.

    Nothing where there is none, or two: another folder of the path may come first.

    Args:
        installation: where `aiter` is.
        view: how files of the inspected system are read.
    """
    folders = [installation.root, *([installation.dist_info.parent] if installation.dist_info is not None else [])]
    found = {compiler_in(folder, view) for folder in dict.fromkeys(folders)} - {_NO_COMPILER}
    return found.pop() if len(found) == 1 else _NO_COMPILER


def compiler_in(folder: Path, view: View) -> LaunchFacts:
    """What is known of the Triton in a folder."""
    try:
        return _stated(view.read(folder / _MODULE, most=_MOST_BYTES), view.names(folder))
    except OSError:
        return _NO_COMPILER


def _stated(text: bytes, names: Iterable[str]) -> LaunchFacts:
    """By the text of Triton's module, and the names beside its folder."""
    stated = _VERSION.search(text)
    if stated is None:
        return _NO_COMPILER
    # AMD's builds have their own metadata, or a local version, and state the release alone in the module.
    metadata = [m for m in map(_METADATA.match, names) if m is not None]
    return _facts(stated[1].decode("utf-8", "replace"), {(m["name"].lower(), m["version"]) for m in metadata})


def compiler_loaded() -> LaunchFacts:
    """What is known of the Triton that this process has loaded."""
    module = sys.modules.get("triton")
    stated, origin = getattr(module, "__version__", None), getattr(module, "__file__", None)
    if not isinstance(stated, str):
        return _NO_COMPILER
    beside = _NO_COMPILER
    if isinstance(origin, str):
        try:
            folder = Path(origin).parents[1]
            beside = _stated(read_file(folder / _MODULE, most=_MOST_BYTES), os.listdir(folder))  # noqa: PTH208 - names
        except (OSError, IndexError):
            beside = _NO_COMPILER
    named = _facts(stated, set())
    return beside if beside.triton == named.triton else named


def compiler_notes(version: str, faults: Faults) -> tuple[str, ...]:
    """What has to be said of a run whose kernels a release of Triton compiled, where a known fault is about it.

    Args:
        version: as Triton states it.
        faults: every known fault.
    """
    facts = _facts(version, set()).known()
    found = (f for f in faults.judged if f.id in faults.deciding_by_compiler)
    met = (f for f in found if facts and f.trigger.reach(facts)[0] is not Reach.NOT_REACHED)
    return tuple(f"known fault: {f.id}, where this is that build: {f.title}" for f in met)


def _facts(version: str, metadata: set[tuple[str, str]]) -> LaunchFacts:
    release = _RELEASE.match(version)
    if release is None:
        return _NO_COMPILER
    major, minor, patch = (int(part or 0) for part in release.groups())
    published = metadata == {("triton", release[0])} and version == release[0]
    return LaunchFacts(triton=major * 10000 + minor * 100 + patch, triton_published=1 if published else None)
