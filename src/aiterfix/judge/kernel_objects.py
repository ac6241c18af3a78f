"""What a kernel object in this process would compile, and what is wrong in that text. `aiter` is never imported."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from aiterfix.faults.base import Diagnosis, Finding, Presence
from aiterfix.faults.diagnosis import TextDiagnosis, Unit, diagnose
from aiterfix.faults.registry import Faults, load_faults
from aiterfix.history.known import diagnosis_of
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.record import record

if TYPE_CHECKING:
    from aiterfix.judge.refusals import NamedLaunch


@cache
def known_faults() -> Faults:
    """The package's own faults, read once a process.

    Raises:
        FaultFileError: a fault file is wrong.
    """
    return load_faults()


def held_source(kernel: Any) -> str | None:
    """The text that a kernel object would compile, without indentation; None where it can't be had.

    Triton's ``JITFunction`` keeps ``src`` since 2.0: what is compiled, from ``def`` on, whatever the file says by now.
    Anything else is asked through `inspect`, which is what a JIT decorator would have done.
    """
    inner = kernel
    for _ in range(8):  # of decorators around it
        text = getattr(inner, "src", None)
        if isinstance(text, str) and text:
            return text
        inner = getattr(inner, "fn", None)
        if inner is None:
            break
    import inspect

    function = inspect.unwrap(getattr(kernel, "fn", kernel))
    try:
        return textwrap.dedent("".join(inspect.getsourcelines(function)[0]))
    except (OSError, TypeError, IndexError, SyntaxError):
        return None


def owner(kernel: Any) -> str | None:
    """Name of the module that a kernel was defined in."""
    # What it says itself; Triton's interpreter wraps functions in objects that say their class's module only.
    own = getattr(kernel, "__dict__", {}).get("__module__")
    name = own or getattr(getattr(kernel, "fn", kernel), "__module__", None)
    return name if isinstance(name, str) else None


@record(frozen=True)
class HeldText:
    """What a kernel would compile.

    Attributes:
        text: of the whole module that it comes from, where that holds the kernel's source word for word; else that
            source behind the imports by which the process explains its names.
        sha256: digest of the whole module's text; empty where it is not one.
    """

    text: bytes
    sha256: str


def held_text(kernel: Any) -> HeldText | None:
    """The text to judge a kernel object by; None where it does not say what it would compile."""
    source = held_source(kernel)
    if source is None:
        return None
    module = sys.modules.get(owner(kernel) or "")
    whole = module_text(module)
    if whole is not None and source.strip("\n") in whole:
        text = whole.encode()
        return HeldText(text, sha256_hex(text))
    namespace = getattr(getattr(kernel, "fn", kernel), "__globals__", None) or getattr(module, "__dict__", {})
    return HeldText((_imports(namespace, source) + "@_jit\n" + source).encode(), "")


def presence(kernels: Mapping[str, Any]) -> Presence:
    """Judgement on kernel objects over every fault that decides."""
    from aiterfix.faults.base import worst

    deciding, launches = known_faults().deciding, loaded_launches() if kernels else ()
    return worst(settled(kernel, name, launches).presence(deciding) for name, kernel in kernels.items())


def loaded_launches() -> tuple[NamedLaunch, ...]:
    """Every launch that a loaded wrapper makes."""
    from aiterfix.judge.refusals import launches_loaded

    return launches_loaded(dict.fromkeys(w for g in known_faults().groups for w in g.wrappers))


def settled(kernel: Any, name: str, launches: Sequence[NamedLaunch]) -> TextDiagnosis:
    """What is wrong in a kernel object, with the faults that what launches it has, or refuses.

    Args:
        name: its name in the module that holds it.
        launches: from `loaded_launches`.
    """
    from aiterfix.judge.refusals import with_refusals

    held = held_text(kernel)
    if held is None:
        return _silent(name)
    return with_refusals(held.text, _diagnosed(held.text, name), launches, known_faults())


@cache
def _diagnosed(text: bytes, name: str) -> TextDiagnosis:
    """A module's text reduced to one kernel."""
    found = _whole(text)
    units = tuple(u for u in found.units if u.name == name)
    # What the kernel holds is one function: what else its module does to names is answered by the object itself.
    return TextDiagnosis(found.sha256, units, tuple(p for p in found.problems if p.kernel in ("", name)))


@cache
def _whole(text: bytes) -> TextDiagnosis:
    known, digest = known_faults(), sha256_hex(text)
    return _found.get(digest) or diagnosis_of(digest, known) or diagnose(text, known.judged)


_found: dict[str, TextDiagnosis] = {}


def remember(diagnosis: TextDiagnosis, known: Faults) -> None:
    """Keep what was found of a text by itself, so that it is not read again for the kernels that are made from it.

    Args:
        diagnosis: without what launches its kernels.
        known: what it was looked for; kept where these are the package's own faults.
    """
    if known is known_faults():
        _found[diagnosis.sha256] = replace(diagnosis, analysis=None)  # syntax takes a hundred times as much


def _silent(name: str) -> TextDiagnosis:
    """Of a kernel that does not say what it would compile."""
    known = known_faults()
    finding = Finding("no-source", "the object does not say which text it would compile", 0, 0, Presence.UNKNOWN)
    group = next((k.group for k in known.kernels if k.name == name), "")
    faults = tuple(Diagnosis(f.id, (finding,)) for f in known.judged if any(g.name == group for g in f.groups))
    return TextDiagnosis("", (Unit(name, group, 0, faults, 0),), ())


def module_text(module: Any) -> str | None:
    """What the loader says the module was made from. It may have changed since: callers compare."""
    get_source = getattr(getattr(module, "__loader__", None), "get_source", None)
    if get_source is None:
        return None
    try:
        text = get_source(module.__name__)
    except Exception:  # noqa: BLE001 - a loader of anyone's; without its text the kernel's own decides
        return None
    return text if isinstance(text, str) else None


def _imports(namespace: Mapping[str, Any], source: str) -> str:
    """Import lines by which a kernel's names mean what they mean in this process: modules, and what is Triton's."""
    lines = ["from triton import jit as _jit\n"]
    for name, value in namespace.items():
        if name not in source or not name.isidentifier():
            continue
        if isinstance(value, ModuleType):
            lines.append(f"import {value.__name__} as {name}\n")
        elif str(getattr(value, "__module__", "")).partition(".")[0] == "triton" and hasattr(value, "__name__"):
            lines.append(f"from {value.__module__} import {value.__name__} as {name}\n")
    return "".join(lines)
