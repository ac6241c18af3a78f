"""What the hook did in this process, and saying it once."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from aiterfix.errors import AiterfixError, ExitCode
from aiterfix.importing import log, settings
from aiterfix.importing.decision import KEEP_PADDING, Decision, State
from aiterfix.importing.settings import Mode
from aiterfix.startup import standing

RESTART = (
    "Have the hook stand before anything imports aiter: let vLLM or SGLang load the aiterfix plugin, use "
    "`aiterfix hook enable` or `aiterfix run -- COMMAND`, or patch the file with `aiterfix apply`, and start the "
    "process again"
)


class UnpatchedKernelError(AiterfixError):
    """``AITERFIX=require``, and a kernel would run unpatched.

    Not an `ImportError` on purpose: consumers take that for "aiter is not there" and go on.
    """

    exit_code = ExitCode.NOT_UNDERSTOOD
    code = "unpatched-kernel"


@dataclass(frozen=True)
class ModuleRecord:
    """What became of one module in this process.

    Attributes:
        module: its name.
        state: see `State`.
        origin: the file it came from.
        before: sha256 of the text found, hexadecimal; empty where it could not be read.
        after: sha256 of the text that was imported instead; empty where nothing was patched.
        sites: how many stores got a bound.
        ways: by which paths the hook had come into the process.
        late: whether the module had been imported before the hook stood.
        reason: why it is unpatched, or what has to be known about it.
        remedy: what to do about that.
        pid: the process in which that happened; another one than the present where it was inherited by fork.
    """

    module: str
    state: State
    origin: str
    before: str = ""
    after: str = ""
    sites: int = 0
    ways: tuple[str, ...] = ()
    late: bool = False
    reason: str = ""
    remedy: str = ""
    pid: int = 0


class _Postponed(threading.local):
    """Kernel modules found unpatched while a wrapper is imported whose function is to be replaced."""

    entries: list[ModuleRecord] | None = None


records: dict[str, ModuleRecord] = {}
_postponed = _Postponed()
_said: dict[tuple[int, str], object] = {}
_asked_for: list[Mode] = []


def mode() -> Mode:
    """The mode in force: ``AITERFIX=off`` outranks what the program asked for, that outranks the rest."""
    said = settings.read().mode
    if said is Mode.OFF or not _asked_for:
        return said
    return _asked_for[-1]


def own_kernel() -> bool:
    """Whether ``AITERFIX_KERNEL=1`` asks for this project's kernel, and ``AITERFIX=off`` does not forbid all. Answers
    even where reading the settings fails."""
    try:
        said = settings.read()
        return said.own_kernel and said.mode is not Mode.OFF
    except Exception:  # noqa: BLE001 - asked while a module is imported, which must go on
        return False


def strict() -> bool:
    """Whether `require` is in force. Answers even where reading the settings fails."""
    try:
        return mode() is Mode.REQUIRE
    except Exception:  # noqa: BLE001 - asked while another failure is being handled
        return Mode.REQUIRE in _asked_for or os.environ.get(settings.MODE_VARIABLE, "").lower() == "require"


def last_resort(module: str, error: BaseException) -> None:
    """Say on stderr that the hook itself failed, in a way that cannot fail in turn."""
    with contextlib.suppress(Exception):
        sys.stderr.write(
            f"aiterfix: the import hook failed for {module}, which may run unpatched: {type(error).__name__}: {error}\n"
        )


def ask_for(wanted: Mode) -> None:
    """Have this mode in force from now on."""
    _asked_for.append(wanted)


def withdraw(wanted: Mode) -> None:
    """Take back `ask_for`."""
    if wanted in _asked_for:
        _asked_for.remove(wanted)


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
    finder = standing()
    entry = ModuleRecord(
        module,
        decision.state,
        origin,
        decision.before,
        decision.after if decision.state is State.PATCHED else "",
        decision.sites if decision.state is State.PATCHED else 0,
        tuple(finder.ways) if finder is not None else (),
        late,
        decision.reason,
        decision.remedy,
        os.getpid(),
    )
    records[module] = entry
    if entry.state is State.UNPATCHED:
        if _postponed.entries is not None and replaceable(module):
            _postponed.entries.append(entry)
        else:
            refuse(entry)
    return entry


@contextlib.contextmanager
def postponing() -> Iterator[list[ModuleRecord]]:
    """Collect, in this thread, the kernel modules whose launching function may yet be replaced, instead of refusing
    them. Whoever collects decides on them."""
    outer, _postponed.entries = _postponed.entries, []
    try:
        yield _postponed.entries
    finally:
        _postponed.entries = outer


def replaceable(module: str) -> bool:
    """Whether all that launches the kernels of a module is a function that can be replaced."""
    from aiterfix.importing.targets import targets

    fixes = targets().modules.get(module, ())
    return bool(fixes) and all(fix.entry is not None for fix in fixes)


def folders() -> None:
    """Note target modules that turned out to be namespace packages: there was no loader to put ours around.

    Raises:
        UnpatchedKernelError: in `require` mode.
    """
    finder = standing()
    for name, places in list(finder.folders.items()) if finder is not None else ():
        if name not in records:
            decision = Decision(
                State.UNPATCHED,
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
    if once(f"unpatched {entry.module} {entry.reason}"):
        log.emit(
            log.WARNING,
            f"{entry.module} runs unpatched: {entry.reason}. Its stores may reach into the next row, which changes "
            f"logits silently. What to do: {entry.remedy}",
        )


def unpatched(entry: ModuleRecord) -> UnpatchedKernelError:
    """The error of `require` mode."""
    return UnpatchedKernelError(
        f"{entry.module} would run unpatched, and AITERFIX=require forbids that",
        why=entry.reason,
        remedy=entry.remedy,
    )


def announce() -> None:
    """One line for all modules patched since the last one."""
    fresh = [r for r in list(records.values()) if r.state is State.PATCHED and once(f"patched {r.module} {r.after}")]
    if not fresh:
        return
    from aiterfix._version import __version__

    what = "; ".join(
        f"{r.module} ({r.sites} store{'' if r.sites == 1 else 's'} bounded{' after its import' if r.late else ''}, "
        f"{r.before[:12]} -> {r.after[:12]})"
        for r in fresh
    )
    ways = ", ".join(dict.fromkeys(w for r in fresh for w in r.ways)) or "call"
    alone = " Spawned child processes are not covered." if ways == "call" else ""
    log.emit(log.INFO, f"aiterfix {__version__} patched {what}; by {ways}.{alone}")


def trouble(module: str, doing: str, error: BaseException) -> Decision:
    """A failure of the hook itself, as a decision to leave the module alone."""
    what = error.what if isinstance(error, AiterfixError) else f"{type(error).__name__}: {error}"
    if once(f"trouble {module} {doing} {what}"):
        log.emit(log.DEBUG, f"{doing} failed for {module}", error=error)
    return Decision(
        State.UNPATCHED,
        reason=f"{doing} failed: {what}",
        remedy=f"Report this to the aiterfix project. {KEEP_PADDING}.",
    )
