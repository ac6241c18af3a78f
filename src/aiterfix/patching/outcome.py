"""What `apply`, `revert` and `recover` did."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Recovery(str, Enum):
    """What was done about a run that had been killed."""

    UNDONE = "undone"
    """An `apply` was taken back."""
    COMPLETED = "completed"
    """A `revert` was finished."""
    CLEANED = "cleaned"
    """Only leftovers were removed; no file of the package had been half changed."""


@dataclass(frozen=True)
class Applied:
    """What `apply` did, or with ``dry_run`` would do.

    Attributes:
        changed: files that were replaced; empty where there was nothing to do.
        state_dir: where journal and originals are; None if nothing was changed.
        recovered: what was done about an earlier run that had been killed.
        dry_run: whether this is only what would be done.
        notes: sentences on what went wrong without harm.
    """

    changed: tuple[Path, ...] = ()
    state_dir: Path | None = None
    recovered: Recovery | None = None
    dry_run: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reverted:
    """What `revert` did.

    Attributes:
        restored: files that hold their originals again; empty where there was nothing to do.
        skipped: files that were left alone, since the package is of another version now.
        recovered: what was done about an earlier run that had been killed.
    """

    restored: tuple[Path, ...] = ()
    skipped: tuple[Path, ...] = ()
    recovered: Recovery | None = None
