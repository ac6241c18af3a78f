"""Whose ``aiter`` a package folder is, told by what is in it.

PyPI has an unrelated distribution ``aiter`` (asynchronous iterators) with the same import name, and early sources of
AMD's called themselves ``aiter`` too, so no name decides. Every tagged release of AMD's has ``ops/triton`` and
``jit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.view import View, why

_MOST_SOURCES = 400  # the unrelated distribution has about 25
_MOST_FILES = 50_000  # what the run-time compiler leaves in a removed package is some thousands
_GPU_WORDS = (b"triton", b"gluon", b"mqa_logits")


class Nature(Enum):
    """What a folder called ``aiter`` turns out to be."""

    AMD = "amd"
    UNRELATED = "unrelated"
    REMNANT = "remnant"
    DOUBTFUL = "doubtful"


class Recognised(NamedTuple):
    """A judgement on a package folder and its reason."""

    nature: Nature
    reason: str


def recognise(package: Path, view: View) -> Recognised:
    """Judge a folder called ``aiter`` by its contents."""
    try:
        names = set(view.names(package))
    except OSError as error:
        return Recognised(Nature.DOUBTFUL, why(error, "cannot be listed"))
    if "ops" in names:
        ops = package / "ops"
        if view.is_folder(ops / "triton") or ("jit" in names and view.is_folder(ops)):
            if "__init__.py" in names or _any_python(ops, view):
                return Recognised(Nature.AMD, "has ops/triton, or ops and jit")
        elif not view.exists(ops):
            return Recognised(Nature.DOUBTFUL, "its ops folder is a link that leads nowhere")
    return _by_contents(package, view, any(name.startswith("__init__.") for name in names))


def _any_python(folder: Path, view: View) -> bool:
    return any(name.endswith(".py") for _, name in _files(folder, view))


def _by_contents(package: Path, view: View, importable: bool) -> Recognised:
    sources = 0
    for count, (folder, name) in enumerate(_files(package, view)):
        path = Path(folder, name)
        if sources > _MOST_SOURCES or count > _MOST_FILES:
            return Recognised(
                Nature.DOUBTFUL, "no ops/triton as AMD's aiter has, and too many files to tell what it is"
            )
        if name.endswith(".py"):
            sources += 1
            try:
                data = view.read(path)
            except OSError as error:
                return Recognised(Nature.DOUBTFUL, f"no ops/triton as AMD's aiter has, and {path} {why(error)}")
            word = next((word for word in _GPU_WORDS if word in data), None)
            if word is not None:
                reason = f"no ops/triton as AMD's aiter has, but {path} mentions {word.decode()}"
                return Recognised(Nature.DOUBTFUL, reason)
        elif name.endswith(".pyc") and path.parent.name != "__pycache__":
            return Recognised(Nature.DOUBTFUL, f"holds compiled modules without their source: {path}")
    if sources:
        return Recognised(Nature.UNRELATED, "another project's package: no ops/triton, and no source mentions Triton")
    if importable:
        return Recognised(Nature.DOUBTFUL, "a package without any Python source")
    return Recognised(Nature.REMNANT, "a left-over folder without any Python source")


def _files(folder: Path, view: View) -> Iterator[tuple[str, str]]:
    """Folder and name of every file below, links to folders not followed; what cannot be listed counts as a file."""
    for visited in view.walk(folder):
        if visited.error is not None:
            yield visited.path, "unreadable.py"
        for entry in visited.entries:
            if not entry.is_dir(follow_symlinks=False):
                yield visited.path, entry.name
