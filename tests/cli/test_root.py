"""``--root``: which image is meant is said, never guessed, and every command that takes ``--path`` takes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aiterfix.demo import write_sample
from tests.cli.conftest import Runner, contents
from tests.emulator import needs_emulator
from tests.trees import write

SITE = "opt/venv/lib/python3.12/site-packages"
KERNEL = "aiter/ops/triton/gluon/pa_mqa_logits.py"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    for name in ("usr/bin", "etc", "var", SITE):
        (root / name).mkdir(parents=True)
    write_sample(root / SITE)
    return root


def test_an_image_is_checked_patched_and_given_back(run: Runner, image: Path) -> None:
    before = contents(image)
    for words in (("--root", image), ("--root", image, "--path", "/opt/venv")):
        ran = run("check", *words)
        assert ran.status == 1
        assert f"next:    aiterfix apply {' '.join(map(str, words))}\n" in ran.text
        assert str(image / SITE / "aiter") in ran.text, "a path that can be opened here"
        assert KERNEL in run("diff", *words).text
        assert run("apply", *words, "--require").status == 0
        assert run("check", *words).status == 0
        assert run("revert", *words).status == 0
        assert contents(image) == before


def test_several_images_are_all_searched(run: Runner, image: Path, tmp_path: Path) -> None:
    empty = tmp_path / "layer"
    (empty / "app").mkdir(parents=True)
    ran = run("check", "--root", image, "--root", empty)
    assert ran.status == 1
    assert f"passed over: {empty}: no aiter is installed there" in ran.text
    assert ran.text.endswith(f"\nnext:    aiterfix apply --root {image}\n"), "it refuses what holds none"
    assert run("check", "--root", empty).status == 4
    two = run("check", "--root", image, "--path", "/opt/venv", "--path", "/usr")
    assert two.status == 1
    assert f"passed over: {image}: no aiter is installed there, in /usr" in two.text
    assert two.text.endswith(f"\nnext:    aiterfix apply --root {image} --path /opt/venv\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--path {image}", "--root {image} instead"),
        ("--path {image}/opt/venv", "--root {image} --path /opt/venv instead"),
        ("--root {image} --python /usr/bin/python3", "--root goes with no --python"),
        ("--root {image} --root {image}/opt --path /opt", "which image is meant?"),
        ("--root {image} --path opt/venv", "is relative"),
        ("--root {image} --path /nowhere", "/nowhere does not exist in {image}"),
        ("--root {image}/nowhere", "does not exist"),
        ("--root {image}/" + SITE + "/" + KERNEL, "is no folder"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        *("check", "diff", "apply", "revert", "padding"),
        *(pytest.param(command, marks=needs_emulator) for command in ("validate", "cost")),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(run: Runner, image: Path, command: str, words: str, said: str) -> None:
    before = contents(image)
    more = ["--max-model-len", "1000", "--block-size", "64"] if command == "padding" else []
    ran = run(command, *words.format(image=image).split(), *more)
    assert ran.status == 2
    assert said.format(image=image) in ran.err or (command in ("validate", "cost", "padding") and "only one" in ran.err)
    assert contents(image) == before


def test_padding_of_an_image(run: Runner, image: Path, tmp_path: Path) -> None:
    words = ("--max-model-len", "1000", "--block-size", "64")
    ran = run("padding", "--root", image, *words)
    assert ran.status == 0
    assert f"aiterfix apply --root {image}" in ran.text
    kernel = image / SITE / KERNEL
    kernel.unlink()
    kernel.symlink_to("../" * 30 + str(write(tmp_path / "host.py", "x = 1\n")).lstrip("/"))
    assert run("padding", "--root", image, *words).status == 3


def test_a_kernel_that_is_an_absolute_link_is_read_in_the_image(run: Runner, image: Path, tmp_path: Path) -> None:
    # What stands there on this machine is clean.
    kernel = image / SITE / KERNEL
    host = write(tmp_path / "cache/kernel.py", "def nothing(): ...\n")
    inside = image / str(host).lstrip("/")
    inside.parent.mkdir(parents=True)
    kernel.rename(inside)
    kernel.symlink_to(host)
    assert run("check", "--root", image, "--kernel", "gluon").status == 1
    inside.unlink()
    ran = run("check", "--root", image)
    assert ran.status == 3 and f"{kernel}: a link that leads nowhere" in ran.text


def test_an_engine_of_an_image(run: Runner, image: Path, tmp_path: Path) -> None:
    store = image / "opt/store"
    write(store / "vllm/__init__.py")
    write(store / "vllm/_version.py", "__version__ = '1.2.3'\n")
    write(image / SITE / "store.pth", "/opt/store\n")
    write(tmp_path / "opt/store/vllm/__init__.py")
    ran = run("check", "--root", image, "--for", "vllm")
    assert "vllm 1.2.3" in ran.text and ran.status == 0
    (store / "vllm").rename(image / "opt/elsewhere")
    (store / "vllm").symlink_to("/opt/elsewhere")
    assert "vllm 1.2.3" in run("check", "--root", image, "--for", "vllm").text
    (store / "vllm").unlink()
    (store / "vllm").symlink_to("../" * 30 + str(tmp_path / "opt/store/vllm").lstrip("/"))
    ran = run("check", "--root", image, "--for", "vllm")
    assert ran.status == 3 and f"{store / 'vllm'}: a link leads out of {image}" in ran.text


@pytest.mark.parametrize(
    "option", ["--fixes", *(pytest.param(option, marks=needs_emulator) for option in ("--source", "--hsaco"))]
)
def test_a_fifo_that_is_named_is_refused_at_once(run: Runner, tmp_path: Path, option: str) -> None:
    folder = tmp_path / "named"
    folder.mkdir()
    os.mkfifo(folder / "x.toml")
    if option == "--fixes":
        ran = run("check", option, folder)
    else:
        ran = run("validate", option, folder / "x.toml", "--device", "emulator")
    assert ran.status in (3, 4)
    assert "x.toml" in ran.err and "is a FIFO, not a regular file" in ran.err
