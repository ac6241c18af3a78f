"""The loader of a wrapper, the choice between it and that of a kernel module, and what was imported before either."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from types import ModuleType
from typing import Any

from aiterfix.family.kernels import KernelGroup
from aiterfix.faults.registry import FaultFileError
from aiterfix.importing import compilers, ledger, log, settings
from aiterfix.importing.kernels import kernels_in
from aiterfix.importing.loader import PatchingLoader, RefusingLoader, give_back
from aiterfix.importing.targets import targets
from aiterfix.judge.kernel_objects import owner
from aiterfix.startup import off


class WatchingLoader:
    """Loads a wrapper as it is, then sees to it that the kernels it has taken are the patched ones.

    Args:
        inner: the loader that would have been used.
        groups: the groups whose kernels the wrapper takes.
    """

    of_aiterfix = True

    def __init__(self, inner: Any, groups: Sequence[KernelGroup]) -> None:
        self.inner = inner
        self.groups = tuple(groups)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.inner, name)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the wrapper, then look at its kernels.

        Raises:
            UnpatchedKernelError: it has an unpatched one, in `require` mode.
        """
        give_back(module, self.inner)
        if off():  # since; what has a spec of before still comes here
            self.inner.exec_module(module)
            return
        own_kernel = ledger.own_kernel()
        if own_kernel and module.__spec__ is not None:
            # aiter's redirection of old names executes a wrapper a second time from its spec: that copy has a
            # function of its own, and consumers may get either.
            module.__spec__.loader = self  # type: ignore[assignment]
        with ledger.postponing() if own_kernel else nullcontext(None) as postponed:
            executed = False
            try:
                with ledger.importing_wrapper():
                    self.inner.exec_module(module)
                executed = True
            finally:
                try:
                    self._look_after(module, executed, postponed)
                except ledger.UnpatchedKernelError:
                    raise
                except Exception as error:
                    if ledger.strict():
                        raise ledger.failed(module.__name__, error) from error
                    ledger.last_resort(module.__name__, error)

    def _look_after(self, module: ModuleType, executed: bool, postponed: list[ledger.ModuleRecord] | None) -> None:
        """See to the kernels that a wrapper has taken, and to the modules that wait for its function's fate."""
        ledger.folders()
        # Of another type it is one that is executed later (`importlib.util.LazyLoader`): looking would do that.
        looked_at = type(module) is ModuleType
        if looked_at:
            look_after(module)
        if postponed is not None:
            from aiterfix.importing.substitute import settle, substitute

            settle(postponed, executed and looked_at and substitute(module, self.groups))
        ledger.announce()
        if executed and looked_at and watch_launches(module) and module.__spec__ is not None:
            module.__spec__.loader = self  # type: ignore[assignment] # for copies, as above


def look_after(wrapper: ModuleType) -> None:
    """See to it that the kernels a wrapper holds are patched, wherever they were defined.

    Raises:
        UnpatchedKernelError: one is unpatched for good, in `require` mode.
    """
    try:
        names = targets().kernels
        # No reference to a kernel may stay here: it would be found when it is asked who still holds an old one.
        owners = sorted({o for k in kernels_in(wrapper.__dict__, names).values() if (o := owner(k)) is not None})
        modules = [m for o in owners if o not in ledger.records and (m := sys.modules.get(o)) is not None]
        everything = targets().known.groups
    except Exception as error:  # noqa: BLE001 - the wrapper is imported and must stay so
        ledger.record(wrapper.__name__, ledger.trouble(wrapper.__name__, "looking at its kernels", error), "")
        return
    for module in modules:
        from aiterfix.importing.late import take_over  # in the common case there is none

        take_over(module, everything)


def watch_launches(wrapper: ModuleType, *, late: bool = False) -> bool:
    """Have the calls of a wrapper's functions looked at, where a fault is left or launches are to be recorded.

    Args:
        wrapper: executed already.
        late: whether others may have taken its functions before.

    Returns:
        whether they are.

    Raises:
        UnpatchedKernelError: they cannot be, in `require` mode.
    """
    try:
        if not (ledger.faulty() or settings.record_file() or compilers.faulty()):
            return False
        from aiterfix.importing import guard

        return guard.stand(wrapper, late=late)
    except Exception as error:
        if ledger.strict():
            raise ledger.failed(wrapper.__name__, error) from error
        # Of fault files that cannot be read it has been said that no module is patched.
        said = isinstance(error, FaultFileError) and not ledger.guard_kernel()
        if not said and ledger.once(f"not watched {wrapper.__name__}"):
            log.emit(
                log.WARNING,
                f"launches of {wrapper.__name__} are not watched: {type(error).__name__}: {error}. Report this to the "
                "aiterfix project.",
            )
        return False


def watch_loaded() -> None:
    """The same for every wrapper that is imported already."""
    for name in targets().wrappers:
        module = sys.modules.get(name)
        if module is not None and type(module) is ModuleType and not _watched(module):
            watch_launches(module, late=True)


def make(
    name: str, inner: Any, origin: str, hook: ledger.Hook, *, kernels: bool, refuses: bool = False
) -> PatchingLoader | WatchingLoader:
    """The loader that takes over when a module is executed.

    Args:
        inner: the loader that would have been used.
        origin: the file that it would have read; empty where there is none.
        hook: the finder that asks.
        kernels: whether it is a kernel module, not a wrapper.
        refuses: of a wrapper, whether this is the loader around its source, inside whatever other loaders there are.
    """
    ledger.attach(hook)
    fault = None
    groups: tuple[KernelGroup, ...] = ()
    try:
        ledger.complain()
        known = targets()
        groups = (known.modules if kernels else known.wrappers)[name]
    except Exception as error:  # noqa: BLE001 - fault files that cannot be read are our fault, not the host's
        fault = error
    if kernels:
        return PatchingLoader(name, inner, origin, groups, fault)
    return RefusingLoader(name, inner, origin, (), fault) if refuses else WatchingLoader(inner, groups)


def catch_up() -> None:
    """Look at every target module that is imported already.

    Raises:
        UnpatchedKernelError: one is unpatched for good, in `require` mode.
    """
    ledger.folders()
    with ledger.postponing() if ledger.own_kernel() else nullcontext(None) as postponed:
        known = targets()
        for name, groups in known.modules.items():
            module = sys.modules.get(name)
            if module is not None and name not in ledger.records:
                from aiterfix.importing.late import take_over

                take_over(module, groups)
        replaced = []
        awaited = False
        for name, groups in known.wrappers.items():
            module = sys.modules.get(name)
            if module is not None and type(module) is ModuleType:
                look_after(module)
                if _watched(module):
                    awaited = True  # being imported at this moment, with the hook: whoever does that decides on it
                elif postponed is not None:
                    from aiterfix.importing.substitute import substitute

                    replaced.append(substitute(module, groups))
        if postponed is not None and not awaited:
            from aiterfix.importing.substitute import settle

            settle(postponed, bool(replaced) and all(replaced))
    ledger.announce()
    watch_loaded()


def _watched(wrapper: ModuleType) -> bool:
    spec = wrapper.__spec__
    return isinstance(getattr(spec, "loader", None), WatchingLoader) and bool(getattr(spec, "_initializing", False))
