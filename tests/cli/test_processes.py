"""The command as a process: streams, signals, what it imports, what is not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aiterfix.errors import install_line
from tests.cli.conftest import Runner


@pytest.mark.parametrize("more", [[], ["--json"], ["--sarif"]])
def test_check_imports_what_reads_engines_only_where_asked_for(sample: Path, more: list[str]) -> None:
    script = (
        "import sys; from aiterfix.cli.main import main; main()\n"
        "print(sorted(m for m in sys.modules if m.startswith(('aiterfix.engines.', 'aiterfix.advice.padding'))), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "check", "--path", str(sample), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == "['aiterfix.engines.locate']\n"


@pytest.mark.parametrize(
    "words",
    [
        *(["check"], ["check", "-q"], ["check", "--json"], ["check", "--format", "html"]),
        *(["doctor"], ["doctor", "--json"]),
    ],
    ids=" ".join,
)
def test_a_process_says_what_the_command_says(process: Runner, run: Runner, sample: Path, words: list[str]) -> None:
    ran = process(*words, "--path", sample)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == run(*words, "--path", sample).out
    if words[-1] == "--json":
        ran.json(words[0])


def test_only_a_process_that_ends_leaves_its_garbage(sample: Path) -> None:
    asks = "import gc; from aiterfix.cli.main import main; main({}); print(gc.isenabled(), gc.get_freeze_count() > 0)"
    words = ["check", "-q", "--path", str(sample)]
    for given, frozen in ((repr(words), "False"), ("", "True")):
        command = [sys.executable, "-c", asks.format(given), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == f"True {frozen}"


def test_reader_that_goes_away_is_no_error(sample: Path) -> None:
    command = f"{sys.executable} -m aiterfix check --path {sample} --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert done.stderr == b""


def test_ctrl_c_is_quiet(sample: Path) -> None:
    code = "import os, signal; from aiterfix.cli import main as m, check; import aiterfix.cli.main as mm\n"
    code += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
    code += "check.execute = lambda o: os.kill(os.getpid(), signal.SIGINT) or __import__('time').sleep(5)\n"
    code += f"raise SystemExit(m(['check', '--path', {str(sample)!r}]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "aiterfix: interrupted\n")


@pytest.mark.parametrize(
    "words", [["validate"], ["cost"], ["padding", "--max-model-len", "1000", "--block-size", "64", "--measure"]]
)
def test_what_the_extra_lacks_is_said(sample: Path, words: list[str]) -> None:
    """A stranger has installed no extra: exit code 4 and what to install, or which Python to use; no traceback, no 1."""
    script = "import sys; sys.modules['numpy'] = None; from aiterfix.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", script, *words, "--path", str(sample)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4 and "Traceback" not in done.stderr
    if sys.version_info >= (3, 11):
        assert "numpy" in done.stderr and install_line("validate") in done.stderr
    else:
        assert "needs Python 3.11" in done.stderr
