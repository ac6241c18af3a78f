"""Which tags have which fault, judged by the source in them: never by ancestry, never by a pull request's state."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from aiterfix.errors import UsageError
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.registry import Faults
from aiterfix.history.bounds import Bounds, bounds_of
from aiterfix.history.record import FileRecord, Launcher, RefRecord
from aiterfix.judge.disk import settled
from aiterfix.judge.judgement import JudgedText
from aiterfix.judge.refusals import NamedLaunch, launches_in
from aiterfix.source.search import needles
from aiterfix.storage.text import printable
from aiterfix.upstream.gitrepo import Clone, Objects, Tag
from aiterfix.upstream.trees import Forest, SourceFile, in_package


@dataclass(frozen=True)
class ScanResult:
    """What a scan found.

    Attributes:
        refs: every reference asked about, by date, then name.
        shallow: whether the clone lacks older commits: what is first here may not be first upstream.
        partial: whether it was cloned with a filter: files may be missing.
        skipped: tags that name no commit.
        sources: how many distinct Python files were searched.
        analysed: how many distinct ones were analysed.
    """

    refs: tuple[RefRecord, ...]
    faults: Faults
    shallow: bool
    partial: bool
    skipped: tuple[str, ...]
    sources: int
    analysed: int

    @property
    def bounds(self) -> tuple[Bounds, ...]:
        """Store bounds, one a code path."""
        return bounds_of(self.faults)


def scan(
    clone: Clone,
    faults: Faults,
    revisions: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> ScanResult:
    """Judge every tag, or some revisions.

    Args:
        revisions: tags, shell patterns over tags, or anything that names a commit; every tag without any.

    Raises:
        UsageError: a revision names nothing.
        CloneError: git failed.
    """
    wanted, skipped = _references(clone, revisions)
    progress(f"{len(wanted)} reference{'' if len(wanted) == 1 else 's'}")
    with clone.objects() as objects:
        forest = Forest(clone, objects, (t.commit for t in wanted))
        blobs = forest.blobs()
        progress(f"{len(blobs)} distinct Python files")
        judged, missing = _judge_blobs(objects, blobs, faults)
    packages = _Packages(judged, faults)
    records = [_record(tag, forest, packages, missing) for tag in wanted]
    records.sort(key=lambda r: (r.when, r.ref))
    analysed = sum(bool(t.diagnosis.units or t.diagnosis.problems) for t in judged.values())
    return ScanResult(tuple(records), faults, clone.shallow, clone.partial, tuple(skipped), len(blobs), analysed)


MAIN = ("refs/remotes/origin/main", "refs/heads/main")
"""Where a clone has upstream's main branch."""


def main_of(clone: Clone, faults: Faults) -> tuple[RefRecord, ...]:
    """The branch that releases are made from, judged; nothing where a clone has none of its name."""
    branch = next((b for b in MAIN if clone.resolve(b)), None)
    return tuple(replace(r, ref="main") for r in scan(clone, faults, [branch]).refs) if branch else ()


def _references(clone: Clone, revisions: Sequence[str]) -> tuple[list[Tag], list[str]]:
    tags = clone.tags()
    skipped = [t.name for t in tags if not t.commit]
    usable = {t.name: t for t in tags if t.commit}
    if not revisions:
        if not usable:
            raise UsageError(
                f"{clone.path} has no tags", remedy="Fetch them with `git fetch --tags`, or name revisions with --refs."
            )
        return list(usable.values()), skipped
    wanted: dict[str, Tag] = {}
    for revision in revisions:
        name = revision.removeprefix("refs/tags/")
        if name in usable:
            wanted[name] = usable[name]
            continue
        matches = fnmatch.filter(usable, name) if any(c in name for c in "*?[") else []
        if matches:
            wanted.update((m, usable[m]) for m in matches)
            continue
        commit = clone.resolve(revision)
        if commit is None:
            raise UsageError(
                f"{revision!r} names no commit in {clone.path}",
                remedy="Give a tag, a shell pattern over tags, a branch or a commit; fetch first if it is new.",
            )
        wanted[revision] = Tag(revision, commit, clone.commit_date(commit))
    return list(wanted.values()), []


