"""Annotations of a GitHub workflow: one a fault and file, and nothing in a name that ends or begins a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiterfix.demo import write_sample
from tests.cli.conftest import Runner
from tests.cli.conftest import run as run

KERNEL = "aiter/ops/triton/gluon/pa_mqa_logits.py"


def test_one_annotation_a_fault_and_file(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path)
    ran = run("check", "--path", tmp_path, "--format", "github")
    assert ran.status == 1
    lines = ran.text.splitlines()
    heads = [line.split("::")[1] for line in lines]
    assert len(set(heads)) == len(heads)
    errors = {head.rpartition("title=")[2] for head in heads if head.startswith("error ")}
    assert errors == {"block-paging", "cache-offset-32", "column-bound", "row-offset-32"}
    assert any(head.startswith(f"error file={KERNEL},line=") for head in heads)
    assert [h for h in heads if h.startswith("notice ")], "what does not decide is said, and is no error"


def test_what_is_not_understood_is_a_warning(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path)
    (tmp_path / KERNEL).write_text((tmp_path / KERNEL).read_text() + "\n(\n")
    ran = run("check", "--path", tmp_path, "--format", "github")
    assert ran.status == 3
    assert f"::warning file={KERNEL},line=" in ran.text and "title=not-understood::" in ran.text


def test_outside_the_checkout_the_message_names_the_file(run: Runner, tmp_path: Path) -> None:
    strange = tmp_path / "100%, or: less"
    strange.mkdir()
    write_sample(strange)
    ran = run("check", "--path", strange, "--format", "github")
    assert f"::{str(strange).replace('%', '%25')}/{KERNEL}:" in ran.text
    assert "file=" not in ran.text


def test_in_the_checkout_a_name_is_one_property(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = tmp_path / "a%,b:c"
    strange.mkdir()
    write_sample(strange)
    monkeypatch.chdir(tmp_path)
    ran = run("check", "--path", strange, "--format", "github")
    assert f"file=a%25%2Cb%3Ac/{KERNEL},line=" in ran.text


def test_nothing_to_annotate(run: Runner, tmp_path: Path) -> None:
    write_sample(tmp_path)
    assert run("apply", "--path", tmp_path).status == 0
    ran = run("check", "--path", tmp_path, "--format", "github")
    assert ran.status == 0 and "::error" not in ran.text and "::warning" not in ran.text
    empty = tmp_path / "empty"
    empty.mkdir()
    ran = run("check", "--path", empty, "--format", "github")
    assert ran.status == 4 and ran.text.startswith("::error title=aiterfix check::not-installed")
    (tmp_path / "broken.whl").write_bytes(b"PK")
    ran = run("check", "--path", tmp_path / "broken.whl", "--format", "github")
    assert ran.status == 3 and "::warning title=could not be read::" in ran.text
