"""``aiterfix run``."""

from __future__ import annotations

import argparse

from aiterfix.errors import UsageError
from aiterfix.importing.run import run
from aiterfix.importing.settings import Mode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--mode",
        choices=[m.value for m in Mode],
        help="what AITERFIX is to say in the command's processes (default: as it is)",
    )
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="what to run")


def execute(options: argparse.Namespace) -> int:
    """Become the command, with the hook in every Python that it starts."""
    words = options.words[1:] if options.words[:1] == ["--"] else options.words
    if not words or not words[0]:
        raise UsageError("aiterfix run: no command given", remedy="Say `aiterfix run -- COMMAND ...`.")
    run(words, Mode(options.mode) if options.mode else None)
