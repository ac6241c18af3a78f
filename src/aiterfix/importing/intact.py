"""Whether this package is whole; asked at every start under ``AITERFIX=require``, so it imports next to nothing."""

from __future__ import annotations

import os

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib is slow


def damage(package: str = _PACKAGE) -> str:
    """What is wrong with the package's files, as a clause; empty where nothing was found.

    An installed one is held to the sizes in its RECORD, which takes about a millisecond: a file changed in place that
    kept its size is found when it is imported. One without RECORD, such as an editable install, is imported whole.

    Args:
        package: its folder.
    """
    rows = _rows(package)
    if not rows:
        from aiterfix.faults import mend, verbs  # noqa: F401
        from aiterfix.history import known  # noqa: F401
        from aiterfix.importing import watching  # noqa: F401 - and all that it needs
        from aiterfix.importing.targets import targets
        from aiterfix.judge import verdict  # noqa: F401
        from aiterfix.source import sites  # noqa: F401

        targets()
        return ""
    site = os.path.dirname(package)  # noqa: PTH120
    for name, size in rows:
        try:
            found = os.stat(os.path.join(site, name)).st_size  # noqa: PTH116, PTH118
        except OSError as error:
            return f"aiterfix is damaged: {name}: {error.strerror}"
        if found != size:
            return f"aiterfix is damaged: {name} has {found} bytes instead of {size}"
    return ""


def _rows(package: str) -> list[tuple[str, int]]:
    """Name and size of every file of the package that the RECORD beside it lists."""
    site, name = os.path.split(package)
    for entry in os.listdir(site):  # noqa: PTH208
        if entry.startswith("aiterfix-") and entry.endswith(".dist-info"):
            try:
                with open(os.path.join(site, entry, "RECORD"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
                    lines = file.read().splitlines()
            except (OSError, ValueError):
                continue
            parts = [line.rsplit(",", 2) for line in lines if line.startswith(f"{name}/")]
            rows = [(part[0], int(part[2])) for part in parts if len(part) == 3 and part[2].isdecimal()]
            if rows:
                return rows
    return []
