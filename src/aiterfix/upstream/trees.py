"""Every Python file of many commits, each distinct folder and file read once.

Releases share most of their folders: 182 tags of the real repository have some 420,000 files between them, and 6,500
distinct Python files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from aiterfix.upstream.gitrepo import Clone, Objects, TreeEntry, tree_entries, tree_of

PACKAGE = "aiter"
_FOLDER = b"40000"
_SUBMODULE = b"160000"
_LINK = b"120000"


@dataclass(frozen=True)
class _Folder:
    """What matters of one tree object: subfolders and Python files by name, and what cannot be looked into."""

    folders: tuple[tuple[str, str], ...]
    sources: tuple[tuple[str, str], ...]
    opaque: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SourceFile:
    """A Python file of a commit."""

    path: str
    oid: str


class Forest:
    """The trees of some commits.

    Args:
        commits: full names.
    """

    def __init__(self, clone: Clone, objects: Objects, commits: Iterable[str]) -> None:
        self.clone = clone
        self.missing_commits: set[str] = set()
        self._roots: dict[str, str] = {}
        self._folders: dict[str, _Folder | None] = {}
        for oid, commit in list(objects.read(dict.fromkeys(commits))):
            if commit is None or commit.kind != "commit":
                self.missing_commits.add(oid)
            else:
                self._roots[oid] = tree_of(commit)
        frontier = list(dict.fromkeys(self._roots.values()))
        while frontier:
            below: dict[str, None] = {}
            for oid, tree in list(objects.read(frontier)):
                if tree is None or tree.kind != "tree":
                    self._folders[oid] = None
                    continue
                folder = _read_folder(tree_entries(tree))
                self._folders[oid] = folder
                below.update(dict.fromkeys(child for _, child in folder.folders))
            frontier = [oid for oid in below if oid not in self._folders]

    def blobs(self) -> list[str]:
        """Every distinct Python file."""
        return list(dict.fromkeys(oid for f in self._folders.values() if f is not None for _, oid in f.sources))

    def files(self, commit: str, wanted: set[str]) -> tuple[list[SourceFile], list[str]]:
        """The files of a commit whose contents are in ``wanted``, and what could not be looked into, as sentences."""
        found: list[SourceFile] = []
        doubts: list[str] = []
        if commit in self.missing_commits:
            return found, [f"commit {commit[:12]} is not in this clone"]
        pending = [("", self._roots[commit])]
        while pending:
            prefix, oid = pending.pop()
            folder = self._folders[oid]
            if folder is None:
                if _may_hold_package(prefix):
                    doubts.append(f"folder {prefix or '/'} is not in this clone")
                continue
            found += [SourceFile(prefix + name, blob) for name, blob in folder.sources if blob in wanted]
            if in_package(prefix):
                doubts += [f"{prefix}{name} is {what}" for name, what in folder.opaque]
            pending += [(f"{prefix}{name}/", child) for name, child in folder.folders]
        return sorted(found, key=lambda f: f.path), sorted(doubts)


def in_package(path: str) -> bool:
    """Whether a path lies in the package that is installed, wherever a release keeps it."""
    return PACKAGE in path.split("/")[:-1]


def _may_hold_package(prefix: str) -> bool:
    return prefix == "" or in_package(prefix)


def _read_folder(entries: Iterator[TreeEntry]) -> _Folder:
    folders: list[tuple[str, str]] = []
    sources: list[tuple[str, str]] = []
    opaque: list[tuple[str, str]] = []
    for entry in entries:
        mode, name, oid = entry.mode, os.fsdecode(entry.name), entry.oid
        if mode == _FOLDER:
            folders.append((name, oid))
        elif mode == _SUBMODULE:
            opaque.append((name, "a submodule"))
        elif name.endswith(".py"):
            if mode == _LINK:
                opaque.append((name, "a symbolic link"))
            else:
                sources.append((name, oid))
    return _Folder(tuple(folders), tuple(sources), tuple(opaque))
