"""Every command that README and docs print: run as it stands, or, where it takes minutes, a network or a GPU, parsed.

A line ``$ aiterfix …`` of a block marked ``console`` is run in a process of its own, in a site-packages with the sample.
Words in capitals are places of the reader's; here they are places of the test.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aiterfix
from aiterfix.cli.main import build_parser
from aiterfix.demo import SAMPLE_VERSION, write_sample
from aiterfix.judge.launch_list import line_of
from tests.cli.test_launches import MEETS
from tests.images import docker_save, layer, members_of, oci_blobs, oci_folder, wheel

ROOT = Path(__file__).parents[1]
PAGES = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if p.name != "CHANGELOG.md")
PARSED_ONLY = {
    "cost": "compiles for minutes",
    "upstream": "needs a clone or the network",
    "validate": "compiles for minutes",
}
WHEEL = f"amd_aiter-{SAMPLE_VERSION}-py3-none-any.whl"
ENDS = {0: "done", 1: "action needed", 3: "not understood"}


def printed() -> Iterator[tuple[str, str]]:
    """Each command of a ``console`` block, and the page with its line."""
    for page in PAGES:
        text = page.read_text()
        for block in re.finditer(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            first = text[: block.start(1)].count("\n") + 1
            for number, line in enumerate(block[1].splitlines(), first):
                if line.startswith("$ "):
                    yield line[2:], f"{page.relative_to(ROOT)}:{number}"


def commands() -> list[tuple[str, list[str]]]:
    """Where it is printed, and the words behind ``aiterfix``; of both halves of ``a && b``."""
    found = []
    for line, where in printed():
        for part in re.split(r"\s(?:&&|\|)\s", line):
            words = shlex.split(part, comments=True)
            if words[:1] == ["aiterfix"]:
                found.append((where, words[1:]))
    return found


def inline() -> list[tuple[str, list[str]]]:
    """Where a command with arguments stands in a running text, and its words; synopses (``…``, ``[``) are left out."""
    found = []
    for page in PAGES:
        for match in re.finditer(r"`aiterfix ([a-z][^`]* [^`]+)`", page.read_text()):
            if not re.search(r"…|\[|\||\.\.\.", match[1]):
                found.append((f"{page.relative_to(ROOT)}: {match[1]}", shlex.split(match[1], comments=True)))
    return found


def is_run(words: list[str]) -> bool:
    changes_this_python = words[:2] == [
        "hook",
        "enable",
    ]  # tests/importing/test_sitefiles.py runs it in a Python of its own
    return words[0] not in PARSED_ONLY and "--measure" not in words and not changes_this_python


def case(where: str, words: list[str]) -> object:
    return pytest.param(words, id=f"{where} {' '.join(words)}"[:100])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages with the sample and engines that never call it, and an image that holds another."""
    folder = tmp_path / "site-packages"
    for engine in ("vllm", "sglang"):
        (folder / engine).mkdir(parents=True)
        (folder / engine / "__init__.py").write_text("")
    write_sample(folder)
    (tmp_path / "launches").write_bytes(line_of(MEETS))
    image = tmp_path / "IMG"
    for name in ("usr/lib", "etc", "var", "bin", "opt/venv/lib/python3.12/site-packages"):
        (image / name).mkdir(parents=True)
    write_sample(image / "opt/venv/lib/python3.12/site-packages")
    layers = [layer(members_of(image))]
    docker_save(tmp_path / "image.tar", layers)
    oci_folder(tmp_path / "layout", oci_blobs(layers))
    wheel(tmp_path / WHEEL, folder)
    return folder


def filled(words: list[str], site: Path) -> list[str]:
    """The words with the test's places for those in capitals."""
    places = {
        "TREE": str(site),
        "COPY": str(site),
        "SITE": str(site),
        "NEW_RELEASE": str(site),
        "FILE": str(site.parent / "launches"),
        "FOLDER": str(site.parent),
        "IMG": str(site.parent / "IMG"),
        "IMAGE.tar": str(site.parent / "image.tar"),
        "LAYOUT": str(site.parent / "layout"),
        "WHEEL": str(site.parent / WHEEL),
        "VERSION": SAMPLE_VERSION,
        "ID": "column-bound",
        "PID": str(os.getpid()),
        "COMMAND": "true",
    }
    return [places.get(word, word) for word in words]


def test_there_are_commands() -> None:
    assert len(commands()) >= 10
    assert len(inline()) >= 10


@pytest.mark.parametrize("words", [case(*c) for c in [*commands(), *inline()]])
def test_it_is_a_command(words: list[str], tmp_path: Path) -> None:
    build_parser(words[0]).parse_args(filled(words, tmp_path))


@pytest.mark.parametrize("words", [case(*c) for c in commands() if is_run(c[1])])
def test_it_runs(words: list[str], site: Path) -> None:
    server = site.parent / "serve.py"
    server.write_text("print('served')\n")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AITERFIX", "AITER_"))}
    paths = [str(site), str(Path(aiterfix.__file__).parents[1])]
    environment = {**clean, "PYTHONPATH": os.pathsep.join(paths), "AITERFIX_CACHE": str(site.parent / "cache")}
    command = [sys.executable, "-m", "aiterfix", *filled(words, site)]
    done = subprocess.run(command, cwd=site.parent, env=environment, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode in ENDS, said
    assert "Traceback" not in said and said


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=where) for line, where in printed() if line.startswith("make ")]
)
def test_make_knows_the_target(line: str) -> None:
    target = shlex.split(line, comments=True)[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
