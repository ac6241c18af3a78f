"""What the hook did in this process, and saying it once."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from aiterfix.errors import AiterfixError, ExitCode
from aiterfix.faults.registry import FaultFileError
from aiterfix.importing import log, settings
from aiterfix.importing.decision import KEEP_PADDING, Decision, Outcome
from aiterfix.importing.settings import Mode
from aiterfix.judge.witnesses import also_ask
from aiterfix.startup import one_line
from aiterfix.storage.record import record as frozen_record

if TYPE_CHECKING:
    from aiterfix.judge.judgement import Doubt

RESTART = (
    "Have the hook stand before anything imports aiter: let vLLM or SGLang load the aiterfix plugin, use "
    "`aiterfix hook enable` or `aiterfix run -- COMMAND`, or patch the file with `aiterfix apply`, and start the "
    "process again"
)


_INSTALL = "Install aiterfix again"


class UnpatchedKernelError(AiterfixError):
    """``AITERFIX=require``, and a kernel would run unpatched.

    Not an `ImportError` on purpose: consumers take that for "aiter is not there" and go on.
    """

    exit_code = ExitCode.NOT_UNDERSTOOD
    code = "unpatched-kernel"


@frozen_record(frozen=True)
class ModuleRecord:
    """What became of one module in this process.

    Attributes:
        before: sha256 of the text found, hexadecimal; empty where it could not be read.
        after: sha256 of the text that was imported instead; empty where nothing was patched.
        mended: how many places of each fault got an edit, by its id.
        ways: by which paths the hook had come into the process.
        late: whether the module had been imported before the hook stood.
        reason: why it is unpatched, or what has to be known about it.
        pid: the process in which that happened; another one than the present where it was inherited by fork.
    """

    module: str
    state: Outcome
    origin: str
    before: str = ""
    after: str = ""
    mended: tuple[tuple[str, int], ...] = ()
    ways: tuple[str, ...] = ()
    late: bool = False
    reason: str = ""
    remedy: str = ""
    pid: int = 0


class Hook(Protocol):
    """What of the finder is told of: it may not import this, and this not it."""

    @property
    def ways(self) -> Sequence[str]:
        """By which paths the hook came into the process."""

    @property
    def folders(self) -> Mapping[str, str]:
        """Target modules that turned out to be namespace packages: name and places."""


class _Mine(threading.local):
    """Of one thread: another's wrapper may take long, and a forked child has no other to end it.

    Attributes:
        postponed: kernel modules found unpatched while a wrapper is imported whose function is to be replaced.
        wrappers: how many wrappers are being imported, one inside the other.
    """

    postponed: list[ModuleRecord] | None = None
    wrappers = 0


records: dict[str, ModuleRecord] = {}
_hooks: list[Hook] = []
_mine = _Mine()
_said: dict[tuple[int, str], object] = {}
_asked_for: list[Mode] = []
_told: list[Callable[[], None]] = []


def mode() -> Mode:
    """The mode in force: ``AITERFIX=off`` outranks what the program asked for, that outranks the rest."""
    said = settings.read()
    if said.mode is Mode.OFF or said.stopped or not _asked_for:
        return said.mode
    return _asked_for[-1]


def own_kernel() -> bool:
    """Whether ``AITERFIX_KERNEL=1`` asks for this project's kernel, and ``AITERFIX=off`` does not forbid all. Answers
    even where reading the settings fails."""
    try:
        said = settings.read()
        return said.own_kernel and said.mode is not Mode.OFF
    except Exception:  # noqa: BLE001 - asked while a module is imported, which must go on
        return False


def guard_kernel() -> bool:
    """The same for ``AITERFIX_KERNEL=guard``, by which it takes some launches."""
    try:
        said = settings.read()
        return said.guard_kernel and said.mode is not Mode.OFF
    except Exception:  # noqa: BLE001 - as above, while a launch is looked at
        return False


def faulty() -> bool:
    """Whether a module runs unpatched, so that launches may meet a fault."""
    return any(r.state is Outcome.UNPATCHED for r in list(records.values()))


def strict() -> bool:
    """Whether `require` is in force. Answers even where reading the settings fails."""
    try:
        return mode() is Mode.REQUIRE
    except Exception:  # noqa: BLE001 - asked while another failure is being handled
        return Mode.REQUIRE in _asked_for or os.environ.get(settings.MODE_VARIABLE, "").lower() == "require"


def last_resort(module: str, error: BaseException) -> None:
    """Say on stderr that the hook itself failed, in a way that cannot fail in turn."""
    with contextlib.suppress(Exception):
        said = one_line(
            f"the import hook failed for {module}, which may run unpatched: {type(error).__name__}: {error}"
        )
        sys.stderr.write(f"aiterfix: {said}\n")


def ask_for(wanted: Mode) -> None:
    """Have this mode in force from now on."""
    _asked_for.append(wanted)
    _tell()


def withdraw(wanted: Mode) -> None:
    """Take back `ask_for`."""
    if wanted in _asked_for:
        _asked_for.remove(wanted)
        _tell()


def on_change(forget: Callable[[], None]) -> None:
    """Have somebody told whenever another mode comes into force."""
    _told.append(forget)


def _tell() -> None:
    for forget in list(_told):
        forget()


def attach(hook: Hook) -> None:
    """Name the finder whose loaders are at work."""
    if not any(known is hook for known in _hooks):
        _hooks[:] = [hook]


def complain() -> None:
    """Say of each setting that is not understood that it is not, once."""
    for complaint in settings.read().complaints:
        if once(complaint):
            log.emit(log.WARNING, complaint)


def late_doubts() -> tuple[Doubt, ...]:
    """What was found to hold an unpatched kernel after its module had been patched: something that no namespace shows,
    such as a list."""
    from aiterfix.importing.targets import targets
    from aiterfix.judge.judgement import Doubt

    # One whose text was imported is judged by what its kernels hold.
    late = [r for r in list(records.values()) if r.late and r.state is Outcome.UNPATCHED and not r.after]
    return tuple(Doubt(r.module, r.reason) for r in late if r.module in targets().modules)


also_ask(late_doubts)


def once(key: str) -> bool:
    """Whether this is the first time that ``key`` is asked about in this process."""
    mine = object()
    # One step, so that of threads that import at once only one is first; by process, so that a forked child
    # says again what concerns it.
    return _said.setdefault((os.getpid(), key), mine) is mine


def record(module: str, decision: Decision, origin: str, *, late: bool = False) -> ModuleRecord:
    """Note what became of a module, and say it where people should know.

    Raises:
        UnpatchedKernelError: it is unpatched, in `require` mode.
    """
    entry = ModuleRecord(
        module,
        decision.state,
        origin,
        decision.before,
        decision.after,
        decision.mended,
        tuple(_hooks[-1].ways) if _hooks else (),
        late,
        decision.reason,
        decision.remedy,
        os.getpid(),
    )
    records[module] = entry
    if entry.state is Outcome.UNPATCHED:
        if _mine.postponed is not None and replaceable(module):
            _mine.postponed.append(entry)
        else:
            refuse(entry)
    return entry


@contextlib.contextmanager
def postponing() -> Iterator[list[ModuleRecord]]:
    """Collect, in this thread, the kernel modules whose launching function may yet be replaced, instead of refusing
    them. Whoever collects decides on them."""
    outer, _mine.postponed = _mine.postponed, []
    try:
        yield _mine.postponed
    finally:
        _mine.postponed = outer


@contextlib.contextmanager
def importing_wrapper() -> Iterator[None]:
    """While this lasts, `announce` waits: this thread imports a wrapper, which will say what was patched."""
    _mine.wrappers += 1
    try:
        yield
    finally:
        _mine.wrappers -= 1


def at_work() -> bool:
    """Whether this thread is importing a wrapper."""
    return _mine.wrappers > 0


def forget(module: str) -> None:
    """A module whose import has failed for a reason of the host's is not there, so nothing is true of it."""
    records.pop(module, None)
    if _mine.postponed is not None:
        _mine.postponed[:] = [entry for entry in _mine.postponed if entry.module != module]


