"""What this process holds of the kernels: the source of those that are loaded, else that of the files it would load.

Light: no numpy, torch or triton, and `aiter` is never imported.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from aiterfix.fixes import Fix
from aiterfix.importing.decision import State, aot_enabled, proven_results
from aiterfix.importing.targets import targets
from aiterfix.own_kernel import in_force
from aiterfix.verdict import Verdict, worst


@dataclass(frozen=True)
class HeldKernel:
    """One kernel as this process has it, or would load it.

    Attributes:
        name: the function.
        path: the code path it belongs to: "gluon" or "stage1".
        verdict: by its source.
        sha256: digest of its file; empty where what is loaded is not known to be a whole file's text.
        released: whether that file is one of a release of aiter whose rounding is known, or such a one as patched.
    """

    name: str
    path: str
    verdict: Verdict
    sha256: str
    released: bool


@dataclass(frozen=True)
class Holding:
    """Everything that is held.

    Attributes:
        kernels: loaded or on disk.
        loaded: whether they are loaded.
        where: module name or file, for people.
        doubt: what keeps an answer from being certain; empty where nothing does.
        prebuilt: the variable that switched prebuilt code objects on; empty where none did.
        replaced: whether the wrappers that are imported call this project's own kernel.
    """

    kernels: tuple[HeldKernel, ...]
    loaded: bool
    where: str
    doubt: str
    prebuilt: str
    replaced: bool = False


@dataclass(frozen=True)
class Loaded:
    """The kernel objects in this process.

    Attributes:
        objects: (module, name in it, object). Kept alive, so that identities stay unique.
        sources: the text that each would compile; None where it does not say.
    """

    objects: tuple[tuple[str, str, Any], ...]
    sources: tuple[str | None, ...]

    def same(self, other: Loaded) -> bool:
        """Whether these are the same objects with the same text."""
        return self.sources == other.sources and [id(o[2]) for o in self.objects] == [id(o[2]) for o in other.objects]


def loaded_kernels(elsewhere: tuple[str, ...] = ()) -> Loaded:
    """The kernels in the modules that the fixes declare, in their wrappers, and in other modules.

    A wrapper takes kernels by name, and keeps them when their own module is executed again: both are looked at.
    """
    known = targets()
    objects = []
    for name in (*known.modules, *known.wrappers, *elsewhere):
        module = sys.modules.get(name)
        if module is None:
            continue
        namespace = getattr(module, "__dict__", {})
        objects += [(name, kernel, namespace[kernel]) for kernel in _names() if kernel in namespace]
    return Loaded(tuple(objects), tuple(_source(o[2]) for o in objects))


def other_modules() -> tuple[str, ...]:
    """Loaded modules of the package, not declared by a fix, that hold a kernel by its name."""
    known = targets()
    found = []
    for name, module in list(sys.modules.items()):
        if not name.startswith("aiter.") or name in known.modules or name in known.wrappers:
            continue
        namespace = getattr(module, "__dict__", {})
        if any(kernel in namespace for kernel in known.kernels):
            found.append(name)
    return tuple(found)


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted(targets().kernels))


def _source(kernel: Any) -> str | None:
    """What will be compiled: a JIT function keeps it since it was made, whatever the file says by now."""
    for _ in range(8):
        text = getattr(kernel, "src", None)
        if isinstance(text, str) and text:
            return text
        kernel = getattr(kernel, "fn", None)
        if kernel is None:
            break
    return None


def judge_loaded(loaded: Loaded) -> Holding:
    """Judge what is loaded, each kernel on the text that it holds."""
    known = targets()
    fix_of = {k.name: f for f in known.fixes for k in f.kernels}
    texts: dict[str, str | None] = {}
    kernels = []
    for (module, name, _), source in zip(loaded.objects, loaded.sources, strict=True):
        fix = fix_of[name]
        if source is None:
            kernels.append(HeldKernel(name, fix.path, Verdict.UNKNOWN, "", False))
            continue
        if module not in texts:
            texts[module] = _module_text(sys.modules.get(module))
        text = texts[module]
        whole = text is not None and source.strip("\n") in text
        kernels.append(_judge(name, fix, source, text.encode() if whole and text is not None else None))
    modules = ", ".join(dict.fromkeys(o[0] for o in loaded.objects))
    return Holding(tuple(kernels), True, modules, _late_doubt(), aot_enabled(known.fixes), in_force(known.fixes))


def _late_doubt() -> str:
    """What the import hook found to hold an unpatched kernel after it patched the module: something that no namespace
    shows, such as a list. Empty where there is nothing, or no hook."""
    ledger = sys.modules.get("aiterfix.importing.ledger")
    records = list(getattr(ledger, "records", {}).values())
    return "; ".join(
        f"{r.module}: {r.reason}"
        for r in records
        if r.late and r.state is State.UNPATCHED and r.module in targets().modules
    )


def _module_text(module: Any) -> str | None:
    """What the loader says the module was made from. It may have changed since: callers compare."""
    get_source = getattr(getattr(module, "__loader__", None), "get_source", None)
    if get_source is None:
        return None
    try:
        text = get_source(module.__name__)
    except Exception:  # noqa: BLE001 - a loader of anyone's; without its text the kernel's own decides
        return None
    return text if isinstance(text, str) else None


def _judge(name: str, fix: Fix, source: str, text: bytes | None) -> HeldKernel:
    digest = hashlib.sha256(text).hexdigest() if text is not None else ""
    recorded = _recorded(digest) if digest else {}
    if name in recorded:
        return HeldKernel(name, fix.path, recorded[name], digest, _rounding_known(fix, recorded))
    return HeldKernel(name, fix.path, _analysed(source.encode()).get(name, Verdict.UNKNOWN), digest, False)


@cache
def _analysed(text: bytes) -> dict[str, Verdict]:
    from aiterfix.source.sites import analyse

    analysis = analyse(text, targets().fixes)
    if analysis.problems:
        return {k.name: Verdict.UNKNOWN for k in analysis.kernels}
    verdicts: dict[str, list[Verdict]] = {}
    for kernel in analysis.kernels:
        verdicts.setdefault(kernel.name, []).append(kernel.verdict)
    return {name: worst(found, empty=Verdict.UNKNOWN) for name, found in verdicts.items()}


@cache
def _releases() -> dict[str, dict[str, Verdict]]:
    """By digest of a released kernel file: the verdict on each of its kernels, as analysed when it was recorded."""
    import json

    try:
        files = json.loads((Path(__file__).parent / "history" / "releases.json").read_bytes())["files"]
        return {
            digest: {name: Verdict(kernel["verdict"]) for name, kernel in facts["kernels"].items()}
            for digest, facts in files.items()
        }
    except (OSError, ValueError, KeyError):
        return {}  # the source is analysed instead


@cache
def _recorded(digest: str) -> dict[str, Verdict]:
    released = _releases()
    if digest in released:
        return released[digest]
    for before, after in proven_results().items():
        if after == digest:
            return dict.fromkeys(released.get(before, ()), Verdict.GUARDED)
    return {}


def _rounding_known(fix: Fix, recorded: Mapping[str, Verdict]) -> bool:
    """Whether a file is released and built as the releases whose rounding was read: with the schedule kernel, which
    the first Gluon release has not."""
    return bool(recorded) and (fix.path != "gluon" or any(name.endswith("_varctx") for name in recorded))


@dataclass(frozen=True)
class OnDisk:
    """What was found on disk, and the state of the files that it was read from."""

    holding: Holding
    files: tuple[tuple[str, tuple[int, int, int] | None], ...]

    def current(self) -> bool:
        """Whether the files are still as they were."""
        return bool(self.files) and all(stamp(path) == state for path, state in self.files)


def stamp(path: str) -> tuple[int, int, int] | None:
    """What tells one state of a file from another; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_disk(path: Path | None = None, python: Path | None = None) -> OnDisk:
    """Judge the files that an import would take.

    Args:
        path: an installation of another place, instead of this interpreter's.
        python: another interpreter, instead of this one.
    """
    from aiterfix.installation import find_path, find_python, find_running

    discovery = find_path(path) if path else find_python(python) if python else find_running()
    doubts = [f"{d.path}: {d.reason}" for d in discovery.doubts]
    running = [i for i in discovery.installations if not i.shadowed]
    if not running:
        doubts.append("aiter was not found" if not discovery.installations else "import would take another aiter")
    elif len(running) > 1:
        doubts.append("more than one aiter was found")
    kernels: list[HeldKernel] = []
    stamps = []
    where = []
    for installation in running:
        for file, text in _files(installation, doubts):
            stamps.append((str(file), stamp(str(file))))
            where.append(str(file))
            kernels += _kernels_of(text)
    doubt = "; ".join(dict.fromkeys(doubts))
    prebuilt = aot_enabled(targets().fixes)
    return OnDisk(Holding(tuple(kernels), False, ", ".join(where), doubt, prebuilt), tuple(stamps))


