"""What a search for ``aiter`` yields: installations, and what was passed over and why."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from aiterfix.storage.record import record


class Kind(str, Enum):
    """How a package folder came to be where it is."""

    WHEEL = "wheel"
    """Copied into place by an installer that left metadata (``.dist-info``, ``.egg-info`` or an egg)."""
    EDITABLE = "editable"
    """A source tree that an environment points to."""
    CHECKOUT = "checkout"
    """A source tree that was named or stands on the path itself."""
    TREE = "tree"
    """A package folder with neither metadata nor the build files of a source tree."""


@record(frozen=True)
class Installation:
    """One ``aiter`` package folder that holds AMD's kernel library."""

    package: Path
    """The package folder. Usually called ``aiter``; an editable finder may map another name."""
    root: Path
    """Its parent: the folder that makes ``import aiter`` find it."""
    kind: Kind
    distribution: str | None
    """Name of the distribution as its metadata spells it, for example ``amd-aiter``."""
    version: str | None
    """From the metadata, else from ``_version.py``."""
    commit: str | None
    """Hexadecimal, whole or abbreviated, as the source states it."""
    dist_info: Path | None
    """The ``*.dist-info`` folder; None for other metadata. An editable one lies outside ``root``."""
    found_by: str
    """How the search came to it, for people."""
    shadowed: bool
    """Whether ``import aiter`` takes something else in the same environment."""
    image_root: Path | None = None
    """Root of the file system image it belongs to: absolute links inside are relative to it."""


@record(frozen=True)
class Skipped:
    """Something that was looked at and is not reported as an installation, or could not be looked at."""

    path: Path
    reason: str
    doubt: bool
    """True where it might be AMD's ``aiter`` that could not be read: the verdict is then unknown."""


@record(frozen=True)
class Discovery:
    """Everything one search found, the package that ``import aiter`` would take first."""

    installations: tuple[Installation, ...]
    skipped: tuple[Skipped, ...]
    searched: tuple[Path, ...]
    """Folders whose contents were listed, in search order."""
    image_root: Path | None = None
    """Root of the image that was searched; None for this machine, or for several systems."""

    @property
    def doubts(self) -> tuple[Skipped, ...]:
        """What keeps the answer from being complete."""
        return tuple(item for item in self.skipped if item.doubt)
