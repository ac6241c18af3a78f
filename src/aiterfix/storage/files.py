"""Where this package keeps what it can make again. Standard library only."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """``AITERFIX_CACHE``, else ``aiterfix`` under the XDG cache directory."""
    stated = os.environ.get("AITERFIX_CACHE")
    if stated:
        return Path(stated)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # to be ignored unless absolute, says its specification
    return (base if base.is_absolute() else Path.home() / ".cache") / "aiterfix"
