"""``aiterfix demo``: the commands of the README, run for real on the embedded sample."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from aiterfix.cli import output
from aiterfix.demo import write_sample
from aiterfix.errors import ExitCode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the sample in this new folder, to look around")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout: each step and its status")


def execute(options: argparse.Namespace) -> int:
    """Check, show, patch, check, patch again, revert; each a real command with a real exit status."""
    if options.keep is not None:
        options.keep.mkdir(parents=True)
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
            "Judge it by its source: six stores, four of them can reach past their row.",
            ["check", *path, "--kernel", "all"],
            ExitCode.ACTION,
        ),
        ("What would change, and nothing else.", ["diff", *path], ExitCode.OK),
        ("Patch it, as a container build would.", ["apply", *path, "--require"], ExitCode.OK),
        ("Judge it again.", ["check", *path, "--kernel", "all"], ExitCode.OK),
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
            output.write(f"\n== {number}. {text}\n$ aiterfix {' '.join(words)}\n")
            status = main(words)
            output.write(f"[exit status {status}]\n")
        results.append({"command": words, "exit_code": status, "expected": int(expected)})
    same = _contents(folder) == original
    ok = same and all(r["exit_code"] == r["expected"] for r in results)
    if as_json:
        output.write_json("demo", {"passed": ok, "restored": same, "steps": results})
    else:
        end = "Every file is again as it was, byte for byte." if same else "The files are NOT as they were."
        output.write(f"\n{end}\n")
    return ExitCode.OK if ok else ExitCode.ACTION


def _contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
