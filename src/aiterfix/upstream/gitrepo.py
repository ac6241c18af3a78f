"""A clone, read through git's plumbing. Never fetches, never touches work tree, index or current branch.

GitPython finds the repository and runs git. Every command names the repository itself, so that a ``GIT_DIR`` left in
the environment by a hook cannot redirect it, and runs with hooks, prompts and every network protocol switched off.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.upstream.extras import need

if TYPE_CHECKING:
    import git

_WINDOW = 256  # requests under way: 256 lines of 41 bytes fit into a pipe, so neither side waits for the other
_CONFIG = (
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "protocol.allow=never",
    "-c",
    "gc.auto=0",
    "-c",
    "maintenance.auto=false",
    "-c",
    "core.quotePath=true",
)


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
        module = need("git")
        if not path.exists():
            raise UsageError(f"{path} does not exist", remedy="Give --repo the folder of a clone.")
        try:
            self._repo: git.Repo = module.Repo(path)
        except (module.exc.InvalidGitRepositoryError, module.exc.NoSuchPathError) as error:
            raise CloneError(
                f"{path} is not a git repository",
                remedy="Give --repo a clone, for example one made by `git clone --bare https://github.com/ROCm/aiter`.",
            ) from error
        self._errors = (module.exc.GitCommandError, module.exc.GitCommandNotFound)
        self.path = path
        self.git_dir = Path(self._repo.git_dir)
        self.common_dir = Path(self._repo.common_dir)
        self.bare = bool(self._repo.bare)
        self.work_tree = Path(self._repo.working_tree_dir) if self._repo.working_tree_dir else None
        self._git = module.Git(str(self.git_dir))
        self.shallow = self.text("rev-parse", "--is-shallow-repository").strip() == "true"
        self.partial = bool(
            self.text("config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$", status=(0, 1))
        )

    def _environment(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_OBJECT_DIRECTORY": str(self.common_dir / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
            "GIT_NAMESPACE": "",
            "GIT_EXTERNAL_DIFF": "",
            **(extra or {}),
        }

    def _execute(self, command: list[str], **options: Any) -> Any:
        try:
            return self._git.execute(command, **options)
        except self._errors as error:
            raise CloneError(
                "git cannot be run", why=_message(str(error)), remedy="Install git, or put it on PATH."
            ) from error

    def _command(self, arguments: Iterable[str]) -> list[str]:
        program = self._git.GIT_PYTHON_GIT_EXECUTABLE or "git"
        return [program, f"--git-dir={self.git_dir}", "--no-pager", *_CONFIG, *arguments]

    def output(
        self,
        *arguments: str,
        status: tuple[int, ...] = (0,),
        environment: dict[str, str] | None = None,
    ) -> bytes:
        """What a git command prints.

        Args:
            arguments: the command and its arguments.
            status: exit codes that are not errors.
            environment: variables for this command.

        Raises:
            CloneError: another exit code.
        """
        code, out, err = self._execute(
            self._command(arguments),
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            env=self._environment(environment),
        )
        if code not in status:
            raise CloneError(f"{self.path}: git {arguments[0]} failed", why=_message(err))
        assert isinstance(out, bytes)
        return out

    def text(self, *arguments: str, status: tuple[int, ...] = (0,), environment: dict[str, str] | None = None) -> str:
        """`output`, decoded; what is not UTF-8 shows as an escape."""
        return self.output(*arguments, status=status, environment=environment).decode("utf-8", "backslashreplace")

    def feed(self, data: bytes, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """What a git command prints, given something to read.

        Raises:
            CloneError: it failed.
        """
        process: Any = self._execute(
            self._command(arguments),
            istream=subprocess.PIPE,
            as_process=True,
            env=self._environment(environment),
        )
        out, err = process.proc.communicate(data)
        if process.proc.returncode:
            raise CloneError(f"{self.path}: git {arguments[0]} failed", why=_message(err))
        return str(out.decode("utf-8", "backslashreplace"))

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
        found = self._execute(
            self._command(["merge-base", "--is-ancestor", commit, of]),
            with_extended_output=True,
            with_exceptions=False,
            env=self._environment(),
        )
        if found[0] not in (0, 1):
            raise CloneError(f"{self.path}: git merge-base failed", why=_message(found[2]))
        return bool(found[0] == 0)

    @contextmanager
    def objects(self) -> Iterator[Objects]:
        """Open the object database for reading."""
        local = None
        if self.partial:
            # Asking git for a missing object makes it fetch; older versions cannot be told not to.
            out = self.output("cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered")
            local = frozenset(out.decode("ascii").split())
        process: Any = self._execute(
            self._command(["cat-file", "--batch"]),
            istream=subprocess.PIPE,
            as_process=True,
            env=self._environment(),
        )
        # Git complains on stderr about every damaged object; a full pipe would stop it, and us.
        drain = threading.Thread(target=process.proc.stderr.read, daemon=True)
        drain.start()
        try:
            yield Objects(process.proc, local)
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.proc.stdin.close()
            process.proc.stdout.close()
            process.proc.wait()
            drain.join()
            process.proc.stderr.close()


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


def _message(err: object) -> str:
    text = err.decode("utf-8", "backslashreplace") if isinstance(err, bytes) else str(err)
    return " ".join(text.split())[:600]
