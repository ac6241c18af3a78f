"""Affected modules that were imported without the hook having seen it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from aiterfix.importing.decision import KEEP_PADDING, State, aot_enabled
from aiterfix.importing.kernels import judge, kernels_in
from aiterfix.importing.ledger import RESTART, ModuleRecord
from aiterfix.importing.loader import PatchingLoader
from aiterfix.importing.targets import targets
from aiterfix.verdict import Verdict

_STATE = {
    Verdict.GUARDED: State.GUARDED,
    Verdict.NOT_AFFECTED: State.NOT_AFFECTED,
    Verdict.NOT_INSTALLED: State.NOT_AFFECTED,
}


def _stale(record: ModuleRecord, module: object) -> bool:
    """Whether a module has been executed again, by another loader, since it was patched."""
    return record.state is State.PATCHED and not isinstance(getattr(module, "__loader__", None), PatchingLoader)


def unrecorded(known: Mapping[str, ModuleRecord]) -> dict[str, ModuleRecord]:
    """Judge target modules that have no record, or one that no longer holds, by the source that their kernels hold.

    Args:
        known: the records there are, by module name.
    """
    found = {}
    for name, fixes in targets().modules.items():
        module = sys.modules.get(name)
        if module is None or (name in known and not _stale(known[name], module)):
            continue
        names = frozenset(k.name for f in fixes for k in f.kernels)
        verdict = judge(kernels_in(vars(module), names), fixes)
        state = _STATE.get(verdict, State.UNPATCHED)
        reason = "imported without the hook"
        remedy = f"{RESTART}. {KEEP_PADDING}." if state is State.UNPATCHED else ""
        prebuilt = aot_enabled(fixes)
        if prebuilt and state is State.GUARDED:
            state, reason = State.UNPATCHED, f"prebuilt code objects run instead of this source ({prebuilt}=1)"
            remedy = f"Unset {prebuilt}. {KEEP_PADDING}."
        origin = str(getattr(module, "__file__", "") or "")
        found[name] = ModuleRecord(name, state, origin, reason=reason, remedy=remedy, pid=os.getpid())
    return found
