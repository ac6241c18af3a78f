"""Which files and folders are archives that can be read like an installation, by their first bytes. Loads nothing."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.storage.held import open_file

GZIP, ZSTD, ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK"


class Form(str, Enum):
    """What kind of archive it is."""

    WHEEL = "wheel"
    IMAGE = "image"


FORMS: dict[Path, Form] = {}
"""Archives that are mounted as roots of images; see `archives.mount`."""


def form_of(path: Path) -> Form | None:
    """Whether a file or folder is a wheel or an image, by its first bytes; None for anything else. Cheap.

    Raises:
        UsageError: it is an archive of another kind; the remedy says what to do with it.
        EnvironmentProblem: it cannot be read.
    """
    if os.path.isdir(path):  # noqa: PTH112 - no exception for a name that is too long
        layout = path / "oci-layout"
        return Form.IMAGE if os.path.isfile(layout) and os.path.isfile(path / "index.json") else None  # noqa: PTH113
    if not os.path.isfile(path):  # noqa: PTH113
        return None
    descriptor = opened(path)
    try:
        start = os.read(descriptor, 512)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read", why=error.strerror or str(error)) from error
    finally:
        os.close(descriptor)
    if path.suffix == ".whl":
        return Form.WHEEL
    if path.suffix == ".tar" or start[257:262] == b"ustar":
        return Form.IMAGE
    if start.startswith((GZIP, ZSTD)):
        raise UsageError(
            f"{path} is a compressed archive, of which single files cannot be read",
            remedy="An image that was compressed as a whole: decompress it (gzip -d, zstd -d); its layers may stay "
            "compressed. A source distribution: unpack it and name its folder, or name a wheel that was built from it.",
        )
    if start.startswith(ZIP):
        raise UsageError(
            f"{path} is a zip archive and by its name no wheel",
            remedy="Name a wheel (.whl), or unpack the archive and name the folder.",
        )
    return None


def opened(path: Path) -> int:
    """Open an archive.

    Raises:
        EnvironmentProblem: it cannot be read.
    """
    try:
        return open_file(path)
    except OSError as error:
        raise EnvironmentProblem(f"{path} cannot be read", why=error.strerror or str(error)) from error
