"""Real kernel sources, read from a clone of ROCm/aiter that ``AITERFIX_AITER_REPO`` names."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import pytest

from aiterfix.family.kernels import GLUON

WRAPPERS = tuple(f"{module.replace('.', '/')}.py" for module in GLUON.wrappers)


@dataclass(frozen=True)
class Clone:
    """A clone, read with git's plumbing only.

    Attributes:
        path: of its git directory.
        tags: which of its tags count.
    """

    path: str
    tags: str = "v0.*"

    def git(self, *words: str, data: bytes | None = None) -> bytes:
        return subprocess.run(["git", "-C", self.path, *words], input=data, capture_output=True, check=True).stdout

    @lru_cache(maxsize=1)  # noqa: B019 - one clone lives as long as the test run
    def refs(self) -> tuple[str, ...]:
        """Every such tag, and the newest commit."""
        return (*self.git("tag", "--list", self.tags).decode().split(), "HEAD")

    @lru_cache(maxsize=1)  # noqa: B019
    def kernel_files(self) -> dict[tuple[str, str], str]:
        """(ref, path) -> blob of every Python file of the package that names a kernel."""
        found = {}
        for ref in self.refs():
            listed = subprocess.run(
                [
                    "git",
                    "-C",
                    self.path,
                    "grep",
                    "-l",
                    "-e",
                    "def _\\(gluon_\\)\\?deepgemm_fp8_paged_mqa_logits",
                    ref,
                    "--",
                    "aiter/*.py",
                ],
                capture_output=True,
                check=False,
            ).stdout.decode()
            for line in listed.split():
                path = line.split(":", 1)[1]
                found[ref, path] = self.git("rev-parse", f"{ref}:{path}").decode().strip()
        return found

    @lru_cache(maxsize=1)  # noqa: B019
    def wrappers(self) -> dict[tuple[str, str], str]:
        """(ref, path) -> blob of every module whose functions launch kernels."""
        found = {}
        for ref in self.refs():
            for path in WRAPPERS:
                listed = self.git("ls-tree", ref, "--", path).decode().split()
                if listed:
                    found[ref, path] = listed[2]
        return found

    @cache  # noqa: B019
    def blob(self, name: str) -> bytes:
        return self.git("cat-file", "blob", name)

    def distinct(self) -> Iterator[tuple[str, bytes]]:
        """Each distinct kernel file once: path and text."""
        seen: dict[str, str] = {}
        for (_, path), blob in self.kernel_files().items():
            seen.setdefault(blob, path)
        for blob, path in seen.items():
            yield path, self.blob(blob)


@pytest.fixture(scope="session")
def clone() -> Clone:
    path = os.environ.get("AITERFIX_AITER_REPO")
    if not path:
        pytest.skip("AITERFIX_AITER_REPO is unset: it names a clone of ROCm/aiter with all tags")
    return Clone(path)


RELEASE = "v0.1.20.post1"


def site_of(clone: Clone, engine: str, folder: Path) -> Path:
    """A site-packages with one engine's Python files and a release's real kernels; named as the engine is."""
    wheels = os.environ.get("AITERFIX_WHEELS")
    if not wheels:
        pytest.skip("AITERFIX_WHEELS is unset: it names a folder of wheels of vLLM and SGLang (pip download --no-deps)")
    found = sorted(Path(wheels).glob(f"{engine}-*.whl"))
    if not found:
        pytest.skip(f"AITERFIX_WHEELS has no wheel of {engine}")
    place = folder / engine
    place.mkdir()
    with zipfile.ZipFile(found[0]) as wheel:
        wheel.extractall(place, [n for n in wheel.namelist() if n.endswith((".py", ".dist-info/METADATA"))])
    archive = clone.git("archive", RELEASE, "aiter/__init__.py", "aiter/ops")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tree:
        tree.extractall(place, [m for m in tree.getmembers() if m.name.endswith(".py")], filter="data")
    return place
