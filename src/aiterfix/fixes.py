"""``patches/*.toml`` read into frozen, validated objects.

A fix file declares, per kernel, the output parameter, every stride of the output, and the column
bound. That is all the source analysis needs to know: a fix for another kernel is a new file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiterfix.errors import NotUnderstoodError
from aiterfix.verdict import Guard

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 1
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_WORDS = "lower-case words joined by hyphens"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+\Z")


class FixFileError(NotUnderstoodError):
    """A fix file that does not say what it must. Names the file and the key."""

    code = "fix-file"

    def __init__(self, path: Path, key: str, problem: str) -> None:
        super().__init__(
            f"{path}: {key}: {problem}" if key else f"{path}: {problem}",
            remedy="Correct the fix file; `patches/README.md` lists every key.",
        )
        self.path = path
        self.key = key


@dataclass(frozen=True)
class KernelSpec:
    """What one kernel's stores must respect.

    Attributes:
        name: the kernel's function name; its identity, wherever the file has moved to.
        output: the parameter that points to the output.
        strides: every parameter that is a stride of the output, in elements (rows, heads).
        bound: the parameter that bounds a column, in elements; a column must be smaller.
    """

    name: str
    output: str
    strides: tuple[str, ...]
    bound: str


@dataclass(frozen=True)
class AotDirectory:
    """Prebuilt code objects that a source patch does not reach.

    Attributes:
        directory: relative to the folder that holds the package, with forward slashes.
        enabled_by: environment variable that switches them on.
    """

    directory: str
    enabled_by: str


@dataclass(frozen=True)
class PullRequest:
    """A pull request that brought, or proposes, part of the fix.

    Attributes:
        repository: owner and name.
        number: of the pull request.
        role: what it does, one phrase.
        removes: guards that no store of the fix's kernels has once its change is in; by these, source tells
            whether a tree has it. Empty where it does not change the kernels.
    """

    repository: str
    number: int
    role: str
    removes: tuple[Guard, ...] = ()


@dataclass(frozen=True)
class Fix:
    """One fix: which kernels, and where an import hook stands for them.

    Attributes:
        id: stable name, also the file's.
        title: one line for people.
        path: the code path that takes these kernels ("gluon", "stage1"); `--kernel` asks by it.
        superseded_by: another path that is taken instead on gfx942 and gfx950 where it is installed.
        modules: where the kernels stand in some release.
        wrappers: modules that import the kernels by name and keep compiled copies.
        kernels: what to look for.
        aot: prebuilt code objects that replace the source.
        upstream: pull requests that brought or propose part of the fix.
        file: where this was read from.
    """

    id: str
    title: str
    path: str
    superseded_by: str | None
    modules: tuple[str, ...]
    wrappers: tuple[str, ...]
    kernels: tuple[KernelSpec, ...]
    aot: AotDirectory | None
    upstream: tuple[PullRequest, ...]
    file: Path

    def kernel(self, name: str) -> KernelSpec | None:
        """The entry of the kernel of this name, if the fix has one."""
        return next((k for k in self.kernels if k.name == name), None)


class _Table:
    """A TOML table with typed access; every complaint names file and key."""

    def __init__(self, data: Mapping[str, Any], path: Path, prefix: str = "") -> None:
        self.data = data
        self.path = path
        self.prefix = prefix

    def fail(self, key: str, problem: str) -> FixFileError:
        return FixFileError(self.path, self.prefix + key, problem)

    def only(self, *allowed: str) -> None:
        for key in self.data:
            if key not in allowed:
                raise self.fail(key, f"unknown key; known here: {', '.join(allowed)}")

    def string(self, key: str, pattern: re.Pattern[str] | None = None, kind: str = "") -> str:
        value = self._get(key)
        if not isinstance(value, str) or not value.strip():
            raise self.fail(key, "must be a non-empty string")
        if pattern is not None and not pattern.match(value):
            raise self.fail(key, f"{value!r} is not {kind}")
        return value

    def identifier(self, key: str) -> str:
        value = self.string(key)
        if not value.isidentifier():
            raise self.fail(key, f"{value!r} is not a Python identifier")
        return value

    def integer(self, key: str) -> int:
        value = self._get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fail(key, "must be an integer")
        return value

    def strings(self, key: str, pattern: re.Pattern[str], kind: str) -> tuple[str, ...]:
        value = self._get(key)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.fail(key, "must be a list of strings")
        for v in value:
            if not pattern.match(v):
                raise self.fail(key, f"{v!r} is not {kind}")
        if len(set(value)) != len(value):
            raise self.fail(key, "names one thing twice")
        return tuple(value)

    def tables(self, key: str) -> list[_Table]:
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            raise self.fail(key, f"must be an array of tables, [[{key}]]")
        return [_Table(v, self.path, f"{self.prefix}{key}[{i}].") for i, v in enumerate(value)]

    def table(self, key: str) -> _Table | None:
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fail(key, "must be a table")
        return _Table(value, self.path, f"{self.prefix}{key}.")

    def _get(self, key: str) -> Any:
        if key not in self.data:
            raise self.fail(key, "missing")
        return self.data[key]


def _kernel(t: _Table) -> KernelSpec:
    t.only("name", "output", "strides", "bound")
    spec = KernelSpec(
        name=t.identifier("name"),
        output=t.identifier("output"),
        strides=t.strings("strides", re.compile(r"[^\W\d]\w*\Z"), "a Python identifier"),
        bound=t.identifier("bound"),
    )
    if not spec.strides:
        raise t.fail("strides", "must name at least one stride of the output")
    roles = [spec.output, spec.bound, *spec.strides]
    if len(set(roles)) != len(roles):
        raise t.fail("output", "output, bound and strides must be different parameters")
    return spec


def _aot(t: _Table) -> AotDirectory:
    t.only("directory", "enabled_by")
    directory = t.string("directory")
    if directory.startswith("/") or ".." in directory.split("/"):
        raise t.fail("directory", "must be relative and stay inside the package")
    return AotDirectory(directory, t.identifier("enabled_by"))


def _pull_request(t: _Table) -> PullRequest:
    t.only("repository", "number", "role", "removes")
    unbounded = [g.value for g in Guard if not g.bounded]
    kind = f"a guard without an upper bound ({', '.join(unbounded)})"
    removes = t.strings("removes", re.compile(rf"({'|'.join(unbounded)})\Z"), kind) if "removes" in t.data else ()
    return PullRequest(
        t.string("repository", _REPOSITORY, "owner/name"),
        t.integer("number"),
        t.string("role"),
        tuple(Guard(g) for g in removes),
    )


def parse_fix(text: bytes, file: Path) -> Fix:
    """Parse and validate one fix file.

    Args:
        text: the file's bytes.
        file: where they come from, for messages.

    Raises:
        FixFileError: naming file and key.
    """
    try:
        data = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FixFileError(file, "", f"not TOML: {error}") from error
    t = _Table(data, file)
    schema = t.integer("schema")
    if schema != SCHEMA:
        raise t.fail("schema", f"{schema} is not a version this aiterfix reads ({SCHEMA})")
    t.only("schema", "id", "title", "path", "superseded_by", "modules", "wrappers", "aot", "kernels", "upstream")
    kernels = tuple(_kernel(k) for k in t.tables("kernels"))
    if not kernels:
        raise t.fail("kernels", "must declare at least one kernel")
    names = [k.name for k in kernels]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise t.fail(f"kernels[{i}].name", f"{name!r} is declared twice")
    aot = t.table("aot")
    return Fix(
        id=t.string("id", _ID, _WORDS),
        title=t.string("title"),
        path=t.string("path", _ID, _WORDS),
        superseded_by=t.string("superseded_by", _ID, _WORDS) if "superseded_by" in data else None,
        modules=t.strings("modules", _MODULE, "a dotted module name"),
        wrappers=t.strings("wrappers", _MODULE, "a dotted module name"),
        kernels=kernels,
        aot=_aot(aot) if aot is not None else None,
        upstream=tuple(_pull_request(p) for p in t.tables("upstream")),
        file=file,
    )


def default_directory() -> Path:
    """The folder of fix files: inside the installed package, or ``patches/`` of a checkout."""
    packaged = Path(__file__).parent / "_data" / "patches"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "patches"


def load_fixes(directory: Path | None = None, extra: Sequence[Path] = ()) -> tuple[Fix, ...]:
    """Every fix of a folder, by file name, and of further folders.

    Args:
        directory: folder of ``*.toml`` files; the package's own by default.
        extra: more such folders; their fixes must not clash with the others.

    Raises:
        FixFileError: a file is wrong, two files clash, or a folder holds none.
    """
    fixes = []
    for folder in (default_directory() if directory is None else directory, *extra):
        files = sorted(folder.glob("*.toml"))
        if not files:
            raise FixFileError(folder, "", "no fix files (*.toml) here")
        for file in files:
            try:
                text = file.read_bytes()
            except OSError as error:
                raise FixFileError(file, "", f"cannot be read: {error.strerror}") from error
            fixes.append(parse_fix(text, file))
    _cross_check(fixes)
    return tuple(fixes)


def _cross_check(fixes: Sequence[Fix]) -> None:
    owner: dict[str, Fix] = {}
    ids: dict[str, Fix] = {}
    for fix in fixes:
        if fix.id in ids:
            raise FixFileError(fix.file, "id", f"{fix.id!r} is already the id of {ids[fix.id].file}")
        ids[fix.id] = fix
        for i, kernel in enumerate(fix.kernels):
            if kernel.name in owner:
                raise FixFileError(
                    fix.file, f"kernels[{i}].name", f"{kernel.name!r} is already declared by {owner[kernel.name].file}"
                )
            owner[kernel.name] = fix
