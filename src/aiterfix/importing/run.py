"""``aiterfix run``: a start-up directory on the child's PYTHONPATH, inherited by its own children."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from aiterfix.errors import EnvironmentProblem
from aiterfix.importing.settings import MODE_VARIABLE, Mode

DIRECTORY = Path(__file__).parent / "run_directory"
"""Holds ``sitecustomize.py`` and nothing else, since everything in it becomes importable."""


def child_environment(environment: Mapping[str, str], mode: Mode | None) -> dict[str, str]:
    """The environment of the command.

    Args:
        mode: from the command line; None leaves ``AITERFIX`` as it is.
    """
    # A misspelt `AITERFIX` is handed down as it is: what the hook does about it is the same by every way in.
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
        EnvironmentProblem: the command cannot be started.
    """
    environment = child_environment(os.environ, mode)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    try:
        os.execvpe(command[0], list(command), environment)
    except OSError as error:
        raise EnvironmentProblem(
            f"{command[0]} cannot be started",
            why=error.strerror or str(error),
            remedy="Give a command that is on PATH, after `--`.",
        ) from error
