"""``check --launches``: a recorded list of launches, held against what is installed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from aiterfix.cli.arguments import named
from aiterfix.errors import EnvironmentProblem, UsageError
from aiterfix.judge.whole import Whole

# `check` without --launches does not pay for the rest.
if TYPE_CHECKING:
    from aiterfix.judge.launch_list import JudgedList


def add_launches(parser: argparse.ArgumentParser) -> None:
    """``--launches``."""
    parser.add_argument(
        "--launches",
        type=named,
        metavar="FILE",
        help="judge the launches of this list, which AITERFIX_RECORD=FILE made in a process; the exit code is theirs",
    )


def judge_launches(options: argparse.Namespace, whole: Whole) -> JudgedList | None:
    """Judge the list that ``--launches`` names; None where none is named.

    Raises:
        UsageError: it goes with something that would be dropped, or the list is empty.
        StoredError: a line of it is not understood.
        EnvironmentProblem: it cannot be read.
    """
    file = options.launches
    if file is None:
        return None
    for given, option in ((options.consumers, "--for"), (options.kernel, "--kernel")):
        if given:
            raise UsageError(f"--launches does not go with {option}", remedy="Drop one.")
    from aiterfix.judge.launch_list import judge_list, read_launches

    try:
        launches = read_launches(file)
    except FileNotFoundError as error:
        raise UsageError(
            f"{file} does not exist", remedy="Give --launches a list that AITERFIX_RECORD made."
        ) from error
    except OSError as error:
        raise EnvironmentProblem(f"{file} cannot be read", why=error.strerror or str(error)) from error
    if not launches:
        raise UsageError(
            f"{file} lists no launch, so nothing can be said",
            remedy="Run the server with AITERFIX_RECORD=FILE and the hook, and send it what it serves in production.",
        )
    return judge_list(file, launches, whole)