def _judge_blobs(objects: Objects, blobs: Iterable[str], faults: Faults) -> tuple[dict[str, JudgedText], set[str]]:
    """Each distinct file that names a declared kernel, judged by its own text, its paths left open."""
    words = [w.encode() for w in shortest(needles(faults.kernels))]
    judged: dict[str, JudgedText] = {}
    missing: set[str] = set()
    for oid, blob in objects.read(blobs):
        if blob is None:
            missing.add(oid)
        elif any(w in blob.data for w in words):
            diagnosis = diagnose(blob.data, faults.judged)
            judged[oid] = JudgedText("", "", blob.data, diagnosis, diagnosis.sha256)
    return judged, missing


def shortest(words: Sequence[str]) -> list[str]:
    """The words that no other word is part of: a file that has a longer one has one of these."""
    return [w for w in words if not any(o in w for o in words if o != w)]


class _Packages:
    """Files of packages as `check` would judge them there; each distinct text and package once.

    Args:
        judged: every distinct file that names a kernel, judged by its own text.
    """

    def __init__(self, judged: dict[str, JudgedText], faults: Faults) -> None:
        self.judged = judged
        self._faults = faults
        self._trees = {t.text: t.diagnosis.analysis.tree for t in judged.values() if t.diagnosis.analysis is not None}
        self._launches: dict[bytes, tuple[NamedLaunch, ...]] = {}
        self._alone: dict[str, FileRecord] = {}
        self._settled: dict[tuple[SourceFile, ...], tuple[dict[str, FileRecord], tuple[Launcher, ...]]] = {}

    def files(self, found: Iterable[SourceFile]) -> tuple[tuple[FileRecord, ...], tuple[Launcher, ...]]:
        """The files with kernels, or doubts about some, and the wrappers of one tree."""
        here = [f for f in found if f.oid in self.judged]
        settled, launchers = self._package(tuple(f for f in here if in_package(f.path)))
        files = (settled.get(f.path) or self._by_itself(f) for f in here)
        return tuple(f for f in files if f.kernels or f.problems), launchers

    def _package(self, files: tuple[SourceFile, ...]) -> tuple[dict[str, FileRecord], tuple[Launcher, ...]]:
        if files not in self._settled:
            texts = [replace(self.judged[f.oid], where=f.path, relative=f.path) for f in files]
            kernels, launchers = settled(texts, self._faults, self._launches_of)
            records = {f.path: replace(self._by_itself(f), in_package=True) for f in files}
            self._settled[files] = (
                {t.relative: records[t.relative].beside(t.diagnosis.units, self._faults.judged) for t in kernels},
                tuple(
                    Launcher(_shown(t.relative), t.sha256)
                    for t in launchers
                    if not t.diagnosis.problems and self._launches_of(t.relative, t.text)
                ),
            )
        return self._settled[files]

    def _by_itself(self, file: SourceFile) -> FileRecord:
        if file.oid not in self._alone:
            self._alone[file.oid] = FileRecord.of("", False, self.judged[file.oid].diagnosis, self._faults.judged)
        return replace(self._alone[file.oid], path=_shown(file.path))

    def _launches_of(self, where: str, text: bytes) -> tuple[NamedLaunch, ...]:
        if text not in self._launches:
            self._launches[text] = launches_in(where, text, self._trees.get(text))
        return self._launches[text]


def _record(tag: Tag, forest: Forest, packages: _Packages, missing: set[str]) -> RefRecord:
    found, doubts = forest.files(tag.commit, packages.judged.keys() | missing)
    absent = [f for f in found if f.oid in missing and in_package(f.path)]
    if absent:
        doubts.append(
            f"{len(absent)} Python files of the package are not in this clone, {_shown(absent[0].path)} first"
        )
    files, launchers = packages.files(found)
    return RefRecord(tag.name, tag.date, tag.commit, files, tuple(doubts), launchers)


def _shown(path: str) -> str:
    """A path as text: bytes that are not UTF-8, and control characters, as escapes."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return printable(text)
