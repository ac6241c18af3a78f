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
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiterfix.errors import EnvironmentProblem, install_line
from aiterfix.patching import fsops
from aiterfix.patching.failures import ChangedSinceError, from_os_error
from aiterfix.patching.locking import locked
from aiterfix.patching.record import Listed, RecordEdit, edit, undo
from aiterfix.patching.tree import require_owner, require_writable, temporary
from aiterfix.storage import children
from aiterfix.storage.children import NOT_FROM_HERE
from aiterfix.storage.digest import sha256_hex
from aiterfix.storage.held import Folder, Place, require_regular

# What a start-up file does when it is there and aiterfix is not, or not whole. Modes that can do without the hook are
# silent where it is merely missing, as after half an uninstallation; any other stops the first import of a kernel
# module, by no `ImportError`, which engines take for "aiter is not there". Needs nothing that is not built in.
_INSTEAD = """\
import os, sys
reason = " ".join(("%s: %s" % (type(error).__name__, error)).split())
reason = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in reason)
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

_PROBE = (
    NOT_FROM_HERE
    + """
import json, os, site, sys
from importlib import metadata
facts = {"executable": sys.executable, "version": list(sys.version_info[:2]), "site": site.getsitepackages()}
if site.ENABLE_USER_SITE:
    facts["site"].append(site.getusersitepackages())
try:
    # Its files are not read here: one of them may be a FIFO.
    folder = str(metadata.distribution("aiterfix")._path)
    record = os.path.join(folder, "RECORD")
    facts["distribution"] = [record] if folder.endswith(".dist-info") and os.path.lexists(record) else []
except metadata.PackageNotFoundError:
    facts["distribution"] = None
print(json.dumps(facts))
"""
)


@dataclass(frozen=True)
class Site:
    """Where an interpreter's start-up files go.

    Attributes:
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
        outdated: files of our names as another version of aiterfix wrote them: RECORD has their digests.
        recorded: whether RECORD lists every file that is there, so that uninstalling removes them.
    """

    enabled: bool
    files: tuple[Path, ...]
    foreign: tuple[Path, ...]
    recorded: bool
    outdated: tuple[Path, ...] = ()


def find_site(executable: Path) -> Site:
    """Ask an interpreter where its aiterfix is installed.

    Args:
        executable: the interpreter; it is started once, with the hook off.

    Raises:
        EnvironmentProblem: it cannot be started, has no aiterfix, or has it where no start-up file is read.
    """
    try:
        # Another user's interpreter runs that user's code at start; this process's own has run it already.
        owner = None if str(executable) == sys.executable else children.owner_of(executable)
        done = subprocess.run(
            [str(executable), "-c", _PROBE],
            capture_output=True,
            text=True,
            env=children.environment({"AITERFIX": "off"}, owner),
            timeout=60,
            check=True,
            **children.rights(owner),
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
            remedy=f"Run `{executable} -m {install_line()}`, or use `aiterfix run -- COMMAND`.",
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
    with _reported("Nothing was changed."), _held(site) as (folder, record):
        there = {name: _read(folder.at(name)) for name, _ in _ALL}
        listed, _ = record.read()
    ours = tuple(n for n, text in _ALL if there[n] == text)
    rows = frozenset(listed.splitlines())
    other = {n: found for n, text in _ALL if (found := there[n]) is not None and found != text}
    outdated = {n for n, found in other.items() if (n, found) in _FORMER or _row(n, found).strip() in rows}
    recorded = all(_row(n, t).strip() in rows for n, t in _ALL if n in ours)
    return SiteState(
        enabled=all(n in ours for n, _ in site.wanted),
        files=tuple(site.folder / n for n in ours),
        foreign=tuple(site.folder / n for n in other if n not in outdated),
        recorded=recorded,
        outdated=tuple(site.folder / n for n in other if n in outdated),
    )


def enable(site: Site) -> tuple[Path, ...]:
    """Have every start of the interpreter put the hook in place.

    Returns:
        The files written; none where all was as wanted.

    Raises:
        AiterfixError: read-only, foreign owner, a file of that name that is not ours, another aiterfix at work.
    """
    with _transaction(site) as (folder, record):
        written = []
        rows = [Listed(n, sha256_hex(t), len(t)) for n, t in site.wanted]
        data, _ = record.read()
        present = set(data.splitlines())
        added = [r for r, (n, t) in zip(rows, site.wanted, strict=True) if _row(n, t).strip() not in present]
        if added:
            data = edit(data, (), added)[0]
            _replace(record, data)
        for name, text in site.wanted:
            if _read(folder.at(name)) != text:
                _replace(folder.at(name), text)
                written.append(site.folder / name)
        # Not before: by its row a file of another version is known for one.
        kept = _without_former(data)
        if kept != data:
            _replace(record, kept)
        return tuple(written)


def disable(site: Site) -> tuple[Path, ...]:
    """Take the start-up files away.

    Returns:
        The files removed; none where there were none.

    Raises:
        AiterfixError: see `enable`.
    """
    with _transaction(site) as (folder, record):
        removed = [site.folder / n for n, _ in reversed(_ALL) if fsops.unlink_if_there(folder.at(n))]
        fsops.sync_directory(folder.at())
        data, _ = record.read()
        kept = _without(_without_former(data), _ALL)
        if kept != data:
            _replace(record, kept)
        return tuple(removed)


@contextmanager
def _held(site: Site) -> Iterator[tuple[Folder, Place]]:
    """The site directory, and RECORD in the distribution's own."""
    with Folder.open(site.folder) as folder, Folder.open(site.record.parent) as info:
        yield folder, info.at(site.record.name)


