"""Where this package keeps what it can make again, and how a file is written whole. Standard library only."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


def cache_directory() -> Path:
    """``AITERFIX_CACHE``, else ``aiterfix`` under the XDG cache directory."""
    stated = os.environ.get("AITERFIX_CACHE")
    if stated:
        return Path(stated)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # to be ignored unless absolute, says its specification
    return (base if base.is_absolute() else Path.home() / ".cache") / "aiterfix"


def write_whole(folder: int, name: str, data: bytes, *, mode: int) -> None:
    """Write a file whole, or not at all: beside its place, then renamed into it.

    Args:
        folder: descriptor of the folder that holds it.
        mode: its permissions, less the process's mask.

    Raises:
        OSError: it cannot be written; what stood there still does.
    """
    temporary = f".{name[:100]}.{os.urandom(8).hex()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise


def write_report(path: Path, data: bytes) -> None:
    """Write a file that a person named. Links lead where they lead; a device or pipe is written to as it is.

    Raises:
        OSError: it cannot be written; a file that stood there is as it was.
    """
    there = path.resolve()
    if there.exists() and not there.is_file():
        with there.open("wb") as stream:
            stream.write(data)
        return
    mode = stat.S_IMODE(there.stat().st_mode) if there.exists() else None
    folder = os.open(there.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write_whole(folder, there.name, data, mode=0o666)
        if mode is not None:
            os.chmod(there.name, mode, dir_fd=folder)
    finally:
        os.close(folder)
