"""The wheel works outside a checkout, and on the real `amd-aiter` of PyPI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from aiterfix.demo.sample_package import write_sample
from tests import environments
from tests.cli.conftest import contents

ROOT = Path(__file__).parents[1]
# A real release from before the Gluon kernels, pure Python as far as pip is concerned.
REAL = "amd-aiter==0.1.7.post2.dev18"
FIRST = "0488708"  # the commit of aiterfix 0.1.0
pytestmark = pytest.mark.xdist_group("wheel")


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER", "VIRTUAL_ENV"))}
    return {**kept, "PIP_NO_COMPILE": "1"}  # of 400 modules few are run


def call(*words: object, status: int | None = 0, cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, env=environment(), cwd=cwd, check=False)
    assert status is None or done.returncode == status, done.stdout + done.stderr
    return done.stdout if status is not None else f"{done.returncode}\n{done.stderr}"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, built: Path, pip_template: Path) -> Path:
    """A virtual environment with nothing but pip and the wheel just built."""
    folder = tmp_path_factory.mktemp("wheel")
    environments.make(folder / "venv", pip_template)
    call(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", built)
    return folder / "venv"


def test_wheel_carries_fixes_and_runs_in_a_fresh_environment(fresh: Path, tmp_path: Path) -> None:
    (data,) = fresh.glob("lib/python*/site-packages/aiterfix/_data")
    shipped = {p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file()}
    assert {f"patches/{p.name}" for p in (ROOT / "patches").iterdir()} <= shipped
    assert (data / "evidence/evidence.jsonl").read_bytes() == (ROOT / "evidence/evidence.jsonl").read_bytes()
    assert "verdict: not-installed" in call(fresh / "bin/aiterfix", "check", status=4, cwd=tmp_path)
    assert "byte for byte" in call(fresh / "bin/aiterfix", "demo", cwd=tmp_path)
    listed = call(fresh / "bin/python", "-m", "pip", "list", "--format", "freeze")
    installed = {line.split("==")[0] for line in listed.splitlines()}
    assert installed <= {"aiterfix", "pip", "setuptools", "tomli"}, "the core pulls nothing heavy"


def bounds(report: str) -> list[str]:
    """Of every store in a report, whether it can reach past the end of its row."""
    units = [u for i in json.loads(report)["installations"] for f in i["files"] for u in f["units"]]
    return [f["presence"] for u in units for f in u["findings"] if f["fault"] == "column-bound"]


@pytest.mark.slow
def test_real_wheel_end_to_end(fresh: Path, tmp_path: Path) -> None:
    """check, apply, check, uninstall over a release as pip installs it."""
    python, aiterfix = fresh / "bin/python", fresh / "bin/aiterfix"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    outcome = call(*pip, "install", "--quiet", "--no-deps", REAL, status=None)
    if not outcome.startswith("0"):
        pytest.skip(f"{REAL} cannot be installed here: {outcome.strip().splitlines()[-1]}")
    (site,) = fresh.glob("lib/python*/site-packages")
    relative = "aiter/ops/triton/_triton_kernels/pa_mqa_logits.py"
    info = "amd_aiter-0.1.7.post2.dev18.dist-info"
    before = contents(site / info) | {relative: (site / relative).read_bytes()}

    text = call(aiterfix, "check", status=1, cwd=tmp_path)
    assert "amd-aiter 0.1.7.post2.dev18" in text
    assert "\nverdict: affected: " in text and "\n  column-bound " in text
    assert bounds(call(aiterfix, "check", "--json", status=1, cwd=tmp_path)) == ["present"] * 4
    call(aiterfix, "apply", "--require", cwd=tmp_path)
    assert "\nverdict: clean: " in call(aiterfix, "check", cwd=tmp_path)
    assert bounds(call(aiterfix, "check", "--json", cwd=tmp_path)) == ["absent"] * 4
    call(aiterfix, "revert", cwd=tmp_path)
    assert contents(site / info) | {relative: (site / relative).read_bytes()} == before

    call(aiterfix, "apply", "--require", cwd=tmp_path)
    call(*pip, "uninstall", "--yes", "--quiet", "amd-aiter")
    assert not (site / "aiter").exists()
    assert not (site / info).exists()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, pip_template: Path) -> Path:
    """The command of 0.1.0, from a wheel of the commit that it was."""
    folder = tmp_path_factory.mktemp("first")
    archive = folder / "source.tar"
    done = subprocess.run(
        ["git", "-C", ROOT, "archive", "--output", archive, FIRST], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"this checkout does not reach back to {FIRST}: {done.stderr.strip()}")
    with tarfile.open(archive) as opened:
        if hasattr(tarfile, "data_filter"):
            opened.extraction_filter = tarfile.data_filter
        opened.extractall(folder / "source")
    call(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder / "source")
    (wheel,) = folder.glob("*.whl")
    environments.make(folder / "venv", pip_template)
    call(folder / "venv/bin/python", "-m", "pip", "install", "--quiet", wheel)
    return folder / "venv/bin/aiterfix"


def test_a_tree_that_the_first_release_patched(first: Path, fresh: Path, tmp_path: Path) -> None:
    write_sample(tmp_path)
    before = contents(tmp_path)
    aiterfix, here = fresh / "bin/aiterfix", ("--path", tmp_path)

    call(first, "apply", "--require", *here)
    patched = contents(tmp_path)
    text = call(aiterfix, "check", *here, status=1)
    assert "patched on disk by aiterfix 0.1.0" in text
    faults = {f["id"]: f["presence"] for f in json.loads(call(aiterfix, "check", "--json", *here, status=1))["faults"]}
    assert (faults["column-bound"], faults["row-offset-32"]) == ("absent", "present")
    call(aiterfix, "revert", *here)
    assert contents(tmp_path) == before

    call(first, "apply", "--require", *here)
    assert contents(tmp_path) == patched
    call(aiterfix, "apply", "--require", *here)
    assert "\nverdict: clean: " in call(aiterfix, "check", *here)
    call(aiterfix, "revert", *here)
    assert contents(tmp_path) == before
