"""Where records of runs are kept. Apart from `evidence`, which reads them: what every process with the hook loads."""

from __future__ import annotations

import json
from pathlib import Path

from aiterfix.storage.files import cache_directory
from aiterfix.storage.held import read_file

NAME = "evidence.jsonl"
"""Of a store's file."""
LARGEST = 1 << 26
"""Bytes of a file; a record is some hundreds."""


def shipped_folder() -> Path:
    """The package's own records: inside it when installed, else in the checkout."""
    packaged = Path(__file__).parents[1] / "_data" / "evidence"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "evidence"


def evidence_folders() -> tuple[Path, ...]:
    """Where stores are looked for: the package's own, and the user's."""
    return (shipped_folder(), user_folder())


def user_folder() -> Path:
    """Where a user's own runs are kept: beside the compiled kernels."""
    return cache_directory() / "evidence"


def may_forbid(text_sha256: str) -> bool:
    """Whether a record of a text, read without care, is of a run that failed after a mend. Never wrongly False."""
    digest = text_sha256.encode()
    for folder in evidence_folders():
        try:
            lines = read_file(folder / NAME, most=LARGEST).split(b"\n")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return True
        if any(digest in line and _may_forbid(line) for line in lines):
            return True
    return False


def _may_forbid(line: bytes) -> bool:
    try:
        said = json.loads(line)
        failed = {fault for fault, outcome in said["faults"] if outcome == "failed"}
        return bool(said["mends"] != [] and (said["failed"] != 0 or not failed.isdisjoint(said["mends"])))
    except (ValueError, LookupError, TypeError, RecursionError):
        return True
