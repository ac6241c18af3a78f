"""Commands that start other Pythons, in a folder full of modules that anybody may have put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.errors import EnvironmentProblem
from aiterfix.gfx950.cache import CodeObjectCache
from aiterfix.gfx950.compile import Compiler
from aiterfix.validation.gpu.contained import ask_hardware
from tests.cli.conftest import Runner
from tests.storage.test_children import PYTHONS, planted

__all__ = ["planted"]

EMPTY = "/nowhere:"


@pytest.mark.parametrize("said", ["", EMPTY])
@pytest.mark.parametrize("python", PYTHONS)
def test_asking_an_interpreter_executes_nothing_of_the_current_folder(
    run: Runner, python: str, said: str, planted: Path
) -> None:
    environment = {"PYTHONPATH": said} if said else {}
    asked = run("check", "--python", python, env=environment)
    assert asked.err == "" and "verdict: " in asked.text, "it was asked, and answered"
    status = run("hook", "status", "--python", python, env=environment)
    assert "does not answer" not in status.err
    assert not planted.exists(), planted.read_text()


@pytest.mark.parametrize("python", PYTHONS)
def test_nor_does_compiling(python: str, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", EMPTY)
    with Compiler(python, CodeObjectCache(tmp_path / "cache")) as compiler:
        try:
            assert compiler.triton
        except EnvironmentProblem as error:
            assert "No module named 'triton'" in error.why
    assert not planted.exists(), planted.read_text()


def test_nor_does_looking_for_a_gpu(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", EMPTY)
    with pytest.raises(EnvironmentProblem):
        ask_hardware()
    assert not planted.exists(), planted.read_text()
