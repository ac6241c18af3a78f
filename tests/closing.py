"""Files and folders that cannot be opened, also for root, whom permission bits do not stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def close(monkeypatch: pytest.MonkeyPatch, *places: Path) -> None:
    """Have opening and listing these fail, by whatever name or descriptor they are reached."""
    closed = {os.path.normpath(p) for p in places}

    def refuse(path: Any, folder: int | None = None) -> None:
        if isinstance(path, int):
            place = Path(f"/proc/self/fd/{path}").readlink()
        elif folder is not None:
            place = Path(f"/proc/self/fd/{folder}").readlink() / path
        else:
            place = Path(path)
        if os.path.normpath(place) in closed:
            raise PermissionError(13, "Permission denied", str(place))

    real_open, real_scandir, real_listdir = os.open, os.scandir, os.listdir

    def opened(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if not flags & os.O_PATH:
            refuse(path, dir_fd)
        return real_open(path, flags, mode, dir_fd=dir_fd)

    def scanned(path: Any = ".") -> Any:
        refuse(path)
        return real_scandir(path)

    def listed(path: Any = ".") -> Any:
        refuse(path)
        return real_listdir(path)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "scandir", scanned)
    monkeypatch.setattr(os, "listdir", listed)
