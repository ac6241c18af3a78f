"""Where our state is kept, and whether there is any: asked at every `check`, so it costs a few calls of ``lstat``."""

from __future__ import annotations

import os
from pathlib import Path

IN_DIST_INFO = "aiterfix"
STAGING_SUFFIX = ".tmp"


def beside_tree(package: str) -> str:
    """Name of the state directory beside a package folder of this name."""
    return f".aiterfix-{package}"


def any_trace(root: Path, package: str, dist_info: Path | None) -> bool:
    """Whether any run of ours has left something; never wrongly False.

    Args:
        root: the folder that holds the package.
        package: the package folder's name.
        dist_info: the distribution's ``*.dist-info``, wherever it is.
    """
    directories = [root / beside_tree(package)]
    if dist_info is not None:
        directories.append(dist_info / IN_DIST_INFO)
    return any(os.path.lexists(f"{p}{suffix}") for p in directories for suffix in ("", STAGING_SUFFIX))
