"""``patches/*.toml`` read into frozen, validated objects: every known fault, judged or not.

A file without a ``verb`` describes a fault that has no module yet: reports name it as not judged. ``--fixes DIR``
reads more files, of existing verbs; they bring the kernels they are about.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiterfix.errors import NotUnderstoodError
from aiterfix.family.kernels import GROUPS, KernelGroup, PrebuiltDirectory
from aiterfix.faults.base import Consequence, Fault, NotJudged, PullRequest, Told, Trigger
from aiterfix.faults.condition import Condition, ConditionError, Phrase
from aiterfix.source.roles import KernelRoles
from aiterfix.storage.held import read_file
from aiterfix.storage.record import record

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCHEMA = 2
VERBS = (
    "bound-causal",
    "bound-column",
    "change-compiler",
    "fit-instruction",
    "hide-unseen",
    "match-parameters",
    "page-by-block",
    "take-chunk",
    "take-row-stride",
    "walk-past-empty",
    "widen-gather",
    "widen-row",
)
"""What can be detected and taken out, see `aiterfix.faults.verbs`."""

_OWN_KERNELS_ONLY = ("bound-causal", "page-by-block")
"""Verbs that go by more of a kernel's parameters than a fault file can name."""
_MOST_BYTES = 1 << 20  # of a fault file; the longest has some thousand
_MOST_LEVELS = 12
_MANY_PARTS = re.compile(rb"""(?:\.(?:"[^"\n]*"|'[^'\n]*'|[\w-]+)){40}""")

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_WORDS = "lower-case words joined by hyphens"
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*\Z")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+\Z")


class FaultFileError(NotUnderstoodError):
    """A fault file that does not say what it must. Names the file and the key."""

    code = "fault-file"

    def __init__(self, path: Path, key: str, problem: str) -> None:
        super().__init__(
            f"{path}: {key}: {problem}" if key else f"{path}: {problem}",
            remedy="Correct the fault file; `patches/README.md` lists every key.",
        )
        self.path = path
        self.key = key


@record(frozen=True)
class Faults:
    """Every known fault.

    Attributes:
        judged: those that have a verb, by id.
        not_judged: those that have none, by id.
    """

    judged: tuple[Fault, ...]
    not_judged: tuple[NotJudged, ...] = ()

    @property
    def groups(self) -> tuple[KernelGroup, ...]:
        """The kernels of all of them, each group once."""
        return tuple(dict.fromkeys(g for f in self.judged for g in f.groups))

    @property
    def kernels(self) -> tuple[KernelRoles, ...]:
        """Every kernel that a judged fault may be in."""
        return tuple(k for g in self.groups for k in g.kernels)

    @property
    def deciding(self) -> frozenset[str]:
        """Ids of the judged faults that make a verdict where nobody asks for others, by the kernels' text alone."""
        return frozenset(f.id for f in self.judged if f.consequence.decides and not f.by_compiler)

    @property
    def deciding_by_compiler(self) -> frozenset[str]:
        """The same of those that take a certain compiler: they decide only where it is known which one there is."""
        return frozenset(f.id for f in self.judged if f.consequence.decides and f.by_compiler)

    def get(self, fault: str) -> Fault:
        """The judged fault of this id.

        Raises:
            KeyError: there is none.
        """
        return next(f for f in self.judged if f.id == fault)


class _Table:
    """A TOML table with typed access; every complaint names file and key."""

    def __init__(self, data: Mapping[str, Any], path: Path, prefix: str = "") -> None:
        self.data = data
        self.path = path
        self.prefix = prefix

    def fail(self, key: str, problem: str) -> FaultFileError:
        return FaultFileError(self.path, self.prefix + key, problem)

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
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**31) <= value < 2**31:
            raise self.fail(key, "must be an integer of at most 32 bits")
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


def _kernel(t: _Table, group: str) -> KernelRoles:
    t.only("name", "output", "strides", "bound", "caches")
    pattern, kind = re.compile(r"[^\W\d]\w*\Z"), "a Python identifier"
    roles = KernelRoles(
        name=t.identifier("name"),
        output=t.identifier("output"),
        strides=t.strings("strides", pattern, kind),
        bound=t.identifier("bound"),
        group=group,
        caches=t.strings("caches", pattern, kind) if "caches" in t.data else (),
    )
    if not roles.strides:
        raise t.fail("strides", "must name at least one stride of the output")
    parameters = [roles.output, roles.bound, *roles.strides, *roles.caches]
    if len(set(parameters)) != len(parameters):
        raise t.fail("output", "output, bound, strides and caches must be different parameters")
    return roles


