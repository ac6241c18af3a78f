"""``aiterfix hook enable|disable``: the files by which `site` starts the hook in every process.

Crash safety comes from the order of steps, each of which leaves a state that is whole: RECORD lists the files
before they exist (installers pass over a listed file that is missing) and forgets them after they are gone. So
at no instant is there a file that ``pip uninstall aiterfix`` would leave behind.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiterfix.errors import EnvironmentProblem
from aiterfix.patching import fsops
from aiterfix.patching.failures import ChangedSinceError, from_os_error
from aiterfix.patching.locking import locked
from aiterfix.patching.record import Listed, RecordEdit, edit, undo
from aiterfix.patching.tree import require_owner, require_regular, require_writable, temporary
from aiterfix.storage.digest import sha256_hex

# What a start-up file does when it is there and aiterfix is not, or not whole. Modes that can do without the hook are
# silent where it is merely missing, as after half an uninstallation; any other stops the first import of a kernel
# module, by no `ImportError`, which engines take for "aiter is not there". Needs nothing that is not built in.
_INSTEAD = """\
import os, sys
reason = " ".join(("%s: %s" % (type(error).__name__, error)).split())
missing = isinstance(error, ImportError) and str(error.name).partition(".")[0] == "aiterfix"
def stops():
    return os.environ.get("AITERFIX", "").strip().lower() not in ("", "auto", "off")
class StoppedImportError(Exception):
    pass
class Stop:
    stands_for_aiterfix = True
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("aiter.") and name.endswith(".pa_mqa_logits") and stops():
            raise StoppedImportError("aiterfix: %s is not imported: there is no import hook: %s" % (name, reason))
# `site` reads a folder twice where two names lead to it, such as lib and lib64.
first = not any(getattr(finder, "stands_for_aiterfix", False) for finder in sys.meta_path)
if first and (stops() or not missing):
    sys.meta_path.insert(0, Stop)
    said = "aiterfix: there is no import hook, although its start-up file is here: %s" % reason
    try:
        if sys.stderr is not None and os.environ.get("AITERFIX", "").strip().lower() != "off":
            sys.stderr.write(said + ("; no kernel module of aiter will be imported" if stops() else "") + "\\n")
    except (OSError, ValueError):
        pass
"""
_START = f"""\
try:
    import aiterfix.startup
    aiterfix.startup.start_from_site()
except Exception as error:
    exec({_INSTEAD!r}, {{"error": error}})
"""

PTH_NAME = "aiterfix-hook.pth"
PTH_TEXT = f"import sys; exec({_START!r}, {{}})\n".encode()
MODULE_NAME = "_aiterfix_hook.py"
"""What a ``.start`` file names must be a module, and must be there when aiterfix is not."""
MODULE_TEXT = (
    f'"""Written by `aiterfix hook enable`."""\n\n\ndef start():\n{textwrap.indent(_START, "    ")}'
).encode()
START_NAME = "aiterfix-hook.start"
START_TEXT = b"_aiterfix_hook:start\n"
START_SINCE = (3, 15)
"""PEP 829: from this version on `site` reads ``.start`` files and then passes over the import lines of a
``.pth`` of the same name; those are to be ignored altogether from 3.18 on."""

_LOCK_SECONDS = 10.0
_ALL = ((MODULE_NAME, MODULE_TEXT), (START_NAME, START_TEXT), (PTH_NAME, PTH_TEXT))
_FORMER = (
    (START_NAME, b"aiterfix.startup:start_from_site\n"),
    (PTH_NAME, b"import aiterfix.startup; aiterfix.startup.start_from_site()\n"),
)
"""As 0.1.0 wrote them: ours to replace, and not enough."""

_PROBE = """
import json, os, site, sys
from importlib import metadata
facts = {"executable": sys.executable, "version": list(sys.version_info[:2]), "site": site.getsitepackages()}
if site.ENABLE_USER_SITE:
    facts["site"].append(site.getusersitepackages())
try:
    found = metadata.distribution("aiterfix")
    records = [f for f in found.files or () if f.name == "RECORD" and f.parent.suffix == ".dist-info"]
    facts["distribution"] = [str(found.locate_file(f)) for f in records]
    facts["named"] = found.version
except metadata.PackageNotFoundError:
    facts["distribution"] = None
