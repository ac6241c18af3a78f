"""Where this package keeps what it can make again, and how it writes a file whole. Standard library only."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def cache_directory() -> Path:
    """``AITERFIX_CACHE``, else ``aiterfix`` under the XDG cache directory."""
    stated = os.environ.get("AITERFIX_CACHE")
    if stated:
        return Path(stated)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # to be ignored unless absolute, says its specification
    return (base if base.is_absolute() else Path.home() / ".cache") / "aiterfix"


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file beside ``path`` and rename it over; ``path`` is the old file or the new one, never a part.

    Raises:
        OSError: the directory cannot be made or written to; ``path`` is as it was.
    """
    import tempfile  # milliseconds that reading does not need

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
