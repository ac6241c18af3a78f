"""Whose ``aiter`` a package folder is, told by what is in it.

PyPI has an unrelated distribution ``aiter`` (asynchronous iterators) with the same import name, and early sources of
AMD's called themselves ``aiter`` too, so no name decides. Every tagged release of AMD's has ``ops/triton`` and
``jit``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from aiterfix.installation.metadata import read_bytes
from aiterfix.installation.view import View, exists, is_folder

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
        names = set(os.listdir(package))  # noqa: PTH208 - names only
    except OSError as error:
        return Recognised(Nature.DOUBTFUL, f"cannot be listed: {error.strerror or error}")
    if "ops" in names:
        ops = view.settle(package / "ops")
        if is_folder(view.settle(ops / "triton")) or ("jit" in names and is_folder(ops)):
            if "__init__.py" in names or _any_python(ops):
                return Recognised(Nature.AMD, "has ops/triton, or ops and jit")
        elif not exists(ops):
            return Recognised(Nature.DOUBTFUL, "its ops folder is a link that leads nowhere")
    return _by_contents(package, any(name.startswith("__init__.") for name in names))


def _any_python(folder: Path) -> bool:
    return any(name.endswith(".py") for _, name in _files(folder))


def _by_contents(package: Path, importable: bool) -> Recognised:
    sources = 0
    for count, (folder, name) in enumerate(_files(package)):
        path = Path(folder, name)
        if sources > _MOST_SOURCES or count > _MOST_FILES:
            return Recognised(
                Nature.DOUBTFUL, "no ops/triton as AMD's aiter has, and too many files to tell what it is"
            )
        if name.endswith(".py"):
            sources += 1
            data = read_bytes(path)
            if data is None:
                return Recognised(Nature.DOUBTFUL, f"no ops/triton as AMD's aiter has, and {path} cannot be read")
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


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Folder and name of every file below, links to folders not followed; what cannot be listed counts as a file."""
    pending = [os.fspath(folder)]
    while pending:
        here = pending.pop()
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    else:
                        yield here, entry.name
        except OSError:
            yield here, "unreadable.py"
