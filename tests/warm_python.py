"""A Python that has some modules imported already. Torch takes two seconds, more than most tests that need it.

`running` gives the path of a program that takes a script or ``-c`` as Python does. One process waits with the modules
imported and starts a copy of itself for each run: with the caller's environment, folder and open files, a plain
``__main__`` and an end of its own, whose status or signal the program ends with. Whatever ends the program ends the
copy. What starts Python itself, from the environment to ``sys.path``, is asked of a real one elsewhere.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import pickle
import runpy
import select
import signal
import socket
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_MOST = 64
_PROGRAM = """#!{python} -IS
import os, pickle, signal, socket, sys
numbers = [int(name) for name in os.listdir("/proc/self/fd")]
open_ = [n for n in numbers if os.path.exists("/proc/self/fd/%d" % n)]
said = pickle.dumps((sys.argv[1:], dict(os.environ), os.getcwd(), open_))
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(said).to_bytes(4, "big")], open_)
    server.sendall(said)
    status = int(server.recv(16) or b"256")
if status < 0:
    if -status != signal.SIGKILL:
        signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@contextmanager
def running(folder: Path, *modules: str) -> Iterator[str]:
    """The path of the program, in this folder."""
    address, program = folder / "socket", folder / "python"
    program.write_text(_PROGRAM.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    words = [sys.executable, __file__, str(address), *modules]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline() == b"ready\n"
        yield str(program)
        server.communicate()  # it ends with its input
    assert server.returncode == 0


def _serve(address: str, modules: list[str]) -> Any:
    """Start copies until the input ends; in a copy, what it is asked to run."""
    for module in modules:
        importlib.import_module(module)
    for listed in list(sys.path):
        if listed in (os.path.dirname(__file__), *os.environ.get("PYTHONPATH", "").split(os.pathsep)):  # noqa: PTH120
            sys.path.remove(listed)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(_MOST)
        gc.freeze()
        os.write(1, b"ready\n")
        while True:
            ready = select.select([listener.fileno(), 0], [], [])[0]
            if 0 in ready:
                return None
            caller, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return _mind(caller)
            caller.close()
            while _ended():
                pass


def _ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _mind(caller: socket.socket) -> Any:
    """Start the copy, say how it ended, and end it when the caller is gone."""
    size, files, _, _ = socket.recv_fds(caller, 4, _MOST)
    said = b""
    while len(said) < int.from_bytes(size, "big"):
        said += caller.recv(65536)
    words, environment, folder, numbers = pickle.loads(said)
    copy = os.fork()
    if copy == 0:
        caller.close()
        high = [os.dup2(file, 1000 + number) for number, file in zip(numbers, files, strict=True)]
        os.closerange(0, 1000)
        for number, file in zip(numbers, high, strict=True):
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(folder)
        return words
    for file in (0, 1, 2, *files):
        os.close(file)
    ending = os.pidfd_open(copy)
    if ending not in select.select([caller.fileno(), ending], [], [])[0]:
        os.kill(copy, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
    try:
        caller.sendall(b"%d" % status)
    finally:
        os._exit(0)


def _become(words: list[str]) -> None:
    """Run a script or ``-c`` as Python does."""
    sys.path[:0] = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if words[0] != "-c":
        sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))  # noqa: PTH100, PTH120
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
        return
    sys.path.insert(0, "")
    sys.argv = ["-c", *words[2:]]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(words[1], main.__dict__)


if __name__ == "__main__" and (asked := _serve(sys.argv[1], sys.argv[2:])) is not None:
    _become(asked)
    # Taking torch apart takes half a second.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