def replaceable(module: str) -> bool:
    """Whether all that launches the kernels of a module is a function that can be replaced."""
    from aiterfix.importing.targets import targets

    groups = targets().modules.get(module, ())
    return bool(groups) and all(group.entry is not None for group in groups)


def folders() -> None:
    """Note target modules that turned out to be namespace packages: there was no loader to put ours around.

    Raises:
        UnpatchedKernelError: in `require` mode.
    """
    for name, places in list(_hooks[-1].folders.items()) if _hooks else ():
        if name not in records:
            decision = Decision(
                Outcome.UNPATCHED,
                reason=f"left alone, because it is a namespace package ({places})",
                remedy=f"Install aiter again; a module is expected there. {KEEP_PADDING}.",
            )
            record(name, decision, places)


def refuse(entry: ModuleRecord) -> None:
    """An unpatched kernel: raise in `require` mode, otherwise warn once.

    Raises:
        UnpatchedKernelError: in `require` mode.
    """
    if strict():
        raise unpatched(entry)
    damaged = entry.remedy.startswith(_INSTALL)  # then no module is patched, and saying it of one is enough
    if once(f"unpatched {'' if damaged else entry.module} {entry.reason}"):
        log.emit(
            log.WARNING,
            f"{entry.module} runs unpatched: {entry.reason}. Its logits may be "
            f"wrong without a word. What to do: {entry.remedy}",
        )


