"""What a disk may hold after a loss of power, from the calls that were made until then.

The calls of `fsops` are recorded with what they were given. A model of the file system then says, for a crash before
any call, what may be left: names that were changed since their directory was last flushed may be on the disk or not,
contents that were never flushed may be there, in part, or not. `ordered` is a journal that keeps the order of all
changes of names (ext4, XFS): any later end of it may be missing. `loose` promises no order between names.
"""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiterfix.patching import fsops
from aiterfix.storage.held import Place
from tests.patching.conftest import PRIMITIVES


@dataclass
class Node:
    """A file or folder of the model: what calls saw, and what was flushed."""

    mode: int
    names: dict[str, Node] | None = None
    data: bytes = b""
    mtime_ns: int = 0
    flushed: tuple[int, bytes, int] | None = None

    def now(self) -> tuple[int, bytes, int]:
        """Mode, content and time."""
        return self.mode, self.data, self.mtime_ns


@dataclass
class Call:
    """One call: its name, and the arguments with places and descriptors as relative paths."""

    name: str
    arguments: tuple[object, ...]


@dataclass
class Recorder:
    """Records the calls below a folder."""

    top: Path
    calls: list[Call] = field(default_factory=list)

    def run(self, act: Callable[[], object]) -> None:
        """Do something and record it."""
        real = {name: getattr(fsops, name) for name in PRIMITIVES}

        def wrap(name: str) -> Callable[..., object]:
            def call(*arguments: object, **more: object) -> object:
                shown = tuple(self._shown(name, n, a) for n, a in enumerate(arguments))
                result = None if name == "fsync" else real[name](*arguments, **more)
                if name == "write":
                    assert isinstance(result, int) and isinstance(arguments[1], (bytes, memoryview))
                    shown = (shown[0], bytes(arguments[1])[:result])
                self.calls.append(Call(name, shown))
                return result

            return call

        for name in real:
            setattr(fsops, name, wrap(name))
        try:
            act()
        finally:
            for name, function in real.items():
                setattr(fsops, name, function)

    def _shown(self, name: str, position: int, argument: object) -> object:
        if isinstance(argument, Place):
            return os.path.relpath(argument.path, self.top)
        if position == 0 and isinstance(argument, int):
            return os.path.relpath(Path(f"/proc/self/fd/{argument}").readlink(), self.top)
        return argument


def picture_of(top: Path) -> Node:
    """A folder on the disk as the model has it, all flushed."""
    status = top.lstat()
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Node(mode, {path.name: picture_of(path) for path in top.iterdir()}, flushed=(mode, b"", 0))
    data = top.read_bytes()
    return Node(mode, None, data, status.st_mtime_ns, (mode, data, status.st_mtime_ns))


class Disk:
    """The model: the tree as calls see it, and the changes of names that are not flushed yet."""

    def __init__(self, top: Node) -> None:
        self.top = top
        self.durable = top_copy(top, {})
        self.pending: list[tuple[Node, tuple[tuple[str, Node | None], ...]]] = []

    def _find(self, path: str) -> Node:
        node = self.top
        for part in Path(path).parts:
            assert node.names is not None
            node = node.names[part]
        return node

    def _change(self, path: str, *changes: tuple[str, Node | None]) -> None:
        folder = self._find(os.path.dirname(path))  # noqa: PTH120 - a string
        assert folder.names is not None
        for name, node in changes:
            if node is None:
                del folder.names[name]
            else:
                folder.names[name] = node
        self.pending.append((folder, changes))

    def do(self, call: Call) -> None:
        """One call more."""
        path = str(call.arguments[0])
        name = Path(path).name
        if call.name == "mkdir":
            self._change(path, (name, Node(0o755, {}, flushed=None)))
        elif call.name == "create":
            self._change(path, (name, Node(0o600)))
        elif call.name in ("unlink", "rmdir"):
            self._change(path, (name, None))
        elif call.name == "rename":
            self._change(path, (name, None), (Path(str(call.arguments[1])).name, self._find(path)))
        elif call.name == "write":
            assert isinstance(call.arguments[1], bytes)
            self._find(path).data += call.arguments[1]
        elif call.name == "chmod":
            assert isinstance(call.arguments[1], int)
            self._find(path).mode = call.arguments[1]
        elif call.name == "utime":
            assert isinstance(call.arguments[1], int)
            self._find(path).mtime_ns = call.arguments[1]
        elif call.name == "fsync":
            node = self._find(path)
            node.flushed = node.now()
            if node.names is not None:
                self._flush(node)

    def _flush(self, folder: Node) -> None:
        kept = []
        for where, changes in self.pending:
            if where is folder:
                self._apply(self.durable, where, changes)
            else:
                kept.append((where, changes))
        self.pending = kept

    @staticmethod
    def _apply(names: dict[int, dict[str, Node]], folder: Node, changes: tuple[tuple[str, Node | None], ...]) -> None:
        held = names.setdefault(id(folder), {})
        for name, node in changes:
            if node is None:
                held.pop(name, None)
            else:
                held[name] = node

    def crash(self, chance: random.Random, *, ordered: bool) -> Callable[[Path], None]:
        """One state that the disk may be in now; give what writes it to a new folder."""
        names = {key: dict(value) for key, value in self.durable.items()}
        length = chance.randint(0, len(self.pending)) if ordered else len(self.pending)
        kept = [change for change in self.pending[:length] if ordered or chance.random() < 0.5]
        for folder, changes in kept:
            self._apply(names, folder, changes)
        top = self.top

        def write(node: Node, at: Path) -> None:
            if node.names is not None:
                at.mkdir()
                for name, below in names.get(id(node), {}).items():
                    write(below, at / name)
                at.chmod((node.flushed or node.now())[0] if node.flushed or chance.random() < 0.5 else 0o700)
                return
            mode, data, mtime_ns = node.now()
            if node.flushed != node.now():
                known = node.flushed or (0o600, b"", 0)
                mode, mtime_ns = chance.choice([(mode, mtime_ns), (known[0], known[2])])
                data = chance.choice([known[1], data, data[: len(data) // 2], bytes(len(data))])
            at.write_bytes(data)
            at.chmod(mode)
            os.utime(at, ns=(mtime_ns, mtime_ns))

        return lambda at: write(top, at)


def top_copy(node: Node, into: dict[int, dict[str, Node]]) -> dict[int, dict[str, Node]]:
    """The names of every folder, by the folder."""
    if node.names is not None:
        into[id(node)] = dict(node.names)
        for below in node.names.values():
            top_copy(below, into)
    return into


def whole(node: Node, at: Path) -> None:
    """Write what calls saw, every change on the disk: as a replay of the calls leaves it."""
    if node.names is None:
        at.write_bytes(node.data)
        os.utime(at, ns=(node.mtime_ns, node.mtime_ns))
    else:
        at.mkdir()
        for name, below in node.names.items():
            whole(below, at / name)
    with suppress(PermissionError):
        at.chmod(node.mode)
