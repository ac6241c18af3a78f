"""The optional dependencies, with an error that says how to get them."""

from __future__ import annotations

import importlib
from typing import Any

from aiterfix.errors import EnvironmentProblem, install_line

# import name -> what is missing without it
_WHAT = {"git": "GitPython", "requests": "requests"}


class ExtraMissingError(EnvironmentProblem):
    """A package of the extra ``upstream`` is not installed."""

    code = "extra-missing"

    def __init__(self, package: str, reason: str) -> None:
        super().__init__(
            f"{package} is needed for this command and cannot be imported",
            why=reason,
            remedy=install_line("upstream"),
        )


def need(module: str) -> Any:
    """Import a module of the extra.

    Raises:
        ExtraMissingError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ExtraMissingError(_WHAT[module], f"no module named {error.name}") from error
    except ImportError as error:
        raise ExtraMissingError(_WHAT[module], str(error)) from error