print(json.dumps(facts))
"""


@dataclass(frozen=True)
class Site:
    """Where an interpreter's start-up files go.

    Attributes:
        executable: the interpreter.
        version: its major and minor version.
        folder: the site directory that holds aiterfix's ``.dist-info``.
        record: aiterfix's RECORD there.
    """

    executable: Path
    version: tuple[int, int]
    folder: Path
    record: Path

    @property
    def wanted(self) -> tuple[tuple[str, bytes], ...]:
        """Name and content of the files that this interpreter needs."""
        return _ALL if self.version >= START_SINCE else ((PTH_NAME, PTH_TEXT),)


@dataclass(frozen=True)
class SiteState:
    """What stands in a site directory.

    Attributes:
        enabled: whether the interpreter starts the hook.
        files: the start-up files of ours that are there.
        foreign: files of our names with other contents.
        recorded: whether RECORD lists every file that is there, so that uninstalling removes them.
    """

    enabled: bool
    files: tuple[Path, ...]
    foreign: tuple[Path, ...]
    recorded: bool


def find_site(executable: Path) -> Site:
    """Ask an interpreter where its aiterfix is installed.

    Args:
        executable: the interpreter; it is started once, with the hook off.

    Raises:
        EnvironmentProblem: it cannot be started, has no aiterfix, or has it where no start-up file is read.
    """
    environment = {**os.environ, "AITERFIX": "off"}
    try:
        done = subprocess.run(
            [str(executable), "-c", _PROBE], capture_output=True, text=True, env=environment, timeout=60, check=True
        )
        facts = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise EnvironmentProblem(
            f"{executable} does not answer as a Python interpreter",
            why=detail.strip().rpartition("\n")[2],
            remedy="Give --python a Python 3.10 or later.",
        ) from error
    if not facts["distribution"]:
        raise EnvironmentProblem(
            f"{executable} has no installed aiterfix whose RECORD could list a start-up file",
            why="no distribution metadata" if facts["distribution"] is None else "its metadata has no RECORD",
            remedy=f"Run `{executable} -m pip install aiterfix`, or use `aiterfix run -- COMMAND`.",
        )
    record = Path(facts["distribution"][0])
    folder = record.parent.parent
    if not any(os.path.realpath(s) == os.path.realpath(folder) for s in facts["site"]):
        raise EnvironmentProblem(
            f"{executable} reads no start-up files in {folder}, where its aiterfix is installed",
            why="It reads them in its site directories only: " + ", ".join(facts["site"]),
            remedy="Install aiterfix into the interpreter's own site-packages, or use `aiterfix run -- COMMAND`.",
        )
    return Site(executable, (facts["version"][0], facts["version"][1]), folder, record)


def look(site: Site) -> SiteState:
    """What stands there now. Changes nothing.

    Raises:
        EnvironmentProblem: it cannot be read.
    """
    with _reported("Nothing was changed."):
        there = {name: _read(site.folder / name) for name, _ in _ALL}
        listed = site.record.read_bytes()
    ours = tuple(n for n, text in _ALL if there[n] == text)
    foreign = tuple(n for n, text in _ALL if there[n] not in (None, text) and (n, there[n]) not in _FORMER)
    recorded = all(_row(n, t).strip() in listed.splitlines() for n, t in _ALL if n in ours)
    return SiteState(
        enabled=all(n in ours for n, _ in site.wanted),
        files=tuple(site.folder / n for n in ours),
        foreign=tuple(site.folder / n for n in foreign),
        recorded=recorded,
    )


def enable(site: Site) -> tuple[Path, ...]:
    """Have every start of the interpreter put the hook in place.

    Returns:
        The files written; none where all was as wanted.

    Raises:
        AiterfixError: read-only, foreign owner, a file of that name that is not ours, another aiterfix at work.
    """
    with _transaction(site):
        written = []
        rows = [Listed(n, sha256_hex(t), len(t)) for n, t in site.wanted]
        data = _without(site.record.read_bytes(), _FORMER)
        present = set(data.splitlines())
        added = [r for r, (n, t) in zip(rows, site.wanted, strict=True) if _row(n, t).strip() not in present]
        if added:
            _replace(site.record, edit(data, (), added)[0])
        for name, text in site.wanted:
            if _read(site.folder / name) != text:
                _replace(site.folder / name, text)
                written.append(site.folder / name)
        return tuple(written)


def disable(site: Site) -> tuple[Path, ...]:
    """Take the start-up files away.

    Returns:
        The files removed; none where there were none.

    Raises:
        AiterfixError: see `enable`.
    """
    with _transaction(site):
        removed = [site.folder / n for n, _ in reversed(_ALL) if fsops.unlink_if_there(site.folder / n)]
        fsops.sync_directory(site.folder)
        data = site.record.read_bytes()
        kept = _without(_without(data, _ALL), _FORMER)
        if kept != data:
            _replace(site.record, kept)
        return tuple(removed)


@contextmanager
def _transaction(site: Site) -> Iterator[None]:
    with _reported("What was done is whole; run the command again to finish."):
        require_writable(site.folder)
        require_writable(site.record.parent)
        for path in (site.record, *(site.folder / n for n, _ in _ALL)):
            if os.path.lexists(path):
                status = os.lstat(path)
                require_regular(path, status)
                require_owner(path, status)
        with locked(site.record.parent, _LOCK_SECONDS):
            foreign = look(site).foreign
            if foreign:
                raise ChangedSinceError(
                    f"{foreign[0]} is not as aiterfix wrote it. Nothing was changed.",
                    why="Somebody else has changed it, or another version of aiterfix wrote it.",
                    remedy="Look at it, remove it by hand if nobody needs it, and run the command again.",
                )
            yield


@contextmanager
def _reported(outcome: str) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise from_os_error(failure, outcome) from failure


def _replace(path: Path, data: bytes) -> None:
    old = path.stat() if path.exists() else None
    mode, owner = (0o644, None) if old is None else (stat.S_IMODE(old.st_mode), (old.st_uid, old.st_gid))
    fsops.replace(path, temporary(path), data, mode=mode, owner=owner)


def _without(record: bytes, files: Iterable[tuple[str, bytes]]) -> bytes:
    """RECORD without the rows of these files."""
    return undo(record, RecordEdit(appended=b"".join(_row(n, t) for n, t in files)))


def _row(name: str, text: bytes) -> bytes:
    return edit(b"", (), [Listed(name, sha256_hex(text), len(text))])[0]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
