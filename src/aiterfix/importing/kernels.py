"""What source a kernel object holds: the text that a JIT compiler will compile, not what a file says."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from aiterfix.fixes import Fix
from aiterfix.verdict import Verdict


def kernels_in(namespace: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The kernel objects of a module's namespace, by name."""
    return {name: namespace[name] for name in names if name in namespace}


def held_source(kernel: Any) -> str | None:
    """The text that a kernel object would compile, without indentation; None where it can't be had.

    Triton's ``JITFunction`` keeps ``src`` since 2.0: what is compiled, from ``def`` on. Anything else is asked
    through `inspect`, which is what a JIT decorator would have done.
    """
    text = getattr(kernel, "src", None)
    if isinstance(text, str) and text:
        return text
    import inspect

    function = inspect.unwrap(getattr(kernel, "fn", kernel))
    try:
        return textwrap.dedent("".join(inspect.getsourcelines(function)[0]))
    except (OSError, TypeError, IndexError, SyntaxError):
        return None


def comes_from(kernel: Any, text: str) -> bool:
    """Whether the source that a kernel holds stands in ``text`` word for word (a top-level function)."""
    source = held_source(kernel)
    return source is not None and source.strip("\n") in text


def judge(kernels: Mapping[str, Any], fixes: Sequence[Fix]) -> Verdict:
    """Judgement on what kernel objects would compile, each on its own."""
    from aiterfix.source.sites import analyse
    from aiterfix.verdict import worst

    verdicts = []
    for kernel in kernels.values():
        source = held_source(kernel)
        verdicts.append(Verdict.UNKNOWN if source is None else analyse(source.encode(), fixes).verdict)
    return worst(verdicts, empty=Verdict.NOT_AFFECTED)


def owner(kernel: Any) -> str | None:
    """Name of the module that a kernel was defined in."""
    name = getattr(kernel, "__module__", None) or getattr(getattr(kernel, "fn", None), "__module__", None)
    return name if isinstance(name, str) else None
