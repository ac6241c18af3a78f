"""``AITERFIX_KERNEL=1``: the wrapper's public function gives way to this project's own kernel.

For where aiter's kernels cannot be patched: prebuilt code objects, a Triton without Gluon, a source that is not
understood. Never done unless asked for, and said when it is. Imports torch and triton, as the wrapper it acts on does.
"""

from __future__ import annotations

import gc
import importlib.util
import inspect
import os
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FunctionType, ModuleType
from typing import Any

from aiterfix.errors import EnvironmentProblem
from aiterfix.family.kernels import KernelGroup
from aiterfix.family.own_kernel import OWN_MODULE, displaced, in_force, in_place, own_kernel_file
from aiterfix.importing import ledger, log, settings
from aiterfix.importing.decision import KEEP_PADDING, Decision, Outcome
from aiterfix.importing.holders import rebind, types_of_holders
from aiterfix.importing.ledger import ModuleRecord

# What these mean for the result, so a caller that leaves them out must get the same from both functions. The others
# tune a kernel that is not this one.
_MEANT = ("Preshuffle", "KVBlockSize")

_loading = threading.RLock()
_loaded: list[ModuleType] = []

REMEDY = f"Unset {settings.KERNEL_VARIABLE}, so that aiter's own kernels are patched where they can be. {KEEP_PADDING}"


def substitute(wrapper: ModuleType, groups: Sequence[KernelGroup]) -> bool:
    """Put this project's function in the place of a wrapper's, there and wherever it has been taken by name.

    Args:
        wrapper: executed already.
        groups: those whose kernels it launches.

    Returns:
        whether every function that these groups name gave way.

    Raises:
        UnpatchedKernelError: one did not, in `require` mode.
    """
    entries = list(dict.fromkeys(g.entry for g in groups if g.entry is not None))
    done = True
    for entry in entries:
        try:
            with _loading:  # of threads that import two wrappers at once, one looks who holds a function at a time
                decision = _substitute(wrapper, entry)
        except Exception as error:  # noqa: BLE001 - the wrapper is imported and must stay so
            decision = replace(ledger.trouble(wrapper.__name__, f"replacing {entry}", error), remedy=f"{REMEDY}.")
        done = done and decision.state is Outcome.REPLACED
        ledger.record(wrapper.__name__, decision, str(getattr(wrapper, "__file__", "") or ""))
    return done and bool(entries)


def settle(postponed: Sequence[ModuleRecord], replaced: bool) -> None:
    """Decide on kernel modules that are unpatched, once it is known whether anything calls them.

    Args:
        replaced: whether the wrapper's function gave way.

    Raises:
        UnpatchedKernelError: it did not, in `require` mode.
    """
    if not replaced:
        for entry in postponed:
            ledger.refuse(entry)
        return
    # One that was imported before the wrapper, alone or by another thread, is no longer called either.
    records = list(ledger.records.values())
    earlier = [r for r in records if r.state is Outcome.UNPATCHED and ledger.replaceable(r.module)]
    for entry in (*postponed, *(earlier if in_force() else ())):
        reason = f"{entry.reason}; the wrapper's function that launches its kernels is replaced"
        ledger.records[entry.module] = replace(entry, state=Outcome.BYPASSED, reason=reason, remedy="")


