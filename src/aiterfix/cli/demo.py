"""``aiterfix demo``: the commands of the README, run for real on the embedded sample."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from aiterfix.cli import output
from aiterfix.cli.arguments import add_json, named
from aiterfix.demo import write_sample
from aiterfix.errors import EnvironmentProblem, ExitCode, UsageError
from aiterfix.report.page import Page
from aiterfix.report.types.demo import DemoReport, StepReport


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--keep", type=named, metavar="DIR", help="leave the sample in this new folder, to look around")
    add_json(parser)


def execute(options: argparse.Namespace) -> int:
    """Check, show, patch, check, patch again, revert; each a real command with a real exit status."""
    if options.keep is not None:
        try:
            options.keep.mkdir(parents=True)
        except FileExistsError as error:
            raise UsageError(
                f"{error.filename} exists already", remedy="Give --keep a folder that is not there yet."
            ) from error
        except OSError as error:
            raise EnvironmentProblem(
                f"{options.keep} cannot be made", why=error.strerror or str(error), remedy="Give --keep another folder."
            ) from error
        return _walk(options.keep, options.json)
    with tempfile.TemporaryDirectory(prefix="aiterfix-demo-") as folder:
        return _walk(Path(folder), options.json)


def _walk(folder: Path, as_json: bool) -> int:
    from aiterfix.cli.main import main

    write_sample(folder)
    original = _contents(folder)
    path = ["--path", str(folder)]
    steps = (
        (
            "Judge it by its source.",
            ["check", *path],
            ExitCode.ACTION,
        ),
        ("What would change, and nothing else.", ["diff", *path], ExitCode.OK),
        ("Patch it, as a container build would.", ["apply", *path, "--require"], ExitCode.OK),
        ("Judge it again.", ["check", *path], ExitCode.OK),
        ("Patching twice changes nothing.", ["apply", *path], ExitCode.OK),
        ("Take it back.", ["revert", *path], ExitCode.OK),
    )
    results = []
    for number, (text, words, expected) in enumerate(steps, 1):
        if as_json:
            import contextlib
            import io

            with contextlib.redirect_stdout(io.StringIO()):
                status = main([*words, "--json"])
        else:
            output.write(Page(["", f"== {number}. {text}", f"$ aiterfix {' '.join(words)}"]))
            status = main(words)
            output.write(Page([f"[exit status {status}]"]))
        results.append(StepReport(tuple(words), status, int(expected)))
    same = _contents(folder) == original
    ok = same and all(r.exit_code == r.expected for r in results)
    if as_json:
        output.write_report(DemoReport(ok, same, tuple(results)))
    else:
        end = "Every file is again as it was, byte for byte." if same else "The files are NOT as they were."
        output.write(Page(["", end]))
    return ExitCode.OK if ok else ExitCode.ACTION


def _contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
