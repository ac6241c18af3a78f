"""``releases.json``: the facts on disk. Each distinct file is written once, under its digest."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiterfix.errors import NotUnderstoodError
from aiterfix.history.record import FileRecord, GuardCounts, History, KernelRecord, RefRecord
from aiterfix.verdict import Verdict

SCHEMA_VERSION = 1
REPOSITORY = "ROCm/aiter"
SHIPPED = Path(__file__).with_name("releases.json")


class HistoryFileError(NotUnderstoodError):
    """The file of released facts is missing or damaged."""

    code = "history-file"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path}: {problem}",
            why="It is part of the package and does not change after installation.",
            remedy="Reinstall aiterfix, or write it afresh with `aiterfix upstream scan --write-history FILE`.",
        )


@functools.lru_cache(maxsize=4)
def load_history(path: Path = SHIPPED) -> History:
    """Read the facts.

    Raises:
        HistoryFileError: it cannot be read or is not what it should be.
    """
    import json

    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise HistoryFileError(path, f"cannot be read: {error}") from error
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise HistoryFileError(path, f"is not of schema version {SCHEMA_VERSION}")
    try:
        return _history(data)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HistoryFileError(path, f"is damaged: {type(error).__name__}: {error}") from error


def _history(data: dict[str, Any]) -> History:
    kernels: dict[str, tuple[KernelRecord, ...]] = {}
    problems: dict[str, tuple[str, ...]] = {}
    for digest, body in data["files"].items():
        kernels[digest] = tuple(
            KernelRecord(name, k["fix"], GuardCounts(*k["sites"]), Verdict(k["verdict"]))
            for name, k in body["kernels"].items()
        )
        problems[digest] = tuple(body.get("problems", ()))
    refs = []
    for entry in data["refs"]:
        files = tuple(
            FileRecord(path, digest, True, kernels[digest], problems[digest]) for path, digest in entry["files"].items()
        )
        refs.append(RefRecord(entry["ref"], entry["date"], entry["commit"], files, tuple(entry.get("doubts", ()))))
    return History(data["repository"], data["newest"], tuple(refs))


def make_history(refs: Iterable[RefRecord], repository: str = REPOSITORY) -> History:
    """A history of these references, in its own order. Files that no installation has are left out."""
    ordered = sorted((replace(r, files=r.shipped) for r in refs), key=lambda r: (r.when, r.ref))
    return History(repository, ordered[-1].date if ordered else "", tuple(ordered))


def dump_history(history: History) -> str:
    """The text of the file; the same history gives the same text."""
    import json

    files: dict[str, Any] = {}
    refs: list[dict[str, Any]] = []
    for ref in history.refs:
        entry: dict[str, Any] = {
            "ref": ref.ref,
            "date": ref.date,
            "commit": ref.commit,
            "files": {f.path: f.sha256 for f in ref.files},
        }
        if ref.doubts:
            entry["doubts"] = list(ref.doubts)
        refs.append(entry)
        for f in ref.files:
            body: dict[str, Any] = {
                "kernels": {
                    k.kernel: {"fix": k.fix, "sites": list(k.counts.as_tuple()), "verdict": k.verdict.value}
                    for k in f.kernels
                }
            }
            if f.problems:
                body["problems"] = list(f.problems)
            files[f.sha256] = body
    head = {
        "schema_version": SCHEMA_VERSION,
        "repository": history.repository,
        "newest": history.newest,
        "guards": ["none", "lower", "upper", "both"],
    }
    # One line an entry: a regenerated file then differs from the old one by the lines of what is new.
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    lines.append('  "files": {')
    lines.append(",\n".join(f"    {json.dumps(d)}: {json.dumps(files[d])}" for d in sorted(files)))
    lines.append('  },\n  "refs": [')
    lines.append(",\n".join(f"    {json.dumps(entry)}" for entry in refs))
    lines.append("  ]")
    return "{\n" + "\n".join(lines) + "\n}\n"
