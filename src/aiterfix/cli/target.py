"""Arguments that say which installation and which kernels, the same for every command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sized

from aiterfix.assessment import ALL, AUTO, Assessment, assess
from aiterfix.cli.arguments import add_fixes, add_json, named
from aiterfix.errors import EnvironmentProblem, NotUnderstoodError, UsageError
from aiterfix.fixes import Fix, load_fixes
from aiterfix.installation import Discovery, find_path, find_python, find_running


def add_target(parser: argparse.ArgumentParser) -> None:
    """``--path``, ``--python``, ``--json``, ``--fixes``."""
    add_installation(parser)
    add_fixes(parser)


def add_installation(parser: argparse.ArgumentParser) -> None:
    """``--path``, ``--python``, ``--json``."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--path",
        type=named,
        metavar="DIR",
        help="a site-packages, a prefix, the root file system of an image, a checkout, or the aiter folder itself "
        "(default: what this Python would import)",
    )
    where.add_argument("--python", type=named, metavar="EXE", help="another Python interpreter: what it would import")
    add_json(parser)


def add_kernel(parser: argparse.ArgumentParser, default: str) -> None:
    """``--kernel``."""
    parser.add_argument(
        "--kernel",
        default=default,
        metavar="|".join((AUTO, "gluon", "stage1", ALL)),
        help="which code path is asked about; auto: the one that consumers take on gfx942 and gfx950, that is Gluon "
        f"where the release has it (default: {default})",
    )


def fixes_of(options: argparse.Namespace) -> tuple[Fix, ...]:
    """The package's fixes and those of ``--fixes``."""
    return load_fixes(extra=options.fixes)


def discover(options: argparse.Namespace) -> Discovery:
    """Find installations where the arguments say.

    Raises:
        UsageError: the path or interpreter named does not exist.
    """
    if options.path is not None:
        if not options.path.exists():
            raise UsageError(f"{options.path} does not exist", remedy="Give --path a folder that exists.")
        return find_path(options.path)
    if options.python is not None:
        return find_python(options.python)
    return find_running()


def assess_all(options: argparse.Namespace) -> tuple[Discovery, list[Assessment]]:
    """Find, and judge everything found."""
    fixes = fixes_of(options)
    found = discover(options)
    return found, [assess(i, fixes, options.kernel) for i in found.installations]


def require_found(discovery: Discovery, found: Sized) -> None:
    """Refuse to go on with nothing.

    Raises:
        NotUnderstoodError: something that may be aiter could not be read.
        EnvironmentProblem: there is none.
    """
    if found:
        return
    searched = "searched: " + ", ".join(str(p) for p in discovery.searched)
    if discovery.doubts:
        first = discovery.doubts[0]
        raise NotUnderstoodError(
            f"no aiter could be read: {first.path}: {first.reason}",
            why=searched,
            remedy="Name the package folder with --path DIR.",
        )
    raise EnvironmentProblem(
        "no aiter is installed here",
        why=searched,
        remedy="Name the installation with --path DIR or --python EXE.",
    )


def target_words(options: argparse.Namespace) -> list[str]:
    """How the command line named the installation and fixes, for advice that repeats it."""
    words = []
    if options.path is not None:
        words += ["--path", str(options.path)]
    if options.python is not None:
        words += ["--python", str(options.python)]
    for fixes in getattr(options, "fixes", ()):  # not every command takes them
        words += ["--fixes", str(fixes)]
    return words


def repeat_target(options: argparse.Namespace) -> str:
    """The same as text, to be put behind a command's name."""
    return "".join(f" {shlex.quote(word)}" for word in target_words(options))
