"""A small installed package to patch, pictures of it to compare, and a way to fail any one system call."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aiterfix.patching import fsops
from aiterfix.patching.tree import FileChange, PackageTree

Picture = dict[str, tuple[object, ...]]

PRIMITIVES = ("mkdir", "rmdir", "unlink", "rename", "create", "write", "chmod", "chown", "utime", "fsync")
OLD_TIME = 1_600_000_000_123_456_789


def row(root: Path, name: str) -> str:
    data = (root / name).read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    quoted = f'"{name}"' if "," in name else name
    return f"{quoted},sha256={digest},{len(data)}\r\n"


@dataclass(frozen=True)
class Tree:
    """An `aiter`-shaped package as pip would have installed it, or as a checkout holds it."""

    root: Path
    dist_info: Path | None

    @property
    def package_tree(self) -> PackageTree:
        return PackageTree(self.root, self.root / "aiter", self.dist_info, "1.0")

    @property
    def state_dir(self) -> Path:
        return self.root / ".aiterfix-aiter" if self.dist_info is None else self.dist_info / "aiterfix"

    @property
    def record(self) -> Path:
        assert self.dist_info is not None
        return self.dist_info / "RECORD"

    def path(self, name: str) -> Path:
        return self.root / "aiter" / name

    def row(self, name: str) -> str:
        """The row that RECORD must have for this file."""
        return row(self.root, name)

    def change(self, name: str, new: bytes) -> FileChange:
        return FileChange(self.path(name), self.path(name).read_bytes(), new)

    def first(self) -> list[FileChange]:
        return [self.change("ops/one.py", b"one = 'first'\r\n"), self.change("late/three.py", b"three = 'first'\n")]

    def second(self) -> list[FileChange]:
        return [self.change("ops/one.py", b"one = 'second'\r\n"), self.change("ops/two.py", b"two = 'second'\n")]

    def run_it(self) -> None:
        """Leave the bytecode that importing the patched files would."""
        for folder, name in (("ops", "one"), ("late", "three")):
            cache = self.path(folder) / "__pycache__"
            cache.mkdir(exist_ok=True)
            (cache / f"{name}.cpython-311.pyc").write_bytes(self.path(f"{folder}/{name}.py").read_bytes()[::-1])

    def picture(self) -> Picture:
        """Every name below the root; type, mode, owner, time and content of every file.

        Times of our own state files are not part of it.
        """
        seen: Picture = {}
        state = f"{self.state_dir.relative_to(self.root)}/"
        for place, folders, files in os.walk(self.root):
            within = place[len(str(self.root)) + 1 :]
            for name in folders + files:
                path, relative = f"{place}/{name}", f"{within}/{name}" if within else name
                status = os.lstat(path)
                kind: tuple[object, ...] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid)
                if Path(path).is_file():
                    kind += (Path(path).read_bytes(), 0 if relative.startswith(state) else status.st_mtime_ns)
                seen[relative] = kind
        return seen


def make_tree(root: Path, *, checkout: bool = False) -> Tree:
    package = root / "aiter"
    for name in ("ops", "late"):
        (package / name).mkdir(parents=True)
    (package / "__init__.py").write_bytes(b"")
    (package / "ops" / "one.py").write_bytes(b"one = 'original'\r\n")
    (package / "ops" / "two.py").write_bytes("two = 'ä'".encode())
    (package / "late" / "three.py").write_bytes(b"three = 'original'\n")
    (package / "ops" / "a,b.txt").write_bytes(b"data\n")
    (package / "ops" / "one.py").chmod(0o640)
    for path in package.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(OLD_TIME, OLD_TIME))
    # The transaction does not look into bytecode; tests with a real interpreter stand elsewhere.
    (package / "ops" / "__pycache__").mkdir()
    for name in ("one.cpython-311.pyc", "one.cpython-311.opt-1.pyc", "one.pypy310.pyc", "two.cpython-311.pyc"):
        (package / "ops" / "__pycache__" / name).write_bytes(b"bytecode of " + name.encode())
    (package / "ops" / "one.pyc").write_bytes(b"old bytecode beside the source")
    if checkout:
        return Tree(root, None)
    dist_info = root / "amd_aiter-1.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_bytes(b"Metadata-Version: 2.1\nName: amd-aiter\nVersion: 1.0\n")
    names = ["aiter/__init__.py", "aiter/ops/one.py", "aiter/ops/two.py", "aiter/late/three.py", "aiter/ops/a,b.txt"]
    rows = "../../../bin/aiter,,\r\n" + "".join(row(root, name) for name in names)
    rows += "aiter/ops/__pycache__/two.cpython-311.pyc,,\r\n"
    rows += row(root, "amd_aiter-1.0.dist-info/METADATA") + "amd_aiter-1.0.dist-info/RECORD,,\r\n"
    (dist_info / "RECORD").write_bytes(rows.encode())
    os.utime(dist_info / "RECORD", ns=(OLD_TIME, OLD_TIME))
    return Tree(root, dist_info)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return make_tree(tmp_path / "site-packages")


@pytest.fixture(params=["installed", "checkout"])
def either(tmp_path: Path, request: pytest.FixtureRequest) -> Tree:
    return make_tree(tmp_path / "root", checkout=request.param == "checkout")


@pytest.fixture
def make() -> Iterator[Callable[..., Tree]]:
    """Fresh trees, one at a time, as many as a loop needs; in memory where there is such a file system."""
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))

    def fresh(**options: bool) -> Tree:
        shutil.rmtree(base)
        base.mkdir()
        return make_tree(base / "site-packages", **options)

    yield fresh
    shutil.rmtree(base)


@pytest.fixture
def keep() -> Iterator[Callable[[Tree], Callable[[], None]]]:
    """Puts a copy of a tree aside; what it gives makes the tree that again, as often as it is called."""
    memory = Path("/dev/shm")
    base = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))

    def put_aside(tree: Tree) -> Callable[[], None]:
        aside = Path(tempfile.mkdtemp(dir=base)) / "tree"
        shutil.copytree(tree.root, aside, symlinks=True)

        def again() -> None:
            shutil.rmtree(tree.root)
            shutil.copytree(aside, tree.root, symlinks=True)

        return again

    yield put_aside
    shutil.rmtree(base)


class PowerOff(BaseException):
    """The process is dead: nothing that runs after this may reach the disk."""


@dataclass
class Faults:
    """Counts the calls that change the file system, and makes one of them go wrong.

    Attributes:
        at: index of the call that fails; None lets all pass.
        number: errno to fail with; None switches the power off at that call instead.
        lasting: the calls after it fail likewise. Without power they always do.
        only: calls that count and fail; the others pass.
        exception: what to raise in place of an OSError.
        calls: names of the calls so far.
    """

    at: int | None = None
    number: int | None = None
    lasting: bool = False
    only: tuple[str, ...] = PRIMITIVES
    exception: type[BaseException] | None = None
    calls: list[str] = field(default_factory=list)

    def __call__(self, name: str, real: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        index = len(self.calls)
        if name not in self.only:
            return None if name == "fsync" else real(*arguments)
        self.calls.append(name)
        lasting = self.lasting or self.number is None
        if self.at is None or index < self.at or (index > self.at and not lasting):
            if name == "fsync":
                return None  # Its place in the order counts here; the time that it takes does not.
            return real(*arguments)
        if name == "write" and index == self.at:
            descriptor, data = arguments
            real(descriptor, data[: len(data) // 2])
        if self.number is None:
            raise PowerOff
        if self.exception is not None:
            raise self.exception
        raise OSError(self.number, os.strerror(self.number), *(str(item) for item in arguments[:1]))

    @property
    def hit(self) -> bool:
        return self.at is not None and len(self.calls) > self.at

    @property
    def place(self) -> str:
        """The call that failed, for people."""
        return f"call {self.at}: {self.calls[self.at]}" if self.at is not None and self.hit else "no call"


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Callable[[Faults], Any]:
    real = {name: getattr(fsops, name) for name in PRIMITIVES}

    @contextmanager
    def use(faults: Faults) -> Iterator[Faults]:
        with monkeypatch.context() as patch:
            for name, function in real.items():
                patch.setattr(
                    fsops, name, lambda *arguments, name=name, function=function: faults(name, function, arguments)
                )
            yield faults

    return use


@pytest.fixture
def faults() -> type[Faults]:
    return Faults


@pytest.fixture
def power_off() -> type[BaseException]:
    return PowerOff


@pytest.fixture
def names() -> tuple[str, ...]:
    return PRIMITIVES
