"""What is uploaded: the same bytes twice, everything in the sdist, and a description that leads nowhere wrong."""

from __future__ import annotations

import email
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def build(source: Path, out: Path, *words: str) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), *words, str(source)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"SOURCE_DATE_EPOCH": "1700000000"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_same_bytes_from_the_checkout_and_from_the_sdist(built: Path, tmp_path: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    (wheel,) = built.glob("*.whl")
    again = build(ROOT, tmp_path / "again", "--wheel") / wheel.name
    assert again.read_bytes() == wheel.read_bytes(), "one from the checkout, one from the sdist"
    assert (build(ROOT, tmp_path / "sdist", "--sdist") / sdist.name).read_bytes() == sdist.read_bytes()


def test_what_the_sdist_holds(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no checkout")
    tracked = {n for n in listed.stdout.splitlines() if (ROOT / n).is_file()}
    assert {n for n in tracked - names if not n.startswith(".git")} == set()
    assert {"docs/images.md", "examples/Dockerfile", "action.yml", "tests/test_publishing.py"} <= names


def test_the_metadata(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    urls = metadata.get_all("Project-URL") or []
    assert urls and all(re.search(r", https://\S+$", url) for url in urls)
    targets = re.findall(r"\]\(([^)]*)\)", str(metadata.get_payload()))
    assert targets and [t for t in targets if not t.startswith(("https://", "#"))] == []


def test_links_once_there_is_a_repository(hook: ModuleType) -> None:
    text = "![a row](docs/row.svg) [images](docs/images.md) [all](examples/) [aiter](https://h/a) [up](#top)"
    base = "https://host/o/n"
    assert hook.described(text, base, "1.2") == (
        f"![a row]({base}/raw/v1.2/docs/row.svg) [images]({base}/blob/v1.2/docs/images.md) "
        f"[all]({base}/tree/v1.2/examples/) [aiter](https://h/a) [up](#top)"
    )
    assert hook.described(text, "", "1.2") == " images all [aiter](https://h/a) [up](#top)"
    assert hook.urls(base)["Repository"] == base and base not in "".join(hook.urls("").values())


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text()):
        if not re.match(r"[a-z]+:|#", target):
            assert (ROOT / target.partition("#")[0]).exists(), target
