"""The package of a commit, written into a temporary folder for the one judge: no checkout, no filter, no attribute."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiterfix.faults.registry import Faults
from aiterfix.installation.given_path import find_path
from aiterfix.installation.target import Installation
from aiterfix.source.search import needles
from aiterfix.upstream.gitrepo import Clone, Objects
from aiterfix.upstream.trees import PACKAGE, Forest


@dataclass(frozen=True)
class WrittenPackage:
    """What a commit has of the package.

    Attributes:
        installation: as the judge takes it; None where the commit has none of the kernels.
        prefix: of a path in the package, from the top of the tree.
        doubts: what keeps it from being whole.
    """

    installation: Installation | None
    prefix: str
    doubts: tuple[str, ...]


class Packages:
    """The packages of some commits of a clone. Each distinct file is read once.

    Args:
        commits: full names.
        faults: by whose kernels a package is known.
    """

    def __init__(self, clone: Clone, objects: Objects, commits: list[str], faults: Faults) -> None:
        self._forest = Forest(clone, objects, commits)
        read = list(objects.read(self._forest.blobs()))
        words = [w.encode() for w in needles(faults.kernels)]
        self._texts = {oid: blob.data for oid, blob in read if blob is not None}
        self._blobs = {oid for oid, _ in read}
        self._naming = {oid for oid, text in self._texts.items() if any(w in text for w in words)}

    @contextmanager
    def written(self, commit: str) -> Iterator[WrittenPackage]:
        """A commit's Python files of the package, in a folder that is gone afterwards."""
        found, doubts = self._forest.files(commit, self._blobs)
        homes = {_home(f.path) for f in found if f.oid in self._naming} - {None}
        if len(homes) > 1:
            doubts.append(f"there are {len(homes)} packages with these kernels: {', '.join(sorted(map(str, homes)))}")
        prefix = next(iter(sorted(str(h) for h in homes)), "")
        if not homes:
            yield WrittenPackage(None, prefix, tuple(doubts))
            return
        with tempfile.TemporaryDirectory(prefix="aiterfix-") as name:
            root = Path(name).resolve()
            for file in found:
                if _home(file.path) != prefix:
                    continue
                text = self._texts.get(file.oid)
                relative = file.path.removeprefix(prefix)
                if text is None:
                    doubts.append(f"{file.path} is not in this clone")
                elif not _plain(relative) or not _write(root / relative, text):
                    doubts.append(f"{file.path!r} is no name for a file")
            (root / PACKAGE / "__init__.py").touch()
            installations = find_path(root).installations
            if len(installations) != 1:
                doubts.append(f"{prefix}{PACKAGE} is not known as AMD's aiter")
            yield WrittenPackage(installations[0] if len(installations) == 1 else None, prefix, tuple(doubts))


def _home(path: str) -> str | None:
    """The folder that holds the package a file is of, with a slash at its end; None for a file of none."""
    parts = path.split("/")
    return "".join(f"{p}/" for p in parts[: parts.index(PACKAGE)]) if PACKAGE in parts[:-1] else None


def _plain(path: str) -> bool:
    return not any(part in ("", ".", "..") or "\0" in part for part in path.split("/"))


def _write(place: Path, text: bytes) -> bool:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            file.write(text)
    except (OSError, ValueError):
        return False
    return True
