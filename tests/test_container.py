"""The Dockerfile's RUN lines, each as a script in a fresh virtual environment that holds the sample package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiterfix.demo import write_sample
from tests import environments
from tests.cli.conftest import contents

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "examples" / "Dockerfile"


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Instruction and arguments of each, with continued lines joined and comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, arguments = line.strip().partition(" ")
        yield word.upper(), arguments.strip()


RUNS = [arguments for word, arguments in instructions(DOCKERFILE.read_text()) if word == "RUN"]


class Image:
    """A virtual environment in the place of the base image."""

    def __init__(self, prefix: Path, wheels: Path, pip_template: Path) -> None:
        self.site = environments.make(prefix, pip_template)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHON", "AITER", "VIRTUAL_ENV"))}
        self._environment = kept | {
            "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "AITERFIX_SOURCE": "aiterfix",
            "PIP_NO_INDEX": "1",
            "PIP_NO_COMPILE": "1",  # of 400 modules few are run
            "PIP_FIND_LINKS": str(wheels),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        self._folder = prefix

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """As Docker's shell form does: ``/bin/sh -c``."""
        words = ["/bin/sh", "-c", line]
        return subprocess.run(
            words, capture_output=True, text=True, env=self._environment, cwd=self._folder, timeout=120, check=False
        )

    def state(self) -> dict[str, bytes]:
        """Every file that is no cache of Python's."""
        return {name: data for name, data in contents(self._folder).items() if "__pycache__" not in name}

    def written(self) -> dict[str, tuple[int, int]]:
        """When, and as which file, each of these was written: replacing one by an equal one shows."""
        found = {name: (self._folder / name).stat() for name in self.state()}
        return {name: (status.st_mtime_ns, status.st_ino) for name, status in found.items()}


@pytest.fixture
def image(tmp_path: Path, built: Path, pip_template: Path) -> Image:
    if sys.version_info < (3, 11):
        pytest.skip("before Python 3.11 aiterfix needs tomli, of which there is no wheel here")
    return Image(tmp_path / "image", built.parent, pip_template)


def test_dockerfile_is_what_the_readme_says() -> None:
    words = [word for word, _ in instructions(DOCKERFILE.read_text())]
    assert words[:2] == ["ARG", "FROM"]
    assert RUNS
    for line in RUNS:
        assert f"RUN {line}" in (ROOT / "README.md").read_text()


def test_run_lines_of_the_other_dockerfile_twice(image: Image) -> None:
    lines = [a for word, a in instructions((ROOT / "examples/Dockerfile.sglang-atom").read_text()) if word == "RUN"]
    assert lines[: len(RUNS)] == RUNS and lines[len(RUNS) :] == ["aiterfix hook enable"]
    write_sample(image.site)
    for line in lines:
        done = image.run(line)
        assert done.returncode == 0, done.stdout + done.stderr
    first = image.state()
    for line in lines:
        again = image.run(line)
        assert again.returncode == 0, again.stdout + again.stderr
    assert image.state() == first, "the second run changes no byte"


def test_run_lines_twice_and_on_what_they_refuse(image: Image) -> None:
    write_sample(image.site)
    before = image.state()
    for line in RUNS:
        done = image.run(line)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "verdict: clean: " in done.stdout and ", row-offset-32: absent" in done.stdout
    first, written = image.state(), image.written()
    changed = {name for name in before if first[name] != before[name]}
    assert {Path(name).name for name in changed} >= {"pa_mqa_logits.py"}
    for line in RUNS:
        again = image.run(line)
        assert again.returncode == 0, again.stdout + again.stderr
    assert image.state() == first, "the second run changes no byte"
    assert image.written() == written, "and writes no file anew"

    # The build fails where nothing is proven.
    for name in ("aiter", *(p.name for p in image.site.glob("amd_aiter-*.dist-info"))):
        shutil.rmtree(image.site / name)
    assert [image.run(line).returncode for line in RUNS] == [4], "no aiter"
    kernels = write_sample(image.site) / "ops/triton/gluon/pa_mqa_logits.py"
    kernels.write_text(kernels.read_text() + "\n(\n")
    assert [image.run(line).returncode for line in RUNS] == [3], "not understood"
