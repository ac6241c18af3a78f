"""Which releases hold a file, straight from the shipped facts: asked at every `check`, so without building objects."""

from __future__ import annotations

import json
from pathlib import Path


def releases_of(sha256s: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Tags whose package holds a file of each digest, oldest first; digests of no tag are left out.

    Raises:
        OSError, ValueError: the shipped facts are missing or damaged.
    """
    data = json.loads((Path(__file__).parent / "history" / "releases.json").read_bytes())
    found: dict[str, list[str]] = {}
    for entry in data["refs"]:
        for digest in sha256s.intersection(entry["files"].values()):
            found.setdefault(digest, []).append(entry["ref"])
    return {digest: tuple(refs) for digest, refs in found.items()}
