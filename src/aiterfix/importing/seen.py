"""What the live guard has seen and decided in this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.judge.launched import Launch, LaunchJudgement

MOST = 4096
"""Combinations that are kept."""
NOT_WATCHED = (
    "launches that torch.compile takes into its own code (those of custom operators stay calls) and replays of GPU "
    "graphs are not watched"
)


class Action(str, Enum):
    """What was done about a launch."""

    LAUNCHED = "launched"
    """Nothing: it was made as it was asked for."""
    REFUSED = "refused"
    """An error was raised in its place, as ``AITERFIX=require`` asks."""
    OWN_KERNEL = "own-kernel"
    """This project's kernel took it, as ``AITERFIX_KERNEL=guard`` asks."""


@record(frozen=True)
class SeenLaunch:
    """One combination of what a public function was handed.

    Attributes:
        pid: the process in which it was seen first; another one than the present where it was inherited by fork.
    """

    module: str
    judgement: LaunchJudgement
    action: Action
    pid: int


@record(frozen=True)
class Launches:
    """Everything that was seen.

    Attributes:
        watched: functions whose calls are watched, with their modules. None where no fault is left and nothing is
            recorded: then nobody looks at calls.
        seen: combinations, in the order in which they came; at most 4096.
        dropped: how many more were judged and are not listed.
        unwatched: what can be seen to call such a function, or a copy of it, past the guard.
        not_watched: what no guard sees, for people.
    """

    watched: tuple[str, ...]
    seen: tuple[SeenLaunch, ...]
    dropped: int
    unwatched: tuple[str, ...]
    not_watched: str = NOT_WATCHED


class _Registry:
    """One a process. A forked child keeps what its parent saw."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.watched: dict[str, None] = {}
        self.unwatched: Callable[[], tuple[str, ...]] = tuple
        self.seen: dict[tuple[str, Launch], SeenLaunch] = {}
        self.dropped = 0


_registry = _Registry()


def _after_fork() -> None:
    """The thread that held the lock, if any, is not in the child."""
    _registry.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def watching(function: str, unwatched: Callable[[], tuple[str, ...]]) -> None:
    """Note that calls of a function are watched.

    Args:
        function: module and name.
        unwatched: what tells which calls of such functions are not.
    """
    with _registry.lock:
        _registry.watched[function] = None
        _registry.unwatched = unwatched


def note(module: str, judgement: LaunchJudgement, action: Action) -> bool:
    """Keep one combination; whether it is a new one."""
    key = module, judgement.launch
    with _registry.lock:
        new = key not in _registry.seen
        if new and len(_registry.seen) >= MOST:
            _registry.dropped += 1
        else:
            _registry.seen[key] = SeenLaunch(module, judgement, action, os.getpid())
        return new


def launches() -> Launches:
    """What was seen so far."""
    unwatched = _registry.unwatched()
    with _registry.lock:
        return Launches(tuple(_registry.watched), tuple(_registry.seen.values()), _registry.dropped, unwatched)
