"""Stand-ins for what a kernel file imports from ``aiter``, so that it can be compiled without importing ``aiter``.

Importing the real ``aiter`` imports torch, probes the GPU and may start a C++ build. A kernel file needs none of that:
the tagged releases import at most ``get_cdna_version``. Whatever else a file imports becomes a placeholder that may
lie about unused, and that names itself in an error as soon as the file uses it; a guess would compile other code.

The module is standard library only: the compiler's child process runs it by path, under an interpreter that has
Triton and may not have this package.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any, NoReturn


class StandInUsedError(Exception):
    """The kernel file used something of ``aiter`` whose meaning is not known here."""


# What each helper returns on an MI355X. Found by name in whatever module it is asked of: modules have moved.
KNOWN: dict[str, Callable[[], object]] = {
    "get_cdna_version": lambda: 4,
    "get_gfx": lambda: "gfx950",
    "get_arch": lambda: "gfx950",
    "get_num_sms": lambda: 256,
    "get_warp_size": lambda: 64,
}


class StandIn:
    """A name imported from ``aiter`` that must not be used."""

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def _refuse(self) -> NoReturn:
        raise StandInUsedError(f"the kernel file uses {self.__dict__['_name']}, which has no stand-in")

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)  # inspect and the compiler probe these on every global
        return self._refuse()

    def __call__(self, *args: object, **kwargs: object) -> Any:
        """Refuse: what the call would return is not known."""
        return self._refuse()

    def __bool__(self) -> bool:
        return self._refuse()


class _StandInModule(types.ModuleType):
    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute.endswith("__"):
            raise AttributeError(attribute)
        return KNOWN.get(attribute) or StandIn(f"{self.__name__}.{attribute}")


class StandInFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers every import of ``aiter`` and below with a stand-in, whether or not ``aiter`` is installed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See :meth:`importlib.abc.MetaPathFinder.find_spec`."""
        if fullname == "aiter" or fullname.startswith("aiter."):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """See :meth:`importlib.abc.Loader.create_module`."""
        return _StandInModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run: attributes are made as they are asked for."""


def install() -> StandInFinder:
    """Put the stand-ins before every other finder; meant for a process that does nothing else."""
    finder = StandInFinder()
    sys.meta_path.insert(0, finder)
    return finder
