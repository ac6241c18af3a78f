"""Ask the other finders for a target module, and put our loader around theirs."""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from aiterfix.fixes import Fix
from aiterfix.importing import ledger
from aiterfix.importing.loader import enclose
from aiterfix.importing.settings import Mode
from aiterfix.importing.startup import Finder
from aiterfix.importing.targets import targets

_asking: set[tuple[int, str]] = set()
"""Thread and module for which the other finders are being asked: one of them may start over and come
back to us (wrapt's does), and then has to find the module without us."""


def find(finder: Finder, fullname: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """The spec of a target module with our loader in it; None where the module is none of ours.

    Raises:
        UnpatchedKernelError: something keeps it from being patched, in `require` mode.
    """
    key = (get_ident(), fullname)
    if key in _asking or ledger.mode() is Mode.OFF:
        return None
    try:
        known = targets()
    except Exception as error:  # noqa: BLE001 - fix files that cannot be read are ours, not the host's
        ledger.record(fullname, ledger.trouble(fullname, "reading patches/*.toml", error), "")
        return None
    wrapper = fullname not in known.modules
    fixes: tuple[Fix, ...] = known.wrappers.get(fullname, ()) if wrapper else known.modules[fullname]
    if not fixes:
        return None
    _asking.add(key)
    try:
        spec = ask_others(finder, fullname, path, target)
    finally:
        _asking.discard(key)
    if spec is None:
        return None
    if spec.loader is None:
        _namespace(spec)
        return spec
    try:
        enclose(spec, fixes, wrapper=wrapper)
    except Exception as error:  # noqa: BLE001 - the host gets the spec it would have got without us
        ledger.record(fullname, ledger.trouble(fullname, "putting a loader around another one", error), "")
    return spec


def ask_others(
    finder: object, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """What the finders behind ours say, as the import system would ask them."""
    finders = list(sys.meta_path)
    behind = finders[finders.index(finder) + 1 :] if finder in finders else finders
    for other in behind:
        find_spec = getattr(other, "find_spec", None)
        if find_spec is None or other is finder:
            continue
        spec: ModuleSpec | None = find_spec(fullname, path, target)
        if spec is not None:
            return spec
    return None


def _namespace(spec: ModuleSpec) -> None:
    from aiterfix.importing.decision import KEEP_PADDING, Decision, State

    places = ", ".join(spec.submodule_search_locations or ())
    decision = Decision(
        State.UNPATCHED,
        reason=f"left alone, because it is a namespace package ({places})",
        remedy=f"Install aiter again; a module is expected there. {KEEP_PADDING}.",
    )
    ledger.record(spec.name, decision, places)
