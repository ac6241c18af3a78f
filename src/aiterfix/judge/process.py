"""Judge what a process has loaded of the kernels: the source of those that are loaded, else of the files it would load.

Light: no numpy, torch or triton, and `aiter` is never imported.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from aiterfix.family.kernels import GROUPS
from aiterfix.family.own_kernel import in_force
from aiterfix.judge.compiler import compiler_loaded
from aiterfix.judge.judgement import Doubt, JudgedText, Judgement, Question, bounds_only, everything
from aiterfix.judge.kernel_objects import held_source, held_text, known_faults, loaded_launches, settled
from aiterfix.judge.witnesses import late_doubts
from aiterfix.judge.witnesses import prebuilt_variable as prebuilt_variable
from aiterfix.storage.record import record

_TARGETS = tuple(dict.fromkeys(n for g in GROUPS for n in (*g.modules, *g.wrappers)))
NOT_FOUND = "aiter was not found"
_NAMES = tuple(sorted(k.name for g in GROUPS for k in g.kernels))


@record(frozen=True)
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
    """The kernels in the modules that releases keep them in, in the wrappers, and in other modules.

    A wrapper takes kernels by name, and keeps them when their own module is executed again: both are looked at.
    """
    objects = []
    for name in (*_TARGETS, *elsewhere):
        module = sys.modules.get(name)
        if module is None:
            continue
        namespace = getattr(module, "__dict__", {})
        objects += [(name, kernel, namespace[kernel]) for kernel in _NAMES if kernel in namespace]
    return Loaded(tuple(objects), tuple(held_source(o[2]) for o in objects))


def other_modules() -> tuple[str, ...]:
    """Loaded modules of the package, none of those that releases have, that hold a kernel by its name."""
    found = []
    for name, module in list(sys.modules.items()):
        if not name.startswith("aiter.") or name in _TARGETS:
            continue
        namespace = getattr(module, "__dict__", {})
        if any(kernel in namespace for kernel in _NAMES):
            found.append(name)
    return tuple(found)


def judge_loaded(loaded: Loaded, question: Question | None = None) -> Judgement:
    """Judge what is loaded, each kernel on the text that it holds.

    Args:
        question: what decides; store bounds by default, which padding depends on.
    """
    from aiterfix.installation.aot import PrebuiltCodeObjects  # no part of what every process with the hook keeps

    known = known_faults()
    texts = []
    launches = loaded_launches() if loaded.objects else ()
    for module, name, kernel in loaded.objects:
        held = held_text(kernel)
        text, digest = (held.text, held.sha256) if held is not None else (b"", "")
        texts.append(JudgedText(module, "", text, settled(kernel, name, launches), digest))
    asked = question or bounds_only(known)
    prebuilt = tuple(
        # Where they lie was settled when the wrapper was imported; that they run is what counts.
        (g.name, PrebuiltCodeObjects(Path(g.prebuilt.directory), 0, 0, g.prebuilt.enabled_by, "1", ()))
        for g in known.groups
        if g.prebuilt is not None and prebuilt_variable() == g.prebuilt.enabled_by
    )
    return Judgement(
        None,
        known,
        asked,
        tuple(texts),
        late_doubts(),
        prebuilt,
        replaced=in_force(),
        launch=compiler_loaded().launch(),
    )


def judge_process() -> Judgement | None:
    """Judge everything of the family that this process has loaded, over every fault that decides; None where nothing
    is loaded."""
    loaded = loaded_kernels(other_modules())
    return judge_loaded(loaded, everything(known_faults())) if loaded.objects else None


@record(frozen=True)
class OnDisk:
    """What was found on disk, and the state of the files that it was read from."""

    judgement: Judgement
    files: tuple[tuple[str, tuple[int, int, int] | None], ...]

    def current(self) -> bool:
        """Whether the files are still as they were."""
        return bool(self.files) and all(stamp(path) == state for path, state in self.files)


def stamp(path: str, root: Path | None = None) -> tuple[int, int, int] | None:
    """What tells one state of a file from another; None where there is none.

    Args:
        root: the root file system of the image that it lies in.
    """
    # The searching rooms are not loaded for a look at one file: advice asks at every call.
    try:
        if root is None:
            status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call
        else:
            from aiterfix.installation.view import View

            status = View(root).status(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def judge_importable(path: Path | None = None, python: Path | None = None, root: Path | None = None) -> OnDisk:
    """Judge the files that an import would take, for store bounds.

    Args:
        path: an installation of another place, instead of this interpreter's.
        python: another interpreter, instead of this one.
        root: the root file system of an image; ``path`` is then one that the image has.
    """
    from aiterfix.installation.given_path import find_image, find_path
    from aiterfix.installation.interpreters import find_python, find_running
    from aiterfix.judge.disk import judge_installation

    known = known_faults()
    question = bounds_only(known)
    if root is not None:
        discovery = find_image(root, path)
    else:
        discovery = find_path(path) if path else find_python(python) if python else find_running()
    doubts = [Doubt(str(d.path), d.reason) for d in discovery.doubts]
    running = [i for i in discovery.installations if not i.shadowed]
    if not running:
        found = NOT_FOUND if not discovery.installations else "import would take another aiter"
        doubts.append(Doubt("", found))
    elif len(running) > 1:
        doubts.append(Doubt("", "more than one aiter was found"))
    judged = [judge_installation(i, known, question, in_full=False) for i in running]
    texts = tuple(t for j in judged for t in j.texts)
    whole = Judgement(
        running[0] if len(running) == 1 else None,
        known,
        question,
        texts,
        tuple(dict.fromkeys((*doubts, *(d for j in judged for d in j.doubts)))),
        tuple(p for j in judged for p in j.prebuilt),
    )
    return OnDisk(whole, tuple((t.where, stamp(t.where, root)) for t in texts))
