"""`check --ignore` and settings: the word is about the rest, and what is ignored stands beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Runner


@pytest.fixture
def left(run: Runner, sample: Path) -> Path:
    """A tree with one fault left in it: column-bound."""
    assert run("apply", "--path", sample, "--no-fault", "column-bound", "--require").status == 0
    assert run("check", sample).status == 1
    return sample


WORDS = ("--ignore", "column-bound=rows have 256 padding columns")


def test_an_ignored_fault_is_shown_with_its_reason_and_does_not_decide(run: Runner, left: Path) -> None:
    ran = run("check", left, *WORDS)
    assert ran.status == 0
    (verdict,) = [line for line in ran.text.splitlines() if line.startswith("verdict: ")]
    # The word is about the rest, which is named; what is ignored is not called absent.
    assert verdict.startswith("verdict: clean: block-paging, ") and "column-bound" not in verdict
    assert "         ignored: column-bound (present): rows have 256 padding columns (--ignore)\n" in ran.text
    assert "not asked about: column-bound" not in ran.text
    assert ran.text.splitlines()[-1].endswith("left in on purpose: column-bound")
    data = run("check", left, "--json", *WORDS).json("check")
    assert data["verdict"] == "clean" and "column-bound" not in data["asked"]
    assert data["ignored"] == [
        {
            "id": "column-bound",
            "reason": "rows have 256 padding columns",
            "by": "--ignore",
            "presence": "present",
            "in_vain": False,
        }
    ]
    assert [f["decides"] for f in data["faults"] if f["id"] == "column-bound"] == [False]
    word = run("check", left, "-q", *WORDS)
    assert word.text == "clean\n" and "ignored: column-bound (present): rows have 256" in word.err
    assert "ignored: column-bound" in run("check", left, "--format", "markdown", *WORDS).text


def test_sarif_has_it_suppressed(run: Runner, left: Path) -> None:
    def results(*words: str) -> list[Any]:
        log = json.loads(run("check", left, "--sarif", *words).out)
        return [r for r in log["runs"][0]["results"] if r["ruleId"] == "column-bound"]

    suppressed = [{"kind": "external", "justification": "rows have 256 padding columns"}]
    assert results() and all("suppressions" not in r and r["level"] == "error" for r in results())
    assert [r["suppressions"] for r in results(*WORDS)] == [suppressed] * len(results())


def test_others_still_decide(run: Runner, sample: Path) -> None:
    ran = run("check", sample, *WORDS)
    assert ran.status == 1 and "verdict: affected: 3 of the 6 faults asked about are present" in ran.text
    assert "ignored: column-bound (present)" in ran.text


def test_what_is_not_understood_is_not_ignored_with_it(run: Runner, left: Path) -> None:
    file = left / "aiter/ops/triton/gluon/pa_mqa_logits.py"
    file.write_bytes(file.read_bytes() + b"\ndef broken(:\n")
    assert run("check", left, *WORDS).status == 3


@pytest.mark.parametrize(
    ("fault", "why"), [("column-bound", "it is absent"), ("launch-arguments", "it decides nothing here")]
)
def test_one_that_no_longer_matches_is_reported(run: Runner, sample: Path, fault: str, why: str) -> None:
    assert run("apply", "--path", sample, "--require").status == 0
    words = ("--ignore", f"{fault}=old reason")
    assert f"ignored in vain: {fault}: {why}, so drop it (--ignore)" in run("check", sample, *words).text
    (said,) = run("check", sample, "--json", *words).json("check")["ignored"]
    assert (said["id"], said["in_vain"]) == (fault, True)


def test_settings_of_the_current_folder_count(
    run: Runner, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    settings = project / "pyproject.toml"
    settings.write_text("[tool.aiterfix.ignore]\ncolumn-bound = 'padded'\n")
    ran = run("check", left)
    assert ran.status == 0 and "ignored: column-bound (present): padded (pyproject.toml)" in ran.text
    assert "padded otherwise (--ignore)" in run("check", left, "--ignore", "column-bound=padded otherwise").text
    dry = run("apply", "--path", left, "--dry-run")
    assert "would mend column-bound in" in dry.text, "only `check` goes by them"
    monkeypatch.chdir(tmp_path)
    assert run("check", left).status == 1
    assert run("check", left, "--config", settings).status == 0
    assert run("check", left, "--config", tmp_path / "nowhere").status == 2


def test_settings_that_are_not_believed_are_named_and_the_fault_decides(
    run: Runner, left: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    project.chmod(0o1777)
    monkeypatch.chdir(project)
    quiet = run("check", left)
    assert (quiet.status, quiet.err) == (1, ""), "nothing there, nothing said"
    (project / "aiterfix.toml").write_text("[ignore]\ncolumn-bound = 'padded'\n")
    ran = run("check", left)
    assert ran.status == 1 and "ignored" not in ran.text
    assert "aiterfix: not used: aiterfix.toml: it, or its folder, can be written by others" in ran.err
    assert run("check", left, "--config", "aiterfix.toml").status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ignore", "column-bund=x"], "Did you mean column-bound?"),
        (["--ignore", "column-bound"], "must be ID=REASON"),
        (["--ignore", "column-bound=x", "--ignore", "column-bound=y"], "with two reasons"),
        (["--ignore", "column-bound=x", "--fault", "column-bound"], "everything that is asked about is ignored"),
        (["--ignore", "column-bound=x", "--kernel", "all"], "everything that is asked about is ignored"),
        (["--ignore", "column-bound=x", "--for", "vllm"], "--ignore does not go with --for"),
        (["--ignore", "column-bound=x", "--launches", "list"], "--ignore does not go with --launches"),
    ],
)
def test_what_cannot_be_ignored_is_a_usage_error(run: Runner, left: Path, words: list[str], said: str) -> None:
    ran = run("check", left, *words)
    assert (ran.status, ran.out) == (2, b"") and said in ran.err


def test_an_unknown_fault_in_settings_is_a_usage_error_that_names_them(run: Runner, left: Path, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[ignore]\nno-such-fault = 'x'\n")
    ran = run("check", left, "--config", tmp_path / "x.toml")
    assert ran.status == 2 and f"'no-such-fault' ({tmp_path}/x.toml)" in ran.err
