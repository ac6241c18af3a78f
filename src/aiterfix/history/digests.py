"""Which releases hold a file, straight from the shipped facts: asked at every `check`, so without building objects."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from aiterfix.history.known import texts


def releases_of(sha256s: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Tags whose package holds a file of each digest, oldest first; digests of no tag are left out.

    Raises:
        OSError, ValueError: the shipped facts are missing or damaged.
    """
    data = _facts()
    found: dict[str, list[str]] = {}
    for entry in data["refs"]:
        for digest in sha256s.intersection(entry["files"].values()):
            found.setdefault(digest, []).append(entry["ref"])
    return {digest: tuple(refs) for digest, refs in found.items()}


def kernels_of_release(sha256: str) -> tuple[str, ...]:
    """Names of the kernels in a released file; empty where no tag has a file of this digest."""
    try:
        units = texts()["texts"].get(sha256, {}).get("units", ())
        return tuple(unit[0] for unit in units)
    except (OSError, ValueError, KeyError):
        return ()  # then it is of no release that is known, which asks for more columns, not fewer


@cache
def _facts() -> Any:
    return json.loads(Path(__file__).with_name("releases.json").read_bytes())
