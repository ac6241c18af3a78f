"""Forms of a report and where it goes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from aiterfix.cli.arguments import form_asked
from aiterfix.errors import UsageError
from tests.cli.conftest import Runner
from tests.cli.sample import GLUON

FORMS = ("text", "json", "markdown")


@pytest.mark.parametrize(
    ("asked", "form"),
    [
        ({}, "text"),
        ({"json": False, "markdown": False, "other": True}, "text"),
        ({"markdown": True}, "markdown"),
        ({"format": "json", "json": True}, "json"),
    ],
)
def test_the_form_asked_for(asked: dict[str, object], form: str) -> None:
    assert form_asked(FORMS, asked) == form


def test_two_forms_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--json and --markdown cannot both be printed"):
        form_asked(FORMS, {"json": True, "markdown": True})


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_a_form_by_its_old_option_and_by_its_name(run: Runner, sample: Path, form: str) -> None:
    ran = run("check", sample, "--format", form)
    assert ran.out == run("check", sample, f"--{form}").out == run("check", sample, "--format", form, f"--{form}").out
    assert ran.out.startswith(b"{")
    other = run("check", sample, "--format", "markdown", f"--{form}")
    assert other.status == 2 and f"--{form} and --format markdown cannot both be printed" in other.err + other.text


@pytest.mark.parametrize("form", ["json", "sarif", "markdown", "html"])
def test_forms_for_programs_are_in_full_always(run: Runner, sample: Path, form: str) -> None:
    assert run("check", "-v", sample, "--format", form).out == run("check", sample, "--format", form).out


@pytest.mark.parametrize("form", ["text", "json", "sarif", "markdown"])
def test_a_report_goes_to_a_file_whole_or_not_at_all(
    process: Runner, run: Runner, sample: Path, tmp_path: Path, form: str
) -> None:
    ask = process if form == "text" else run
    file, env = tmp_path / "report", {"FORCE_COLOR": "1"}
    printed = ask("check", sample, "--format", form)
    kept = ask("check", sample, "--format", form, "--output", file, env=env)
    assert (kept.status, kept.out, kept.err) == (printed.status, b"", "")
    assert file.read_bytes() == printed.out, "without the colours that are for a terminal"
    assert ask("check", sample, "--format", form, "--output", "-").out == printed.out
    # A target that leads nowhere: what stood there stays.
    assert ask("check", tmp_path / "nowhere", "--format", form, "--output", file).status == 2
    assert file.read_bytes() == printed.out
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_a_report_that_cannot_be_kept_is_an_error(run: Runner, sample: Path, tmp_path: Path) -> None:
    ran = run("check", sample, "--output", tmp_path / "no/report")
    assert (ran.status, ran.out) == (4, b"")
    assert f"the report could not be written to {tmp_path}/no/report" in ran.err
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "there").write_text("old")
    (tmp_path / "there").chmod(0o640)
    assert run("check", sample, "-q", "--output", tmp_path / "link").status == 1
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "affected\n"
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o640
    assert run("check", sample, "-q", "--output", "/dev/null").status == 1
    assert Path("/dev/null").is_char_device()


def test_a_summary_in_markdown_cannot_be_forged(run: Runner, sample: Path) -> None:
    (metadata,) = sample.glob("*.dist-info/METADATA")
    metadata.write_text(metadata.read_text().replace("Version: ", "Version: <img>|**clean**`@all "))
    ran = run("check", sample, "--format", "markdown", "--ignore", "column-bound=`**@all**`")
    lines = [line for line in ran.text.splitlines() if "@all" in line]
    # In code, where nothing is an element, a mention or bold; a backtick would end it.
    assert lines == [
        f"- `amd-aiter <img>|**clean**'@all 0.0.1+sample, wheel: {sample}/aiter`: **affected**",
        "- `ignored: column-bound (present): '**@all**' (--ignore)`",
    ]
    assert ran.text.splitlines()[-1] == f"Next: `aiterfix apply --path {sample}`"


def test_a_summary_says_what_is_not_understood(run: Runner, sample: Path) -> None:
    text = (sample / GLUON).read_bytes()
    (sample / GLUON).write_bytes(text.replace(b"gl.amd.cdna3.buffer_store(", b"helper(", 1))
    for form in ("markdown", "html"):
        ran = run("check", sample, "--format", form)
        assert ran.status == 3 and f"{GLUON}:" in ran.text and "helper" in ran.text


def test_sarif(run: Runner, sample: Path) -> None:
    ran = run("check", "--path", sample, "--sarif")
    assert ran.status == 1
    log = json.loads(ran.out)
    results = log["runs"][0]["results"]
    bound, row = "column-bound", "row-offset-32"
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert [rules[r["ruleIndex"]]["id"] for r in results] == [r["ruleId"] for r in results]
    assert {r["level"] for r in results if r["ruleId"] != "triton-3-5-1"} == {"error"}
    assert {r["level"] for r in results if r["ruleId"] == "triton-3-5-1"} == {"note"}
    bounds = [r for r in results if r["ruleId"] == bound]
    assert ["bounds another expression" in r["message"]["text"] for r in bounds] == [False] * 3 + [True]
    assert len([r for r in results if r["ruleId"] == row]) == 4
    location = bounds[1]["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == GLUON
    lines = (sample / GLUON).read_text().splitlines()
    assert "buffer_store" in lines[location["region"]["startLine"] - 1]
    assert run("check", "--path", sample, "--sarif", "--json").status == 2
    # Padding helps against stores past a row, and against nothing else.
    assert [r["id"] for r in rules[:-1] if "padding" in r["help"]["text"]] == [bound]
    # What was not asked about is a note, as `check` says it beside the verdict.
    alone = json.loads(run("check", "--path", sample, "--sarif", "--kernel", "gluon").out)["runs"][0]["results"]
    assert {r["level"] for r in alone if r["ruleId"] == row} == {"note"}
    assert [r["level"] for r in alone if r["ruleId"] == bound] == ["note", "error", "error", "error"]


@pytest.mark.skipif(
    "AITERFIX_SARIF_SCHEMA" not in os.environ,
    reason="AITERFIX_SARIF_SCHEMA is unset: it names sarif-schema-2.1.0.json of oasis-tcs/sarif-spec",
)
def test_sarif_keeps_to_the_published_schema(run: Runner, sample: Path) -> None:
    schema = json.loads(Path(os.environ["AITERFIX_SARIF_SCHEMA"]).read_bytes())
    validator = jsonschema.validators.validator_for(schema)(schema)
    assert list(validator.iter_errors(json.loads(run("check", "--path", sample, "--sarif").out))) == []
    assert list(validator.iter_errors({"version": "2.1.0"})), "the schema refuses what is none"