def _files(installation: Any, doubts: list[str]) -> Iterator[tuple[Path, bytes]]:
    """Kernel files: where the wrapper imports from, and only where a fix's are not there, wherever they are."""
    known = targets()
    gluon = False
    declared = []
    for name, fixes in known.modules.items():
        file = installation.package.joinpath(*name.split(".")[1:]).with_suffix(".py")
        declared.append(file)
        try:
            text = file.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            doubts.append(f"{file}: {error.strerror}")
            continue
        gluon = gluon or any(f.path == "gluon" for f in fixes)
        yield file, text
    if gluon:
        return
    from aiterfix.assessment import assess

    assessment = assess(installation, known.fixes)
    doubts += [f"{d.path}: {d.reason}" for d in assessment.doubts]
    for found in assessment.files:
        if found.path not in declared:
            yield found.path, found.text


def _kernels_of(text: bytes) -> list[HeldKernel]:
    digest = hashlib.sha256(text).hexdigest()
    recorded = _recorded(digest)
    verdicts = recorded or _analysed(text)
    return [
        HeldKernel(kernel.name, fix.path, verdicts[kernel.name], digest, _rounding_known(fix, recorded))
        for fix in targets().fixes
        for kernel in fix.kernels
        if kernel.name in verdicts
    ]
