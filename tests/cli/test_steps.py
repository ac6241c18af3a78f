"""Every step that a command advises can be taken: on each kind of target, what it prints is run as it stands."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aiterfix.cli import steps
from aiterfix.cli.main import build_parser
from aiterfix.report.steps import dockerfile_line
from tests.cli.conftest import Ran, Runner
from tests.cli.test_strangers_fault import documented
from tests.engines import callers
from tests.images import docker_save, layer, members_of, oci_blobs, oci_folder, oci_tar, wheel
from tests.trees import write

SITE = "opt/venv/lib/python3.12/site-packages"
PAIR = ("--for", "vllm", "--block-size", "64", "--max-model-len", "10000")
FORMS = ((), ("--format", "markdown"), ("--format", "html"), ("--format", "json"))


@pytest.fixture
def rootfs(sample: Path, tmp_path: Path) -> Path:
    """The root of an image that holds the sample and an engine that calls it."""
    (info,) = sample.glob("*.dist-info")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    callers.workspace(sample)
    root = tmp_path / "rootfs"
    shutil.copytree(sample, root / SITE)
    for name in ("usr", "etc", "var", "bin"):
        (root / name).mkdir()
    return root


def tree(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--path", str(rootfs.parent / "site-packages")]


def dashed(rootfs: Path, tmp_path: Path) -> list[str]:
    (rootfs.parent / "site-packages").rename(tmp_path / "-odd name")
    return ["--path=-odd name"]


def unpacked(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--root", str(rootfs)]


def within(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--root", str(rootfs), "--path", f"/{SITE}"]


def saved(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--root", str(docker_save(tmp_path / "saved image.tar", [layer(members_of(rootfs))]))]


def saved_by_path(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--path", saved(rootfs, tmp_path)[1]]


def layout(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--root", str(oci_folder(tmp_path / "oci", oci_blobs([layer(members_of(rootfs))], "gzip")))]


def layout_tar(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--root", str(oci_tar(tmp_path / "oci.tar", oci_blobs([layer(members_of(rootfs))])))]


def a_wheel(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--path", str(wheel(tmp_path / "amd_aiter-0.0.1-py3-none-any.whl", rootfs / SITE))]


def a_wheel_as_root(rootfs: Path, tmp_path: Path) -> list[str]:
    return ["--root", a_wheel(rootfs, tmp_path)[1]]


def two_trees(rootfs: Path, tmp_path: Path) -> list[str]:
    other = tmp_path / "other"
    shutil.copytree(rootfs / SITE / "aiter", other / "aiter")
    return [*tree(rootfs, tmp_path), "--path", str(other)]


def tree_and_wheel(rootfs: Path, tmp_path: Path) -> list[str]:
    return [*tree(rootfs, tmp_path), *a_wheel(rootfs, tmp_path)]


def tree_and_image(rootfs: Path, tmp_path: Path) -> list[str]:
    return [*tree(rootfs, tmp_path), *saved_by_path(rootfs, tmp_path)]


def tree_and_nothing(rootfs: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "empty").mkdir()
    return [*tree(rootfs, tmp_path), "--path", str(tmp_path / "empty")]


WRITTEN = (tree, dashed, unpacked, within, a_wheel, a_wheel_as_root, two_trees, tree_and_wheel, tree_and_nothing)
REBUILT = (saved, saved_by_path, layout, layout_tar)
Make = Callable[[Path, Path], list[str]]


def advised(ran: Ran) -> list[str]:
    """Commands and Dockerfile lines that a report's next step consists of."""
    text = ran.text
    (line,) = re.findall(r"^next: +(.*)", text, re.MULTILINE) or re.findall(r"^next +(.*)", text, re.MULTILINE)
    return commands(line)


def commands(text: str) -> list[str]:
    """What a text would have run: each must be a command of ours, with arguments that its parser takes."""
    return [c.rstrip() for c in re.findall(r"aiterfix (?:apply|revert|check|hook)(?: (?:'[^']*'|[^\s;,&'`)]+))*", text)]


def parsed(command: str) -> list[str]:
    words = shlex.split(command)[1:]
    build_parser(words[0]).parse_args(words)
    return words


