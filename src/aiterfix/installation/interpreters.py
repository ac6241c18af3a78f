"""The import path of an interpreter, this one or another, and what it would take as ``aiter``."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.installation.describe import describe
from aiterfix.installation.listing import list_folder
from aiterfix.installation.pointers import PathEntry
from aiterfix.installation.search import Search
from aiterfix.installation.target import Discovery
from aiterfix.installation.view import View, absolute
from aiterfix.storage import children
from aiterfix.storage.children import NOT_FROM_HERE

_MARK = "aiterfix-answer:"
_LONGEST_WHY = 300  # characters
_TIMEOUT = 60.0  # seconds; interpreters on network file systems take several

# Runs in the other interpreter. It is started without -I: that would hide PYTHONPATH and the user's own
# site-packages, which the interpreter's real processes do see. The entry that -c adds for the current folder goes
# before anything is imported, so nothing lying about there can run. Only `sys` is used; `site` is looked up, not
# imported.
_QUESTION = f"""{NOT_FROM_HERE}
site = sys.modules.get("site")
folders = []
if site is not None:
    for ask in (getattr(site, "getsitepackages", None), getattr(site, "getusersitepackages", None)):
        if ask is not None:
            got = ask()
            folders.extend([got] if isinstance(got, str) else got)
answer = dict(
    version=list(sys.version_info[:3]),
    path=[entry for entry in sys.path if isinstance(entry, str)],
    folders=folders,
    modules=sorted(sys.modules),
)
sys.stdout.write("\\n{_MARK}" + ascii(answer) + "\\n")
"""


class _Answer(NamedTuple):
    path: tuple[str, ...]
    folders: tuple[str, ...]
    modules: frozenset[str]


def find_running() -> Discovery:
    """Find ``aiter`` as the running interpreter would import it, or has; nothing is imported and no process started."""
    site = sys.modules.get("site")
    discovery = _search(
        [entry for entry in sys.path if isinstance(entry, str)], _site_folders(site), sys.modules.keys(), "sys.path"
    )
    loaded = _loaded_package()
    if loaded is None:
        return discovery
    return _with_loaded(discovery, loaded)


def find_python(python: Path, *, timeout: float = _TIMEOUT) -> Discovery:
    """Find ``aiter`` as another interpreter would import it. It is asked for its path; it does not import ``aiter``.

    Args:
        timeout: seconds to wait for its answer.

    Raises:
        UsageError: ``python`` names no executable file.
        EnvironmentProblem: it cannot be started, does not answer in time, or is no Python 3.
    """
    answer = _ask(python, timeout)
    return _search(answer.path, answer.folders, answer.modules, f"sys.path of {python}")


def _search(path: Sequence[str], folders: Collection[str], modules: Collection[str], origin: str) -> Discovery:
    search = Search(
        View(),
        expand=False,
        active=frozenset(modules),
        site_folders=[Path(folder) for folder in folders] or None,
    )
    places = (absolute(Path(entry or os.curdir)) for entry in path if "\0" not in entry)
    return search.run(PathEntry(place, origin) for place in places if place is not None)


def _site_folders(site: ModuleType | None) -> list[str]:
    folders: list[str] = []
    for name in ("getsitepackages", "getusersitepackages"):
        ask = getattr(site, name, None)
        if ask is not None:
            got = ask()
            folders.extend([got] if isinstance(got, str) else got)
    return folders


def _loaded_package() -> Path | None:
    """The folder of an ``aiter`` that this process has imported."""
    paths = getattr(sys.modules.get("aiter"), "__path__", None)
    if paths is None:
        return None
    first = next(iter(paths), None)
    return Path(first).absolute() if isinstance(first, str) and View().is_folder(Path(first)) else None


def _with_loaded(discovery: Discovery, loaded: Path) -> Discovery:
    from dataclasses import replace

    found_by = "imported by this process"
    place = os.path.realpath(loaded)
    known = next((item for item in discovery.installations if os.path.realpath(item.package) == place), None)
    if known is None:
        view = View()
        from aiterfix.installation.recognise import Nature, recognise

        if recognise(loaded, view).nature is not Nature.AMD:
            return discovery
        known = describe(loaded, list_folder(loaded.parent, view), None, view, found_by=found_by, shadowed=False)
    first = replace(
        known, found_by=f"{known.found_by}; {found_by}" if known.found_by != found_by else found_by, shadowed=False
    )
    others = tuple(
        replace(item, shadowed=True) for item in discovery.installations if os.path.realpath(item.package) != place
    )
    return replace(discovery, installations=(first, *others))


def _ask(python: Path, timeout: float) -> _Answer:
    view = View()
    if view.is_folder(python):
        raise UsageError(
            f"{python} is a folder, not an interpreter", remedy=f"give --path {python}, or the python inside it"
        )
    executable = absolute(python)
    if executable is None or not view.is_file(python) or not os.access(python, os.X_OK):
        raise UsageError(f"{python} is not an executable file", remedy="give the path of a Python interpreter")
    import signal
    import subprocess  # 4 ms that the running interpreter's own search need not pay

    command = [os.fspath(executable), "-c", _QUESTION]
    whose = ""
    try:
        owner = children.owner_of(executable)  # what it runs at start, `.pth` files say, is that user's choice
        whose = f" (with the rights of {owner.name})" if owner is not None else ""
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Asking must not write into the inspected tree.
            env=children.environment({"PYTHONDONTWRITEBYTECODE": "1"}, owner),
            **{**children.rights(owner), "start_new_session": True},  # helpers that it started can be ended with it
        )
    except OSError as error:
        raise EnvironmentProblem(f"{python} cannot be started", why=f"{error}{whose}") from error
    with process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise EnvironmentProblem(
                f"{python} did not tell its import path within {timeout:g} s",
                why="something that it runs at start (a .pth file, sitecustomize) may be waiting",
                remedy="give --path with its site-packages folder instead",
            ) from None
    return _read_answer(python, process.returncode, output, errors)


def _read_answer(python: Path, status: int, output: bytes, errors: bytes) -> _Answer:
    said = " ".join(errors.decode("utf-8", "replace").split())[-_LONGEST_WHY:]
    _, mark, text = output.decode("utf-8", "replace").rpartition(_MARK)
    try:
        if status != 0 or not mark:
            raise ValueError(f"exit status {status}" + (f": {said}" if said else ""))
        answer = ast.literal_eval(text.splitlines()[0])
        return _Answer(tuple(answer["path"]), tuple(answer["folders"]), frozenset(answer["modules"]))
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError) as error:
        raise EnvironmentProblem(
            f"{python} could not be asked for its import path",
            why=str(error),
            remedy="check that it is a working Python 3, or give --path with its site-packages folder",
        ) from error
