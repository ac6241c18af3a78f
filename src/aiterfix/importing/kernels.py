"""Kernels in a module's namespace, and whether they hold a given text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiterfix.judge.kernel_objects import held_source


def kernels_in(namespace: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The kernel objects of a module's namespace, by name."""
    return {name: namespace[name] for name in names if name in namespace}


def comes_from(kernel: Any, text: str) -> bool:
    """Whether the source that a kernel holds stands in ``text`` word for word (a top-level function)."""
    source = held_source(kernel)
    return source is not None and source.strip("\n") in text
