"""Affected modules that were imported without the hook having seen it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace

from aiterfix.family.own_kernel import in_force
from aiterfix.importing.decision import KEEP_PADDING, Outcome
from aiterfix.importing.kernels import kernels_in
from aiterfix.importing.ledger import RESTART, ModuleRecord
from aiterfix.importing.loader import PatchingLoader
from aiterfix.importing.targets import targets
from aiterfix.judge.kernel_objects import presence
from aiterfix.judge.process import other_modules, prebuilt_variable


def _stale(record: ModuleRecord, module: object) -> bool:
    """Whether a module, or the wrapper in front of it, has been executed again without us since it was recorded."""
    if record.state is Outcome.BYPASSED:
        return not in_force()
    return record.state is Outcome.PATCHED and not isinstance(getattr(module, "__loader__", None), PatchingLoader)


def unrecorded(known: Mapping[str, ModuleRecord]) -> dict[str, ModuleRecord]:
    """Judge target modules that have no record, or one that no longer holds, by the source that their kernels hold."""
    found = {}
    for name, record in known.items():
        if record.state is Outcome.REPLACED and not in_force():
            reason = "its function is aiter's again"
            found[name] = replace(record, state=Outcome.UNPATCHED, reason=reason, remedy=RESTART)
    modules = targets().modules
    for name in (*modules, *(m for m in other_modules() if m not in modules)):
        module = sys.modules.get(name)
        if module is None or (name in known and not _stale(known[name], module)):
            continue
        groups = modules.get(name, targets().known.groups)
        held = kernels_in(vars(module), frozenset(k.name for g in groups for k in g.kernels))
        clean = presence(held).harmless
        state = Outcome.CLEAN if clean else Outcome.UNPATCHED
        reason = "imported without the hook"
        remedy = f"{RESTART}. {KEEP_PADDING}." if state is Outcome.UNPATCHED else ""
        launched = {k.name for g in groups if g.prebuilt is not None for k in g.kernels}
        prebuilt = prebuilt_variable() if not launched.isdisjoint(held) else ""
        if prebuilt and state is Outcome.CLEAN:
            state, reason = Outcome.UNPATCHED, f"prebuilt code objects run instead of this source ({prebuilt}=1)"
            remedy = f"Unset {prebuilt}. {KEEP_PADDING}."
        origin = str(getattr(module, "__file__", "") or "")
        found[name] = ModuleRecord(name, state, origin, reason=reason, remedy=remedy, pid=os.getpid())
    return found
