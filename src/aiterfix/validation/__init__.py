"""Validate a kernel by running its machine code: against a reference, with sentinels around every row.

    subject  \\
              executor.prepare --> Prepared.run --> ScenarioResult --> Report --> Evidence
    scenarios /                    inputs, launch, reference, comparison

``interface`` says what a subject and an executor are. Subjects: ``source`` (aiter's Gluon kernels), ``own`` (this
project's kernel), ``prebuilt`` (code objects), ``gpu/subjects`` and ``gpu/plain``. Executors: ``emulator``, which
``spread`` spreads over processes, and ``gpu/executor``. ``child`` is one process, for either.

``evidence`` needs the standard library only and may be imported by the core; everything else needs the extra
``validate`` (NumPy), so names are loaded when they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiterfix.validation.pipeline import validate
    from aiterfix.validation.report import Report
    from aiterfix.validation.selection import Selection
    from aiterfix.validation.series import Progress

__all__ = ["Progress", "Report", "Selection", "validate"]

_HOMES = {"Report": "report", "Progress": "series", "Selection": "selection", "validate": "pipeline"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
