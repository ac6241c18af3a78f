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
from aiterfix.storage.held import read_file
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.installation.target import Installation
    from aiterfix.installation.view import View
    from aiterfix.judge.judgement import LaunchFacts

_VERSION = re.compile(rb"""^__version__\s*=\s*["']([^"']+)["']""", re.MULTILINE)
_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_METADATA = re.compile(r"(?P<name>[^-]*triton[^-]*)-(?P<version>[^-]+)\.(?:dist|egg)-info\Z", re.IGNORECASE)
_MODULE = Path("triton") / "__init__.py"
_MOST_BYTES = 1 << 20


@record(frozen=True)
class Compiler:
    """What is known of a Triton.

    Attributes:
        triton: its release, as in `LaunchFacts`; None where it is not known.
        published: 1 where it is the wheel that PyPI has; None where it may be another build.
    """

    triton: int | None = None
    published: int | None = None

    def known(self) -> dict[str, int]:
        """The launch facts that are known of it."""
        facts = {"triton": self.triton, "triton_published": self.published}
        return {name: value for name, value in facts.items() if value is not None}

    def launch(self) -> LaunchFacts:
        """The same as launch facts."""
        from aiterfix.judge.judgement import LaunchFacts  # which a process that mends everything does not keep

        return LaunchFacts(**self.known())


_NO_COMPILER = Compiler()


def compiler_beside(installation: Installation, view: View) -> LaunchFacts:
    """What is known of the Triton in the folder that an installation is imported from, or that leads to it.

    Nothing where there is none, or two: another folder of the path may come first.
    """
    folders = [installation.root, *([installation.dist_info.parent] if installation.dist_info is not None else [])]
    found = {_compiler_in(folder, view) for folder in dict.fromkeys(folders)} - {_NO_COMPILER}
    return (found.pop() if len(found) == 1 else _NO_COMPILER).launch()


def compiler_in(folder: Path, view: View) -> LaunchFacts:
    """What is known of the Triton in a folder."""
    return _compiler_in(folder, view).launch()


def _compiler_in(folder: Path, view: View) -> Compiler:
    try:
        return _stated(view.read(folder / _MODULE, most=_MOST_BYTES), view.names(folder))
    except OSError:
        return _NO_COMPILER


def _stated(text: bytes, names: Iterable[str]) -> Compiler:
    """By the text of Triton's module, and the names beside its folder."""
    stated = _VERSION.search(text)
    if stated is None:
        return _NO_COMPILER
    # AMD's builds have their own metadata, or a local version, and state the release alone in the module.
    metadata = [m for m in map(_METADATA.match, names) if m is not None]
    return _facts(stated[1].decode("utf-8", "replace"), {(m["name"].lower(), m["version"]) for m in metadata})


def compiler_loaded() -> Compiler:
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
    """
    met = compiler_faults(version, faults)
    found = (f for f in faults.judged if f.id in met)
    return tuple(f"known fault: {f.id}, where this is that build: {f.title}" for f in found)


def compiler_faults(version: str, faults: Faults) -> frozenset[str]:
    """The faults that a release of Triton may have, where a known fault is about it.

    Args:
        version: as Triton states it.
    """
    facts = _facts(version, set()).known()
    found = (f for f in faults.judged if f.id in faults.deciding_by_compiler)
    return frozenset(f.id for f in found if facts and f.trigger.reach(facts)[0] is not Reach.NOT_REACHED)


def _facts(version: str, metadata: set[tuple[str, str]]) -> Compiler:
    release = _RELEASE.match(version)
    if release is None:
        return _NO_COMPILER
    major, minor, patch = (int(part or 0) for part in release.groups())
    published = metadata == {("triton", release[0])} and version == release[0]
    return Compiler(major * 10000 + minor * 100 + patch, 1 if published else None)
