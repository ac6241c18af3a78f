"""Where ``aiter`` is, which distribution, version and commit, how installed, and which of its files hold kernels.

Nothing here imports ``aiter`` (that would import torch, probe the GPU and may start compiling C++), executes a finder,
a ``.pth`` line or a ``_version.py``, or starts a process for the running interpreter.

    find_running()     this interpreter, as it would import aiter or has
    find_python(exe)   another one, asked for its path
    find_path(folder)  an environment, a prefix, a checkout, the package itself
    find_image(root)   the root file system of an image, or a folder in it
    PackageText(package).naming(names)         files that mention a kernel
    find_prebuilt(package, folder, variable)   prebuilt (AOT) code objects

``Discovery.doubts`` is what keeps a search from being complete: with doubts and no installation the answer is
"unknown", not "not installed".

``search`` walks an import path in import's order over ``listing`` (what one folder holds) and ``pointers`` (what in it
leads elsewhere); ``editable``, ``metadata`` and ``gitcommit`` are parsers; ``recognise`` tells AMD's package from
others by its contents and ``describe`` states the facts about it. ``given_path`` and ``survey`` turn a folder of any
make into import paths. Nothing but ``view`` opens, lists or looks at a file: with the eyes of the inspected system.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiterfix.installation.aot import PrebuiltCodeObjects, find_prebuilt
    from aiterfix.installation.given_path import find_image, find_path
    from aiterfix.installation.interpreters import find_python, find_running
    from aiterfix.installation.kernelfiles import KernelSearch, PackageText
    from aiterfix.installation.target import Discovery, Installation, Kind, Skipped

_HOME = {
    "PrebuiltCodeObjects": "aot",
    "find_prebuilt": "aot",
    "find_image": "given_path",
    "find_path": "given_path",
    "find_python": "interpreters",
    "find_running": "interpreters",
    "KernelSearch": "kernelfiles",
    "PackageText": "kernelfiles",
    "Discovery": "target",
    "Installation": "target",
    "Kind": "target",
    "Skipped": "target",
}

__all__ = [
    "Discovery",
    "Installation",
    "KernelSearch",
    "Kind",
    "PackageText",
    "PrebuiltCodeObjects",
    "Skipped",
    "find_image",
    "find_path",
    "find_prebuilt",
    "find_python",
    "find_running",
]


def __getattr__(name: str) -> Any:
    """Load what is asked for: a process with the hook looks at single files and keeps no search."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
