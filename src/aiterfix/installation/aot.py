"""Prebuilt code objects: kernels that run without their source, out of a source patch's reach.

``aiter``'s wrapper loads them from a folder of the package when an environment variable equals ``"1"``, exactly: it
compares the string, so ``true`` or ``01`` leave it off (same test in every release that has the variable). A fix names
folder and variable. The variable of this process says nothing about another's; both facts are reported as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from aiterfix.installation.target import Skipped
from aiterfix.installation.view import View, why
from aiterfix.storage.record import record

_CODE_OBJECTS = (".hsaco", ".co")
_MOST_FILES = 100_000  # where a link leads to the root of a file system, they would never end


@record(frozen=True)
class PrebuiltCodeObjects:
    """The folder of one fix's prebuilt code objects, and whether they are in use."""

    directory: Path
    code_objects: int
    """Number of code object files."""
    files: int
    """Number of files of any kind."""
    variable: str
    value: str | None
    """The variable's value in the environment asked, None where unset."""
    unreadable: tuple[Skipped, ...]

    @property
    def present(self) -> bool:
        """Whether anything is there, or may be: what cannot be listed counts."""
        return self.files > 0 or bool(self.unreadable)

    @property
    def enabled(self) -> bool:
        """Whether ``aiter`` would use them in this environment instead of the source."""
        return self.value == "1"


def find_prebuilt(
    package: Path,
    directory: str,
    variable: str,
    environment: Mapping[str, str] | None = None,
    view: View | None = None,
) -> PrebuiltCodeObjects:
    """Look for prebuilt code objects of a fix.

    Args:
        directory: as the fix gives it, relative to the package's parent: ``aiter/ops/...``.
        variable: the environment variable that switches them on.
        environment: default: this process's.
    """
    view = view or View()
    relative = PurePosixPath(directory)
    # An editable finder may map `aiter` to a folder of another name.
    home = package.joinpath(*relative.parts[1:]) if relative.parts[:1] == ("aiter",) else package.parent / relative
    unreadable: list[Skipped] = []
    files = code_objects = 0
    visited: set[tuple[int, int]] = set()
    pending = [home]
    while pending:
        folder = pending.pop()
        try:
            status = view.status(folder)
            # These are read by path: links count, wherever they lead, and a cycle must end.
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with view.scan(folder) as entries:
                for entry in entries:
                    place = folder / entry.name
                    if entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and view.is_folder(place)):
                        pending.append(place)
                    else:
                        files += 1
                        code_objects += entry.name.endswith(_CODE_OBJECTS)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            unreadable.append(Skipped(folder, why(error, "cannot be listed"), True))
        if files > _MOST_FILES:
            unreadable.append(Skipped(home, f"more than {_MOST_FILES} files: not all were counted", True))
            break
    value = (os.environ if environment is None else environment).get(variable)
    return PrebuiltCodeObjects(home, code_objects, files, variable, value, tuple(unreadable))
