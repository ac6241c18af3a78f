"""Sample kernels, compiled once for a test run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that ``compile_samples.py`` filled; shared by the workers of a parallel run."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("triton is not installed, so no kernel can be compiled for gfx950")
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "gfx950-samples"
    done = shared / "done"
    try:
        shared.mkdir()
    except FileExistsError:
        for _ in range(1200):
            if done.exists():
                break
            time.sleep(0.1)
        if done.read_text():
            pytest.fail(done.read_text())
        return shared
    script = Path(__file__).with_name("compile_samples.py")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(shared / "cache")}
    finished = subprocess.run(
        [sys.executable, str(script), str(shared)], capture_output=True, text=True, env=environment, check=False
    )
    failure = "" if finished.returncode == 0 else f"compiling the samples failed:\n{finished.stderr[-2000:]}"
    done.with_suffix(".part").write_text(failure)
    done.with_suffix(".part").rename(done)
    if failure:
        pytest.fail(failure)
    return shared


def facts(samples: Path, name: str) -> dict[str, object]:
    """What the compiler said about a sample."""
    loaded: dict[str, object] = json.loads((samples / f"{name}.json").read_text())
    return loaded
