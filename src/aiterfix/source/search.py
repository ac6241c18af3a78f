"""Which files are worth reading: names in their bytes, before anything is parsed."""

from __future__ import annotations

from collections.abc import Sequence

from aiterfix.source.roles import KernelRoles
from aiterfix.storage.text import as_parsed, opaque_encoding


def needles(kernels: Sequence[KernelRoles]) -> tuple[str, ...]:
    """Strings one of which is in every file worth analysing: kernel names and output parameters."""
    words = [w for k in kernels for w in (k.name, k.output)]
    return tuple(dict.fromkeys(words))


def may_define(text: bytes, kernels: Sequence[KernelRoles]) -> bool:
    """Whether a text can define or bind a declared kernel, or define one that looks like it. Never wrongly False."""
    if opaque_encoding(text):
        return True
    text = as_parsed(text)
    if any(k.name.encode() in text for k in kernels):
        return True
    # An undeclared kernel is recognised by its decorator and its parameters.
    return b"jit" in text and any(k.output.encode() in text for k in kernels)
