"""What the extra ``validate`` has to bring, asked for before anything imports it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from aiterfix.errors import EnvironmentProblem, UsageError, install_line
from aiterfix.installation.forms import FORMS
from aiterfix.storage.children import Owner, owner_of


def require_emulator(command: str) -> None:
    """Say what the emulator lacks.

    Raises:
        EnvironmentProblem: Python is too old, or the extra is not installed.
    """
    if sys.version_info < (3, 11):
        raise EnvironmentProblem(
            f"{command} needs Python 3.11 or later, this is {sys.version.split()[0]}",
            why="its instruction decoder does",
            remedy="run it with a newer Python, and --path for the installation",
        )
    require_packages(command, ("numpy", "elftools", "tinygrad"))


def require_packages(command: str, names: Sequence[str]) -> None:
    """Say which of these packages are missing.

    Raises:
        EnvironmentProblem: one is not installed.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentProblem(
            f"{command} needs packages that are not installed: {', '.join(missing)}",
            remedy=install_line("validate"),
        )


def run_as(note: Callable[[str], None], *files: Path | None) -> Owner | None:
    """With whose rights the top level of kernel files is run: root takes those of the user to whom they belong.

    Args:
        note: told, before it happens, that it is about to.
        files: where the kernel files stand.

    Raises:
        UsageError: they stand in an archive, which belongs to nobody that could be asked.
        EnvironmentProblem: a file is gone.
    """
    named = [file for file in files if file is not None]
    archive = next((root for root in FORMS if any(file.is_relative_to(root) for file in named)), None)
    if archive is not None:
        raise UsageError(
            f"{archive}: kernels in an archive are judged and not run",
            remedy="Unpack it (a wheel: python -m zipfile -e FILE FOLDER) and give the folder with --path or --root.",
        )
    try:
        owner = owner_of(*named)
    except OSError as error:
        raise EnvironmentProblem(f"{error.filename} cannot be looked at", why=error.strerror or str(error)) from error
    rights = f"the rights of {owner.name}, to whom it belongs" if owner is not None else "your rights"
    note(f"aiterfix: runs the top level of {', '.join(map(str, named))} in a process of its own, with {rights}")
    return owner
