"""What a project says once for every run: ``aiterfix.toml``, or the table ``[tool.aiterfix]`` of ``pyproject.toml``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiterfix.errors import UsageError
from aiterfix.judge.judgement import Ignored
from aiterfix.storage.believed import read_believed
from aiterfix.storage.held import read_file
from aiterfix.storage.record import record

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OWN, SHARED = "aiterfix.toml", "pyproject.toml"
_MOST_BYTES = 1 << 20


class ConfigurationError(UsageError):
    """A file of settings that does not say what it must, or is not believed. Names the file and the key."""

    code = "configuration"

    def __init__(self, path: Path, problem: str, *, remedy: str = "") -> None:
        super().__init__(
            f"{path}: {problem}",
            remedy=remedy
            or 'Its one table is `ignore`, of fault ids and reasons: output-rank = "never more than two axes".',
        )


@record(frozen=True)
class Settings:
    """What a folder's settings say.

    Attributes:
        ignored: faults that shall not decide.
        refused: files that are not believed, a sentence each with the remedy.
    """

    ignored: tuple[Ignored, ...]
    refused: tuple[str, ...]


def settings_in(folder: Path) -> Settings:
    """What the settings of a folder ignore: those of its ``aiterfix.toml``, or of its ``pyproject.toml``.

    A setting can turn a verdict, so a file that others may write is none, and is named.

    Raises:
        ConfigurationError: a file is wrong, or both say something.
    """
    found: dict[Path, Mapping[str, Any]] = {}
    refused: list[str] = []
    for name in (OWN, SHARED):
        path = folder / name
        # Before the folder is asked who may write to it, as all may to /tmp.
        if not os.path.lexists(path):
            continue
        try:
            data = read_believed(path, _MOST_BYTES)
        except OSError as error:
            if name == OWN or _mentions(path):
                why = error.strerror or str(error)
                refused.append(
                    f"not used: {path}: it, or its folder, {why} (--config {path} uses it; or take that right away)"
                )
            continue
        table = _table_of(path, data)
        if table is not None:
            found[path] = table
    if len(found) > 1:
        first, other = found
        raise ConfigurationError(other, f"it and {first} both have settings", remedy="Keep one of the two.")
    return Settings(tuple(i for path, table in found.items() for i in _ignored(path, table)), tuple(refused))


def ignored_by(path: Path) -> tuple[Ignored, ...]:
    """What a file of settings that somebody named ignores.

    Raises:
        ConfigurationError: it is wrong, or cannot be read.
    """
    try:
        data = read_file(path, most=_MOST_BYTES)
    except OSError as error:
        raise ConfigurationError(
            path, f"it cannot be read: {error.strerror or error}", remedy="Name another."
        ) from error
    table = _table_of(path, data)
    if table is None:
        raise ConfigurationError(path, "it has no table [tool.aiterfix]")
    return _ignored(path, table)


def parse_ignored(text: str) -> Ignored:
    """``ID=REASON``, of the command line.

    Raises:
        ValueError: it is none.
    """
    fault, _, reason = text.partition("=")
    if not fault.strip() or not reason.strip():
        raise ValueError(f"must be ID=REASON, as column-bound='rows have 256 padding columns', not {text[:60]!r}")
    return Ignored(fault.strip(), reason.strip(), "--ignore")


def _mentions(path: Path) -> bool:
    """Whether a ``pyproject.toml`` that is not believed would say anything; most have no table of ours."""
    try:
        return b"aiterfix" in read_file(path, most=_MOST_BYTES)
    except OSError:
        return True


def _table_of(path: Path, data: bytes) -> Mapping[str, Any] | None:
    """The settings in a file; None where it is a project's and has none."""
    if path.name == SHARED and b"aiterfix" not in data:
        return None
    try:
        whole = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(path, f"not TOML: {' '.join(str(error).split())[:200]}") from error
    if path.name != SHARED:
        return {**whole}
    tools = whole.get("tool")
    table = tools.get("aiterfix") if isinstance(tools, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigurationError(path, "tool.aiterfix: must be a table")
    return {**table} if table is not None else None


def _ignored(path: Path, table: Mapping[str, Any]) -> tuple[Ignored, ...]:
    for key in table:
        if key != "ignore":
            raise ConfigurationError(path, f"{key}: unknown key")
    ignore = table.get("ignore", {})
    if not isinstance(ignore, dict):
        raise ConfigurationError(path, "ignore: must be a table of fault ids and reasons")
    for fault, reason in ignore.items():
        if not isinstance(reason, str) or not reason.strip():
            raise ConfigurationError(path, f"ignore.{fault}: must be the reason, in words")
    return tuple(Ignored(fault, reason.strip(), str(path)) for fault, reason in ignore.items())