def failed(module: str, error: BaseException) -> UnpatchedKernelError:
    """The error of `require` mode for a failure of the hook itself, which may be an `ImportError`."""
    return UnpatchedKernelError(
        f"{module} is not imported: the import hook failed, and AITERFIX=require forbids to go on without it",
        why=one_line(f"{type(error).__name__}: {error}"),
        remedy="Report this to the aiterfix project.",
    )


def unpatched(entry: ModuleRecord) -> UnpatchedKernelError:
    """The error of `require` mode."""
    return UnpatchedKernelError(
        f"{entry.module} would run unpatched, and AITERFIX=require forbids that",
        why=one_line(entry.reason),
        remedy=one_line(entry.remedy),
    )


def announce() -> None:
    """One line for all modules patched since the last one; later, where a wrapper is being imported."""
    if at_work():
        return
    fresh = [r for r in list(records.values()) if r.state is Outcome.PATCHED and once(f"patched {r.module} {r.after}")]
    if not fresh:
        return
    from aiterfix._version import __version__

    what = "; ".join(
        f"{r.module} ({_places(r)}{' after its import' if r.late else ''}, {r.before[:12]} -> {r.after[:12]})"
        for r in fresh
    )
    ways = ", ".join(dict.fromkeys(w for r in fresh for w in r.ways)) or "call"
    alone = " Spawned child processes are not covered." if ways == "call" else ""
    log.emit(log.INFO, f"aiterfix {__version__} patched {what}; by {ways}.{alone}")


def _places(entry: ModuleRecord) -> str:
    """How many places were mended of each fault."""
    return ", ".join(f"{fault} in {count} place{'' if count == 1 else 's'}" for fault, count in entry.mended)


def trouble(module: str, doing: str, error: BaseException) -> Decision:
    """A failure of the hook itself, as a decision to leave the module alone."""
    what = one_line(error.what if isinstance(error, AiterfixError) else f"{type(error).__name__}: {error}")
    if once(f"trouble {module} {doing} {what}"):
        log.emit(log.DEBUG, f"{doing} failed for {module}", error=error)
    if isinstance(error, FaultFileError):
        return Decision(Outcome.UNPATCHED, reason=f"aiterfix is damaged: {what}", remedy=f"{_INSTALL}. {KEEP_PADDING}.")
    return Decision(
        Outcome.UNPATCHED,
        reason=f"{doing} failed: {what}",
        remedy=f"Report this to the aiterfix project. {KEEP_PADDING}.",
    )
