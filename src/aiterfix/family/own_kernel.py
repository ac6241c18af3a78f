"""This project's own kernel: where it is, and whether it has taken the place of aiter's in this process.

Standard library only; the kernel itself needs torch and triton, and nothing of this package.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from aiterfix.family.kernels import GROUPS

OWN_MODULE = "aiterfix_paged_mqa_logits"
"""Name under which the import hook loads it."""

displaced: list[Any] = []
"""Weak references to the functions that gave way. One that is alive is held by somebody, who may call it."""


def own_kernel_file() -> Path:
    """``kernels/paged_mqa_logits.py``: beside the package in a checkout, inside it when installed."""
    packaged = Path(__file__).parents[1] / "_data" / "kernels" / "paged_mqa_logits.py"
    return packaged if packaged.is_file() else Path(__file__).parents[3] / "kernels" / "paged_mqa_logits.py"


def in_place(wrapper: object, entry: str) -> bool:
    """Whether a module's function of this name is this project's."""
    function = getattr(wrapper, "__dict__", {}).get(entry)
    return function is not None and function is getattr(sys.modules.get(OWN_MODULE), entry, None)


def in_force() -> bool:
    """Whether every wrapper that is imported calls this project's kernel, and nobody has kept a function that gave way
    to it; False where none is imported."""
    if OWN_MODULE not in sys.modules or any(ref() is not None for ref in displaced):
        return False
    entries = {(name, group.entry) for group in GROUPS if group.entry is not None for name in group.wrappers}
    here = [(sys.modules[name], entry) for name, entry in entries if name in sys.modules]
    return bool(here) and all(in_place(module, entry) for module, entry in here)
