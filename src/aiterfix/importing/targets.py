"""Which modules the hook acts on: what patches/*.toml declares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from aiterfix.fixes import Fix, load_fixes


@dataclass(frozen=True)
class Targets:
    """The modules of all fixes.

    Attributes:
        fixes: all of them.
        modules: module name -> the fixes whose kernels it may hold.
        wrappers: module name -> the fixes whose kernels it imports by name.
        kernels: names of all kernels.
    """

    fixes: tuple[Fix, ...]
    modules: Mapping[str, tuple[Fix, ...]]
    wrappers: Mapping[str, tuple[Fix, ...]]
    kernels: frozenset[str]


@cache
def targets() -> Targets:
    """The targets of the package's own fix files.

    Raises:
        FixFileError: a fix file is wrong.
    """
    fixes = load_fixes()
    modules: dict[str, tuple[Fix, ...]] = {}
    wrappers: dict[str, tuple[Fix, ...]] = {}
    for fix in fixes:
        for name in fix.modules:
            modules[name] = (*modules.get(name, ()), fix)
        for name in fix.wrappers:
            wrappers[name] = (*wrappers.get(name, ()), fix)
    return Targets(fixes, modules, wrappers, frozenset(k.name for f in fixes for k in f.kernels))