def _prebuilt(t: _Table) -> PrebuiltDirectory:
    t.only("directory", "enabled_by")
    directory = t.string("directory")
    if directory.startswith("/") or ".." in directory.split("/"):
        raise t.fail("directory", "must be relative and stay inside the package")
    return PrebuiltDirectory(directory, t.identifier("enabled_by"))


def _group(t: _Table) -> KernelGroup:
    t.only("name", "modules", "wrappers", "entry", "prebuilt", "kernels")
    name = t.string("name", _ID, _WORDS)
    if any(g.name == name for g in GROUPS):
        raise t.fail("name", f"{name!r} is the name of a group of this package")
    kernels = tuple(_kernel(k, name) for k in t.tables("kernels"))
    if not kernels:
        raise t.fail("kernels", "must declare at least one kernel")
    names = [k.name for k in kernels]
    for i, kernel in enumerate(names):
        if kernel in names[:i]:
            raise t.fail(f"kernels[{i}].name", f"{kernel!r} is declared twice")
    prebuilt = t.table("prebuilt")
    return KernelGroup(
        name,
        kernels,
        t.strings("modules", _MODULE, "a dotted module name"),
        t.strings("wrappers", _MODULE, "a dotted module name"),
        t.string("entry", _IDENTIFIER, "a name") if "entry" in t.data else None,
        _prebuilt(prebuilt) if prebuilt is not None else None,
    )


def _pull_request(t: _Table) -> PullRequest:
    t.only("repository", "number", "role", "removes", "issue")
    kind = "a guard without an upper bound (none, lower)"
    removes = t.strings("removes", re.compile(r"(none|lower)\Z"), kind) if "removes" in t.data else ()
    issue = t.data.get("issue", False)
    if not isinstance(issue, bool):
        raise t.fail("issue", "must be true or false")
    repository = t.string("repository", _REPOSITORY, "owner/name")
    return PullRequest(repository, t.integer("number"), t.string("role"), removes, issue)


def _trigger(t: _Table, *, judged: bool) -> Trigger:
    t.only("sentence", "condition", "told", "where_unknown")
    sentence = t.string("sentence")
    try:
        condition = Condition(t.string("condition")) if judged or "condition" in t.data else Condition("triggered")
    except ConditionError as error:
        raise t.fail("condition", str(error)) from error
    where_unknown = t.string("where_unknown") if "where_unknown" in t.data else ""
    return Trigger(sentence, condition, tuple(map(_told, t.tables("told"))), where_unknown)


def _told(t: _Table) -> Told:
    t.only("when", "text")
    try:
        when = Condition(t.string("when"))
    except ConditionError as error:
        raise t.fail("when", str(error)) from error
    try:
        return Told(when, Phrase(t.string("text")))
    except ConditionError as error:
        raise t.fail("text", str(error)) from error


def _choice(t: _Table, key: str, choices: Sequence[str]) -> str:
    value = t.string(key)
    if value not in choices:
        raise t.fail(key, f"{value!r} is none of {', '.join(choices)}")
    return value