@pytest.mark.parametrize("make", WRITTEN)
def test_what_apply_can_write_it_is_advised_for_and_mends(
    run: Runner, rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    monkeypatch.chdir(tmp_path)
    words = make(rootfs, tmp_path)
    several = make in (two_trees, tree_and_wheel, tree_and_nothing)
    advice = advised(run("check", *words))
    assert len(advice) == (2 if make is tree_and_wheel else 1)
    if not several:
        assert advised(run("doctor", *words)) == advice
        assert advised(run("check", *words, *PAIR)) == advice
        assert advised(run("padding", *words, *PAIR[2:])) == advice
    for command in advice:
        assert command.startswith("aiterfix apply") and run(*parsed(command)).status == 0, command
    mended = [*tmp_path.glob("*+aiterfix*.whl")]
    assert len(mended) == sum(w.endswith(".whl") for w in words)
    for new in mended:
        assert run("check", new).status == 0
    if make in (a_wheel, a_wheel_as_root):
        return
    after = run("check", *(words[:2] if several else words))
    assert after.status == 0, after.text
    (undo,) = [c for c in commands(after.text) if c.startswith("aiterfix revert")]
    assert run(*parsed(undo)).status == 0 and run("check", *words).status == 1


@pytest.mark.parametrize("make", REBUILT)
def test_what_apply_refuses_is_built_anew(run: Runner, rootfs: Path, tmp_path: Path, make: Make) -> None:
    words = make(rootfs, tmp_path)
    line = dockerfile_line()
    assert advised(run("check", *words)) == commands(line) == ["aiterfix apply --require", "aiterfix check"]
    for form in FORMS:
        for more in ((), PAIR):
            text = run("check", *words, *more, *form).text
            assert "aiterfix apply --root" not in text and "aiterfix apply --path" not in text
    for ran in (run("check", *words, *PAIR), run("padding", *words, *PAIR[2:]), run("doctor", *words)):
        assert line in ran.text.splitlines()[-1]
    # What is asked about is mended, and checked.
    asked = run("check", *words, "--fault", "column-bound").text.splitlines()[-1]
    assert asked.endswith(dockerfile_line(" --fault column-bound"))
    assert all(parsed(c) for c in commands(asked))
    judge = [c for c in commands(run("check", *words).text) if "--for" in c]
    assert [run(*parsed(c), *PAIR[2:]).status for c in judge] == [1]


def test_of_a_tree_and_an_image_each_has_its_own_step(run: Runner, rootfs: Path, tmp_path: Path) -> None:
    words = tree_and_image(rootfs, tmp_path)
    ran = run("check", *words)
    first, *rest = advised(ran)
    assert run(*parsed(first)).status == 0 and rest == commands(dockerfile_line())
    assert f"; build {shlex.quote(words[-1])} anew with, in its Dockerfile: RUN " in ran.text.splitlines()[-1]
    assert run("check", *words[:2]).status == 0
    again = run("check", *words)
    (undo,) = [c for c in commands(again.text) if c.startswith("aiterfix revert")]
    assert run(*parsed(undo)).status == 0
    assert again.text.splitlines()[-1] == f"next:    build it anew with, in its Dockerfile: {dockerfile_line()}"


def test_an_engine_is_judged_where_it_is(run: Runner, rootfs: Path, tmp_path: Path) -> None:
    """Not in the place of another aiter that was named, where it is not installed; without fault files of others."""
    fixes = tmp_path / "fixes"
    fixes.mkdir()
    (fixes / "far-scores.toml").write_text(documented())
    text = run("check", *two_trees(rootfs, tmp_path), "--fixes", fixes).text
    (judge,) = [c for c in commands(text) if "--for" in c]
    assert run(*parsed(judge), *PAIR[2:]).status == 1


@pytest.mark.parametrize("make", [unpacked, within])
def test_an_unpacked_image_that_cannot_be_written_is_built_anew(
    run: Runner, rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    words = make(rootfs, tmp_path)
    shut(monkeypatch)
    for ran in (run("check", *words), run("check", *words, *PAIR), run("doctor", *words)):
        assert advised(ran) == commands(dockerfile_line())


@pytest.mark.parametrize("command", [("check",), ("check", *PAIR), ("doctor",), ("padding", *PAIR[2:])])
def test_a_tree_that_cannot_be_written_is_mended_at_import(
    run: Runner, rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    shut(monkeypatch)
    last = run(*command, *tree(rootfs, tmp_path)).text.splitlines()[-1]
    assert "have its interpreter mend the kernels at import: aiterfix run -- COMMAND" in last
    assert "aiterfix apply" not in last


@pytest.mark.parametrize("make", [a_wheel, a_wheel_as_root])
def test_beside_a_wheel_that_cannot_be_written_another_folder_is_named(
    run: Runner, rootfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Make
) -> None:
    words = make(rootfs, tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shut(monkeypatch)
    (command,) = advised(run("doctor", *words))
    assert command.endswith(" --output .") and advised(run("check", *words)) == [command]
    assert run(*parsed(command)).status == 0
    (mended,) = (tmp_path / "here").iterdir()
    assert run("check", mended).status == 0


def shut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "obstacle_to_writing", lambda folders: f"{next(iter(folders))} is shut")


def test_what_is_no_target_is_told_what_is(run: Runner, rootfs: Path, tmp_path: Path) -> None:
    zipapp = write(tmp_path / "app.pyz", b"#!/usr/bin/env python3\nPK\x03\x04" + bytes(64))
    archive = write(tmp_path / "app.zip", b"PK\x03\x04" + bytes(64))
    squeezed = write(tmp_path / "image.tar.gz", b"\x1f\x8b" + bytes(64))
    text = write(tmp_path / "kernel.py", "import aiter\n")
    for target, said in (
        (zipapp, "name the package folder"),
        (archive, "unpack"),
        (squeezed, "gzip -d"),
        (text, "name the package folder"),
        (tmp_path / "none", "Give --path a folder that exists."),
    ):
        for command in ("check", "doctor", "apply"):
            ran = run(command, "--path", target)
            assert ran.status in (2, 3, 4), (target, ran.text)
            assert said in ran.err + ran.text, (command, target, ran.err, ran.text)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "name the installation with --path DIR" in run("check", "--path", empty).text
