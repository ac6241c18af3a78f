"""A kernel module that was imported before the hook stood: patch it after all, and verify that it took effect.

The wrapper has imported the kernels by name and may have compiled some. Executing the module again from
patched text makes new kernel objects; then every module that holds an old one is given the new one, and the
wrapper's caches of compiled kernels are emptied. What still holds an old kernel after that is found by asking
the garbage collector, and counts as unpatched.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import FrameType, FunctionType, ModuleType
from typing import Any

from aiterfix.family.kernels import KernelGroup
from aiterfix.importing import ledger
from aiterfix.importing.decision import Decision, Outcome
from aiterfix.importing.holders import hidden, rebind, release, types_of_holders
from aiterfix.importing.kernels import kernels_in
from aiterfix.importing.loader import PatchingLoader
from aiterfix.importing.memory import give_back_memory
from aiterfix.judge.kernel_objects import held_source, presence


def take_over(module: ModuleType, groups: Sequence[KernelGroup]) -> None:
    """Judge a module that is imported; patch it where that is needed and takes effect.

    Raises:
        UnpatchedKernelError: it is unpatched for good, in `require` mode.
    """
    name = module.__name__
    origin = str(getattr(module, "__file__", "") or "")
    try:
        decision = _take_over(module, groups)
    except Exception as error:  # noqa: BLE001 - the host's module must stay usable
        decision = ledger.trouble(name, "patching it after its import", error)
    if decision.state is Outcome.UNPATCHED and ledger.RESTART not in decision.remedy:
        decision = replace(decision, remedy=f"{ledger.RESTART}. {decision.remedy}".strip())
    ledger.record(name, decision, origin, late=True)


def _take_over(module: ModuleType, groups: Sequence[KernelGroup]) -> Decision:
    names = frozenset(k.name for g in groups for k in g.kernels)
    old = kernels_in(module.__dict__, names)
    spec = module.__spec__
    if getattr(spec, "_initializing", False) and not old:
        return _unpatched("another thread is importing it at this moment, without the hook")
    loader = getattr(spec, "loader", None)
    if isinstance(loader, PatchingLoader) or spec is None or loader is None:
        patcher = None
    else:
        patcher = PatchingLoader(module.__name__, loader, spec.origin or "", groups)
    if presence(old).harmless:
        found = patcher.decision() if patcher is not None else Decision(Outcome.CLEAN)
        if found.state is Outcome.UNPATCHED:
            return found.not_carried_out()  # such as prebuilt code objects in use
        return Decision(Outcome.CLEAN, found.before)
    if patcher is None:
        return _unpatched("it was imported before the hook stood, and not by a loader that could do it again")
    found = patcher.decision()
    if found.state is Outcome.UNPATCHED and (found.text is None or ledger.strict()):
        return found.not_carried_out()
    if found.text is None:
        return _unpatched("it was imported before the hook stood, and its file has been changed since")
    if changed := [
        n for n, k in sorted(old.items()) if (held_source(k) or "?").strip("\n") not in patcher.found_text()
    ]:
        return _unpatched(f"its file has been changed since it was imported ({', '.join(changed)} differ)")
    return _replace(module, patcher, old, found)


def _replace(module: ModuleType, patcher: PatchingLoader, old: Mapping[str, Any], found: Decision) -> Decision:
    unseen = hidden(module.__dict__, old.values())
    snapshot = dict(module.__dict__)
    try:
        patcher.execute_again(module)
        new = kernels_in(module.__dict__, frozenset(old))
        _require_new(new, old, patcher)
    except BaseException:
        namespace = module.__dict__  # got once, as in the loader
        namespace.clear()
        namespace.update(snapshot)
        if module.__spec__ is not None:
            module.__spec__.loader = patcher.inner
        raise
    snapshot.clear()
    holders = rebind((kernel, new[name]) for name, kernel in old.items())
    compiled = _clear_caches(holders)
    left = _still_held(old)
    note = f"patched after its import: {', '.join(sorted({h['__name__'] for h in holders})) or 'nobody'} had taken it"
    give_back_memory()
    if compiled:
        note += f"; {compiled} compiled kernels dropped; graphs captured before keep theirs"
    if left:
        return _unpatched(f"{note}; but objects that cannot be rebound still hold the unpatched kernels: {left}")
    if unseen:
        return _unpatched(f"{note}; but `gc.freeze()` was called before, which hides who else holds unpatched kernels")
    return replace(found, reason=f"{found.reason}; {note}" if found.reason else note)


def _require_new(new: Mapping[str, Any], old: Mapping[str, Any], patcher: PatchingLoader) -> None:
    missing = [n for n in old if n not in new or new[n] is old[n]]
    wrong = patcher.unpatched_kernels(new)
    if missing or wrong:
        raise RuntimeError(f"executed again, {', '.join(missing or wrong)} did not become a patched kernel")


def _clear_caches(holders: Iterable[Mapping[str, Any]]) -> int:
    """Empty every `functools` cache around a function of these modules; how many results were in them."""
    count = 0
    for namespace in holders:
        for value in list(namespace.values()):
            function = getattr(value, "__wrapped__", None)
            if (
                isinstance(function, FunctionType)
                and function.__globals__ is namespace
                and hasattr(value, "cache_clear")
            ):
                count += value.cache_info().currsize if hasattr(value, "cache_info") else 0
                value.cache_clear()
    return count


def _still_held(old: Mapping[str, Any]) -> str:
    """Types of the objects, other than the kernels' own parts, that still refer to an old kernel."""
    release()
    gc.collect()
    known = [id(old)]
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        known.append(id(frame))
        frame = frame.f_back
    names: set[str] = set()
    for kernel in old.values():  # in a comprehension, the generator would be one that holds it
        names |= types_of_holders(kernel, known)
    return ", ".join(sorted(names))


def _unpatched(reason: str) -> Decision:
    return Decision(Outcome.UNPATCHED, reason=reason, remedy=ledger.RESTART)
