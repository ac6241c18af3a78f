from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def subjects(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """``gpu_subjects`` by its plain name, importable by the child too."""
    monkeypatch.syspath_prepend(str(HERE))
    package = str(Path(__file__).parents[3] / "src")
    inherited = os.environ.get("PYTHONPATH", package)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), inherited)))
    return importlib.import_module("gpu_subjects")


@pytest.fixture
def ready(torch_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of this Python, one that has torch imported already."""
    monkeypatch.setattr(sys, "executable", torch_python)


@pytest.fixture(scope="session")
def has_cuda(torch_python: str) -> bool:
    """Whether torch sees a GPU, asked in a process of its own."""
    asked = "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 1)"
    return subprocess.run([torch_python, "-c", asked], capture_output=True).returncode == 0
