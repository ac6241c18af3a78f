"""``aiterfix run``: a start-up directory on the child's PYTHONPATH, inherited by its own children."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.importing import settings
from aiterfix.importing.settings import MODE_VARIABLE, Mode

DIRECTORY = Path(__file__).parent / "run_directory"
"""Holds ``sitecustomize.py`` and nothing else, since everything in it becomes importable."""


def child_environment(environment: Mapping[str, str], mode: Mode | None) -> dict[str, str]:
    """The environment of the command.

    Args:
        environment: the present one.
        mode: from the command line; None leaves ``AITERFIX`` as it is.

    Raises:
        UsageError: ``AITERFIX`` or ``AITERFIX_LOG`` holds something that is not known.
    """
    said = settings.read(environment)
    if said.complaints:
        # Not what the hook would make of it: that is never tried here.
        wrong = "; ".join(c.rpartition("; ")[0] for c in said.complaints)
        raise UsageError(wrong, remedy="Correct or unset the variable.")
    result = dict(environment)
    if mode is not None:
        result[MODE_VARIABLE] = mode.value
    # An empty PYTHONPATH counts as none; an empty entry in a longer one means the current directory and stays.
    old = environment.get("PYTHONPATH", "")
    entries = [e for e in old.split(os.pathsep) if e != str(DIRECTORY)] if old else []
    result["PYTHONPATH"] = os.pathsep.join([str(DIRECTORY), *entries])
    return result


def run(command: Sequence[str], mode: Mode | None = None) -> NoReturn:
    """Become the command: same process, so its signals and its exit status are the command's own.

    Raises:
        UsageError: see `child_environment`.
        EnvironmentProblem: the command cannot be started.
    """
    environment = child_environment(os.environ, mode)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(command[0], list(command), environment)
    except OSError as error:
        raise EnvironmentProblem(
            f"{command[0]} cannot be started",
            why=error.strerror or str(error),
            remedy="Give a command that is on PATH, after `--`.",
        ) from error
