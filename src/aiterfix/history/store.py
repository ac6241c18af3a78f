"""``releases.json`` and ``texts.json``: the facts on disk. Each distinct file is described once, under its digest."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiterfix.errors import NotUnderstoodError
from aiterfix.faults.base import Presence
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import GuardCounts
from aiterfix.history.known import launch
from aiterfix.history.record import (
    FileRecord,
    History,
    KernelRecord,
    Launcher,
    MendRecord,
    RefRecord,
    WrapperRecord,
)
from aiterfix.source.kernel_launch import KernelLaunch
from aiterfix.storage import codec
from aiterfix.storage.codec import StoredError
from aiterfix.storage.held import read_file

SCHEMA_VERSION = 3
REPOSITORY = "ROCm/aiter"
SHIPPED = Path(__file__).parent
RELEASES = "releases.json"
TEXTS = "texts.json"

_UNIT = ("kernel", "group", "line", "stores without bound, lower, upper, both", "presence by fault")
_LAUNCH = ("kernel", "entry", "line", "told", "refused", "asserted", "about", "refusable")


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
def load_history(folder: Path | None = None) -> History:
    """Read the facts; the package's own by default.

    Raises:
        HistoryFileError: a file cannot be read or is not what it should be.
    """
    folder = folder or SHIPPED
    releases, texts = _read(folder / RELEASES), _read(folder / TEXTS)
    path = folder / TEXTS
    try:
        faults = tuple(texts["faults"])
        kernels = {d: tuple(_kernel(u, faults) for u in t["units"]) for d, t in texts["texts"].items()}
        problems = {d: tuple(t.get("problems", ())) for d, t in texts["texts"].items()}
        path = folder / RELEASES
        packages = {}
        for name, package in releases["packages"].items():
            files = []
            for place, digest in package["files"].items():
                presence = package["presence"][digest]
                pairs = zip(kernels[digest], presence, strict=True)
                units = tuple(k.in_package(_words(words, faults)) for k, words in pairs)
                files.append(FileRecord(place, digest, True, units, problems[digest]))
            packages[name] = tuple(files), tuple(Launcher(*entry) for entry in package["wrappers"].items())
        refs, branches = (
            tuple(
                RefRecord(e["ref"], e["date"], e["commit"], files, tuple(e.get("doubts", ())), launchers)
                for e in releases[kind]
                for files, launchers in (packages[e["package"]],)
            )
            for kind in ("refs", "branches")
        )
        path = folder / TEXTS
        return History(
            releases["repository"],
            releases["newest"],
            faults,
            tuple(texts["kernels"]),
            refs,
            {digest: _mend(entry, faults) for digest, entry in texts["mends"].items()},
            tuple(WrapperRecord(*entry) for entry in texts["wrappers"]),
            branches,
            {digest: tuple(map(launch, entry)) for digest, entry in texts["launches"].items()},
        )
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
    return KernelRecord(name, group, line, GuardCounts(*counts), _words(words, faults), *obstacle)


def _words(words: Sequence[str], faults: Sequence[str]) -> dict[str, Presence]:
    return {f: Presence(w) for f, w in zip(faults, words, strict=True)}


def _mend(entry: dict[str, Any], faults: Sequence[str]) -> MendRecord:
    return MendRecord(
        entry["sha256"],
        tuple(p if isinstance(p, str) else (p[0], p[1]) for p in entry["parts"]),
        tuple((fault, tuple((name, line) for name, line in places)) for fault, places in entry["steps"]),
        tuple(_kernel(u, faults) for u in entry["units"]),
    )


def make_history(
    refs: Iterable[RefRecord], known: Faults, repository: str = REPOSITORY, branches: Iterable[RefRecord] = ()
) -> History:
    """A history of these tags and branches, in its own order. Files that no installation has are left out."""
    ordered = sorted((replace(r, files=r.shipped) for r in refs), key=lambda r: (r.when, r.ref))
    newest = ordered[-1].date if ordered else ""
    names = tuple(sorted(k.name for k in known.kernels))
    faults = tuple(f.id for f in known.judged)
    tips = tuple(replace(r, files=r.shipped) for r in branches)
    return History(repository, newest, faults, names, tuple(ordered), branches=tips)


def write_history(history: History, folder: Path) -> None:
    """Write both files.

    Raises:
        OSError: one cannot be written.
    """
    for name, text in ((RELEASES, dump_releases(history)), (TEXTS, dump_texts(history))):
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def dump_releases(history: History) -> str:
    """The text of ``releases.json``: which tag has which package. The same history gives the same text."""
    packages: dict[str, Any] = {}
    refs, branches = ([_ref(r, packages, history) for r in kind] for kind in (history.refs, history.branches))
    head = {"schema_version": SCHEMA_VERSION, "repository": history.repository, "newest": history.newest}
    return _lay_out(head, {"refs": refs, "branches": branches, "packages": dict(sorted(packages.items()))})


def _ref(ref: RefRecord, packages: dict[str, Any], history: History) -> dict[str, Any]:
    """The entry of a tag or branch; its package is added to those that are there, under a name made of its contents."""
    package = {
        "files": {f.path: f.sha256 for f in ref.files},
        "wrappers": {f.path: f.sha256 for f in ref.launchers},
        "presence": {f.sha256: [[k.presence[i].value for i in history.faults] for k in f.kernels] for f in ref.files},
    }
    name = hashlib.sha256(json.dumps(package, sort_keys=True).encode()).hexdigest()[:12]
    packages[name] = package
    entry = {"ref": ref.ref, "date": ref.date, "commit": ref.commit, "package": name}
    return {**entry, "doubts": list(ref.doubts)} if ref.doubts else entry


def dump_texts(history: History) -> str:
    """The text of ``texts.json``: what is in each distinct file. The same history gives the same text."""
    texts: dict[str, Any] = {}
    tagged = {f.sha256 for r in history.refs for f in r.files}
    for f in sorted((f for r in history.everything for f in r.files), key=lambda f: f.sha256):
        text: dict[str, Any] = {"units": [_unit(k, history.faults) for k in f.kernels]}
        if f.problems:
            text["problems"] = list(f.problems)
        if f.sha256 not in tagged:
            text["released"] = False
        texts[f.sha256] = text
    head = {
        "schema_version": SCHEMA_VERSION,
        "unit": _UNIT,
        "launch": _LAUNCH,
        "faults": history.faults,
        "kernels": history.kernels,
    }
    launches = {digest: [_launched(n) for n in found] for digest, found in sorted(history.launches.items())}
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
    return _lay_out(head, {"texts": texts, "mends": mends, "wrappers": wrappers, "launches": launches})


def _unit(kernel: KernelRecord, faults: Sequence[str]) -> list[Any]:
    words = [kernel.by_text[f].value for f in faults]
    unit = [kernel.kernel, kernel.group, kernel.line, list(kernel.counts.as_tuple()), words]
    return [*unit, kernel.obstacle] if kernel.obstacle else unit


def _launched(n: KernelLaunch) -> list[Any]:
    return [n.kernel, n.entry, n.line, n.told, n.refused, n.asserted, n.about, n.refusable]


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
