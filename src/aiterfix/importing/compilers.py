"""Say once that the Triton of this process is one that makes wrong code of the kernels, whatever was mended."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from types import ModuleType

from aiterfix.importing import log
from aiterfix.importing.targets import targets

_said: set[str] = set()


@cache
def _facts(_triton: ModuleType | None) -> Mapping[str, int]:
    """What is known of the compiler; its files are read once."""
    from aiterfix.judge.compiler import compiler_loaded

    return compiler_loaded().known()


def faulty() -> bool:
    """Whether the compiler of this process may be one that makes wrong code of the kernels."""
    from aiterfix.faults.base import Reach

    known, facts = targets().known, _facts(sys.modules.get("triton"))
    brought = (f for f in known.judged if f.id in known.deciding_by_compiler)
    return bool(facts) and any(f.trigger.reach(facts)[0] is not Reach.NOT_REACHED for f in brought)


def warn(module: str) -> None:
    """Log a line for each known fault that this process's compiler brings to the kernels of an imported module."""
    known = targets().known
    holds = vars(sys.modules.get(module, sys))
    for fault in known.judged:
        if fault.id in _said or not (fault.by_compiler and fault.consequence.decides):
            continue
        if not any(k.name in holds for g in fault.groups if module in g.modules for k in g.kernels):
            continue
        from aiterfix.faults.base import Reach

        facts = _facts(sys.modules.get("triton"))
        reach, missing = fault.trigger.reach(facts)
        if reach is Reach.NOT_REACHED or not facts:
            continue
        _said.add(fault.id)
        other = "" if not {"triton_published"} & set(missing) else ", unless this is another build of it"
        log.emit(
            log.WARNING,
            f"{fault.title}{other}: bites where {fault.trigger.sentence}; no edit takes it out. "
            "Use another release of Triton, or this project's kernel (AITERFIX_KERNEL=1).",
        )
