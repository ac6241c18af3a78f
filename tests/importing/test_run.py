"""``aiterfix run -- COMMAND``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from aiterfix.importing.run import DIRECTORY, child_environment
from aiterfix.importing.settings import Mode
from tests.importing.world import WRAPPER, World

WAYS = "import aiterfix; print(aiterfix.status().ways)"
BOUND = "(column < max_model_len)"
SHOW = (
    f"import json, aiterfix, {WRAPPER} as w; "
    "print(json.dumps([w.deepgemm_fp8_paged_mqa_logits(), aiterfix.status().ways]))"
)


def through_run(world: World, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aiterfix", "run", *words],
        capture_output=True, text=True, env=world.environment(**environment), timeout=120, check=False,
    )  # fmt: skip


def test_the_directory_holds_one_module() -> None:
    assert [p.name for p in DIRECTORY.iterdir() if p.name != "__pycache__"] == ["sitecustomize.py"]


def test_the_command_and_its_children_have_the_hook(world: World) -> None:
    nested = "import subprocess, sys; subprocess.run(['sh', '-c', sys.argv[1], sys.executable, sys.argv[2]])"
    for words in (
        (sys.executable, "-c", SHOW),
        ("sh", "-c", '"$0" -c "$1"', sys.executable, SHOW),
        (sys.executable, "-c", nested, '"$0" -c "$1"', SHOW),
    ):
        done = through_run(world, "--", *words)
        text, ways = json.loads(done.stdout)
        assert BOUND in text
        assert ways == ["run"]


def test_exit_status_and_signals_are_the_commands_own(world: World) -> None:
    assert through_run(world, "--", sys.executable, "-c", "raise SystemExit(17)").returncode == 17
    done = through_run(world, "--", sys.executable, "-c", "import os; os.kill(os.getpid(), 15)")
    assert done.returncode == -signal.SIGTERM


def test_what_cannot_be_run_is_an_error_that_says_so(world: World) -> None:
    done = through_run(world, "--", "no-such-command-anywhere")
    assert done.returncode == 4
    assert "no-such-command-anywhere cannot be started" in done.stderr
    assert through_run(world).returncode == 2


def test_mode_is_handed_down(world: World) -> None:
    script = "import os, aiterfix; print(os.environ['AITERFIX'], aiterfix.status().standing)"
    assert through_run(world, "--mode", "require", "--", sys.executable, "-c", script).stdout == "require True\n"
    assert through_run(world, "--mode", "off", "--", sys.executable, "-c", script).stdout == "off False\n"


def test_a_sitecustomize_that_was_there_is_still_run(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import builtins; builtins.CUSTOMIZED = __file__\n")
    script = "import sitecustomize, sys; print(CUSTOMIZED, sitecustomize.__file__, sys.path.count(sys.argv[1]))"
    environment = world.environment()
    environment["PYTHONPATH"] += os.pathsep + str(other)
    done = subprocess.run(
        [sys.executable, "-m", "aiterfix", "run", "--", sys.executable, "-c", script, str(DIRECTORY)],
        capture_output=True, text=True, env=environment, timeout=60, check=True,
    )  # fmt: skip
    path = str(other / "sitecustomize.py")
    assert done.stdout.split() == [path, path, "0"]
    assert done.stderr == ""


def test_an_error_in_the_other_sitecustomize_is_reported_as_without_us(world: World, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("raise RuntimeError('theirs')\n")
    environment = world.environment()
    environment["PYTHONPATH"] += os.pathsep + str(other)
    done = subprocess.run(
        [sys.executable, "-m", "aiterfix", "run", "--", sys.executable, "-c", WAYS],
        capture_output=True, text=True, env=environment, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "('run',)\n"
    assert "RuntimeError: theirs" in done.stderr


def test_a_python_without_aiterfix_gets_the_hook_by_place(world: World) -> None:
    environment = world.environment()
    environment["PYTHONPATH"] = os.pathsep.join([str(DIRECTORY), str(world.site)])
    done = subprocess.run(
        # -S is not for us: sitecustomize belongs to site. -s only leaves out the user's packages.
        [sys.executable, "-s", "-c", SHOW],
        capture_output=True, text=True, env=environment, timeout=60, check=True,
    )  # fmt: skip
    text, ways = json.loads(done.stdout)
    assert BOUND in text
    assert ways == ["run"]


def test_the_environment_names_the_directory_once_and_first() -> None:
    first = child_environment({"PYTHONPATH": "/a::/b"}, None)
    assert first["PYTHONPATH"] == f"{DIRECTORY}{os.pathsep}/a::/b"
    assert child_environment(first, Mode.REQUIRE) == {**first, "AITERFIX": "require"}
    assert child_environment({"PYTHONPATH": ""}, None)["PYTHONPATH"] == str(DIRECTORY)
