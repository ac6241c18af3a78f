"""What tests of several rooms share, made once for all workers of a run."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from aiterfix.faults import registry
from aiterfix.faults.diagnosis import diagnose
from aiterfix.faults.mend import mend
from aiterfix.gfx950.cache import CodeObjectCache
from aiterfix.judge import disk
from aiterfix.patching import mends
from tests import environments, warm_python

ROOT = Path(__file__).parents[1]

# A worker of pytest a core: more threads wait for one another, and wait by turning round.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@contextmanager
def once(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[tuple[Path, bool]]:
    """A folder that all workers share, and whether it is there already; the others wait."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"shared-{name}"
    with (folder.parent / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder, folder.exists()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this checkout, alone in its folder."""
    with once(tmp_path_factory, "built") as (folder, there):
        if not there:
            words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
            environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AITER", "VIRTUAL_ENV"))}
            subprocess.run(words, check=True, capture_output=True, env=environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def code_objects(tmp_path_factory: pytest.TempPathFactory) -> CodeObjectCache:
    """What any test of this run has compiled."""
    with once(tmp_path_factory, "code-objects") as (folder, there):
        if not there:
            folder.mkdir(mode=0o700)
    return CodeObjectCache(folder)


@pytest.fixture(scope="session")
def pip_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with pip, for `environments.make`."""
    with once(tmp_path_factory, "environment") as (folder, there):
        if not there:
            environments.make_template(folder)
    return folder


@pytest.fixture(scope="session")
def torch_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The path of a Python that has torch imported already."""
    pytest.importorskip("torch")
    with warm_python.running(tmp_path_factory.mktemp("torch"), "torch") as program:
        yield program


# What these give hangs on their arguments alone, texts and faults by value. Errors are not kept.
_DIAGNOSE, _MEND, _PARSE_FAULT = (lru_cache(maxsize=64)(f) for f in (diagnose, mend, registry.parse_fault))


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many tests of commands ask about one sample: its texts are analysed once, and faults are read once, as other
    rooms show what comes of that."""
    monkeypatch.setattr(disk, "diagnose", _DIAGNOSE)
    monkeypatch.setattr(mends, "mend", _MEND)
    monkeypatch.setattr(registry, "parse_fault", _PARSE_FAULT)