def _substitute(wrapper: ModuleType, entry: str) -> Decision:
    if in_place(wrapper, entry):
        if left := _still_held():
            return _held(entry, left)
        return Decision(Outcome.REPLACED, reason=f"{entry} is aiterfix's own")
    theirs = wrapper.__dict__.get(entry)
    if not isinstance(theirs, FunctionType):
        return Decision(Outcome.UNPATCHED, reason=f"it has no function {entry} to replace", remedy=f"{REMEDY}.")
    ours = getattr(_load(), entry)
    if missing := _not_taken(theirs, ours):
        return Decision(
            Outcome.UNPATCHED,
            reason=f"{entry} was not replaced: aiterfix's own does not take {', '.join(missing)} as it does",
            remedy=f"{REMEDY}.",
        )
    displaced.append(weakref.ref(theirs))
    holders = [str(namespace.get("__name__")) for namespace in rebind([(theirs, ours)])]
    del theirs
    if left := _still_held():
        return _held(entry, left)
    others = sorted(set(holders) - {wrapper.__name__})
    if ledger.once(f"replaced {wrapper.__name__} {entry}"):
        from aiterfix._version import __version__

        also = f", and in {', '.join(others)}" if others else ""
        log.emit(
            log.INFO,
            f"aiterfix {__version__} replaced {wrapper.__name__}.{entry}{also} with its own kernel, "
            f"as {settings.KERNEL_VARIABLE}=1 asks. It has been measured on no AMD GPU.",
        )
    return Decision(Outcome.REPLACED, reason=f"{entry} is aiterfix's own")


def own_function(entry: str, theirs: Any) -> Callable[..., Any]:
    """This project's function of that name, which takes all that the other does.

    Raises:
        EnvironmentProblem: it does not take all of it, or cannot be imported here.
    """
    ours: Callable[..., Any] = getattr(_load(), entry)
    if missing := _not_taken(theirs, ours):
        raise EnvironmentProblem(f"aiterfix's own {entry} does not take {', '.join(missing)} as it does")
    return ours


def _held(entry: str, left: str) -> Decision:
    return Decision(
        Outcome.UNPATCHED,
        reason=f"{entry} was replaced, but objects that cannot be rebound still hold aiter's: {left}",
        remedy=f"{ledger.RESTART}.",
    )


def _load() -> ModuleType:
    """This project's kernel, once a process. Threads that come while it is being executed wait for it.

    Raises:
        EnvironmentProblem: it cannot be imported here.
    """
    with _loading:
        module = sys.modules.get(OWN_MODULE)
        if module is not None and module in _loaded:
            return module
        file = own_kernel_file()
        spec = importlib.util.spec_from_file_location(OWN_MODULE, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise EnvironmentProblem(f"{file} is not there", remedy="Install aiterfix again.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[OWN_MODULE] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(OWN_MODULE, None)
            raise
        _loaded[:] = [module]
        return module


def _after_fork() -> None:
    """The thread that was executing the kernel's module, if any, is not in the child: it is begun again there."""
    global _loading
    _loading = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _not_taken(theirs: FunctionType, ours: Any) -> list[str]:
    """Parameters of the one function that the other does not have at the same place, or without a default that the
    one has, or with a default of another meaning."""
    wanted = list(inspect.signature(theirs).parameters.values())
    taken = list(inspect.signature(ours).parameters.values())
    missing = []
    for place, parameter in enumerate(wanted):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            missing.append(str(parameter))
            continue
        mine = taken[place] if place < len(taken) else None
        optional = parameter.default is not parameter.empty
        if mine is None or mine.name != parameter.name or (optional and mine.default is mine.empty):
            missing.append(parameter.name)
        elif optional and parameter.name in _MEANT and parameter.default != mine.default:
            missing.append(f"{parameter.name}={parameter.default!r}")
    missing += [mine.name for mine in taken[len(wanted) :] if mine.default is mine.empty]
    return missing


def _still_held() -> str:
    """Types of the objects that still refer to a function which was replaced; empty where none is alive.

    Whether one is alive is seen by a weak reference: the garbage collector shows neither what `gc.freeze()` has put
    aside nor what an extension holds.
    """
    if any(ref() is not None for ref in displaced):
        gc.collect()
    displaced[:] = [ref for ref in displaced if ref() is not None]
    names: set[str] = set()
    for ref in displaced:
        function = ref()
        if function is not None:
            names |= types_of_holders(function, ()) or {"something that the garbage collector does not show"}
    return ", ".join(sorted(names))
