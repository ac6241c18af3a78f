"""Validate a kernel by running its gfx950 machine code: against a reference, with sentinels around every row.

    source --compile--> code object --execute--> output bits --judge--> report --> certificate
    scenarios --problem--> inputs --reference--> expected logits --^

``certificate`` needs the standard library only and may be imported by the core; everything else needs the extra
``validate`` (NumPy), so names are loaded when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiterfix.validation.report import Report
    from aiterfix.validation.run import validate
    from aiterfix.validation.series import Progress

__all__ = ["Progress", "Report", "validate"]

_HOMES = {"Report": "report", "Progress": "series", "validate": "run"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