@contextmanager
def _transaction(site: Site) -> Iterator[tuple[Folder, Place]]:
    outcome = "What was done is whole; run the command again to finish."
    with _reported(outcome), _held(site) as (folder, record):
        require_writable(folder.at())
        require_writable(record.base.at())
        for place in (record, *(folder.at(n) for n, _ in _ALL)):
            status = place.status_if_there()
            if status is not None:
                require_regular(status, place.path)
                require_owner(place, status)
        with locked(record.base, _LOCK_SECONDS):
            foreign = look(site).foreign
            if foreign:
                raise ChangedSinceError(
                    f"{foreign[0]} is not as aiterfix wrote it. Nothing was changed.",
                    why="Somebody else has changed it, or another version of aiterfix wrote it.",
                    remedy="Look at it, remove it by hand if nobody needs it, and run the command again.",
                )
            yield folder, record


@contextmanager
def _reported(outcome: str) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise from_os_error(failure, outcome) from failure


def _replace(place: Place, data: bytes) -> None:
    old = place.status_if_there()
    mode, owner = (0o644, None) if old is None else (stat.S_IMODE(old.st_mode), (old.st_uid, old.st_gid))
    fsops.replace(place, temporary(place), data, mode=mode, owner=owner)


def _without(record: bytes, files: Iterable[tuple[str, bytes]]) -> bytes:
    """RECORD without the rows of these files."""
    return undo(record, RecordEdit(appended=b"".join(_row(n, t) for n, t in files)))


def _without_former(record: bytes) -> bytes:
    """RECORD without the rows that other versions left for files of our names."""
    now = {_row(n, t).strip() for n, t in _ALL}
    names = tuple(f"{n},".encode() for n, _ in _ALL)
    former = [r for r in record.splitlines(keepends=True) if r.startswith(names) and r.strip() not in now]
    return undo(record, RecordEdit(appended=b"".join(former))) if former else record


def _row(name: str, text: bytes) -> bytes:
    return edit(b"", (), [Listed(name, sha256_hex(text), len(text))])[0]


def _read(place: Place) -> bytes | None:
    try:
        return place.read()[0]
    except FileNotFoundError:
        return None
