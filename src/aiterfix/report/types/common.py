"""Kinds of values, and parts that several commands report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from aiterfix.installation.target import Installation, Kind, Skipped
from aiterfix.report.document import Limits
from aiterfix.storage.record import record

# What stands beside a type goes into the schema.
Count = Annotated[int, Limits(minimum=0)]
Positive = Annotated[int, Limits(minimum=1)]
Sha256 = Annotated[str, Limits(pattern="^[0-9a-f]{64}$")]
Commit = Annotated[str, Limits(pattern="^[0-9a-f]{40}([0-9a-f]{24})?$")]
NoCommit = Annotated[str, Limits(pattern="^([0-9a-f]{40}([0-9a-f]{24})?)?$")]
"""A commit, or empty."""

__all__ = ["Commit", "Count", "Lengths", "Located", "NoCommit", "Positive", "Sha256", "Skipped", "located"]


@record(frozen=True)
class Located:
    """Where and what an installation is.

    Attributes:
        package: the package folder.
        found_by: how the search came to it, for people.
        shadowed: whether `import aiter` takes another one.
    """

    package: Path
    kind: Kind
    distribution: str | None
    version: str | None
    commit: str | None
    dist_info: Path | None
    found_by: str
    shadowed: bool


def located(installation: Installation) -> Mapping[str, Any]:
    """The values of `Located`, for what is reported of an installation beside them."""
    return {f.name: getattr(installation, f.name) for f in fields(Located)}


@record(frozen=True)
class Lengths:
    """Values of `--max-model-len` that need no more padding than there is.

    Attributes:
        step: every multiple of it is safe.
        below: the largest safe one not above the wanted one.
        above: the smallest safe one not below the wanted one.
    """

    step: Positive
    below: Positive | None
    above: Positive | None
