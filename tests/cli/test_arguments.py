"""What is asked for: help, usage errors, misspelt words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import schemas
from tests.cli.conftest import Runner


def test_help_version_and_usage(run: Runner) -> None:
    overview = run("--help")
    assert overview.status == 0
    for command in ("check", "diff", "apply", "revert", "demo"):
        assert command in overview.text
        page = run(command, "--help")
        assert page.status == 0
        assert "exit codes:" in page.text
    for action in ("scan", "status", "export"):
        assert "exit codes:" in run("upstream", action, "--help").text
    assert run("--version").text.startswith("aiterfix ")
    for words in ([], ["bogus"], ["check", "--bogus"], ["check", "--path"], ["check", "--path", "a", "--python", "b"]):
        wrong = run(*words)
        assert wrong.status == 2
        assert wrong.out == b""
        assert "error" in wrong.err
        assert "--help" in wrong.err
    assert "aiterfix check: unrecognized arguments: --bogus" in run("check", "--bogus").err
    assert "See `aiterfix check --help`" in run("check", "--bogus").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "--path", ""], "--path: names nothing"),
        (["apply", "--python", ""], "--python: names nothing"),
        (["check", "--fixes", "/nowhere"], "/nowhere is no folder"),
        (["upstream", "status", "--offline", "--fixes", "/nowhere"], "/nowhere is no folder"),
        (["padding", "--max-model-len", "0", "--block-size", "64"], "--max-model-len: must be a whole number"),
        (
            ["padding", "--max-model-len", "1000", "--block-size", "64", "--next-n", "0"],
            "--next-n: must be a whole number",
        ),
        (["cost", "--context", "0"], "--context: must be a whole number"),
    ],
)
def test_arguments_that_name_nothing_are_usage_errors(run: Runner, words: list[str], said: str) -> None:
    ran = run(*words)
    assert ran.status == 2 and said in ran.err and ran.out == b""


def test_usage_error_under_json_is_an_object(run: Runner, tmp_path: Path) -> None:
    ran = run("check", "--json", "--path", tmp_path / "nowhere")
    assert ran.status == 2
    assert ran.json("check")["error"]["exit_code"] == 2
    assert run("check", "--json", "--bogus").status == 2
    assert run("check", "--json", "--bogus").json("check")["error"]["code"] == "usage"


def test_an_error_is_an_object_whichever_way_json_is_asked_for(run: Runner, tmp_path: Path) -> None:
    for words in (["--format", "json"], ["--format=json"]):
        assert run("check", tmp_path / "nowhere", *words).json("check")["error"]["code"] == "usage"
    plain = run("check", tmp_path / "nowhere", "--format", "markdown")
    assert plain.out == b"" and "does not exist" in plain.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chek"], "Did you mean `aiterfix check`?"),
        (["validte", "--full"], "Did you mean `aiterfix validate`?"),
        (["help", "aply"], "Did you mean `aiterfix apply`?"),
        (["check", "--pth", "x"], "Did you mean --path?"),
        (["apply", "--no-falt", "x"], "Did you mean --no-fault?"),
        (["hook", "enabel"], "Did you mean enable?"),
        (["check", "--for", "vlm"], "Did you mean vllm?"),
        (["check", "--format", "htlm"], "Did you mean html?"),
        (["check", "--fault", "colum-bound"], "Did you mean column-bound?"),
        (["apply", "--no-fault", "row-offset-23"], "Did you mean row-offset-32?"),
    ],
)
def test_what_is_misspelt_is_told_what_was_meant(run: Runner, words: list[str], said: str) -> None:
    ran = run(*words)
    assert (ran.status, ran.out) == (2, b"") and said in ran.err


def test_nothing_is_suggested_for_what_is_like_nothing(run: Runner) -> None:
    for words in (["frobnicate"], ["check", "--frobnicate"], ["check", "--fault", "x"]):
        ran = run(*words)
        assert ran.status == 2 and "Did you mean" not in ran.err


def test_help_of_a_command(run: Runner) -> None:
    assert run("help").out == run("--help").out
    assert run("help", "check").out == run("check", "--help").out
    assert run("help", "upstream", "scan").out == run("upstream", "scan", "--help").out
    assert "exit codes:" in run("help", "doctor").text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("compat", ["compat", "0.1.20", "--unheard-of"]),
        ("validate", ["validate", "--source", "a", "--hsaco", "b"]),
        *[(f"upstream-{action}", ["upstream", action, "--unheard-of"]) for action in ("scan", "status", "export")],
    ],
)
def test_an_error_under_json_keeps_to_the_schema_of_its_command(run: Runner, schema: str, words: list[str]) -> None:
    ran = run(*words, "--json")
    assert ran.status == 2
    assert schemas.read(ran.text, schema)["error"]["exit_code"] == 2


def test_padding_offers_no_fixes_of_others(run: Runner, sample: Path) -> None:
    """`required_padding()` answers for this package's kernels, and the command gives the same answer."""
    assert "--fixes" in run("check", "--help").text and "--fixes" not in run("padding", "--help").text
    ran = run("padding", "--max-model-len", "1000", "--block-size", "64", "--path", sample, "--fixes", sample)
    assert ran.status == 2 and "--fixes" in ran.err
