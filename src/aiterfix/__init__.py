"""aiterfix: judge and mend known faults of AMD aiter's paged-MQA-logits kernels."""

# With the `.pth` enabled this file runs at every interpreter start, so it imports nothing, not even
# `__future__` or typing; checkers know the name TYPE_CHECKING.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from aiterfix._version import __version__
    from aiterfix.advice.padding import required_padding
    from aiterfix.importing.api import install_hook, launches, status
    from aiterfix.judge.api import check

__all__ = ["__version__", "check", "install_hook", "launches", "required_padding", "status"]

_LAZY = {
    "__version__": "aiterfix._version",
    "check": "aiterfix.judge.api",
    "install_hook": "aiterfix.importing.api",
    "launches": "aiterfix.importing.api",
    "required_padding": "aiterfix.advice.padding",
    "status": "aiterfix.importing.api",
}


def __getattr__(name: str) -> "Any":
    """Import what is asked for when it is asked for: ``import aiterfix`` stays cheap."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
