"""Importing a kernel file by its text."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_LOADS = (
    "import inspect; from aiterfix.validation.gpu.subjects import load_file\n"
    "module = load_file(b'def seven():\\n    return 7\\n', 'kernel.py')\n"
    "print(module.seven(), inspect.getsource(module.seven).split()[-1])"
)


def test_the_file_is_there_for_as_long_as_the_process(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _LOADS], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("7 7\n", "")
    assert list(tmp_path.iterdir()) == []