def parse_fault(text: bytes, file: Path) -> Fault | NotJudged:
    """Parse and validate one fault file.

    Args:
        text: the file's bytes.
        file: where they come from, for messages.

    Raises:
        FaultFileError: naming file and key.
    """
    try:
        if _MANY_PARTS.search(text.translate(None, b" \t")):
            raise ValueError("a name has more than 40 parts")  # the parser's time is their number squared
        data = tomllib.loads(text.decode("utf-8"))
        _require_shallow(data)
    except (ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise FaultFileError(file, "", f"not TOML that can be a fault file: {said}") from error
    t = _Table(data, file)
    schema = t.integer("schema")
    if schema == 1:
        raise t.fail("schema", "1 is the fix file of aiterfix 0.1; patches/README.md says how to write it as 2")
    if schema != SCHEMA:
        raise t.fail("schema", f"{schema} is not a version this aiterfix reads ({SCHEMA})")
    t.only("schema", "id", "title", "verb", "goes_wrong", "consequence", "trigger", "remedy", "groups", "upstream")
    name, title = t.string("id", _ID, _WORDS), t.string("title")
    consequence = Consequence(_choice(t, "consequence", [c.value for c in Consequence]))
    goes_wrong = t.string("goes_wrong")
    trigger = t.table("trigger")
    if trigger is None:
        raise t.fail("trigger", "missing")
    bites = _trigger(trigger, judged="verb" in data)
    upstream = tuple(_pull_request(p) for p in t.tables("upstream"))
    if "verb" not in data:
        return NotJudged(name, title)
    groups = tuple(_group(g) for g in t.tables("groups")) if "groups" in data else GROUPS
    if not groups:
        raise t.fail("groups", "must name at least one group of kernels, or be left out")
    verb = _choice(t, "verb", VERBS)
    if "groups" in data and verb in _OWN_KERNELS_ONLY:
        raise t.fail("groups", f"{verb} is for the kernels that this package knows, so it must be left out")
    for i, group in enumerate(groups):
        for j, kernel in enumerate(group.kernels if verb == "widen-gather" else ()):
            if not kernel.caches:
                raise t.fail(f"groups[{i}].kernels[{j}].caches", f"{verb} needs the parameters that point to a cache")
    remedy = t.string("remedy") if "remedy" in data else ""
    return Fault(name, title, verb, goes_wrong, consequence, bites, groups, upstream, file, remedy)


def _require_shallow(value: object) -> None:
    """Of tables within tables within lists there are a few levels; more would only serve to exhaust somebody."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if level:
        raise ValueError(f"nested deeper than {_MOST_LEVELS} levels")


def default_directory() -> Path:
    """The folder of fault files: inside the installed package, or ``patches/`` of a checkout."""
    packaged = Path(__file__).parents[1] / "_data" / "patches"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "patches"


def load_faults(directory: Path | None = None, extra: Sequence[Path] = ()) -> Faults:
    """Every fault of a folder, by file name, and of further folders.

    Args:
        directory: folder of ``*.toml`` files; the package's own by default.
        extra: more such folders; their faults must not clash with the others.

    Raises:
        FaultFileError: a file is wrong, two files clash, or a folder holds none.
    """
    faults: list[Fault | NotJudged] = []
    origin: dict[str, Path] = {}
    for folder in (default_directory() if directory is None else directory, *extra):
        files = sorted(folder.glob("*.toml"))
        if not files:
            raise FaultFileError(folder, "", "no fault files (*.toml) here")
        for file in files:
            try:
                text = read_file(file, most=_MOST_BYTES)
            except OSError as error:
                raise FaultFileError(file, "", f"cannot be read: {error.strerror or error}") from error
            fault = parse_fault(text, file)
            if fault.id in origin:
                raise FaultFileError(file, "id", f"{fault.id!r} is already the id of {origin[fault.id]}")
            origin[fault.id] = file
            faults.append(fault)
    judged = tuple(f for f in faults if isinstance(f, Fault))
    _cross_check(judged)
    # A file that went missing takes its fault out of every judgement, and what is left may then look clean.
    if directory is None and (missing := set(VERBS) - {f.verb for f in judged}):
        raise FaultFileError(default_directory(), "", f"no file has the verb {min(missing)!r}: one is missing")
    return Faults(judged, tuple(f for f in faults if isinstance(f, NotJudged)))


def _cross_check(faults: Sequence[Fault]) -> None:
    """One kernel has one set of roles, and one name of a group means one group."""
    kernels: dict[str, tuple[KernelRoles, Path]] = {}
    groups: dict[str, tuple[KernelGroup, Path]] = {}
    for fault in faults:
        for group in fault.groups:
            first, file = groups.setdefault(group.name, (group, fault.file))
            if first != group:
                raise FaultFileError(fault.file, "groups", f"{group.name!r} is another group in {file}")
            for roles in group.kernels:
                known, file = kernels.setdefault(roles.name, (roles, fault.file))
                if known != roles:
                    raise FaultFileError(fault.file, "groups", f"{roles.name!r} is declared otherwise in {file}")
