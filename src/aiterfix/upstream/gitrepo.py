"""A clone, found by GitPython and read through git's plumbing. Never fetches; work tree, index and branch stay.

Whoever made the clone may have written its configuration, and may mean harm. Every command names the repository
itself; runs without the user's and the system's configuration and without any ``GIT_*`` of the environment; and has
all that a repository's own configuration can make git start overridden: hooks, monitors, pagers, drivers, and every
protocol, so that a promisor remote is never asked, in versions of git too that know no other way.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.storage.held import open_file
from aiterfix.upstream.extras import need

if TYPE_CHECKING:
    import git

_WINDOW = 256  # requests under way: 256 lines of 41 bytes fit into a pipe, so neither side waits for the other
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.sshCommand=false",
    "core.gitProxy=false",
    "core.pager=cat",
    "core.askPass=false",
    "core.alternateRefsCommand=false",
    "core.attributesFile=/dev/null",
    "credential.helper=",
    "diff.external=",
    "log.showSignature=false",
    "gpg.program=false",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.quotePath=true",
)
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",  # outranks what a repository allows by protocol.<name>.allow
    "GIT_NO_LAZY_FETCH": "1",  # from git 2.45 on
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,  # from git 2.32 on; for others there is no home
    "HOME": os.devnull,
    "XDG_CONFIG_HOME": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}
# Words about the user, which say nothing of what to run.
_IDENTITY = tuple(f"GIT_{who}_{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL", "DATE"))


class CloneError(EnvironmentProblem):
    """Git refused, or the folder is no repository."""

    code = "clone"


@dataclass(frozen=True)
class GitObject:
    """One object of the database."""

    oid: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class TreeEntry:
    """One line of a tree object. ``mode`` as git writes it: ``40000`` is a folder, ``120000`` a symbolic link."""

    mode: bytes
    name: bytes
    oid: str


@dataclass(frozen=True)
class Tag:
    """A reference below ``refs/tags``. ``commit`` is empty where it names something else than a commit."""

    name: str
    commit: str
    date: str


class Clone:
    """A repository on this machine.

    Args:
        path: the clone: bare, with a work tree, or a linked work tree.

    Raises:
        CloneError: no git repository is there.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise UsageError(f"{path} does not exist", remedy="Give --repo the folder of a clone.")
        self.path = path
        self._program = _program()
        repository = _find(path)
        self.git_dir = Path(repository.git_dir)
        self.common_dir = Path(repository.common_dir)
        self.bare = bool(repository.bare)
        self.work_tree = Path(repository.working_tree_dir) if repository.working_tree_dir else None
        self.shallow = self.text("rev-parse", "--is-shallow-repository").strip() == "true"
        self.partial = bool(
            self.text("config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$", status=(0, 1))
        )

    def _environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {
            **{n: v for n, v in os.environ.items() if not n.startswith("GIT_") or n in _IDENTITY},
            **_ENVIRONMENT,
            **(extra or {}),
        }

    def _start(self, arguments: Iterable[str], environment: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        try:
            return subprocess.Popen(
                [self._program, f"--git-dir={self.git_dir}", "--no-pager", *settings, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.git_dir if self.git_dir.is_dir() else self.path,
                env=self._environment(environment),
            )
        except OSError as error:
            raise CloneError("git cannot be run", why=str(error), remedy="Install git, or put it on PATH.") from error

    def _run(
        self, arguments: tuple[str, ...], data: bytes, status: tuple[int, ...], environment: dict[str, str] | None
    ) -> tuple[int, bytes]:
        with self._start(arguments, environment) as process:
            out, err = process.communicate(data)
        if process.returncode not in status:
            raise CloneError(f"{self.path}: git {arguments[0]} failed", why=_message(err))
        return process.returncode, out

    def output(
        self,
        *arguments: str,
        status: tuple[int, ...] = (0,),
        environment: dict[str, str] | None = None,
    ) -> bytes:
        """What a git command prints.

        Args:
            status: exit codes that are not errors.

        Raises:
            CloneError: another exit code.
        """
        return self._run(arguments, b"", status, environment)[1]

    def text(self, *arguments: str, status: tuple[int, ...] = (0,), environment: dict[str, str] | None = None) -> str:
        """`output`, decoded; what is not UTF-8 shows as an escape."""
        return self.output(*arguments, status=status, environment=environment).decode("utf-8", "backslashreplace")

    def feed(self, data: bytes, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """What a git command prints, given something to read.

        Raises:
            CloneError: it failed.
        """
        return self._run(arguments, data, (0,), environment)[1].decode("utf-8", "backslashreplace")

    def tags(self) -> tuple[Tag, ...]:
        """Every tag, annotated ones followed to their commit."""
        out = self.text(
            "for-each-ref",
            "--format=%(refname:lstrip=2)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)"
            "%00%(creatordate:iso-strict)",
            "refs/tags",
        )
        tags = []
        for line in out.splitlines():
            name, kind, oid, inner_kind, inner, date = line.split("\0")
            commit = oid if kind == "commit" else inner if inner_kind == "commit" else ""
            if inner_kind == "tag":
                commit = self.resolve(f"refs/tags/{name}") or ""
            tags.append(Tag(name, commit, date))
        return tuple(tags)

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision names; None where it names none."""
        if not revision or revision.startswith("-") or "\n" in revision or "\0" in revision:
            return None
        out = self.text("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", status=(0, 1, 128)).strip()
        return out or None

    def commit_date(self, commit: str) -> str:
        """The committer's date, ISO 8601."""
        return self.text("show", "--no-patch", "--no-show-signature", "--format=%cI", commit).strip()

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether a commit is part of another's history. Both must be here.

        Raises:
            CloneError: one is not.
        """
        return self._run(("merge-base", "--is-ancestor", commit, of), b"", (0, 1), None)[0] == 0

    def identity(self) -> dict[str, str]:
        """Variables that tell git who the user is, where neither the environment nor the clone says so: from the
        user's own configuration, which is read for nothing else."""
        found: dict[str, str] = {}
        for key, what in (("user.name", "NAME"), ("user.email", "EMAIL")):
            if not self.text("config", "--get", key, status=(0, 1)).strip() and (value := self._users_own(key)):
                found |= {n: value for n in _IDENTITY if n.endswith(what) and n not in os.environ}
        return found

    def _users_own(self, key: str) -> str:
        # At the root of the file system, where there is no clone's configuration.
        asked = subprocess.run(
            [self._program, "config", "--get", key],
            cwd="/", capture_output=True, env={**os.environ, "GIT_DIR": os.devnull}, check=False,
        )  # fmt: skip
        return asked.stdout.decode("utf-8", "backslashreplace").strip() if asked.returncode == 0 else ""

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        """Open the object database for reading."""
        local = None
        if self.partial:
            # Asking git for a missing object makes it fetch; older versions cannot be told not to.
            out = self.output("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
            local = frozenset(out.decode("ascii").split())
        process = self._start(["cat-file", "--batch"])
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        # Git complains on stderr about every damaged object; a full pipe would stop it, and us.
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        try:
            yield Objects(process, local)
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            process.wait()
            drain.join()
            process.stderr.close()


class Objects:
    """Reads objects through one ``git cat-file --batch``."""

    def __init__(self, process: subprocess.Popen[bytes], local: frozenset[str] | None) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._in = process.stdin
        self._out = process.stdout
        self._local = local

    def read(self, oids: Iterable[str]) -> Iterator[tuple[str, GitObject | None]]:
        """Objects in the order asked for; None for one that is not here. Read all before asking again.

        Raises:
            CloneError: git stopped answering.
        """
        window: list[str] = []
        for oid in oids:
            if self._local is not None and oid not in self._local:
                yield oid, None
                continue
            window.append(oid)
            if len(window) == _WINDOW:
                yield from self._exchange(window)
                window = []
        yield from self._exchange(window)

    def _exchange(self, window: list[str]) -> Iterator[tuple[str, GitObject | None]]:
        if not window:
            return
        try:
            self._in.write(b"".join(oid.encode() + b"\n" for oid in window))
            self._in.flush()
        except OSError as error:
            raise CloneError("git cat-file stopped", why=str(error)) from error
        for oid in window:
            header = self._out.readline().split()
            if len(header) == 2 and header[1] == b"missing":
                yield oid, None
                continue
            if len(header) != 3:
                raise CloneError("git cat-file stopped", why=f"it answered {header!r} for {oid}")
            size = int(header[2])
            data = self._out.read(size)
            if len(data) != size or self._out.read(1) != b"\n":
                raise CloneError("git cat-file stopped", why=f"{oid} came incomplete")
            yield oid, GitObject(header[0].decode(), header[1].decode(), data)


def tree_entries(tree: GitObject) -> Iterator[TreeEntry]:
    """The lines of a tree object."""
    width = len(tree.oid) // 2
    data = tree.data
    position = 0
    while position < len(data):
        blank = data.index(b" ", position)
        end = data.index(b"\0", blank)
        oid = data[end + 1 : end + 1 + width].hex()
        yield TreeEntry(data[position:blank], data[blank + 1 : end], oid)
        position = end + 1 + width


def tree_of(commit: GitObject) -> str:
    """The tree of a commit object."""
    return commit.data[5 : commit.data.index(b"\n")].decode("ascii")


def _message(err: bytes) -> str:
    return " ".join(err.decode("utf-8", "backslashreplace").split())[:600]


def _find(path: Path) -> git.Repo:
    """What is at ``path``, found by GitPython, which reads files for that and runs nothing.

    Raises:
        CloneError: no git repository.
    """
    module = need("git")

    class Found(module.Repo):  # type: ignore[misc, name-defined]
        def config_reader(self, *_: object) -> Any:
            # Files that a configuration includes may be anything, a FIFO too.
            return module.GitConfigParser([str(Path(self.common_dir) / "config")], read_only=True, merge_includes=False)

    try:
        for config in (path / ".git" / "config", path / "config"):
            if os.path.lexists(config):
                os.close(open_file(config))
        found: git.Repo = Found(path)
        return found
    except (module.exc.InvalidGitRepositoryError, module.exc.NoSuchPathError, OSError, ValueError) as error:
        raise CloneError(
            f"{path} is not a git repository",
            why=" ".join(str(error).split()),
            remedy="Give --repo a clone, for example one made by `git clone --bare https://github.com/ROCm/aiter`.",
        ) from error


def _program() -> str:
    """Where git is; never in whatever folder is the current one.

    Raises:
        CloneError: nowhere.
    """
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = os.path.join(folder, "git")  # noqa: PTH118 - an empty entry is to stay one
        if folder.startswith("/") and os.access(program, os.X_OK):
            return program
    raise CloneError("git cannot be run", why="It is in no folder of PATH.", remedy="Install git, or put it on PATH.")
