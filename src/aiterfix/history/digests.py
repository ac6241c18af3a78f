"""Which releases hold a file, straight from the shipped facts: asked at every `check`, so without building objects."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from aiterfix.history.known import DAMAGED, facts_in, texts


def releases_of(sha256s: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Tags whose package holds a file of each digest, oldest first; digests of no tag are left out.

    Raises:
        OSError, ValueError: the shipped facts are missing or damaged.
    """
    found: dict[str, list[str]] = {}
    try:
        packages = _facts()["packages"]
        for entry in _facts()["refs"]:
            for digest in sha256s.intersection(packages[entry["package"]]["files"].values()):
                found.setdefault(digest, []).append(entry["ref"])
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return {digest: tuple(refs) for digest, refs in found.items()}


@lru_cache(maxsize=64)
def kernels_of_release(sha256: str) -> tuple[str, ...]:
    """Names of the kernels in a released file; empty where no tag has a file of this digest."""
    try:
        text = texts(sha256)["texts"].get(sha256, {})
        return tuple(unit[0] for unit in text["units"]) if text.get("released", True) else ()
    except DAMAGED:
        return ()  # then it is of no release that is known, which asks for more columns, not fewer


@cache
def _facts() -> Any:
    return facts_in("releases.json")
