"""``releases.json`` and ``texts.json``: the facts on disk. Each distinct file is described once, under its digest."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiterfix.errors import NotUnderstoodError
from aiterfix.faults.base import Presence
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import GuardCounts
from aiterfix.history.record import FileRecord, History, KernelRecord, MendRecord, RefRecord, WrapperRecord
from aiterfix.storage import codec
from aiterfix.storage.codec import StoredError
from aiterfix.storage.held import read_file

SCHEMA_VERSION = 2
REPOSITORY = "ROCm/aiter"
SHIPPED = Path(__file__).parent
RELEASES = "releases.json"
TEXTS = "texts.json"

_UNIT = ("kernel", "group", "line", "stores without bound, lower, upper, both", "presence by fault")


class HistoryFileError(NotUnderstoodError):
    """The file of released facts is missing or damaged."""

    code = "history-file"

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(
            f"{path}: {problem}",
            why="It is part of the package and does not change after installation.",
            remedy="Reinstall aiterfix, or write it afresh with `aiterfix upstream scan --write-history DIR`.",
        )


@functools.lru_cache(maxsize=4)
def load_history(folder: Path = SHIPPED) -> History:
    """Read the facts.

    Raises:
        HistoryFileError: a file cannot be read or is not what it should be.
    """
    releases, texts = _read(folder / RELEASES), _read(folder / TEXTS)
    path = folder / TEXTS
    try:
        faults = tuple(texts["faults"])
        kernels = {d: tuple(_kernel(u, faults) for u in t["units"]) for d, t in texts["texts"].items()}
        problems = {d: tuple(t.get("problems", ())) for d, t in texts["texts"].items()}
        path = folder / RELEASES
        refs = []
        for entry in releases["refs"]:
            files = tuple(FileRecord(p, d, True, kernels[d], problems[d]) for p, d in entry["files"].items())
            refs.append(RefRecord(entry["ref"], entry["date"], entry["commit"], files, tuple(entry.get("doubts", ()))))
        mends = {digest: _mend(entry, faults) for digest, entry in texts["mends"].items()}
        wrappers = tuple(WrapperRecord(*entry) for entry in texts["wrappers"])
        names = tuple(texts["kernels"])
        return History(releases["repository"], releases["newest"], faults, names, tuple(refs), mends, wrappers)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise HistoryFileError(path, f"is damaged: {type(error).__name__}: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        data = codec.parse(read_file(path), path)
    except OSError as error:
        raise HistoryFileError(path, f"cannot be read: {error.strerror or error}") from error
    except StoredError as error:
        raise HistoryFileError(path, error.detail) from error
    if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
        raise HistoryFileError(path, f"is not of schema version {SCHEMA_VERSION}")
    return data


def _kernel(unit: Sequence[Any], faults: Sequence[str]) -> KernelRecord:
    name, group, line, counts, words, *obstacle = unit
    presence = {f: Presence(w) for f, w in zip(faults, words, strict=True)}
    return KernelRecord(name, group, line, GuardCounts(*counts), presence, *obstacle)


def _mend(entry: dict[str, Any], faults: Sequence[str]) -> MendRecord:
    return MendRecord(
        entry["sha256"],
        tuple(p if isinstance(p, str) else (p[0], p[1]) for p in entry["parts"]),
        tuple((fault, tuple((name, line) for name, line in places)) for fault, places in entry["steps"]),
        tuple(_kernel(u, faults) for u in entry["units"]),
    )


def make_history(refs: Iterable[RefRecord], known: Faults, repository: str = REPOSITORY) -> History:
    """A history of these references, in its own order. Files that no installation has are left out."""
    ordered = sorted((replace(r, files=r.shipped) for r in refs), key=lambda r: (r.when, r.ref))
    newest = ordered[-1].date if ordered else ""
    names = tuple(sorted(k.name for k in known.kernels))
    return History(repository, newest, tuple(f.id for f in known.judged), names, tuple(ordered))


def write_history(history: History, folder: Path) -> None:
    """Write both files.

    Raises:
        OSError: one cannot be written.
    """
    for name, text in ((RELEASES, dump_releases(history)), (TEXTS, dump_texts(history))):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def dump_releases(history: History) -> str:
    """The text of ``releases.json``: which tag has which files. The same history gives the same text."""
    refs: list[Any] = []
    for ref in history.refs:
        entry: dict[str, Any] = {"ref": ref.ref, "date": ref.date, "commit": ref.commit}
        entry["files"] = {f.path: f.sha256 for f in ref.files}
        refs.append({**entry, "doubts": list(ref.doubts)} if ref.doubts else entry)
    head = {"schema_version": SCHEMA_VERSION, "repository": history.repository, "newest": history.newest}
    return _lay_out(head, {"refs": refs})


def dump_texts(history: History) -> str:
    """The text of ``texts.json``: what is in each distinct file. The same history gives the same text."""
    texts: dict[str, Any] = {}
    for f in sorted((f for r in history.refs for f in r.files), key=lambda f: f.sha256):
        text = {"units": [_unit(k, history.faults) for k in f.kernels]}
        texts[f.sha256] = {**text, "problems": list(f.problems)} if f.problems else text
    head = {"schema_version": SCHEMA_VERSION, "unit": _UNIT, "faults": history.faults, "kernels": history.kernels}
    mends = {
        digest: {
            "sha256": m.sha256,
            "parts": m.parts,
            "steps": m.steps,
            "units": [_unit(k, history.faults) for k in m.kernels],
        }
        for digest, m in sorted(history.mends.items())
    }
    wrappers = [[w.sources, w.others, w.modules] for w in history.wrappers]
    return _lay_out(head, {"texts": texts, "mends": mends, "wrappers": wrappers})


def _unit(kernel: KernelRecord, faults: Sequence[str]) -> list[Any]:
    words = [kernel.presence[f].value for f in faults]
    unit = [kernel.kernel, kernel.group, kernel.line, list(kernel.counts.as_tuple()), words]
    return [*unit, kernel.obstacle] if kernel.obstacle else unit


def _lay_out(head: dict[str, Any], tables: dict[str, Any]) -> str:
    """One line an entry: a regenerated file then differs from the old one by the lines of what is new, and
    `aiterfix.history.known` reads the lines that it needs."""
    parts = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, table in tables.items():
        rows = (f"{json.dumps(k)}: {json.dumps(v)}" for k, v in table.items()) if isinstance(table, dict) else (
            json.dumps(v) for v in table
        )  # fmt: skip
        opened, closed = "{}" if isinstance(table, dict) else "[]"
        lines = ",\n".join(f"    {row}" for row in rows)
        parts.append(f"  {json.dumps(key)}: {opened}\n{lines}\n  {closed}" if lines else f'  "{key}": {opened}{closed}')
    return "{\n" + ",\n".join(parts) + "\n}\n"
