"""What programs call: ``aiterfix.install_hook()`` and ``aiterfix.status()``."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import TracebackType

from aiterfix.errors import UsageError
from aiterfix.importing import ledger, seen
from aiterfix.importing.decision import Outcome
from aiterfix.importing.ledger import ModuleRecord
from aiterfix.importing.settings import Mode
from aiterfix.judge.judgement import Judgement
from aiterfix.judge.verdict import Verdict
from aiterfix.startup import FAMILY, Finder, broken, misspelt, standing, start

_handles: set[Hook] = set()


class Hook:
    """The hook, as one caller of `install_hook` holds it. Usable as a context manager."""

    def __init__(self, finder: Finder | None, mode: Mode | None) -> None:
        self._finder = finder
        self._mode = mode

    @property
    def active(self) -> bool:
        """Whether the finder stands. False where ``AITERFIX=off`` forbade it."""
        return self._finder is not None and self._finder in sys.meta_path

    def uninstall(self) -> None:
        """Take the finder away, unless the `.pth`, `aiterfix run`, a plugin or another caller wants it too.

        Modules that were patched stay patched. May be called twice.
        """
        finder, self._finder = self._finder, None
        _handles.discard(self)
        if finder is None:
            return
        if self._mode is not None:
            ledger.withdraw(self._mode)
        if not _handles:
            finder.ways[:] = [w for w in finder.ways if w != "call"]
            if not finder.ways and finder in sys.meta_path:
                sys.meta_path.remove(finder)

    def __enter__(self) -> Hook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.uninstall()


def install_hook(*, mode: str | None = None) -> Hook:
    """Have every later import of an affected ``aiter`` module in this process give the patched one.

    A module that is imported already is patched where that still takes effect. Processes that this one forks
    inherit the hook; processes that it spawns do not: use the plugin entry points, `aiterfix hook enable` or
    `aiterfix run` for them.

    Args:
        mode: ``"auto"`` or ``"require"``; by default what ``AITERFIX`` says. ``AITERFIX=off`` outranks it.

    Raises:
        UsageError: ``mode`` is none of these.
        UnpatchedKernelError: an affected module is imported already and cannot be patched, in `require` mode.
    """
    if mode not in (None, "auto", "require"):
        raise UsageError(f"install_hook: mode {mode!r} is unknown", remedy="Give 'auto' or 'require'.")
    wanted = None if mode is None else Mode(mode)
    finder = _start("call")
    hook = Hook(finder, wanted if finder is not None else None)
    if finder is None:
        return hook
    _handles.add(hook)
    if wanted is not None:
        ledger.ask_for(wanted)
    try:
        _catch_up(finder)
    except Exception:
        hook.uninstall()
        raise
    return hook


def enter(way: str) -> None:
    """Put the finder in place for good and see to what is imported already; for plugins.

    Args:
        way: by which path the caller came.

    Raises:
        UnpatchedKernelError: see `install_hook`.
    """
    finder = _start(way)
    if finder is not None:
        _catch_up(finder)


def _start(way: str) -> Finder | None:
    try:
        finder = start(way)
        if finder is not None:
            ledger.attach(finder)
        return finder
    except Exception as error:
        if ledger.strict():
            raise
        ledger.last_resort("this process", error)
        return None


def _catch_up(finder: Finder) -> None:
    if reason := misspelt() or (finder.fault if finder.fault and ledger.strict() else ""):
        _refuse_imported(reason)
        return  # the finder has said it, and lets none in
    try:
        from aiterfix.importing.watching import catch_up
    except Exception as error:  # noqa: BLE001 - a damaged package
        broken(finder, error)
        return
    try:
        ledger.complain()
        catch_up()
    except Exception as error:
        if ledger.strict():
            raise
        ledger.last_resort("the modules of aiter imported so far", error)


def _refuse_imported(reason: str) -> None:
    loaded = [name for name in sorted(FAMILY) if name in sys.modules]
    if loaded:
        raise ledger.UnpatchedKernelError(
            f"{loaded[0]} is imported already, and whether it may stay as it is cannot be known",
            why=reason,
            remedy="Mend that, and start the process again.",
        )


@dataclass(frozen=True)
class Status:
    """The hook in this process.

    Attributes:
        standing: whether the finder is on ``sys.meta_path``.
        ways: by which paths it came: "pth", "run", "vllm", "sglang", "call".
        modules: every affected module imported so far, by name.
        children: whether processes that this one spawns get the hook too, and by what.
        judgement: on the kernels that are loaded, over every fault that decides; None where none is loaded.
        launches: what was seen of launches, where they are watched.
    """

    mode: Mode
    standing: bool
    ways: tuple[str, ...]
    modules: tuple[ModuleRecord, ...]
    children: str
    pid: int
    judgement: Judgement | None
    launches: seen.Launches

    @property
    def verdict(self) -> Verdict | None:
        """The judgement's; None where no kernel is loaded."""
        return self.judgement.verdict if self.judgement is not None else None

    @property
    def safe(self) -> bool:
        """Whether no judged fault is in what is imported, and no affected module runs unpatched. True where none is
        imported; of faults that are not judged (``judgement.known.not_judged``) it says nothing."""
        return self.verdict in (None, Verdict.CLEAN) and all(m.state is not Outcome.UNPATCHED for m in self.modules)


def status() -> Status:
    """What the hook did in this process. Changes nothing, logs nothing, writes nothing."""
    from aiterfix.importing.witness import unrecorded
    from aiterfix.judge.process import judge_process

    finder = standing()
    ways = tuple(finder.ways) if finder is not None else ()
    modules = {**ledger.records, **unrecorded(ledger.records)}
    return Status(
        ledger.mode(),
        finder is not None,
        ways,
        tuple(modules[name] for name in sorted(modules)),
        _children(ways),
        os.getpid(),
        judge_process(),
        seen.launches(),
    )


def launches() -> seen.Launches:
    """What the wrappers' public functions were handed in this process, and what was decided.

    Launches are watched where a fault is left in what they come to, or ``AITERFIX_RECORD`` asks for it; not those
    that torch.compile takes into its own code, nor replays of GPU graphs. Asks the garbage collector what else calls
    such functions, so it is nothing for every step of an engine.
    """
    return seen.launches()


def _children(ways: tuple[str, ...]) -> str:
    if "pth" in ways:
        return "covered by the .pth, where they use this interpreter's site-packages"
    if "run" in ways:
        return "covered by `aiterfix run`, where they keep PYTHONPATH and use site"
    if "vllm" in ways or "sglang" in ways:
        return "covered where they load plugins themselves, as vLLM's and SGLang's processes do"
    if ways:
        return (
            "forked ones are covered, spawned ones are not: use `aiterfix hook enable`, `aiterfix run` or the plugins"
        )
    return "not covered"
