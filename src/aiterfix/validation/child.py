"""A child process of this package's own code that is sent pickled objects and replies with such: what kills it is told.

What it or a library prints is kept for the last words of a child that dies; replies have a pipe of their own.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import BinaryIO

from aiterfix.errors import EnvironmentProblem
from aiterfix.storage import children

_LENGTH = struct.Struct("<Q")
_LAST_WORDS = 2000


class Child:
    """The parent's handle. It has a session of its own, so that an interrupt at a terminal reaches the parent alone.

    Args:
        program: for ``-c``; ``{descriptor}`` in it is where replies go, ``{root}`` the folder that holds this package.
    """

    def __init__(self, python: str, program: str) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="aiterfix-child-")
        self._words = Path(self._scratch.name, "words")
        root = str(Path(__file__).parents[2])
        reading, writing = os.pipe()
        try:
            with self._words.open("wb") as words:
                self._process = subprocess.Popen(
                    [python, "-c", program.format(root=root, descriptor=writing)],
                    stdin=subprocess.PIPE,
                    stdout=words,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writing,),
                    start_new_session=True,
                    env=children.environment({"TMPDIR": self._scratch.name}),
                )
        except OSError as error:
            os.close(reading)
            self._scratch.cleanup()
            raise EnvironmentProblem(f"cannot run {python}", why=str(error)) from error
        finally:
            os.close(writing)
        self.replies: BinaryIO = os.fdopen(reading, "rb", buffering=0)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def send(self, message: object) -> None:
        """Write one message.

        Raises:
            BrokenPipeError: the child is gone.
        """
        assert self._process.stdin is not None
        send(self._process.stdin, message)  # type: ignore[arg-type]

    def ask(self, message: object, limit: float) -> object:
        """The reply, or in words what became of the child instead."""
        try:
            self.send(message)
        except BrokenPipeError:
            return self.fate()
        if not select.select([self.replies], [], [], limit)[0]:
            return f"did not finish within {limit:g} s"
        try:
            return receive(self.replies)
        except EOFError:
            return self.fate()

    def fate(self) -> str:
        """What became of a child that does not answer any more, with its last words."""
        try:
            status = self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "stopped answering"
        killed = f"was killed by {signal.Signals(-status).name}" if status < 0 else ""
        how = killed or f"ended with exit status {status}"
        words = self._words.read_bytes()[-_LAST_WORDS:].decode(errors="replace").strip()
        return f"{how}: {words.splitlines()[-1]}" if words else how

    def end(self, patience: float = 0.0) -> None:
        """End the child and all that it started; it has some seconds to do so itself."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # what was not yet written to a dead child cannot be flushed
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=patience)
        with contextlib.suppress(ProcessLookupError):  # the group of a child that has ended may be gone
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.replies.close()
        self._scratch.cleanup()


def send(stream: BinaryIO, message: object) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=4)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> object:
    """Read one message.

    Raises:
        EOFError: the other side is gone.
    """
    return pickle.loads(_exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0]))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = stream.read(count - len(data))
        if not part:
            raise EOFError("the other side is gone")
        data += part
    return data
