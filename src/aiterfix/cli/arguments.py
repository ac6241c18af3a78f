"""Arguments of several commands, and their types: what cannot be meant is a usage error before anything is done."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def named(text: str) -> Path:
    """A path. The empty one, such as of an unset variable in a script, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("names nothing")
    return Path(text)


def folder(text: str) -> Path:
    """A folder that exists."""
    path = named(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is no folder")
    return path


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def add_fixes(parser: argparse.ArgumentParser) -> None:
    """``--fixes``."""
    parser.add_argument(
        "--fixes", type=folder, action="append", metavar="DIR", default=[], help="also use the fix files of this folder"
    )
