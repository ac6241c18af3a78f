"""Arguments of several commands, and their types: what cannot be meant is a usage error before anything is done."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiterfix.errors import UsageError
from aiterfix.judge.judgement import Ignored

TEXT = "text"


class Once(argparse.Action):
    """``store``, which refuses another value than the first instead of forgetting the first."""

    _given: tuple[Any, ...] = ()

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Keep the value.

        Raises:
            ArgumentError: another was given.
        """
        if self.option_strings and self._given and self._given != (values,):
            raise argparse.ArgumentError(
                self, f"given as {shown(self._given[0])} and as {shown(values)}; only one can be meant"
            )
        self._given = (values,)
        setattr(namespace, self.dest, values)


def shown(value: object) -> str:
    """A value as the command line has it."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or len(text) > 18 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1 and below 10^18, not {text[:40]!r}")
    return int(text)


def named(text: str) -> Path:
    """A path. The empty one, such as of an unset variable in a script, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("names nothing")
    return Path(text)


def folder(text: str) -> Path:
    """A folder that exists."""
    path = named(text)
    if not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for a name that is too long
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path


def meant(word: str, known: Iterable[str], form: str = "{}") -> str:
    """A question with the known word that is spelt most like another, and a blank; empty where none is like it."""
    import difflib

    plain = {name.lstrip("-"): name for name in known}
    near = difflib.get_close_matches(word.lstrip("-"), list(plain), 1, cutoff=0.7)
    return f"Did you mean {form.format(plain[near[0]])}? " if near else ""


def ignored(text: str) -> Ignored:
    """``ID=REASON``."""
    from aiterfix.configuration import parse_ignored

    try:
        return parse_ignored(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def add_output(parser: argparse.ArgumentParser, formats: Sequence[str]) -> None:
    """``--format`` and ``--output``; see `aiterfix.cli.output.into`."""
    parser.add_argument("--format", choices=formats, help="form of the report (default: text)")
    parser.add_argument(
        "--output", type=named, metavar="FILE", help="write the report to this file, whole or not at all, not to stdout"
    )


def form_asked(forms: Iterable[str], asked: Mapping[str, object]) -> str:
    """Which form of the report was asked for; text where none was.

    Args:
        forms: names of the options that ask for one (``json``), and of what ``format`` may be.
        asked: the command line's options by name.

    Raises:
        UsageError: two were asked for, and stdout holds one.
    """
    options = {name: f"--{name}" for name in forms if asked.get(name)}
    stated = asked.get("format")
    if isinstance(stated, str):
        options.setdefault(stated, f"--format {stated}")
    if len(options) > 1:
        raise UsageError(f"{' and '.join(options.values())} cannot both be printed", remedy="Give one of them.")
    return next(iter(options), TEXT)


def add_fixes(parser: argparse.ArgumentParser) -> None:
    """``--fixes``."""
    parser.add_argument(
        "--fixes",
        type=folder,
        action="append",
        metavar="DIR",
        default=[],
        help="also use the fault files of this folder",
    )
