"""Parse the command line, run one command, turn errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NoReturn

from aiterfix._version import __version__
from aiterfix.cli import output
from aiterfix.errors import AiterfixError, ExitCode, UsageError
from aiterfix.garbage import no_collection

# name -> one-line help. A command's module is imported when it is used: `check` runs in container builds
# and must not pay for what other commands need.
COMMANDS = {
    "check": "judge the installed aiter: can its kernels store past the end of a row?",
    "diff": "show what apply would change, as a unified diff",
    "apply": "bound every store on disk, transactionally",
    "revert": "give back the original files",
    "validate": "run the kernels, on an emulated gfx950 or a GPU, and compare every logit with a reference",
    "padding": "how many padding columns a row of logits needs with the installed kernels",
    "compat": "what is known of a release of aiter, offline",
    "upstream": "which releases have the fix, what the pull requests mean, and a patch to send upstream",
    "cost": "what the fix costs on gfx950: registers, occupancy, instructions executed",
    "run": "run a command with the import hook in every Python that it starts",
    "hook": "start the import hook with every process of a Python: enable, disable, status",
    "demo": "run the main job end to end on an embedded sample",
}

# Parse and compare a few files, then end.
_ANALYSIS = ("check", "diff", "apply")

EXIT_CODES = """\
exit codes:
  0  safe, or done
  1  action needed: vulnerable, validation failed, padding required
  2  usage
  3  not understood: never to be treated as safe
  4  environment or I/O: not installed, read-only, no Triton, network
"""


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line like every other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}", remedy=f"See `{self.prog} --help`.")


def build_parser(command: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of one command filled in.

    Args:
        command: the command that the command line seems to name; None fills in all.
    """
    parser = _Parser(
        prog="aiterfix",
        description="Find, judge and fix row-overshooting stores in AMD aiter's paged-MQA-logits kernels.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"aiterfix {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, text in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ("" if text.endswith("?") else "."),
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if command in (None, name):
            importlib.import_module(f"aiterfix.cli.{name}").add_arguments(sub)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; ``sys.argv`` by default.

    Returns:
        The exit status, see `ExitCode`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((w for w in words if not w.startswith("-")), "")
    as_json = "--json" in (words[: words.index("--")] if "--" in words else words)
    try:
        options, unknown = build_parser(command).parse_known_args(words)
        if unknown:
            program = f"aiterfix {options.command}"  # argparse would point to the page that lists the commands
            raise UsageError(
                f"{program}: unrecognized arguments: {' '.join(unknown)}", remedy=f"See `{program} --help`."
            )
        execute = importlib.import_module(f"aiterfix.cli.{options.command}").execute
        with no_collection() if options.command in _ANALYSIS else nullcontext():
            status = int(execute(options))
        sys.stdout.flush()
        return status
    except AiterfixError as error:
        output.write_error(command, error, as_json=as_json)
        return int(error.exit_code)
    except BrokenPipeError:
        # The reader (`| head`) has what it wanted. Python would complain again at exit while flushing.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.ENVIRONMENT)
    except KeyboardInterrupt:
        output.note("aiterfix: interrupted")
        return 130
