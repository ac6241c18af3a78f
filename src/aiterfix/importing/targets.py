"""Which modules the hook acts on: where releases keep the kernels of the family, and what imports them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from aiterfix.family.kernels import KernelGroup
from aiterfix.faults.registry import Faults
from aiterfix.judge.kernel_objects import known_faults
from aiterfix.storage.record import record


@record(frozen=True)
class Targets:
    """The modules of all kernel groups.

    Attributes:
        modules: module name -> the groups whose kernels it may hold.
        wrappers: module name -> the groups whose kernels it imports by name.
    """

    known: Faults
    modules: Mapping[str, tuple[KernelGroup, ...]]
    wrappers: Mapping[str, tuple[KernelGroup, ...]]
    kernels: frozenset[str]


@cache
def targets() -> Targets:
    """The targets of the package's own faults.

    Raises:
        FaultFileError: a fault file is wrong.
    """
    known = known_faults()
    modules: dict[str, tuple[KernelGroup, ...]] = {}
    wrappers: dict[str, tuple[KernelGroup, ...]] = {}
    for group in known.groups:
        for name in group.modules:
            modules[name] = (*modules.get(name, ()), group)
        for name in group.wrappers:
            wrappers[name] = (*wrappers.get(name, ()), group)
    return Targets(known, modules, wrappers, frozenset(k.name for k in known.kernels))
