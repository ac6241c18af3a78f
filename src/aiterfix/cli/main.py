"""Parse the command line, run one command, turn errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, NoReturn

from aiterfix._version import __version__
from aiterfix.cli import output
from aiterfix.cli.arguments import Once, meant
from aiterfix.errors import AiterfixError, EnvironmentProblem, ExitCode, NotUnderstoodError, UsageError
from aiterfix.report.page import Page
from aiterfix.source.gc_pause import no_collection
from aiterfix.storage.believed import notices

# name -> one-line help. A command's module is imported when it is used: `check` runs in container builds
# and must not pay for what other commands need.
COMMANDS = {
    "doctor": "one screen: what is installed here, how it is judged, and the one next step",
    "check": "judge the installed aiter: which of the faults judged are in its kernels?",
    "diff": "show what apply would change, as a unified diff",
    "apply": "take the faults out on disk, transactionally",
    "revert": "give back the original files",
    "validate": "run the kernels, on an emulated gfx950 or a GPU, and compare every logit with a reference",
    "padding": "how many padding columns a row of logits needs with the installed kernels",
    "compat": "what is known of a release of aiter, offline",
    "upstream": "which releases have which fault, what the pull requests mean, and a patch to send upstream",
    "cost": "what the fix costs on gfx950: registers, occupancy, instructions executed",
    "run": "run a command with the import hook in every Python that it starts",
    "hook": "start the import hook with every process of a Python: enable, disable, status",
    "demo": "run the main job end to end on an embedded sample",
}

# Behind a command's own description, in its help.
_RUNS = (
    "It runs the top level of the kernel file in a process of its own, as importing it would: with your rights, or, as "
    "root, with those of the user to whom the file belongs."
)
NOTES = {
    "validate": _RUNS,
    "cost": _RUNS,
    "padding": f"With --measure: {_RUNS[0].lower()}{_RUNS[1:]} Without it nothing is run.",
}

# Parse and compare a few files, then end.
_ANALYSIS = ("check", "diff", "apply", "doctor")


def exit_codes() -> str:
    """What every exit status means, for the end of a help text."""
    import textwrap

    return "exit codes:\n" + "".join(
        textwrap.fill(code.meaning, 79, initial_indent=f"  {int(code)}  ", subsequent_indent="     ") + "\n"
        for code in ExitCode
    )


_FORMATTER = argparse.RawDescriptionHelpFormatter


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line like every other error, and drops nothing of it in silence."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        # Argparse makes a formatter for every argument, and imports shutil, bz2 and lzma for the terminal's width.
        super().__init__(*arguments, **{"formatter_class": partial(_FORMATTER, width=80), **keywords})
        self.register("action", None, Once)
        self.register("action", "store", Once)

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']+)' \(choose from (.+)\)", message)
        known = re.findall(r"[\w.-]+", wrong[2]) if wrong is not None else ()
        near = meant(wrong[1], known) if wrong is not None else ""
        raise UsageError(f"{self.prog}: {message}", remedy=f"{near}See `{self.prog} --help`.")

    def format_help(self) -> str:
        self.epilog, self.formatter_class = exit_codes(), _FORMATTER
        return super().format_help()

    def print_help(self, file: Any = None) -> None:
        output.write(Page.of_lines(self.format_help()))

    def _print_message(self, message: str, file: Any = None) -> None:
        # Of `--version`; argparse would let an unwritable stdout pass, or fall back on stderr.
        output.write(Page.of_lines(message))


def build_parser(command: str, *, alone: bool = False) -> argparse.ArgumentParser:
    """The parser, with the arguments of one command filled in.

    Args:
        command: the command that the command line seems to name.
        alone: leave the other commands out: their empty parsers cost more than all else here.
    """
    parser = _Parser(
        prog="aiterfix",
        description="Find, judge and mend known faults of AMD aiter's paged-MQA-logits kernels. Begin with `aiterfix "
        "doctor`; `aiterfix help COMMAND` tells all of one command.",
    )
    parser.add_argument("--version", action="version", version=f"aiterfix {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for name, text in COMMANDS.items():
        if alone and name != command:
            continue
        sub = commands.add_parser(
            name,
            help=text,
            description=_described(name, text),
            allow_abbrev=False,
        )
        if name == command:
            importlib.import_module(f"aiterfix.cli.{name}").add_arguments(sub)
    return parser


def _described(name: str, text: str) -> str:
    import textwrap

    first = text[0].upper() + text[1:] + ("" if text.endswith("?") else ".")
    return first if name not in NOTES else f"{first}\n\n{textwrap.fill(NOTES[name], 79)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line without the program's name; ``sys.argv`` by default.

    Returns:
        The exit status, see `ExitCode`.
    """
    try:
        return _main(arguments)
    except KeyboardInterrupt:
        output.note("aiterfix: interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - such as too little memory to say what went wrong
        output.note(f"aiterfix: error: {type(error).__name__} while another error was reported")
        return int(ExitCode.ENVIRONMENT)


def _main(arguments: Sequence[str] | None) -> int:
    output.prepare()
    notices()  # of what this process did before
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = next((w for w in words if not w.startswith("-")), "")
    as_json = _wants_json(words[: words.index("--")] if "--" in words else words)
    try:
        try:
            status = _run(words, command, last=arguments is None)
            output.flush()
            return status
        except AiterfixError as error:
            output.write_error(command, error, as_json=as_json)
            return int(error.exit_code)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end with the status that means "affected"
            known = _unexpected(error)
            output.write_error(command, known, as_json=as_json)
            return int(known.exit_code)
    except output.OutputError as error:  # the error itself could not be written
        output.write_error(command, error, as_json=False)
        return int(error.exit_code)
    finally:
        for notice in notices():
            output.note(f"aiterfix: {notice}")


def _wants_json(words: list[str]) -> bool:
    """Whether a program reads stdout, told without a parser: the command line may be wrong."""
    stated = (b for a, b in zip(["", *words], words, strict=False) if a == "--format")
    return "--json" in words or "--format=json" in words or "json" in stated


def _run(words: list[str], command: str, *, last: bool) -> int:
    output.begin()
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
        command = next((w for w in words if not w.startswith("-")), "")
    if command and command not in COMMANDS and words[0] == command:
        raise UsageError(
            f"aiterfix: there is no command {command[:60]!r}",
            remedy=f"{meant(command, COMMANDS, '`aiterfix {}`')}`aiterfix --help` lists all.",
        )
    plain = command in COMMANDS and words[0] == command
    try:
        options, unknown = build_parser(command, alone=plain).parse_known_args(words)
    except SystemExit as stop:  # of --help and --version
        return int(stop.code or 0)
    if unknown:
        program = f"aiterfix {options.command}"  # argparse would point to the page that lists the commands
        raise UsageError(
            f"{program}: unrecognized arguments: {' '.join(unknown)}",
            remedy=f"{_meant_option(options.command, unknown)}See `{program} --help`.",
        )
    execute = importlib.import_module(f"aiterfix.cli.{options.command}").execute
    with no_collection(last=last) if options.command in _ANALYSIS else nullcontext():
        return int(execute(options))


def _meant_option(command: str, unknown: Sequence[str]) -> str:
    """The option that the first of some unknown ones may stand for."""
    first = next((u.partition("=")[0] for u in unknown if u.startswith("--")), "")
    parser = _Parser(add_help=False)
    importlib.import_module(f"aiterfix.cli.{command}").add_arguments(parser)
    return meant(first, parser._option_string_actions) if first else ""  # there is no other way


def _unexpected(error: Exception) -> AiterfixError:
    """A failure that nothing foresaw: the system's, or a fault of this program."""
    if os.environ.get("AITERFIX_LOG", "").strip().lower() == "debug":
        import traceback

        output.note(*"".join(traceback.format_exception(error)).rstrip().split("\n"))
    kind = EnvironmentProblem if isinstance(error, (OSError, MemoryError)) else NotUnderstoodError
    said = " ".join(f"{type(error).__name__}: {error}".split())[:500]
    return kind(f"unexpected {said} (AITERFIX_LOG=debug shows where: please report it to the aiterfix project)")
