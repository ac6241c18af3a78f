"""What is asked of a process beside what its modules hold. Apart from `process`, which judges them: what every process
with the import hook loads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from aiterfix.family.kernels import GROUPS

if TYPE_CHECKING:
    from aiterfix.judge.judgement import Doubt


def prebuilt_variable() -> str:
    """The environment variable that has switched prebuilt code objects on in this process; empty where none has."""
    for group in GROUPS:
        if group.prebuilt is not None and os.environ.get(group.prebuilt.enabled_by) == "1":
            return group.prebuilt.enabled_by
    return ""


def late_doubts() -> tuple[Doubt, ...]:
    """What the import hook found to hold an unpatched kernel after it patched the module: something that no namespace
    shows, such as a list."""
    return tuple(doubt for ask in _witnesses for doubt in ask())


_witnesses: list[Callable[[], Iterable[Doubt]]] = []


def also_ask(witness: Callable[[], Iterable[Doubt]]) -> None:
    """Have somebody who saw the modules being loaded asked too; the import hook is one."""
    if witness not in _witnesses:
        _witnesses.append(witness)
