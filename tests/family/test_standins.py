from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STANDINS = Path(__file__).parents[2] / "src" / "aiterfix" / "family" / "standins.py"

PROGRAM = """
import runpy, sys
made = runpy.run_path(sys.argv[1])
made["install"]()
"""


def run(body: str, *, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM + body, str(STANDINS)]
    return subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": path}, check=False)


def test_known_helpers_answer_for_an_mi355x_wherever_they_are_imported_from() -> None:
    done = run(
        "from aiter.ops.triton.gluon.pa_decode_gluon import get_cdna_version\n"
        "from aiter.moved.elsewhere import get_cdna_version as again, get_gfx\n"
        "print(get_cdna_version(), again(), get_gfx())"
    )
    assert done.stdout.split() == ["4", "4", "gfx950"], done.stderr


def test_the_real_package_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "aiter").mkdir()
    (tmp_path / "aiter" / "__init__.py").write_text("raise SystemExit('imported the real one')")
    done = run("import aiter.ops.triton as t; print(t.__name__)", path=str(tmp_path))
    assert done.stdout.strip() == "aiter.ops.triton", done.stderr


def test_anything_else_may_be_imported_but_not_used() -> None:
    quiet = run("from aiter.x import helper, Other\nprint('fine')")
    assert quiet.stdout.strip() == "fine"
    for use in ("helper()", "helper.name", "bool(helper)"):
        loud = run(f"from aiter.x import helper\n{use}")
        assert loud.returncode == 1
        assert "aiter.x.helper, which has no stand-in" in loud.stderr
