"""What can be known, from outside, of the hook in another process. It is little, and this says so.

Linux shows the environment a process was started with, its command and its interpreter. It shows no Python
module: a ``.py`` file is read and closed, and leaves no trace in ``/proc/PID/maps``. The hook writes no file
that could be read either. So the answer is what the process was given, never what it made of it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from aiterfix.errors import EnvironmentProblem
from aiterfix.importing.run import DIRECTORY
from aiterfix.importing.settings import KERNEL_VARIABLE, LOG_VARIABLE, MODE_VARIABLE, RECORD_VARIABLE

CANNOT_BE_KNOWN = (
    "whether its kernels are patched: ask inside it (`aiterfix.status()`), or look in its log for the line "
    "'aiterfix ... patched'"
)


@dataclass(frozen=True)
class ProcessFacts:
    """What another process was started with.

    Attributes:
        interpreter: the interpreter as its command names it, where that is a path; else its executable.
        variables: ``AITERFIX``, ``AITERFIX_LOG``, ``AITERFIX_KERNEL``, ``AITERFIX_RECORD``, ``VLLM_PLUGINS``,
            ``SGLANG_PLUGINS``, ``PYTHONPATH``, where set.
        started_by_run: whether `aiterfix run` is behind it.
        off: whether ``AITERFIX=off`` forbids the hook.
        same_files: whether it sees the same files as we do, so that its site-packages can be looked at.
        started: when, in seconds since the epoch.
    """

    pid: int
    command: tuple[str, ...]
    interpreter: Path
    variables: tuple[tuple[str, str], ...]
    started_by_run: bool
    off: bool
    same_files: bool
    started: float


_VARIABLES = (
    MODE_VARIABLE,
    LOG_VARIABLE,
    KERNEL_VARIABLE,
    RECORD_VARIABLE,
    "VLLM_PLUGINS",
    "SGLANG_PLUGINS",
    "PYTHONPATH",
)


_INTERPRETER = re.compile(r"(python|pypy)[\w.-]*( \(deleted\))?")
_PART_OF_PYTHON = re.compile(r"/libpython\d|/libpypy|/lib-dynload/|\.cpython-\d|\.abi3\.so")
"""Of an interpreter under another name, or inside another program: what it loads."""


def facts_of(pid: int, proc: Path = Path("/proc")) -> ProcessFacts:
    """Read what the system shows of a process.

    Raises:
        EnvironmentProblem: there is no such process, it belongs to someone else, or it is no Python.
    """
    folder = proc / str(pid)
    if not folder.is_dir():
        raise EnvironmentProblem(
            f"there is no process {pid} to be seen",
            why=f"{proc} does not show it",
            remedy="Give the pid of a live process of yours, as it is numbered here: a container has its own numbers.",
        )
    try:
        environ = (folder / "environ").read_bytes()
        command = tuple(os.fsdecode(w) for w in (folder / "cmdline").read_bytes().split(b"\0")[:-1])
        executable = (folder / "exe").readlink()
        started = folder.stat().st_ctime
        same = (folder / "ns" / "mnt").readlink() == (proc / "self" / "ns" / "mnt").readlink()
        maps = os.fsdecode((folder / "maps").read_bytes())
    except (FileNotFoundError, ProcessLookupError) as error:
        raise EnvironmentProblem(
            f"process {pid} has ended, or is a part of the kernel: it runs no program",
            why=str(error),
            remedy="Give the pid of a live process of yours.",
        ) from error
    except OSError as error:
        raise EnvironmentProblem(
            f"process {pid} may not be looked at by user {os.getuid()}",
            why=error.strerror or str(error),
            remedy="Run the command as that process's user, or as root with CAP_SYS_PTRACE.",
        ) from error
    if not _INTERPRETER.fullmatch(executable.name) and not _PART_OF_PYTHON.search(maps):
        raise EnvironmentProblem(
            f"process {pid} is no Python: it runs {executable}",
            why="neither its executable nor anything that it has loaded is Python's",
            remedy="Give the pid of the Python process: what a shell or launcher starts is a child with its own pid.",
        )
    pairs = dict(os.fsdecode(p).partition("=")[::2] for p in environ.split(b"\0") if p)
    paths = pairs.get("PYTHONPATH", "").split(os.pathsep)
    named = Path(command[0]) if command and os.path.isabs(command[0]) else executable  # noqa: PTH117
    return ProcessFacts(
        pid,
        command,
        named,
        tuple((n, pairs[n]) for n in _VARIABLES if n in pairs),
        str(DIRECTORY) in paths or any(p.endswith("/aiterfix/importing/run_directory") for p in paths),
        pairs.get(MODE_VARIABLE, "").strip().lower() == "off",
        same,
        started,
    )
